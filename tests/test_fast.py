"""The fast model gives the numbers of the readable one: every kind of weights, padded, cached, compiled."""

import warnings
from functools import partial

import pytest
import torch
from reference import make_inputs, make_reference, make_twin
from torch import nn

from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image
from vlm.checkpoints.devices import has_compiler
from vlm.fast.gemma import FastDecoderLayer
from vlm.fast.linear import Int8Linear, PackedLinear, PlainLinear, quantize_rows
from vlm.fast.paligemma import FastPaliGemma
from vlm.gemma import rotary_cos_sin
from vlm.generate import generate, generate_tokens
from vlm.kv_cache import KVCache
from vlm.loader import load_hf_model
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor
from vlm.training.lora import LoraConfig, add_lora, find_lora, merge_lora

KINDS = [(1, 1), (2, 1), (2, 2)]  # key/value heads, generation


def make_model(num_key_value_heads: int, generation: int) -> PaliGemmaForConditionalGeneration:
    return make_twin(make_reference(num_key_value_heads, generation), num_key_value_heads, generation)


def prompt(lengths: list[int]) -> dict[str, torch.Tensor]:
    inputs = make_inputs(lengths)
    del inputs["token_type_ids"]  # all prefix
    return inputs


@torch.inference_mode()
def written(model, lengths: list[int], steps: int = 6) -> torch.Tensor:
    """Logits of the last place after the prompt and after each of some given tokens, [steps, B, V]."""
    inputs = prompt(lengths)
    mask, ids, pixel_values = inputs["attention_mask"], inputs["input_ids"], inputs["pixel_values"]
    cache = KVCache(model.config.text_config, len(lengths), ids.shape[1] + 30, model.dtype)
    found = []
    for step in range(steps):
        found.append(model(ids, pixel_values, mask, kv_cache=cache, logits_to_keep=1).logits[:, -1])
        ids, pixel_values = torch.full((len(lengths), 1), 7 + step), None
        mask = nn.functional.pad(mask, (0, 1), value=1)
    return torch.stack(found)


@pytest.mark.parametrize("lengths", [[5], [4, 7]], ids=["one row", "padded batch"])
@pytest.mark.parametrize("weights", ["plain", "packed"])
@pytest.mark.parametrize("num_key_value_heads, generation", KINDS)
def test_the_logits_are_those_of_the_readable_model(num_key_value_heads, generation, weights, lengths):
    expected = written(make_model(num_key_value_heads, generation), lengths)
    fast = FastPaliGemma(make_model(num_key_value_heads, generation), weights, batch_size=len(lengths))
    assert (written(fast, lengths) - expected).abs().max() < 1e-5


def test_adapters_are_to_be_merged_first():
    model = make_model(2, 1)
    add_lora(model, LoraConfig(rank=2))
    for adapter in find_lora(model).values():
        nn.init.normal_(adapter.lora_B, std=0.3)
    expected = written(model, [5])
    with pytest.raises(ValueError, match="the model has adapters: merge_lora first"):
        FastPaliGemma(model)
    merge_lora(model)
    assert (written(FastPaliGemma(model), [5]) - expected).abs().max() < 1e-4


@pytest.mark.parametrize("weights", ["plain", "packed"])
def test_in_bfloat16_too(weights):
    expected = written(make_model(2, 1).bfloat16(), [4, 7])
    found = written(FastPaliGemma(make_model(2, 1).bfloat16(), weights, batch_size=2), [4, 7])
    assert found.dtype == torch.bfloat16
    # Sums in another order, rounded to 8 bits: as far apart as the readable model is from itself in float32.
    own = (expected - written(make_model(2, 1), [4, 7])).abs().max()
    assert (found - expected).abs().max() <= 2 * own


@pytest.mark.parametrize("num_key_value_heads, generation", KINDS)
def test_int8_is_near(num_key_value_heads, generation):
    expected = written(make_model(num_key_value_heads, generation), [4, 7])
    found = written(FastPaliGemma(make_model(num_key_value_heads, generation), "int8"), [4, 7])
    error = (found - expected).pow(2).mean().sqrt() / expected.std()
    assert 0 < error < 0.05


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")  # torch's compiler uses it itself
@pytest.mark.skipif(not has_compiler("cpu"), reason="torch cannot compile here")
def test_compiled_it_gives_the_same_and_is_not_compiled_again_for_another_length():
    expected = [written(make_model(2, 1), [5], steps) for steps in (2, 6)]
    fast = FastPaliGemma(make_model(2, 1), compile=True)
    torch._dynamo.utils.counters.clear()
    for steps, logits in zip((2, 6), expected, strict=True):
        assert (written(fast, [5], steps) - logits).abs().max() < 1e-5
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_without_a_compiler_it_says_so_and_runs(monkeypatch):
    monkeypatch.setattr("vlm.fast.paligemma.has_compiler", lambda device: False)
    with pytest.warns(UserWarning, match="no C\\+\\+ compiler was found"):
        fast = FastPaliGemma(make_model(2, 1), compile=True)
    assert fast.write is fast.language_model
    assert written(fast, [5]).isfinite().all()


@pytest.mark.parametrize("generation", [1, 2])
def test_it_writes_the_same_tokens(generation):
    inputs = prompt([4, 7])
    expected = torch.stack(list(generate_tokens(make_model(2, generation), inputs, 12)))
    found = torch.stack(list(generate_tokens(FastPaliGemma(make_model(2, generation)), inputs, 12)))
    assert torch.equal(found, expected)


def test_the_shipped_model_answers_the_same():
    model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
    processor = PaliGemmaProcessor.for_model(model, tokenizer)
    prompts = ["caption en", "detect cat ; bird", "answer en how many cats are there?"]
    images = [example_image(i) for i in range(3)]
    expected = generate(model, processor, prompts, images)
    assert generate(FastPaliGemma(model), processor, prompts, images) == expected


def test_the_weights_are_not_held_twice():
    def held(model: nn.Module) -> int:
        return sum({p.data_ptr(): p.nbytes for p in model.parameters()}.values())  # the tied head lies on the embedding

    model = make_model(2, 1)
    before = held(model)
    assert held(FastPaliGemma(model)) == before


@torch.inference_mode()
def test_each_row_of_a_mask_stays_with_its_token_when_heads_become_rows():
    config = make_model(2, 1).config.text_config
    layer = make_model(2, 1).language_model.model.layers[0]
    hidden_states, mask = torch.randn(1, 5, config.hidden_size), torch.full((5, 5), -1e9).triu(1)[None, None]
    cos, sin = rotary_cos_sin(torch.arange(1, 6)[None], config.head_dim, config.rope_theta, torch.float32)
    expected, _ = layer.self_attn(hidden_states, cos, sin, mask)
    keys, values = torch.zeros(2, 1, config.num_key_value_heads, 8, config.head_dim)
    fast = FastDecoderLayer(layer, partial(PlainLinear, num_rows=1))
    context = (cos.transpose(1, 2), sin.transpose(1, 2), mask, keys, values, torch.arange(5), 5)
    assert (fast.attend(hidden_states, *context) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("rows", [1, 3, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("linear", [PlainLinear, PackedLinear])
def test_each_linear_layer_multiplies(linear, dtype, rows):
    weight, states = torch.randn(24, 16, dtype=dtype), torch.randn(rows, 16, dtype=dtype)
    expected = nn.functional.linear(states.double(), weight.double())
    assert (linear(weight, num_rows=3)(states) - expected).abs().max() < (1e-5 if dtype == torch.float32 else 0.1)


def test_int8_is_exact_where_the_numbers_are_whole():
    weight, states = torch.randint(-126, 127, (24, 16)).float(), torch.randint(-126, 127, (3, 16)).float()
    weight[:, 0] = states[:, 0] = 127  # so that the scale is 1
    assert torch.equal(Int8Linear(weight, num_rows=3)(states), states @ weight.t())


def test_quantizing_is_off_by_half_a_step_at_most_and_keeps_zeros():
    values = torch.cat([torch.randn(5, 33) * torch.tensor([[1e-3], [1], [10], [1e4], [1]]), torch.zeros(1, 33)])
    rounded, scale = quantize_rows(values)
    assert rounded.dtype == torch.int8 and rounded.abs().amax(-1).tolist() == [127] * 5 + [0]
    assert ((rounded * scale - values).abs() <= scale / 2 * 1.001).all()


@pytest.mark.parametrize("options", [{"weights": "int4"}, {"weights": "packed", "compile": True}])
def test_what_cannot_be_is_refused(options):
    with pytest.raises(ValueError, match="weights"):
        FastPaliGemma(make_model(2, 1), **options)


@pytest.mark.parametrize("weights", ["packed", "int8"])
def test_packed_and_rounded_weights_are_for_a_cpu(weights):
    with pytest.raises(ValueError, match=f"{weights} weights are for a CPU, and the model is on meta"):
        FastPaliGemma(make_model(2, 1).to("meta"), weights)


def test_a_gemma_2_without_a_limit_for_its_scores_keeps_its_window():
    model = make_model(2, 2)
    for layer in model.language_model.model.layers:
        layer.self_attn.softcap = None
    expected = written(model, [30])
    torch.testing.assert_close(written(FastPaliGemma(model), [30]), expected, atol=1e-5, rtol=1e-5)


def test_a_full_cache_and_other_places_are_refused():
    fast, inputs = FastPaliGemma(make_model(2, 1)), prompt([5])
    cache = KVCache(fast.config.text_config, 1, 8)
    arguments = (inputs["input_ids"], inputs["pixel_values"], inputs["attention_mask"], cache)
    with pytest.raises(ValueError, match="holds 8 tokens, and 9 are needed"):
        fast(*arguments)
    with pytest.raises(ValueError, match="logits_to_keep is 0"):
        fast(*arguments, logits_to_keep=0)


def test_nothing_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written(FastPaliGemma(make_model(2, 1), "packed"), [5])
