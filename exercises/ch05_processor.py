"""Exercises of chapter 5, "The processor". Grade: pytest exercises/test_ch05_processor.py

Shapes: B batch, C channels, N image tokens, S sequence length, H height and W width.
"""

from collections.abc import Callable

from PIL import Image
from torch import Tensor

Pair = tuple[str, str]  # two adjacent pieces


def to_pixel_values(image: Image.Image, image_size: int) -> Tensor:
    """Convert an image of any mode to the pixel values that the vision tower expects.

    1. Composite the image onto a white background, using its alpha channel or transparent
       palette color. (An image without transparency does not change.)
    2. Convert it to RGB.
    3. Resize it to image_size x image_size with PIL's `resize`, bicubic, whatever its aspect
       ratio.
    4. Map the bytes 0..255 to -1..1: divide by 255, then compute (x - 0.5) / 0.5.

    Args:
        image: of mode RGB, RGBA, L (grayscale), LA (grayscale with alpha) or P (palette), in
            any size.
        image_size: the side of the square that the model expects, in pixels.

    Returns:
        float32 [C, H, W] with C = 3, in the order red, green, blue, and H = W = image_size.

    Source: the preprocessor_config.json of google/paligemma-3b-pt-224. The white background is
    this course's choice.
    """
    raise NotImplementedError


def encode_prefix(
    prompt: str,
    encode: Callable[[str], list[int]],
    special: dict[str, int],
    num_image_tokens: int,
    max_text_tokens: int,
) -> list[int]:
    """Build the token ids of the prefix, everything before the answer.

        <image> ... <image> <bos> prompt newline

    Example, with special = {"image": 90, "bos": 2, "newline": 10} and "detect cat" encoded as
    [5, 7]: for 3 image tokens, the prefix is [90, 90, 90, 2, 5, 7, 10].

    The text part (<bos>, prompt and newline) has at most `max_text_tokens` tokens. If it would
    be longer, drop tokens from the end of the prompt; <bos> and the newline stay.

    Args:
        prompt: the text, without the newline at its end.
        encode: returns the token ids of a text, without special tokens at its ends.
        special: the ids of the tokens "image", "bos" and "newline".
        num_image_tokens: N, the number of image tokens.
        max_text_tokens: at least 2.

    Returns:
        The token ids.

    Raises:
        ValueError: the prompt contains "<image>", which would be mistaken for an image token.

    Source: PaliGemma (arXiv 2407.07726), section 3.1.
    """
    raise NotImplementedError


def pad_batch(
    prefixes: list[list[int]],
    suffixes: list[list[int]],
    pad_id: int,
) -> dict[str, Tensor]:
    """Make a batch from rows of different lengths, padded on the left.

    Example with two rows, prefixes [7, 8] and [9], suffixes [5, 1] and [1], pad_id 0:

        input_ids       7 8 5 1         0 0 9 1
        attention_mask  1 1 1 1         0 0 1 1            1 at tokens, 0 at padding
        token_type_ids  0 0 1 1         0 0 0 1            1 in the suffix, 0 elsewhere
        labels       -100 -100 5 1      -100 -100 -100 1   the suffix, -100 elsewhere

    The loss ignores the label -100: the model learns to predict only the suffix.

    A token of a prefix or suffix may have the same id as the padding. It is still a token.

    Args:
        prefixes: B lists of token ids, none of them empty.
        suffixes: B lists of token ids, which may be empty.
        pad_id: the id of the padding token.

    Returns:
        The four tensors under these names, each int64 [B, S]; S is the longest row's length.
    """
    raise NotImplementedError


def merge(pieces: list[str], pair: Pair) -> list[str]:
    """Join the two pieces of a pair wherever they are adjacent, from left to right.

    Examples, with the pair ("a", "a"): ["b", "a", "a"] becomes ["b", "aa"], and ["a", "a", "a"]
    becomes ["aa", "a"], since each piece can be used only once.

    Args:
        pieces: a word, split into pieces.
        pair: the left and the right piece.

    Returns:
        The pieces after joining, a new list.
    """
    raise NotImplementedError


def train_bpe(words: dict[str, int], num_merges: int) -> list[Pair]:
    """Learn byte-pair encoding (BPE): merge the most frequent pair of pieces, repeatedly.

    Each word starts as a list of its characters. Then, up to `num_merges` times: count each
    pair of adjacent pieces in all words (in a word that occurs 5 times, a pair counts 5 times),
    merge the most frequent pair in every word, and record it. Stop early if no pairs are left.

    Ties: pieces are numbered, first all characters that occur, in sorted order, then each new
    piece when it is made. Of the most frequent pairs, choose the one whose left piece has the
    lowest number; if that is a tie too, the one whose right piece has the lowest number.

    Examples: {"aab": 2, "ab": 1} has the pair (a, a) 2 times and (a, b) 3 times, so the first
    merge is (a, b). In {"ba": 1, "ab": 1}, both pairs occur once; (a, b) comes first, since its
    left piece a has the lower number.

    Args:
        words: how often each word occurs.
        num_merges: the maximum number of merges.

    Returns:
        The merged pairs, in the order in which they were learned.

    Source: "Neural Machine Translation of Rare Words with Subword Units" (arXiv 1508.07909),
    Algorithm 1.
    """
    raise NotImplementedError


def encode_word(word: str, merges: list[Pair]) -> list[str]:
    """Split a word into BPE pieces: apply the merges in the order they were learned.

    The word starts as a list of its characters.
    Example: the merges [("a", "b"), ("c", "ab")] split "cabb" into ["cab", "b"].

    Args:
        word: the word, not empty.
        merges: the pairs, in the order in which they were learned.

    Returns:
        The pieces; joined, they are the word.
    """
    raise NotImplementedError
