"""Every chapter: notebook and source in step, executed, nothing ugly in the outputs. And the tool that checks this."""

import re
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import notebooks  # noqa: E402

CHAPTERS = sorted((ROOT / "book").glob("*.py"))
CHAPTER = '''\
# %% [markdown]
# # A chapter

# %%
print(1 + 1)

# %% tags=["from:vlm.attention_mask.make_position_ids"]
def make_position_ids(attention_mask: Tensor, num_new: int) -> Tensor:
    """Other words."""
    return attention_mask.cumsum(-1).clamp(min=1)[:, -num_new:]  # another comment
'''


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_is_executed_in_step_and_clean(path):
    assert notebooks.check(path) == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_names_no_path_of_the_machine_it_ran_on(path):
    assert str(ROOT) not in path.with_suffix(".ipynb").read_text(encoding="utf-8")


NUMBERED = [path for path in CHAPTERS if path.stem.startswith("ch")]
EXERCISE = re.compile(r"^# ### .*`(\w+)`.* \(\d+ points?, (\d+) minutes\)$", re.MULTILINE)


@pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)
def test_the_time_of_a_chapter_contains_its_exercises(path):
    text = path.read_text(encoding="utf-8")
    minutes = [int(minutes) for _, minutes in EXERCISE.findall(text)]
    [said] = re.findall(r"Time: about \d+ minutes to read and run, and (\d+) for the (\w+) exercises\.", text)
    words = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    assert said == (str(sum(minutes)), words[len(minutes) - 2])


@pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)
def test_every_exercise_shows_its_stub_and_its_solution(path):
    text = path.read_text(encoding="utf-8")
    included = re.findall(r"\{literalinclude\} \.\./(\w+)/(\w+)\.py\n# :pyobject: (\w+)", text)
    for name, _ in EXERCISE.findall(text):
        assert ("exercises", path.stem, name) in included and ("solutions", path.stem, name) in included, name


def test_table_of_contents_lists_every_chapter_and_nothing_else():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listed = {entry["file"] for part in toc["parts"] for entry in part["chapters"]}
    for name in [toc["root"], *listed]:
        assert (ROOT / f"{name}.md").is_file() or (ROOT / f"{name}.ipynb").is_file(), name
    assert {f"book/{path.stem}" for path in CHAPTERS} <= listed
    assert CHAPTERS


@pytest.fixture
def chapter(tmp_path):
    path = tmp_path / "ch99_trial.py"
    path.write_text(CHAPTER.replace("Tensor", "object"), encoding="utf-8")
    return path


@pytest.fixture
def executed(chapter, monkeypatch):
    """A made-up chapter whose definition stands in this test instead of in the package."""
    definition = CHAPTER.partition('ids"]\n')[2].replace("Tensor", "object")
    monkeypatch.setattr(notebooks, "package_source", lambda name: definition)
    notebooks.execute(chapter)
    return chapter


def test_an_executed_chapter_passes(executed):
    assert notebooks.check(executed) == []


def test_executing_twice_gives_the_same_bytes(executed):
    before = executed.with_suffix(".ipynb").read_bytes()
    notebooks.execute(executed)
    assert executed.with_suffix(".ipynb").read_bytes() == before


def test_new_text_is_taken_over_without_running_anything(executed):
    executed.write_text(executed.read_text(encoding="utf-8").replace("# # A chapter", "# # Another"), encoding="utf-8")
    by_text = notebooks.take_over_text(executed).read_bytes()
    assert notebooks.check(executed) == []
    assert notebooks.execute(executed).read_bytes() == by_text


def test_a_new_comment_is_text_too(executed):
    executed.write_text(executed.read_text(encoding="utf-8").replace("print(1 + 1)", "print(1 + 1)  # two"))
    notebooks.take_over_text(executed)
    assert notebooks.check(executed) == []
    assert '"2\\n"' in executed.with_suffix(".ipynb").read_text(encoding="utf-8")


def test_text_alone_is_not_taken_over_where_the_code_is_another(executed):
    executed.write_text(executed.read_text(encoding="utf-8").replace("1 + 1", "1 + 2"), encoding="utf-8")
    with pytest.raises(ValueError, match="execute it again"):
        notebooks.take_over_text(executed)


def test_a_live_figure_that_no_one_runs_may_come_and_go_like_text(executed):
    without = executed.read_text(encoding="utf-8")
    for live in ("show('mask-lab')", "show('rotation')"):
        executed.write_text(f'{without}\n# %% tags=["skip-execution"]\n{live}\n', encoding="utf-8")
        notebooks.take_over_text(executed)
        assert notebooks.check(executed) == [] and live in executed.with_suffix(".ipynb").read_text(encoding="utf-8")
    executed.write_text(without, encoding="utf-8")
    notebooks.take_over_text(executed)
    assert notebooks.check(executed) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("print(1 + 1)", "print(1 + 2)", "not made from"),
        ("# # A chapter", "# # Another chapter", "not made from"),
        ("min=1", "min=2", "shows another vlm.attention_mask.make_position_ids"),
    ],
)
def test_a_source_that_changed_is_noticed(executed, old, new, complaint):
    executed.write_text(executed.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    assert complaint in "\n".join(notebooks.check(executed))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("import warnings; warnings.warn('careful')", "warns"),
        ("import sys; print('careful', file=sys.stderr)", "warns"),
        ("import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()", "without alt text"),
    ],
)
def test_an_ugly_output_is_noticed(executed, line, complaint):
    executed.write_text(executed.read_text(encoding="utf-8").replace("print(1 + 1)", line), encoding="utf-8")
    notebooks.execute(executed)
    assert complaint in "\n".join(notebooks.check(executed))


def test_a_cell_that_was_not_executed_is_noticed(executed):
    path = executed.with_suffix(".ipynb")
    path.write_text(path.read_text(encoding="utf-8").replace('"execution_count": 1', '"execution_count": null'))
    assert "not executed" in "\n".join(notebooks.check(executed))


def test_a_missing_notebook_is_noticed(chapter):
    assert "ch99_trial.ipynb is missing" in notebooks.check(chapter)


def test_refresh_writes_the_package_definition_into_the_cell(chapter):
    notebooks.refresh(chapter)
    text = chapter.read_text(encoding="utf-8")
    assert notebooks.package_source("vlm.attention_mask.make_position_ids") in text
    assert "print(1 + 1)" in text
    assert notebooks.check_definitions(notebooks.read_source(chapter), "chapter") == []


def test_a_cell_with_a_live_figure_is_neither_run_nor_kept(chapter, monkeypatch):
    definition = CHAPTER.partition('ids"]\n')[2].replace("Tensor", "object")
    monkeypatch.setattr(notebooks, "package_source", lambda name: definition)
    live = '\n# %% tags=["skip-execution"]\nraise RuntimeError("run")\n'
    chapter.write_text(chapter.read_text(encoding="utf-8") + live, encoding="utf-8")
    notebooks.execute(chapter)
    assert notebooks.check(chapter) == []
