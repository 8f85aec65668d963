"""Adapters: nothing changes at first, only they learn, merging keeps the function, and peft reads what we write."""

import dataclasses
import json
import os
import struct
from pathlib import Path

import pytest
import torch
from reference import make_inputs, make_reference, make_twin
from safetensors.torch import load_file, save_file
from torch import nn

from vlm.loader import save_hf_model
from vlm.training import lora
from vlm.training.lora import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    LoraConfig,
    LoraLinear,
    add_lora,
    find_lora,
    load_lora,
    merge_lora,
    save_lora,
)

SMALL = LoraConfig(rank=2, alpha=6.0)
# peft asks transformers for a property under its old name.
PEFT_WARNS = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")


def logits_of(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(**make_inputs([5, 3], num_suffix=2)).logits


def adapted(reference=None):
    """A model whose adapters have learned something (at random)."""
    model = make_twin(reference or make_reference())
    add_lora(model, SMALL)
    torch.manual_seed(1)
    for layer in find_lora(model).values():
        nn.init.normal_(layer.lora_B, std=0.3)
    return model


def test_a_change_by_hand():
    base = nn.Linear(2, 3, bias=False)
    layer = LoraLinear(base, LoraConfig(rank=1, alpha=2.0))
    with torch.no_grad():
        base.weight.zero_()
        layer.lora_A.copy_(torch.tensor([[1.0, 2.0]]))
        layer.lora_B.copy_(torch.tensor([[1.0], [0.0], [-1.0]]))
    # 1 * 3 + 2 * 4 = 11, times B, times alpha / rank = 2
    assert layer(torch.tensor([[3.0, 4.0]])).tolist() == [[22.0, 0.0, -22.0]]


def test_at_first_nothing_changes_and_only_adapters_learn():
    reference = make_reference()
    model = make_twin(reference)
    before = logits_of(model)
    add_lora(model, SMALL)
    torch.testing.assert_close(logits_of(model), before)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained and all("lora_" in name for name in trained)
    assert all(name.startswith("language_model.model.layers.") for name in trained)
    assert len(find_lora(model)) == 3 * 7  # layers, matrices in each


def test_one_step_moves_b_and_the_second_moves_a_too():
    model = make_twin(make_reference())
    add_lora(model, SMALL)
    inputs = make_inputs([5, 3], num_suffix=2)
    labels = inputs["input_ids"].masked_fill(inputs["token_type_ids"] == 0, -100)
    layer = find_lora(model)["language_model.model.layers.0.self_attn.q_proj"]
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    moved = []
    for _ in range(2):
        before = layer.lora_A.clone(), layer.lora_B.clone()
        model(**inputs, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        moved.append([not torch.equal(old, new) for old, new in zip(before, (layer.lora_A, layer.lora_B))])
    assert moved == [[False, True], [True, True]]


def test_merging_keeps_the_function_and_takes_the_adapters_out():
    model = adapted()
    before, names = logits_of(model), set(make_twin(make_reference()).state_dict())
    merge_lora(model)
    torch.testing.assert_close(logits_of(model), before, atol=1e-4, rtol=1e-4)
    assert set(model.state_dict()) == names
    assert find_lora(model) == {}
    merge_lora(model)  # there is nothing to merge any more
    torch.testing.assert_close(logits_of(model), before, atol=1e-4, rtol=1e-4)


def test_saved_adapters_make_the_same_model_again(tmp_path):
    reference = make_reference()
    model = adapted(reference)
    save_lora(model, tmp_path)
    again = make_twin(reference)
    load_lora(again, tmp_path)
    assert torch.equal(logits_of(again), logits_of(model))
    config = json.loads((tmp_path / CONFIG_FILE).read_text())
    assert (config["r"], config["lora_alpha"]) == (2, 6.0)


@PEFT_WARNS
@pytest.mark.parametrize("generation", [1, 2])
def test_peft_reads_the_adapters_and_transformers_says_the_same(tmp_path, generation):
    from peft import PeftModel

    reference = make_reference(generation=generation)
    model = make_twin(reference, generation=generation)
    add_lora(model, SMALL)
    for layer in find_lora(model).values():
        nn.init.normal_(layer.lora_B, std=0.3)
    before = logits_of(make_twin(reference, generation=generation))
    save_lora(model, tmp_path)
    theirs = PeftModel.from_pretrained(reference, tmp_path)
    with torch.inference_mode():
        logits = theirs(**make_inputs([5, 3], num_suffix=2)).logits
    real = make_inputs([5, 3])["attention_mask"].bool()
    torch.testing.assert_close(logits[real], logits_of(model)[real], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(logits[real], before[real], atol=1e-2)


def save_with_peft(directory: Path, **options):
    """Adapters that peft made and saved, with random weights so that they change something."""
    from peft import LoraConfig as PeftConfig
    from peft import get_peft_model

    torch.manual_seed(2)
    theirs = get_peft_model(make_reference(), PeftConfig(**{"target_modules": ["q_proj", "up_proj"]} | options))
    for name, parameter in theirs.named_parameters():
        if "lora_" in name:
            nn.init.normal_(parameter, std=0.3)
    theirs.save_pretrained(directory)


def change_config(directory: Path, **values):
    path = directory / CONFIG_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def assert_loaded_as_by_peft(directory: Path, num_adapters: int):
    from peft import PeftModel

    theirs = PeftModel.from_pretrained(make_reference(), directory).eval()
    model = make_twin(make_reference())
    load_lora(model, directory)
    assert len(find_lora(model)) == num_adapters
    with torch.inference_mode():
        logits = theirs(**make_inputs([5, 3], num_suffix=2)).logits
    real = make_inputs([5, 3])["attention_mask"].bool()
    torch.testing.assert_close(logits_of(model)[real], logits[real], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(logits_of(make_twin(make_reference()))[real], logits[real], atol=1e-2)


@PEFT_WARNS
def test_adapters_of_peft_are_read_whatever_describes_their_training(tmp_path):
    save_with_peft(
        tmp_path,
        r=3,
        lora_alpha=5,
        target_modules=["q_proj", "up_proj", "o_proj", "out_proj"],  # out_proj is in the vision tower
        exclude_modules=["o_proj"],
        layers_to_transform=[0, 2],
        layers_pattern="layers",
        lora_dropout=0.5,
        inference_mode=True,
        revision="main",
        qalora_group_size=4,
        megatron_core="megatron",
    )
    change_config(tmp_path, base_model_name_or_path="someone/model")
    assert_loaded_as_by_peft(tmp_path, num_adapters=2 * 2 + 2)  # of two layers, and of the vision tower's first


@PEFT_WARNS
@pytest.mark.parametrize("initialization", [True, False, "gaussian", "orthogonal", "eva"])
def test_initializations_that_leave_the_base_model_alone_are_read(tmp_path, initialization):
    save_with_peft(tmp_path, r=4)
    change_config(tmp_path, init_lora_weights=initialization, eva_config={} if initialization == "eva" else None)
    assert_loaded_as_by_peft(tmp_path, num_adapters=3 * 2 + 2)  # with the vision tower's q_proj


@PEFT_WARNS
@pytest.mark.filterwarnings("ignore:aLoRA is currently only supported")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"init_lora_weights": "pissa"}, "init_lora_weights = 'pissa' .an initialization that changes the base"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights = 'pissa_niter_4'"),
        ({"init_lora_weights": "olora"}, "init_lora_weights = 'olora'"),
        ({"init_lora_weights": "mica"}, "init_lora_weights = 'mica'"),
        *(({"init_lora_weights": name}, f"init_lora_weights = '{name}'") for name in ("corda", "loftq", "lora_ga")),
        ({"alora_invocation_tokens": [5, 6]}, r"alora_invocation_tokens = \[5, 6\] .activated LoRA"),
        ({"use_rslora": True}, "use_rslora = True .rank-stabilized LoRA"),
        ({"use_dora": True}, "use_dora = True .DoRA"),
        ({"rank_pattern": {"q_proj": 3}}, "rank_pattern = .* .a different rank in some layers"),
        ({"alpha_pattern": {"q_proj": 3}}, "alpha_pattern = .* .a different alpha in some layers"),
        ({"modules_to_save": ["linear"]}, "modules_to_save = .* .whole layers trained beside the adapters"),
        ({"bias": "all"}, "bias = 'all' .biases trained beside the adapters"),
        ({"trainable_token_indices": [3]}, "trainable_token_indices = .* .rows of the embedding"),
        ({"layer_replication": [[0, 2], [1, 3]]}, "layer_replication = .* .layers that are repeated"),
    ],
    ids=str,
)
def test_other_kinds_of_adapters_that_peft_makes_are_refused_by_name(tmp_path, options, reason):
    if "layer_replication" in options or options.get("init_lora_weights") in ("corda", "loftq", "lora_ga"):
        save_with_peft(tmp_path, r=2)  # peft cannot make these of this model, or needs data for them
        change_config(tmp_path, **options)
    else:
        save_with_peft(tmp_path, r=2, **options)
    with pytest.raises(ValueError, match=reason):
        load_lora(make_twin(make_reference()), tmp_path)


def test_every_field_of_peft_is_read_or_refused(tmp_path):
    from peft import LoraConfig as PeftConfig

    fields = {field.name for field in dataclasses.fields(PeftConfig)}
    assert lora._DESCRIPTIVE | lora._PLAIN_VALUES.keys() == fields and not lora._DESCRIPTIVE & lora._PLAIN_VALUES.keys()
    model = make_twin(make_reference())
    for field in [*lora._PLAIN_VALUES, "a_field_of_tomorrow"]:
        save_lora(adapted(), tmp_path)
        change_config(tmp_path, **{field: "something"})
        with pytest.raises(ValueError, match=f"{field}.*only plain LoRA is supported"):
            load_lora(model, tmp_path)
        change_config(tmp_path, **{field: None})
        if field not in ("bias", "init_lora_weights"):
            load_lora(make_twin(make_reference()), tmp_path)


def test_a_tied_head_gets_no_adapter(tmp_path):
    model = make_twin(make_reference())
    with pytest.raises(ValueError, match=r"language_model\.lm_head shares its weights with the embedding"):
        add_lora(model, SMALL, layers=("lm_head",))
    save_lora(adapted(), tmp_path)
    tensors = load_file(tmp_path / WEIGHTS_FILE)
    head = {"base_model.model.lm_head.lora_A.weight": torch.ones(2, 32)}
    save_file(tensors | head | {"base_model.model.lm_head.lora_B.weight": torch.ones(128, 2)}, tmp_path / WEIGHTS_FILE)
    with pytest.raises(ValueError, match=r"language_model\.lm_head shares its weights with the embedding"):
        load_lora(model, tmp_path)


def test_a_second_set_of_adapters_is_refused():
    model = adapted()
    with pytest.raises(ValueError, match="merge them first"):
        add_lora(model, SMALL)


def test_adapters_are_float32_beside_other_weights_and_give_their_type():
    model = adapted().bfloat16()
    for layer in find_lora(model).values():
        layer.lora_A.data, layer.lora_B.data = layer.lora_A.data.float(), layer.lora_B.data.float()
    logits = logits_of(model)
    merge_lora(model)
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits_of(model), logits, atol=0.1, rtol=0.1)
    add_lora(model, SMALL)
    assert {layer.lora_A.dtype for layer in find_lora(model).values()} == {torch.float32}
    assert logits_of(model).dtype == torch.bfloat16


def test_adapters_are_not_saved_as_a_model_nor_a_model_as_adapters(tmp_path):
    with pytest.raises(ValueError, match="merge_lora first"):
        save_hf_model(adapted(), tmp_path)
    with pytest.raises(ValueError, match="no adapters to save"):
        save_lora(make_twin(make_reference()), tmp_path)


def test_layers_that_are_not_there_are_named():
    with pytest.raises(ValueError, match=r"no linear layer in 'language_model' is called qkv_proj"):
        add_lora(make_twin(make_reference()), SMALL, layers=("qkv_proj",))


def test_what_cannot_be_loaded_is_named(tmp_path):
    model = make_twin(make_reference())
    with pytest.raises(FileNotFoundError, match=WEIGHTS_FILE):
        load_lora(model, tmp_path)
    save_lora(adapted(), tmp_path)
    tensors = load_file(tmp_path / WEIGHTS_FILE)
    name = next(name for name in tensors if "lora_A" in name and "q_proj" in name)
    save_file(tensors | {name: tensors[name][:, 1:].contiguous()}, tmp_path / WEIGHTS_FILE)
    with pytest.raises(ValueError, match=r"lora_A of language_model.*q_proj is \[2, 31\]: expected \[2, 32\]"):
        load_lora(model, tmp_path)
    save_file({name.replace("layers.0", "layers.9"): tensors[name]}, tmp_path / WEIGHTS_FILE)
    with pytest.raises(ValueError, match=r"layers that the model lacks: .*layers\.9"):
        load_lora(model, tmp_path)
    (tmp_path / CONFIG_FILE).write_text('{"peft_type": "IA3"}')
    with pytest.raises(ValueError, match="IA3"):
        load_lora(model, tmp_path)
    (tmp_path / CONFIG_FILE).write_text('{"peft_type": "LORA", "r": 2, "lora_alpha": 6.0, "use_rslora": true}')
    with pytest.raises(ValueError, match=r"use_rslora = True .*: only plain LoRA"):
        load_lora(model, tmp_path)
    (tmp_path / CONFIG_FILE).write_text('{"peft_type": "LORA", "r": 2, "lora_alpha": 6.0}')
    save_file(tensors | {name.replace("lora_A", "lora_magnitude_vector"): torch.ones(3)}, tmp_path / WEIGHTS_FILE)
    with pytest.raises(ValueError, match=r"lora_magnitude_vector.* too: only lora_A"):
        load_lora(model, tmp_path)
    assert not find_lora(model) and all(parameter.requires_grad for parameter in model.parameters())
    save_file(tensors, tmp_path / WEIGHTS_FILE)
    load_lora(model, tmp_path)
    with pytest.raises(ValueError, match="merge them first"):
        load_lora(model, tmp_path)


def forge(path: Path, tensors: dict[str, tuple[str, list[int]]]):
    """A safetensors file of these dtypes and shapes whose numbers take no room on the disk."""
    header, end = {}, 0
    for name, (dtype, shape) in tensors.items():
        start, end = end, end + torch.Size(shape).numel() * {"F32": 4, "I64": 8}[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


LAYER = "base_model.model.model.language_model.layers.0.self_attn.q_proj"
ESCAPES = "\x1b[2K\r\x07"


@pytest.fixture
def saved(tmp_path, monkeypatch) -> Path:
    """Adapters on the disk, for which no memory may be allocated."""
    save_lora(adapted(), tmp_path)

    def allocate(*arguments):
        pytest.fail("memory was allocated")

    monkeypatch.setattr(LoraLinear, "__init__", allocate)
    return tmp_path


def assert_refused(directory: Path, reason: str):
    model = make_twin(make_reference())
    with pytest.raises(ValueError, match=reason) as error:
        load_lora(model, directory)
    assert str(error.value).isprintable() and len(str(error.value)) < 2000
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.abuse
def test_a_rank_or_an_alpha_that_is_none_is_refused_before_memory_is_allocated(saved):
    for rank in (0, -2, "8", "8" * 9999, None, [], 2.0, True, 10**400):
        change_config(saved, r=rank)
        assert_refused(saved, r"the rank \(r\) is ")
    change_config(saved, r=2_000_000)  # which the shapes in the file contradict
    assert_refused(saved, "the rank .* is 2000000: .* smaller than its layer")
    forge(saved / WEIGHTS_FILE, {f"{LAYER}.lora_A.weight": ("F32", [2_000_000, 32])})  # which they repeat
    assert_refused(saved, "the rank .* is 2000000: .* smaller than its layer")
    change_config(saved, r=2)
    for alpha in (float("nan"), float("inf"), -float("inf"), 1e300, 10**400, "16", None, [], True):
        change_config(saved, lora_alpha=alpha)
        assert_refused(saved, r"alpha \(lora_alpha\) is ")


@pytest.mark.abuse
def test_a_config_that_is_no_config_is_refused(saved):
    path = saved / CONFIG_FILE
    for text in (
        "",
        "{",
        "[" * 100_000,
        "[]",
        "3",
        '{"r": 8}',
        '{"peft_type": ["LORA"]}',
        '{"r": 1' + "0" * 5000 + "}",
    ):
        path.write_text(text)
        assert_refused(saved, CONFIG_FILE)
    path.write_bytes(b"\xff\xfe{}")
    assert_refused(saved, CONFIG_FILE)
    with open(path, "wb") as file:
        file.truncate(10**10)
    assert_refused(saved, f"{CONFIG_FILE} is 10000000000 bytes long")


@pytest.mark.abuse
def test_control_characters_of_a_file_do_not_reach_a_terminal(saved):
    change_config(saved, use_dora=ESCAPES * 9999)
    assert_refused(saved, "use_dora = ")
    change_config(saved, use_dora=False, **{ESCAPES * 999: 1})
    assert_refused(saved, "has the field ")
    change_config(saved, **{ESCAPES * 999: None})
    header = {f"{ESCAPES}{'x' * 9999}{number}.lora_A.weight": ("F32", [2, 32]) for number in range(99)}
    forge(saved / WEIGHTS_FILE, header)
    assert_refused(saved, "layers that the model lacks: .* and 94 more")
    forge(saved / WEIGHTS_FILE, {f"{LAYER}.lora_A{ESCAPES}.weight": ("F32", [2, 32])})
    assert_refused(saved, "only lora_A and lora_B")
    text = json.dumps({ESCAPES: {"dtype": ESCAPES, "shape": [], "data_offsets": [0, 0]}}).encode()
    (saved / WEIGHTS_FILE).write_bytes(struct.pack("<Q", len(text)) + text)
    assert_refused(saved, "is not a complete safetensors file")


@pytest.mark.abuse
def test_tensors_that_are_no_adapters_are_refused(saved):
    whole = {f"{LAYER}.lora_A.weight": ("F32", [2, 32]), f"{LAYER}.lora_B.weight": ("F32", [40, 2])}
    twice = {f"{LAYER.replace('.model.language_model', '.language_model.model')}.lora_A.weight": ("F32", [2, 32])}
    tower = {"base_model.model.vision_tower.head.lora_A.weight": ("F32", [2, 32])}
    for tensors, reason in (
        ({}, "has no adapters in"),
        (whole | twice, "two tensors for lora_A of 'language_model.model.layers.0"),
        ({f"{LAYER}.lora_A.weight": ("F32", [2, 32])}, r"lora_B of .*q_proj is missing: expected \[40, 2\]"),
        (whole | {f"{LAYER}.lora_A.weight": ("I64", [2, 32])}, "lora_A of .*q_proj is I64: expected F32"),
        (whole | {f"{LAYER}.lora_A.weight": ("F32", [2, 32, 1])}, r"lora_A of .*q_proj is \[2, 32, 1\]"),
        (tower, "layers that the model lacks: 'vision_tower.head'"),
    ):
        forge(saved / WEIGHTS_FILE, tensors)
        assert_refused(saved, reason)


@pytest.mark.abuse
@pytest.mark.parametrize("name", [CONFIG_FILE, WEIGHTS_FILE])
def test_devices_and_pipes_are_no_adapters(saved, name):
    path = saved / name
    for make in (lambda: path.symlink_to("/dev/zero"), lambda: os.mkfifo(path), path.mkdir):
        path.unlink()
        make()
        with pytest.raises(FileNotFoundError, match=f"has no file {name}"):
            load_lora(make_twin(make_reference()), saved)
