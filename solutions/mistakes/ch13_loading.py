"""Mistakes people make in chapter 13, and other right answers."""

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


@mistake("read_safetensors", "The offsets count from the end of the header, not from the beginning of the file.")
def offsets_from_the_beginning_of_the_file(data: bytes) -> dict[str, Tensor]:
    header, _ = parts(data)
    return {
        name: tensor_of(data[slice(*e["data_offsets"])], DTYPES[e["dtype"]], e["shape"]) for name, e in header.items()
    }


@mistake("read_safetensors", "The 8 bytes of the length stand before the header: the numbers begin at 8 + n, not at n.")
def first_eight_bytes_forgotten(data: bytes) -> dict[str, Tensor]:
    header, numbers = parts(data)
    numbers = data[len(data) - len(numbers) - 8 :]
    return {
        name: tensor_of(numbers[slice(*e["data_offsets"])], DTYPES[e["dtype"]], e["shape"])
        for name, e in header.items()
    }


@mistake("read_safetensors", "The length of the header has its least significant byte first.")
def length_from_the_wrong_end(data: bytes) -> dict[str, Tensor]:
    json.loads(data[8 : 8 + int.from_bytes(data[:8], "big")])  # far too long, so the numbers are read as JSON
    return solution.read_safetensors(data)


@mistake("read_safetensors", "The shape is not applied: the numbers of a tensor come as one row.")
def shape_ignored(data: bytes) -> dict[str, Tensor]:
    return {name: tensor.reshape(-1) for name, tensor in solution.read_safetensors(data).items()}


@mistake(
    "read_safetensors", "BF16 is bfloat16; you read its 16 bits as float16, which has other ones for the exponent."
)
def bfloat16_read_as_float16(data: bytes) -> dict[str, Tensor]:
    tensors = solution.read_safetensors(data)
    return {
        name: tensor.view(torch.float16) if tensor.dtype == torch.bfloat16 else tensor
        for name, tensor in tensors.items()
    }


@mistake("read_safetensors", "Every tensor comes as float32; its dtype should be the one that the header names.")
def all_cast_to_float32(data: bytes) -> dict[str, Tensor]:
    return {name: tensor.float() for name, tensor in solution.read_safetensors(data).items()}


@mistake("read_safetensors", "A file that ends too early is read as far as it goes: raise a ValueError.")
def what_is_cut_off_is_left_out(data: bytes) -> dict[str, Tensor]:
    header, numbers = parts(data)
    whole = {name: entry for name, entry in header.items() if entry["data_offsets"][1] <= len(numbers)}
    return {
        name: tensor_of(numbers[slice(*e["data_offsets"])], DTYPES[e["dtype"]], e["shape"]) for name, e in whole.items()
    }


@mistake("read_safetensors", "A file that ends too early is filled with zeros: raise a ValueError.")
def what_is_cut_off_is_made_up(data: bytes) -> dict[str, Tensor]:
    return solution.read_safetensors(data + bytes(64))


@mistake("read_safetensors", "You took the tensors in the header's order; where each begins and ends, its offsets say.")
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


@mistake("canonical_name", "A leading `model.` stays: drop it once, at the very beginning.")
def leading_model_kept(name: str) -> str | None:
    return solution.canonical_name(name) if not name.startswith("model.") else name


@mistake(
    "canonical_name", "You dropped `model.` wherever it stands, and so cut `vision_model.` too: only at the beginning."
)
def model_dropped_everywhere(name: str) -> str | None:
    name = name.replace("model.", "")
    return solution.canonical_name(name)


@mistake(
    "canonical_name", "You dropped the first `model.` wherever it stands, and cut `vision_model.`: only at the start."
)
def first_model_dropped(name: str) -> str | None:
    return solution.canonical_name(name.replace("model.", "", 1))


@mistake("canonical_name", "`vision_model.` is missing in the names of files that leave it out: put it in.")
def vision_model_not_put_in(name: str) -> str | None:
    if name.removeprefix("model.").startswith("vision_tower.") and ".vision_model." not in name:
        return name.removeprefix("model.") if solution.canonical_name(name) else None
    return solution.canonical_name(name)


@mistake("canonical_name", "`vision_model.` is put in a second time where it stands already.")
def vision_model_twice(name: str) -> str | None:
    result = solution.canonical_name(name)
    if result and ".vision_model." in name:
        return result.replace("vision_model.", "vision_model.vision_model.")
    return result


@mistake("canonical_name", "In the new layouts the language model's names have no second `model.`: put it in.")
def second_model_not_put_in(name: str) -> str | None:
    result = solution.canonical_name(name)
    if result and name.startswith("model.language_model."):
        return name.removeprefix("model.")
    return result


@mistake(
    "canonical_name", "The tower's pooling head and position_ids are kept; PaliGemma uses neither, so they give None."
)
def unused_kept(name: str) -> str | None:
    return solution.canonical_name(name) or name.removeprefix("model.")


@mistake("canonical_name", "`lm_head.weight` alone is the language model's head too, `language_model.lm_head.weight`.")
def lone_head_not_known(name: str) -> str | None:
    return name if name == "lm_head.weight" else solution.canonical_name(name)


@mistake(
    "canonical_name",
    "The head is not part of the inner model: it is `language_model.lm_head.weight`, without `model.`.",
)
def head_inside_the_model(name: str) -> str | None:
    result = solution.canonical_name(name)
    return "language_model.model.lm_head.weight" if result and "lm_head" in result else result


@mistake("canonical_name", "You threw away the language model's head; only the head of the vision tower is unused.")
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


@mistake("list_problems", "What the model needs and the file lacks is not reported: those weights would stay random.")
def missing_not_reported(expected: dict, found: dict) -> dict[str, list[str]]:
    return solution.list_problems(expected, found) | {"missing": []}


@mistake("list_problems", "What only the file has is not reported: it may be a weight under a wrong name.")
def surplus_not_reported(expected: dict, found: dict) -> dict[str, list[str]]:
    return solution.list_problems(expected, found) | {"surplus": []}


@mistake("list_problems", "Shapes are not compared.")
def shapes_not_compared(expected: dict, found: dict) -> dict[str, list[str]]:
    return solution.list_problems(expected, found) | {"wrong shape": []}


@mistake("list_problems", "You compared how many numbers a tensor has, not its shape: [2, 10] is not [10, 2].")
def sizes_compared(expected: dict, found: dict) -> dict[str, list[str]]:
    both = expected.keys() & found.keys()
    wrong = sorted(name for name in both if np.prod(expected[name]) != np.prod(found[name]))
    return solution.list_problems(expected, found) | {"wrong shape": wrong}


@mistake("list_problems", "Missing and surplus are exchanged: missing is what the model has and the file has not.")
def exchanged(expected: dict, found: dict) -> dict[str, list[str]]:
    return solution.list_problems(found, expected)


@mistake("list_problems", "The names come in the order of the tables; each list should be sorted.")
def not_sorted(expected: dict, found: dict) -> dict[str, list[str]]:
    return {
        "missing": [name for name in expected if name not in found],
        "surplus": [name for name in found if name not in expected],
        "wrong shape": [name for name in expected if name in found and found[name] != expected[name]],
    }


@mistake("list_problems", "Only the first of each kind is reported; list them all.")
def first_alone(expected: dict, found: dict) -> dict[str, list[str]]:
    return {kind: names[:1] for kind, names in solution.list_problems(expected, found).items()}


@mistake(
    "list_problems", "A tensor that is missing or surplus has no wrong shape: that list is for names that both have."
)
def absent_has_wrong_shape(expected: dict, found: dict) -> dict[str, list[str]]:
    wrong = sorted(name for name in expected if found.get(name) != expected[name])
    return solution.list_problems(expected, found) | {"wrong shape": wrong}


@variant("list_problems")
def compared_one_by_one(expected: dict, found: dict) -> dict[str, list[str]]:
    problems = {"missing": [], "surplus": [], "wrong shape": []}
    for name in sorted({*expected, *found}):
        if name not in found:
            problems["missing"].append(name)
        elif name not in expected:
            problems["surplus"].append(name)
        elif tuple(found[name]) != tuple(expected[name]):
            problems["wrong shape"].append(name)
    return problems


def put(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype: torch.dtype | None):
    """Cast and put in place, with nothing checked and nothing tied."""
    model.load_state_dict({name: t.to(dtype) for name, t in tensors.items()}, strict=False, assign=True)


def check(model: GemmaForCausalLM, tensors: dict[str, Tensor], passed_over: str = ""):
    """The solution's check, but for one kind of problem."""
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    problems = solution.list_problems(shapes, {name: list(tensor.shape) for name, tensor in tensors.items()})
    problems["missing"] = [name for name in problems["missing"] if name != HEAD]
    if any(names for kind, names in problems.items() if kind != passed_over):
        raise ValueError(str(problems))


def has_own_head(tensors: dict[str, Tensor]) -> bool:
    return HEAD in tensors and not torch.equal(tensors[HEAD], tensors[EMBEDDING])


@mistake(
    "load_weights",
    "You loaded with strict=False and checked nothing: a missing tensor must raise a ValueError.",
    "Nothing is forgiven",
)
def missing_passed_over(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    check(model, tensors, "missing")
    put(model, tensors, dtype)
    if not has_own_head(tensors):
        model.tie_weights()


@mistake(
    "load_weights",
    "A surplus tensor must raise a ValueError: it may be one that the model lacks, misnamed.",
    "Nothing is forgiven",
)
def surplus_passed_over(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    check(model, tensors, "surplus")
    put(model, tensors, dtype)
    if not has_own_head(tensors):
        model.tie_weights()


@mistake(
    "load_weights",
    "A shape that is not the model's must raise a ValueError, even where it could be broadcast.",
    "Nothing is forgiven",
)
def shape_passed_over(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    check(model, tensors, "wrong shape")
    expected = model.state_dict()
    put(model, {name: tensor.expand(expected[name].shape) for name, tensor in tensors.items()}, dtype)
    if not has_own_head(tensors):
        model.tie_weights()


@mistake(
    "load_weights", "The head's shape is not checked: a file's own head must fit the model too.", "Nothing is forgiven"
)
def head_of_any_shape(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    without = {name: tensor for name, tensor in tensors.items() if name != HEAD}
    check(model, without)
    put(model, without, dtype)
    model.tie_weights()
    if has_own_head(tensors):
        model.lm_head.weight = torch.nn.Parameter(tensors[HEAD].to(dtype))


@mistake(
    "load_weights",
    "The head is not tied: without one in the file it has no numbers. Call `tie_weights` at the end.",
    "The tied head",
)
def head_not_tied(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    check(model, tensors)
    put(model, tensors, dtype)


@mistake("load_weights", "The head is a copy of the embedding; tied means one and the same parameter.", "The tied head")
def head_copied(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    check(model, tensors)
    put(model, {HEAD: tensors[EMBEDDING].clone()} | tensors, dtype)


@mistake(
    "load_weights",
    "The head that the file has of its own is lost: tie only where it is absent or equal.",
    "The tied head",
)
def own_head_lost(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    check(model, tensors)
    put(model, tensors, dtype)
    model.tie_weights()


@mistake(
    "load_weights", "The file's own head keeps the dtype of the file; it is cast like every tensor.", "The tied head"
)
def head_not_cast(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    solution.load_weights(model, {name: tensor for name, tensor in tensors.items() if name != HEAD}, dtype)
    check(model, tensors)
    if has_own_head(tensors):
        model.lm_head.weight = torch.nn.Parameter(tensors[HEAD])


@mistake("load_weights", "A head that equals the embedding is kept as a second matrix; tie it.", "The tied head")
def equal_head_kept_apart(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    check(model, tensors)
    put(model, tensors, dtype)
    if HEAD not in tensors:
        model.tie_weights()


@mistake("load_weights", "A file without a head is right, and most have none: it must not raise.", "The tied head")
def head_demanded(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    if HEAD not in tensors:
        raise ValueError("missing: lm_head.weight")
    solution.load_weights(model, tensors, dtype)


@mistake("load_weights", "The numbers are copied more often than they have to be: cast once, straight to the dtype.")
def cast_twice(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    same = {tensor.dtype for tensor in tensors.values()} == {dtype or tensors[EMBEDDING].dtype}
    if not same:
        dtype = dtype or tensors[EMBEDDING].dtype
        tensors = {name: tensor.double() for name, tensor in tensors.items()}
    solution.load_weights(model, tensors, dtype)


@mistake("load_weights", "Numbers are copied into memory set aside for them, though they could be used as they are.")
def copied_into_an_empty_model(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    check(model, tensors)
    model.to(dtype or tensors[EMBEDDING].dtype).to_empty(device="cpu")
    model.tie_weights()
    if has_own_head(tensors):
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    model.load_state_dict(tensors, strict=False)


@mistake("load_weights", "The dtype that was asked for is ignored.")
def dtype_ignored(model: GemmaForCausalLM, tensors: dict[str, Tensor], dtype=None):
    solution.load_weights(model, tensors)


@mistake("load_weights", "Without a dtype the numbers stay as the file has them; you made float32 of them.")
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
