"""The training data: the same step gives the same batch, and the labels say what is in the picture."""

import dataclasses
from itertools import combinations

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from toybox import CHECKPOINT_DIRECTORY, MASK_VQVAE_FILE, batches
from toybox.batches import (
    BACKGROUND_CLASS,
    CLASSES,
    GRID,
    GROUPS,
    LEAST_COVERAGE,
    MOST_MASKS,
    PATCH_SIZE,
    TrainingBatches,
    choose_scenes,
    count_labels,
    patch_targets,
    sample_answer,
    spread_edges,
)
from toybox.colors import COLORS, NATURAL_COLORS
from toybox.grounds import BACKGROUNDS
from toybox.prompts import ADJECTIVES, Example, caption, count, detect, find_referred, left, presence, segment
from toybox.recipe import Recipe
from toybox.scenes import IMAGE_SIZE, MAX_OBJECTS, Scene, SceneObject, draw_scene
from toybox.signs import WORDS, draw_sign_sheet
from toybox.sprites import LABELS
from toybox.strangers import HEARD
from vlm.image_processing import normalize
from vlm.metrics.masks import mask_iou
from vlm.parallel.processes import Place
from vlm.processor import PaliGemmaProcessor
from vlm.regions.boxes import parse_detections
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
    looked = draw_scene(3_000_000_002, "train"), draw_sign_sheet(3_000_000_003)
    spoken = draw_scene(3_000_000_004, "train"), draw_scene(3_000_000_005, "train")
    for step, pictures in ((1, looked), (2, spoken)):
        for i, picture in enumerate(pictures):
            assert torch.equal(unbroken[step].pixel_values[i], normalize(picture.pixels))
            classes, boxes = patch_targets(picture)
            assert unbroken[step].patch_labels[i].tolist() == classes.tolist()
            assert unbroken[step].patch_boxes[i].tolist() == boxes.tolist()


def test_each_of_two_processes_looks_at_scenes_and_at_sheets(processor, monkeypatch):
    drawn = []
    monkeypatch.setattr(batches, "draw_scene", lambda seed, split: drawn.append("scene") or draw_scene(seed, split))
    monkeypatch.setattr(batches, "draw_sign_sheet", lambda seed: drawn.append("sheet") or draw_sign_sheet(seed))
    recipe = dataclasses.replace(RECIPE, scenes_per_step=8)
    for rank in (0, 1):
        drawn.clear()
        TrainingBatches(recipe, processor, MASK_ENCODER, MASK_DECODER, 0, Place(rank, 2)).make_batch(0)
        assert drawn == ["scene", "sheet"] * 2


def test_no_scene_of_another_split_is_ever_drawn(processor, monkeypatch):
    drawn = []

    def spy(seed: int, split: str) -> Scene:
        drawn.append((split, seed))
        return draw_scene(seed, split)

    monkeypatch.setattr(batches, "draw_scene", spy)
    list(make_batches(Recipe(scenes_per_step=2, look_steps=1, speak_steps=2), processor, 0))
    assert drawn == [("train", seed) for seed in (0, 2, 3, 4, 5)]  # the second picture was a sheet of signs


def test_shapes_and_dtypes_of_a_batch(unbroken):
    batch = unbroken[-1]
    assert batch.pixel_values.shape == (2, 3, 112, 112) and batch.pixel_values.dtype == torch.float32
    assert batch.patch_labels.shape == (2, 64) and batch.patch_labels.dtype == torch.int64
    assert batch.patch_boxes.shape == (2, 64, 4) and batch.patch_boxes.dtype == torch.float32
    shapes = {name: tuple(rows.input_ids.shape) for name, rows in batch.text.items()}
    assert shapes == {
        "captions": (2, 64 + 26),
        "answers": (2, 64 + 20),
        "boxes": (2, 64 + 36),
        "many_boxes": (1, 64 + 49),
        "mask": (1, 64 + 30),
        "masks": (1, 64 + 141),
    }
    assert {name: tuple(rows.labels.shape) for name, rows in batch.text.items()} == shapes
    for rows in batch.text.values():
        assert {getattr(rows, field.name).dtype for field in dataclasses.fields(rows)} == {torch.int64}
        assert rows.scene_index.min() >= 0 and rows.scene_index.max() < 2


@pytest.mark.parametrize(
    ("num_scenes", "numbers"), [(32, (32, 32, 40, 8, 16, 4)), (16, (16, 16, 20, 4, 8, 2)), (2, (2, 2, 2, 1, 1, 1))]
)
def test_the_number_of_rows_depends_on_the_number_of_scenes_alone(processor, num_scenes, numbers):
    """However many toys there are: a compiled model is compiled anew for each new shape."""
    empty = [seed for seed in range(200) if not draw_scene(seed).objects][:2]
    for scenes in ([draw_scene(seed) for seed in range(num_scenes)], [draw_scene(empty[0])] * num_scenes):
        text = make_batches(RECIPE, processor, 0).make_text(scenes, 0)
        assert tuple(len(rows.labels) for rows in text.values()) == numbers


def test_there_are_no_words_while_the_tower_learns_to_look(unbroken):
    assert [len(batch.text) for batch in unbroken] == [0, 0, 6, 6, 6]


def make_scene(*objects: tuple) -> Scene:
    """Toys that fill their boxes; a later one lies on top. Each is a label, a box and, for some kinds, a color."""
    things = tuple(SceneObject(*thing) for thing in objects)
    owner = np.full((IMAGE_SIZE, IMAGE_SIZE), -1, np.int8)
    for index, (y_min, x_min, y_max, x_max) in enumerate(thing.box for thing in things):
        owner[y_min:y_max, x_min:x_max] = index
    return Scene(np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8), things, owner, "grass")


def test_patch_classes_of_a_scene_made_by_hand():
    scene = make_scene(
        ("cat", (14, 0, 42, 28)),  # four whole patches: rows 1 and 2, columns 0 and 1
        ("dog", (0, 28, 14, 30)),  # 2 / 14 of the patch in row 0, column 2: enough
        ("apple", (98, 98, 112, 99)),  # 1 / 14 of the last patch: too little
    )
    classes, _ = patch_targets(scene)
    expected = np.full((8, 8), BACKGROUND_CLASS)
    expected[1:3, 0:2] = CLASSES.index("cat")
    expected[0, 2] = CLASSES.index("dog")
    assert classes.reshape(8, 8).tolist() == expected.tolist()


def test_an_eighth_of_a_patch_is_just_enough():
    assert 23 / PATCH_SIZE**2 < LEAST_COVERAGE < 24 / PATCH_SIZE**2
    classes, _ = patch_targets(make_scene(("cat", (0, 0, 4, 6))))
    assert classes[0] == CLASSES.index("cat")
    classes, _ = patch_targets(make_scene(("cat", (0, 0, 1, 23))))  # 14 of them in the first patch
    assert classes[:2].tolist() == [BACKGROUND_CLASS] * 2


def test_the_probe_tells_apart_kinds_and_colors_and_words_on_signs():
    assert len(set(CLASSES)) == len(CLASSES) == BACKGROUND_CLASS
    plain = [label for label in LABELS if label not in NATURAL_COLORS]
    assert set(CLASSES) == {*plain, *(f"{color} {label}" for label in NATURAL_COLORS for color in COLORS), *WORDS}
    scene = make_scene(("bus", (0, 0, 14, 14), "red"), ("bus", (0, 14, 14, 28), "blue"), ("cat", (0, 28, 14, 42)))
    scene = dataclasses.replace(scene, sign="BUS", sign_box=(14, 14, 28, 42))
    classes, boxes = patch_targets(scene)
    names = [CLASSES[index] for index in classes if index != BACKGROUND_CLASS]
    assert names == ["red bus", "blue bus", "cat", "BUS", "BUS"]
    np.testing.assert_allclose(boxes[8 + 1], [-0.0625, -0.0625, 0.0625, 0.1875], atol=1e-6)  # of the sign
    assert scene.owner.max() == 2  # the scene itself is left as it was


def test_on_a_sheet_of_signs_each_patch_has_the_word_and_the_box_of_its_sign():
    sheet = draw_sign_sheet(0)
    classes, boxes = patch_targets(sheet)
    seen = {CLASSES[index] for index in classes if index != BACKGROUND_CLASS}
    assert seen == set(sheet.words)
    for word, (y_min, x_min, y_max, x_max) in zip(sheet.words, sheet.boxes):
        row, column = (y_min + y_max) // 2 // PATCH_SIZE, (x_min + x_max) // 2 // PATCH_SIZE
        assert CLASSES[classes[GRID * row + column]] == word
        middle = np.array([row, column, row, column]) + 0.5
        expected = np.array([y_min, x_min, y_max, x_max]) / IMAGE_SIZE - middle / GRID
        np.testing.assert_allclose(boxes[GRID * row + column], expected, atol=1e-6)


def test_every_thing_in_a_scene_has_a_class():
    classes = set()
    for seed in range(300):
        classes |= set(patch_targets(draw_scene(seed))[0].tolist())
    assert len(classes) > 0.9 * BACKGROUND_CLASS


def test_an_empty_scene_is_ground_under_each_patch():
    classes, boxes = patch_targets(make_scene())
    assert classes.tolist() == [BACKGROUND_CLASS] * N and classes.dtype == np.int64
    assert boxes.shape == (N, 4) and boxes.dtype == np.float32 and not boxes.any()


def test_the_toy_that_covers_most_of_a_patch_owns_it():
    scene = make_scene(("cat", (0, 0, 14, 14)), ("dog", (0, 0, 14, 5)), ("boat", (0, 5, 6, 14)))
    classes, boxes = patch_targets(scene)  # of 196 pixels: dog 70, boat 54, cat what is left, 72
    assert classes[0] == CLASSES.index("cat")
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
    assert classes.tolist() == [CLASSES.index("tree")] * 64


def test_a_row_of_text_is_picture_prompt_answer_padding(processor):
    example = Example("count", "answer en how many cats are there?", "2")
    rows = make_batches(RECIPE, processor, 0).pad([(5, example)], text_length=15)
    tokenizer = processor.tokenizer
    prompt = tokenizer.encode("answer en how many cats are there?\n", add_special_tokens=False)
    answer = tokenizer.encode("2", add_special_tokens=False)
    start, end = N + 1 + len(prompt), N + 1 + len(prompt) + len(answer) + 1
    picture = [tokenizer.convert_tokens_to_ids("<image>")] * N
    written = picture + [tokenizer.bos_token_id, *prompt, *answer, tokenizer.eos_token_id]
    padding = N + 15 - end
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


def read(rows: batches.TextRows, processor: PaliGemmaProcessor) -> list[tuple[int, str, str]]:
    """For each row the index of its scene, the prompt and the answer."""
    prompts = [
        processor.decode(ids[(types == 0) & (attended == 1)]).strip()
        for ids, types, attended in zip(rows.input_ids, rows.token_type_ids, rows.attention_mask)
    ]
    answers = [processor.decode(labels[labels != -100]) for labels in rows.labels]
    return list(zip(rows.scene_index.tolist(), prompts, answers, strict=True))


@pytest.fixture(scope="module")
def large(processor) -> tuple[list[Scene], dict[str, list[tuple[int, str, str]]]]:
    """Sixty-four scenes and the questions about them."""
    scenes = [draw_scene(1000 + seed) for seed in range(64)]
    text = make_batches(RECIPE, processor, 0).make_text(scenes, 5)
    return scenes, {name: read(rows, processor) for name, rows in text.items()}


def test_each_scene_has_a_caption_and_an_answer(large):
    scenes, text = large
    assert text["captions"] == [(i, "caption en", caption(scene).suffix) for i, scene in enumerate(scenes)]
    assert [index for index, _, _ in text["answers"]] == list(range(64))
    for index, prompt, answer in text["answers"]:
        if prompt == "ocr":
            assert answer == scenes[index].sign
        if prompt.startswith("answer en how many"):
            assert int(answer) <= len(scenes[index].objects)
    assert {prompt.split(" ")[2] for _, prompt, _ in text["answers"] if prompt != "ocr"} == {
        *("how", "is", "where", "which", "what")
    }


def test_boxes_are_those_of_what_is_asked_for(large):
    scenes, text = large
    for index, prompt, answer in text["boxes"] + text["many_boxes"]:
        phrases = prompt.removeprefix("detect ").split(" ; ")
        adjective, _, label = phrases[0].rpartition(" ")
        if adjective:
            wanted = [scenes[index].objects[i].box for i in find_referred(scenes[index], adjective, label)]
        else:
            wanted = [thing.box for thing in scenes[index].objects if thing.label in phrases]
        found = parse_detections(answer, IMAGE_SIZE, IMAGE_SIZE)
        assert len(found) == len(wanted) and {thing.label for thing in found} <= set(phrases)
        for thing in found:  # edges are spread by half a pixel at most, and rounded to a mark
            assert min(np.abs(np.subtract(thing.box, box)).max() for box in wanted) < 0.6


def test_the_fullest_scenes_are_asked_for_many_boxes(large):
    scenes, text = large
    asked = [index for index, _, _ in text["many_boxes"]]
    numbers = [len(scene.objects) for scene in scenes]
    assert sorted((numbers[index] for index in asked), reverse=True) == sorted(numbers, reverse=True)[:16]
    assert max(len(parse_detections(answer, IMAGE_SIZE, IMAGE_SIZE)) for _, _, answer in text["many_boxes"]) >= 5


def test_a_third_of_the_boxes_is_referred_to_and_each_scene_is_asked(large):
    _, text = large
    assert {index for index, _, _ in text["boxes"]} == set(range(64))
    words = [prompt.removeprefix("detect ").split(" ")[0] for _, prompt, _ in text["boxes"]]
    assert 0.1 < np.mean([word in (*ADJECTIVES, *COLORS) for word in words]) < 0.4


def test_masks_are_those_of_what_is_asked_for(large):
    scenes, text = large
    numbers = []
    for name in ("mask", "masks"):
        for index, prompt, answer in text[name]:
            adjective, _, label = prompt.removeprefix("segment ").rpartition(" ")
            scene, found = scenes[index], parse_detections(answer, IMAGE_SIZE, IMAGE_SIZE)
            truths = [scene.mask(i) for i in find_referred(scene, adjective, label)]
            masks = decode_masks(found, MASK_DECODER, IMAGE_SIZE, IMAGE_SIZE)
            assert len(masks) == len(truths) <= (1 if name == "mask" else MOST_MASKS)
            overlaps = [max(mask_iou(mask, truth) for truth in truths) for mask in masks]
            assert all(overlap > 0.6 for overlap in overlaps)  # of a toy of 14 pixels, an edge is much
            numbers += overlaps
    assert len(numbers) >= 20 and np.mean(numbers) > 0.85


def test_short_answers_are_drawn_again_until_they_fit_and_long_ones_are_asked_among_many_boxes(processor):
    six = make_scene(*(("cat", (i, i, 20 + i, 20 + i)) for i in range(6)))
    maker, rng = make_batches(RECIPE, processor, 0), np.random.default_rng(0)
    for _ in range(20):
        short = maker.ask("boxes", six, rng)
        assert maker.count_tokens(short) <= GROUPS["boxes"].text_length
        assert len(parse_detections(maker.ask("many_boxes", six, rng).suffix, IMAGE_SIZE, IMAGE_SIZE)) == 6
        one = maker.ask("mask", six, rng)  # of one cat, or of what is not there
        assert len(parse_detections(one.suffix, IMAGE_SIZE, IMAGE_SIZE)) <= 1
        assert len(parse_detections(maker.ask("masks", six, rng).suffix, IMAGE_SIZE, IMAGE_SIZE)) == 6


def test_what_a_word_answers_is_asked_as_often_as_the_table_says():
    rng = np.random.default_rng(0)
    scene = make_scene(("car", (0, 0, 20, 20), "red"), ("cat", (0, 80, 20, 100)))
    drawn = [sample_answer(scene, rng).task for _ in range(2000)]
    for task, share in batches.ANSWER_TASKS.items():
        assert drawn.count(task) / len(drawn) == pytest.approx(share, abs=0.03)
    assert sum(batches.ANSWER_TASKS.values()) == pytest.approx(1)
    signs = [sample_answer(dataclasses.replace(scene, sign="ZOO"), rng).task for _ in range(500)]
    assert signs.count("ocr") / 500 == pytest.approx(batches.OCR_CHANCE, abs=0.05)


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_chooses_as_many_scenes_as_it_has_rows_each_as_often_as_another(group):
    scenes, rng = [draw_scene(seed) for seed in range(16)], np.random.default_rng(0)
    drawn = [choose_scenes(scenes, group, rng) for _ in range(400)]
    assert {len(indices) for indices in drawn} == {round(16 * GROUPS[group].rows)}
    if group not in ("many_boxes", "masks"):  # these want the fullest scenes
        counts = np.bincount(np.concatenate(drawn), minlength=16)
        assert counts.min() > 0.6 * counts.max()
    if GROUPS[group].rows >= 1:
        assert all(set(indices) == set(range(16)) for indices in drawn)


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


def longest(processor: PaliGemmaProcessor, examples: list[Example]) -> int:
    return max(text_length(processor, example) for example in examples)


def test_six_toys_fit_whatever_they_are(processor):
    captions, lists = [], []
    for first in range(len(LABELS)):
        labels = [LABELS[(first + 7 * i) % len(LABELS)] for i in range(6)]
        full = make_scene(*((label, (0, 0, 30, 30)) for label in labels))
        captions += [caption(dataclasses.replace(full, background=name)) for name in BACKGROUNDS]
        three_kinds = make_scene(*((label, (0, 0, 30, 30)) for label in labels[:3] * 2))
        lists.append(detect(three_kinds, labels[:3]))
    assert len(full.objects) == len(three_kinds.objects) == MAX_OBJECTS
    assert longest(processor, captions) <= GROUPS["captions"].text_length
    assert longest(processor, lists) == GROUPS["many_boxes"].text_length


def test_masks_fit_whatever_is_asked_for(processor):
    one, many = [], []
    for label in LABELS:
        alike = make_scene(*[(label, (0, 0, 30, 30))] * MOST_MASKS)
        many.append(segment(alike, label, dict.fromkeys(range(MOST_MASKS), (0,) * 16)))
        for adjective in (*ADJECTIVES, *COLORS):
            scene = make_scene((label, (0, 0, 30, 30), adjective))
            one.append(segment(scene, label, {0: (0,) * 16}, adjective))
    assert longest(processor, one) <= GROUPS["mask"].text_length
    assert longest(processor, many) == GROUPS["masks"].text_length


def test_many_masks_are_asked_for_where_most_are_of_a_kind(large):
    scenes, text = large
    most_alike = sorted((max(count_labels(scene).values(), default=0) for scene in scenes), reverse=True)
    asked = [len(parse_detections(answer, IMAGE_SIZE, IMAGE_SIZE)) for _, _, answer in text["masks"]]
    assert sorted(asked, reverse=True) == most_alike[: len(asked)]
    assert max(asked) > 2


def test_questions_about_toys_and_strangers_fit(processor):
    scene = make_scene(("cat", (0, 0, 20, 20)), ("dog", (0, 50, 20, 70)))
    answers = [ask(scene, word) for word in (*LABELS, *HEARD) for ask in (count, presence)]
    for label_a, label_b in combinations(LABELS, 2):
        scene = make_scene((label_a, (0, 0, 20, 20)), (label_b, (0, 50, 20, 70)))
        answers += [left(scene, label_a, label_b), left(scene, label_b, label_a)]
    assert 15 < longest(processor, answers) <= GROUPS["answers"].text_length
    absent = [Example("segment", f"segment {word}", "") for word in HEARD]
    assert longest(processor, absent) <= GROUPS["mask"].text_length
    assert longest(processor, [detect(scene, [word]) for word in HEARD]) <= GROUPS["boxes"].text_length


def test_no_text_of_many_batches_is_too_long_for_its_row(processor):
    """`pad` would raise an error."""
    maker, longest = make_batches(Recipe(seed=5, look_steps=0), processor, 0), dict.fromkeys(GROUPS, 0)
    for step in range(12):
        for name, rows in maker.make_batch(step).text.items():
            longest[name] = max(longest[name], int(rows.attention_mask.sum(1).max()) - N)
    for name, group in GROUPS.items():
        assert 0.4 * group.text_length < longest[name] <= group.text_length


def test_a_text_too_long_for_its_row_is_an_error(processor):
    long = Example("caption", "caption en", " and ".join(["a cat"] * 20))
    maker = make_batches(RECIPE, processor, 0)
    maker.pad([(0, long)], maker.count_tokens(long))
    with pytest.raises(RuntimeError):
        maker.pad([(0, long)], maker.count_tokens(long) - 1)
