"""Solutions of chapter 1, "A whole vision language model (VLM) in one sitting".

Shapes: B batch, C channels, H height and W width, P patch size, N image tokens,
S sequence length, D hidden size, V vocabulary size.
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
    """Give the shape of each tensor from image and prompt to the logits of the next token."""
    num_image_tokens = (image_size // patch_size) ** 2
    length = num_image_tokens + 1 + prompt_tokens + 1  # image, <bos>, prompt, newline
    return {
        "pixel_values": [batch, 3, image_size, image_size],
        "patch_vectors": [batch, num_image_tokens, vision_width],
        "image_features": [batch, num_image_tokens, text_width],
        "input_ids": [batch, length],
        "inputs_embeds": [batch, length, text_width],
        "logits": [batch, length, vocab_size],
    }


def positions_processed(prefix_length: int, new_tokens: int) -> tuple[int, int]:
    """Count the positions processed to generate an answer, without and with a cache."""
    without = sum(prefix_length + generated for generated in range(new_tokens))
    return without, prefix_length + new_tokens - 1


def read_boxes(answer: str, height: int, width: int) -> list[tuple[str, list[float]]]:
    """Parse the boxes in an answer, without the package's `parse_detections`."""
    objects = []
    for *bins, name in re.findall(r"<loc(\d{4})>" * 4 + " ([^;<]+)", answer):
        top, left, bottom, right = (int(number) / 1023 for number in bins)
        box = [top * height, left * width, bottom * height, right * width]
        objects.append((name.strip(), box))
    return objects
