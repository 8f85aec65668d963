"""Questions about scenes whose ground truth is known, and a model's answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from toybox.prompts import (
    TASKS,
    all_examples,
    find_referred,
    number_phrase,
    sample_segment_phrase,
)
from toybox.scenes import Scene
from toybox.strangers import UNHEARD
from vlm.generate import check_length, generate_tokens
from vlm.metrics.degenerate import is_degenerate
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor

STRANGERS = "strangers"  # not a task of its own: questions about things that are not in the Toybox
MAX_NEW_TOKENS = 60  # eight boxes have 55
MAX_NEW_TOKENS_OF_MASKS = 145  # six masks of blue cars have 143


@dataclass(frozen=True)
class Question:
    """A prompt about a scene; `answer` is the right answer if there is only one, else None."""

    scene: Scene
    prompt: str
    answer: str | None = None


@dataclass(frozen=True)
class Answer:
    """The model's answer; `is_degenerate` if it repeats itself or never ends."""

    text: str
    is_degenerate: bool = False


def make_questions(scenes: Sequence[Scene]) -> dict[str, list[Question]]:
    """Questions by task; always the same ones.

    For each scene there is one question of each task that it allows ("where" needs a single toy), and two about
    something that is not in the Toybox, with words that training never uses.
    """
    rng = np.random.default_rng(0)
    questions: dict[str, list[Question]] = {task: [] for task in (*TASKS, STRANGERS)}
    for index, scene in enumerate(scenes):
        for example in all_examples(scene, rng):
            questions[example.task].append(Question(scene, example.prompt, example.suffix))
        phrase = " ".join(sample_segment_phrase(scene, rng)).strip()
        questions["segment"].append(Question(scene, f"segment {phrase}"))
        word = UNHEARD[index % len(UNHEARD)]
        questions[STRANGERS].append(Question(scene, f"answer en is there {number_phrase(1, word)}?", "no"))
        questions[STRANGERS].append(Question(scene, f"detect {word}", ""))
    return questions


def find_targets(question: Question) -> list[tuple[int, str]]:
    """The toys that a prompt such as "detect cat ; dog" or "segment left cat" asks for.

    Returns:
        The index of each toy in `scene.objects`, with the phrase that should label its box: (2, "left cat").
    """
    _, _, phrases = question.prompt.partition(" ")
    targets = []
    for phrase in phrases.split(" ; "):
        adjective, _, label = phrase.rpartition(" ")
        targets += [(index, phrase) for index in find_referred(question.scene, adjective, label)]
    return targets


def ask(
    model: PaliGemmaForConditionalGeneration,
    processor: PaliGemmaProcessor,
    asked: Sequence[Question],
    batch_size: int,
    task: str,
) -> list[Answer]:
    """Greedy answers, in the order of the questions, which are all of one task.

    A batch takes as long as its longest answer, so questions with true answers of similar length go together.
    """
    limit, answers = MAX_NEW_TOKENS_OF_MASKS if task == "segment" else MAX_NEW_TOKENS, {}
    order = sorted(range(len(asked)), key=lambda index: expected_length(asked[index]))
    for start in tqdm(range(0, len(asked), batch_size), desc=task):
        batch = order[start : start + batch_size]
        prompts, images = [asked[index].prompt for index in batch], [asked[index].scene.image for index in batch]
        answers.update(zip(batch, answer_batch(model, processor, prompts, images, limit), strict=True))
    return [answers[index] for index in range(len(asked))]


def answer_batch(
    model: PaliGemmaForConditionalGeneration,
    processor: PaliGemmaProcessor,
    prompts: Sequence[str],
    images: Sequence[Image.Image],
    max_new_tokens: int,
) -> list[Answer]:
    """Greedy answers to one prompt for each image, as from `vlm.generate.generate`; no `<eos>` means degenerate."""
    inputs, tokenizer = processor(prompts, images), processor.tokenizer
    check_length(inputs["input_ids"], max_new_tokens, model)
    rows = torch.stack(list(generate_tokens(model, inputs, max_new_tokens)), dim=1)  # [B, new]
    answers = []
    for row in rows.tolist():
        tokens = tokenizer.convert_ids_to_tokens(row)
        answers.append(Answer(processor.decode(row), is_degenerate(tokens, tokenizer.eos_token)))
    return answers


def expected_length(question: Question) -> int:
    """The length of the true answer, in characters or masks, to compare with other questions of the same task."""
    return len(find_targets(question)) if question.answer is None else len(question.answer)
