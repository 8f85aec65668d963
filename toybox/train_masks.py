"""Trains the mask VQ-VAE of the Toybox from scratch: `python -m toybox.train_masks`, about ten minutes on a CPU.

It comes before the training of the model, which needs the codes. Shapes: M masks, S side of a mask, K codes of a
mask, D numbers in a code, V codes in the codebook.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset
from tqdm import tqdm

from toybox import MASK_VQVAE_FILE
from toybox.scenes import IMAGE_SIZE, draw_scene
from vlm.checkpoints.atomic_write import save_tensors, write_aside
from vlm.commands.program import run_as_program
from vlm.regions.boxes import NUM_MASK_CODES
from vlm.regions.mask_vqvae import MaskDecoder, MaskEncoder, nearest_codes, to_file_names
from vlm.regions.segmentation import crop_mask
from vlm.training.schedule import schedule

STEPS = 2000
MASKS_PER_STEP = 64
LEARNING_RATE = 1e-3
WARMUP_STEPS = 50
FREE = 0.1  # of the training, at its start: no codebook yet, since codes of meaningless vectors would be of no use
COMMITMENT = 0.25  # weight of the loss that pulls the encoder's vectors towards their codes
STEPS_BETWEEN_REVIVALS = 50
LAST_REVIVAL = 0.6  # of the training
MAX_SHIFT = 1.0  # pixels


class TrainingMasks(IterableDataset):
    """Batches [M, S, S] of masks of the training split. Boxes are slightly off, as the model's will be."""

    def __init__(self, steps: int):
        self.steps = steps

    def __iter__(self) -> Iterator[Tensor]:
        rng, seed, masks = np.random.default_rng(0), 0, []
        for _ in range(self.steps):
            while len(masks) < MASKS_PER_STEP:
                scene = draw_scene(seed, "train")
                for index, thing in enumerate(scene.objects):
                    box = np.clip(np.array(thing.box) + rng.uniform(-MAX_SHIFT, MAX_SHIFT, size=4), 0, IMAGE_SIZE)
                    masks.append(crop_mask(scene.mask(index), tuple(box)))
                seed += 1
            yield torch.from_numpy(np.stack(masks[:MASKS_PER_STEP]))
            masks = masks[MASKS_PER_STEP:]


def autoencoder_loss(masks: Tensor, encoder: MaskEncoder, decoder: MaskDecoder) -> dict[str, Tensor]:
    """The reconstruction loss of the autoencoder without a codebook."""
    return {"reconstruction": nn.functional.mse_loss(decoder.decode_vectors(encoder(masks)), 2 * masks - 1)}


def vqvae_losses(masks: Tensor, encoder: MaskEncoder, decoder: MaskDecoder, uses: Tensor) -> dict[str, Tensor]:
    """The three terms of van den Oord et al. (arXiv 1711.00937, equation 3).

    Choosing the nearest code has no gradient. So the decoder's gradient is passed to the encoder's vector as if it had
    not been replaced (a straight-through gradient), and two more terms pull vector and code together.

    Args:
        uses: [V], how often each code was chosen; updated in place.
    """
    vectors = encoder(masks).float()  # [M, K, D]
    codes = nearest_codes(vectors, decoder.codebook)  # [M, K]
    uses += torch.bincount(codes.flatten(), minlength=NUM_MASK_CODES)
    chosen = decoder.codebook[codes]  # [M, K, D]
    decoded = decoder.decode_vectors(vectors + (chosen - vectors).detach())  # [M, S, S]
    return {
        "reconstruction": nn.functional.mse_loss(decoded, 2 * masks - 1),
        "codebook": nn.functional.mse_loss(chosen, vectors.detach()),
        "commitment": COMMITMENT * nn.functional.mse_loss(vectors, chosen.detach()),
    }


@torch.no_grad()
def revive_codes(masks: Tensor, encoder: MaskEncoder, decoder: MaskDecoder, uses: Tensor) -> int:
    """Move unused codes onto vectors of this batch; otherwise most codes would never be used.

    Args:
        uses: [V], how often each code was chosen since the last time.

    Returns:
        How many were moved.
    """
    unused = (uses == 0).nonzero().flatten()
    vectors = encoder(masks).flatten(0, 1)  # [M * K, D]
    decoder.codebook[unused] = vectors[torch.randperm(len(vectors))[: len(unused)]]
    return len(unused)


def train_mask_vqvae(steps: int, path: Path):
    """Train, and write encoder, codebook and decoder to one float16 file: half the size, the same masks."""
    torch.manual_seed(0)
    encoder, decoder = MaskEncoder(), MaskDecoder()
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.0)
    uses = torch.zeros(NUM_MASK_CODES, dtype=torch.long)  # [V]
    started = time.monotonic()
    bar = tqdm(DataLoader(TrainingMasks(steps), batch_size=None, num_workers=1), total=steps, unit="step")
    for step, masks in enumerate(bar):
        since_free = step - round(FREE * steps)
        if since_free >= 0 and since_free % STEPS_BETWEEN_REVIVALS == 0 and step < LAST_REVIVAL * steps:
            revive_codes(masks, encoder, decoder, uses)  # at the first revival, all codes are unused
            uses.zero_()
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * schedule(step, steps, WARMUP_STEPS)
        with torch.autocast("cpu", torch.bfloat16):
            if since_free < 0:
                losses = autoencoder_loss(masks, encoder, decoder)
            else:
                losses = vqvae_losses(masks, encoder, decoder, uses)
        sum(losses.values()).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 20 == 0:
            bar.set_postfix({name: round(loss.item(), 4) for name, loss in losses.items()}, used=int((uses > 0).sum()))
    tensors = {name: tensor.half() for name, tensor in to_file_names(encoder, decoder).items()}
    made = {"steps": steps, "minutes": round((time.monotonic() - started) / 60, 1), "torch": torch.__version__}
    with write_aside(path) as partial:
        save_tensors(tensors, partial, {"format": "pt", "made": json.dumps(made)})
    print(f"finished in {made['minutes']} minutes: {path}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--output", type=Path, default=MASK_VQVAE_FILE)
    options = parser.parse_args()
    train_mask_vqvae(options.steps, options.output)


if __name__ == "__main__":
    run_as_program("toybox.train_masks", main)
