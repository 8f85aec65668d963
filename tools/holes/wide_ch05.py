"""Wide cases for chapter 5, from image and text to tensors."""

from collections.abc import Iterator

import torch
from PIL import Image

from grader.exercise import Case, Random
from tools.holes.wide import Wide, checks_of

CHECKS = checks_of("ch05_processor")


def pictures(random: Random) -> Iterator[Case]:
    for mode, channels in CHECKS.CHANNELS.items():
        for height, width, size in [(1, 1, 1), (1, 5, 3), (7, 2, 2), (4, 4, 9)]:
            for transparency in ((0, 256), (0, 1), (255, 256)):
                pixels = random.integers(0, 256, height, width, channels)
                if mode in ("RGBA", "LA"):
                    pixels[..., -1] = random.integers(*transparency, height, width)
                yield {"mode": mode, "bytes": pixels, "image_size": size}
    for index in (0, 3, None):
        pixels = random.integers(0, 256, 6, 9, 3)
        yield {"mode": "P", "bytes": pixels, "image_size": 6, "transparency": index}
    for color in (0, 255):
        yield {"mode": "RGB", "bytes": torch.full((5, 8, 3), color), "image_size": 4}


def call_to_pixel_values(submission, case: Case) -> dict:
    array = case["bytes"].byte().numpy()
    image = Image.fromarray(array.squeeze(-1) if case["mode"] == "L" else array)
    if case["mode"] == "P":
        image = image.quantize(8)
        if case["transparency"] is not None:
            image.info["transparency"] = case["transparency"]
    before, mode, info = image.tobytes(), image.mode, dict(image.info)
    result = submission.to_pixel_values(image, case["image_size"])
    same = (image.tobytes(), image.mode, dict(image.info)) == (before, mode, info)
    return {"result": result, "the image is as it was": same}


def prompts(random: Random) -> Iterator[Case]:
    for words in (["cat"], [], ["caption", "en"], ["cat"] * 12, ["dog", ";", "tree"]):
        for num_image_tokens in (1, 0, 7):
            for room in (2, 3, len(words) + 1, len(words) + 2, len(words) + 3, 50):
                yield CHECKS.vocabulary(random) | {
                    "prompt": " ".join(words),
                    "num_image_tokens": num_image_tokens,
                    "max_text_tokens": max(room, 2),
                }
    for prompt in (
        "<image>",
        "<image> cat",
        "cat <image>",
        "a<image>b",
        "cat " * 20 + "<image>",
        "< image>",
        "<IMAGE>",
    ):
        yield {"ids": None, "prompt": prompt, "num_image_tokens": 2, "max_text_tokens": 4}


def call_encode_prefix(submission, case: Case) -> list[int]:
    """Where there is no vocabulary, every letter is a token."""
    if case["ids"] is not None:
        return CHECKS.call_encode_prefix(submission, case)
    special = {"image": 900, "bos": 901, "newline": 10}
    arguments = (special, case["num_image_tokens"], case["max_text_tokens"])
    return submission.encode_prefix(case["prompt"], lambda text: [ord(letter) for letter in text], *arguments)


def rows(random: Random) -> Iterator[Case]:
    for lengths in [((1, 0),), ((1, 1),), ((1, 0), (1, 0)), ((3, 0), (1, 5)), ((7, 2), (1, 1), (2, 9), (4, 4))]:
        for pad_id in (0, 1, 7, 900):
            texts = [[random.integers(0, 50, length).tolist() for length in pair] for pair in lengths]
            for prefix, suffix in texts:
                prefix[-1] = pad_id
                suffix[:1] = [pad_id] * len(suffix[:1])
            yield {"prefixes": [p for p, _ in texts], "suffixes": [s for _, s in texts], "pad_id": pad_id}


def pieces_and_pairs(random: Random) -> Iterator[Case]:
    for length in (0, 1, 2, 3, 5, 20):
        for _ in range(3):
            yield {"pieces": CHECKS.letters(random, length, "ab"), "pair": ("a", "b")}
            yield {"pieces": ["a"] * length, "pair": ("a", "a")}
            yield {"pieces": [random.choice(["a", "ab", "b", "abb"]) for _ in range(length)], "pair": ("a", "bb")}
            yield {"pieces": [random.choice(["a", "ab", "b", "bb"]) for _ in range(length)], "pair": ("ab", "b")}


def frequencies(random: Random) -> Iterator[Case]:
    yield {"words": {}, "num_merges": 3}
    yield {"words": {"a": 5, "b": 1}, "num_merges": 3}
    yield {"words": {"zy": 1, "ab": 1, "yz": 1}, "num_merges": 3}
    for alphabet in ("a", "ab", "zyx", "aAbB", "é a", "mnopq"):
        for number_of_words, num_merges in [(1, 0), (1, 1), (3, 4), (10, 3), (10, 60)]:
            words = {"".join(CHECKS.letters(random, random.integer(1, 8), alphabet)): 0 for _ in range(number_of_words)}
            yield {"words": {word: random.integer(1, 4) for word in words}, "num_merges": num_merges}
            yield {"words": dict.fromkeys(words, 1), "num_merges": num_merges}


def words_and_merges(random: Random) -> Iterator[Case]:
    pairs = [("a", "b"), ("b", "a"), ("a", "a"), ("ab", "a"), ("ab", "ab"), ("aa", "aa"), ("b", "b"), ("ba", "b")]
    for length in (1, 2, 3, 6, 15):
        for number in (0, 1, 3, 8):
            merges = [random.choice(pairs) for _ in range(number)]
            for _ in range(2):
                yield {"word": "".join(CHECKS.letters(random, length, "ab")), "merges": list(dict.fromkeys(merges))}


WIDE = [
    Wide("to_pixel_values", pictures, {"call": call_to_pixel_values}),
    Wide("encode_prefix", prompts, {"call": call_encode_prefix}),
    Wide("pad_batch", rows),
    Wide("merge", pieces_and_pairs),
    Wide("train_bpe", frequencies),
    Wide("encode_word", words_and_merges),
]
WITHOUT = {"to_pixel_values": ("float64", "bfloat16", "on meta")}
