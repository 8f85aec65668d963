"""The training data: the same step gives the same batch, and the labels say what is in the picture."""

import dataclasses

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from toybox import CHECKPOINT_DIRECTORY, MASK_VQVAE_FILE, batches
from toybox.batches import (
    BACKGROUND_CLASS,
    BOXES_LENGTH,
    GRID,
    MASK_LENGTH,
    MASKS_LENGTH,
    PATCH_SIZE,
    WORDS_LENGTH,
    TrainingBatches,
    choose_segmentations,
    patch_targets,
    spread_edges,
)
from toybox.prompts import Example, all_examples, caption, detect, segment
from toybox.recipe import Recipe
from toybox.scenes import BACKGROUNDS, IMAGE_SIZE, Scene, SceneObject, draw_scene
from toybox.sprites import LABELS
from vlm.image_processing import normalize
from vlm.metrics.masks import mask_iou
from vlm.processor import PaliGemmaProcessor
from vlm.regions.boxes import box_iou, parse_detections
from vlm.regions.mask_vqvae import load_mask_decoder, load_mask_encoder
from vlm.regions.segmentation import decode_masks

N = GRID * GRID
MASK_ENCODER, MASK_DECODER = load_mask_encoder(MASK_VQVAE_FILE), load_mask_decoder(MASK_VQVAE_FILE)
RECIPE = Recipe(seed=3, scenes_per_step=2, look_steps=2, speak_steps=3)


@pytest.fixture(scope="module")
def processor() -> PaliGemmaProcessor:
    return PaliGemmaProcessor(AutoTokenizer.from_pretrained(CHECKPOINT_DIRECTORY), N, IMAGE_SIZE)


def make_batches(recipe: Recipe, processor: PaliGemmaProcessor, first_step: int) -> TrainingBatches:
    return TrainingBatches(recipe, processor, MASK_ENCODER, MASK_DECODER, first_step)


@pytest.fixture(scope="module")
def unbroken(processor) -> list[batches.Batch]:
    return list(make_batches(RECIPE, processor, first_step=0))


def tensors_of(batch: batches.Batch) -> list[torch.Tensor]:
    return [batch.pixel_values, batch.patch_labels, batch.patch_boxes] + [
        getattr(rows, field.name) for rows in batch.text.values() for field in dataclasses.fields(rows)
    ]


def equal(a: batches.Batch, b: batches.Batch) -> bool:
    return a.text.keys() == b.text.keys() and all(map(torch.equal, tensors_of(a), tensors_of(b)))


@pytest.mark.parametrize("first_step", [1, 2, 4])
def test_the_batch_of_a_step_is_the_same_wherever_the_run_begins(processor, unbroken, first_step):
    resumed = list(make_batches(RECIPE, processor, first_step))
    assert len(unbroken) == 5
    assert len(resumed) == 5 - first_step
    assert all(map(equal, resumed, unbroken[first_step:]))


def test_no_two_steps_have_the_same_batch(unbroken):
    pictures = [picture.numpy().tobytes() for batch in unbroken for picture in batch.pixel_values]
    assert len(set(pictures)) == 10


def test_another_seed_gives_another_batch(processor, unbroken):
    other = make_batches(dataclasses.replace(RECIPE, seed=4), processor, 0).make_batch(0)
    assert not torch.equal(other.pixel_values, unbroken[0].pixel_values)


def test_a_run_that_is_over_has_no_more_batches(processor):
    assert list(make_batches(RECIPE, processor, RECIPE.total_steps)) == []


def test_pictures_and_targets_are_those_of_the_train_split(unbroken):
    for i, scene in enumerate([draw_scene(3_000_000_002, "train"), draw_scene(3_000_000_003, "train")]):
        assert torch.equal(unbroken[1].pixel_values[i], normalize(scene.pixels))
        classes, boxes = patch_targets(scene)
        assert unbroken[1].patch_labels[i].tolist() == classes.tolist()
        assert unbroken[1].patch_boxes[i].tolist() == boxes.tolist()


def test_no_scene_of_another_split_is_ever_drawn(processor, monkeypatch):
    drawn = []

    def spy(seed: int, split: str) -> Scene:
        drawn.append((split, seed))
        return draw_scene(seed, split)

    monkeypatch.setattr(batches, "draw_scene", spy)
    list(make_batches(Recipe(scenes_per_step=2, look_steps=1, speak_steps=2), processor, 0))
    assert drawn == [("train", seed) for seed in range(6)]


def test_shapes_and_dtypes_of_a_batch(unbroken):
    batch = unbroken[-1]
    assert batch.pixel_values.shape == (2, 3, 112, 112) and batch.pixel_values.dtype == torch.float32
    assert batch.patch_labels.shape == (2, 64) and batch.patch_labels.dtype == torch.int64
    assert batch.patch_boxes.shape == (2, 64, 4) and batch.patch_boxes.dtype == torch.float32
    shapes = {name: rows.input_ids.shape for name, rows in batch.text.items()}
    assert shapes == {
        "words": (4, 64 + 20),  # a caption and an answer for each scene
        "boxes": (2, 64 + 36),
        "mask": (1, 64 + 28),
        "masks": (1, 64 + 96),
    }
    assert {name: rows.labels.shape for name, rows in batch.text.items()} == shapes
    assert batch.text["words"].scene_index.tolist() == [0, 1, 0, 1]
    assert batch.text["boxes"].scene_index.tolist() == [0, 1]


def test_there_are_no_words_while_the_tower_learns_to_look(unbroken):
    assert [len(batch.text) for batch in unbroken] == [0, 0, 4, 4, 4]


def make_scene(*objects: tuple[str, tuple[int, int, int, int]]) -> Scene:
    """Toys that fill their boxes; a later one lies on top."""
    owner = np.full((IMAGE_SIZE, IMAGE_SIZE), -1, np.int8)
    for index, (_, (y_min, x_min, y_max, x_max)) in enumerate(objects):
        owner[y_min:y_max, x_min:x_max] = index
    pixels = np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    return Scene(pixels, tuple(SceneObject(label, box) for label, box in objects), owner, "grass")


def test_patch_classes_of_a_scene_made_by_hand():
    scene = make_scene(
        ("cat", (14, 0, 42, 28)),  # four whole patches: rows 1 and 2, columns 0 and 1
        ("dog", (0, 28, 14, 32)),  # 4 / 14 of the patch in row 0, column 2: enough
        ("apple", (98, 98, 112, 101)),  # 3 / 14 of the last patch: too little
    )
    classes, _ = patch_targets(scene)
    assert (LABELS[9], LABELS[11], BACKGROUND_CLASS) == ("cat", "dog", 20)
    expected = np.full((8, 8), 20)
    expected[1:3, 0:2] = 9
    expected[0, 2] = 11
    assert classes.reshape(8, 8).tolist() == expected.tolist()


def test_a_quarter_of_a_patch_is_just_enough():
    classes, _ = patch_targets(make_scene(("cat", (0, 0, 7, 7))))
    assert classes[0] == LABELS.index("cat")
    classes, _ = patch_targets(make_scene(("cat", (0, 0, 7, 6))))
    assert classes[0] == BACKGROUND_CLASS


def test_the_toy_that_covers_most_of_a_patch_owns_it():
    scene = make_scene(("cat", (0, 0, 14, 14)), ("dog", (0, 0, 14, 5)), ("bird", (0, 5, 6, 14)))
    classes, boxes = patch_targets(scene)  # of 196 pixels: dog 70, bird 54, cat what is left, 72
    assert classes[0] == LABELS.index("cat")
    np.testing.assert_allclose(boxes[0], [-0.0625, -0.0625, 0.0625, 0.0625], atol=1e-6)


def test_patch_boxes_are_distances_from_the_patch_s_middle():
    scene = make_scene(("cat", (14, 0, 42, 28)))
    boxes = patch_targets(scene)[1].reshape(8, 8, 4)
    # The box is (0.125, 0, 0.375, 0.25) of the picture. The middle of the patch in row 1, column 0 is at
    # (0.1875, 0.0625), that of the patch in row 2, column 1 at (0.3125, 0.1875).
    np.testing.assert_allclose(boxes[1, 0], [-0.0625, -0.0625, 0.1875, 0.1875], atol=1e-6)
    np.testing.assert_allclose(boxes[2, 1], [-0.1875, -0.1875, 0.0625, 0.0625], atol=1e-6)


def test_the_patches_fill_the_picture():
    assert GRID * PATCH_SIZE == IMAGE_SIZE
    classes, _ = patch_targets(make_scene(("tree", (0, 0, 112, 112))))
    assert classes.tolist() == [LABELS.index("tree")] * 64


def test_a_row_of_text_is_picture_prompt_answer_padding(processor):
    example = Example("count", "answer en how many cats are there?", "2")
    rows = make_batches(RECIPE, processor, 0).pad([example], [5], text_length=WORDS_LENGTH)
    tokenizer = processor.tokenizer
    prompt = tokenizer.encode("answer en how many cats are there?\n", add_special_tokens=False)
    answer = tokenizer.encode("2", add_special_tokens=False)
    start, end = N + 1 + len(prompt), N + 1 + len(prompt) + len(answer) + 1
    picture = [tokenizer.convert_tokens_to_ids("<image>")] * N
    written = picture + [tokenizer.bos_token_id, *prompt, *answer, tokenizer.eos_token_id]
    padding = N + WORDS_LENGTH - end
    assert rows.scene_index.tolist() == [5]
    assert rows.input_ids[0].tolist() == written + [tokenizer.pad_token_id] * padding
    assert rows.attention_mask[0].tolist() == [1] * end + [0] * padding
    assert rows.token_type_ids[0].tolist() == [0] * start + [1] * (end - start) + [0] * padding
    assert rows.labels[0].tolist() == [-100] * start + [*answer, tokenizer.eos_token_id] + [-100] * padding


def test_labels_stand_on_the_suffix_alone_and_are_its_tokens(unbroken, processor):
    for rows in unbroken[-1].text.values():
        labelled = rows.labels != -100
        assert torch.equal(labelled, rows.token_type_ids == 1)
        assert torch.equal(rows.labels[labelled], rows.input_ids[labelled])
        assert rows.attention_mask[labelled].all()
        assert torch.equal(rows.attention_mask == 0, rows.input_ids == processor.tokenizer.pad_token_id)


def test_each_row_is_about_the_scene_it_points_to(unbroken, processor):
    scenes = [draw_scene(3_000_000_000 + 4 * 2 + i, "train") for i in range(2)]
    short, long = unbroken[4].text["words"], unbroken[4].text["boxes"]
    answers = [processor.decode(labels[labels != -100]) for labels in short.labels]
    assert answers[:2] == [caption(scene).suffix for scene in scenes]
    for row, scene in enumerate(scenes):
        prompt = processor.decode(long.input_ids[row][long.token_type_ids[row] == 0]).strip()
        answer = processor.decode(long.labels[row][long.labels[row] != -100])
        expected = detect(scene, prompt.removeprefix("detect ").split(" ; ")).suffix
        found, wanted = (
            parse_detections(answer, IMAGE_SIZE, IMAGE_SIZE),
            parse_detections(expected, IMAGE_SIZE, IMAGE_SIZE),
        )
        assert sorted(thing.label for thing in found) == sorted(thing.label for thing in wanted)
        assert sum(max(box_iou(a.box, b.box) for b in wanted) for a in found) > 0.85 * len(found)


def test_segmentations_hold_the_shapes_of_the_kind_asked_for(unbroken, processor):
    for step in (2, 3, 4):
        scenes = [draw_scene(3_000_000_000 + step * 2 + i, "train") for i in range(2)]
        for name in ("mask", "masks"):
            rows = unbroken[step].text[name]
            for row, index in enumerate(rows.scene_index.tolist()):
                prompt = processor.decode(rows.input_ids[row][rows.token_type_ids[row] == 0]).strip()
                answer = processor.decode(rows.labels[row][rows.labels[row] != -100])
                scene, label = scenes[index], prompt.removeprefix("segment ")
                found = parse_detections(answer, IMAGE_SIZE, IMAGE_SIZE)
                truths = [scene.mask(i) for i, thing in enumerate(scene.objects) if thing.label == label]
                masks = decode_masks(found, MASK_DECODER, IMAGE_SIZE, IMAGE_SIZE)
                assert len(masks) == len(truths)
                assert all(max(mask_iou(mask, truth) for truth in truths) > 0.8 for mask in masks)


def test_short_segmentations_ask_for_what_is_there_once_or_not_at_all():
    scenes, rng = [draw_scene(seed) for seed in range(32)], np.random.default_rng(0)
    absent = longest = 0
    for _ in range(20):
        short, long = choose_segmentations(scenes, rng)
        assert (len(short), len(long)) == (24, 8)
        counts = [sum(thing.label == label for thing in scenes[index].objects) for index, label in short]
        assert set(counts) <= {0, 1}
        absent += counts.count(0)
        longest = max(longest, *(sum(t.label == label for t in scenes[index].objects) for index, label in long))
    assert 0.05 * 480 < absent < 0.2 * 480
    assert longest >= 3


def test_scenes_of_twins_alone_can_be_asked_too():
    twins = make_scene(("cat", (0, 0, 30, 30)), ("cat", (50, 50, 80, 80)))
    short, long = choose_segmentations([twins] * 4, np.random.default_rng(0))
    assert len(short) == 3 and all(label != "cat" for _, label in short)
    assert len(long) == 1


def test_spread_edges_reach_marks_that_whole_pixels_never_do():
    scene = draw_scene(0, "train")
    rng = np.random.default_rng(0)
    marks = set()
    for _ in range(200):
        for moved, thing in zip(spread_edges(scene, rng).objects, scene.objects, strict=True):
            assert moved.label == thing.label
            assert all(abs(a - b) <= 0.5 for a, b in zip(moved.box, thing.box, strict=True))
            marks |= {round(edge / IMAGE_SIZE * 1023) for edge in moved.box}
    assert len(marks) > 5 * 4 * len(scene.objects)


def text_length(processor: PaliGemmaProcessor, example: Example) -> int:
    return len(processor.encode_prefix(example.prompt)) + len(processor.encode_suffix(example.suffix)) - N


def test_every_task_fits_its_row_over_many_scenes(processor):
    rng = np.random.default_rng(0)
    longest = {"detect": 0, "others": 0}
    for seed in range(400):
        for example in all_examples(draw_scene(seed), rng):
            kind = "detect" if example.task == "detect" else "others"
            longest[kind] = max(longest[kind], text_length(processor, example))
    assert 12 < longest["others"] <= WORDS_LENGTH
    assert 28 < longest["detect"] <= BOXES_LENGTH


def test_four_toys_fit_whatever_they_are(processor):
    too_long = []
    for first in range(len(LABELS)):
        labels = [LABELS[(first + 7 * i) % len(LABELS)] for i in range(4)]
        full = make_scene(*((label, (0, 0, 30, 30)) for label in labels))
        twins = make_scene(*((label, (0, 0, 30, 30)) for label in [*labels[:3], labels[0]]))
        four, codes = make_scene(*[(labels[0], (0, 0, 30, 30))] * 4), dict.fromkeys(range(4), (0,) * 16)
        rooms = [(caption(dataclasses.replace(full, background=name)), WORDS_LENGTH) for name in BACKGROUNDS]
        rooms += [(detect(twins, labels[:3]), BOXES_LENGTH), (segment(four, labels[0], codes), MASKS_LENGTH)]
        rooms += [(segment(twins, labels[1], codes), MASK_LENGTH)]
        too_long += [example for example, room in rooms if text_length(processor, example) > room]
    assert too_long == []


def test_a_text_too_long_for_its_row_is_an_error(processor):
    long = Example("caption", "caption en", " and ".join(["a cat"] * 20))
    with pytest.raises(RuntimeError):
        make_batches(RECIPE, processor, 0).pad([long], [0], WORDS_LENGTH)
