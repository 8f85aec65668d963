"""Common mistakes in the exercises of chapter 13, and other right answers."""

import json
import struct

import numpy as np
import torch
from torch import Tensor

from grader import mistake, variant
from solutions import ch13_loading as solution
from solutions.ch13_loading import DTYPES, EMBEDDING, HEAD
from vlm.gemma import GemmaForCausalLM


def parts(data: bytes) -> tuple[dict[str, dict], bytes]:
    """The header without the metadata, and the numbers."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    return header, data[start:]


def tensor_of(raw: bytes, dtype: torch.dtype, shape: list[int]) -> Tensor:
    return torch.frombuffer(bytearray(raw), dtype=dtype).reshape(shape)


@mistake(
    "read_safetensors", "You applied the offsets from the start of the file. They count from the end of the header."
)
def offsets_from_the_beginning_of_the_file(data: bytes) -> dict[str, Tensor]:
    header, _ = parts(data)
    return {
        name: tensor_of(data[slice(*e["data_offsets"])], DTYPES[e["dtype"]], e["shape"]) for name, e in header.items()
    }


@mistake(
    "read_safetensors", "You start the numbers at byte n. The 8 bytes of the length come first, so they start at 8 + n."
)
def first_eight_bytes_forgotten(data: bytes) -> dict[str, Tensor]:
    header, numbers = parts(data)
    numbers = data[len(data) - len(numbers) - 8 :]
    return {
        name: tensor_of(numbers[slice(*e["data_offsets"])], DTYPES[e["dtype"]], e["shape"])
        for name, e in header.items()
    }


@mistake(
    "read_safetensors",
    "You read the header's length as big-endian. Its least significant byte comes first (little-endian).",
)
def length_from_the_wrong_end(data: bytes) -> dict[str, Tensor]:
    json.loads(data[8 : 8 + int.from_bytes(data[:8], "big")])  # far too long, so the numbers are parsed as JSON
    return solution.read_safetensors(data)


@mistake("read_safetensors", "The tensors are flat: reshape each to the shape in the header.")
def shape_ignored(data: bytes) -> dict[str, Tensor]:
    return {name: tensor.reshape(-1) for name, tensor in solution.read_safetensors(data).items()}


@mistake("read_safetensors", "You read BF16 as float16, which splits its 16 bits differently. Use torch.bfloat16.")
def bfloat16_read_as_float16(data: bytes) -> dict[str, Tensor]:
    tensors = solution.read_safetensors(data)
    return {
        name: tensor.view(torch.float16) if tensor.dtype == torch.bfloat16 else tensor
        for name, tensor in tensors.items()
    }


@mistake("read_safetensors", "Every tensor comes out as float32. Keep the dtype that the header gives.")
def all_cast_to_float32(data: bytes) -> dict[str, Tensor]:
    return {name: tensor.float() for name, tensor in solution.read_safetensors(data).items()}


@mistake("read_safetensors", "You skip the tensors that a truncated file no longer holds. Raise a ValueError instead.")
def truncated_tensors_skipped(data: bytes) -> dict[str, Tensor]:
    header, numbers = parts(data)
    whole = {name: entry for name, entry in header.items() if entry["data_offsets"][1] <= len(numbers)}
    return {
        name: tensor_of(numbers[slice(*e["data_offsets"])], DTYPES[e["dtype"]], e["shape"]) for name, e in whole.items()
    }


@mistake("read_safetensors", "You fill up a truncated file with zeros. Raise a ValueError instead.")
def truncated_tensors_filled_up(data: bytes) -> dict[str, Tensor]:
    return solution.read_safetensors(data + bytes(64))


@mistake(
    "read_safetensors",
    "You read the tensors in the header's order. Use data_offsets: the numbers may be in another order.",
)
def offsets_ignored(data: bytes) -> dict[str, Tensor]:
    header, numbers = parts(data)
    if max(entry["data_offsets"][1] for entry in header.values()) > len(numbers):
        raise ValueError("the file ends too early")
    tensors, begin = {}, 0
    for name, entry in header.items():
        length = entry["data_offsets"][1] - entry["data_offsets"][0]
        tensors[name] = tensor_of(numbers[begin : begin + length], DTYPES[entry["dtype"]], entry["shape"])
        begin += length
    return tensors


@variant("read_safetensors")
def read_by_numpy(data: bytes) -> dict[str, Tensor]:
    (length,) = struct.unpack_from("<Q", data)
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + length].decode()).items():
        if name == "__metadata__":
            continue
        first, last = (8 + length + offset for offset in entry["data_offsets"])
        raw = np.frombuffer(data[first:last], dtype=np.uint8).copy()
        if len(raw) < last - first:
            raise ValueError("the file ends too early")
        tensors[name] = torch.from_numpy(raw).view(DTYPES[entry["dtype"]]).view(tuple(entry["shape"]))
    return tensors


@mistake("canonical_name", "You keep a leading `model.`. Remove it once, at the very beginning.")
def leading_model_kept(name: str) -> str | None:
    return solution.canonical_name(name) if not name.startswith("model.") else name


@mistake(
    "canonical_name", "You removed `model.` everywhere, also from `vision_model.`. Remove it at the beginning only."
)
def model_dropped_everywhere(name: str) -> str | None:
    name = name.replace("model.", "")
    return solution.canonical_name(name)


@mistake(
    "canonical_name",
    "You removed the first `model.` anywhere, also from `vision_model.`. Remove it at the beginning only.",
)
def first_model_dropped(name: str) -> str | None:
    return solution.canonical_name(name.replace("model.", "", 1))


@mistake("canonical_name", "Some layouts omit `vision_model.` in the tower's names. Insert it there.")
def vision_model_not_inserted(name: str) -> str | None:
    if name.removeprefix("model.").startswith("vision_tower.") and ".vision_model." not in name:
        return name.removeprefix("model.") if solution.canonical_name(name) else None
    return solution.canonical_name(name)


@mistake("canonical_name", "You insert `vision_model.` a second time where the name already has it.")
def vision_model_twice(name: str) -> str | None:
    result = solution.canonical_name(name)
    if result and ".vision_model." in name:
        return result.replace("vision_model.", "vision_model.vision_model.")
    return result


@mistake("canonical_name", "Some layouts omit `model.` after `language_model.`. Insert it there.")
def second_model_not_inserted(name: str) -> str | None:
    result = solution.canonical_name(name)
    if result and name.startswith("model.language_model."):
        return name.removeprefix("model.")
    return result


@mistake(
    "canonical_name",
    "You keep the tower's pooling head and position_ids. PaliGemma uses neither: return None for them.",
)
def unused_kept(name: str) -> str | None:
    return solution.canonical_name(name) or name.removeprefix("model.")


@mistake(
    "canonical_name",
    "`lm_head.weight` without a prefix is the language model's head too: `language_model.lm_head.weight`.",
)
def lone_head_not_recognized(name: str) -> str | None:
    return name if name == "lm_head.weight" else solution.canonical_name(name)


@mistake(
    "canonical_name",
    "The head is not part of the inner model: its name is `language_model.lm_head.weight`, without `model.`.",
)
def head_inside_the_model(name: str) -> str | None:
    result = solution.canonical_name(name)
    return "language_model.model.lm_head.weight" if result and "lm_head" in result else result


@mistake("canonical_name", "You dropped the language model's head too. Only the vision tower's head is unused.")
def all_heads_dropped(name: str) -> str | None:
    return None if "head" in name else solution.canonical_name(name)


@variant("canonical_name")
def named_by_splitting(name: str) -> str | None:
    words = name.split(".")
    if words[0] == "model":
        words = words[1:]
    if words[-1] == "position_ids" or (words[0] == "vision_tower" and "head" in words):
        return None
    if "lm_head" in words:
        return "language_model.lm_head.weight"
    inner = {"language_model": "model", "vision_tower": "vision_model"}.get(words[0])
    if inner and words[1] != inner:
        words.insert(1, inner)
    return ".".join(words)


@mistake("list_problems", "You do not report missing tensors. Those weights would keep their random values.")
def missing_not_reported(expected: dict, found: dict) -> dict[str, list[str]]:
    return solution.list_problems(expected, found) | {"missing": []}


@mistake(
    "list_problems", "You do not report unexpected tensors. One of them may be a missing weight under a wrong name."
)
def unexpected_not_reported(expected: dict, found: dict) -> dict[str, list[str]]:
    return solution.list_problems(expected, found) | {"unexpected": []}


@mistake("list_problems", "You do not compare shapes. List the names that both have with different shapes.")
def shapes_not_compared(expected: dict, found: dict) -> dict[str, list[str]]:
    return solution.list_problems(expected, found) | {"wrong shape": []}


@mistake("list_problems", "You compared the number of elements, not the shape: [2, 10] is not [10, 2].")
def sizes_compared(expected: dict, found: dict) -> dict[str, list[str]]:
    both = expected.keys() & found.keys()
    wrong = sorted(name for name in both if np.prod(expected[name]) != np.prod(found[name]))
    return solution.list_problems(expected, found) | {"wrong shape": wrong}


@mistake(
    "list_problems",
    "Missing and unexpected are swapped: a missing tensor is one that the model has and the file lacks.",
)
def missing_and_unexpected_swapped(expected: dict, found: dict) -> dict[str, list[str]]:
    return solution.list_problems(found, expected)


@mistake("list_problems", "The names are in the order of the arguments. Sort each list.")
def not_sorted(expected: dict, found: dict) -> dict[str, list[str]]:
    return {
        "missing": [name for name in expected if name not in found],
        "unexpected": [name for name in found if name not in expected],
        "wrong shape": [name for name in expected if name in found and found[name] != expected[name]],
    }


@mistake("list_problems", "You report only the first name of each kind. List all of them.")
def only_the_first(expected: dict, found: dict) -> dict[str, list[str]]:
    return {kind: names[:1] for kind, names in solution.list_problems(expected, found).items()}


@mistake("list_problems", "You list missing tensors as wrong shapes too. That list is for names that both have.")
def absent_has_wrong_shape(expected: dict, found: dict) -> dict[str, list[str]]:
    wrong = sorted(name for name in expected if found.get(name) != expected[name])
    return solution.list_problems(expected, found) | {"wrong shape": wrong}


@variant("list_problems")
def compared_one_by_one(expected: dict, found: dict) -> dict[str, list[str]]:
    problems = {"missing": [], "unexpected": [], "wrong shape": []}
    for name in sorted({*expected, *found}):
        if name not in found:
            problems["missing"].append(name)
        elif name not in expected:
            problems["unexpected"].append(name)
        elif tuple(found[name]) != tuple(expected[name]):
            problems["wrong shape"].append(name)
    return problems


def assign(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype: torch.dtype | None):
    """Cast the tensors and assign them, without checks and without tying."""
    model.load_state_dict({name: t.to(dtype) for name, t in tensors.items()}, strict=False, assign=True)


def check(model: GemmaForCausalLM, tensors: dict[str, Tensor], ignored: str = ""):
    """The solution's check, except for one kind of problem."""
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    problems = solution.list_problems(shapes, {name: list(tensor.shape) for name, tensor in tensors.items()})
    problems["missing"] = [name for name in problems["missing"] if name != HEAD]
    if any(names for kind, names in problems.items() if kind != ignored):
        raise ValueError(str(problems))


def has_own_head(tensors: dict[str, Tensor]) -> bool:
    return HEAD in tensors and not torch.equal(tensors[HEAD], tensors[EMBEDDING])


@mistake(
    "load_weights",
    "A missing tensor raises nothing: strict=False skips it silently. Raise a ValueError.",
    "A strict loader: missing keys, unexpected keys, wrong shapes",
)
def missing_ignored(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    check(model, tensors, "missing")
    assign(model, tensors, dtype)
    if not has_own_head(tensors):
        model.tie_weights()


@mistake(
    "load_weights",
    "An unexpected tensor raises nothing. Raise a ValueError: it may be a missing one under a wrong name.",
    "A strict loader: missing keys, unexpected keys, wrong shapes",
)
def unexpected_ignored(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    check(model, tensors, "unexpected")
    assign(model, tensors, dtype)
    if not has_own_head(tensors):
        model.tie_weights()


@mistake(
    "load_weights",
    "A wrong shape raises nothing. Raise a ValueError, even where the tensor could be broadcast.",
    "A strict loader: missing keys, unexpected keys, wrong shapes",
)
def wrong_shape_ignored(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    check(model, tensors, "wrong shape")
    expected = model.state_dict()
    assign(model, {name: tensor.expand(expected[name].shape) for name, tensor in tensors.items()}, dtype)
    if not has_own_head(tensors):
        model.tie_weights()


@mistake(
    "load_weights",
    "You do not check the head's shape. If the file has a head, it must match the model too.",
    "A strict loader: missing keys, unexpected keys, wrong shapes",
)
def head_of_any_shape(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    without = {name: tensor for name, tensor in tensors.items() if name != HEAD}
    check(model, without)
    assign(model, without, dtype)
    model.tie_weights()
    if has_own_head(tensors):
        model.lm_head.weight = torch.nn.Parameter(tensors[HEAD].to(dtype))


@mistake(
    "load_weights",
    "The head is not tied. If the file has none, it has no values: call `tie_weights` after loading.",
    "The tied head",
)
def head_not_tied(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    check(model, tensors)
    assign(model, tensors, dtype)


@mistake(
    "load_weights", "The head is a copy of the embedding. Tied means that both are the same parameter.", "The tied head"
)
def head_copied(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    check(model, tensors)
    assign(model, {HEAD: tensors[EMBEDDING].clone()} | tensors, dtype)


@mistake(
    "load_weights",
    "You overwrote the file's own head by tying. Tie only if the head is absent or equals the embedding.",
    "The tied head",
)
def own_head_overwritten(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    check(model, tensors)
    assign(model, tensors, dtype)
    model.tie_weights()


@mistake(
    "load_weights", "The file's own head keeps the file's dtype. Cast it like every other tensor.", "The tied head"
)
def head_not_cast(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    solution.load_weights(model, {name: tensor for name, tensor in tensors.items() if name != HEAD}, dtype)
    check(model, tensors)
    if has_own_head(tensors):
        model.lm_head.weight = torch.nn.Parameter(tensors[HEAD])


@mistake(
    "load_weights", "A head that equals the embedding is stored as a second matrix. Tie it instead.", "The tied head"
)
def equal_head_not_tied(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    check(model, tensors)
    assign(model, tensors, dtype)
    if HEAD not in tensors:
        model.tie_weights()


@mistake(
    "load_weights",
    "You raise an error for a file without a head. Most files have none: tie the head instead.",
    "The tied head",
)
def head_required(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    if HEAD not in tensors:
        raise ValueError("missing: lm_head.weight")
    solution.load_weights(model, tensors, dtype)


@mistake(
    "load_weights", "You copy the weights more often than necessary. Cast each once, directly to the requested dtype."
)
def cast_twice(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    same = {tensor.dtype for tensor in tensors.values()} == {dtype or tensors[EMBEDDING].dtype}
    if not same:
        dtype = dtype or tensors[EMBEDDING].dtype
        tensors = {name: tensor.double() for name, tensor in tensors.items()}
    solution.load_weights(model, tensors, dtype)


@mistake(
    "load_weights", "You allocate parameters and copy the weights into them. Use the tensors as they are (assign=True)."
)
def copied_into_an_empty_model(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    check(model, tensors)
    model.to(dtype or tensors[EMBEDDING].dtype).to_empty(device="cpu")
    model.tie_weights()
    if has_own_head(tensors):
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    model.load_state_dict(tensors, strict=False)


@mistake("load_weights", "You ignore the requested dtype. Cast the tensors to it.")
def dtype_ignored(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    solution.load_weights(model, tensors)


@mistake("load_weights", "With dtype=None you cast to float32. Keep the file's dtype instead.")
def float32_by_default(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    solution.load_weights(model, tensors, dtype or torch.float32)


@variant("load_weights")
def cast_at_the_end(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    check(model, tensors)
    head = tensors.get(HEAD)
    for name, tensor in tensors.items():
        owner, _, last = name.rpartition(".")
        setattr(model.get_submodule(owner), last, torch.nn.Parameter(tensor))
    if head is None or bool((head == tensors[EMBEDDING]).all()):
        model.lm_head.weight = model.model.embed_tokens.weight
    model.to(dtype)


@variant("load_weights")
def strict_with_the_head_filled_in(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    if EMBEDDING in tensors:
        tensors = {HEAD: tensors[EMBEDDING]} | tensors
    own = has_own_head(tensors)
    try:
        model.load_state_dict({name: t.to(dtype or t.dtype) for name, t in tensors.items()}, assign=True)
    except RuntimeError as error:
        raise ValueError(str(error)) from None
    if not own:
        model.tie_weights()
