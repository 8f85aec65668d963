"""Common mistakes in chapter 0, and other correct answers."""

import torch
from torch import Tensor, nn

from grader import mistake, variant
from solutions import ch00_setup as solution


@mistake(
    "to_unit_length",
    "You took the length over the positions, axis 1. A vector's entries are the last axis: use dim=-1.",
)
def length_over_positions(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=1, keepdim=True)


@mistake("to_unit_length", "Without keepdim=True, the lengths have shape [B, N], which does not align with [B, N, D].")
def length_without_keepdim(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1)


@mistake(
    "to_unit_length", "You divided everything by one length. Each vector has its own: take the norm over the last axis."
)
def one_length_for_all(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm()


@mistake("to_unit_length", "You divided by the squared length. Take the square root of the sum.")
def length_without_root(vectors: Tensor) -> Tensor:
    return vectors / (vectors**2).sum(dim=-1, keepdim=True)


@mistake(
    "to_unit_length",
    "You divided by the sum of the entries. The length is the square root of the sum of their squares.",
)
def divided_by_the_sum(vectors: Tensor) -> Tensor:
    return vectors / vectors.sum(dim=-1, keepdim=True)


@mistake("to_unit_length", "Your result is always float32. It must have the dtype of the argument.")
def always_float32(vectors: Tensor) -> Tensor:
    return solution.to_unit_length(vectors.float())


@variant("to_unit_length")
def normalized_by_torch(vectors: Tensor) -> Tensor:
    return nn.functional.normalize(vectors, dim=-1)


@mistake(
    "add_channel_offsets",
    "Shapes are aligned from the right, so your offsets were added to rows and columns instead of channels. Append "
    "two axes.",
)
def offsets_on_rows_and_columns(images: Tensor, offsets: Tensor) -> Tensor:
    return images + offsets


@mistake(
    "add_channel_offsets",
    "Your offsets were added to the rows of pixels. They need two new axes, both at the end: [B, C, 1, 1].",
)
def offsets_on_rows(images: Tensor, offsets: Tensor) -> Tensor:
    return images + offsets[:, None, :, None]


@mistake("add_channel_offsets", "Every image got the offsets of image 0. Use row b of `offsets` for image b.")
def offsets_of_the_first(images: Tensor, offsets: Tensor) -> Tensor:
    return images + offsets[0][:, None, None]


@mistake("add_channel_offsets", "You multiplied by the offsets. Add them.")
def offsets_multiplied(images: Tensor, offsets: Tensor) -> Tensor:
    return images * offsets[:, :, None, None]


@variant("add_channel_offsets")
def offsets_by_expanding(images: Tensor, offsets: Tensor) -> Tensor:
    batch, channels = offsets.shape
    return offsets.reshape(batch, channels, 1, 1).expand_as(images).add(images)


@mistake("append_positions", "Your positions start at 1. The first one is 0.")
def positions_from_one(vectors: Tensor) -> Tensor:
    appended = solution.append_positions(vectors)
    return torch.cat([vectors, appended[..., -1:] + 1 / vectors.shape[1]], dim=-1)


@mistake("append_positions", "You divided by N - 1. Divide by N: the last position gets (N - 1) / N.")
def positions_to_one(vectors: Tensor) -> Tensor:
    length = vectors.shape[1]
    positions = torch.arange(length, dtype=vectors.dtype, device=vectors.device) / max(length - 1, 1)
    return torch.cat([vectors, positions[:, None].expand(len(vectors), length, 1)], dim=-1)


@mistake("append_positions", "You appended the positions themselves. Divide them by N.")
def positions_not_divided(vectors: Tensor) -> Tensor:
    appended = solution.append_positions(vectors)
    return torch.cat([vectors, appended[..., -1:] * vectors.shape[1]], dim=-1)


@mistake("append_positions", "You put the positions before the entries of the vectors. Append them at the end.")
def positions_before_the_vectors(vectors: Tensor) -> Tensor:
    return solution.append_positions(vectors).roll(1, dims=-1)


@mistake(
    "append_positions",
    "Your positions are float32, so `torch.cat` promotes bfloat16 vectors to float32. Pass dtype=vectors.dtype to "
    "arange.",
)
def positions_in_float32(vectors: Tensor) -> Tensor:
    batch, length, _ = vectors.shape
    positions = torch.arange(length, device=vectors.device) / length
    return torch.cat([vectors, positions[:, None].expand(batch, length, 1)], dim=-1)


@mistake("append_positions", "You created the new tensor on the CPU. Pass device=vectors.device.")
def positions_on_the_cpu(vectors: Tensor) -> Tensor:
    batch, length, _ = vectors.shape
    positions = torch.zeros(batch, length, 1, dtype=vectors.dtype)
    positions[...] = (torch.arange(length) / length)[:, None]
    return torch.cat([vectors, positions], dim=-1)


@mistake("append_positions", "You numbered the rows of the batch. Number the positions within each row.")
def positions_of_the_batch(vectors: Tensor) -> Tensor:
    batch, length, _ = vectors.shape
    rows = torch.arange(batch, dtype=vectors.dtype, device=vectors.device) / batch
    return torch.cat([vectors, rows[:, None, None].expand(batch, length, 1)], dim=-1)


@variant("append_positions")
def positions_by_padding(vectors: Tensor) -> Tensor:
    wider = nn.functional.pad(vectors, (0, 1), value=1.0)
    wider[..., -1] = wider[..., -1].cumsum(dim=1) - 1
    wider[..., -1] /= vectors.shape[1]
    return wider
