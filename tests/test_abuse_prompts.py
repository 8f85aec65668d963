"""Prompts that nobody should write, answers that a model should not give, and inputs that do not match."""

import subprocess
import sys
from pathlib import Path

import pytest
from checkpoints import save_random_checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from toybox.examples import example_path
from vlm.__main__ import main
from vlm.generate import generate, stream
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor
from vlm.regions.boxes import Detection, format_detections, parse_detections

pytestmark = pytest.mark.abuse
FUZZ = settings(derandomize=True, deadline=None, database=None, max_examples=200)
IMAGE = Image.new("RGB", (30, 20), "orange")
LONGEST = 512  # of the Toybox: 64 image tokens, the prompt, the answer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_random_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def model_and_processor(checkpoint):
    model, tokenizer = load_hf_model(checkpoint)
    return model, PaliGemmaProcessor.for_model(model, tokenizer)


@pytest.fixture
def ask(model_and_processor):
    return lambda prompt, **options: generate(*model_and_processor, [prompt], [IMAGE], **options)


@pytest.fixture
def ask_on_the_command_line(checkpoint, capsys):
    def ask(prompt: str, *options: str) -> tuple[int, str, str]:
        words = ["run", "--model", str(checkpoint), "--image", str(example_path(0)), "--prompt", prompt]
        code = main([*words, "--max-new-tokens", "3", *options])
        return code, *capsys.readouterr()

    return ask


HARMLESS = [
    "",
    " ",
    "\n",
    "\0",
    "\x1b[31m\x07\x7f\r\n\t",
    "\u202e\u200b\ufeff",
    "\U0001f431",
    "<IMAGE>",
    "<im\u200bage>",
]


@pytest.mark.parametrize("prompt", [*HARMLESS, "<loc9999><seg999><loc", "<unk>"])
def test_an_odd_prompt_is_answered(ask, ask_on_the_command_line, prompt):
    [answer] = ask(prompt, max_new_tokens=3)
    code, _, err = ask_on_the_command_line(prompt)
    assert isinstance(answer, str) and code == 0 and "Traceback" not in err


@pytest.mark.parametrize("text", ["\ud800", "a cat \udcff", "\ud83d\ude00"])
def test_half_a_surrogate_pair_is_reported(model_and_processor, ask_on_the_command_line, text):
    index = next(i for i, character in enumerate(text) if "\ud800" <= character <= "\udfff")
    message = f"contains {text[index]!r} at character {index}, which is not valid Unicode"
    for prompt, suffix, what in ((text, "a", "prompt"), ("a", text, "suffix")):
        with pytest.raises(ValueError) as error:
            model_and_processor[1]([prompt], [IMAGE], [suffix])
        assert f"the {what} {message}" in str(error.value)
    code, out, err = ask_on_the_command_line(text)
    assert (code, out) == (1, "") and f"vlm run: the prompt {message}" in err and err.count("\n") == 1


def test_invalid_utf_8_is_reported_by_the_program(checkpoint):
    words = ["run", "--model", str(checkpoint), "--image", str(example_path(0)), "--prompt", b"caf\xe9"]
    ended = subprocess.run([sys.executable, "-m", "vlm", *words], capture_output=True, timeout=60, check=False)
    assert ended.returncode == 1 and b"which is not valid Unicode: encode it in UTF-8" in ended.stderr
    assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize("token", ["<image>", "<bos>", "<eos>", "<pad>"])
@pytest.mark.parametrize("text", ["{}", "detect {} cat", "{0}{0}"])
def test_a_forged_token_is_refused_by_name(model_and_processor, ask_on_the_command_line, token, text):
    text = text.format(token)
    for prompt, suffix, what in ((text, "a", "prompt"), ("a", text, "suffix")):
        with pytest.raises(ValueError, match=f"the {what} contains {token!r}: remove it"):
            model_and_processor[1]([prompt], [IMAGE], [suffix])
    code, out, err = ask_on_the_command_line(text)
    assert (code, out) == (1, "") and f"vlm run: the prompt contains {token!r}" in err and err.count("\n") == 1


def test_a_forged_token_in_a_long_prompt_is_reported_without_the_whole_prompt(ask):
    with pytest.raises(ValueError, match="contains '<eos>'") as error:
        ask("a" * 100_000 + "<eos>")
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("prompt", ["a" * 100_000, "cat " * 25_000, "\U0001f431" * 100_000, "<loc0001>" * 11_111])
def test_a_prompt_of_100_000_characters_is_refused_with_its_length(ask, ask_on_the_command_line, prompt):
    with pytest.raises(ValueError, match=r"the prompt has \d+ tokens with its image, .* expected at most 512 together"):
        ask(prompt)
    code, _, err = ask_on_the_command_line(prompt)
    assert code == 1 and err.count("\n") == 1 and len(err) < 300 and "shorten the prompt" in err


@pytest.mark.parametrize("max_new_tokens", [0, -1, LONGEST, 10**6, 10**12, 10**30])
def test_an_answer_of_an_impossible_length_is_refused(ask, ask_on_the_command_line, max_new_tokens):
    with pytest.raises(ValueError, match=f"max_new_tokens is {max_new_tokens}: "):
        ask("caption en", max_new_tokens=max_new_tokens)
    code, _, err = ask_on_the_command_line("caption en", "--max-new-tokens", str(max_new_tokens))
    assert code == 1 and f"max_new_tokens is {max_new_tokens}: " in err and err.count("\n") == 1


def test_the_longest_answer_that_fits_is_given(model_and_processor):
    model, processor = model_and_processor
    prompt_length = processor("caption en", IMAGE)["input_ids"].shape[1]
    longest = LONGEST - prompt_length
    assert "".join(stream(model, processor, "caption en", IMAGE, longest))
    with pytest.raises(ValueError, match=f"the prompt has {prompt_length} tokens"):
        list(stream(model, processor, "caption en", IMAGE, longest + 1))


@pytest.mark.parametrize(
    ("text", "images", "error", "message"),
    [
        (["a", "b"], [IMAGE], ValueError, "2 texts and 1 images: each text needs one image"),
        ("a", [IMAGE, IMAGE], ValueError, "1 texts and 2 images"),
        (["a"], [], ValueError, "the batch is empty"),
        ([], [IMAGE], ValueError, "the batch is empty"),
        ("a", "cat.png", TypeError, r"images must be PIL images, from PIL\.Image\.open: got str"),
        ("a", Path("cat.png"), TypeError, "images must be PIL images"),
        ("a", None, TypeError, "images must be PIL images, .*: got NoneType"),
        (["a", "b"], [IMAGE, None], TypeError, "images must be PIL images"),
        (None, IMAGE, TypeError, "texts must be strings: got NoneType"),
        (["a", 3], [IMAGE] * 2, TypeError, "texts must be strings: got int"),
        (b"a", IMAGE, TypeError, "texts must be strings: got int"),
    ],
)
def test_texts_and_images_that_do_not_match_are_reported(model_and_processor, text, images, error, message):
    with pytest.raises(error, match=message):
        generate(*model_and_processor, text, images)


PIECES = st.sampled_from(
    [
        "<loc0000>",
        "<loc0010>",
        "<loc0512>",
        "<loc1023>",
        "<loc1024>",
        "<loc12>",
        "<loc>",
        "<loc",
        "<seg000>",
        "<seg127>",
    ]
    + ["<seg128>", "<seg1>", ">", "<", ";", " ; ", " ", "\n", "cat", "<eos>", "<loc0٣١٢>", "\0", "\ud800"]
) | st.text(max_size=4)
BOXES = "<loc0010><loc0020><loc0030><loc0040>"
TEXTS = st.lists(PIECES | st.just(BOXES) | st.just("<seg000>" * 16), max_size=40).map("".join)
SIZES = st.integers(1, 5000)


@FUZZ
@given(TEXTS, SIZES, SIZES)
def test_any_answer_is_read_and_what_was_read_is_written_and_read_again(text, height, width):
    found = parse_detections(text, height, width)
    for detection in found:
        y_min, x_min, y_max, x_max = detection.box
        assert 0 <= y_min < y_max <= height and 0 <= x_min < x_max <= width
        assert detection.mask_codes is None or len(detection.mask_codes) == 16
    assert parse_detections(format_detections(found, height, width), height, width) == found


LABELS = st.text(max_size=8).filter(lambda label: not set(label) & set(";<>")).map(str.strip)
EDGES = st.tuples(st.integers(0, 1023), st.integers(0, 1023)).filter(lambda pair: pair[0] != pair[1]).map(sorted)
CODES = st.none() | st.lists(st.integers(0, 127), min_size=16, max_size=16).map(tuple)


@FUZZ
@given(st.lists(st.tuples(LABELS, EDGES, EDGES, CODES), max_size=5))
def test_what_is_written_is_read_back(things):
    size = 1023  # a bin is a pixel, so every number is exact
    written = [
        Detection(label, (float(y[0]), float(x[0]), float(y[1]), float(x[1])), codes) for label, y, x, codes in things
    ]
    assert parse_detections(format_detections(written, size, size), size, size) == written


@pytest.mark.parametrize(
    "piece", ["<loc0001>", "<seg001>", "<loc0001> ", "<", "<loc", ";", " ", "a", "<loc" + "1" * 50]
)
def test_a_megabyte_of_anything_is_read_in_a_moment(piece):
    assert parse_detections(piece * (10**6 // len(piece)), 100, 100) == []
