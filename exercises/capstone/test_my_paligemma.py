"""Checks of exercises/capstone/my_paligemma.py, stage by stage, with the Toybox's weights and scenes."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save
from tokenizers import Tokenizer
from torch import Tensor

from grader import Case, Exercise, Random
from grader.sandbox import load_file as load_module
from toybox import CHECKPOINT_DIRECTORY
from toybox.scenes import Scene, draw_scene
from vlm.config import PaliGemmaConfig

CHAPTERS = (
    "ch02_patches",
    "ch03_attention",
    "ch05_processor",
    "ch06_norms_mlp",
    "ch07_rope",
    "ch08_gqa",
    "ch09_merge",
    "ch13_loading",
    "ch10_sampling",
    "ch12_batches",
)
HEAD, EMBEDDING = "lm_head.weight", "language_model.model.embed_tokens.weight"
CONFIG = PaliGemmaConfig.from_json(CHECKPOINT_DIRECTORY / "config.json")


@cache
def trained_weights() -> dict[str, Tensor]:
    return load_file(CHECKPOINT_DIRECTORY / "model.safetensors")


@cache
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(CHECKPOINT_DIRECTORY / "tokenizer.json"))


def encode(text: str) -> list[int]:
    return tokenizer().encode(text, add_special_tokens=False).ids


@cache
def special() -> dict[str, int]:
    names = {"image": "<image>", "bos": "<bos>", "pad": "<pad>", "eos": "<eos>"}
    ids = {name: tokenizer().token_to_id(token) for name, token in names.items()}
    return ids | {"newline": encode("\n")[0]}


def load_parts(submission: ModuleType) -> SimpleNamespace:
    """The submission's chapter files, in the folder above the submission."""
    if hasattr(submission, "parts"):  # a test puts a mistake into one of them
        return submission.parts
    folder = Path(submission.__file__).parent.parent
    return SimpleNamespace(**{name: load_module(folder / f"{name}.py", f"part_{name}") for name in CHAPTERS})


def stage(run: Callable[[ModuleType, SimpleNamespace, Case], object]) -> Callable[[ModuleType, Case], object]:
    """Call a stage with the parts, without gradients."""

    def call(submission: ModuleType, case: Case):
        with torch.no_grad():
            return run(submission, load_parts(submission), case)

    return call


def random_prompt(random: Random) -> str:
    return random.choice(["caption en", "detect cat", "detect dog ; bird", "answer en how many cats are there?"])


def layouts(random: Random) -> Iterator[Case]:
    for new_names, new_tower in ((False, False), (True, True), (random.integer(0, 2) == 1, True)):
        yield {"new_names": new_names, "new_tower": new_tower, "scale": 1 + random.integer(1, 9) / 8}


def file_in_layout(case: Case) -> bytes:
    """The Toybox's weights as a file: scaled, with the names of another layout, and with extra tensors."""
    tensors = {}
    for name, tensor in trained_weights().items():
        if tensor.dim() > 1:
            tensor = tensor[:1].clone()  # the names matter here; one row of each is enough
        if case["new_names"]:
            name = "model." + name.replace("language_model.model.", "language_model.")
        if case["new_tower"]:
            name = name.replace("vision_tower.vision_model.", "vision_tower.")
        tensors[name] = tensor * case["scale"]
    extra = "model.vision_tower.head.probe" if case["new_names"] else "vision_tower.vision_model.head.probe"
    return save(tensors | {extra: torch.ones(1, 1, 4), HEAD: torch.ones(2, 3)})


def run_read_weights(submission: ModuleType, parts: SimpleNamespace, case: Case) -> dict:
    weights = submission.read_weights(parts, file_in_layout(case))
    return {name: (list(tensor.shape), tensor.double().sum().item()) for name, tensor in weights.items()}


def requests(random: Random) -> Iterator[Case]:
    for size in (1, 3):
        seeds = [random.integer(0, 1000) for _ in range(size)]
        yield {"prompts": [random_prompt(random) for _ in seeds], "scenes": seeds, "side": random.integer(90, 200)}


def run_prepare(submission: ModuleType, parts: SimpleNamespace, case: Case) -> dict[str, Tensor]:
    images = [draw_scene(seed, "test").image.resize((case["side"], 150)) for seed in case["scenes"]]
    batch = submission.prepare(parts, encode, special(), CONFIG, case["prompts"], images)
    return {name: batch[name][..., ::9, ::9] if name == "pixel_values" else batch[name] for name in sorted(batch)}


def pictures(random: Random) -> Iterator[Case]:
    yield {"pixel_values": random.uniform(2, 3, 112, 112, low=-1.0)}


def run_look(submission: ModuleType, parts: SimpleNamespace, case: Case) -> dict[str, Tensor]:
    states = submission.look(parts, CONFIG, trained_weights(), case["pixel_values"])
    names = ["embeddings", *(f"block {i}" for i in range(len(states) - 3)), "last norm", "projector"]
    return {name: state[:, ::9] for name, state in zip(names, states, strict=True)}


def mixed_rows(random: Random) -> Iterator[Case]:
    image_features = random.normal(2, 64, 128)
    for pads in ([0, 3], [2, 0]):
        input_ids = random.integers(300, 600, 2, 72)
        for row, pad in enumerate(pads):
            input_ids[row, :pad] = 0
            input_ids[row, pad : pad + 64] = CONFIG.image_token_index
        yield {"input_ids": input_ids, "image_features": image_features}


def run_enter(submission: ModuleType, parts: SimpleNamespace, case: Case) -> Tensor:
    entered = submission.enter(parts, CONFIG, trained_weights(), case["input_ids"], case["image_features"])
    return entered[:, ::4] if entered.dim() == 3 else entered


def sequences(random: Random) -> Iterator[Case]:
    for pads, answers in (([0], [4]), ([0, 5], [3, 2])):
        length = 24
        yield {
            "inputs_embeds": random.normal(len(pads), length, 128, scale=2.0),
            "attention_mask": torch.tensor([[0] * pad + [1] * (length - pad) for pad in pads]),
            "token_type_ids": torch.tensor([[0] * (length - new) + [1] * new for new in answers]),
        }


def run_think(submission: ModuleType, parts: SimpleNamespace, case: Case) -> dict[str, Tensor]:
    mask = case["attention_mask"]
    states = submission.think(parts, CONFIG, trained_weights(), case["inputs_embeds"], mask, case["token_type_ids"])
    names = [*(f"layer {i}" for i in range(len(states) - 2)), "last norm", "logits"]
    return {name: state[:, [10, 14, -4, -1], ::7] for name, state in zip(names, states, strict=True)}


def draw_scene_to_ask_about(random: Random) -> Scene:
    """A scene whose first toy is large enough for the model to find it: an empty answer would hide mistakes."""
    while True:
        scene = draw_scene(random.integer(0, 1000), "test")
        if scene.objects and scene.objects[0].area > 800:
            return scene


def questions(random: Random) -> Iterator[Case]:
    for prompt, max_new_tokens in (("caption en", 40), (None, 40), (None, 3)):
        scene = draw_scene_to_ask_about(random)
        label = scene.objects[0].label
        yield {"prompt": prompt or f"detect {label}", "image": scene.image, "max_new_tokens": max_new_tokens}


def run_answer(submission: ModuleType, parts: SimpleNamespace, case: Case) -> dict:
    weights, prompt = trained_weights(), case["prompt"]
    looks, embed_patches = [], parts.ch02_patches.embed_patches

    def counted(*arguments, **keywords) -> Tensor:
        looks.append(arguments)
        return embed_patches(*arguments, **keywords)

    parts.ch02_patches.embed_patches = counted
    try:
        ids = submission.answer(
            parts, encode, special(), CONFIG, weights, prompt, case["image"], case["max_new_tokens"]
        )
    finally:
        parts.ch02_patches.embed_patches = embed_patches
    words = " ".join(tokenizer().id_to_token(int(token)) for token in ids)
    return {"answer": words, "the tower runs more than once": len(looks) > 1}


NOT_THE_PACKAGE = (
    "vlm.siglip.SiglipVisionModel.forward",
    "vlm.gemma.GemmaModel.forward",
    "vlm.gemma.GemmaForCausalLM.forward",
    "vlm.paligemma.PaliGemmaForConditionalGeneration.forward",
    "vlm.generate.generate_tokens",
)


def make_stage(name: str, title: str, make_cases: Callable, run: Callable, points: int, **more) -> Exercise:
    return Exercise(
        name,
        title,
        make_cases,
        points=points,
        call=stage(run),
        forbidden=NOT_THE_PACKAGE,
        tolerance=2e-4,
        seconds=60,
        **more,
    )


EXERCISES = [
    make_stage("read_weights", "Stage 1: loading", layouts, run_read_weights, 2),
    make_stage("prepare", "Stage 2: the processor", requests, run_prepare, 2),
    make_stage("look", "Stage 3: tower and projector", pictures, run_look, 3, table=True),
    make_stage("enter", "Stage 4: the merge", mixed_rows, run_enter, 2),
    make_stage("think", "Stage 5: the language model", sequences, run_think, 4, table=True),
    make_stage(
        "answer",
        "Stage 6: the answer",
        questions,
        run_answer,
        4,
        show=lambda case: {"prompt": case["prompt"], "max_new_tokens": case["max_new_tokens"]},
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
