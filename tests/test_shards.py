"""Weights in one file or several, and the removal of older files."""

import json
import weakref

import pytest
import torch
from safetensors.torch import load_file

import vlm.checkpoints.atomic_write
from vlm.checkpoints.headers import INDEX_FILE, TensorHeader, find_weight_files
from vlm.checkpoints.shards import split_into_shards, write_shards

TENSORS = {name: torch.randn(10, generator=torch.Generator().manual_seed(i)) for i, name in enumerate("abc")}
HEADERS = {name: TensorHeader(name, (10,), torch.float32) for name in TENSORS}  # 40 bytes each


def write(directory, max_shard_bytes):
    write_shards(directory, HEADERS, TENSORS.__getitem__, max_shard_bytes)


def names(directory) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_one_shard_is_in_memory_at_a_time(tmp_path):
    alive, most = weakref.WeakSet(), 0

    def read(name: str) -> torch.Tensor:
        nonlocal most
        tensor = TENSORS[name].clone()
        alive.add(tensor)
        most = max(most, len(alive))
        return tensor

    write_shards(tmp_path, HEADERS, read, max_shard_bytes=40)
    assert most == 1


@pytest.mark.parametrize(
    ("limit", "shards"), [(120, ["abc"]), (80, ["ab", "c"]), (79, ["a", "b", "c"]), (1, ["a", "b", "c"])]
)
def test_a_new_shard_starts_before_one_becomes_too_large(limit, shards):
    assert ["".join(shard) for shard in split_into_shards(HEADERS, limit)] == shards


def test_what_fits_is_one_file(tmp_path):
    write(tmp_path, 120)
    assert names(tmp_path) == {"model.safetensors"}
    assert all(load_file(tmp_path / "model.safetensors")[name].equal(TENSORS[name]) for name in TENSORS)


def test_what_does_not_fit_is_several_with_an_index(tmp_path):
    write(tmp_path, 80)
    files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert names(tmp_path) == {*files, INDEX_FILE}
    index = json.loads((tmp_path / INDEX_FILE).read_text())
    assert index == {"metadata": {"total_size": 120}, "weight_map": {"a": files[0], "b": files[0], "c": files[1]}}
    assert [path.name for path in find_weight_files(tmp_path)] == files


def test_older_weights_are_replaced_and_not_mixed_in(tmp_path):
    write(tmp_path, 40)
    write(tmp_path, 120)
    assert names(tmp_path) == {"model.safetensors"}


def test_an_interrupted_call_leaves_the_old_weights(tmp_path, monkeypatch):
    write(tmp_path, 120)
    before = (tmp_path / "model.safetensors").read_bytes()
    real, calls = vlm.checkpoints.atomic_write.save_file, []

    def fail_the_second_time(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(*arguments, **options)

    monkeypatch.setattr(vlm.checkpoints.atomic_write, "save_file", fail_the_second_time)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, 40)
    assert find_weight_files(tmp_path) == [tmp_path / "model.safetensors"]
    assert (tmp_path / "model.safetensors").read_bytes() == before
