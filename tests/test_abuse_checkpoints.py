"""Checkpoints that are damaged, forged or of another model: each raises one error that says what is wrong."""

import json
import shutil
import struct
import tempfile
from pathlib import Path

import pytest
import torch
from checkpoints import save_random_checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, load_file, save, save_file

from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image, example_path
from vlm.__main__ import main
from vlm.checkpoints.convert import convert
from vlm.checkpoints.headers import FILE_DTYPES, read_headers
from vlm.checkpoints.layouts import EMBEDDING, HEAD, canonical_name
from vlm.generate import generate
from vlm.loader import load_hf_model, load_model, read_tensors
from vlm.processor import PaliGemmaProcessor

pytestmark = pytest.mark.abuse
FUZZ = settings(derandomize=True, deadline=None, database=None, max_examples=150)
NORM = "language_model.model.norm.weight"


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return save_random_checkpoint(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def checkpoint(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "checkpoint"))


def take_apart(content: bytes) -> tuple[dict, bytes]:
    """Split a safetensors file into its header and its data."""
    [length] = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def put_together(header, numbers: bytes = b"", length: int | None = None) -> bytes:
    """The inverse, with a forged header and possibly a false header length."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + numbers


def assert_refused(directory: Path, capsys, *words: str):
    """Refused by the loader with a ValueError, and by the command line with the same words and no traceback."""
    with pytest.raises(ValueError) as error:
        load_hf_model(directory)
    for word in words:
        assert word in str(error.value)
    model, target = str(directory), str(directory.parent / "target")
    run = ["run", "--image", str(example_path(0)), "--prompt", "caption en", "--model", model]
    for command in (run, ["convert", model, target]):
        assert main(command) == 1
        err = capsys.readouterr().err
        assert err.startswith(f"vlm {command[0]}: ") and [word for word in words if word not in err] == []
    assert not (directory.parent / "target" / "config.json").exists()


def cuts(content: bytes) -> dict[str, int]:
    """Offsets at which to truncate a file: before and within each field of its header, and within the data."""
    [length] = struct.unpack("<Q", content[:8])
    header = content[8 : 8 + length]
    ends = {"nothing": 0, "within the length": 5, "after the length": 8, "after the header": 8 + length}
    for field in ("dtype", "shape", "data_offsets"):
        start = header.index(f'"{field}"'.encode())
        ends |= {f"before {field}": 8 + start, f"within {field}": 8 + start + 4}
        ends |= {f"before its value, {field}": 8 + header.index(b":", start) + 1}
    ends |= {"before the last brace": 8 + length - 1, "within the data": 8 + length + 1000}
    return ends | {"one byte early": len(content) - 1}


def test_a_file_truncated_at_any_field_is_reported(whole, checkpoint):
    content = (whole / "model.safetensors").read_bytes()
    for where, end in cuts(content).items():
        (checkpoint / "model.safetensors").write_bytes(content[:end])
        with pytest.raises(ValueError, match=r"model\.safetensors is not a complete safetensors file") as error:
            load_model(checkpoint)
        assert "copy or download it again" in str(error.value), where


def test_a_file_with_more_than_its_header_says_is_refused(whole, checkpoint, capsys):
    with open(checkpoint / "model.safetensors", "ab") as file:
        file.write(b"more")
    assert_refused(checkpoint, capsys, "is not a complete safetensors file")


@pytest.mark.parametrize("length", [10**8 + 1, 10**9, 3 * 10**9, 2**63, 2**64 - 1])
def test_a_header_of_gigabytes_is_refused_without_allocating_memory(checkpoint, length):
    with open(checkpoint / "model.safetensors", "wb") as file:  # a sparse file, as large as it claims to be
        file.write(struct.pack("<Q", length))
        file.truncate(min(8 + length, 4 * 10**9))
    with pytest.raises(ValueError, match=r"is not a complete safetensors file .*header too large"):
        load_model(checkpoint)


def offsets(begin: int, end: int):
    return lambda header, name: header[name].update(data_offsets=[begin, end])


FORGED = {
    "overlapping": lambda header, name: header[NORM].update(data_offsets=header[name]["data_offsets"]),
    "beginning inside another": lambda header, name: header[NORM].update(data_offsets=[8, 8 + 512]),
    "oversized": offsets(0, 10**12),
    "of 64 bits": offsets(2**64 - 8, 2**64 - 1),
    "the wrong way round": offsets(100, 0),
    "negative": offsets(-8, 0),
    "of a fraction": offsets(0.5, 4),
    "three of them": lambda header, name: header[name].update(data_offsets=[0, 1, 2]),
    "none": lambda header, name: header[name].pop("data_offsets"),
    "no dtype": lambda header, name: header[name].pop("dtype"),
    "no shape": lambda header, name: header[name].pop("shape"),
    "a dtype that there is not": lambda header, name: header[name].update(dtype="F31"),
    "a dtype of another size": lambda header, name: header[name].update(dtype="F64"),
    "a negative shape": lambda header, name: header[name].update(shape=[-1, 2]),
    "a shape past 64 bits": lambda header, name: header[name].update(shape=[2**40, 2**40]),
    "a shape that is a text": lambda header, name: header[name].update(shape="1921x128"),
    "metadata that are numbers": lambda header, name: header.update(__metadata__={"step": 3}),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_a_forged_header_is_refused(whole, checkpoint, capsys, forge):
    header, numbers = take_apart((whole / "model.safetensors").read_bytes())
    forge(header, EMBEDDING)
    (checkpoint / "model.safetensors").write_bytes(put_together(header, numbers))
    assert_refused(checkpoint, capsys, "is not a complete safetensors file")


@pytest.mark.parametrize("header", [b"[" * 10**6, b'{"a":' * 10**5, b"\xff" * 100, b"", b"[]", b"null", b"\0" * 50])
def test_a_header_that_is_no_header_is_refused(checkpoint, header):
    (checkpoint / "model.safetensors").write_bytes(put_together(header))
    with pytest.raises(ValueError, match="is not a complete safetensors file"):
        load_model(checkpoint)


@pytest.mark.parametrize("dtype", [torch.float64, torch.int8, torch.uint8, torch.bool, torch.float8_e4m3fn])
def test_an_unsupported_dtype_is_reported(checkpoint, capsys, dtype):
    path = checkpoint / "model.safetensors"
    tensors = load_file(path)
    tensors[NORM] = tensors[NORM].to(dtype)
    save_file(tensors, path)
    assert_refused(checkpoint, capsys, f"{path}: {NORM} is ", "expected F32, F16, BF16")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_nan_or_infinite_weight_is_reported(checkpoint, capsys, number, dtype):
    path = checkpoint / "model.safetensors"
    tensors = {name: tensor.to(dtype) for name, tensor in load_file(path).items()}
    tensors[NORM][7] = number
    save_file(tensors, path)
    model, tokenizer = load_hf_model(checkpoint)  # the file is only mapped into memory
    processor = PaliGemmaProcessor.for_model(model, tokenizer)
    with pytest.raises(ValueError, match=rf"{NORM} contains NaN or infinity in {dtype}: copy or download"):
        generate(model, processor, "caption en", example_image(0))
    assert main(["run", "--image", str(example_path(0)), "--prompt", "caption en", "--model", str(checkpoint)]) == 1
    assert f"{NORM} contains NaN or infinity" in capsys.readouterr().err
    assert main(["convert", str(checkpoint), str(checkpoint.parent / "target")]) == 1
    assert f"{path}: {NORM} contains NaN or infinity" in capsys.readouterr().err
    assert list((checkpoint.parent / "target").iterdir()) == []


def test_logits_too_large_for_a_dtype_are_distinguished_from_broken_weights():
    model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
    processor = PaliGemmaProcessor.for_model(model, tokenizer)
    with torch.no_grad():
        model.multi_modal_projector.linear.weight.mul_(1e38)
    with pytest.raises(
        ValueError, match=r"logits that are NaN or infinite in torch\.float32: instead of float16 use bfloat16"
    ):
        generate(model, processor, "caption en", example_image(0))


def test_a_weight_too_large_for_float16_is_reported_and_nothing_is_written(checkpoint):
    path = checkpoint / "model.safetensors"
    tensors = load_file(path)
    tensors[NORM][7] = 1e6
    save_file(tensors, path)
    model, tokenizer = load_hf_model(checkpoint, dtype=torch.float16)
    processor = PaliGemmaProcessor.for_model(model, tokenizer)
    with pytest.raises(ValueError, match=r"norm\.weight contains NaN or infinity in torch\.float16.*use bfloat16"):
        generate(model, processor, "caption en", example_image(0))
    with pytest.raises(ValueError, match=r"norm\.weight contains NaN or infinity in torch\.float16.*use bfloat16"):
        convert(checkpoint, checkpoint.parent / "half", torch.float16)
    assert list((checkpoint.parent / "half").iterdir()) == []


@pytest.mark.parametrize(
    "index", ['{"weight_map": {"a": 3}}', "[" * 10**5, b"\xff\xfe", '{"weight_map": {"a": "../b"}}', "9" * 5000]
)
def test_an_invalid_index_is_reported(checkpoint, capsys, index):
    path = checkpoint / "model.safetensors.index.json"
    path.write_bytes(index if isinstance(index, bytes) else index.encode())
    assert_refused(checkpoint, capsys, str(path))


def test_a_missing_tokenizer_is_reported(checkpoint, capsys):
    (checkpoint / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no tokenizer: expected tokenizer\.json or tokenizer\.model"):
        load_hf_model(checkpoint)
    assert main(["inspect", str(checkpoint)]) == 1
    assert "has no tokenizer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content"),
    [("tokenizer.json", text) for text in ("", "{", "{}", "[]", "null", '{"added_tokens": []}')]
    + [("tokenizer_config.json", text) for text in ("", "{", "[]", "null")],
)
def test_a_damaged_tokenizer_is_reported(checkpoint, name, content):
    (checkpoint / name).write_text(content)
    with pytest.raises(ValueError, match=r"checkpoint has a tokenizer that cannot be read .*again"):
        load_hf_model(checkpoint)


def swap_ids(tokenizer: dict, one: str, other: str):
    added = {token["content"]: token for token in tokenizer["added_tokens"]}
    added[one]["id"], added[other]["id"] = added[other]["id"], added[one]["id"]
    vocabulary = tokenizer["model"]["vocab"]
    if one in vocabulary and other in vocabulary:
        vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]


@pytest.mark.parametrize(("one", "other"), [("<eos>", "<bos>"), ("<pad>", "<unk>"), ("<bos>", "<unk>")])
def test_a_tokenizer_with_other_ids_is_refused(checkpoint, one, other):
    path = checkpoint / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    swap_ids(tokenizer, one, other)
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(ValueError, match=f"the tokenizer does not match config.json: {one} is"):
        load_hf_model(checkpoint)


def test_a_tokenizer_with_another_image_token_id_is_refused(checkpoint):
    path = checkpoint / "config.json"
    path.write_text(path.read_text().replace('"image_token_index": 1920', '"image_token_index": 1919'))
    with pytest.raises(ValueError, match="<image> is 1920, expected 1919"):
        load_hf_model(checkpoint)


def test_a_tokenizer_with_more_tokens_than_embedding_rows_is_refused(checkpoint):
    path = checkpoint / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    tokenizer["added_tokens"].append(tokenizer["added_tokens"][-1] | {"id": 1921, "content": "<one-more>"})
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(ValueError, match="it has 1922 tokens, but the embedding has 1921 rows"):
        load_hf_model(checkpoint)


def test_code_that_a_tokenizer_brings_along_is_neither_run_nor_asked_about(checkpoint, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked whether to run it"))
    (checkpoint / "mine.py").write_text("raise SystemExit('it was run')\n")
    settings = {"tokenizer_class": "Mine", "auto_map": {"AutoTokenizer": ["mine.Mine", None]}}
    (checkpoint / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="custom code"):
        load_hf_model(checkpoint)


def read(content: bytes) -> dict[str, torch.Tensor] | None:
    """The tensors that this package reads from a file, or None if it raises a ValueError; no other error may occur."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(content)
        try:
            headers = read_headers([path])
            tensors = read_tensors([path], headers, "cpu", torch.float32, lambda file, name, new: file.get_tensor(name))
        except ValueError:
            return None
    assert {name: header.shape for name, header in headers.items()} == {n: tuple(t.shape) for n, t in tensors.items()}
    return tensors


def assert_as_the_library_reads_it(content: bytes):
    """If this package accepts a file, so does the safetensors library, and it reads the same values."""
    tensors = read(content)
    if tensors is not None:
        theirs = {new: tensor for name, tensor in load(content).items() if (new := canonical_name(name)) is not None}
        if EMBEDDING not in theirs and HEAD in theirs:  # one matrix, under the name of the head
            theirs[EMBEDDING] = theirs.pop(HEAD)
        assert tensors.keys() == theirs.keys()
        assert [name for name in tensors if not torch.equal(tensors[name], theirs[name].float())] == []


@FUZZ
@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_read_as_the_library_does_or_refused(content):
    assert_as_the_library_reads_it(content)


NAMES = st.sampled_from([NORM, "lm_head.weight", "vision_tower.head.x", "model.a", "é\n"]) | st.text(max_size=5)
NUMBERS = st.sampled_from([-1, 0, 1, 2, 3, 4, 8, 2**31, 2**63, 2**64]) | st.integers(0, 50)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
SHAPES = st.lists(st.integers(0, 3), max_size=3)
LENGTHS = st.none() | st.integers(0, 2**64 - 1)
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "BF16", "I8", "F64", "BOOL", "F8_E4M3"]),
        "shape": st.lists(NUMBERS, max_size=3),
        "data_offsets": st.lists(NUMBERS, min_size=2, max_size=2),
    }
)


@FUZZ
@given(
    st.dictionaries(NAMES, ENTRIES | JSON, max_size=3), st.binary(max_size=60), st.none() | st.integers(0, 2**64 - 1)
)
def test_headers_made_of_their_parts_are_read_as_the_library_does_or_refused(header, numbers, length):
    assert_as_the_library_reads_it(put_together(header, numbers, length))


TENSORS = {NORM: torch.ones(3), "lm_head.weight": torch.eye(2).half(), "a": torch.zeros(0, 4).bfloat16()}


@FUZZ
@given(st.data())
def test_a_whole_file_with_one_thing_changed_is_read_as_the_library_does_or_refused(data):
    header, numbers = take_apart(save(TENSORS, metadata={"format": "pt"}))
    entry = header[data.draw(st.sampled_from(sorted(TENSORS)))]
    field = data.draw(st.sampled_from(sorted(entry)))
    entry[field] = data.draw(NUMBERS | JSON | st.lists(NUMBERS, max_size=3) | st.sampled_from(["F16", "F32", "U8"]))
    assert_as_the_library_reads_it(put_together(header, numbers))


@FUZZ
@given(
    st.dictionaries(NAMES, st.lists(st.integers(0, 3), max_size=3), max_size=3),
    st.sampled_from(list(FILE_DTYPES.values())),
)
def test_a_whole_file_is_accepted(shapes, dtype):
    tensors = {name: torch.ones(shape, dtype=dtype) for name, shape in shapes.items() if name != "__metadata__"}
    kept = [new for name in tensors if (new := canonical_name(name)) is not None]
    content = save(tensors)
    assert_as_the_library_reads_it(content)
    assert (read(content) is not None) == (len(set(kept)) == len(kept))  # two names may mean one tensor
