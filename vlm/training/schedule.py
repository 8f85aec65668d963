"""The learning-rate schedule that every training here uses."""

import math


def schedule(step: int, num_steps: int, warmup_steps: int, final: float = 0.0) -> float:
    """Learning-rate multiplier at `step`: linear warm-up, then cosine decay.

    Args:
        step: from 0 to num_steps - 1.
        warmup_steps: at least 1; the multiplier of the last of them is 1.
        final: the multiplier that the decay would reach at step `num_steps`, one after the last.

    Source: SGDR (arXiv 1608.03983), equation 5, for the cosine.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / (num_steps - warmup_steps)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))
