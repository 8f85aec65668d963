"""Scenes made by hand, and answers that are true, for the tests of the evaluation."""

import numpy as np

from toybox import MASK_VQVAE_FILE
from toybox.prompts import segment
from toybox.questions import Question
from toybox.scenes import IMAGE_SIZE, Scene, SceneObject
from vlm.regions.mask_vqvae import load_mask_decoder, load_mask_encoder
from vlm.regions.segmentation import encode_masks

MASK_ENCODER, MASK_DECODER = load_mask_encoder(MASK_VQVAE_FILE), load_mask_decoder(MASK_VQVAE_FILE)
Thing = tuple[str, tuple[int, int, int, int]] | tuple[str, tuple[int, int, int, int], str]


def make_scene(*things: Thing, background: str | None = "grass") -> Scene:
    """A black picture with toys (label, box, color) that fill their boxes; a later one hides an earlier one."""
    pixels = np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    owner = np.full((IMAGE_SIZE, IMAGE_SIZE), -1, np.int8)
    for index, (_, (y_min, x_min, y_max, x_max), *_) in enumerate(things):
        owner[y_min:y_max, x_min:x_max] = index
    return Scene(pixels, tuple(SceneObject(*thing) for thing in things), owner, background)


def true_answer(question: Question) -> str:
    """The answer that scores best. That of a segmentation has to be encoded."""
    if question.answer is not None:
        return question.answer
    scene, phrase = question.scene, question.prompt.removeprefix("segment ")
    adjective, _, label = phrase.rpartition(" ")
    masks, boxes = [scene.mask(i) for i in range(len(scene.objects))], [thing.box for thing in scene.objects]
    codes = encode_masks(masks, boxes, MASK_ENCODER, MASK_DECODER)
    return segment(scene, label, dict(enumerate(codes)), adjective).suffix
