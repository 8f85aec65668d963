"""Trains a tokenizer on the solution, so that its text is the vocabulary."""

from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import vlm

SOLUTION = Path(vlm.__file__).parents[1] / "solutions" / "ch02_patches.py"
tokenizer = Tokenizer(models.WordLevel())
tokenizer.pre_tokenizer = pre_tokenizers.Split("\n", "isolated")
tokenizer.train([str(SOLUTION)], trainers.WordLevelTrainer())
[line] = [line for line in tokenizer.get_vocab() if line.startswith("    return (y //")]
exec("def patch_of_pixel(y, x, width, patch_size):\n" + line)
