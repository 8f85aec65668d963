"""Exercises of chapter 1, "A whole vision language model (VLM) in one sitting".

Grade: pytest exercises/test_ch01_whole_vlm.py

Shapes: B batch, C channels, H height and W width, P patch size, N image tokens,
S sequence length, D hidden size, V vocabulary size.
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
    """Give the shape of each tensor from image and prompt to the logits of the next token.

    Args:
        batch: number of images, each with its own prompt.
        image_size: side of the square images in pixels; they have 3 channels.
        patch_size: side of a patch in pixels; image_size is a multiple of it.
        prompt_tokens: tokens of each prompt's text, without `<bos>` and without the newline
            that ends the prompt.
        vision_width: size of a hidden vector in the vision tower.
        text_width: size of a hidden vector in the language model.
        vocab_size: number of tokens in the vocabulary.

    Returns:
        The shapes, as lists of integers, under these names:
            pixel_values      the input of the vision tower
            patch_vectors     the output of the vision tower
            image_features    the output of the projector
            input_ids         the token ids of the prefix: image tokens, <bos>, prompt, newline
            inputs_embeds     the embeddings of these tokens, with the image features merged in
            logits            a score for every token of the vocabulary, at every position
    """
    raise NotImplementedError


def positions_processed(prefix_length: int, new_tokens: int) -> tuple[int, int]:
    """Count the positions processed to generate an answer, without and with a cache.

    Without a cache, each forward pass processes the whole sequence so far: the prefix and the
    tokens generated before. With a cache, the first pass processes the prefix, and each later
    pass only the newest token. The token that the last pass generates is never processed.

    Example: a prefix of 10 and 3 new tokens give 10 + 11 + 12 = 33 positions without a cache,
    and 10 + 1 + 1 = 12 with one.

    Args:
        prefix_length: number of tokens in the prefix, at least 1.
        new_tokens: number of generated tokens, at least 1; `<eos>` counts as one of them.

    Returns:
        (positions without a cache, positions with a cache).
    """
    raise NotImplementedError


def read_boxes(answer: str, height: int, width: int) -> list[tuple[str, list[float]]]:
    """Parse the boxes in an answer, without the package's `parse_detections`.

    An answer is "" or a list of objects separated by " ; ". Each object is four location
    tokens, a space, and a name. The tokens give the top, left, bottom and right edge of its
    box, in this order, as bins from 0 (top or left edge of the image) to 1023 (bottom or right
    edge).

    Example, for an image 1023 pixels high and 2046 wide:
    "<loc0100><loc0200><loc0300><loc0400> cat" gives [("cat", [100.0, 400.0, 300.0, 800.0])].

    Args:
        answer: the generated text.
        height: height of the image in pixels.
        width: width of the image in pixels.

    Returns:
        For each object, its name (without spaces around it; it may have several words) and its
        edges in pixels, not rounded: top, left, bottom, right.
    """
    raise NotImplementedError
