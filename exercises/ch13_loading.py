"""Exercises of chapter 13, "Loading a checkpoint".

Grade them with: pytest exercises/test_ch13_loading.py
"""

import torch
from torch import Tensor

from vlm.gemma import GemmaForCausalLM

DTYPES = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
}


def read_safetensors(data: bytes) -> dict[str, Tensor]:
    """Read all tensors of a safetensors file, given as bytes.

    The file has three parts. First 8 bytes: an integer n, least significant byte first. Then n
    bytes of JSON, the header. It maps each tensor's name to a dict such as

        {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}

    The third part holds the numbers. Offsets count bytes from the start of this third part; the
    second offset is one past the tensor's last byte. The header's order need not be that of the
    numbers. If the header has the key "__metadata__", skip it: it is not a tensor.

    Args:
        data: the whole file. Its dtypes are those in the dict DTYPES, {"F32": torch.float32,
            "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}.

    Returns:
        Each tensor by its name, with the dtype and shape given in the header. A shape can be
        [], for a single number.

    Raises:
        ValueError: the file ends before a tensor does.

    Source: the description of the format in the documentation of safetensors.
    """
    raise NotImplementedError


def canonical_name(name: str) -> str | None:
    """Translate a tensor's name from any of the five layouts into this package's name.

    1. Remove one `model.` at the very beginning, if there is one.
    2. Return None for tensors that PaliGemma does not use: names that end in `.position_ids`,
       and, in the vision tower, names that contain `.head.`.
    3. `lm_head.weight` and `language_model.lm_head.weight` become
       `language_model.lm_head.weight`.
    4. `language_model.X` and `language_model.model.X` become `language_model.model.X`.
    5. `vision_tower.X` and `vision_tower.vision_model.X` become `vision_tower.vision_model.X`.
    6. Every other name stays as step 1 left it, such as `multi_modal_projector.linear.bias`.

    Example: `model.language_model.norm.weight` -> `language_model.model.norm.weight`.
    """
    raise NotImplementedError


def list_problems(
    expected: dict[str, list[int]],
    found: dict[str, list[int]],
) -> dict[str, list[str]]:
    """Compare the tensors that a model needs with those in a file.

    Args:
        expected: the shape of each of the model's tensors, by name.
        found: the same for the file.

    Returns:
        A dict that always has these three keys, each with a sorted list of names (empty if
        there is no such problem):
        "missing": names that only the model has;
        "unexpected": names that only the file has;
        "wrong shape": names that both have, with different shapes.
    """
    raise NotImplementedError


def load_weights(
    model: GemmaForCausalLM,
    tensors: dict[str, Tensor],
    dtype: torch.dtype | None = None,
):
    """Load the tensors of a file into a model that was built on the meta device.

    - The tensors become the model's parameters. A tensor that already has the requested dtype
      is used as it is, without a copy; any other is cast once, directly to that dtype.
    - The head may be tied to the embedding: if `lm_head.weight` is absent, or equal to
      `model.embed_tokens.weight` in every number, both must be the same parameter afterwards.
      If the file has a head with other numbers, the model gets that head, and it is not tied.
    - Loading is strict: nothing may be missing, unexpected or of a wrong shape, see below.

    Args:
        model: a GemmaForCausalLM on the meta device. `model.tie_weights()` ties its head.
            `load_state_dict(..., assign=True)` makes the given tensors the parameters, instead
            of copying into existing ones.
        tensors: the file's tensors, under the names that `model.state_dict()` uses.
        dtype: the dtype of all parameters after loading; None keeps each tensor's own dtype.

    Raises:
        ValueError: a tensor is missing (the head may be), unexpected, or of a wrong shape. You
            may use `list_problems`.
    """
    raise NotImplementedError
