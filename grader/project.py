"""Checks those parts of a project that a program can check: `python -m grader.project FOLDER`.

No code of the project is executed: examples are lines of JSON and images, weights are safetensors. The model answers
the test examples before and after fine-tuning, and the measured numbers are compared with the reported ones.

The folder is not trusted. Only regular files inside it are opened, and only up to the size that the checks need.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from grader.judge import plain
from toybox import CHECKPOINT_DIRECTORY
from toybox.prompts import caption
from toybox.scenes import draw_scene
from vlm.commands.program import run_as_program
from vlm.config import PaliGemmaConfig
from vlm.generate import generate
from vlm.loader import load_hf_model, load_model
from vlm.metrics.answers import is_exact_match
from vlm.metrics.confidence import bootstrap_interval, mean_difference
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor
from vlm.training.examples import picture_key, read_examples
from vlm.training.finetune import TrainingExample
from vlm.training.lora import load_lora

MIN_TEST_EXAMPLES, MAX_TEST_EXAMPLES, NUM_OLD_SCENES = 100, 2000, 100
MAX_TEXT_BYTES, MAX_WEIGHT_BYTES, MAX_PIXELS = 20_000_000, 100_000_000, 500_000_000
CLOSE, CLOSE_OLD = 0.02, 0.05  # how far a reported fraction may be from the measured one
TOYBOX_CONFIG = CHECKPOINT_DIRECTORY / "config.json"
NUMBERS = ("before", "after", "old_before", "old_after")
HEADINGS = ("Task", "Data", "Training", "Results", "What was lost", "Failures")


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    name: str
    points: int
    says: str  # what is wrong; "" if the check is passed

    @property
    def earned(self) -> int:
        return 0 if self.says else self.points


@dataclass
class Project:
    """A student's folder, and the results of the checks so far. An array has 1 for each right answer, else 0."""

    folder: Path
    tests: list[TrainingExample] = field(default_factory=list)
    results: dict = field(default_factory=dict)
    before: np.ndarray | None = None
    after: np.ndarray | None = None
    old: np.ndarray | None = None


def check_project(folder: str | Path) -> list[Check]:
    """Run all checks in order. A check reports it if an earlier one could not read its input."""
    project = Project(Path(folder))
    return [Check(name, points, _outcome(check, project)) for name, points, check in CHECKS]


def _outcome(check: Callable[[Project], str], project: Project) -> str:
    try:
        return plain(check(project))
    except Exception as error:  # the files can contain anything, and the other checks do not depend on this one
        return plain(str(error) or type(error).__name__)


def own_file(folder: Path, name: str, max_bytes: int) -> Path:
    """The path of a file in the folder that is safe to read.

    Raises:
        FileNotFoundError: there is no such file, or it is a device, a pipe or a folder.
        ValueError: it is a link that leads out of the folder, or it is larger than `max_bytes`.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name} is a link that leads out of the folder: copy the file")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {name}")
    if path.stat().st_size > max_bytes:
        raise ValueError(f"{name} has {path.stat().st_size:,} bytes: expected at most {max_bytes:,}")
    return path


def read_own_text(folder: Path, name: str) -> str:
    return own_file(folder, name, MAX_TEXT_BYTES).read_text(encoding="utf-8")


def own_weights(folder: Path, name: str) -> Path:
    """The path of a subfolder with weights, all of whose files are safe to read."""
    files = [f"{name}/{path.name}" for path in (folder / name).iterdir() if not path.is_dir()]
    if sum(own_file(folder, file, MAX_WEIGHT_BYTES).stat().st_size for file in files) > MAX_WEIGHT_BYTES:
        raise ValueError(f"{name}/ is larger than {MAX_WEIGHT_BYTES:,} bytes: leave only the files of the last model")
    return folder / name


def check_data(project: Project) -> str:
    train, tests = (
        read_examples(own_file(project.folder, name, MAX_TEXT_BYTES), MAX_PIXELS)
        for name in ("train.jsonl", "test.jsonl")
    )
    if len(tests) > MAX_TEST_EXAMPLES:
        return f"{len(tests)} test examples: expected at most {MAX_TEST_EXAMPLES}"
    project.tests = tests
    if len(tests) < MIN_TEST_EXAMPLES:
        return f"{len(tests)} test examples: expected at least {MIN_TEST_EXAMPLES}"
    seen = {picture_key(example.image) for example in train}
    both = sum(picture_key(example.image) in seen for example in tests)
    return f"{both} of the {len(tests)} test images are in the training examples too" if both else ""


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
    """The model in `checkpoint/`, or the shipped one with the LoRA weights in `adapter/`."""
    if (folder / "checkpoint").is_dir():
        directory = own_weights(folder, "checkpoint")
        if PaliGemmaConfig.from_json(directory / "config.json") != PaliGemmaConfig.from_json(TOYBOX_CONFIG):
            raise ValueError("checkpoint/config.json differs from the Toybox's: a project fine-tunes the Toybox")
        return load_model(directory)
    if not (folder / "adapter").is_dir():
        raise FileNotFoundError("there is neither a folder adapter/ (save_lora) nor checkpoint/ (save_hf_model)")
    model = load_model(CHECKPOINT_DIRECTORY)
    load_lora(model, own_weights(folder, "adapter"))
    return model.eval()


def measure(model, processor: PaliGemmaProcessor, examples: list[TrainingExample], batch_size: int = 50) -> np.ndarray:
    """1 for each example with a right answer (`is_exact_match`), else 0, with greedy decoding."""
    rows = []
    for start in range(0, len(examples), batch_size):
        batch = examples[start : start + batch_size]
        answers = generate(model, processor, [e.prompt for e in batch], [e.image for e in batch], max_new_tokens=60)
        rows += [is_exact_match(answer, example.suffix) for answer, example in zip(answers, batch)]
    return np.array(rows, dtype=float)


def check_results(project: Project) -> str:
    results = json.loads(read_own_text(project.folder, "results.json"))
    if not isinstance(results, dict):
        return "results.json is not a JSON object with names and numbers"
    project.results = results
    missing = [name for name in NUMBERS if not isinstance(results.get(name), int | float)]
    if missing:
        return f"results.json has no number for {', '.join(missing)}"
    if project.before is None:
        return "not measured: see above"
    measured = {"before": project.before.mean(), "after": project.after.mean()}
    return "; ".join(_differences(project.results, measured, CLOSE))


def check_interval(project: Project) -> str:
    interval = project.results.get("interval")
    if (
        not isinstance(interval, list)
        or len(interval) != 2
        or not all(isinstance(end, int | float) for end in interval)
    ):
        return "results.json has no interval [low, high]"
    if project.after is None:
        return "not measured: see above"
    low, high = bootstrap_interval(project.after, np.mean)
    if not (abs(interval[0] - low) <= CLOSE and abs(interval[1] - high) <= CLOSE):  # NaN is not close to anything
        return f"the interval is {interval}: measured {low:.2f} to {high:.2f}, over {len(project.after)} test examples"
    return ""


def check_learned(project: Project) -> str:
    if project.before is None:
        return "not measured: see above"
    low, high = bootstrap_interval(np.stack([project.after, project.before], axis=1), mean_difference)
    return "" if low > 0 else f"after minus before is between {low:+.2f} and {high:+.2f}: it may be chance"


def check_forgetting(project: Project) -> str:
    if project.old is None or not project.results:
        return "not measured: see above"
    measured = dict(zip(("old_before", "old_after"), project.old.mean(0)))
    return "; ".join(_differences(project.results, measured, CLOSE_OLD))


def check_report(project: Project) -> str:
    lines = read_own_text(project.folder, "report.md").splitlines()
    titles = {line.lstrip("#").strip().lower() for line in lines if line.startswith("#")}
    missing = [heading for heading in HEADINGS if heading.lower() not in titles]
    return f"report.md has no heading {', '.join(map(repr, missing))}" if missing else ""


def _differences(results: dict, measured: dict[str, float], close: float) -> Iterator[str]:
    for name, value in measured.items():
        if not abs(results.get(name, np.inf) - value) <= close:  # NaN is not close to anything
            yield f"{name} is reported as {results.get(name)}, measured {value:.3f}"


CHECKS = (
    ("data: enough, and separate from training", 10, check_data),
    ("weights: they load", 5, check_weights),
    ("results: as measured here", 15, check_results),
    ("interval: as measured here", 10, check_interval),
    ("learned: more than chance", 10, check_learned),
    ("forgetting: as measured here", 5, check_forgetting),
    ("report: all its parts", 5, check_report),
)


def format_table(checks: list[Check]) -> str:
    """The report. Continuation lines of a message are indented, so that they cannot look like a line of the report."""
    lines = [f"{check.earned:3d}/{check.points:<3d} {check.name}: {check.says or 'yes'}" for check in checks]
    lines = [line.replace("\n", "\n        ") for line in lines]
    total, most = sum(check.earned for check in checks), sum(check.points for check in checks)
    return "\n".join([*lines, f"{total:3d} of {most} points that a program can give; the reader gives up to 40 more"])


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
    run_as_program("grader.project", main)
