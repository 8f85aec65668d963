"""Mistakes people make in chapter 0, and other right answers."""

import torch
from torch import Tensor, nn

from grader import mistake, variant
from solutions import ch00_setup as solution


@mistake("to_unit_length", "You took the length over the places; a vector's own numbers are the last axis.")
def length_over_places(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=1, keepdim=True)


@mistake("to_unit_length", "Without keepdim the lengths [B, N] do not line up with [B, N, D].")
def length_without_keepdim(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1)


@mistake("to_unit_length", "You took one length for everything; each vector has its own.")
def one_length_for_all(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm()


@mistake("to_unit_length", "You divided by the square of the length: the root is missing.")
def length_without_root(vectors: Tensor) -> Tensor:
    return vectors / (vectors**2).sum(dim=-1, keepdim=True)


@mistake("to_unit_length", "You divided by the sum of the numbers; a length is the root of the sum of their squares.")
def divided_by_the_sum(vectors: Tensor) -> Tensor:
    return vectors / vectors.sum(dim=-1, keepdim=True)


@mistake("to_unit_length", "The result is float32 whatever came in: keep the dtype of the argument.")
def always_float32(vectors: Tensor) -> Tensor:
    return solution.to_unit_length(vectors.float())


@variant("to_unit_length")
def normalized_by_torch(vectors: Tensor) -> Tensor:
    return nn.functional.normalize(vectors, dim=-1)


@mistake("add_shades", "Shapes are lined up from the right: your shades went to rows and columns, not to channels.")
def shades_on_rows_and_columns(pictures: Tensor, shades: Tensor) -> Tensor:
    return pictures + shades


@mistake("add_shades", "Your shades went to the rows of pixels: one more axis is needed at the end.")
def shades_on_rows(pictures: Tensor, shades: Tensor) -> Tensor:
    return pictures + shades[:, None, :, None]


@mistake("add_shades", "Every picture got the shades of the first one.")
def shades_of_the_first(pictures: Tensor, shades: Tensor) -> Tensor:
    return pictures + shades[0][:, None, None]


@mistake("add_shades", "You multiplied; the shades are added.")
def shades_multiplied(pictures: Tensor, shades: Tensor) -> Tensor:
    return pictures * shades[:, :, None, None]


@variant("add_shades")
def shades_by_expanding(pictures: Tensor, shades: Tensor) -> Tensor:
    batch, channels = shades.shape
    return shades.reshape(batch, channels, 1, 1).expand_as(pictures).add(pictures)


@mistake("append_places", "Your numbers run from 1; the first place is 0.")
def places_from_one(vectors: Tensor) -> Tensor:
    appended = solution.append_places(vectors)
    return torch.cat([vectors, appended[..., -1:] + 1 / vectors.shape[1]], dim=-1)


@mistake("append_places", "You divided by N - 1; the last place gets (N - 1) / N.")
def places_to_one(vectors: Tensor) -> Tensor:
    length = vectors.shape[1]
    places = torch.arange(length, dtype=vectors.dtype, device=vectors.device) / max(length - 1, 1)
    return torch.cat([vectors, places[:, None].expand(len(vectors), length, 1)], dim=-1)


@mistake("append_places", "The places are not divided by N.")
def places_not_divided(vectors: Tensor) -> Tensor:
    appended = solution.append_places(vectors)
    return torch.cat([vectors, appended[..., -1:] * vectors.shape[1]], dim=-1)


@mistake("append_places", "You wrote the places in front of the vectors; they go behind.")
def places_in_front(vectors: Tensor) -> Tensor:
    return solution.append_places(vectors).roll(1, dims=-1)


@mistake(
    "append_places", "Your places are float32, and bfloat16 vectors become float32 beside them: give arange the dtype."
)
def places_in_float32(vectors: Tensor) -> Tensor:
    batch, length, _ = vectors.shape
    places = torch.arange(length, device=vectors.device) / length
    return torch.cat([vectors, places[:, None].expand(batch, length, 1)], dim=-1)


@mistake("append_places", "You made the new tensor on the CPU; it must be on the device of the argument.")
def places_on_the_processor(vectors: Tensor) -> Tensor:
    batch, length, _ = vectors.shape
    places = torch.zeros(batch, length, 1, dtype=vectors.dtype)
    places[...] = (torch.arange(length) / length)[:, None]
    return torch.cat([vectors, places], dim=-1)


@mistake("append_places", "You counted the rows of the batch, not the places in each.")
def places_of_the_batch(vectors: Tensor) -> Tensor:
    batch, length, _ = vectors.shape
    rows = torch.arange(batch, dtype=vectors.dtype, device=vectors.device) / batch
    return torch.cat([vectors, rows[:, None, None].expand(batch, length, 1)], dim=-1)


@variant("append_places")
def places_by_padding(vectors: Tensor) -> Tensor:
    wider = nn.functional.pad(vectors, (0, 1), value=1.0)
    wider[..., -1] = wider[..., -1].cumsum(dim=1) - 1
    wider[..., -1] /= vectors.shape[1]
    return wider
