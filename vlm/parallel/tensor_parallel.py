"""Tensor parallelism: every process holds a slice of every large matrix, and all work on the same token.

In a pair of linear layers, the first is column-parallel and the second row-parallel. The first computes some of the
hidden units (or heads) in each process, without communication; the second makes a partial sum of them, and one
all-reduce adds the partial sums. So a block costs two all-reduces of one vector for each token. Source: Megatron-LM
(arXiv 1909.08053), section 3.

Shapes: A heads, K key/value heads, W processes.
"""

from dataclasses import replace
from pathlib import Path

import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from vlm.checkpoints.skeleton import empty_model
from vlm.config import PaliGemmaConfig
from vlm.loader import fill_model
from vlm.paligemma import PaliGemmaForConditionalGeneration


def split_model(model: PaliGemmaForConditionalGeneration, mesh: DeviceMesh):
    """Split the model's matrices in place; afterwards this process holds only its slices.

    All processes call the model as before, and all get the same logits. The model's config becomes that of this
    process: A / W heads, and K / W key/value heads (or the only one, as in the 3B), so that a KVCache made from it
    holds these heads only.

    Raises:
        ValueError: W does not divide the numbers of heads.
    """
    num_processes = mesh.size()
    check_divisible(model.config, num_processes)
    language_model, text_config = model.language_model, model.config.text_config
    is_tied = language_model.lm_head.weight is language_model.model.embed_tokens.weight
    shares_keys = text_config.num_key_value_heads == 1
    num_heads = text_config.num_attention_heads // num_processes
    num_key_value_heads = 1 if shares_keys else text_config.num_key_value_heads // num_processes

    for layer in language_model.model.layers:
        plan = {
            "self_attn.q_proj": ColwiseParallel(),
            "self_attn.o_proj": RowwiseParallel(),
            "mlp.gate_proj": ColwiseParallel(),
            "mlp.up_proj": ColwiseParallel(),
            "mlp.down_proj": RowwiseParallel(),
        }
        if not shares_keys:
            plan |= {"self_attn.k_proj": ColwiseParallel(), "self_attn.v_proj": ColwiseParallel()}
        parallelize_module(layer, mesh, plan)
        layer.self_attn.num_groups = num_heads // num_key_value_heads
    plan = {
        # each process holds some of the tokens
        "model.embed_tokens": RowwiseParallel(input_layouts=Replicate()),
        "lm_head": ColwiseParallel(output_layouts=Replicate()),
    }
    parallelize_module(language_model, mesh, plan)
    if is_tied:
        language_model.tie_weights()

    for layer in model.vision_tower.vision_model.encoder.layers:
        plan = {f"self_attn.{name}": ColwiseParallel() for name in ("q_proj", "k_proj", "v_proj")}
        plan |= {"self_attn.out_proj": RowwiseParallel(), "mlp.fc1": ColwiseParallel(), "mlp.fc2": RowwiseParallel()}
        parallelize_module(layer, mesh, plan)
        layer.self_attn.num_heads //= num_processes
    text_config = replace(text_config, num_attention_heads=num_heads, num_key_value_heads=num_key_value_heads)
    model.config = replace(model.config, text_config=text_config)


def check_divisible(config: PaliGemmaConfig, num_processes: int):
    text, vision = config.text_config, config.vision_config
    counts = {"heads": text.num_attention_heads, "vision heads": vision.num_attention_heads}
    if text.num_key_value_heads > 1:
        counts["key/value heads"] = text.num_key_value_heads
    for name, count in counts.items():
        if count % num_processes:
            raise ValueError(f"{count} {name} cannot be split among {num_processes} processes: use a divisor")


def load_split_model(
    directory: Path, mesh: DeviceMesh, dtype: torch.dtype | None = None
) -> PaliGemmaForConditionalGeneration:
    """Load a checkpoint so that each process reads only its own slices of the large matrices.

    Args:
        directory: a checkpoint, which every machine must be able to read.
        dtype: of the weights in memory; None keeps the file's.

    Raises:
        FileNotFoundError, ValueError: as `load_model` does.
    """
    model = empty_model(directory)
    split_model(model, mesh)
    targets = model.state_dict()

    def read(file, name: str, new: str) -> torch.Tensor:
        return read_slice(file.get_slice(name), targets[new], mesh.device_type)

    return fill_model(model, directory, "cpu", dtype, read)


def read_slice(file_slice, target: torch.Tensor, device: str) -> torch.Tensor:
    """What this process holds of a tensor: all of it, or the slice that the placements of `target` assign to it."""
    if not isinstance(target, DTensor):
        return file_slice[:].to(device)
    mesh, placements = target.device_mesh, target.placements
    shape, offset = compute_local_shape_and_global_offset(target.shape, mesh, placements)
    part = file_slice[tuple(slice(start, start + size) for start, size in zip(offset, shape, strict=True))]
    return DTensor.from_local(
        part.to(device), mesh, placements, run_check=False, shape=target.shape, stride=target.stride()
    )
