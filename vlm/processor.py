"""Turns texts and images into PaliGemma's input tensors.

Shapes: B batch, S sequence (image tokens, prompt, answer, padding), C channels, H W height and width.
"""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from vlm.image_processing import process_images
from vlm.paligemma import IGNORE_INDEX, PaliGemmaForConditionalGeneration

IMAGE_TOKEN = "<image>"
REGION_TOKENS = [f"<loc{i:04}>" for i in range(1024)] + [f"<seg{i:03}>" for i in range(128)]


class PaliGemmaProcessor:
    """Builds the sequence that PaliGemma was trained on.

    For each row: the image token N times, `<bos>`, the prompt, a newline; for training also the suffix
    and `<eos>`. The newline ends the prompt. It never merges with the suffix, which is tokenized
    separately.

    Source: PaliGemma (arXiv 2407.07726), section 3.1.

    Args:
        tokenizer: a tokenizer of transformers that has `<image>`, `<bos>`, `<eos>`, `<pad>`, and the location and
            segmentation tokens.
        num_image_tokens: N, from the model's vision config.
        image_size: side of the square to which images are resized.
    """

    def __init__(self, tokenizer, num_image_tokens: int, image_size: int):
        self.tokenizer = tokenizer
        self.num_image_tokens = num_image_tokens
        self.image_size = image_size
        # Ask the tokenizer for the id, never assume it: it differs between tokenizers.
        self.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        if self.image_token_id in (None, tokenizer.unk_token_id):
            raise ValueError(f"the tokenizer does not know {IMAGE_TOKEN}: is it a PaliGemma tokenizer?")
        keep_regions_whole(tokenizer)

    @classmethod
    def for_model(cls, model: PaliGemmaForConditionalGeneration, tokenizer) -> "PaliGemmaProcessor":
        """A processor with the number of image tokens and the image size that `model` expects."""
        vision_config = model.config.vision_config
        return cls(tokenizer, vision_config.num_image_tokens, vision_config.image_size)

    def __call__(
        self,
        text: str | Sequence[str],
        images: Image.Image | Sequence[Image.Image],
        suffix: str | Sequence[str] | None = None,
    ) -> dict[str, Tensor]:
        """Prepare a batch: one image for each text, padded on the left.

        Args:
            text: the prompts, such as "caption en" or "detect cat ; dog". `<loc0000>` and `<seg000>` in them
                are tokenized as single tokens.
            images: PIL images of any size and mode.
            suffix: the answers, for training.

        Returns:
            input_ids and attention_mask [B, S], pixel_values [B, C, H, W]; with a suffix also token_type_ids
            [B, S] (0 prefix and padding, 1 suffix) and labels [B, S] (-100 everywhere except in the suffix).

        Raises:
            ValueError: the numbers of texts, images and suffixes differ, or a text contains `<image>`, `<bos>`,
                `<eos>` or `<pad>`, which only the processor may insert, or is not valid Unicode.
            TypeError: a text is not a string, or an image is not a PIL image.
        """
        prompts, image_list = as_list(text, str), as_list(images, Image.Image)
        suffixes = None if suffix is None else as_list(suffix, str)
        if len(prompts) != len(image_list):
            raise ValueError(f"{len(prompts)} texts and {len(image_list)} images: each text needs one image")
        if suffixes is not None and len(suffixes) != len(prompts):
            raise ValueError(f"{len(prompts)} texts and {len(suffixes)} suffixes: each text needs one suffix")

        prefix_ids = [self.encode_prefix(prompt) for prompt in prompts]
        suffix_ids = [[]] * len(prompts) if suffixes is None else [self.encode_suffix(answer) for answer in suffixes]
        batch = self.pad(prefix_ids, suffix_ids)
        batch["pixel_values"] = process_images(image_list, self.image_size)
        if suffixes is None:
            del batch["token_type_ids"], batch["labels"]
        return batch

    def encode_prefix(self, prompt: str) -> list[int]:
        """N image tokens, `<bos>`, the prompt, a newline."""
        ids = self.encode_text(f"{prompt}\n", "prompt")
        return [self.image_token_id] * self.num_image_tokens + [self.tokenizer.bos_token_id] + ids

    def encode_suffix(self, suffix: str) -> list[int]:
        """The answer and `<eos>`."""
        return self.encode_text(suffix, "suffix") + [self.tokenizer.eos_token_id]

    def encode_text(self, text: str, what: str) -> list[int]:
        check_unicode(text, what)
        tokenizer = self.tokenizer
        ids = tokenizer.encode(text, add_special_tokens=False)
        own = {self.image_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
        forged = [tokenizer.convert_ids_to_tokens(index) for index in ids if index in own]
        if forged:
            raise ValueError(f"the {what} contains {forged[0]!r}: remove it, the processor inserts it: {text[:80]!r}")
        return ids

    def pad(self, prefix_ids: list[list[int]], suffix_ids: list[list[int]]) -> dict[str, Tensor]:
        """Pad on the left, so that the next token of every row comes at the same index."""
        length = max(len(prefix) + len(suffix) for prefix, suffix in zip(prefix_ids, suffix_ids))
        rows = {"input_ids": [], "attention_mask": [], "token_type_ids": [], "labels": []}
        for prefix, suffix in zip(prefix_ids, suffix_ids):
            num_pads = length - len(prefix) - len(suffix)
            rows["input_ids"].append([self.tokenizer.pad_token_id] * num_pads + prefix + suffix)
            rows["attention_mask"].append([0] * num_pads + [1] * (len(prefix) + len(suffix)))
            rows["token_type_ids"].append([0] * (num_pads + len(prefix)) + [1] * len(suffix))
            rows["labels"].append([IGNORE_INDEX] * (num_pads + len(prefix)) + suffix)
        return {name: torch.tensor(values) for name, values in rows.items()}

    def decode(self, ids: Sequence[int] | Tensor) -> str:
        """Token ids -> text. `<loc>` and `<seg>` tokens are kept, control tokens such as `<eos>` are not."""
        return self.tokenizer.decode(ids, skip_special_tokens=True)


def keep_regions_whole(tokenizer):
    """Make the tokenizer treat `<loc0000>` and the like as one token, as transformers' processor does.

    Some tokenizers have these tokens in their vocabulary but not among their added tokens. They split `<loc0000>` into
    `<`, `lo`, `c` and so on, in prompts and in training examples, although they decode its id correctly.

    Raises:
        ValueError: a token is missing. Its new id would have no trained row in the embedding.
    """
    ids = tokenizer.convert_tokens_to_ids(REGION_TOKENS)
    missing = [token for token, index in zip(REGION_TOKENS, ids) if index in (None, tokenizer.unk_token_id)]
    if missing:
        raise ValueError(
            f"the tokenizer has no {missing[0]} ({len(missing)} location and segmentation tokens are missing): use "
            "the tokenizer files that came with the weights"
        )
    added = tokenizer.get_added_vocab()
    tokenizer.add_tokens([token for token in REGION_TOKENS if token not in added])
    if tokenizer.convert_tokens_to_ids(REGION_TOKENS) != ids:
        raise ValueError(
            "adding the <loc> and <seg> tokens to the tokenizer changes their ids: use the tokenizer files that "
            "came with the weights"
        )


def as_list(value, kind: type) -> list:
    """One object or a sequence of them, as a list of at least one."""
    values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if not values:
        raise ValueError("the batch is empty: give at least one text and one image")
    for one in values:
        if not isinstance(one, kind):
            name = "texts must be strings" if kind is str else "images must be PIL images, from PIL.Image.open"
            raise TypeError(f"{name}: got {type(one).__name__}")
    return values


def check_unicode(text: str, what: str):
    """Raise a ValueError for half a surrogate pair, as from a damaged file or a terminal that is not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the {what} contains {text[error.start]!r} at character {error.start}, which is not valid Unicode: "
            "encode it in UTF-8"
        ) from None
