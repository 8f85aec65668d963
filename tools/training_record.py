"""Records losses and accuracies during a training run in book/data/training.json, which chapter 22 plots.

`python tools/training_record.py runs/toybox states` reads the log of a finished `make train`, and copies of its
`state.safetensors` that were saved while it ran, each in its own subfolder of `states`. Each copy is evaluated on 300
validation scenes, and so is the shipped model, for comparison.
"""

import argparse
import json
from pathlib import Path

from toybox import CHECKPOINT_DIRECTORY, MASK_VQVAE_FILE
from toybox.evaluate import evaluate
from toybox.recipe import Recipe
from toybox.scoring import Measures
from toybox.train import Trainer
from vlm.loader import load_model
from vlm.regions.mask_vqvae import load_mask_decoder

TEST_SCENES = 300
OUTPUT = Path(__file__).resolve().parent.parent / "book" / "data" / "training.json"


def load_state(directory: Path) -> Trainer:
    """The training run as it was when the state in that folder was written."""
    trainer = Trainer(Recipe(), directory, "cpu")
    trainer.resume()
    return trainer


def measure(trainer: Trainer) -> dict[str, Measures]:
    """The results of `evaluate` on the validation scenes."""
    mask_decoder = load_mask_decoder(MASK_VQVAE_FILE)
    return evaluate(trainer.model.eval(), trainer.processor, mask_decoder, TEST_SCENES, "validation")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of the finished training run")
    parser.add_argument("states", type=Path, help="folder that has a subfolder for each copy of its state")
    options = parser.parse_args()
    trainers = sorted(map(load_state, options.states.iterdir()), key=lambda trainer: trainer.step)
    shipped = Trainer(Recipe(), options.run, "cpu")
    shipped.model.load_state_dict(load_model(CHECKPOINT_DIRECTORY).state_dict())
    record = {
        "provenance": json.loads((options.run / "final" / "provenance.json").read_text(encoding="utf-8")),
        "lines": [json.loads(line) for line in (options.run / "log.jsonl").read_text(encoding="utf-8").splitlines()],
        "states": [{"step": trainer.step, **measure(trainer)} for trainer in trainers],
        "shipped": measure(shipped),
    }
    OUTPUT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
