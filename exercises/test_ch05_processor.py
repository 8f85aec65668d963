"""Test cases for exercises/ch05_processor.py; the correct answers come from solutions/ch05_processor.py."""

import json
import re
from collections.abc import Iterator

import pytest
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from grader import Case, Exercise, Random

CHANNELS = {"RGB": 3, "RGBA": 4, "L": 1, "LA": 2}


def images(random: Random) -> Iterator[Case]:
    for mode, height, width, size in [("RGB", 9, 14, 6), ("RGBA", 8, 8, 8), ("L", 5, 7, 4), ("LA", 12, 6, 6)]:
        yield {"mode": mode, "bytes": random.integers(0, 256, height, width, CHANNELS[mode]), "image_size": size}
    for transparent in (False, True):  # a palette color may be transparent
        yield {"mode": "P", "bytes": random.integers(0, 256, 10, 10, 3), "image_size": 10, "transparent": transparent}
    yield {"mode": "RGB", "bytes": random.integers(0, 256, 6, 20, 3), "image_size": 28}


def call_to_pixel_values(submission, case: Case):
    """Make the image of a case from its mode and its bytes [H, W, channels]."""
    array = case["bytes"].byte().numpy().squeeze(-1) if case["mode"] == "L" else case["bytes"].byte().numpy()
    image = Image.fromarray(array)
    if case["mode"] == "P":
        image = image.quantize(16)
        if case["transparent"]:
            image.info["transparency"] = 0
    return submission.to_pixel_values(image, case["image_size"])


WORDS = ["detect", "caption", "answer", "en", "cat", "dog", "tree", ";", "two", "where"]


def prompts(random: Random) -> Iterator[Case]:
    for number_of_words, num_image_tokens, max_text_tokens in [
        (3, 4, 20),
        (0, 1, 10),
        (6, 9, 5),
        (8, 2, 10),
        (7, 2, 8),
        (1, 3, 2),
    ]:
        prompt = " ".join(random.choice(WORDS) for _ in range(number_of_words))
        yield vocabulary(random) | {
            "prompt": prompt,
            "num_image_tokens": num_image_tokens,
            "max_text_tokens": max_text_tokens,
        }
    yield vocabulary(random) | {"prompt": "detect <image> cat", "num_image_tokens": 2, "max_text_tokens": 20}


def vocabulary(random: Random) -> Case:
    """Token ids for all words, different in each case."""
    names = [*WORDS, "<image>", "<bos>", "\n"]
    first = random.integer(3, 500)
    ids = {name: first + i for i, name in enumerate(sorted(names, key=lambda _: random.integer(0, 10**6)))}
    return {"ids": ids}


def call_encode_prefix(submission, case: Case):
    return submission.encode_prefix(
        case["prompt"],
        lambda text: encode(case, text),
        special(case),
        case["num_image_tokens"],
        case["max_text_tokens"],
    )


def encode(case: Case, text: str) -> list[int]:
    """The token ids of a text, one for each word."""
    return [case["ids"][token] for token in re.findall(r"\n|[^\s]+", text)]


def special(case: Case) -> dict[str, int]:
    ids = case["ids"]
    return {"image": ids["<image>"], "bos": ids["<bos>"], "newline": ids["\n"]}


def show_prompt(case: Case) -> Case:
    """What a learner sees of a case: the arguments, without the whole vocabulary."""
    shown = {name: value for name, value in case.items() if name != "ids"}
    return shown | {"special": special(case), "encode(prompt)": encode(case, case["prompt"])}


def rows(random: Random) -> Iterator[Case]:
    for lengths in [((3, 2), (5, 4), (1, 1)), ((4, 1),), ((2, 0), (6, 3)), ((5, 3), (2, 3), (2, 3), (4, 1))]:
        pad_id = random.integer(0, 3)
        texts = [[random.integers(0, 50, length).tolist() for length in pair] for pair in lengths]
        texts[0][0][0] = pad_id  # a token that looks like padding
        yield {
            "prefixes": [prefix for prefix, _ in texts],
            "suffixes": [suffix for _, suffix in texts],
            "pad_id": pad_id,
        }


def letters(random: Random, length: int, alphabet: str = "abc") -> list[str]:
    return [random.choice(list(alphabet)) for _ in range(length)]


def pieces_and_pairs(random: Random) -> Iterator[Case]:
    yield {"pieces": ["a", "a", "a", "a", "a", "b", "a", "a", "a"], "pair": ("a", "a")}
    yield {"pieces": [random.choice(["x", "y"])], "pair": ("x", "y")}
    # Pieces that end or begin like the pieces of the pair.
    yield {"pieces": ["xa", "b", *letters(random, 3), "a", "bx", "a", "b"], "pair": ("a", "b")}
    for _ in range(4):
        yield {"pieces": letters(random, 14), "pair": tuple(letters(random, 2))}
    yield {"pieces": ["ab", "c", *letters(random, 5), "ab", "c"], "pair": ("ab", "c")}


def frequencies(random: Random) -> Iterator[Case]:
    for number_of_words, num_merges, alphabet in [(6, 6, "abcd"), (12, 10, "ab"), (8, 15, "xyzab"), (2, 40, "ba")]:
        words = {"".join(letters(random, random.integer(2, 8), alphabet)): 0 for _ in range(number_of_words)}
        yield {"words": {word: random.integer(1, 9) for word in words}, "num_merges": num_merges}
    yield {"words": {"".join(letters(random, 9)): 1, "".join(letters(random, 6)): 1}, "num_merges": 40}


def words_and_merges(random: Random) -> Iterator[Case]:
    for alphabet in ("ab", "abc", "abc"):
        tokenizer = Tokenizer(BPE())
        words = ["".join(letters(random, 9, alphabet)) for _ in range(12)]
        tokenizer.train_from_iterator(words, BpeTrainer(vocab_size=len(alphabet) + 9, show_progress=False))
        merges = [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
        for _ in range(3):
            yield {"word": "".join(letters(random, 12, alphabet)), "merges": merges}


EXERCISES = [
    Exercise(
        "to_pixel_values",
        "From any image to pixel values",
        images,
        points=2,
        call=call_to_pixel_values,
        forbidden=("vlm.image_processing.process_images", "vlm.image_processing.to_rgb"),
        section="From an image to pixel values",
    ),
    Exercise(
        "encode_prefix",
        "The token ids before the answer",
        prompts,
        points=2,
        call=call_encode_prefix,
        raises=(ValueError,),
        show=show_prompt,
        section="One sequence: image tokens, prompt, answer",
    ),
    Exercise(
        "pad_batch",
        "Padding rows of different lengths",
        rows,
        points=2,
        section="A batch: padding, attention mask and labels",
    ),
    Exercise(
        "merge", "Merge a pair of pieces", pieces_and_pairs, section="Byte-pair encoding: a vocabulary that is learned"
    ),
    Exercise(
        "train_bpe",
        "Train byte-pair encoding",
        frequencies,
        points=2,
        section="Byte-pair encoding: a vocabulary that is learned",
    ),
    Exercise(
        "encode_word",
        "Encode with byte-pair encoding",
        words_and_merges,
        section="Byte-pair encoding: a vocabulary that is learned",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
