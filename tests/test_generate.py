"""Choosing tokens, and the generation loop."""

import dataclasses

import pytest
import torch
from reference import make_inputs, make_reference, make_twin

from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image
from vlm.generate import check_sampling, choose_token, filter_top_p, generate, generate_tokens, stream
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor

THREE = torch.tensor([[0.2, 0.5, 0.3]])


@pytest.fixture(scope="module")
def model():
    return make_twin(make_reference())


@pytest.fixture(scope="module")
def toybox():
    model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
    return model, PaliGemmaProcessor.for_model(model, tokenizer)


@pytest.mark.parametrize(
    ("top_p", "expected"),
    [(1e-9, [0, 1, 0]), (0.5, [0, 1, 0]), (0.6, [0, 0.625, 0.375]), (0.81, [0.2, 0.5, 0.3]), (1.0, [0.2, 0.5, 0.3])],
)
def test_top_p_keeps_the_most_likely_tokens_in_the_order_of_the_vocabulary(top_p, expected):
    torch.testing.assert_close(filter_top_p(THREE, top_p)[0], torch.tensor(expected, dtype=torch.float32))


def test_temperature_zero_is_greedy_and_a_small_one_nearly_so():
    logits = torch.tensor([[1.0, 3.0, 2.0], [5.0, 0.0, 4.0]])
    assert choose_token(logits).tolist() == choose_token(logits, temperature=1e-3).tolist() == [1, 0]


def test_sampling_follows_the_probabilities():
    logits = THREE.log().expand(20000, 3)
    counts = choose_token(logits, 1.0, generator=torch.Generator().manual_seed(0)).bincount() / 20000
    torch.testing.assert_close(counts, THREE[0], atol=0.015, rtol=0)


def test_probabilities_are_computed_in_float32():
    logits = torch.tensor([[1.09375, 0.0]], dtype=torch.bfloat16).expand(1000, 2)  # 0.7491, in bfloat16 0.75
    generator = torch.Generator().manual_seed(0)
    assert choose_token(logits, temperature=1.0, top_p=0.75, generator=generator).unique().tolist() == [0, 1]


def test_the_same_seed_gives_the_same_tokens(model):
    inputs = make_inputs([5, 5])
    runs = [torch.stack(list(generate_tokens(model, inputs, 12, 1.0, 0.9, seed))) for seed in (3, 3, 4)]
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])


def test_a_row_that_has_ended_yields_padding_and_the_loop_stops_with_the_last_row(model):
    inputs = make_inputs([9, 4, 7])
    model = make_twin(make_reference())
    model.config = dataclasses.replace(model.config, eos_token_id=10**6)
    free = torch.stack(list(generate_tokens(model, inputs, 12)), dim=1)  # [B, 12]
    eos = int(free[0, 2])
    model.config = dataclasses.replace(model.config, eos_token_id=eos)
    stopped = torch.stack(list(generate_tokens(model, inputs, 12)), dim=1)
    for row, row_free in zip(stopped.tolist(), free.tolist(), strict=True):
        end = row_free.index(eos) + 1 if eos in row_free else len(row_free)
        assert row[:end] == row_free[: len(row)][:end]
        assert set(row[end:]) <= {0}
    assert stopped.shape[1] == max(row.index(eos) + 1 if eos in row else 12 for row in free.tolist())
    alone = make_inputs([9])
    model.config = dataclasses.replace(model.config, eos_token_id=10**6)
    first = int(next(generate_tokens(model, alone, 1))[0])
    model.config = dataclasses.replace(model.config, eos_token_id=first)
    assert len(list(generate_tokens(model, alone, 12))) == 1


def test_a_row_ends_at_any_of_several_tokens():
    inputs = make_inputs([9, 4, 7])
    model = make_twin(make_reference())
    model.config = dataclasses.replace(model.config, eos_token_id=10**6)
    free = torch.stack(list(generate_tokens(model, inputs, 12)), dim=1)  # [B, 12]
    ends = tuple(dict.fromkeys(free[:, 3].tolist()))  # one token from each row
    assert len(ends) > 1
    model.config = dataclasses.replace(model.config, eos_token_id=ends)
    stopped = torch.stack(list(generate_tokens(model, inputs, 12)), dim=1)
    for row, row_free in zip(stopped.tolist(), free.tolist(), strict=True):
        end = min(row_free.index(token) for token in ends if token in row_free) + 1
        assert row[:end] == row_free[:end] and set(row[end:]) <= {0}
    assert stopped.shape[1] <= 4


def test_the_tower_runs_once_and_the_head_on_one_position_at_a_time(model):
    tower_runs, positions = [], []
    hooks = [
        model.vision_tower.register_forward_hook(lambda *_: tower_runs.append(1)),
        model.language_model.lm_head.register_forward_hook(lambda _m, args, _o: positions.append(args[0].shape[1])),
    ]
    model.config = dataclasses.replace(model.config, eos_token_id=10**6)
    list(generate_tokens(model, make_inputs([5, 7]), 6))
    for hook in hooks:
        hook.remove()
    assert tower_runs == [1] and positions == [1] * 6


def test_stream_holds_back_half_a_character():
    class Processor:
        def __call__(self, text, images):
            return make_inputs([5])

        def decode(self, ids):
            return bytes(b"\xf0\x9f\x90\xb1!"[: len(ids)]).decode("utf-8", errors="replace")

    model = make_twin(make_reference())
    model.config = dataclasses.replace(model.config, eos_token_id=10**6)
    pieces = [piece for piece in stream(model, Processor(), "x", None, max_new_tokens=5) if piece]
    assert pieces == ["\U0001f431", "!"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0.0, 1.0), "max_new_tokens is 0"),
        ((1, -1.0, 1.0), "temperature is -1"),
        ((1, float("inf"), 1.0), "temperature is inf"),
        ((1, float("nan"), 1.0), "temperature is nan"),
        ((1, 0.0, 0.0), "top_p is 0.0"),
        ((1, 0.0, float("nan")), "top_p is nan"),
        ((1, 1.0, 1.0, 2**64), "seed is 18446744073709551616"),
        ((1, 1.0, 1.0, -1), "seed is -1"),
    ],
)
def test_impossible_settings_are_reported(arguments, message):
    with pytest.raises(ValueError, match=message):
        check_sampling(*arguments)


def test_the_largest_seed_can_be_used(model):
    check_sampling(2, 1.0, 1.0, 2**64 - 1)
    assert len(list(generate_tokens(model, make_inputs([5]), 2, 1.0, seed=2**64 - 1))) == 2


def test_top_p_treats_each_row_separately():
    probabilities = torch.tensor([[0.2, 0.5, 0.3], [0.9, 0.06, 0.04]])
    kept = filter_top_p(probabilities, 0.6)
    torch.testing.assert_close(kept, torch.tensor([[0, 0.625, 0.375], [1.0, 0, 0]]))


def test_generate_is_greedy_unless_told_otherwise_and_passes_every_option_on(toybox):
    model, processor = toybox
    prompt, image = "detect cat ; bird", example_image(0)  # box edges are uncertain, so sampling shows
    greedy = generate(model, processor, prompt, image)
    assert greedy == [processor.decode(torch.cat(list(generate_tokens(model, processor(prompt, image), 100))))]
    assert generate(model, processor, prompt, image, temperature=1.0, top_p=1e-9) == greedy
    hot = [generate(model, processor, prompt, image, temperature=1.0, seed=seed) for seed in (1, 1, 2)]
    assert hot[0] == hot[1] != hot[2] and hot[0] != greedy
    assert "".join(stream(model, processor, prompt, image)) == greedy[0]
    with pytest.raises(ValueError, match="seed is -1"):
        generate(model, processor, prompt, image, temperature=1.0, seed=-1)


def test_prompt_and_answer_together_must_fit_the_model(toybox):
    model, processor = toybox
    prompt_length = processor("caption en", example_image(0))["input_ids"].shape[1]
    longest = model.config.text_config.max_position_embeddings
    assert generate(model, processor, "caption en", example_image(0), longest - prompt_length)
    with pytest.raises(ValueError, match=f"{prompt_length} tokens with its image, and max_new_tokens is"):
        generate(model, processor, "caption en", example_image(0), longest - prompt_length + 1)
