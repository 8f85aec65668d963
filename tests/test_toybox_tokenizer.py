"""The Toybox's tokenizer: published order of ids, one token a word, lossless, and transformers reads it."""

import json
import random
import re
import subprocess
import sys

import pytest
from tokenizers import Tokenizer

from toybox.prompts import all_prompt_texts
from toybox.tokenizer import CHECKPOINT_DIRECTORY, build_tokenizer, save_tokenizer

FILES = ["tokenizer.json", "tokenizer_config.json"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(CHECKPOINT_DIRECTORY / "tokenizer.json"))


@pytest.mark.parametrize(
    ("token", "index"),
    [
        ("<pad>", 0),
        ("<eos>", 1),
        ("<bos>", 2),
        ("<unk>", 3),
        ("<mask>", 4),
        ("<0x00>", 5),
        ("<0xFF>", 260),
        ("<loc0000>", 768),
        ("<loc1023>", 1791),
        ("<seg000>", 1792),
        ("<seg127>", 1919),
        ("<image>", 1920),
    ],
)
def test_ids_follow_the_published_order(tokenizer, token, index):
    assert tokenizer.token_to_id(token) == index
    assert tokenizer.id_to_token(index) == token


def test_every_id_up_to_the_image_token_is_taken_once(tokenizer):
    assert sorted(tokenizer.get_vocab().values()) == list(range(1921))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("detect cat ; dog\n", ["detect", "▁cat", "▁;", "▁dog", "\n"]),
        ("caption en\n", ["caption", "▁en", "\n"]),
        ("caption en\n\n", ["caption", "▁en", "\n", "\n"]),
        ("0123456789", list("0123456789")),
        ("detect 12", ["detect", "▁", "1", "2"]),
        ("detect  cat", ["detect", "▁", "▁cat"]),
        ("é 🐈", ["<0xC3>", "<0xA9>", "▁", "<0xF0>", "<0x9F>", "<0x90>", "<0x88>"]),
        (
            "<loc0001><loc0002><loc0003><loc0004> cat ; <loc0005>",
            ["<loc0001>", "<loc0002>", "<loc0003>", "<loc0004>", "▁cat", "▁;", "▁", "<loc0005>"],
        ),
        ("<image><image><bos>detect", ["<image>", "<image>", "<bos>", "detect"]),
        ("<0x41>", ["<", "0", "x", "4", "1", ">"]),
        ("", []),
    ],
)
def test_texts_are_split_as_expected_and_nothing_is_added(tokenizer, text, tokens):
    assert tokenizer.encode(text).tokens == tokens


def test_every_word_of_every_prompt_is_one_token(tokenizer):
    for text in all_prompt_texts():
        text = re.sub(r"<loc\d{4}>", "", text)
        for word in re.findall(r" ?[A-Za-z]+|\n|[0-9]| ?[;?.,]", text):
            assert tokenizer.encode(word).tokens == [word.replace(" ", "▁")]


def test_a_line_end_is_always_the_same_token(tokenizer):
    line_end = tokenizer.token_to_id("\n")
    for text in all_prompt_texts():
        ids = tokenizer.encode(text).ids
        assert tokenizer.encode(text + "\n").ids == [*ids, line_end]


@pytest.mark.parametrize(
    "text",
    [
        " leading",
        "   three   spaces   ",
        "\n\n x \n",
        "tab\tbell\x07null\x00\r\n",
        "naïve café — Ελληνικά, 中文, हिन्दी",
        "👩‍👩‍👧 🐈‍⬛ 🇪🇺",
        "e\u0301 is not \u00e9",
        "isn 't it ? no .",
        "<loc0001><seg001><image><bos><eos><pad>",
        "<loc9999> <0xC3> <im",
    ],
)
def test_any_text_is_decoded_to_itself(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_random_unicode_is_decoded_to_itself(tokenizer):
    rng = random.Random(0)
    for _ in range(300):
        # From all of Unicode, but for the surrogates, which are no characters, and "▁", which means a space.
        ranges = rng.choices([(0, 0x80), (0, 0xD800), (0xE000, 0x110000)], k=40)
        text = "".join(chr(rng.randrange(*points)) for points in ranges).replace("▁", " ")
        assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_skipping_special_tokens_keeps_boxes_and_masks(tokenizer):
    ids = tokenizer.encode("<image><bos><loc0001><seg002> cat<eos><pad>").ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<loc0001><seg002> cat"


def test_too_many_words_are_refused():
    words = [a + b + c for a in "bcdfgh" for b in "aeiou" for c in "klmnpqrstvwxz"]
    with pytest.raises(ValueError, match="prompts are not among them"):
        build_tokenizer(words)


def test_building_again_gives_the_committed_files(tmp_path):
    save_tokenizer(tmp_path)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (CHECKPOINT_DIRECTORY / name).read_bytes()


@pytest.mark.parametrize("config", [None, {"model_type": "paligemma"}])
def test_transformers_reads_it_and_has_nothing_to_complain_about(tokenizer, tmp_path, config):
    for name in FILES:
        (tmp_path / name).write_bytes((CHECKPOINT_DIRECTORY / name).read_bytes())
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    # A process of its own: what transformers has to say, it says once, on stderr.
    program = (
        "import json, sys; from transformers import AutoTokenizer;"
        "t = AutoTokenizer.from_pretrained(sys.argv[1]); ids = t(sys.argv[2]).input_ids;"
        "known = [t.pad_token_id, t.eos_token_id, t.bos_token_id, t.image_token_id, len(t), t.padding_side];"
        "print(json.dumps([*known, ids, t.decode(ids, skip_special_tokens=True)]))"
    )
    text = "<image><bos>detect cat ; dog .\n<loc0001><seg002> cat n't<eos>"
    command = [sys.executable, "-W", "error", "-c", program, str(tmp_path), text]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert json.loads(done.stdout) == [
        *[0, 1, 2, 1920, 1921, "left"],
        tokenizer.encode(text).ids,
        "detect cat ; dog .\n<loc0001><seg002> cat n't",
    ]
