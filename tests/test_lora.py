"""Adapters: nothing changes at first, only they learn, merging keeps the function, and peft reads what we write."""

import json

import pytest
import torch
from reference import make_inputs, make_reference, make_twin
from safetensors.torch import load_file, save_file
from torch import nn

from vlm.loader import save_hf_model
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


@PEFT_WARNS
def test_adapters_of_peft_are_read(tmp_path):
    from peft import LoraConfig as PeftConfig
    from peft import get_peft_model

    reference = make_reference()
    model = make_twin(reference)
    targets = r".*language_model.*\.(q_proj|up_proj)"
    theirs = get_peft_model(reference, PeftConfig(r=3, lora_alpha=5, target_modules=targets, init_lora_weights=False))
    theirs.save_pretrained(tmp_path)
    load_lora(model, tmp_path)
    assert len(find_lora(model)) == 3 * 2
    with torch.inference_mode():
        logits = theirs(**make_inputs([5, 3], num_suffix=2)).logits
    real = make_inputs([5, 3])["attention_mask"].bool()
    torch.testing.assert_close(logits_of(model)[real], logits[real], atol=1e-4, rtol=1e-4)


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
    with pytest.raises(ValueError, match="use_rslora = True: only plain LoRA"):
        load_lora(model, tmp_path)
    (tmp_path / CONFIG_FILE).write_text('{"peft_type": "LORA", "r": 2, "lora_alpha": 6.0}')
    save_file(tensors | {name.replace("lora_A", "lora_magnitude_vector"): torch.ones(3)}, tmp_path / WEIGHTS_FILE)
    with pytest.raises(ValueError, match="has lora_magnitude_vector too"):
        load_lora(model, tmp_path)
    assert not find_lora(model) and all(parameter.requires_grad for parameter in model.parameters())
    save_file(tensors, tmp_path / WEIGHTS_FILE)
    load_lora(model, tmp_path)
    with pytest.raises(ValueError, match="merge them first"):
        load_lora(model, tmp_path)
