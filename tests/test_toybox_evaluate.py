"""The evaluator: the truth scores 1, and everything else less."""

import json

import numpy as np
import pytest
from checkpoints import save_random_checkpoint

from toybox import MASK_VQVAE_FILE
from toybox import evaluate as evaluation
from toybox.evaluate import (
    Question,
    ask,
    evaluate,
    format_table,
    main,
    score_detections,
    score_exact_match,
    score_masks,
)
from toybox.prompts import TASKS, segment
from toybox.scenes import IMAGE_SIZE, Scene, SceneObject, draw_scene
from vlm.regions.mask_vqvae import load_mask_decoder, load_mask_encoder
from vlm.regions.segmentation import encode_masks

NUM_SCENES = 30
EXACT_TASKS = [task for task in TASKS if task not in ("detect", "segment")]
MASK_ENCODER, MASK_DECODER = load_mask_encoder(MASK_VQVAE_FILE), load_mask_decoder(MASK_VQVAE_FILE)


def make_scene(*objects: tuple[str, tuple[int, int, int, int]]) -> Scene:
    pixels = np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    owner = np.full((IMAGE_SIZE, IMAGE_SIZE), -1, np.int8)
    return Scene(pixels, tuple(SceneObject(label, box) for label, box in objects), owner, "grass")


def true_segmentation(scene: Scene, label: str) -> str:
    masks, boxes = [scene.mask(i) for i in range(len(scene.objects))], [thing.box for thing in scene.objects]
    codes = encode_masks(masks, boxes, MASK_ENCODER, MASK_DECODER)
    return segment(scene, label, dict(enumerate(codes))).suffix


def oracle(model, processor, asked, batch_size, task) -> list[str]:
    if task == "segment":
        return [true_segmentation(question.scene, question.prompt.removeprefix("segment ")) for question in asked]
    return [question.answer for question in asked]


def report_of(monkeypatch, answerer, num_scenes: int = NUM_SCENES, split: str = "test") -> dict:
    monkeypatch.setattr(evaluation, "ask", answerer)
    return evaluate(None, None, MASK_DECODER, num_scenes, split)


def test_the_truth_scores_one_everywhere(monkeypatch):
    report = report_of(monkeypatch, oracle)
    assert list(report) == list(TASKS)
    for task in EXACT_TASKS:
        assert report[task]["exact_match"] == 1.0
    assert (report["detect"]["precision"], report["detect"]["recall"]) == (1.0, 1.0)
    assert 0.99 < report["detect"]["mean_box_iou"] <= 1.0  # boxes are rounded to a 1023rd of the picture
    assert 0.95 < report["segment"]["mean_mask_iou"] <= 1.0  # masks are squeezed into 16 codes


def test_silence_scores_nothing_where_something_was_to_be_said(monkeypatch):
    report = report_of(monkeypatch, lambda model, processor, asked, *_: [""] * len(asked))
    assert [report[task]["exact_match"] for task in EXACT_TASKS] == [0.0] * 5
    assert (report["detect"]["precision"], report["detect"]["recall"], report["detect"]["mean_box_iou"]) == (1, 0, 0)
    assert report["segment"]["mean_mask_iou"] == 0


def test_one_wrong_answer_of_many_lowers_the_score_by_its_share(monkeypatch):
    def nearly(model, processor, asked, batch_size, task):
        return ["wrong", *oracle(model, processor, asked, batch_size, task)[1:]]

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
    assert report["segment"]["mean_mask_iou"] < 0.2


def test_each_scene_is_asked_what_it_allows(monkeypatch):
    report = report_of(monkeypatch, oracle)
    for task in ("caption", "count", "presence", "detect", "segment"):
        assert report[task]["questions"] == NUM_SCENES
    assert 0 < report["left"]["questions"] < report["where"]["questions"] < NUM_SCENES


def test_the_questions_are_the_same_each_time_and_about_the_split_asked_for(monkeypatch):
    asked_in_run = []

    def remember(model, processor, asked, batch_size, task):
        asked_in_run[-1] += [(question.scene.pixels.tobytes(), question.prompt, question.answer) for question in asked]
        return oracle(model, processor, asked, batch_size, task)

    for split in ("test", "test", "validation"):
        asked_in_run.append([])
        report_of(monkeypatch, remember, num_scenes=5, split=split)
    assert asked_in_run[0] == asked_in_run[1]
    pictures = [{picture for picture, *_ in asked} for asked in asked_in_run]
    assert pictures[0] == {draw_scene(seed, "test").pixels.tobytes() for seed in range(5)}
    assert pictures[2] == {draw_scene(seed, "validation").pixels.tobytes() for seed in range(5)}


def test_a_task_that_no_scene_allows_is_reported_as_not_asked(monkeypatch):
    report = report_of(monkeypatch, oracle, num_scenes=1)  # the first scene has nothing to ask "where" of
    assert report["where"]["questions"] == 0
    assert report["caption"]["exact_match"] == 1.0


def test_an_exact_match_is_exact():
    asked = [Question(None, "how many?", answer) for answer in ("2", "1", "yes", "top left")]
    assert score_exact_match(asked, ["2", "1 ", "Yes", "left"]) == {"exact_match": 0.25}


def test_scores_are_rounded_to_four_places():
    asked = [Question(None, "how many?", "1")] * 3
    assert score_exact_match(asked, ["1", "1", "2"]) == {"exact_match": 0.6667}


def test_a_missing_answer_is_an_error_not_a_lower_score():
    with pytest.raises(ValueError):
        score_exact_match([Question(None, "how many?", "1")] * 2, ["1"])


def test_detections_by_hand():
    """Boxes of 56 pixels, half of the picture: <loc0000> to <loc0512> is 0 to 56.05."""
    scene = make_scene(("cat", (0, 0, 56, 56)), ("cat", (56, 56, 112, 112)), ("dog", (0, 56, 56, 112)))
    asked = [Question(scene, "detect cat")] * 2
    answers = [
        "<loc0000><loc0000><loc0512><loc0512> cat ; <loc0000><loc0512><loc0512><loc1023> dog",  # the dog: not asked
        "<loc0000><loc0000><loc0256><loc0512> cat ; <loc0000><loc0512><loc0512><loc1023> cat",  # half a cat, a miss
    ]
    scores = score_detections(asked, answers)
    assert scores["precision"] == 0.5  # two of four boxes
    assert scores["recall"] == 0.5  # two of four cats
    assert scores["mean_box_iou"] == pytest.approx((0.998 + 0.5005) / 2, abs=2e-3)


def test_of_several_labels_each_is_looked_for():
    scene = make_scene(("cat", (0, 0, 56, 56)), ("dog", (0, 56, 56, 112)), ("bird", (56, 0, 112, 56)))
    asked = [Question(scene, "detect dog ; fish ; cat")]
    scores = score_detections(asked, ["<loc0000><loc0000><loc0512><loc0512> cat"])
    assert (scores["precision"], scores["recall"]) == (1.0, 0.5)


def test_a_kind_that_is_not_there_is_rightly_answered_with_nothing():
    asked = [Question(make_scene(("cat", (0, 0, 56, 56))), "detect dog")]
    assert score_detections(asked, [""]) == {"precision": 1.0, "recall": 1.0, "mean_box_iou": 0.0}
    assert score_detections(asked, ["<loc0000><loc0000><loc0512><loc0512> dog"])["precision"] == 0.0


@pytest.mark.parametrize(
    "answer", ["", "no idea", "<loc0000><loc0000> cat", "<loc0512><loc0512><loc0000><loc0000> cat"]
)
def test_an_answer_without_a_whole_box_finds_nothing(answer):
    asked = [Question(make_scene(("cat", (0, 0, 56, 56))), "detect cat")]
    assert score_detections(asked, [answer]) == {"precision": 1.0, "recall": 0.0, "mean_box_iou": 0.0}


def test_masks_by_hand():
    scene = draw_scene(37, "test")  # two dogs and a car
    car, dogs = true_segmentation(scene, "car"), true_segmentation(scene, "dog")
    first_dog = dogs.split(" ; ")[0]
    whole = score_masks([Question(scene, "segment dog")], [dogs], MASK_DECODER)["mean_mask_iou"]
    half = score_masks([Question(scene, "segment dog")], [first_dog], MASK_DECODER)["mean_mask_iou"]
    assert whole > 0.95 and half == pytest.approx(whole / 2, abs=0.02)
    too_many = score_masks([Question(scene, "segment dog")], [f"{dogs} ; {first_dog}"], MASK_DECODER)["mean_mask_iou"]
    assert too_many == pytest.approx(whole * 2 / 3, abs=0.01)
    assert score_masks([Question(scene, "segment dog")], [car], MASK_DECODER)["mean_mask_iou"] == 0
    boxes_alone = dogs.replace("<seg", "<gone")
    assert score_masks([Question(scene, "segment dog")], [boxes_alone], MASK_DECODER)["mean_mask_iou"] == 0
    mislabelled = dogs.replace(" dog", " car")
    assert score_masks([Question(scene, "segment dog")], [mislabelled], MASK_DECODER)["mean_mask_iou"] == 0


def test_no_mask_asked_and_none_drawn_counts_nothing():
    scene = draw_scene(37, "test")
    both = [Question(scene, "segment frog"), Question(scene, "segment dog")]
    right = score_masks(both, ["", true_segmentation(scene, "dog")], MASK_DECODER)["mean_mask_iou"]
    assert right > 0.95
    wrong = score_masks(both, [true_segmentation(scene, "car"), true_segmentation(scene, "dog")], MASK_DECODER)
    assert wrong["mean_mask_iou"] == pytest.approx(right * 2 / 3, abs=0.01)


def test_questions_are_asked_in_batches_and_answered_in_order(monkeypatch):
    batches = []

    def generate(model, processor, prompts, images, max_new_tokens):
        batches.append(len(prompts))
        return [f"{prompt} {image.getpixel((0, 0))[0]}" for prompt, image in zip(prompts, images, strict=True)]

    monkeypatch.setattr(evaluation, "generate", generate)
    asked = []
    for number in range(5):
        scene = make_scene(("cat", (0, 0, 56, 56)))
        scene.pixels[:] = number
        asked.append(Question(scene, f"question {number}"))
    answers = ask(None, None, asked, batch_size=2, task="count")
    assert answers == [f"question {number} {number}" for number in range(5)]
    assert batches == [2, 2, 1]
    assert ask(None, None, [], batch_size=2, task="count") == []


def test_the_table_has_a_row_for_each_measure():
    tasks = {
        "where": {"questions": 0, "exact_match": None},
        "detect": {"questions": 1000, "precision": 0.95, "recall": 0.96049, "mean_box_iou": 0.8},
    }
    assert evaluation.format_table(tasks).splitlines()[2:] == [
        "| where | 0 | exact match |  |",
        "| detect | 1,000 | precision at IoU 0.5 | 0.950 |",
        "| detect | 1,000 | recall at IoU 0.5 | 0.960 |",
        "| detect | 1,000 | mean IoU of the boxes that matched | 0.800 |",
    ]


def test_the_longest_answer_fits_into_the_tokens_allowed():
    longest = 4 * 21 + 3 + 1  # four boxes of four locations, 16 codes and a label, three semicolons, <eos>
    assert longest <= evaluation.MAX_NEW_TOKENS


def test_the_program_prints_a_table_and_writes_the_figures(tmp_path, capsys):
    checkpoint, output = save_random_checkpoint(tmp_path), tmp_path / "report.json"
    words = ["--model", str(checkpoint), "--scenes", "3", "--split", "validation", "--device", "cpu"]
    assert main([*words, "--output", str(output)]) == 0
    report = json.loads(output.read_text(encoding="utf-8"))
    printed = capsys.readouterr().out
    assert printed.startswith("3 scenes of the validation split")
    assert printed.endswith(f"{format_table(report['tasks'])}\n")
    assert (report["split"], report["scenes"], report["tasks"]["count"]["questions"]) == ("validation", 3, 3)


def test_an_evaluation_of_nothing_and_an_output_that_cannot_be_are_refused_in_one_line(tmp_path, capsys):
    assert main(["--scenes", "0"]) == 1
    assert capsys.readouterr().err == "toybox.evaluate: --scenes is 0: expected at least 1\n"
    output = tmp_path / "nowhere" / "report.json"
    assert main(["--output", str(output)]) == 1
    assert capsys.readouterr().err.startswith(f"toybox.evaluate: {output} cannot be written: ")
