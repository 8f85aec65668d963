"""Training data: scenes drawn on the fly, with text for the language model and labels for the probe.

Shapes: B scenes, R rows of text, H W height and width of the image, N patches, T text length.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from toybox.colors import COLORS, NATURAL_COLORS
from toybox.prompts import (
    ADJECTIVES,
    Example,
    caption,
    detect,
    draw_absent_label,
    find_referred,
    sample_example,
    sample_segment_phrase,
    segment,
)
from toybox.recipe import Recipe
from toybox.scenes import IMAGE_SIZE, MAX_OBJECTS, Scene, draw_scene
from toybox.signs import WORDS, SignSheet, draw_sign_sheet
from toybox.sprites import LABELS
from vlm.image_processing import normalize
from vlm.paligemma import IGNORE_INDEX
from vlm.parallel.processes import ALONE, Place
from vlm.processor import PaliGemmaProcessor
from vlm.regions.mask_vqvae import MaskDecoder, MaskEncoder
from vlm.regions.segmentation import encode_masks

PATCH_SIZE = 14
GRID = IMAGE_SIZE // PATCH_SIZE
# The probe's classes: kinds of toys, each in every color if it comes in colors, and the words on signs.
CLASSES: tuple[str, ...] = (
    *(label for label in LABELS if label not in NATURAL_COLORS),
    *(f"{color} {label}" for label in NATURAL_COLORS for color in COLORS),
    *WORDS,
)
BACKGROUND_CLASS = len(CLASSES)
LEAST_COVERAGE = 0.12  # of a patch: if its toy covers less, the patch counts as background
ANSWER_TASKS = {"count": 0.25, "presence": 0.15, "where": 0.2, "left": 0.2, "color": 0.2}  # the probability of each
OCR_CHANCE = 0.9  # if there is a sign
REFER_CHANCE = 0.3  # of the questions for boxes
MOST_MASKS = MAX_OBJECTS  # in one answer
TRIES = 20


@dataclass(frozen=True)
class Group:
    """Rows of similar length go together, to save padding. All sizes are fixed, so only a few shapes are compiled.

    Attributes:
        rows: how many for each scene of a step.
        text_length: the largest number of tokens of a prompt and its answer together.
        weight: of the group's loss.
    """

    rows: float
    text_length: int
    weight: float


GROUPS: dict[str, Group] = {
    "captions": Group(1, 26, 1.0),
    "answers": Group(1, 20, 1.0),
    "boxes": Group(1.25, 36, 1.5),
    "many_boxes": Group(0.25, 49, 0.4),
    "mask": Group(0.5, 30, 0.8),
    "masks": Group(0.125, 141, 0.5),
}


@dataclass
class TextRows:
    """Prompts with their answers, padded on the right. All are [R, N + T], except `scene_index` [R]."""

    scene_index: Tensor
    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor
    labels: Tensor


@dataclass
class Batch:
    """The inputs and labels of one training step."""

    pixel_values: Tensor  # [B, 3, H, W]
    patch_labels: Tensor  # [B, N], the class under each patch
    patch_boxes: Tensor  # [B, N, 4], the box of that object, relative to the center of the patch
    text: dict[str, TextRows]  # by group; empty in the first stage, which trains the tower alone


class TrainingBatches(IterableDataset):
    """The batch of step i depends on i alone, so a resumed run sees the same batches as an uninterrupted one.

    With several processes, each gets its share of the step's scenes and draws its own questions about them.
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
        """In the first stage, every second image is a sheet of signs: reading needs the most examples."""
        size, is_looking = self.recipe.scenes_per_step, step < self.recipe.look_steps
        mine = range(size)[self.place.rank :: self.place.world_size]
        seeds = [self.recipe.seed * 10**9 + step * size + i for i in mine]
        drawn = [
            draw_sign_sheet(seed) if is_looking and index % 2 else draw_scene(seed, "train")
            for index, seed in enumerate(seeds)
        ]
        labels, boxes = zip(*(patch_targets(one) for one in drawn))
        pixel_values = normalize(np.stack([one.pixels for one in drawn]))
        text = {} if is_looking else self.make_text(drawn, step)
        return Batch(pixel_values, torch.from_numpy(np.stack(labels)), torch.from_numpy(np.stack(boxes)), text)

    def make_text(self, scenes: list[Scene], step: int) -> dict[str, TextRows]:
        """Questions about the scenes and their answers, by group."""
        rng = np.random.default_rng((self.recipe.seed, step, *[self.place.rank] * (not self.place.is_first)))
        text = {}
        for name, group in GROUPS.items():
            asked = [(index, self.ask(name, scenes[index], rng)) for index in choose_scenes(scenes, name, rng)]
            text[name] = self.pad(asked, group.text_length)
        return text

    def ask(self, group: str, scene: Scene, rng: np.random.Generator) -> Example:
        """A question about the scene, with its answer, for a row of this group."""
        if group == "captions":
            return caption(scene)
        if group == "answers":
            return sample_answer(scene, rng)
        if group == "boxes":
            return self.sample_boxes(scene, rng)
        if group == "many_boxes":
            return detect_all(spread_edges(scene, rng), rng)
        if group == "mask":
            return self.sample_mask(scene, rng)
        return self.segment("", most_frequent_label(scene) or draw_absent_label(scene, rng), scene, rng)

    def sample_boxes(self, scene: Scene, rng: np.random.Generator) -> Example:
        """A question for boxes whose answer is short."""
        for _ in range(TRIES):
            if rng.random() < REFER_CHANCE:
                example = sample_example(scene, rng, "refer")
            else:
                example = sample_example(spread_edges(scene, rng), rng, "detect")
            if example.task in ("detect", "refer") and self.count_tokens(example) <= GROUPS["boxes"].text_length:
                return example
        return detect(scene, [draw_absent_label(scene, rng)])

    def sample_mask(self, scene: Scene, rng: np.random.Generator) -> Example:
        """A question for one mask, or none."""
        for _ in range(TRIES):
            adjective, label = sample_segment_phrase(scene, rng)
            if len(find_referred(scene, adjective, label)) <= 1:
                return self.segment(adjective, label, scene, rng)
        return self.segment("", draw_absent_label(scene, rng), scene, rng)

    def segment(self, adjective: str, label: str, scene: Scene, rng: np.random.Generator) -> Example:
        """A segment question. The codes in its answer are those of the true boxes; the boxes in it have moved edges."""
        indices = find_referred(scene, adjective, label)
        masks, boxes = [scene.mask(i) for i in indices], [scene.objects[i].box for i in indices]
        codes = dict(zip(indices, encode_masks(masks, boxes, self.mask_encoder, self.mask_decoder), strict=True))
        if adjective in ADJECTIVES:  # moved edges might change what "left" or "largest" means
            return segment(scene, label, codes, adjective)
        return segment(spread_edges(scene, rng), label, codes, adjective)

    def count_tokens(self, example: Example) -> int:
        """The tokens of prompt and answer, without the image tokens."""
        prefix, suffix = self.processor.encode_prefix(example.prompt), self.processor.encode_suffix(example.suffix)
        return len(prefix) + len(suffix) - self.processor.num_image_tokens

    def pad(self, asked: list[tuple[int, Example]], text_length: int) -> TextRows:
        """Rows of one length from examples, each with the index of its scene.

        Raises:
            RuntimeError: an example has more than `text_length` tokens.
        """
        scene_index, examples = zip(*asked)
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


def choose_scenes(scenes: list[Scene], group: str, rng: np.random.Generator) -> list[int]:
    """The indices of the scenes that a group asks about: all equally often, except for the groups with long answers.

    "many_boxes" takes the scenes with the most toys, and "masks" those with the most toys of one kind.
    """
    number = max(1, round(GROUPS[group].rows * len(scenes)))
    if group in ("captions", "answers"):
        return list(range(number))
    if group == "many_boxes":
        return sorted(range(len(scenes)), key=lambda index: -len(scenes[index].objects))[:number]
    if group == "masks":
        most_alike = [max(count_labels(scene).values(), default=0) for scene in scenes]
        return sorted(range(len(scenes)), key=lambda index: -most_alike[index])[:number]
    order = rng.permutation(len(scenes)).tolist()
    return [order[turn % len(scenes)] for turn in range(number)]


def count_labels(scene: Scene) -> Counter[str]:
    return Counter(thing.label for thing in scene.objects)


def most_frequent_label(scene: Scene) -> str | None:
    """The most frequent kind; None if there is no toy."""
    counts = count_labels(scene)
    return max(counts, key=counts.get) if counts else None


def sample_answer(scene: Scene, rng: np.random.Generator) -> Example:
    """A question with an answer of one or two words."""
    if scene.sign and rng.random() < OCR_CHANCE:
        return sample_example(scene, rng, "ocr")
    return sample_example(scene, rng, str(rng.choice(list(ANSWER_TASKS), p=list(ANSWER_TASKS.values()))))


def detect_all(scene: Scene, rng: np.random.Generator) -> Example:
    """A question for all boxes of up to three kinds that are in the scene."""
    labels = sorted({thing.label for thing in scene.objects})
    return detect(scene, rng.permutation(labels)[:3].tolist() or [draw_absent_label(scene, rng)])


def spread_edges(scene: Scene, rng: np.random.Generator) -> Scene:
    """Move each edge of each box by up to half a pixel.

    Whole pixels fall on 113 of the 1,024 location bins. A model that is trained on these alone generates others too
    (its targets are soft), and then has to read a token that it has never seen.
    """
    things = []
    for thing in scene.objects:
        box = np.clip(np.array(thing.box) + rng.uniform(-0.5, 0.5, size=4), 0, IMAGE_SIZE)
        things.append(replace(thing, box=tuple(box.tolist())))
    return replace(scene, objects=tuple(things))


def patch_targets(picture: Scene | SignSheet) -> tuple[np.ndarray, np.ndarray]:
    """The probe's targets for each patch.

    Returns:
        The class [N], an index of CLASSES, of the toy or sign that covers most of the patch (at least LEAST_COVERAGE
        of it, else BACKGROUND_CLASS), and its box [N, 4]: the offsets of its edges from the center of the patch, as
        fractions of the image's side.
    """
    things = _find_things(picture)
    if not things:
        return np.full(GRID * GRID, BACKGROUND_CLASS), np.zeros((GRID * GRID, 4), np.float32)
    names, boxes, masks = zip(*things)
    patches = np.stack(masks).reshape(-1, GRID, PATCH_SIZE, GRID, PATCH_SIZE)
    coverage = patches.mean((2, 4)).reshape(len(names), GRID * GRID)  # [things, N]
    best = coverage.argmax(0)
    classes = np.array([CLASSES.index(name) for name in names])[best]  # [N]
    classes = np.where(coverage.max(0) >= LEAST_COVERAGE, classes, BACKGROUND_CLASS)
    edges = np.array(boxes, dtype=np.float32)[best] / IMAGE_SIZE  # [N, 4]
    y, x = np.divmod(np.arange(GRID * GRID), GRID)
    middle = (np.stack([y, x, y, x], axis=-1) + 0.5) / GRID  # [N, 4]
    return classes.astype(np.int64), (edges - middle).astype(np.float32)


def _find_things(picture: Scene | SignSheet) -> list[tuple[str, tuple[int, int, int, int], np.ndarray]]:
    """Name, box, and mask [H, W] of each toy and sign."""
    if isinstance(picture, SignSheet):
        return [(word, box, _fill(box)) for word, box in zip(picture.words, picture.boxes, strict=True)]
    things = []
    for index, thing in enumerate(picture.objects):
        name = f"{thing.color} {thing.label}" if thing.color else thing.label
        things.append((name, thing.box, picture.mask(index)))
    if picture.sign is not None:
        things.append((picture.sign, picture.sign_box, _fill(picture.sign_box)))
    return things


def _fill(box: tuple[int, int, int, int]) -> np.ndarray:
    y_min, x_min, y_max, x_max = box
    mask = np.zeros((IMAGE_SIZE, IMAGE_SIZE), bool)
    mask[y_min:y_max, x_min:x_max] = True
    return mask
