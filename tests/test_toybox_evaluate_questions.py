"""The questions of the evaluation, and how they are put to a model."""

from collections import Counter

import pytest
import torch
from checkpoints import save_random_checkpoint
from transformers import AutoTokenizer
from truths import make_scene, true_answer

from toybox import CHECKPOINT_DIRECTORY, questions
from toybox.examples import example_image
from toybox.prompts import TASKS, caption, detect, refer
from toybox.questions import (
    MAX_NEW_TOKENS,
    MAX_NEW_TOKENS_OF_MASKS,
    STRANGERS,
    Answer,
    Question,
    answer_batch,
    ask,
    find_targets,
    make_questions,
)
from toybox.scenes import draw_scene
from toybox.sprites import LABELS
from toybox.strangers import HEARD, UNHEARD
from vlm.generate import generate
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor

NUM_SCENES = 60
SCENES = [draw_scene(seed, "test") for seed in range(NUM_SCENES)]
ASKED = make_questions(SCENES)


def test_each_scene_is_asked_what_it_allows():
    assert list(ASKED) == [*TASKS, STRANGERS]
    for task in ("caption", "count", "presence", "detect", "segment"):
        assert [question.scene for question in ASKED[task]] == SCENES
    assert all(0 < len(ASKED[task]) < NUM_SCENES for task in ("where", "left", "color", "refer", "ocr"))
    assert len(ASKED["left"]) < len(ASKED["where"])
    assert len(ASKED["ocr"]) == sum(scene.sign is not None for scene in SCENES)


def test_the_questions_are_the_same_each_time():
    again = make_questions([draw_scene(seed, "test") for seed in range(5)])
    first = make_questions(SCENES[:5])
    for task in first:
        assert [(q.prompt, q.answer) for q in first[task]] == [(q.prompt, q.answer) for q in again[task]]


def test_each_scene_is_asked_twice_about_one_stranger():
    pairs = list(zip(ASKED[STRANGERS][::2], ASKED[STRANGERS][1::2], strict=True))
    assert [first.scene for first, _ in pairs] == [second.scene for _, second in pairs] == SCENES
    for first, second in pairs:
        word = second.prompt.removeprefix("detect ")
        assert first.prompt in (f"answer en is there a {word}?", f"answer en is there an {word}?")
        assert (first.answer, second.answer) == ("no", "")
    words = Counter(second.prompt.removeprefix("detect ") for _, second in pairs)
    assert set(words) == set(UNHEARD) and not set(words) & set(HEARD)


def test_some_segmentations_are_asked_with_a_phrase_and_some_of_what_is_not_there():
    words = [question.prompt.removeprefix("segment ").split() for question in ASKED["segment"]]
    assert {len(some) for some in words} == {1, 2}
    targets = [len(find_targets(question)) for question in ASKED["segment"]]
    assert min(targets) == 0 and max(targets) > 1


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("detect car", [(0, "car"), (2, "car")]),
        ("detect dog ; car", [(1, "dog"), (0, "car"), (2, "car")]),
        ("segment car", [(0, "car"), (2, "car")]),
        ("detect right car", [(2, "right car")]),
        ("detect blue car", [(0, "blue car")]),
        ("segment smallest car", [(2, "smallest car")]),
        ("segment green car", []),
        ("detect zebra", []),
        ("detect zebra ; dog", [(1, "dog")]),
    ],
)
def test_the_targets_of_a_prompt(prompt, expected):
    scene = make_scene(("car", (0, 0, 50, 50), "blue"), ("dog", (0, 50, 50, 100)), ("car", (60, 60, 90, 90), "red"))
    assert find_targets(Question(scene, prompt)) == expected


@pytest.mark.parametrize("task", ["detect", "refer"])
def test_the_targets_are_those_of_the_true_answer(task):
    for question in ASKED[task]:
        labels = [label for _, label in find_targets(question)]
        assert question.answer.count("<loc") == 4 * len(labels)
        assert all(question.answer.count(f"> {label}") == labels.count(label) for label in labels)


class Echo:
    """A model for `ask` that repeats the question; it remembers the batches."""

    def __init__(self):
        self.batches, self.limits = [], set()

    def __call__(self, model, processor, prompts, images, max_new_tokens) -> list[Answer]:
        self.batches.append(list(prompts))
        self.limits.add(max_new_tokens)
        return [Answer(f"{p} {image.getpixel((0, 0))[0]}") for p, image in zip(prompts, images, strict=True)]


def test_questions_are_asked_in_batches_the_short_answers_first_and_answered_in_order(monkeypatch):
    echo, asked = Echo(), []
    monkeypatch.setattr(questions, "answer_batch", echo)
    for number, length in enumerate((3, 1, 9, 2, 0)):
        scene = make_scene(("cat", (0, 0, 56, 56)))
        scene.pixels[:] = number
        asked.append(Question(scene, f"question {number}", "x" * length))
    answers = ask(None, None, asked, batch_size=2, task="count")
    assert [answer.text for answer in answers] == [f"question {number} {number}" for number in range(5)]
    assert echo.batches == [["question 4", "question 1"], ["question 3", "question 0"], ["question 2"]]
    assert echo.limits == {MAX_NEW_TOKENS}
    assert ask(None, None, [], batch_size=2, task="count") == []


def test_segmentations_are_sorted_by_the_number_of_masks_and_may_be_longer(monkeypatch):
    echo = Echo()
    monkeypatch.setattr(questions, "answer_batch", echo)
    scene = make_scene(("cat", (0, 0, 20, 20)), ("cat", (30, 0, 50, 20)), ("dog", (60, 0, 80, 20)))
    asked = [Question(scene, f"segment {word}") for word in ("cat", "bird", "dog")]
    assert [answer.text for answer in ask(None, None, asked, 1, "segment")] == [f"{q.prompt} 0" for q in asked]
    assert echo.batches == [["segment bird"], ["segment dog"], ["segment cat"]]
    assert echo.limits == {MAX_NEW_TOKENS_OF_MASKS}


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    model, tokenizer = load_hf_model(save_random_checkpoint(tmp_path_factory.mktemp("checkpoint")))
    return model, PaliGemmaProcessor.for_model(model, tokenizer)


def test_the_answers_of_a_batch_are_those_of_generate(untrained):
    prompts, images = ["caption en", "detect cat ; dog"], [example_image(0), example_image(1)]
    texts = [answer.text for answer in answer_batch(*untrained, prompts, images, 8)]
    assert texts == generate(*untrained, prompts, images, 8)


def test_an_answer_is_degenerate_if_its_tokens_are(untrained, monkeypatch):
    tokenizer = untrained[1].tokenizer
    columns = [tokenizer.encode(text) for text in ("catcatcat", "dogcatdog", "catdogcat")]
    rows = [[*ids, tokenizer.eos_token_id, tokenizer.pad_token_id][:5] for ids in columns]
    rows[2] = [*columns[2], *columns[2][:2]]  # without an end
    steps = [torch.tensor(step) for step in zip(*rows, strict=True)]
    monkeypatch.setattr(questions, "generate_tokens", lambda model, inputs, limit: iter(steps))
    answers = answer_batch(*untrained, ["caption en"] * 3, [example_image(0)] * 3, 5)
    assert answers == [Answer("catcatcat", True), Answer("dogcatdog", False), Answer("catdogcatcatdog", True)]


def test_an_answer_that_does_not_fit_into_the_model_is_refused(untrained):
    with pytest.raises(ValueError, match="expected at most 512 together"):
        answer_batch(*untrained, ["caption en"], [example_image(0)], 500)


def test_the_longest_answers_fit_into_the_tokens_allowed():
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT_DIRECTORY)

    def count_tokens(text: str) -> int:
        return len(tokenizer.encode(text)) + 1  # <eos>

    places = [(10 * row, 10 * column, 10 * row + 9, 10 * column + 9) for row in range(4) for column in range(2)]
    eight, six = (make_scene(*[("car", box, "blue") for box in places[:number]]) for number in (8, 6))
    assert 50 < count_tokens(detect(eight, ["car"]).suffix) <= MAX_NEW_TOKENS
    assert 40 < count_tokens(refer(six, "blue", "car").suffix) <= MAX_NEW_TOKENS
    assert 135 < count_tokens(true_answer(Question(six, "segment blue car"))) <= MAX_NEW_TOKENS_OF_MASKS
    kinds = make_scene(*[(label, box) for label, box in zip(LABELS[-8:], places)], background="sky")
    assert 20 < count_tokens(caption(kinds).suffix) <= MAX_NEW_TOKENS
