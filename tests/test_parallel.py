"""Two processes do what one does: the same logits, the same gradients, the same run, even if one dies on the way."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from parallel_worker import DIES_AT, RECIPE, make_my_batches, make_trainer
from reference import make_inputs, make_reference, make_twin
from safetensors.torch import load_file, save_file
from test_toybox_train import tiny_config

from toybox import train as training
from vlm.checkpoints.published import published_config
from vlm.generate import generate_tokens
from vlm.loader import load_model, save_hf_model
from vlm.parallel.gradients import average_gradients
from vlm.parallel.processes import Place, check_restarts
from vlm.parallel.tensor_parallel import check_divisible

WORKER = Path(__file__).with_name("parallel_worker.py")
MODELS = {"model_1_1": (1, 1), "model_1_2": (2, 1), "model_2_2": (2, 2)}  # key/value heads, generation


def torchrun(task: str, directory: Path, *options: str) -> str:
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *options]
    surroundings = os.environ | {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    ended = subprocess.run(
        [*words, WORKER, task, directory], env=surroundings, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stderr


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    """Small checkpoints, one with an own head and one with a copy of the embedding, and a batch of two prompts."""
    directory = tmp_path_factory.mktemp("parallel")
    for name, (num_key_value_heads, generation) in MODELS.items():
        twin = make_twin(make_reference(num_key_value_heads, generation), num_key_value_heads, generation)
        vision = dataclasses.replace(twin.config.vision_config, num_attention_heads=2)  # 3 cannot be halved
        twin.config = dataclasses.replace(twin.config, vision_config=vision)
        save_hf_model(twin, directory / name)
    for name, head in (("model_own_head", torch.randn(128, 32) * 32**-0.5), ("model_tied_head", None)):
        shutil.copytree(directory / "model_1_2", directory / name)
        tensors = load_file(directory / name / "model.safetensors")
        embedding = tensors["language_model.model.embed_tokens.weight"]
        tensors["language_model.lm_head.weight"] = embedding.clone() if head is None else head
        save_file(tensors, directory / name / "model.safetensors")
    save_file(make_inputs([4, 6]), directory / "inputs.safetensors")
    return directory


@pytest.fixture(scope="module")
def answered(directory) -> Path:
    torchrun("answer", directory)
    return directory


@pytest.mark.parametrize("name", [*MODELS, "model_own_head", "model_tied_head"])
def test_the_logits_of_two_processes_are_those_of_one(answered, name):
    model, inputs = load_model(answered / name), load_file(answered / "inputs.safetensors")
    with torch.inference_mode():
        expected = model(**inputs).logits
    del inputs["token_type_ids"]
    tokens = torch.stack(list(generate_tokens(model, inputs, 8)))
    for rank in (0, 1):
        found = load_file(answered / f"{name}.rank{rank}.safetensors")
        assert (found["logits"] - expected).abs().max() < 1e-5
        assert torch.equal(found["tokens"], tokens)


@pytest.mark.parametrize("name", MODELS)
def test_each_process_holds_half_of_the_large_matrices_and_of_the_cache(answered, name):
    model = load_model(answered / name)
    num_key_value_heads = MODELS[name][0]
    whole = sum(
        p.nbytes
        for n, p in model.named_parameters()
        if p.dim() > 1
        and not any(part in n for part in ("embeddings.", "multi_modal"))
        and not (num_key_value_heads == 1 and "language_model" in n and ("k_proj" in n or "v_proj" in n))
    )
    found = load_file(answered / f"{name}.rank1.safetensors")
    biases = found["held"].item() - whole / 2  # of the tower's matrices: half of most of them
    assert 0 <= biases < 0.03 * whole
    text = model.config.text_config
    held = max(1, num_key_value_heads // 2)
    assert found["cache"].item() == text.num_hidden_layers * 2 * held * 20 * text.head_dim * 4


def test_a_head_that_equals_the_embedding_is_not_held_twice(answered):
    plain, tied, own = (
        load_file(answered / f"{name}.rank1.safetensors")["held"].item()
        for name in ("model_1_2", "model_tied_head", "model_own_head")
    )
    assert plain == tied == own - 128 * 32 * 4 / 2


@pytest.mark.parametrize("name", MODELS)
def test_a_token_costs_two_all_reduces_a_layer_and_one_for_the_embedding(answered, name):
    text = load_model(answered / name).config.text_config
    found = load_file(answered / f"{name}.rank0.safetensors")
    calls, num_bytes = found["all_reduces"].tolist()
    assert calls == 2 * text.num_hidden_layers + 1
    assert num_bytes == calls * 2 * text.hidden_size * 4  # two rows, one vector each, float32
    assert found["all_gathers"].item() == 1


@pytest.fixture(scope="module")
def with_gradients(directory) -> Path:
    torchrun("gradients", directory)
    return directory


def test_the_averaged_gradients_are_those_of_the_mean_loss(with_gradients, monkeypatch):
    monkeypatch.setattr(training, "toybox_config", tiny_config)
    trainer = make_trainer(with_gradients, Place())
    trainer.step = RECIPE.look_steps
    progress = trainer.set_learning_rate()
    for rank in (0, 1):
        batch = make_my_batches(trainer, Place(rank, 2)).make_batch(trainer.step)
        assert len(batch.pixel_values) == RECIPE.scenes_per_step // 2
        with torch.autocast("cpu", torch.bfloat16):
            losses = trainer.compute_losses(batch, progress)
        (sum(losses.values()) / 2).backward()
    for rank in (0, 1):
        found = load_file(with_gradients / f"gradients.rank{rank}.safetensors")
        for index, parameter in enumerate(trainer.parameters()):
            torch.testing.assert_close(found[str(index)], parameter.grad, rtol=1e-4, atol=1e-6)


def test_fsdp_gives_the_gradients_of_one_process(with_gradients):
    model, inputs = load_model(with_gradients / "model_1_2"), load_file(with_gradients / "inputs.safetensors")
    for rank in (0, 1):
        mine = {name: tensor[rank::2] for name, tensor in inputs.items()}
        (model(**mine, labels=mine["input_ids"]).loss / 2).backward()
    found = load_file(with_gradients / "fsdp.safetensors")
    expected = {name: p.grad for name, p in model.named_parameters()}
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


def test_alone_the_gradients_stay_as_they_are():
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.tensor([1.0, 2.0])
    average_gradients([parameter], Place())
    assert parameter.grad.tolist() == [1, 2]


def test_a_killed_worker_costs_the_run_nothing_but_time(tmp_path):
    for name in ("unbroken", "broken"):
        (tmp_path / name).mkdir()
    torchrun("train", tmp_path / "unbroken")
    (tmp_path / "broken" / "dies").touch()
    said = torchrun("train", tmp_path / "broken", "--max-restarts", "3")
    assert "Signal 9 (SIGKILL)" in said or "exitcode: -9" in said, said
    runs = [load_file(tmp_path / name / "run" / "final" / "model.safetensors") for name in ("unbroken", "broken")]
    assert runs[0].keys() == runs[1].keys()
    assert [name for name in runs[0] if not torch.equal(runs[0][name], runs[1][name])] == []
    assert RECIPE.total_steps > DIES_AT


def test_restarts_that_would_find_old_addresses_are_refused(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "0")
    check_restarts()
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    with pytest.raises(RuntimeError, match="set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"):
        check_restarts()
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "False")
    check_restarts()


@pytest.mark.parametrize(
    "name, processes", [("paligemma-3b-224", 8), ("paligemma2-10b-224", 8), ("paligemma2-28b-896", 16)]
)
def test_the_published_sizes_can_be_split(name, processes):
    check_divisible(published_config(name), processes)


def test_an_odd_number_of_processes_is_refused():
    with pytest.raises(ValueError, match="8 heads cannot be split among 3 processes"):
        check_divisible(published_config("paligemma-3b-224"), 3)
