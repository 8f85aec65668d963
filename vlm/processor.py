"""Turns texts and pictures into the tensors that PaliGemma reads.

Shapes: B batch, S sequence (image tokens, prompt, answer, padding), C channels, H W height and width.
"""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from vlm.image_processing import process_images
from vlm.paligemma import IGNORE_INDEX, PaliGemmaForConditionalGeneration

IMAGE_TOKEN = "<image>"


class PaliGemmaProcessor:
    """Writes the one sequence that PaliGemma was trained on.

    For each row: the image token N times, `<bos>`, the prompt, a newline; for training also the suffix
    and `<eos>`. The newline says "now answer"; it does not merge with the suffix, which is tokenised
    apart.

    Source: PaliGemma (arXiv 2407.07726), section 3.1.

    Args:
        tokenizer: a tokenizer of transformers that has `<image>`, `<bos>`, `<eos>` and `<pad>`.
        num_image_tokens: N, from the model's vision config.
        image_size: side of the square that pictures are resized to.
    """

    def __init__(self, tokenizer, num_image_tokens: int, image_size: int):
        self.tokenizer = tokenizer
        self.num_image_tokens = num_image_tokens
        self.image_size = image_size
        # Ask the tokenizer for the id, never assume it: another model's tokenizer has it elsewhere.
        self.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        if self.image_token_id in (None, tokenizer.unk_token_id):
            raise ValueError(f"the tokenizer does not know {IMAGE_TOKEN}: is it a PaliGemma tokenizer?")

    @classmethod
    def for_model(cls, model: PaliGemmaForConditionalGeneration, tokenizer) -> "PaliGemmaProcessor":
        """The processor with the number of image tokens and the image size that `model` expects."""
        vision_config = model.config.vision_config
        return cls(tokenizer, vision_config.num_image_tokens, vision_config.image_size)

    def __call__(
        self,
        text: str | Sequence[str],
        images: Image.Image | Sequence[Image.Image],
        suffix: str | Sequence[str] | None = None,
    ) -> dict[str, Tensor]:
        """Prepare a batch: one picture for each text, padded on the left.

        Args:
            text: the prompts, such as "caption en" or "detect cat ; dog". `<loc0000>` and `<seg000>` in them
                are read as those tokens.
            images: PIL pictures of any size and mode.
            suffix: the answers, for training.

        Returns:
            input_ids and attention_mask [B, S], pixel_values [B, C, H, W]; with a suffix also token_type_ids
            [B, S] (0 prefix and padding, 1 suffix) and labels [B, S] (-100 everywhere but in the suffix).

        Raises:
            ValueError: the numbers of texts, pictures and suffixes differ, or a text contains `<image>`, `<bos>`,
                `<eos>` or `<pad>`, which only the processor may write, or is not Unicode.
            TypeError: a text is not a string, or a picture not one of PIL's.
        """
        prompts, pictures = as_list(text, str), as_list(images, Image.Image)
        suffixes = None if suffix is None else as_list(suffix, str)
        if len(prompts) != len(pictures):
            raise ValueError(f"{len(prompts)} texts and {len(pictures)} images: each text needs one image")
        if suffixes is not None and len(suffixes) != len(prompts):
            raise ValueError(f"{len(prompts)} texts and {len(suffixes)} suffixes: each text needs one suffix")

        prefix_ids = [self.encode_prefix(prompt) for prompt in prompts]
        suffix_ids = [[]] * len(prompts) if suffixes is None else [self.encode_suffix(answer) for answer in suffixes]
        batch = self.pad(prefix_ids, suffix_ids)
        batch["pixel_values"] = process_images(pictures, self.image_size)
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
            raise ValueError(
                f"the {what} contains {forged[0]!r}: take it out, the processor puts it where it belongs: {text[:80]!r}"
            )
        return ids

    def pad(self, prefix_ids: list[list[int]], suffix_ids: list[list[int]]) -> dict[str, Tensor]:
        """Line rows up at their right ends, so that the next token of every row comes at the same place."""
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
        """Token ids -> text. `<loc>` and `<seg>` tokens stay in it; `<eos>`, `<pad>` and the like do not."""
        return self.tokenizer.decode(ids, skip_special_tokens=True)


def as_list(value, kind: type) -> list:
    """One thing of a kind, or several of them, as a list with at least one."""
    values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if not values:
        raise ValueError("an empty batch: give at least one text and one image")
    for one in values:
        if not isinstance(one, kind):
            name = "texts must be strings" if kind is str else "images must be PIL pictures, from PIL.Image.open"
            raise TypeError(f"{name}: got {type(one).__name__}")
    return values


def check_unicode(text: str, what: str):
    """Half of a surrogate pair is no character. It comes from a broken file or a terminal that is not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the {what} holds {text[error.start]!r} at character {error.start}, which is no Unicode text: "
            "write it in UTF-8"
        ) from None
