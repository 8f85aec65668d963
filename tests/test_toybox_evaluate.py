"""The evaluator: the truth scores 1, and everything else less."""

import json

import pytest
from checkpoints import save_random_checkpoint
from truths import MASK_DECODER, true_answer

from toybox import evaluate as evaluation
from toybox.evaluate import ALL_ANSWERS, BARS, MEASURES, evaluate, format_table, main
from toybox.prompts import TASKS
from toybox.questions import STRANGERS, Answer
from toybox.scenes import draw_scene

NUM_SCENES = 30
EXACT_TASKS = [task for task in TASKS if task not in ("detect", "refer", "segment")]


def oracle(model, processor, asked, batch_size, task) -> list[Answer]:
    return [Answer(true_answer(question)) for question in asked]


def silent(model, processor, asked, batch_size, task) -> list[Answer]:
    return [Answer("")] * len(asked)


def report_of(monkeypatch, answerer, num_scenes: int = NUM_SCENES, split: str = "test") -> dict:
    monkeypatch.setattr(evaluation, "ask", answerer)
    return evaluate(None, None, MASK_DECODER, num_scenes, split)


def test_the_truth_scores_one_everywhere(monkeypatch):
    report = report_of(monkeypatch, oracle)
    assert list(report) == [*TASKS, STRANGERS, ALL_ANSWERS]
    for task in EXACT_TASKS:
        assert report[task]["exact_match"] == 1.0
    assert (report["detect"]["precision"], report["detect"]["recall"]) == (1.0, 1.0)
    assert 0.99 < report["detect"]["mean_box_iou"] <= 1.0  # boxes are rounded to a 1023rd of the picture
    assert report["refer"]["right"] == 1.0
    assert 0.94 < report["segment"]["mean_mask_iou"] <= 1.0  # squeezed into 16 codes; of 1,000 scenes 0.956
    assert (report[STRANGERS]["says_no"], report[STRANGERS]["draws_nothing"]) == (1.0, 1.0)
    assert report[ALL_ANSWERS]["degenerate"] == 0


def test_the_truth_holds_all_bars_and_each_bar_is_one_of_a_measure(monkeypatch):
    report = report_of(monkeypatch, oracle)
    assert "missed" not in format_table(report, BARS)
    assert all(set(bars) <= set(report[task]) for task, bars in BARS.items())
    assert set(BARS) == set(report)


def test_silence_scores_nothing_where_something_was_to_be_said(monkeypatch):
    report = report_of(monkeypatch, silent)
    assert all(report[task]["exact_match"] == 0.0 for task in EXACT_TASKS)
    assert (report["detect"]["precision"], report["detect"]["recall"], report["detect"]["mean_box_iou"]) == (1, 0, 0)
    assert report["refer"]["right"] < 0.5  # of some phrases there is nothing
    assert report["segment"]["mean_mask_iou"] == 0
    assert (report[STRANGERS]["says_no"], report[STRANGERS]["draws_nothing"]) == (0.0, 1.0)


def test_one_wrong_answer_of_many_lowers_the_score_by_its_share(monkeypatch):
    def nearly(model, processor, asked, batch_size, task):
        return [Answer("wrong"), *oracle(model, processor, asked, batch_size, task)[1:]]

    report = report_of(monkeypatch, nearly)
    for task in EXACT_TASKS:
        questions = report[task]["questions"]
        assert report[task]["exact_match"] == round((questions - 1) / questions, 4)


def test_answers_about_another_scene_score_less(monkeypatch):
    def shuffled(model, processor, asked, batch_size, task):
        answers = oracle(model, processor, asked, batch_size, task)
        return answers[1:] + answers[:1]

    report = report_of(monkeypatch, shuffled)
    assert all(report[task]["exact_match"] < 0.9 for task in EXACT_TASKS)
    assert report["detect"]["precision"] < 0.3 and report["detect"]["recall"] < 0.3
    assert report["refer"]["right"] < 0.5
    assert report["segment"]["mean_mask_iou"] < 0.2


def test_degenerate_answers_are_counted_over_all_tasks(monkeypatch):
    def hoarse(model, processor, asked, batch_size, task):
        return [Answer("no no no", is_degenerate=True), *silent(model, processor, asked[1:], batch_size, task)]

    report = report_of(monkeypatch, hoarse)
    assert report[ALL_ANSWERS]["degenerate"] == len(TASKS) + 1
    asked = sum(measures["questions"] for task, measures in report.items() if task != ALL_ANSWERS)
    assert report[ALL_ANSWERS]["questions"] == asked


def test_the_scenes_are_those_of_the_split_asked_for(monkeypatch):
    pictures = set()

    def remember(model, processor, asked, batch_size, task):
        pictures.update(question.scene.pixels.tobytes() for question in asked)
        return silent(model, processor, asked, batch_size, task)

    report_of(monkeypatch, remember, num_scenes=5, split="validation")
    assert pictures == {draw_scene(seed, "validation").pixels.tobytes() for seed in range(5)}


def test_a_task_that_no_scene_allows_is_reported_as_not_asked(monkeypatch):
    number = next(seed for seed in range(50) if draw_scene(seed, "test").sign is not None)
    report = report_of(monkeypatch, oracle, num_scenes=number)
    assert report["ocr"] == {"questions": 0, "exact_match": None}
    assert report["caption"]["exact_match"] == 1.0


TASKS_BY_HAND = {
    "where": {"questions": 0, "exact_match": None},
    "detect": {"questions": 1000, "precision": 0.95, "recall": 0.94949, "mean_box_iou": 0.8},
    "caption": {"questions": 1000, "exact_match": 0.5},
    ALL_ANSWERS: {"questions": 2001, "degenerate": 1200},
}


def test_the_table_has_a_row_for_each_measure():
    assert format_table(TASKS_BY_HAND).splitlines() == [
        "| task | questions | measure | value |",
        "| --- | ---: | --- | ---: |",
        "| where | 0 | exact match |  |",
        "| detect | 1,000 | precision at IoU 0.5 | 0.950 |",
        "| detect | 1,000 | recall at IoU 0.5 | 0.949 |",
        "| detect | 1,000 | mean IoU of the boxes that matched | 0.800 |",
        "| caption | 1,000 | exact match | 0.500 |",
        "| all answers | 2,001 | repeat themselves or never end | 1,200 |",
    ]


def test_with_bars_the_table_says_which_are_missed():
    bars = {
        "where": {"exact_match": 0.9},
        "detect": {"precision": 0.95, "recall": 0.9495},
        ALL_ANSWERS: {"degenerate": 1199},
    }
    assert format_table(TASKS_BY_HAND, bars).splitlines() == [
        "| task | questions | measure | value | bar |",
        "| --- | ---: | --- | ---: | ---: |",
        "| where | 0 | exact match |  |  |",
        "| detect | 1,000 | precision at IoU 0.5 | 0.950 | 0.950 |",
        "| detect | 1,000 | recall at IoU 0.5 | 0.949 | 0.950 missed |",
        "| detect | 1,000 | mean IoU of the boxes that matched | 0.800 |  |",
        "| caption | 1,000 | exact match | 0.500 |  |",
        "| all answers | 2,001 | repeat themselves or never end | 1,200 | 1,199 missed |",
    ]
    assert "missed" not in format_table({ALL_ANSWERS: {"questions": 5, "degenerate": 0}}, BARS)


def test_each_measure_has_a_name(monkeypatch):
    report = report_of(monkeypatch, silent, num_scenes=5)
    assert {name for measures in report.values() for name in measures} == {"questions", *MEASURES}


def test_the_program_prints_a_table_and_writes_the_figures(tmp_path, capsys):
    checkpoint, output = save_random_checkpoint(tmp_path), tmp_path / "report.json"
    words = ["--model", str(checkpoint), "--scenes", "3", "--split", "validation", "--device", "cpu"]
    assert main([*words, "--output", str(output)]) == 0
    report = json.loads(output.read_text(encoding="utf-8"))
    printed = capsys.readouterr().out
    assert printed.startswith("3 scenes of the validation split")
    assert printed.endswith(f"{format_table(report['tasks'])}\n")
    assert (report["split"], report["scenes"], report["tasks"]["count"]["questions"]) == ("validation", 3, 3)
    assert main([*words, "--bars"]) == 0
    assert capsys.readouterr().out.endswith(f"{format_table(report['tasks'], BARS)}\n")


def test_the_scenes_that_the_options_ask_for_are_evaluated(tmp_path, monkeypatch):
    calls = []

    def remember(model, processor, mask_decoder, num_scenes, split):
        calls.append((num_scenes, split))
        return {}

    monkeypatch.setattr(evaluation, "evaluate", remember)
    checkpoint = str(save_random_checkpoint(tmp_path))
    assert main(["--model", checkpoint, "--device", "cpu", "--scenes", "7", "--split", "hard"]) == 0
    assert main(["--model", checkpoint, "--device", "cpu"]) == 0
    assert calls == [(7, "hard"), (1000, "test")]


def test_an_evaluation_of_nothing_and_an_output_that_cannot_be_are_refused_in_one_line(tmp_path, capsys):
    assert main(["--scenes", "0"]) == 1
    assert capsys.readouterr().err == "toybox.evaluate: --scenes is 0: expected at least 1\n"
    output = tmp_path / "nowhere" / "report.json"
    assert main(["--output", str(output)]) == 1
    assert capsys.readouterr().err.startswith(f"toybox.evaluate: {output} cannot be written: ")


@pytest.mark.parametrize("task", [*TASKS, STRANGERS])
def test_each_task_has_a_bar(task):
    assert BARS[task]
