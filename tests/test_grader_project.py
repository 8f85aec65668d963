"""A project that is in order passes every check; one that is not fails the check that it should."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from grader import project
from grader.project import check_project, format_table, load_tuned, measure
from toybox import CHECKPOINT_DIRECTORY
from toybox.prompts import caption
from toybox.scenes import draw_scene
from vlm.loader import load_hf_model, save_hf_model
from vlm.metrics.confidence import bootstrap_interval
from vlm.processor import PaliGemmaProcessor
from vlm.training.examples import read_examples, write_examples
from vlm.training.finetune import TrainingExample, fine_tune
from vlm.training.lora import LoraConfig, add_lora, merge_lora, save_lora

QUESTION, NUM_TESTS = "answer en is it a toy?", 12


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project that taught the model to say yes."""
    folder = tmp_path_factory.mktemp("project")
    train = [TrainingExample(draw_scene(seed, "train").image, QUESTION, "yes") for seed in range(16)]
    tests = [TrainingExample(draw_scene(seed, "test").image, QUESTION, "yes") for seed in range(NUM_TESTS)]
    write_examples(folder / "train.jsonl", train)
    write_examples(folder / "test.jsonl", tests)
    base, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
    processor = PaliGemmaProcessor.for_model(base, tokenizer)
    model, _ = load_hf_model(CHECKPOINT_DIRECTORY)
    torch.manual_seed(0)
    add_lora(model, LoraConfig(rank=2))
    fine_tune(model, processor, train, num_steps=12, batch_size=8, learning_rate=5e-3)
    save_lora(model, folder / "adapter")
    before, after = (measure(one, processor, tests) for one in (base, load_tuned(folder)))
    scenes = [draw_scene(seed, "validation") for seed in range(6)]
    old = [TrainingExample(scene.image, "caption en", caption(scene).suffix) for scene in scenes]
    results = {
        "before": before.mean(),
        "after": after.mean(),
        "interval": list(bootstrap_interval(after, np.mean)),
        "old_before": measure(base, processor, old).mean(),
        "old_after": measure(load_tuned(folder), processor, old).mean(),
    }
    assert results["after"] > results["before"]
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "report.md").write_text("\n".join(f"# {heading}\n\nText." for heading in project.HEADINGS))
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    monkeypatch.setattr(project, "MIN_TEST_EXAMPLES", NUM_TESTS)
    monkeypatch.setattr(project, "NUM_OLD_SCENES", 6)
    return shutil.copytree(made, tmp_path / "mine")


def failed(folder) -> dict[str, str]:
    return {check.name.partition(":")[0]: check.says for check in check_project(folder) if check.says}


def change_results(folder, **values):
    path = folder / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_project_in_order_passes_every_check(folder):
    checks = check_project(folder)
    assert [check.says for check in checks] == [""] * len(project.CHECKS)
    assert sum(check.points for check in checks) == 60
    assert "60 of 60 points" in format_table(checks)


def test_a_test_picture_that_was_trained_on_is_found(folder):
    write_examples(
        folder / "test.jsonl", [*read_examples(folder / "test.jsonl"), *read_examples(folder / "train.jsonl")[:1]]
    )
    assert "1 of the 13 test images" in failed(folder)["data"]


def test_too_few_tests_are_refused(folder):
    write_examples(folder / "test.jsonl", read_examples(folder / "test.jsonl")[:-1])
    assert "at least 12" in failed(folder)["data"]


def test_a_number_that_is_too_good_is_found(folder):
    change_results(folder, before=0.5, old_after=0.2)
    assert set(failed(folder)) == {"results", "forgetting"}


def test_an_interval_of_something_else_is_found(folder):
    change_results(folder, interval=[0.1, 0.2])
    assert "measured" in failed(folder)["interval"]


def test_a_model_that_learned_nothing_is_no_success(folder):
    base, _ = load_hf_model(CHECKPOINT_DIRECTORY)
    add_lora(base, LoraConfig(rank=2))
    shutil.rmtree(folder / "adapter")
    save_lora(base, folder / "adapter")
    assert "it may be chance" in failed(folder)["learned"]


def test_what_is_missing_is_said_and_the_rest_is_checked(folder):
    shutil.rmtree(folder / "adapter")
    (folder / "report.md").write_text("# Task")
    says = failed(folder)
    assert "neither a folder adapter/" in says["weights"]
    assert "'Data'" in says["report"]
    assert says["learned"] == "not measured: see above"
    assert "data" not in says


def test_weights_are_never_unpickled(folder, capsys):
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"cbuiltins\nprint\n(S'I ran'\ntR.")
    assert "safetensors" in failed(folder)["weights"]
    assert "I ran" not in "".join(capsys.readouterr())


def test_an_empty_folder_earns_nothing(tmp_path):
    assert sum(check.earned for check in check_project(tmp_path)) == 0


FILES = ("train.jsonl", "test.jsonl", "results.json", "report.md", "adapter/adapter_model.safetensors")


def replace_files(folder: Path, make):
    for name in FILES:
        (folder / name).unlink()
        make(folder / name)


@pytest.mark.abuse
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.symlink_to("/dev/zero"), "is a link that leads out of the folder"),
        (lambda path: path.symlink_to("/proc/self/environ"), "is a link that leads out of the folder"),
        (lambda path: path.symlink_to(path), "(?i)loop"),
        (os.mkfifo, "there is no file"),
        (lambda path: (path.touch(), os.truncate(path, 10**10)), "has 10,000,000,000 bytes: expected at most"),
    ],
    ids=["device", "process", "loop", "pipe", "huge"],
)
def test_what_cannot_be_read_to_its_end_is_named_and_not_opened(folder, make, reason):
    replace_files(folder, make)
    says = failed(folder)
    for name in ("data", "weights", "results", "report"):
        assert re.search(reason, says[name])
    assert says["learned"] == says["forgetting"] == "not measured: see above"


@pytest.mark.abuse
def test_a_report_cannot_be_forged_by_what_a_file_says(folder):
    escapes = "\x1b[2K\x1b[1A\r"
    change_results(folder, before=None, interval=[escapes, 1])
    line = {"image": f"{escapes}\n 60/60  results: yes", "prompt": "caption en", "suffix": "a"}
    (folder / "train.jsonl").write_text(json.dumps(line))
    config = folder / "adapter" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {escapes: "\ud800" * 99}))
    table = format_table(check_project(folder))
    assert all(character.isprintable() or character == "\n" for character in table)
    assert len(table.splitlines()) == len(project.CHECKS) + 1


@pytest.mark.abuse
def test_an_error_cannot_write_lines_of_the_report(tmp_path, monkeypatch):
    def check(project):
        raise ValueError("unexpected tensors:\n 60/60 results: yes\x1b[2K\r")

    monkeypatch.setattr(project, "CHECKS", (("weights: they load", 5, check),))
    table = format_table(check_project(tmp_path))
    assert table.splitlines()[1].startswith(9 * " " + "60/60 results: yes")
    assert all(character.isprintable() or character == "\n" for character in table)


@pytest.mark.abuse
def test_results_of_another_kind_are_named(folder):
    (folder / "results.json").write_text("[1, 2]")
    assert failed(folder)["results"] == "results.json is not a JSON object with names and numbers"
    (folder / "results.json").write_text("[" * 100_000)
    assert "results" in failed(folder)


def test_a_whole_checkpoint_is_measured_if_it_is_a_toybox(folder):
    model = load_tuned(folder)
    merge_lora(model)
    save_hf_model(model, folder / "checkpoint")
    assert "weights" not in failed(folder)
    config = folder / "checkpoint" / "config.json"
    values = json.loads(config.read_text())
    values["text_config"]["max_position_embeddings"] = 10**6  # which would allow for prompts that fill the memory
    config.write_text(json.dumps(values))
    assert "checkpoint/config.json differs from the Toybox's" in failed(folder)["weights"]


@pytest.mark.abuse
def test_more_tests_than_can_be_measured_are_refused(folder, monkeypatch):
    monkeypatch.setattr(project, "MAX_TEST_EXAMPLES", NUM_TESTS - 1)
    says = failed(folder)
    assert says["data"] == "12 test examples: expected at most 11"
    assert says["results"] == "not measured: see above"
