"""Solutions of chapter 5, "How do a picture and a question become tensors?".

Shapes: B rows, C channels, N image tokens, S length of the sequence, H W height and width.
"""

import itertools
from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Pair = tuple[str, str]  # two pieces that stand side by side


def to_pixel_values(image: Image.Image, image_size: int) -> Tensor:
    """Turn any picture into the numbers that the vision tower expects."""
    image = image.convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    image = image.resize((image_size, image_size), Image.Resampling.BICUBIC)
    values = torch.from_numpy(np.array(image, dtype=np.float32)) / 255  # [H, W, C]
    return ((values - 0.5) / 0.5).movedim(-1, 0)  # [C, H, W]


def encode_prefix(
    prompt: str,
    encode: Callable[[str], list[int]],
    special: dict[str, int],
    num_image_tokens: int,
    max_text_tokens: int,
) -> list[int]:
    """Write the sequence that stands before the answer."""
    if "<image>" in prompt:
        raise ValueError(f"the prompt contains <image>: {prompt!r}")
    words = encode(prompt)[: max_text_tokens - 2]
    return [special["image"]] * num_image_tokens + [special["bos"], *words, special["newline"]]


def pad_batch(prefixes: list[list[int]], suffixes: list[list[int]], pad_id: int) -> dict[str, Tensor]:
    """Make one batch of rows of different lengths. Rows are filled up on the left."""
    length = max(len(prefix) + len(suffix) for prefix, suffix in zip(prefixes, suffixes, strict=True))
    batch = {"input_ids": [], "attention_mask": [], "token_type_ids": [], "labels": []}
    for prefix, suffix in zip(prefixes, suffixes, strict=True):
        pads = length - len(prefix) - len(suffix)
        batch["input_ids"].append([pad_id] * pads + prefix + suffix)
        batch["attention_mask"].append([0] * pads + [1] * (length - pads))
        batch["token_type_ids"].append([0] * (length - len(suffix)) + [1] * len(suffix))
        batch["labels"].append([-100] * (length - len(suffix)) + suffix)
    return {name: torch.tensor(rows) for name, rows in batch.items()}


def merge(pieces: list[str], pair: Pair) -> list[str]:
    """Join the two pieces of a pair wherever they stand side by side, from left to right."""
    joined, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            joined.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            joined.append(pieces[i])
            i += 1
    return joined


def train_bpe(words: dict[str, int], num_merges: int) -> list[Pair]:
    """Learn which pieces to join, by byte-pair encoding: again and again, the pair that is seen most often."""
    vocabulary = sorted({character for word in words for character in word})
    split = {word: list(word) for word in words}
    merges = []
    for _ in range(num_merges):
        counts = Counter()
        for word, pieces in split.items():
            for pair in itertools.pairwise(pieces):
                counts[pair] += words[word]
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], vocabulary.index(pair[0]), vocabulary.index(pair[1])))
        merges.append(best)
        if "".join(best) not in vocabulary:  # two pairs can make the same piece
            vocabulary.append("".join(best))
        split = {word: merge(pieces, best) for word, pieces in split.items()}
    return merges


def encode_word(word: str, merges: list[Pair]) -> list[str]:
    """Cut a word into pieces: from its characters on, join by the merges in the order in which they were learned."""
    pieces = list(word)
    for pair in merges:
        pieces = merge(pieces, pair)
    return pieces
