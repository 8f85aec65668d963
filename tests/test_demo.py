"""The demo: it asks its questions, prints the answers, and draws one sheet of pictures."""

import re
from functools import partial

import pytest
from checkpoints import save_random_checkpoint
from PIL import Image

from toybox import demo
from toybox.examples import example_image, example_scene
from toybox.prompts import caption, color, count, detect, ocr, presence, refer, segment
from vlm.generate import generate, stream
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor
from vlm.regions.boxes import parse_detections

PROMPTS = [prompt for prompts in demo.PROMPTS.values() for prompt in prompts]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run with a random model: where the checkpoint is, what was drawn, what was printed."""
    directory = save_random_checkpoint(tmp_path_factory.mktemp("checkpoint"))
    output = tmp_path_factory.mktemp("output") / "demo.png"
    with pytest.MonkeyPatch.context() as patch:
        printed = []
        patch.setattr(demo, "CHECKPOINT_DIRECTORY", directory)
        patch.setattr(demo, "OUTPUT", output)
        patch.setattr(demo, "stream", partial(stream, max_new_tokens=6))  # nothing learned: it would not stop
        patch.setattr("builtins.print", lambda *words, end="\n", **_: printed.append(" ".join(map(str, words)) + end))
        demo.main()
    return directory, output, "".join(printed)


def test_one_picture_is_drawn_and_its_place_is_said(run):
    _, output, printed = run
    with Image.open(output) as picture:
        assert (picture.format, picture.size) == ("PNG", (1560, 910))
    assert printed.endswith(f"The images with the answers: {output}\n")


def test_each_prompt_is_printed_once_in_order_with_its_time(run):
    _, _, printed = run
    places = [printed.index(f"  {prompt}  ->  ") for prompt in PROMPTS]
    assert places == sorted(places)
    assert [printed.count(f"  {prompt}  ->  ") for prompt in PROMPTS] == [1] * 8
    assert len(re.findall(r"   \[\d+\.\d\d s\]\n", printed)) == 8


def test_the_first_line_says_how_large_the_model_is(run):
    directory, _, printed = run
    model, _ = load_hf_model(directory)
    size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert printed.startswith(f"The Toybox model: {size:.1f} M parameters, loaded in ")


def test_the_answer_printed_is_the_answer_of_the_model(run):
    directory, _, printed = run
    model, tokenizer = load_hf_model(directory)
    processor = PaliGemmaProcessor.for_model(model, tokenizer)
    index, prompts = next(iter(demo.PROMPTS.items()))
    expected = generate(model, processor, prompts[1], example_image(index), max_new_tokens=6)[0]
    assert f"  {prompts[1]}  ->  {expected}   [" in printed


@pytest.mark.parametrize(
    ("index", "make", "words", "answer"),
    [
        (6, caption, (), "a dog and three fish in the sky"),
        (6, count, ("fish",), "3"),
        (7, color, ("rocket",), "blue"),
        (7, ocr, (), "ART"),
        (7, presence, ("zebra",), "no"),
    ],
)
def test_the_questions_have_these_answers(index, make, words, answer):
    example = make(example_scene(index), *words)
    assert example.prompt in demo.PROMPTS[index]
    assert example.suffix == answer


@pytest.mark.parametrize(
    ("index", "make", "words", "labels"),
    [
        (6, refer, ("red", "fish"), ["red fish"]),
        (6, segment, ("fish", dict.fromkeys(range(4), (0,) * 16)), ["fish"] * 3),
        (7, detect, (["rocket", "tree"],), ["tree", "rocket", "tree"]),
    ],
)
def test_what_is_to_be_found_is_there(index, make, words, labels):
    example = make(example_scene(index), *words)
    assert example.prompt in demo.PROMPTS[index]
    found = parse_detections(example.suffix, 112, 112)
    assert sorted(detection.label for detection in found) == sorted(labels)
    assert all((detection.mask_codes is not None) == (make is segment) for detection in found)
