"""What each process does in tests/test_parallel.py: `torchrun ... tests/parallel_worker.py TASK DIRECTORY`."""

import dataclasses
import os
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from test_toybox_train import make_batches, tiny_config
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from toybox import train as training
from toybox.batches import TrainingBatches
from toybox.recipe import Recipe
from vlm.generate import generate_tokens
from vlm.kv_cache import KVCache
from vlm.loader import load_model
from vlm.parallel.gradients import average_gradients
from vlm.parallel.processes import Place, join, leave
from vlm.parallel.tensor_parallel import load_split_model
from vlm.parallel.traffic import TrafficCounter

RECIPE = Recipe(scenes_per_step=4, look_steps=2, speak_steps=6, warmup_steps=2)
DIES_AT = 5


def answer(directory: Path, place: Place):
    """Logits of a prompt, the tokens that follow, what is held and what is sent: for each checkpoint."""
    mesh = init_device_mesh("cpu", (place.world_size,))
    for checkpoint in sorted(directory.glob("model_*")):
        model = load_split_model(checkpoint, mesh)
        inputs = load_file(directory / "inputs.safetensors")
        with torch.inference_mode():
            logits = model(**inputs).logits
            cache = KVCache(model.config.text_config, 2, 20)
            model(**inputs, kv_cache=cache)
            with TrafficCounter() as traffic:
                model(inputs["input_ids"][:, -1:], kv_cache=cache)
        del inputs["token_type_ids"]
        result = {
            "logits": logits,
            "tokens": torch.stack(list(generate_tokens(model, inputs, 8))),
            "held": torch.tensor(sum(p.to_local().nbytes if hasattr(p, "to_local") else 0 for p in model.parameters())),
            "cache": torch.tensor(sum(keys.nbytes for keys in cache.keys)),
            "all_reduces": torch.tensor([traffic.calls["all_reduce"], traffic.bytes["all_reduce"]]),
            "all_gathers": torch.tensor([traffic.calls["all_gather_into_tensor"]]),
        }
        save_file(result, directory / f"{checkpoint.name}.rank{place.rank}.safetensors")


def gradients(directory: Path, place: Place):
    """The gradients of one step, with the batch divided; and with the model sharded too (FSDP2)."""
    alone, shared, unused = (torch.nn.Parameter(torch.zeros(2)) for _ in range(3))
    shared.grad = torch.ones(2)
    if place.rank == 1:
        alone.grad = torch.ones(2)
    average_gradients([alone, shared, unused], place)
    assert unused.grad is None and alone.grad.tolist() == [0.5, 0.5] and shared.grad.tolist() == [1, 1]

    trainer = make_trainer(directory, place)
    trainer.step = RECIPE.look_steps
    trainer.optimizers[0].step = lambda: save_file(
        {str(i): p.grad for i, p in enumerate(trainer.parameters())},
        directory / f"gradients.rank{place.rank}.safetensors",
    )
    batch = make_my_batches(trainer, place).make_batch(trainer.step)
    trainer.recipe = dataclasses.replace(trainer.recipe, max_gradient_norm=1e9)
    trainer.train_step(batch)

    model = load_model(directory / "model_1_2")
    for layer in model.language_model.model.layers:
        fully_shard(layer)
    fully_shard(model)
    inputs = load_file(directory / "inputs.safetensors")
    mine = {name: tensor[place.rank :: place.world_size] for name, tensor in inputs.items()}
    model(**mine, labels=mine["input_ids"]).loss.backward()
    whole = {name: p.grad.full_tensor() for name, p in model.named_parameters()}
    if place.is_first:
        save_file(whole, directory / "fsdp.safetensors")


def train(directory: Path, place: Place):
    """A short run that saves after each step; where the file "dies" is, the last process is killed on the way."""
    if (directory / "dies").is_file() and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0" and place.rank == 1:
        take_step = training.Trainer.train_step

        def train_step(self, batch):
            if self.step == DIES_AT:
                os.kill(os.getpid(), signal.SIGKILL)
            return take_step(self, batch)

        training.Trainer.train_step = train_step
    training.SECONDS_BETWEEN_SAVES = 0
    training.train(RECIPE, directory / "run", "cpu", place=place)


def make_trainer(directory: Path, place: Place) -> training.Trainer:
    return training.Trainer(RECIPE, directory, "cpu", place)


def make_my_batches(trainer: training.Trainer, place: Place) -> TrainingBatches:
    batches = make_batches(trainer.recipe, trainer.processor, trainer.step)
    batches.place = place
    return batches


def main():
    training.toybox_config = tiny_config
    training.Trainer.compile = lambda self: None
    torch.set_num_threads(1)
    place = join()
    {"answer": answer, "gradients": gradients, "train": train}[sys.argv[1]](Path(sys.argv[2]), place)
    leave(place)


if __name__ == "__main__":
    main()
