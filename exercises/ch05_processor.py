"""Exercises of chapter 5, "How do a picture and a question become tensors?".

Grade them with: pytest exercises/test_ch05_processor.py

Shapes: B rows, C channels, N image tokens, S length of the sequence, H W height and width.
"""

from collections.abc import Callable

from PIL import Image
from torch import Tensor

Pair = tuple[str, str]  # two pieces that stand side by side


def to_pixel_values(image: Image.Image, image_size: int) -> Tensor:
    """Turn any picture into the numbers that the vision tower expects.

    1. Where the picture is transparent, white shows through, in proportion. (If it is not, nothing changes.)
    2. Whatever the mode, it becomes RGB: red, green, blue.
    3. PIL's `resize` squeezes it to image_size x image_size, bicubic, whatever its sides were.
    4. Bytes 0..255 become numbers -1..1: first divide by 255, then (x - 0.5) / 0.5.

    Args:
        image: of one of the modes RGB, RGBA, L (grey), LA (grey with transparency) or P (a palette), any size.
        image_size: the side of the square that the model wants, in pixels.

    Returns:
        float32 [C, H, W], H and W both image_size.

    Source: the preprocessor_config.json of google/paligemma-3b-pt-224.
    The white is this course's choice.
    """
    raise NotImplementedError


def encode_prefix(
    prompt: str,
    encode: Callable[[str], list[int]],
    special: dict[str, int],
    num_image_tokens: int,
    max_text_tokens: int,
) -> list[int]:
    """Write the sequence that stands before the answer.

        <image> ... <image> <bos> prompt newline

    Example, with special = {"image": 90, "bos": 2, "newline": 10} and "detect cat" encoded as [5, 7]:
    for 3 image tokens it is [90, 90, 90, 2, 5, 7, 10].

    The text part (<bos>, prompt and newline) has at most `max_text_tokens` tokens. If it would be longer, tokens are
    taken away from the end of the prompt; <bos> and the newline stay.

    Args:
        prompt: without the newline.
        encode: gives the ids of a text, and adds nothing at its ends.
        special: the ids of "image", "bos" and "newline".
        num_image_tokens: N.
        max_text_tokens: 2 or more.

    Raises:
        ValueError: the prompt contains "<image>", which would be taken for a place of the picture.

    Source: PaliGemma (arXiv 2407.07726), section 3.1.
    """
    raise NotImplementedError


def pad_batch(prefixes: list[list[int]], suffixes: list[list[int]], pad_id: int) -> dict[str, Tensor]:
    """Make one batch of rows of different lengths. Rows are filled up on the left.

    Example with two rows, prefixes [7, 8] and [9], suffixes [5, 1] and [1], pad_id 0:

        input_ids       7 8 5 1         0 0 9 1
        attention_mask  1 1 1 1         0 0 1 1         1 where there is a token
        token_type_ids  0 0 1 1         0 0 0 1         1 in the suffix
        labels       -100 -100 5 1      -100 -100 -100 1      what is to be learned: the suffix alone

    A token of a prefix or suffix may have the same id as the padding: it is a token all the same.

    Args:
        prefixes: B lists of ids, not empty.
        suffixes: B lists of ids.

    Returns:
        The four tensors, each int64 [B, S].
    """
    raise NotImplementedError


def merge(pieces: list[str], pair: Pair) -> list[str]:
    """Join the two pieces of a pair wherever they stand side by side, from left to right.

    Examples, with the pair ("a", "a"): ["b", "a", "a"] -> ["b", "aa"], and ["a", "a", "a"] -> ["aa", "a"], since a
    piece can be used only once.
    """
    raise NotImplementedError


def train_bpe(words: dict[str, int], num_merges: int) -> list[Pair]:
    """Learn which pieces to join, by byte-pair encoding: again and again, the pair that is seen most often.

    Every word starts as a list of its characters. Then, up to `num_merges` times: count each pair of neighbours in all
    words (a word that was seen 5 times counts 5 times), join the most frequent pair everywhere, and note it down. Stop
    early when no pair is left.

    Pieces have numbers: first all characters that occur, sorted; then each new piece as it is made. A tie goes to the
    pair whose left piece has the lower number; if that ties too, whose right piece has.

    Example: words {"aab": 2, "ab": 1} has the pairs (a, a) 2 times and (a, b) 3 times; the first merge is (a, b).
    In {"ba": 1, "ab": 1} both pairs are seen once: (a, b) goes first, since a has the lower number.

    Args:
        words: how often each word was seen.

    Returns:
        The pairs in the order in which they were joined.

    Source: "Neural Machine Translation of Rare Words with Subword Units" (arXiv 1508.07909), Algorithm 1.
    """
    raise NotImplementedError


def encode_word(word: str, merges: list[Pair]) -> list[str]:
    """Cut a word into pieces: from its characters on, join by the merges in the order in which they were learned.

    Example: merges [("a", "b"), ("c", "ab")] cut "cabb" into ["cab", "b"].
    """
    raise NotImplementedError
