"""Checkpoints: what is read, what is refused, and the messages."""

import json

import pytest
import torch
from checkpoints import save_random_checkpoint
from reference import make_reference, make_twin
from safetensors.torch import load_file, save_file

import vlm.checkpoints.atomic_write
from vlm.checkpoints.convert import convert
from vlm.checkpoints.layouts import canonical_name
from vlm.loader import load_hf_model, load_model, save_hf_model
from vlm.processor import PaliGemmaProcessor


@pytest.fixture(scope="module")
def model():
    return make_twin(make_reference())


@pytest.fixture
def checkpoint(model, tmp_path):
    save_hf_model(model, tmp_path)
    return tmp_path


def change_tensors(directory, change):
    path = directory / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def same_weights(one, other) -> bool:
    return all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())


def test_a_round_trip_keeps_every_weight_and_the_tie(model, checkpoint):
    loaded = load_model(checkpoint)
    assert same_weights(model, loaded) and loaded.config == model.config and not loaded.training
    assert loaded.language_model.lm_head.weight is loaded.language_model.model.embed_tokens.weight
    assert "language_model.lm_head.weight" not in load_file(checkpoint / "model.safetensors")


def test_shards_are_found_by_the_index(model, checkpoint):
    tensors = load_file(checkpoint / "model.safetensors")
    (checkpoint / "model.safetensors").unlink()
    names = sorted(tensors)
    weight_map = {name: f"model-0000{1 + (i % 2)}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(weight_map.values()):
        save_file({name: tensors[name] for name in names if weight_map[name] == file}, checkpoint / file)
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert same_weights(model, load_model(checkpoint))
    (checkpoint / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no model-00002-of-00002\.safetensors"):
        load_model(checkpoint)


def test_one_error_lists_everything_that_does_not_fit(checkpoint):
    def spoil(tensors):
        del tensors["language_model.model.norm.weight"]
        tensors["extra.weight"] = torch.zeros(2)
        tensors["multi_modal_projector.linear.bias"] = torch.zeros(3)

    change_tensors(checkpoint, spoil)
    with pytest.raises(ValueError) as error:
        load_model(checkpoint)
    assert str(error.value).splitlines()[1:] == [
        "  missing keys (1):",
        "    language_model.model.norm.weight [32]",
        "  unexpected keys (1):",
        "    extra.weight [2]",
        "  wrong shapes (1):",
        "    multi_modal_projector.linear.bias is [3], the config says [32]",
    ]


def test_a_long_list_of_keys_shows_ten_and_the_number_of_the_others(checkpoint):
    tensors = load_file(checkpoint / "model.safetensors")
    save_file({f"other.{name}": tensor for name, tensor in tensors.items()}, checkpoint / "model.safetensors")
    with pytest.raises(ValueError) as error:
        load_model(checkpoint)
    lines = str(error.value).splitlines()
    assert len(lines) == 1 + 2 * 12
    assert lines[1] == f"  missing keys ({len(tensors)}):" and lines[13] == f"  unexpected keys ({len(tensors)}):"
    assert lines[12] == lines[24] == f"    and {len(tensors) - 10} more"


@pytest.mark.parametrize(
    ("prefix", "advice"),
    [("base_model.model.", "merge_and_unload"), ("_orig_mod.", "model._orig_mod"), ("module.", "model.module")],
)
def test_the_names_of_a_wrapped_model_are_refused_in_one_sentence_that_says_what_to_save(checkpoint, prefix, advice):
    tensors = load_file(checkpoint / "model.safetensors")
    save_file({f"{prefix}model.{name}": tensor for name, tensor in tensors.items()}, checkpoint / "model.safetensors")
    with pytest.raises(ValueError, match=f"the names begin with '{prefix}': .*{advice}") as error:
        load_model(checkpoint)
    assert "\n" not in str(error.value)


def test_an_adapter_without_its_model_is_refused(checkpoint):
    (checkpoint / "model.safetensors").rename(checkpoint / "adapter_model.safetensors")
    (checkpoint / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match=f"contains an adapter but no model: .*--adapter {checkpoint}"):
        load_model(checkpoint)
    (checkpoint / "config.json").unlink()
    with pytest.raises(ValueError, match="contains an adapter but no model"):
        load_model(checkpoint)


@pytest.mark.parametrize("name", ["lm_head.weight", "language_model.lm_head.weight"])
def test_a_tied_matrix_stored_as_the_head_alone_is_the_embedding_too(model, checkpoint, name):
    embedding = "language_model.model.embed_tokens.weight"
    change_tensors(checkpoint, lambda tensors: tensors.update({name: tensors.pop(embedding)}))
    loaded = load_model(checkpoint)
    assert same_weights(model, loaded)
    assert loaded.language_model.lm_head.weight is loaded.language_model.model.embed_tokens.weight
    convert(checkpoint, checkpoint / "converted", layout="C")
    assert same_weights(model, load_model(checkpoint / "converted"))


def test_generation_config_says_where_answers_end_and_config_json_where_it_does_not(checkpoint):
    path = checkpoint / "generation_config.json"
    for content, expected in [({"eos_token_id": [1, 107]}, (1, 107)), ({"eos_token_id": 5}, 5), ({"top_k": 3}, 1)]:
        path.write_text(json.dumps(content))
        assert load_model(checkpoint).config.eos_token_id == expected
    for content, message in [("{", "is not valid JSON"), ('{"eos_token_id": "x"}', "eos_token_id is 'x'")]:
        path.write_text(content)
        with pytest.raises(ValueError, match=rf"generation_config\.json.*{message}"):
            load_model(checkpoint)


@pytest.fixture
def whole(tmp_path):
    """A checkpoint with a tokenizer."""
    return save_random_checkpoint(tmp_path / "whole")


@pytest.mark.parametrize("key", ["torch_dtype", "dtype"])
@pytest.mark.parametrize("value", ["torch.bfloat16", "auto"])
def test_what_config_json_says_about_the_dtype_is_ignored(whole, key, value):
    values = json.loads((whole / "config.json").read_text())
    (whole / "config.json").write_text(json.dumps(values | {key: value}))
    model, tokenizer = load_hf_model(whole)
    assert model.dtype == torch.float32 and len(tokenizer) == 1921


def test_a_tokenizer_without_tokenizer_config_does_the_same(whole):
    text, rows = "detect cat ; dog .\n<loc0100> a", []
    for _ in range(2):
        model, tokenizer = load_hf_model(whole)
        processor = PaliGemmaProcessor.for_model(model, tokenizer)
        rows.append((processor.encode_prefix(text), processor.encode_suffix(text), [0, 1, 2]))
        rows[-1] += tuple(processor.decode(ids) for ids in rows[-1])
        (whole / "tokenizer_config.json").unlink(missing_ok=True)
    assert rows[0] == rows[1]


def test_a_tokenizer_must_end_answers_where_generation_does(whole):
    values = json.loads((whole / "config.json").read_text())
    (whole / "config.json").write_text(json.dumps(values | {"eos_token_id": [4, 1]}))
    assert load_hf_model(whole)[0].config.eos_token_id == (4, 1)
    (whole / "config.json").write_text(json.dumps(values | {"eos_token_id": [4, 5]}))
    with pytest.raises(ValueError, match=r"does not match config\.json: <eos> is 1, expected 4 or 5"):
        load_hf_model(whole)


def test_a_head_of_its_own_stays_untied(checkpoint):
    head = torch.randn(128, 32)
    change_tensors(checkpoint, lambda tensors: tensors.update({"language_model.lm_head.weight": head}))
    loaded = load_model(checkpoint)
    assert torch.equal(loaded.language_model.lm_head.weight, head)
    assert not torch.equal(loaded.language_model.model.embed_tokens.weight, head)


def test_dtype_is_the_file_s_or_the_requested_one(checkpoint):
    assert {parameter.dtype for parameter in load_model(checkpoint).parameters()} == {torch.float32}
    halved = load_model(checkpoint, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in halved.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("published", "names"),
    [
        (
            "language_model.model.layers.0.mlp.up_proj.weight",
            ["model.language_model.layers.0.mlp.up_proj.weight"],
        ),
        (
            "vision_tower.vision_model.post_layernorm.bias",
            ["vision_tower.post_layernorm.bias", "model.vision_tower.vision_model.post_layernorm.bias"],
        ),
        ("multi_modal_projector.linear.bias", ["model.multi_modal_projector.linear.bias"]),
        ("language_model.lm_head.weight", ["lm_head.weight"]),
    ],
)
def test_the_names_of_all_releases_map_to_the_published_ones(published, names):
    assert {canonical_name(name) for name in [published, *names]} == {published}


def test_what_paligemma_does_not_use_is_ignored():
    assert canonical_name("vision_tower.vision_model.embeddings.position_ids") is None
    assert canonical_name("vision_tower.vision_model.head.probe") is None


def test_missing_files_are_reported(checkpoint, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not a directory"):
        load_hf_model(tmp_path / "nowhere")
    (checkpoint / "model.safetensors").rename(checkpoint / "weights.bin")
    with pytest.raises(FileNotFoundError, match=r"no \*\.safetensors file"):
        load_model(checkpoint)
    (checkpoint / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        load_model(checkpoint)


def test_an_incomplete_file_is_refused_by_name(checkpoint):
    path = checkpoint / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model\.safetensors is not a complete safetensors file"):
        load_model(checkpoint)


def test_an_interrupted_save_leaves_the_old_checkpoint(model, checkpoint, monkeypatch):
    def fail(tensors, path, metadata):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(vlm.checkpoints.atomic_write, "save_file", fail)
    with pytest.raises(KeyboardInterrupt):
        save_hf_model(model, checkpoint)
    assert same_weights(model, load_model(checkpoint))


def test_a_saved_model_replaces_older_shards(model, checkpoint):
    tensors = load_file(checkpoint / "model.safetensors")
    (checkpoint / "model.safetensors").unlink()
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, checkpoint / "model-00001-of-00001.safetensors")
    index = {"weight_map": dict.fromkeys(tensors, "model-00001-of-00001.safetensors")}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
    save_hf_model(model, checkpoint)
    assert same_weights(model, load_model(checkpoint))


def test_what_was_loaded_is_logged_in_one_table(checkpoint, caplog):
    with caplog.at_level("INFO", logger="vlm.loader"):
        load_model(checkpoint)
    [record] = caplog.records
    assert "1 file, layout A" in record.message and "multi_modal_projector" in record.message


def test_different_dtypes_become_that_of_the_embedding(checkpoint):
    def spoil(tensors):
        for name in tensors:
            if "vision_tower" in name:
                tensors[name] = tensors[name].bfloat16()

    change_tensors(checkpoint, spoil)
    assert {parameter.dtype for parameter in load_model(checkpoint).parameters()} == {torch.float32}


def test_a_duplicate_tensor_is_reported(checkpoint):
    name = "language_model.model.norm.weight"
    change_tensors(checkpoint, lambda tensors: tensors.update({f"model.{name}": torch.ones(32)}))
    with pytest.raises(ValueError, match=r"norm\.weight, a duplicate of .*norm\.weight: remove one of them"):
        load_model(checkpoint)


def test_a_quantized_tensor_is_refused(checkpoint):
    name = "language_model.model.norm.weight"
    change_tensors(checkpoint, lambda tensors: tensors.update({name: tensors[name].to(torch.int8)}))
    with pytest.raises(ValueError, match=r"norm\.weight is I8: expected F32, F16, BF16"):
        load_model(checkpoint)


@pytest.mark.parametrize("index", ["{", "[]", "{}", '{"weight_map": {"a": "../other.safetensors"}}'])
def test_an_invalid_index_is_reported(checkpoint, index):
    (checkpoint / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ValueError, match=r"model\.safetensors\.index\.json"):
        load_model(checkpoint)


def test_load_hf_model_passes_the_dtype_on_and_save_makes_the_folders_above(model, tmp_path):
    checkpoint = save_random_checkpoint(tmp_path / "checkpoint")
    assert load_hf_model(checkpoint, dtype=torch.float16)[0].dtype == torch.float16
    save_hf_model(model, tmp_path / "a" / "b")
    assert json.loads((tmp_path / "a" / "b" / "config.json").read_text())["tie_word_embeddings"] is True
