"""Conversion: the values stay the same, and both this package and transformers read the result."""

import json

import pytest
import torch
from checkpoints import save_random_checkpoint
from safetensors.torch import load_file, save_file

from vlm.checkpoints.convert import convert
from vlm.checkpoints.headers import describe, find_weight_files, read_headers
from vlm.checkpoints.layouts import EMBEDDING, HEAD, LAYOUTS, find_layout
from vlm.loader import load_model


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return save_random_checkpoint(tmp_path_factory.mktemp("checkpoint"))


def same_weights(one, other) -> bool:
    return all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_survives_a_round_trip(source, tmp_path, layout):
    convert(source, tmp_path / "there", layout=layout, max_shard_bytes=500_000)
    paths = find_weight_files(tmp_path / "there")
    assert len(paths) > 1
    assert find_layout(header.name for header in read_headers(paths).values()) == layout
    convert(tmp_path / "there", tmp_path / "back")
    assert same_weights(load_model(source), load_model(tmp_path / "back"))
    assert (tmp_path / "back/model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    assert (tmp_path / "back/tokenizer.json").read_bytes() == (source / "tokenizer.json").read_bytes()


def test_weights_and_config_have_the_new_dtype(source, tmp_path):
    convert(source, tmp_path / "half", torch.bfloat16, layout="C")
    model = load_model(tmp_path / "half")
    assert same_weights(load_model(source, dtype=torch.bfloat16), model)
    assert json.loads((tmp_path / "half/config.json").read_text())["dtype"] == "bfloat16"


def test_transformers_reads_what_was_written(source, tmp_path):
    from transformers import PaliGemmaForConditionalGeneration as ReferenceModel

    convert(source, tmp_path / "half", torch.bfloat16, layout="D", max_shard_bytes=500_000)
    reference, report = ReferenceModel.from_pretrained(tmp_path / "half", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and reference.dtype == torch.bfloat16


def test_a_head_of_its_own_is_kept_and_a_tied_one_left_out(source, tmp_path):
    tensors = load_file(source / "model.safetensors")
    for name, head in (("tied", tensors[EMBEDDING].clone()), ("own", torch.randn_like(tensors[EMBEDDING]))):
        (tmp_path / name).mkdir()
        save_file(tensors | {HEAD: head}, tmp_path / name / "model.safetensors")
        (tmp_path / name / "config.json").write_text((source / "config.json").read_text())
        convert(tmp_path / name, tmp_path / f"{name}-converted")
    assert HEAD not in load_file(tmp_path / "tied-converted/model.safetensors")
    own = load_model(tmp_path / "own-converted").language_model
    assert torch.equal(own.lm_head.weight, head) and own.lm_head.weight is not own.model.embed_tokens.weight


def test_a_head_in_the_file_is_a_row_of_the_table_and_is_counted(source, tmp_path):
    convert(source, tmp_path / "there", layout="E")
    paths = find_weight_files(tmp_path / "there")
    head, whole = (
        line.split() for line in describe(read_headers(paths), paths).splitlines() if line.startswith(("head  ", "all"))
    )
    assert head[:2] == ["head", "1"] and float(whole[3].replace(",", "")) * 1e6 == pytest.approx(
        paths[0].stat().st_size, rel=0.02
    )


def test_other_users_may_read_it_and_unrelated_files_are_not_copied(source, tmp_path):
    (source / "evaluation.json").write_text("{}")
    convert(source, tmp_path / "there")
    assert (tmp_path / "there/model.safetensors").stat().st_mode == (tmp_path / "there/config.json").stat().st_mode
    assert not (tmp_path / "there/evaluation.json").exists()


def test_nothing_is_overwritten(source, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="already exists: choose a new or an empty directory"):
        convert(source, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_what_does_not_fit_its_config_is_refused_before_anything_is_written(source, tmp_path):
    (tmp_path / "bad").mkdir()
    tensors = load_file(source / "model.safetensors")
    del tensors["language_model.model.norm.weight"]
    save_file(tensors, tmp_path / "bad/model.safetensors")
    (tmp_path / "bad/config.json").write_text((source / "config.json").read_text())
    with pytest.raises(ValueError, match=r"missing keys \(1\):\n    language_model\.model\.norm\.weight"):
        convert(tmp_path / "bad", tmp_path / "target")
    assert not (tmp_path / "target").exists()
