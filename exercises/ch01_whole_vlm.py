"""Exercises of chapter 1, "How does a picture become an answer?".

Grade them with: pytest exercises/test_ch01_whole_vlm.py

Shapes: B batch, C channels, H W height and width, P side of a patch, N image tokens, S sequence, D hidden size,
V vocabulary.
"""


def trace_shapes(
    batch: int,
    image_size: int,
    patch_size: int,
    prompt_tokens: int,
    vision_width: int,
    text_width: int,
    vocab_size: int,
) -> dict[str, list[int]]:
    """The shape of each tensor on the way from a picture and a prompt to the scores of the next word.

    Args:
        batch: B pictures, each with its own prompt.
        image_size: pictures are squares of so many pixels a side, with 3 channels.
        patch_size: P.
        prompt_tokens: tokens in the words of each prompt: without `<bos>`, and without the newline at its end.
        vision_width: numbers in a vector of the vision tower.
        text_width: D, numbers in a vector of the language model.
        vocab_size: V.

    Returns:
        Shapes, as lists of whole numbers, under these names:
            pixel_values      what the vision tower reads
            patch_vectors     what it gives back
            image_features    the same, after the projector
            input_ids         the sequence of tokens
            inputs_embeds     that sequence as vectors, the picture merged into it
            logits            scores for each word, at each place
    """
    raise NotImplementedError


def places_worked_through(prefix_length: int, new_tokens: int) -> tuple[int, int]:
    """How many places the model works through to write an answer, without and with a cache.

    Without a cache, each new token needs a run over everything that is there: the prefix and the tokens written so
    far. With one, the first run reads the prefix, and each further run reads the one token that was written last.
    The token written by the last run is not read any more.

    Example: a prefix of 10 and 3 new tokens make 10 + 11 + 12 = 33 places without a cache, and 10 + 1 + 1 = 12 with.

    Args:
        prefix_length: S, 1 or more.
        new_tokens: 1 or more; `<eos>` is one of them.

    Returns:
        The two numbers, without and with a cache.
    """
    raise NotImplementedError


def read_boxes(answer: str, height: int, width: int) -> list[tuple[str, list[float]]]:
    """Read the boxes out of an answer, without the package's `parse_detections`.

    An answer is "" or a list of things with " ; " between them. Each thing is four location tokens, a space and a
    name. The tokens are the top, left, bottom and right edge of its box, as marks from 0 (top or left edge of the
    picture) to 1023 (bottom or right edge).

    Example, for a picture 1023 high and 2046 wide: "<loc0100><loc0200><loc0300><loc0400> cat" is
    [("cat", [100.0, 400.0, 300.0, 800.0])].

    Args:
        height: H of the picture, in pixels.
        width: W.

    Returns:
        For each thing its name (which may be two words) and its edges in pixels: top, left, bottom, right.
    """
    raise NotImplementedError
