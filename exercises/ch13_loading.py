"""Exercises of chapter 13, "How do you know that all the weights arrived?".

Grade them with: pytest exercises/test_ch13_loading.py
"""

import torch
from torch import Tensor

from vlm.gemma import GemmaForCausalLM

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}


def read_safetensors(data: bytes) -> dict[str, Tensor]:
    """Read a file of tensors, given as its bytes.

    First come 8 bytes: a whole number n, the least significant byte first. Then n bytes of JSON, the header. For each
    tensor it has its name, and under the name a dict like

        {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}

    Then come the numbers. The offsets are places in this last part: 0 is its first byte, and the second offset is one
    past the last byte of the tensor. The key "__metadata__", where there is one, is not a tensor.

    Args:
        data: the whole file. `DTYPES` above knows the dtypes that occur.

    Returns:
        Each tensor by its name, with the dtype and shape that the header says. A shape may be [], for one number.

    Raises:
        ValueError: the file ends before a tensor does.

    Source: the description of the format in the documentation of safetensors.
    """
    raise NotImplementedError


def canonical_name(name: str) -> str | None:
    """Translate a tensor's name, from any of the five layouts, into the name that this package uses.

    1. One `model.` at the very beginning is dropped.
    2. What PaliGemma does not use gives None: names that end in `.position_ids`, and, in the vision tower, names that
       contain `.head.`.
    3. `lm_head.weight`, alone or after `language_model.`, is `language_model.lm_head.weight`.
    4. `language_model.X` and `language_model.model.X` are `language_model.model.X`.
    5. `vision_tower.X` and `vision_tower.vision_model.X` are `vision_tower.vision_model.X`.
    6. All else stays, such as `multi_modal_projector.linear.bias`.

    Example: `model.language_model.norm.weight` -> `language_model.model.norm.weight`.
    """
    raise NotImplementedError


def list_problems(expected: dict[str, list[int]], found: dict[str, list[int]]) -> dict[str, list[str]]:
    """Compare the tensors that a model needs with those that a file has.

    Args:
        expected: the shape of each tensor of the model, by its name.
        found: the same of the file.

    Returns:
        {"missing": names that only the model has, "surplus": names that only the file has, "wrong shape": names that
        both have, with different shapes}. All three keys are always there. Each list is sorted, and [] if all is well.
    """
    raise NotImplementedError


def load_weights(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype: torch.dtype | None = None):
    """Put the tensors of a file into a model that was built without memory (on the device "meta").

    - Every tensor takes its place as a parameter. One that has the wanted dtype already is used as it is, not copied;
      any other is cast once, straight to that dtype.
    - `lm_head.weight` may be absent, or equal to `model.embed_tokens.weight` in every number. The head is then tied:
      both are one and the same parameter. If the file has a head with other numbers, the model gets that head, and it
      is not tied.
    - Nothing is forgiven: see below.

    Args:
        model: a GemmaForCausalLM on the meta device. `model.tie_weights()` ties its head. Loading with
            `assign=True` makes the tensors themselves the parameters, instead of copying into those that are there.
        tensors: by the names that `model.state_dict()` has.
        dtype: of all parameters afterwards; None keeps what the file has.

    Raises:
        ValueError: a tensor is missing (the head aside), surplus, or has another shape than the model's. You may use
            `list_problems`.
    """
    raise NotImplementedError
