"""Checks what can be checked of a project: `python -m grader.project FOLDER`.

Nothing of it is executed: examples are lines of JSON and pictures, weights are safetensors. The model is loaded, asked
the test examples before and after, and what comes out is compared with what the results say.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from toybox import CHECKPOINT_DIRECTORY
from toybox.prompts import caption
from toybox.scenes import draw_scene
from vlm.generate import generate
from vlm.loader import load_hf_model, load_model
from vlm.metrics.answers import is_exact_match
from vlm.metrics.confidence import bootstrap_interval, mean_difference
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor
from vlm.training.examples import picture_key, read_examples
from vlm.training.finetune import TrainingExample
from vlm.training.lora import load_lora

MIN_TEST_EXAMPLES, NUM_OLD_SCENES = 100, 100
CLOSE, CLOSE_OLD = 0.02, 0.05  # how far a reported share may be from the measured one
NUMBERS = ("before", "after", "old_before", "old_after")
HEADINGS = ("Task", "Data", "Training", "Results", "What was lost", "Failures")


@dataclass(frozen=True)
class Check:
    """One line of the table."""

    name: str
    points: int
    says: str  # "" if it is passed

    @property
    def earned(self) -> int:
        return 0 if self.says else self.points


@dataclass
class Project:
    """A student's folder, and what has been found out about it so far. Rows are 1 for a right answer, else 0."""

    folder: Path
    tests: list[TrainingExample] = field(default_factory=list)
    results: dict = field(default_factory=dict)
    before: np.ndarray | None = None
    after: np.ndarray | None = None
    old: np.ndarray | None = None


def check_project(folder: str | Path) -> list[Check]:
    """Every check in turn. One that needs what an earlier one did not find says so."""
    project = Project(Path(folder))
    return [Check(name, points, _outcome(check, project)) for name, points, check in CHECKS]


def _outcome(check: Callable[[Project], str], project: Project) -> str:
    try:
        return check(project)
    except Exception as error:  # the files can be anything, and the other checks do not depend on this one
        return str(error) or type(error).__name__


def check_data(project: Project) -> str:
    train, project.tests = (read_examples(project.folder / name) for name in ("train.jsonl", "test.jsonl"))
    if len(project.tests) < MIN_TEST_EXAMPLES:
        return f"{len(project.tests)} test examples: at least {MIN_TEST_EXAMPLES} are needed"
    seen = {picture_key(example.image) for example in train}
    both = sum(picture_key(example.image) in seen for example in project.tests)
    return f"{both} of the {len(project.tests)} test pictures are in the training too" if both else ""


def check_weights(project: Project) -> str:
    base, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
    processor = PaliGemmaProcessor.for_model(base, tokenizer)
    scenes = [draw_scene(seed, "validation") for seed in range(NUM_OLD_SCENES)]
    old = [TrainingExample(scene.image, caption(scene).prompt, caption(scene).suffix) for scene in scenes]
    tuned = load_tuned(project.folder)
    project.old = np.stack([measure(model, processor, old) for model in (base, tuned)], axis=1)
    if project.tests:
        project.before, project.after = (measure(model, processor, project.tests) for model in (base, tuned))
    return ""


def load_tuned(folder: Path) -> PaliGemmaForConditionalGeneration:
    """The model of `checkpoint/`, or the shipped one with the adapters of `adapter/`."""
    if (folder / "checkpoint").is_dir():
        return load_model(folder / "checkpoint")
    if not (folder / "adapter").is_dir():
        raise FileNotFoundError("there is neither a folder adapter/ (save_lora) nor checkpoint/ (save_hf_model)")
    model = load_model(CHECKPOINT_DIRECTORY)
    load_lora(model, folder / "adapter")
    return model.eval()


def measure(model, processor: PaliGemmaProcessor, examples: list[TrainingExample], batch_size: int = 50) -> np.ndarray:
    """1 for each example whose answer is right (`is_exact_match`), else 0; greedily."""
    rows = []
    for start in range(0, len(examples), batch_size):
        batch = examples[start : start + batch_size]
        answers = generate(model, processor, [e.prompt for e in batch], [e.image for e in batch], max_new_tokens=60)
        rows += [is_exact_match(answer, example.suffix) for answer, example in zip(answers, batch)]
    return np.array(rows, dtype=float)


def check_results(project: Project) -> str:
    project.results = json.loads((project.folder / "results.json").read_text(encoding="utf-8"))
    lacking = [name for name in NUMBERS if not isinstance(project.results.get(name), int | float)]
    if lacking:
        return f"results.json has no number for {', '.join(lacking)}"
    if project.before is None:
        return "not measured: see above"
    measured = {"before": project.before.mean(), "after": project.after.mean()}
    return "; ".join(_differences(project.results, measured, CLOSE))


def check_interval(project: Project) -> str:
    interval = project.results.get("interval")
    if not isinstance(interval, list) or len(interval) != 2:
        return "results.json has no interval [low, high]"
    if project.after is None:
        return "not measured: see above"
    low, high = bootstrap_interval(project.after, np.mean)
    if not (abs(interval[0] - low) <= CLOSE and abs(interval[1] - high) <= CLOSE):  # nan is close to nothing
        return f"the interval is {interval}: measured {low:.2f} to {high:.2f}, over {len(project.after)} test examples"
    return ""


def check_learned(project: Project) -> str:
    if project.before is None:
        return "not measured: see above"
    low, high = bootstrap_interval(np.stack([project.after, project.before], axis=1), mean_difference)
    return "" if low > 0 else f"after minus before lies between {low:+.2f} and {high:+.2f}: it may be chance"


def check_forgetting(project: Project) -> str:
    if project.old is None or not project.results:
        return "not measured: see above"
    measured = dict(zip(("old_before", "old_after"), project.old.mean(0)))
    return "; ".join(_differences(project.results, measured, CLOSE_OLD))


def check_report(project: Project) -> str:
    text = (project.folder / "report.md").read_text(encoding="utf-8")
    titles = {line.lstrip("#").strip().lower() for line in text.splitlines() if line.startswith("#")}
    lacking = [heading for heading in HEADINGS if heading.lower() not in titles]
    return f"report.md has no heading {', '.join(repr(heading) for heading in lacking)}" if lacking else ""


def _differences(results: dict, measured: dict[str, float], close: float) -> Iterator[str]:
    for name, value in measured.items():
        if not abs(results.get(name, np.inf) - value) <= close:  # nan is close to nothing
            yield f"{name} is said to be {results.get(name)}, measured {value:.3f}"


CHECKS = (
    ("data: enough, and apart from the training", 10, check_data),
    ("weights: they load", 5, check_weights),
    ("results: as measured here", 15, check_results),
    ("interval: as measured here", 10, check_interval),
    ("learned: more than chance", 10, check_learned),
    ("forgetting: said as it is", 5, check_forgetting),
    ("report: all its parts", 5, check_report),
)


def format_table(checks: list[Check]) -> str:
    lines = [f"{check.earned:3d}/{check.points:<3d} {check.name}: {check.says or 'yes'}" for check in checks]
    total, most = sum(check.earned for check in checks), sum(check.points for check in checks)
    return "\n".join([*lines, f"{total:3d} of {most} points that a program can give; 40 more are the reader's"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m grader.project", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    if not folder.is_dir():
        print(f"{folder} is not a folder", file=sys.stderr)
        return 2
    checks = check_project(folder)
    print(format_table(checks))
    return 0 if all(not check.says for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
