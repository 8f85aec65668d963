"""Training data: scenes drawn on the fly, with words for the language model and labels for the probe.

Shapes: B scenes, R rows of text, H W picture, N patches, T text length.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from toybox.prompts import (
    ABSENT_CHANCE_SEGMENT,
    Example,
    caption,
    draw_absent_label,
    sample_example,
    sample_segment_label,
    segment,
)
from toybox.recipe import Recipe
from toybox.scenes import IMAGE_SIZE, Scene, draw_scene
from toybox.sprites import LABELS
from vlm.image_processing import normalize
from vlm.paligemma import IGNORE_INDEX
from vlm.parallel.processes import ALONE, Place
from vlm.processor import PaliGemmaProcessor
from vlm.regions.mask_vqvae import MaskDecoder, MaskEncoder
from vlm.regions.segmentation import encode_masks

PATCH_SIZE = 14
GRID = IMAGE_SIZE // PATCH_SIZE
BACKGROUND_CLASS = len(LABELS)
ANSWER_TASKS = ("count", "presence", "where", "left")
# Rows of like length go together, so that little is spent on padding; the lengths are fixed, so that a
# compiled model sees few shapes.
WORDS_LENGTH, BOXES_LENGTH, MASK_LENGTH, MASKS_LENGTH = 20, 36, 28, 96
LONG_SEGMENTATIONS = 0.25  # of all: there we ask for a kind of which there may be several


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
    text: dict[str, TextRows]  # by what is learned; empty while the tower learns to look


class TrainingBatches(IterableDataset):
    """The batch of step i is a function of i alone, so a resumed run sees what an unbroken one would have.

    Of several processes each gets its part of the step's scenes, and asks questions of its own about them.
    """

    def __init__(
        self,
        recipe: Recipe,
        processor: PaliGemmaProcessor,
        mask_encoder: MaskEncoder,
        mask_decoder: MaskDecoder,
        first_step: int,
        place: Place = ALONE,
    ):
        self.recipe, self.processor, self.first_step, self.place = recipe, processor, first_step, place
        self.mask_encoder, self.mask_decoder = mask_encoder, mask_decoder

    def __iter__(self) -> Iterator[Batch]:
        for step in range(self.first_step, self.recipe.total_steps):
            yield self.make_batch(step)

    def make_batch(self, step: int) -> Batch:
        size = self.recipe.scenes_per_step
        mine = range(size)[self.place.rank :: self.place.world_size]
        scenes = [draw_scene(self.recipe.seed * 10**9 + step * size + i, "train") for i in mine]
        labels, boxes = zip(*(patch_targets(scene) for scene in scenes))
        pixel_values = normalize(np.stack([scene.pixels for scene in scenes]))
        text = self.make_text(scenes, step) if step >= self.recipe.look_steps else {}
        return Batch(pixel_values, torch.from_numpy(np.stack(labels)), torch.from_numpy(np.stack(boxes)), text)

    def make_text(self, scenes: list[Scene], step: int) -> dict[str, TextRows]:
        """For each scene a caption, one answer, and one detection; and about one segmentation."""
        rng = np.random.default_rng((self.recipe.seed, step, *[self.place.rank] * (not self.place.is_first)))
        everyone = list(range(len(scenes)))
        answers = [sample_example(scene, rng, str(rng.choice(ANSWER_TASKS))) for scene in scenes]
        words = [caption(scene) for scene in scenes] + answers
        detections = [sample_example(spread_edges(scene, rng), rng, "detect") for scene in scenes]
        short, long = choose_segmentations(scenes, rng)
        segmentations = self.segment_all(scenes, short + long, rng)
        return {
            "words": self.pad(words, everyone + everyone, WORDS_LENGTH),
            "boxes": self.pad(detections, everyone, BOXES_LENGTH),
            "mask": self.pad(segmentations[: len(short)], [index for index, _ in short], MASK_LENGTH),
            "masks": self.pad(segmentations[len(short) :], [index for index, _ in long], MASKS_LENGTH),
        }

    def segment_all(self, scenes: list[Scene], asked: list[tuple[int, str]], rng: np.random.Generator) -> list[Example]:
        """Each example's shapes are those inside the true boxes; the boxes as written are spread."""
        places = [(i, j) for i, label in asked for j, thing in enumerate(scenes[i].objects) if thing.label == label]
        masks, boxes = [scenes[i].mask(j) for i, j in places], [scenes[i].objects[j].box for i, j in places]
        codes = dict(zip(places, encode_masks(masks, boxes, self.mask_encoder, self.mask_decoder), strict=True))
        return [
            segment(spread_edges(scenes[i], rng), label, {j: codes[k, j] for k, j in codes if k == i})
            for i, label in asked
        ]

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


def choose_segmentations(
    scenes: list[Scene], rng: np.random.Generator
) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """As many questions as there are scenes, each the index of its scene and the kind to ask for.

    Returns:
        Those whose answer is short, since that kind is there once or not at all; and a quarter whose kind is drawn
        from all that are there or, one time in ten, from those that are not.
    """
    num_long = max(1, round(LONG_SEGMENTATIONS * len(scenes)))
    counts = [Counter(thing.label for thing in scene.objects) for scene in scenes]
    singles = [(index, label) for index, count in enumerate(counts) for label in count if count[label] == 1]
    short = []
    for _ in range(len(scenes) - num_long):
        if singles and rng.random() >= ABSENT_CHANCE_SEGMENT:
            short.append(singles[rng.integers(len(singles))])
        else:
            index = int(rng.integers(len(scenes)))
            short.append((index, draw_absent_label(scenes[index], rng)))
    long_index = rng.permutation(len(scenes))[:num_long].tolist()
    long = [(index, sample_segment_label(scenes[index], rng)) for index in long_index]
    return short, long


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
