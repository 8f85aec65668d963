"""How probable an answer, the model's own or any other, is to the model: each token, given the image, the prompt and
the tokens before it.

Shapes: B batch, S sequence, T tokens of an answer, V vocabulary.
"""

from collections.abc import Sequence
from itertools import groupby

import torch
from PIL import Image
from torch import Tensor

from vlm.paligemma import IGNORE_INDEX, PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor
from vlm.regions.boxes import parse_detections


@torch.inference_mode()
def score_answers(
    model: PaliGemmaForConditionalGeneration,
    processor: PaliGemmaProcessor,
    text: Sequence[str],
    images: Sequence[Image.Image],
    answers: Sequence[str],
) -> list[Tensor]:
    """The log probability of each token of each answer, `<eos>` included.

    One forward pass for the batch: the model gets the whole answer, and each position predicts the next token.

    Returns:
        For each row [T], T the number of its tokens. Their sum is the log probability of the whole answer.
    """
    inputs = processor(text, images, answers)
    labels = inputs.pop("labels")[:, 1:].to(model.device)  # [B, S - 1], the next tokens
    logits = model(**{name: tensor.to(model.device) for name, tensor in inputs.items()}).logits  # [B, S, V]
    log_probabilities = logits[:, :-1].float().log_softmax(-1)  # [B, S - 1, V]
    is_answer = labels != IGNORE_INDEX
    chosen = log_probabilities.gather(-1, labels.where(is_answer, 0)[..., None])[..., 0]  # [B, S - 1]
    return [row[kept] for row, kept in zip(chosen, is_answer)]


def score_boxes(tokens: Sequence[str], log_probabilities: Sequence[float]) -> list[float]:
    """The confidence of each box of an answer: the probability of its four location tokens.

    Args:
        tokens: of the answer, in the tokenizer's spelling ("<loc0100>", "▁cat", ...).
        log_probabilities: of each token.

    Returns:
        One number, 0..1, for each box that `parse_detections` finds in the answer, in the same order; except in answers
        that spell out a location that is not a token (`<loc1024>`).
    """
    visible = [(token, value) for token, value in zip(tokens, log_probabilities, strict=True) if token.strip("▁ \n")]
    scores = []
    for is_location, run in groupby(visible, key=lambda pair: pair[0].startswith("<loc")):
        names, values = zip(*run)
        if is_location and parse_detections("".join(names), height=1, width=1):
            scores.append(float(torch.tensor(values).sum().exp()))
    return scores
