"""Common mistakes in chapter 5, and other correct answers."""

import itertools
from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from grader import mistake, variant
from solutions import ch05_processor as solution

Encode = Callable[[str], list[int]]
Pair = tuple[str, str]


def on_white(image: Image.Image) -> Image.Image:
    """The image composited onto white, as RGB."""
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def to_tensor(image: Image.Image) -> Tensor:
    """[C, H, W] in 0..255."""
    return torch.from_numpy(np.array(image, dtype=np.float32)).movedim(-1, 0)


@mistake("to_pixel_values", "Your values are between 0 and 1. Subtract 0.5 and divide by 0.5 to get -1..1.")
def range_zero_to_one(image: Image.Image, image_size: int) -> Tensor:
    return solution.to_pixel_values(image, image_size) / 2 + 0.5


@mistake("to_pixel_values", "You did not divide the bytes by 255. Do that first.")
def bytes_not_divided(image: Image.Image, image_size: int) -> Tensor:
    return (to_tensor(on_white(image).resize((image_size, image_size), Image.Resampling.BICUBIC)) - 0.5) / 0.5


@mistake(
    "to_pixel_values", "You used ImageNet's mean and standard deviation. PaliGemma uses 0.5 and 0.5 for every channel."
)
def imagenet_constants(image: Image.Image, image_size: int) -> Tensor:
    values = solution.to_pixel_values(image, image_size) / 2 + 0.5
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (values - mean[:, None, None]) / std[:, None, None]


@mistake(
    "to_pixel_values", "Your channels are in the order blue, green, red, as in OpenCV. The model expects red first."
)
def blue_first(image: Image.Image, image_size: int) -> Tensor:
    return solution.to_pixel_values(image, image_size).flip(0)


@mistake("to_pixel_values", "Your channels are the last axis. Move them to the front: [C, H, W].")
def channels_last(image: Image.Image, image_size: int) -> Tensor:
    return solution.to_pixel_values(image, image_size).movedim(0, -1)


@mistake("to_pixel_values", "Your image is transposed. Rows come before columns: [C, H, W].")
def transposed(image: Image.Image, image_size: int) -> Tensor:
    return solution.to_pixel_values(image, image_size).transpose(1, 2)


@mistake(
    "to_pixel_values",
    "convert('RGB') drops the alpha channel, so hidden colors become visible. Composite onto white first.",
)
def alpha_dropped(image: Image.Image, image_size: int) -> Tensor:
    return solution.to_pixel_values(image.convert("RGB"), image_size)


@mistake("to_pixel_values", "Your background is black. Composite onto white.")
def alpha_on_black(image: Image.Image, image_size: int) -> Tensor:
    image = image.convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return solution.to_pixel_values(image.convert("RGB"), image_size)


@mistake("to_pixel_values", "You resized with bilinear interpolation. The published processor uses bicubic.")
def bilinear(image: Image.Image, image_size: int) -> Tensor:
    image = on_white(image).resize((image_size, image_size), Image.Resampling.BILINEAR)
    return (to_tensor(image) / 255 - 0.5) / 0.5


@mistake(
    "to_pixel_values",
    "You cropped the image to a square. PaliGemma resizes the whole image to a square, without cropping.",
)
def cropped_to_a_square(image: Image.Image, image_size: int) -> Tensor:
    image = ImageOps.fit(on_white(image), (image_size, image_size), Image.Resampling.BICUBIC)
    return (to_tensor(image) / 255 - 0.5) / 0.5


@mistake(
    "to_pixel_values",
    "Your code ignores the transparent color of a palette image. Convert to RGBA: that works for every mode.",
)
def transparent_palette_forgotten(image: Image.Image, image_size: int) -> Tensor:
    if image.mode == "P":
        image = image.convert("RGB")
        image.info.clear()  # it still says which color was transparent
    return solution.to_pixel_values(image, image_size)


@variant("to_pixel_values")
def pasted_on_white(image: Image.Image, image_size: int) -> Tensor:
    if image.mode in ("RGBA", "LA", "P"):
        background = Image.new("RGBA", image.size, (255, 255, 255, 255))
        background.alpha_composite(image.convert("RGBA"))
        image = background
    pixels = np.asarray(image.convert("RGB").resize((image_size, image_size), resample=Image.Resampling.BICUBIC))
    return torch.tensor(pixels.transpose(2, 0, 1) / 127.5 - 1, dtype=torch.float32)


def prefix_like(
    prompt: str, encode: Encode, special: dict[str, int], num_image_tokens: int, max_text_tokens: int
) -> tuple[list[int], list[int]]:
    """The image tokens, and the tokens of the prompt."""
    words = solution.encode_prefix(prompt, encode, special, num_image_tokens, max_text_tokens)
    return words[:num_image_tokens], words[num_image_tokens + 1 : -1]


@mistake("encode_prefix", "The newline is missing. It tells the model that the prompt is complete.")
def without_newline(
    prompt: str, encode: Encode, special: dict[str, int], num_image_tokens: int, max_text_tokens: int
) -> list[int]:
    return solution.encode_prefix(prompt, encode, special, num_image_tokens, max_text_tokens)[:-1]


@mistake("encode_prefix", "`<bos>` is missing. It comes after the image tokens.")
def without_bos(
    prompt: str, encode: Encode, special: dict[str, int], num_image_tokens: int, max_text_tokens: int
) -> list[int]:
    images, words = prefix_like(prompt, encode, special, num_image_tokens, max_text_tokens)
    return [*images, *words, special["newline"]]


@mistake("encode_prefix", "You put `<bos>` before the image tokens. In PaliGemma it comes after them.")
def bos_first(
    prompt: str, encode: Encode, special: dict[str, int], num_image_tokens: int, max_text_tokens: int
) -> list[int]:
    images, words = prefix_like(prompt, encode, special, num_image_tokens, max_text_tokens)
    return [special["bos"], *images, *words, special["newline"]]


@mistake("encode_prefix", "You put the text before the image. The image tokens come first.")
def text_first(
    prompt: str, encode: Encode, special: dict[str, int], num_image_tokens: int, max_text_tokens: int
) -> list[int]:
    images, words = prefix_like(prompt, encode, special, num_image_tokens, max_text_tokens)
    return [special["bos"], *words, special["newline"], *images]


@mistake("encode_prefix", "You have only one image token. Repeat it N times, once for each patch.")
def one_image_token(
    prompt: str, encode: Encode, special: dict[str, int], num_image_tokens: int, max_text_tokens: int
) -> list[int]:
    return solution.encode_prefix(prompt, encode, special, 1, max_text_tokens)


@mistake(
    "encode_prefix",
    "A long prompt pushes out the newline. Truncate the prompt to max_text_tokens - 2, then append the newline.",
)
def newline_cut_off(
    prompt: str, encode: Encode, special: dict[str, int], num_image_tokens: int, max_text_tokens: int
) -> list[int]:
    whole = solution.encode_prefix(prompt, encode, special, num_image_tokens, 10**6)
    return whole[: num_image_tokens + max_text_tokens]


@mistake("encode_prefix", "You truncated a long prompt at its beginning. Drop tokens from its end.")
def cut_at_the_beginning(
    prompt: str, encode: Encode, special: dict[str, int], num_image_tokens: int, max_text_tokens: int
) -> list[int]:
    whole = solution.encode_prefix(prompt, encode, special, num_image_tokens, 10**6)
    images, words = whole[:num_image_tokens], whole[num_image_tokens + 1 : -1]
    words = words[max(0, len(words) - max_text_tokens + 2) :]
    return [*images, special["bos"], *words, special["newline"]]


@mistake(
    "encode_prefix",
    "You truncated the prompt to max_text_tokens. `<bos>` and the newline count too: keep max_text_tokens - 2 tokens.",
)
def limit_for_the_prompt_alone(
    prompt: str, encode: Encode, special: dict[str, int], num_image_tokens: int, max_text_tokens: int
) -> list[int]:
    return solution.encode_prefix(prompt, encode, special, num_image_tokens, max_text_tokens + 2)


@mistake("encode_prefix", "You did not truncate long prompts. Keep max_text_tokens - 2 tokens of the prompt.")
def never_cut(
    prompt: str, encode: Encode, special: dict[str, int], num_image_tokens: int, max_text_tokens: int
) -> list[int]:
    return solution.encode_prefix(prompt, encode, special, num_image_tokens, 10**6)


@mistake("encode_prefix", "You accepted a prompt that contains `<image>`. Raise a ValueError.")
def image_token_in_the_prompt_accepted(
    prompt: str, encode: Encode, special: dict[str, int], num_image_tokens: int, max_text_tokens: int
) -> list[int]:
    words = encode(prompt)[: max_text_tokens - 2]
    return [special["image"]] * num_image_tokens + [special["bos"], *words, special["newline"]]


@variant("encode_prefix")
def prefix_with_newline_encoded(
    prompt: str, encode: Encode, special: dict[str, int], num_image_tokens: int, max_text_tokens: int
) -> list[int]:
    if prompt.count("<image>"):
        raise ValueError("the prompt may not contain <image>")
    ids = [special["bos"]] + encode(prompt + "\n")
    while len(ids) > max_text_tokens:
        del ids[-2]
    return num_image_tokens * [special["image"]] + ids


@mistake(
    "pad_batch",
    "You padded on the right, so a generated token would not follow the last token of its row. Pad on the left.",
)
def padded_on_the_right(prefixes: list[list[int]], suffixes: list[list[int]], pad_id: int) -> dict[str, Tensor]:
    batch = solution.pad_batch(prefixes, suffixes, pad_id)
    shifts = [batch["input_ids"].shape[1] - len(p) - len(s) for p, s in zip(prefixes, suffixes)]
    return {name: torch.stack([row.roll(-shift) for row, shift in zip(rows, shifts)]) for name, rows in batch.items()}


@mistake("pad_batch", "Your labels include the prefix. Keep only the suffix; the prefix gets -100.")
def labels_of_everything(prefixes: list[list[int]], suffixes: list[list[int]], pad_id: int) -> dict[str, Tensor]:
    batch = solution.pad_batch(prefixes, suffixes, pad_id)
    return batch | {"labels": batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)}


@mistake("pad_batch", "You used pad_id as the label of ignored positions. Use -100.")
def labels_padded_with_pad(prefixes: list[list[int]], suffixes: list[list[int]], pad_id: int) -> dict[str, Tensor]:
    batch = solution.pad_batch(prefixes, suffixes, pad_id)
    return batch | {"labels": batch["labels"].where(batch["labels"] != -100, pad_id)}


@mistake(
    "pad_batch", "You detected padding by its id, but a real token can have the same id. Use the lengths of the rows."
)
def mask_by_id(prefixes: list[list[int]], suffixes: list[list[int]], pad_id: int) -> dict[str, Tensor]:
    batch = solution.pad_batch(prefixes, suffixes, pad_id)
    return batch | {"attention_mask": (batch["input_ids"] != pad_id).long()}


@mistake("pad_batch", "Your attention_mask is inverted. It is 1 at tokens and 0 at padding.")
def mask_inverted(prefixes: list[list[int]], suffixes: list[list[int]], pad_id: int) -> dict[str, Tensor]:
    batch = solution.pad_batch(prefixes, suffixes, pad_id)
    return batch | {"attention_mask": 1 - batch["attention_mask"]}


@mistake("pad_batch", "Your token_type_ids are inverted. They are 0 in the prefix and 1 in the suffix.")
def types_inverted(prefixes: list[list[int]], suffixes: list[list[int]], pad_id: int) -> dict[str, Tensor]:
    batch = solution.pad_batch(prefixes, suffixes, pad_id)
    return batch | {"token_type_ids": batch["attention_mask"] - batch["token_type_ids"]}


@mistake(
    "pad_batch",
    "You shifted the labels by one position. The loss does the shift; here, each label is at the position of its "
    "token.",
)
def labels_shifted(prefixes: list[list[int]], suffixes: list[list[int]], pad_id: int) -> dict[str, Tensor]:
    batch = solution.pad_batch(prefixes, suffixes, pad_id)
    filler = torch.full_like(batch["labels"][:, :1], -100)
    return batch | {"labels": torch.cat([batch["labels"][:, 1:], filler], dim=1)}


@variant("pad_batch")
def filled_row_by_row(prefixes: list[list[int]], suffixes: list[list[int]], pad_id: int) -> dict[str, Tensor]:
    lengths = [len(prefix) + len(suffix) for prefix, suffix in zip(prefixes, suffixes)]
    shape = (len(lengths), max(lengths))
    ids, labels = torch.full(shape, pad_id), torch.full(shape, -100)
    mask, types = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64)
    for row, (prefix, suffix) in enumerate(zip(prefixes, suffixes)):
        start, middle = shape[1] - lengths[row], shape[1] - len(suffix)
        ids[row, start:] = torch.tensor(prefix + suffix)
        mask[row, start:] = 1
        types[row, middle:] = 1
        labels[row, middle:] = torch.tensor(suffix, dtype=torch.int64)
    return {"labels": labels, "token_type_ids": types, "attention_mask": mask, "input_ids": ids}


@mistake("merge", "You used a piece twice. After a merge, continue after both of its pieces.")
def merge_overlapping(pieces: list[str], pair: Pair) -> list[str]:
    joined, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            joined.append(pieces[i] + pieces[i + 1])
            i += 1 if tuple(pieces[i + 1 : i + 3]) == pair else 2
        else:
            joined.append(pieces[i])
            i += 1
    return joined


@mistake("merge", "You merged only the first occurrence. Merge the pair wherever it occurs.")
def merge_first_only(pieces: list[str], pair: Pair) -> list[str]:
    for i, two in enumerate(itertools.pairwise(pieces)):
        if two == tuple(pair):
            return pieces[:i] + ["".join(pair)] + pieces[i + 2 :]
    return list(pieces)


@mistake("merge", "You also merged the pair in reverse order. (a, b) is not (b, a).")
def merge_either_order(pieces: list[str], pair: Pair) -> list[str]:
    joined, i = [], 0
    while i < len(pieces):
        if sorted(pieces[i : i + 2]) == sorted(pair):
            joined.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            joined.append(pieces[i])
            i += 1
    return joined


@mistake("merge", "You dropped the last piece if it is not part of a pair. Keep it.")
def merge_loses_the_last(pieces: list[str], pair: Pair) -> list[str]:
    joined, i = [], 0
    while i < len(pieces) - 1:
        if (pieces[i], pieces[i + 1]) == tuple(pair):
            joined.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            joined.append(pieces[i])
            i += 1
    return joined


@mistake("merge", "You merged inside longer pieces. Compare whole pieces, not their text.")
def merge_as_text(pieces: list[str], pair: Pair) -> list[str]:
    return " ".join(pieces).replace(" ".join(pair), "".join(pair)).split(" ")


@variant("merge")
def merge_by_looking_back(pieces: list[str], pair: Pair) -> list[str]:
    joined, free = [], False  # may the last piece still be merged?
    for piece in pieces:
        if free and (joined[-1], piece) == tuple(pair):
            joined[-1] += piece
            free = False
        else:
            joined.append(piece)
            free = True
    return joined


def count_pairs(split: dict[str, list[str]], words: dict[str, int]) -> Counter:
    counts = Counter()
    for word, pieces in split.items():
        for pair in itertools.pairwise(pieces):
            counts[pair] += words[word]
    return counts


def learn(words: dict[str, int], num_merges: int, choose: Callable, minimum: int = 1) -> list[Pair]:
    """Byte-pair encoding with another rule for choosing a pair, given the counts and the vocabulary."""
    vocabulary = sorted({character for word in words for character in word})
    split, merges = {word: list(word) for word in words}, []
    for _ in range(num_merges):
        counts = {pair: count for pair, count in count_pairs(split, words).items() if count >= minimum}
        if not counts:
            break
        best = choose(counts, vocabulary)
        merges.append(best)
        if "".join(best) not in vocabulary:
            vocabulary.append("".join(best))
        split = {word: solution.merge(pieces, best) for word, pieces in split.items()}
    return merges


@mistake("train_bpe", "You counted each word once. In a word that occurs 5 times, a pair counts 5 times.")
def words_counted_once(words: dict[str, int], num_merges: int) -> list[Pair]:
    return solution.train_bpe(dict.fromkeys(words, 1), num_merges)


@mistake(
    "train_bpe", "You counted the pairs only once, at the beginning. Count again after each merge: there are new pairs."
)
def counted_once(words: dict[str, int], num_merges: int) -> list[Pair]:
    counts = count_pairs({word: list(word) for word in words}, words)
    return sorted(counts, key=lambda pair: (-counts[pair], pair))[:num_merges]


@mistake("train_bpe", "You merged the rarest pair. Merge the most frequent one.")
def rarest_pair(words: dict[str, int], num_merges: int) -> list[Pair]:
    return learn(
        words, num_merges, lambda counts, v: min(counts, key=lambda p: (counts[p], v.index(p[0]), v.index(p[1])))
    )


@mistake("train_bpe", "You broke ties the wrong way. The pair with the lower numbers wins.")
def ties_to_the_last(words: dict[str, int], num_merges: int) -> list[Pair]:
    return learn(
        words, num_merges, lambda counts, v: max(counts, key=lambda p: (counts[p], v.index(p[0]), v.index(p[1])))
    )


@mistake("train_bpe", "You broke ties by the order of counting. The pair with the lower numbers wins.")
def ties_to_the_first_met(words: dict[str, int], num_merges: int) -> list[Pair]:
    return learn(words, num_merges, lambda counts, v: max(counts, key=counts.get))


@mistake(
    "train_bpe", "You broke ties alphabetically. Use the numbers of the pieces: a new piece comes after all older ones."
)
def ties_by_the_alphabet(words: dict[str, int], num_merges: int) -> list[Pair]:
    return learn(words, num_merges, lambda counts, v: min(counts, key=lambda p: (-counts[p], p)))


@mistake("train_bpe", "You stopped at pairs that occur only once. Continue as long as there are pairs.")
def stops_at_single_pairs(words: dict[str, int], num_merges: int) -> list[Pair]:
    return learn(
        dict(words.items()),
        num_merges,
        lambda counts, v: min(counts, key=lambda p: (-counts[p], v.index(p[0]), v.index(p[1]))),
        minimum=2,
    )


@mistake("train_bpe", "You returned the merged pieces. Return the pairs.")
def pieces_returned(words: dict[str, int], num_merges: int) -> list[str]:
    return ["".join(pair) for pair in solution.train_bpe(words, num_merges)]


@variant("train_bpe")
def train_with_numbers(words: dict[str, int], num_merges: int) -> list[Pair]:
    numbers = {character: i for i, character in enumerate(sorted(set("".join(words))))}
    texts = [([*word], count) for word, count in words.items()]
    merges = []
    while len(merges) < num_merges:
        counts = {}
        for pieces, count in texts:
            for left, right in itertools.pairwise(pieces):
                counts[left, right] = counts.get((left, right), 0) + count
        ranked = sorted(counts.items(), key=lambda item: (-item[1], numbers[item[0][0]], numbers[item[0][1]]))
        if not ranked:
            return merges
        pair = ranked[0][0]
        merges.append(pair)
        numbers.setdefault(pair[0] + pair[1], len(numbers))
        texts = [(merge_by_looking_back.implementation(pieces, pair), count) for pieces, count in texts]
    return merges


@mistake(
    "encode_word",
    "You took the longest matching piece, from left to right. Apply the merges in the order in which they were "
    "learned.",
)
def longest_piece_first(word: str, merges: list[Pair]) -> list[str]:
    vocabulary = {left + right for left, right in merges}
    pieces = []
    while word:
        length = next((n for n in range(len(word), 1, -1) if word[:n] in vocabulary), 1)
        pieces.append(word[:length])
        word = word[length:]
    return pieces


@mistake("encode_word", "You applied the merge that was learned last. Start with the first.")
def last_merge_first(word: str, merges: list[Pair]) -> list[str]:
    pieces, before = list(word), None
    while pieces != before:
        before = pieces
        for pair in reversed(merges):
            if (after := solution.merge(pieces, pair)) != pieces:
                pieces = after
                break
    return pieces


@mistake("encode_word", "You merged the leftmost pair in the list. The pair that was learned first goes first.")
def leftmost_pair_first(word: str, merges: list[Pair]) -> list[str]:
    pieces = list(word)
    while True:
        found = next((i for i, two in enumerate(itertools.pairwise(pieces)) if two in merges), None)
        if found is None:
            return pieces
        pieces[found : found + 2] = [pieces[found] + pieces[found + 1]]


@mistake("encode_word", "You stopped after one merge. Go through all of them.")
def one_merge(word: str, merges: list[Pair]) -> list[str]:
    pieces = list(word)
    for pair in merges:
        if (joined := solution.merge(pieces, pair)) != pieces:
            return joined
    return pieces


@variant("encode_word")
def encode_by_rank(word: str, merges: list[Pair]) -> list[str]:
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    pieces = list(word)
    while known := [pair for pair in itertools.pairwise(pieces) if pair in ranks]:
        best = min(known, key=ranks.get)
        i = next(i for i, two in enumerate(itertools.pairwise(pieces)) if two == best)
        pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]
    return pieces
