"""The whole matrix against transformers, in one table: `make parity`, or `python tests/parity_matrix.py`.

Model generation x checkpoint layout x dtype x mode. Each checkpoint is written to disk in its layout, and loaded by
both programs.

The bar is 1e-5 in every logit, in 16 bits too, where it allows no difference in rounding at all: transformers uses its
written-out attention ("eager"), which rounds where this package rounds. (Its fused attention rounds elsewhere; bfloat16
logits then differ by up to 0.08, about as much as either differs from float32.)
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from reference import cache_argument, make_inputs, make_reference, make_twin, tiny_config
from safetensors.torch import save_file
from torch import Tensor

from vlm.attention_mask import make_position_ids
from vlm.checkpoints.layouts import EMBEDDING, HEAD, LAYOUTS, name_in_layout
from vlm.kv_cache import KVCache
from vlm.loader import load_model

GENERATIONS = (1, 2)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
MODES = ("one row", "padded batch", "with suffix", "cached")
BAR = 1e-5


@dataclass(frozen=True)
class Cell:
    """One comparison: the largest difference between two logits."""

    generation: int
    layout: str
    dtype: str
    mode: str
    difference: float

    @property
    def is_in_bounds(self) -> bool:
        return self.difference <= BAR  # nan is not


def write_checkpoint(directory: Path, generation: int, layout: str, dtype: torch.dtype):
    """Write the same random weights for every layout, under the names of this one."""
    tensors = make_twin(make_reference(generation=generation), generation=generation).state_dict()
    head = tensors.pop(HEAD)
    if LAYOUTS[layout].writes_tied_head:
        tensors[HEAD] = head
    named = {name_in_layout(name, layout): tensor.to(dtype).clone() for name, tensor in tensors.items()}
    save_file(named, directory / "model.safetensors", metadata={"format": "pt"})
    assert EMBEDDING in tensors
    values = tiny_config(generation=generation) | {"dtype": str(dtype).removeprefix("torch.")}
    (directory / "config.json").write_text(json.dumps(values), encoding="utf-8")


def read(model, inputs: dict[str, Tensor], kv_cache, argument: str) -> Tensor:
    """Logits of a prompt and, with a cache, of seven more tokens one by one, which is longer than the window."""
    inputs = dict(inputs)
    attention_mask = inputs["attention_mask"]
    inputs["position_ids"] = make_position_ids(attention_mask, attention_mask.shape[1])
    extra = {} if kv_cache is None else {argument: kv_cache}
    logits = [model(**inputs, **extra).logits[attention_mask.bool()]]  # pads are ignored
    if kv_cache is None:
        return logits[0]
    batch_size = attention_mask.shape[0]
    for token in torch.randint(3, 90, (batch_size, 7), generator=torch.Generator().manual_seed(1)).split(1, dim=1):
        attention_mask = torch.nn.functional.pad(attention_mask, (0, 1), value=1)
        step = {"input_ids": token, "attention_mask": attention_mask, "token_type_ids": torch.ones_like(token)}
        step["position_ids"] = make_position_ids(attention_mask, 1)
        logits.append(model(**step, **extra).logits[:, 0])
    return torch.cat(logits)


def read_ours(model, inputs: dict[str, Tensor], cached: bool) -> Tensor:
    cache = None
    if cached:
        cache = KVCache(model.config.text_config, len(inputs["input_ids"]), max_length=40, dtype=model.dtype)
    return read(model, inputs, cache, "kv_cache").float()


def read_theirs(model, inputs: dict[str, Tensor], cached: bool) -> Tensor:
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config.text_config) if cached else None
    return read(model, inputs, cache, cache_argument(model)).float()


def inputs_of(mode: str, dtype: torch.dtype) -> dict[str, Tensor]:
    lengths = [7] if mode == "one row" else [9, 4, 7]
    inputs = make_inputs(lengths, num_suffix=3 if mode == "with suffix" else 0)
    inputs["pixel_values"] = inputs["pixel_values"].to(dtype)
    return inputs


@torch.inference_mode()
def compare() -> Iterator[Cell]:
    """All cells, one after another."""
    from transformers import PaliGemmaForConditionalGeneration as ReferenceModel

    for generation in GENERATIONS:
        for layout in LAYOUTS:
            for dtype_name, dtype in DTYPES.items():
                with tempfile.TemporaryDirectory() as folder:
                    write_checkpoint(Path(folder), generation, layout, dtype)
                    model = load_model(Path(folder))
                    options = {"attn_implementation": "eager", "output_loading_info": True}
                    reference, report = ReferenceModel.from_pretrained(folder, **options)
                assert not report["missing_keys"] and not report["unexpected_keys"]
                assert {parameter.dtype for parameter in model.parameters()} == {dtype} == {reference.dtype}
                for mode in MODES:
                    inputs, cached = inputs_of(mode, dtype), mode == "cached"
                    ours, theirs = read_ours(model, inputs, cached), read_theirs(reference.eval(), inputs, cached)
                    yield Cell(generation, layout, dtype_name, mode, largest(ours, theirs))


def largest(one: Tensor, other: Tensor) -> float:
    return (one - other).abs().max().item()


def main() -> int:
    import transformers

    transformers.utils.logging.disable_progress_bar()
    print(f"largest difference between two logits, this package and transformers {transformers.__version__}")
    print(f"{'model':12}{'layout':8}{'dtype':10}" + "".join(f"{mode:>14}" for mode in MODES))
    cells = list(compare())
    for start in range(0, len(cells), len(MODES)):
        row = cells[start : start + len(MODES)]
        name = "PaliGemma" if row[0].generation == 1 else "PaliGemma 2"
        values = [f"{c.difference:.1e}{'' if c.is_in_bounds else ' !'}" for c in row]
        print(f"{name:12}{row[0].layout:8}{row[0].dtype:10}" + "".join(f"{value:>14}" for value in values))
    outside = sum(not cell.is_in_bounds for cell in cells)
    print(f"{len(cells) - outside} of {len(cells)} in bounds, {BAR:.0e}")
    return int(outside > 0)


if __name__ == "__main__":
    sys.exit(main())
