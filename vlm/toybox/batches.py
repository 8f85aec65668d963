"""Training data: scenes drawn on the fly, with words for the language model and labels for the probe.

Shapes: B scenes, R rows of text, H W picture, N patches, T text length.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from vlm.image_processing import normalize
from vlm.paligemma import IGNORE_INDEX
from vlm.processor import PaliGemmaProcessor
from vlm.toybox.prompts import Example, caption, sample_example
from vlm.toybox.recipe import Recipe
from vlm.toybox.scenes import IMAGE_SIZE, Scene, draw_scene
from vlm.toybox.sprites import LABELS

PATCH_SIZE = 14
GRID = IMAGE_SIZE // PATCH_SIZE
BACKGROUND_CLASS = len(LABELS)
ANSWER_TASKS = ("count", "presence", "where", "left")
# Rows of like length go together, so that little is spent on padding; the lengths are fixed, so that a
# compiled model sees few shapes.
SHORT_TEXT, LONG_TEXT = 20, 36


@dataclass
class TextRows:
    """Some prompts with their answers, padded on the right. All [R, N + T] but `scene_index` [R]."""

    scene_index: Tensor
    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor
    labels: Tensor


@dataclass
class Batch:
    """What one training step reads."""

    pixel_values: Tensor  # [B, 3, H, W]
    patch_labels: Tensor  # [B, N], the class under each patch
    patch_boxes: Tensor  # [B, N, 4], the box of that object, relative to the patch
    text: list[TextRows]  # captions and answers; detections. Empty while the tower learns to look


class TrainingBatches(IterableDataset):
    """The batch of step i is a function of i alone, so a resumed run sees what an unbroken one would have."""

    def __init__(self, recipe: Recipe, processor: PaliGemmaProcessor, first_step: int):
        self.recipe, self.processor, self.first_step = recipe, processor, first_step

    def __iter__(self) -> Iterator[Batch]:
        for step in range(self.first_step, self.recipe.total_steps):
            yield self.make_batch(step)

    def make_batch(self, step: int) -> Batch:
        size = self.recipe.scenes_per_step
        scenes = [draw_scene(self.recipe.seed * 10**9 + step * size + i, "train") for i in range(size)]
        labels, boxes = zip(*(patch_targets(scene) for scene in scenes))
        pixel_values = normalize(np.stack([scene.pixels for scene in scenes]))
        text = self.make_text(scenes, step) if step >= self.recipe.look_steps else []
        return Batch(pixel_values, torch.from_numpy(np.stack(labels)), torch.from_numpy(np.stack(boxes)), text)

    def make_text(self, scenes: list[Scene], step: int) -> list[TextRows]:
        """For each scene a caption, one answer, and one detection."""
        rng = np.random.default_rng((self.recipe.seed, step))
        answers = [sample_example(scene, rng, str(rng.choice(ANSWER_TASKS))) for scene in scenes]
        short = [caption(scene) for scene in scenes] + answers
        detections = [sample_example(spread_edges(scene, rng), rng, "detect") for scene in scenes]
        order = list(range(len(scenes)))
        return [self.pad(short, order + order, SHORT_TEXT), self.pad(detections, order, LONG_TEXT)]

    def pad(self, examples: list[Example], scene_index: list[int], text_length: int) -> TextRows:
        length = self.processor.num_image_tokens + text_length
        input_ids = torch.full((len(examples), length), self.processor.tokenizer.pad_token_id)
        attention_mask, token_type_ids = torch.zeros_like(input_ids), torch.zeros_like(input_ids)
        labels = torch.full_like(input_ids, IGNORE_INDEX)
        for row, example in enumerate(examples):
            prefix = self.processor.encode_prefix(example.prompt)
            suffix = self.processor.encode_suffix(example.suffix)
            start, end = len(prefix), len(prefix) + len(suffix)
            input_ids[row, :end] = torch.tensor(prefix + suffix)
            attention_mask[row, :end] = 1
            token_type_ids[row, start:end] = 1
            labels[row, start:end] = torch.tensor(suffix)
        return TextRows(torch.tensor(scene_index), input_ids, attention_mask, token_type_ids, labels)


def spread_edges(scene: Scene, rng: np.random.Generator) -> Scene:
    """Move each edge of each box by up to half a pixel.

    Whole pixels fall on 113 of the 1,024 location marks. A model that is trained on these alone writes others
    (its targets are soft), then reads back what it wrote, and has never seen such a token before.
    """
    things = []
    for thing in scene.objects:
        box = np.clip(np.array(thing.box) + rng.uniform(-0.5, 0.5, size=4), 0, IMAGE_SIZE)
        things.append(replace(thing, box=tuple(box.tolist())))
    return replace(scene, objects=tuple(things))


def patch_targets(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """What the probe should say of each patch.

    Returns:
        The class [N] of the object that covers most of the patch (at least a quarter of it, else background),
        and that object's box [N, 4]: its edges' distances from the patch's middle, as fractions of the picture.
    """
    owner = scene.owner.reshape(GRID, PATCH_SIZE, GRID, PATCH_SIZE).swapaxes(1, 2).reshape(GRID * GRID, -1)
    coverage = np.stack([(owner == i).mean(-1) for i in range(len(scene.objects))])  # [objects, N]
    best = coverage.argmax(0)
    classes = np.array([LABELS.index(thing.label) for thing in scene.objects])[best]  # [N]
    classes = np.where(coverage.max(0) >= 0.25, classes, BACKGROUND_CLASS)
    boxes = np.array([thing.box for thing in scene.objects], dtype=np.float32)[best] / IMAGE_SIZE  # [N, 4]
    y, x = np.divmod(np.arange(GRID * GRID), GRID)
    middle = (np.stack([y, x, y, x], axis=-1) + 0.5) / GRID  # [N, 4]
    return classes.astype(np.int64), (boxes - middle).astype(np.float32)
