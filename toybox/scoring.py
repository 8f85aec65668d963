"""Scores the answers to questions about scenes. Each function gets questions of one task, and the model's answers."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from toybox.questions import Question, find_targets
from toybox.scenes import IMAGE_SIZE
from vlm.metrics.detection import DetectionCounts, match_detections
from vlm.metrics.masks import match_masks
from vlm.regions.boxes import Detection, parse_detections
from vlm.regions.mask_vqvae import MaskDecoder
from vlm.regions.segmentation import decode_masks

Measures = dict[str, float | None]


def score_exact_match(asked: Sequence[Question], answers: Sequence[str]) -> Measures:
    """The fraction of answers that are exactly right; None if there were no questions."""
    right = [answer == question.answer for question, answer in zip(asked, answers, strict=True)]
    return {"exact_match": _mean(right)}


def score_strangers(asked: Sequence[Question], answers: Sequence[str]) -> Measures:
    """How often the model says no to things that are not in the Toybox, and how often it draws no box for them."""
    pairs = list(zip(asked, answers, strict=True))
    right = {truth: [answer == truth for question, answer in pairs if question.answer == truth] for truth in ("no", "")}
    return {"says_no": _mean(right["no"]), "draws_nothing": _mean(right[""])}


def score_detections(asked: Sequence[Question], answers: Sequence[str]) -> Measures:
    """Over all boxes of all scenes; a box counts if its label is right and its IoU is at least 0.5."""
    counts = sum(_count_each(asked, answers), DetectionCounts())
    measures = {"precision": counts.precision, "recall": counts.recall, "mean_box_iou": counts.mean_iou}
    return {name: round(value, 4) for name, value in measures.items()}


def score_referring(asked: Sequence[Question], answers: Sequence[str]) -> Measures:
    """The fraction of phrases ("left cat") whose boxes are right: each toy that is meant, and nothing else."""
    each = _count_each(asked, answers)
    right = [len(counts.ious) == counts.predicted == counts.actual for counts in each]
    return {"right": _mean(right), "mean_box_iou": round(sum(each, DetectionCounts()).mean_iou, 4)}


def score_masks(asked: Sequence[Question], answers: Sequence[str], mask_decoder: MaskDecoder) -> Measures:
    """The mean IoU of the masks, in which a missed toy and an extra mask count 0."""
    ious: list[float] = []
    empty = np.zeros((IMAGE_SIZE, IMAGE_SIZE), dtype=bool)  # [H, W]
    for question, answer in zip(asked, answers, strict=True):
        phrase = question.prompt.removeprefix("segment ")
        actual = [question.scene.mask(index) for index, _ in find_targets(question)]
        detections = parse_detections(answer, IMAGE_SIZE, IMAGE_SIZE)
        # A box without a mask, or with another label, counts as an empty mask.
        drawn = [found if found.label == phrase else replace(found, mask_codes=None) for found in detections]
        masks = decode_masks(drawn, mask_decoder, IMAGE_SIZE, IMAGE_SIZE)
        ious += match_masks([empty if mask is None else mask for mask in masks], actual)
    return {"mean_mask_iou": _mean(ious)}


def count_boxes(question: Question, answer: str) -> DetectionCounts:
    """Compare the boxes in an answer with those of the toys that the prompt asks for."""
    actual = [Detection(phrase, question.scene.objects[index].box) for index, phrase in find_targets(question)]
    return match_detections(parse_detections(answer, IMAGE_SIZE, IMAGE_SIZE), actual)


def _count_each(asked: Sequence[Question], answers: Sequence[str]) -> list[DetectionCounts]:
    return [count_boxes(question, answer) for question, answer in zip(asked, answers, strict=True)]


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None
