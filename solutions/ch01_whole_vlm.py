"""Solutions of chapter 1, "How does a picture become an answer?".

Shapes: B batch, C channels, H W height and width, P side of a patch, N image tokens, S sequence, D hidden size,
V vocabulary.
"""

import re


def trace_shapes(
    batch: int,
    image_size: int,
    patch_size: int,
    prompt_tokens: int,
    vision_width: int,
    text_width: int,
    vocab_size: int,
) -> dict[str, list[int]]:
    """The shape of each tensor on the way from a picture and a prompt to the scores of the next word."""
    num_image_tokens = (image_size // patch_size) ** 2
    length = num_image_tokens + 1 + prompt_tokens + 1  # the picture, <bos>, the words, the newline
    return {
        "pixel_values": [batch, 3, image_size, image_size],
        "patch_vectors": [batch, num_image_tokens, vision_width],
        "image_features": [batch, num_image_tokens, text_width],
        "input_ids": [batch, length],
        "inputs_embeds": [batch, length, text_width],
        "logits": [batch, length, vocab_size],
    }


def places_worked_through(prefix_length: int, new_tokens: int) -> tuple[int, int]:
    """How many places the model works through to write an answer, without and with a cache."""
    without = sum(prefix_length + written for written in range(new_tokens))
    return without, prefix_length + new_tokens - 1


def read_boxes(answer: str, height: int, width: int) -> list[tuple[str, list[float]]]:
    """Read the boxes out of an answer, without the package's `parse_detections`."""
    things = []
    for *marks, name in re.findall(r"<loc(\d{4})>" * 4 + " ([^;<]+)", answer):
        top, left, bottom, right = (int(mark) / 1023 for mark in marks)
        things.append((name.strip(), [top * height, left * width, bottom * height, right * width]))
    return things
