"""Solutions of chapter 5, "The processor".

Shapes: B batch, C channels, N image tokens, S sequence length, H height and W width.
"""

import itertools
from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Pair = tuple[str, str]  # two adjacent pieces


def to_pixel_values(image: Image.Image, image_size: int) -> Tensor:
    """Convert an image of any mode to the pixel values that the vision tower expects."""
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
    """Build the token ids of the prefix, everything before the answer."""
    if "<image>" in prompt:
        raise ValueError(f"the prompt contains <image>: {prompt!r}")
    prompt_ids = encode(prompt)[: max_text_tokens - 2]
    text_ids = [special["bos"], *prompt_ids, special["newline"]]
    return [special["image"]] * num_image_tokens + text_ids


def pad_batch(
    prefixes: list[list[int]],
    suffixes: list[list[int]],
    pad_id: int,
) -> dict[str, Tensor]:
    """Make a batch from rows of different lengths, padded on the left."""
    rows = list(zip(prefixes, suffixes, strict=True))
    length = max(len(prefix) + len(suffix) for prefix, suffix in rows)
    batch = {"input_ids": [], "attention_mask": [], "token_type_ids": [], "labels": []}
    for prefix, suffix in rows:
        pads = length - len(prefix) - len(suffix)
        batch["input_ids"].append([pad_id] * pads + prefix + suffix)
        batch["attention_mask"].append([0] * pads + [1] * (length - pads))
        batch["token_type_ids"].append([0] * (length - len(suffix)) + [1] * len(suffix))
        batch["labels"].append([-100] * (length - len(suffix)) + suffix)
    return {name: torch.tensor(values) for name, values in batch.items()}


def merge(pieces: list[str], pair: Pair) -> list[str]:
    """Join the two pieces of a pair wherever they are adjacent, from left to right."""
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
    """Learn byte-pair encoding (BPE): merge the most frequent pair of pieces, repeatedly."""
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
        best = min(counts, key=lambda pair: (-counts[pair], *map(vocabulary.index, pair)))
        merges.append(best)
        if "".join(best) not in vocabulary:  # two pairs can give the same piece
            vocabulary.append("".join(best))
        split = {word: merge(pieces, best) for word, pieces in split.items()}
    return merges


def encode_word(word: str, merges: list[Pair]) -> list[str]:
    """Split a word into BPE pieces: apply the merges in the order they were learned."""
    pieces = list(word)
    for pair in merges:
        pieces = merge(pieces, pair)
    return pieces
