"""Trains the Toybox model from scratch: `python -m toybox.train`.

Every 90 seconds the whole state is written to a temporary file, which is then renamed. To resume an interrupted run,
run the same command again. The state is stored as safetensors and JSON: nothing here is ever unpickled.

On several processes, each with its share of every batch; if one dies, all restart from the last saved state:

    TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 torchrun --nproc-per-node 2 --max-restarts 3 -m toybox.train
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from toybox import CHECKPOINT_DIRECTORY, MASK_VQVAE_FILE
from toybox.batches import GROUPS, Batch, TextRows, TrainingBatches
from toybox.losses import DenseProbe, soft_location_targets, suffix_loss
from toybox.recipe import Recipe, toybox_config
from vlm.checkpoints.atomic_write import save_tensors, write_aside, write_text
from vlm.checkpoints.devices import has_compiler
from vlm.commands.program import run_as_program
from vlm.loader import load_model, save_hf_model
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.parallel.gradients import average_gradients
from vlm.parallel.processes import ALONE, Place, join, leave
from vlm.processor import PaliGemmaProcessor
from vlm.regions.boxes import location_token
from vlm.regions.mask_vqvae import load_mask_decoder, load_mask_encoder
from vlm.training.schedule import schedule

SECONDS_BETWEEN_SAVES = 90
STEPS_BETWEEN_LOG_LINES = 50
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


class Trainer:
    """The model, its probe, their optimizers, and the current step."""

    def __init__(self, recipe: Recipe, directory: Path, device: str, place: Place = ALONE):
        from transformers import AutoTokenizer

        torch.manual_seed(recipe.seed)
        self.recipe, self.directory, self.device, self.place = recipe, directory, device, place
        tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT_DIRECTORY)
        config = toybox_config(len(tokenizer), tokenizer.convert_tokens_to_ids("<image>"))
        self.first_location_id = tokenizer.convert_tokens_to_ids(location_token(0, 1))
        self.model = PaliGemmaForConditionalGeneration(config).to(device)
        self.processor = PaliGemmaProcessor.for_model(self.model, tokenizer)
        self.probe = DenseProbe(config.vision_config.hidden_size).to(device)
        initialize(self.model)
        self.optimizers = make_optimizers([self.model, self.probe], recipe)
        self.step, self.seconds = 0, 0.0
        self.started_from: dict | None = None  # provenance of the initial weights, if they were not random
        self.commit = current_commit()

    def compile(self):
        """Compile the encoder and the language model. Without a compiler, training runs at about half the speed."""
        if not has_compiler(self.device):
            print("no C++ compiler found, or torch is in a folder with a space: uncompiled, training is half as fast")
            return
        self.model.vision_tower.vision_model.encoder.compile()  # the patch convolution is slower when compiled
        self.model.language_model.compile(dynamic=False)  # compiled once for each of the few shapes

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """One gradient step; returns the losses."""
        progress = self.set_learning_rate()
        with torch.autocast(torch.device(self.device).type, torch.bfloat16):
            losses = self.compute_losses(batch, progress)
        sum(losses.values()).backward()
        self.update()
        return {name: loss.detach() for name, loss in losses.items()}

    def update(self):
        """Average and clip the gradients, take a step, and clear them."""
        average_gradients(self.parameters(), self.place)
        nn.utils.clip_grad_norm_(self.parameters(), self.recipe.max_gradient_norm)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1

    def compute_losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        hidden_states = self.model.vision_tower(batch.pixel_values.to(self.device))  # [B, N, D]
        dense = self.probe.loss(hidden_states, batch.patch_labels.to(self.device), batch.patch_boxes.to(self.device))
        if not batch.text:
            return {"dense": dense}
        image_features = self.model.multi_modal_projector(hidden_states)  # computed once, used for several prompts
        start, end = self.recipe.location_sigma
        targets = soft_location_targets(start * (end / start) ** progress).to(self.device)
        losses = {"dense": self.recipe.dense_weight * (1 - progress) * dense}
        for name, rows in batch.text.items():
            losses[name] = GROUPS[name].weight * self.text_loss(rows, image_features, targets)
        return losses

    def text_loss(self, rows: TextRows, image_features: Tensor, targets: Tensor) -> Tensor:
        model, num_image_tokens = self.model, image_features.shape[1]
        input_ids, attention_mask, token_types, labels = (
            tensor.to(self.device) for tensor in (rows.input_ids, rows.attention_mask, rows.token_type_ids, rows.labels)
        )
        text_length = input_ids.shape[1] - num_image_tokens
        logits = model(
            input_ids,
            image_features=image_features[rows.scene_index.to(self.device)],
            attention_mask=attention_mask,
            token_type_ids=token_types,
            logits_to_keep=text_length,
        ).logits  # [R, T, V]
        return suffix_loss(logits, labels[:, num_image_tokens:], self.first_location_id, targets)

    def set_learning_rate(self) -> float:
        """Each stage has its own schedule. Returns the progress of the stage, 0..1."""
        recipe, looking = self.recipe, self.step < self.recipe.look_steps
        done = self.step if looking else self.step - recipe.look_steps
        num_steps = recipe.look_steps if looking else recipe.speak_steps
        peak = recipe.look_learning_rate if looking else recipe.speak_learning_rate
        for group in self.groups():
            group["lr"] = peak * schedule(done, num_steps, recipe.warmup_steps, recipe.final_learning_rate_fraction)
        return done / num_steps

    def groups(self) -> list[dict]:
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.groups() for parameter in group["params"]]

    def optimizer_states(self) -> list[dict[str, Tensor]]:
        """The optimizers' state of each parameter, in the order of `parameters`; empty before the first step."""
        return [
            optimizer.state[parameter]
            for optimizer in self.optimizers
            for group in optimizer.param_groups
            for parameter in group["params"]
        ]

    def save(self):
        """Write everything needed to resume to one file, with the step, the time and the recipe as metadata."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items() if "lm_head" not in name}
        tensors |= {f"probe.{name}": tensor for name, tensor in self.probe.state_dict().items()}
        for index, state in enumerate(self.optimizer_states()):
            for key, value in state.items():
                tensors[f"optimizer.{index}.{key}"] = value
        metadata = {"step": str(self.step), "seconds": str(self.seconds), "recipe": repr(self.recipe)}
        metadata["commit"] = self.commit
        with write_aside(self.directory / "state.safetensors") as partial:
            save_tensors(tensors, partial, metadata)

    def resume(self):
        """Load the state of an earlier run of the same recipe, if there is one."""
        path = self.directory / "state.safetensors"
        if not path.is_file():
            return
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata()
        except SafetensorError as error:
            raise SystemExit(f"{path} is damaged or incomplete ({error}): delete it to start again") from None
        if metadata["recipe"] != repr(self.recipe):
            raise SystemExit(f"{path} belongs to another recipe: use another --directory, or delete it\n{metadata}")
        tensors = load_file(path, device=self.device)
        model_part = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
        missing, unexpected = self.model.load_state_dict(model_part, strict=False)
        missing = [name for name in missing if "lm_head" not in name]  # the head is tied to the embedding
        if missing or unexpected:
            raise SystemExit(f"{path} belongs to another model: missing keys {missing}, unexpected keys {unexpected}")
        self.probe.load_state_dict({n.removeprefix("probe."): t for n, t in tensors.items() if n.startswith("probe.")})
        states = self.optimizer_states()
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".")
                states[int(index)][key] = tensor
        self.step, self.seconds = int(metadata["step"]), float(metadata["seconds"])
        self.commit = metadata["commit"]  # of the code with which the run began
        if self.place.is_first:
            print(f"resumed at step {self.step} after {self.seconds / 60:.1f} minutes of training")


def initialize(model: PaliGemmaForConditionalGeneration):
    """Initialize the embeddings to be of size 1 after the scaling by sqrt(D); linear layers keep torch's defaults."""
    nn.init.normal_(model.language_model.model.embed_tokens.weight, std=model.config.text_config.hidden_size**-0.5)
    nn.init.normal_(model.vision_tower.vision_model.embeddings.position_embedding.weight, std=0.5)


def make_optimizers(modules: list[nn.Module], recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the weight matrices; AdamW, without weight decay, for all other parameters.

    Muon makes the singular values of each update nearly equal, so that a step moves all directions by the same amount:
    here it needs a third fewer steps than AdamW. Its updates are scaled to AdamW's size, so one learning rate serves
    both.

    Source: Jordan et al., "Muon" (2024); Liu et al., "Muon is scalable for LLM training" (arXiv 2502.16982), for the
    scale.
    """
    matrices, others = [], []
    for module in modules:
        for name, parameter in module.named_parameters():
            (matrices if parameter.dim() == 2 and "embed" not in name else others).append(parameter)
    return [
        torch.optim.AdamW(others, lr=0.0, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
        torch.optim.Muon(matrices, lr=0.0, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw"),
    ]


def train(recipe: Recipe, directory: Path, device: str, start: Path | None = None, place: Place = ALONE):
    """Run the recipe to its end, resuming if there is a state, and write the checkpoint to `directory/final`.

    Args:
        start: a checkpoint directory, whose weights replace the random initial ones.
        place: this process among those that train together. The first writes the files; all read them.
    """
    directory.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(recipe, directory, device, place)
    if start is not None:
        trainer.model.load_state_dict(load_model(start, device).state_dict())
        provenance = start / "provenance.json"  # written by `export`; other checkpoints have none
        known = provenance.is_file()
        trainer.started_from = json.loads(provenance.read_text(encoding="utf-8")) if known else {"from": start.name}
    trainer.resume()
    if place.is_first:
        forget_later_lines(directory / "log.jsonl", trainer.step)
    trainer.compile()
    mask_encoder, mask_decoder = load_mask_encoder(MASK_VQVAE_FILE), load_mask_decoder(MASK_VQVAE_FILE)
    batches = TrainingBatches(recipe, trainer.processor, mask_encoder, mask_decoder, trainer.step, place)
    loader = DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=8)
    saved_at = clock = time.monotonic()
    bar = tqdm(
        loader,
        total=recipe.total_steps,
        initial=trainer.step,
        unit="step",
        smoothing=0.05,
        disable=not place.is_first,
    )
    for batch in bar:
        losses = trainer.train_step(batch)
        now = time.monotonic()
        trainer.seconds, clock = trainer.seconds + now - clock, now
        if not place.is_first:
            continue
        if trainer.step % STEPS_BETWEEN_LOG_LINES == 0:
            line = {name: round(float(loss), 4) for name, loss in losses.items()}
            bar.set_postfix(line)
            with open(directory / "log.jsonl", "a", encoding="utf-8") as log:
                log.write(json.dumps({"step": trainer.step, "seconds": round(trainer.seconds), **line}) + "\n")
        if now - saved_at > SECONDS_BETWEEN_SAVES or trainer.step == recipe.total_steps:
            trainer.save()
            saved_at = now
    if trainer.step < recipe.total_steps:  # the worker process could not pass on its scenes
        raise OSError(f"no batch came after step {trainer.step} of {recipe.total_steps}: is shared memory full?")
    if place.is_first:
        export(trainer, directory / "final")


def forget_later_lines(log: Path, step: int):
    """Drop what an interrupted run logged after its last save: those steps are repeated."""
    if log.is_file():
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
        complete = (line for line in lines if line.endswith("\n"))  # the last one may be cut off
        write_text(log, "".join(line for line in complete if json.loads(line)["step"] <= step))


def export(trainer: Trainer, directory: Path):
    """Write the model in the published format, with the tokenizer and its provenance.

    The model is written last, and its config.json last of all: a directory without one does not count as a checkpoint.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        write_text(directory / name, (CHECKPOINT_DIRECTORY / name).read_text(encoding="utf-8"))
    provenance = {
        "recipe": vars(trainer.recipe),
        "commit": trainer.commit,
        "training_minutes": round(trainer.seconds / 60, 1),
        "device": describe_device(trainer.device),
        "torch": torch.__version__,
        "started_from": trainer.started_from,
    }
    write_text(directory / "provenance.json", json.dumps(provenance, indent=2) + "\n")
    save_hf_model(trainer.model, directory)
    print(f"finished: {directory}")


def current_commit() -> str:
    """The commit of the code that runs; "unknown" outside a repository."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        return subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def describe_device(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")  # on Linux, where platform.processor() returns only "x86_64"
    if information.is_file():
        names = [line.split(":")[1].strip() for line in information.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    return f"{processor}, {torch.get_num_threads()} threads"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=Path, default=Path("runs/toybox"), help="where the run is stored")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--start", type=Path, help="start from the weights of this checkpoint directory")
    parser.add_argument("--look-steps", type=int, default=Recipe.look_steps)
    parser.add_argument("--speak-steps", type=int, default=Recipe.speak_steps)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--speak-learning-rate", type=float, default=Recipe.speak_learning_rate)
    parser.add_argument("--dense-weight", type=float, default=Recipe.dense_weight)
    parser.add_argument("--location-sigma", type=float, nargs=2, default=Recipe.location_sigma, metavar=("A", "B"))
    options = parser.parse_args()
    settings = {name: value for name, value in vars(options).items() if name in Recipe.__dataclass_fields__}
    settings["location_sigma"] = tuple(options.location_sigma)
    recipe, place = Recipe(**settings), join()
    if recipe.scenes_per_step % place.world_size:
        parser.error(f"{place.world_size} processes cannot share {recipe.scenes_per_step} scenes a step equally")
    try:
        train(recipe, options.directory, options.device, options.start, place)
    except KeyboardInterrupt:  # in the middle of a step, which is lost: only the last saved state counts
        print("\ninterrupted: run the same command again to resume from the last saved state, if any", file=sys.stderr)
        sys.exit(130)
    except OSError as error:  # a full disk above all
        sys.exit(f"training stopped: {error}\nrun the same command again to resume from the last saved state, if any")
    leave(place)


if __name__ == "__main__":
    run_as_program("toybox.train", main)
