"""Mistakes people make in chapter 5, and other right answers."""

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
    """RGB, white where it was transparent."""
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def to_tensor(image: Image.Image) -> Tensor:
    """[C, H, W] in 0..255."""
    return torch.from_numpy(np.array(image, dtype=np.float32)).movedim(-1, 0)


@mistake("to_pixel_values", "Your numbers run from 0 to 1; subtract 0.5 and divide by 0.5 to get -1..1.")
def range_zero_to_one(image: Image.Image, image_size: int) -> Tensor:
    return solution.to_pixel_values(image, image_size) / 2 + 0.5


@mistake("to_pixel_values", "You did not divide the bytes by 255.")
def bytes_not_divided(image: Image.Image, image_size: int) -> Tensor:
    return (to_tensor(on_white(image).resize((image_size, image_size), Image.Resampling.BICUBIC)) - 0.5) / 0.5


@mistake("to_pixel_values", "You took the mean and spread of ImageNet; PaliGemma has 0.5 and 0.5 for every channel.")
def imagenet_constants(image: Image.Image, image_size: int) -> Tensor:
    values = solution.to_pixel_values(image, image_size) / 2 + 0.5
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (values - mean[:, None, None]) / std[:, None, None]


@mistake("to_pixel_values", "Your channels are blue, green, red (as OpenCV has them); the model wants red first.")
def blue_first(image: Image.Image, image_size: int) -> Tensor:
    return solution.to_pixel_values(image, image_size).flip(0)


@mistake("to_pixel_values", "Your channels are the last axis; they come first.")
def channels_last(image: Image.Image, image_size: int) -> Tensor:
    return solution.to_pixel_values(image, image_size).movedim(0, -1)


@mistake("to_pixel_values", "Rows and columns are exchanged.")
def transposed(image: Image.Image, image_size: int) -> Tensor:
    return solution.to_pixel_values(image, image_size).transpose(1, 2)


@mistake("to_pixel_values", "convert('RGB') drops the transparency, and shows colours that nobody was meant to see.")
def alpha_dropped(image: Image.Image, image_size: int) -> Tensor:
    return solution.to_pixel_values(image.convert("RGB"), image_size)


@mistake("to_pixel_values", "The transparent parts are black; white should show through.")
def alpha_on_black(image: Image.Image, image_size: int) -> Tensor:
    image = image.convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return solution.to_pixel_values(image.convert("RGB"), image_size)


@mistake("to_pixel_values", "You resized bilinearly; the published processor is bicubic.")
def bilinear(image: Image.Image, image_size: int) -> Tensor:
    image = on_white(image).resize((image_size, image_size), Image.Resampling.BILINEAR)
    return (to_tensor(image) / 255 - 0.5) / 0.5


@mistake("to_pixel_values", "You cut the picture to a square; PaliGemma squeezes it, so that nothing is lost.")
def cropped_to_a_square(image: Image.Image, image_size: int) -> Tensor:
    image = ImageOps.fit(on_white(image), (image_size, image_size), Image.Resampling.BICUBIC)
    return (to_tensor(image) / 255 - 0.5) / 0.5


@mistake("to_pixel_values", "A palette may have a transparent colour as well: `image.has_transparency_data` tells.")
def transparent_palette_forgotten(image: Image.Image, image_size: int) -> Tensor:
    if image.mode == "P":
        image = image.convert("RGB")
        image.info.clear()  # it still says which colour was the transparent one
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
    """The image tokens, and the prompt's own."""
    words = solution.encode_prefix(prompt, encode, special, num_image_tokens, max_text_tokens)
    return words[:num_image_tokens], words[num_image_tokens + 1 : -1]


@mistake("encode_prefix", "The newline is missing: it tells the model that the question is over.")
def without_newline(
    prompt: str, encode: Encode, special: dict[str, int], num_image_tokens: int, max_text_tokens: int
) -> list[int]:
    return solution.encode_prefix(prompt, encode, special, num_image_tokens, max_text_tokens)[:-1]


@mistake("encode_prefix", "<bos> is missing.")
def without_bos(
    prompt: str, encode: Encode, special: dict[str, int], num_image_tokens: int, max_text_tokens: int
) -> list[int]:
    images, words = prefix_like(prompt, encode, special, num_image_tokens, max_text_tokens)
    return [*images, *words, special["newline"]]


@mistake("encode_prefix", "<bos> stands in front of the picture; in PaliGemma it comes after the image tokens.")
def bos_first(
    prompt: str, encode: Encode, special: dict[str, int], num_image_tokens: int, max_text_tokens: int
) -> list[int]:
    images, words = prefix_like(prompt, encode, special, num_image_tokens, max_text_tokens)
    return [special["bos"], *images, *words, special["newline"]]


@mistake("encode_prefix", "The text stands before the picture; the image tokens come first.")
def text_first(
    prompt: str, encode: Encode, special: dict[str, int], num_image_tokens: int, max_text_tokens: int
) -> list[int]:
    images, words = prefix_like(prompt, encode, special, num_image_tokens, max_text_tokens)
    return [special["bos"], *words, special["newline"], *images]


@mistake("encode_prefix", "There is only one image token; each of the N patches needs its own.")
def one_image_token(
    prompt: str, encode: Encode, special: dict[str, int], num_image_tokens: int, max_text_tokens: int
) -> list[int]:
    return solution.encode_prefix(prompt, encode, special, 1, max_text_tokens)


@mistake("encode_prefix", "A long prompt costs you the newline: make room for it before you cut.")
def newline_cut_off(
    prompt: str, encode: Encode, special: dict[str, int], num_image_tokens: int, max_text_tokens: int
) -> list[int]:
    whole = solution.encode_prefix(prompt, encode, special, num_image_tokens, 10**6)
    return whole[: num_image_tokens + max_text_tokens]


@mistake("encode_prefix", "You cut a long prompt at its beginning; take tokens away from its end.")
def cut_at_the_beginning(
    prompt: str, encode: Encode, special: dict[str, int], num_image_tokens: int, max_text_tokens: int
) -> list[int]:
    whole = solution.encode_prefix(prompt, encode, special, num_image_tokens, 10**6)
    images, words = whole[:num_image_tokens], whole[num_image_tokens + 1 : -1]
    words = words[max(0, len(words) - max_text_tokens + 2) :]
    return [*images, special["bos"], *words, special["newline"]]


@mistake("encode_prefix", "You cut the prompt itself to max_text_tokens; <bos> and the newline count as well.")
def room_for_words_alone(
    prompt: str, encode: Encode, special: dict[str, int], num_image_tokens: int, max_text_tokens: int
) -> list[int]:
    return solution.encode_prefix(prompt, encode, special, num_image_tokens, max_text_tokens + 2)


@mistake("encode_prefix", "Long prompts are not cut.")
def never_cut(
    prompt: str, encode: Encode, special: dict[str, int], num_image_tokens: int, max_text_tokens: int
) -> list[int]:
    return solution.encode_prefix(prompt, encode, special, num_image_tokens, 10**6)


@mistake("encode_prefix", "A prompt with <image> in it must be refused with a ValueError.")
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
        raise ValueError("no pictures in the text, please")
    ids = [special["bos"]] + encode(prompt + "\n")
    while len(ids) > max_text_tokens:
        del ids[-2]
    return num_image_tokens * [special["image"]] + ids


@mistake("pad_batch", "You filled the rows up on the right: then the next token does not follow the last of each row.")
def padded_on_the_right(prefixes: list[list[int]], suffixes: list[list[int]], pad_id: int) -> dict[str, Tensor]:
    batch = solution.pad_batch(prefixes, suffixes, pad_id)
    shifts = [batch["input_ids"].shape[1] - len(p) - len(s) for p, s in zip(prefixes, suffixes)]
    return {name: torch.stack([row.roll(-shift) for row, shift in zip(rows, shifts)]) for name, rows in batch.items()}


@mistake("pad_batch", "Your labels hold the prefix too; the model is to learn the suffix alone.")
def labels_of_everything(prefixes: list[list[int]], suffixes: list[list[int]], pad_id: int) -> dict[str, Tensor]:
    batch = solution.pad_batch(prefixes, suffixes, pad_id)
    return batch | {"labels": batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)}


@mistake("pad_batch", "Where nothing is to be learned, the label is -100; you have the id of the padding there.")
def labels_padded_with_pad(prefixes: list[list[int]], suffixes: list[list[int]], pad_id: int) -> dict[str, Tensor]:
    batch = solution.pad_batch(prefixes, suffixes, pad_id)
    return batch | {"labels": batch["labels"].where(batch["labels"] != -100, pad_id)}


@mistake("pad_batch", "You found the padding by its id; a real token can have the same id. Count instead.")
def mask_by_id(prefixes: list[list[int]], suffixes: list[list[int]], pad_id: int) -> dict[str, Tensor]:
    batch = solution.pad_batch(prefixes, suffixes, pad_id)
    return batch | {"attention_mask": (batch["input_ids"] != pad_id).long()}


@mistake("pad_batch", "Your attention_mask is upside down: 1 is for tokens, 0 for padding.")
def mask_upside_down(prefixes: list[list[int]], suffixes: list[list[int]], pad_id: int) -> dict[str, Tensor]:
    batch = solution.pad_batch(prefixes, suffixes, pad_id)
    return batch | {"attention_mask": 1 - batch["attention_mask"]}


@mistake("pad_batch", "Your token_type_ids are upside down: 0 is the prefix, 1 the suffix.")
def types_upside_down(prefixes: list[list[int]], suffixes: list[list[int]], pad_id: int) -> dict[str, Tensor]:
    batch = solution.pad_batch(prefixes, suffixes, pad_id)
    return batch | {"token_type_ids": batch["attention_mask"] - batch["token_type_ids"]}


@mistake(
    "pad_batch", "Your labels are moved by one place. The loss does that; here a label stands under its own token."
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


@mistake("merge", "A piece was used twice: after a join, go on behind both of its pieces.")
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


@mistake("merge", "Only the first place was joined; join the pair wherever it stands.")
def merge_first_only(pieces: list[str], pair: Pair) -> list[str]:
    for i, two in enumerate(itertools.pairwise(pieces)):
        if two == tuple(pair):
            return pieces[:i] + ["".join(pair)] + pieces[i + 2 :]
    return list(pieces)


@mistake("merge", "You joined the pair in the other order as well; (a, b) is not (b, a).")
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


@mistake("merge", "The last piece is lost when it stands alone.")
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


@mistake("merge", "You joined inside longer pieces: compare whole pieces, not text.")
def merge_as_text(pieces: list[str], pair: Pair) -> list[str]:
    return " ".join(pieces).replace(" ".join(pair), "".join(pair)).split(" ")


@variant("merge")
def merge_by_looking_back(pieces: list[str], pair: Pair) -> list[str]:
    joined, free = [], False  # is the last piece one that may still be joined?
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
    """Byte-pair encoding with another way to choose among the counts, given the vocabulary."""
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


@mistake("train_bpe", "Each word counted once; a word that was seen 5 times counts 5 times.")
def words_counted_once(words: dict[str, int], num_merges: int) -> list[Pair]:
    return solution.train_bpe(dict.fromkeys(words, 1), num_merges)


@mistake("train_bpe", "You counted once, at the beginning; after each join there are new pairs to count.")
def counted_once(words: dict[str, int], num_merges: int) -> list[Pair]:
    counts = count_pairs({word: list(word) for word in words}, words)
    return sorted(counts, key=lambda pair: (-counts[pair], pair))[:num_merges]


@mistake("train_bpe", "You joined the rarest pair; join the most frequent one.")
def rarest_pair(words: dict[str, int], num_merges: int) -> list[Pair]:
    return learn(
        words, num_merges, lambda counts, v: min(counts, key=lambda p: (counts[p], v.index(p[0]), v.index(p[1])))
    )


@mistake("train_bpe", "Ties go the wrong way: the pair with the lower numbers wins.")
def ties_to_the_last(words: dict[str, int], num_merges: int) -> list[Pair]:
    return learn(
        words, num_merges, lambda counts, v: max(counts, key=lambda p: (counts[p], v.index(p[0]), v.index(p[1])))
    )


@mistake("train_bpe", "On a tie you took the pair that was met first; the pair with the lower numbers goes first.")
def ties_to_the_first_met(words: dict[str, int], num_merges: int) -> list[Pair]:
    return learn(words, num_merges, lambda counts, v: max(counts, key=counts.get))


@mistake("train_bpe", "You decided ties by the alphabet; pieces have numbers, and new pieces come after all old ones.")
def ties_by_the_alphabet(words: dict[str, int], num_merges: int) -> list[Pair]:
    return learn(words, num_merges, lambda counts, v: min(counts, key=lambda p: (-counts[p], p)))


@mistake("train_bpe", "You stopped at pairs that are seen only once; go on while there is any pair.")
def stops_at_single_pairs(words: dict[str, int], num_merges: int) -> list[Pair]:
    return learn(
        dict(words.items()),
        num_merges,
        lambda counts, v: min(counts, key=lambda p: (-counts[p], v.index(p[0]), v.index(p[1]))),
        minimum=2,
    )


@mistake("train_bpe", "You return the joined pieces; the pairs are asked for.")
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


@mistake("encode_word", "You took the longest piece that fits, from left to right; the merges have an order.")
def longest_piece_first(word: str, merges: list[Pair]) -> list[str]:
    vocabulary = {left + right for left, right in merges}
    pieces = []
    while word:
        length = next((n for n in range(len(word), 1, -1) if word[:n] in vocabulary), 1)
        pieces.append(word[:length])
        word = word[length:]
    return pieces


@mistake("encode_word", "You joined by the merge that was learned last; begin with the first.")
def last_merge_first(word: str, merges: list[Pair]) -> list[str]:
    pieces, before = list(word), None
    while pieces != before:
        before = pieces
        for pair in reversed(merges):
            if (after := solution.merge(pieces, pair)) != pieces:
                pieces = after
                break
    return pieces


@mistake("encode_word", "You joined the leftmost pair that is in the list; the one that was learned first goes first.")
def leftmost_pair_first(word: str, merges: list[Pair]) -> list[str]:
    pieces = list(word)
    while True:
        found = next((i for i, two in enumerate(itertools.pairwise(pieces)) if two in merges), None)
        if found is None:
            return pieces
        pieces[found : found + 2] = [pieces[found] + pieces[found + 1]]


@mistake("encode_word", "You stopped after one join.")
def one_join(word: str, merges: list[Pair]) -> list[str]:
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
