# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Evaluating a VLM: metrics, bootstrap intervals, calibration
#
# "Our model reaches 95.3 %." Of what? On how many images, and which? What counts as right? Would another two hundred images have given 93? Is it better than the one with 94.8, and does it know when it is wrong? A number without these answers is advertising.
#
# At the end you will be able to
#
# - decide when two answers count as the same, and score against people who disagree;
# - put a confidence interval on any number, with twenty lines of code and no formula;
# - choose between a ratio of sums and a mean of ratios, and know what it changes;
# - compare two models on the same images, which needs far fewer of them;
# - measure whether a model's probabilities match its accuracy.
#
# Time: about 50 minutes to read and run, and 70 for the six exercises. Here is where it leads: one model, four metrics, two kinds of scenes, and how far to trust each number.

# %% mystnb={"image": {"alt": "Points with error bars for four metrics, test and hard scenes side by side. Captions 0.95 and 0.53. Precision of boxes 0.98 and 0.93, recall 0.97 and 0.89, IoU of masks 0.75 and 0.62. The bars of the hard captions are longest."}, "figure": {"caption": "Where two intervals are far apart, you need no more images to tell the numbers apart. The model on 150 scenes like those it was trained on (blue) and on 150 hard ones (orange), each number with its 95 % confidence interval. This chapter explains how such numbers are made, and what the bars mean.", "name": "fig-ch20-goal"}} tags=["hide-input"]
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from toybox import CHECKPOINT_DIRECTORY, MASK_VQVAE_FILE
from toybox.questions import Question, expected_length, find_targets, make_questions
from toybox.scenes import draw_scene
from toybox.sprites import LABELS, plural
from vlm.generate import generate
from vlm.inside.scoring import score_answers
from vlm.loader import load_hf_model, load_model
from vlm.metrics.answers import _ARTICLES, _COMMA_IN_NUMBER, _DIGITS, _SEPARATOR
from vlm.metrics.confidence import bootstrap_interval as finished_bootstrap_interval
from vlm.metrics.detection import match_detections
from vlm.metrics.masks import match_masks
from vlm.processor import PaliGemmaProcessor
from vlm.regions.boxes import Detection, parse_detections
from vlm.regions.mask_vqvae import load_mask_decoder
from vlm.regions.segmentation import decode_masks

torch.set_grad_enabled(False)  # nothing is trained in this chapter

model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
processor = PaliGemmaProcessor.for_model(model, tokenizer)
mask_decoder = load_mask_decoder(MASK_VQVAE_FILE)
NUM_SCENES = 150


def ask(asked: list[Question], a_model=model) -> list[str]:
    """The model's answers. A batch takes as long as its longest: similar lengths go together."""
    order = sorted(range(len(asked)), key=lambda index: expected_length(asked[index]))
    answers = {}
    for start in range(0, len(asked), 50):
        indices = order[start : start + 50]
        batch = [asked[index] for index in indices]
        prompts, images = [q.prompt for q in batch], [q.scene.image for q in batch]
        answers.update(zip(indices, generate(a_model, processor, prompts, images, 100)))
    return [answers[index] for index in range(len(asked))]


def count_boxes(question: Question, answer: str) -> tuple[int, int, int]:
    """The numbers of right boxes, predicted boxes and objects."""
    objects = question.scene.objects
    truths = [Detection(label, objects[i].box) for i, label in find_targets(question)]
    counts = match_detections(parse_detections(answer, 112, 112), truths)
    return len(counts.ious), counts.predicted, counts.actual


def sum_of_mask_ious(question: Question, answer: str) -> tuple[float, int]:
    """Sum of the masks' IoUs, and their number; a missed or superfluous mask counts 0."""
    phrase = question.prompt.removeprefix("segment ")
    truths = [question.scene.mask(i) for i, _ in find_targets(question)]
    found = [d for d in parse_detections(answer, 112, 112) if d.label == phrase]
    masks = decode_masks(found, mask_decoder, 112, 112)
    ious = match_masks([np.zeros((112, 112), bool) if m is None else m for m in masks], truths)
    return sum(ious), len(ious)


questions, answers, rows = {}, {}, {}
for split in ("test", "hard"):
    asked = make_questions([draw_scene(seed, split) for seed in range(NUM_SCENES)])
    asked = {task: asked[task] for task in ("caption", "count", "where", "detect", "segment")}
    answered = {task: ask(some) for task, some in asked.items()}
    questions[split], answers[split] = asked, answered
    rows[split] = {
        "caption": np.array(
            [[a == q.answer] for q, a in zip(asked["caption"], answered["caption"])], float
        ),
        "boxes": np.array(
            [count_boxes(q, a) for q, a in zip(asked["detect"], answered["detect"])], float
        ),
        "masks": np.array(
            [sum_of_mask_ious(q, a) for q, a in zip(asked["segment"], answered["segment"])],
            float,
        ),
    }

METRICS = {
    "captions\nexactly right": ("caption", lambda r: r[:, 0].mean()),
    "precision\nof boxes": ("boxes", lambda r: r[:, 0].sum() / r[:, 1].sum()),
    "recall\nof boxes": ("boxes", lambda r: r[:, 0].sum() / r[:, 2].sum()),
    "IoU\nof masks": ("masks", lambda r: r[:, 0].sum() / r[:, 1].sum()),
}
fig, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
for split, color, marker, shift in (
    ("test", "#0072B2", "o", -0.08),
    ("hard", "#D55E00", "s", 0.08),
):
    for index, (key, statistic) in enumerate(METRICS.values()):
        value = statistic(rows[split][key])
        low, high = finished_bootstrap_interval(rows[split][key], statistic)
        bars = [[value - low], [high - value]]
        label = split if index == 0 else None
        ax.errorbar(
            index + shift, value, bars, color=color, marker=marker, capsize=4, label=label
        )
ax.set_xticks(range(len(METRICS)), list(METRICS))
ax.set(ylabel="value", ylim=(0, 1.02), xlabel="metric")
ax.legend(loc="lower right")
plt.show()

# %% [markdown]
# ## Exact match: when are two answers the same?
#
# A caption counts as right only if every character matches. That is fair to the Toybox model, which knows one way to say each thing. A model trained on the web knows many. To the question "how many dogs?" it may answer `2`, `two`, `Two dogs.` or `There are 2`. If you compare characters, you measure its style.
#
# The rules of the VQA evaluation {cite}`antol2015vqa` are the usual compromise: lower case, no punctuation, no articles, number words as digits. Everything else still has to be the same.


# %%
print("a comma in a number:", _COMMA_IN_NUMBER.pattern)
print("what separates words:", _SEPARATOR.pattern)
digits = [*list(_DIGITS)[:4], "...", list(_DIGITS)[-1]]
print("left out:", sorted(_ARTICLES), " digits:", *digits)


# %% tags=["from:vlm.metrics.answers.normalize_answer"]
def normalize_answer(answer: str) -> str:
    """Ignore case, punctuation and articles; write number words as digits."""
    text = _SEPARATOR.sub(" ", _COMMA_IN_NUMBER.sub("", answer.lower()))
    words = (_DIGITS.get(word, word) for word in text.split())
    return " ".join(word for word in words if word not in _ARTICLES)


# %%
for text in (
    "Two dogs.",
    "2 dogs",
    "two  DOGS!",
    "there are 2 dogs",
    "2.5",
    "1,000",
    "another",
):
    print(f"{text!r:20} -> {normalize_answer(text)!r}")
assert normalize_answer("Two dogs.") == normalize_answer("2 dogs")

# %% [markdown]
# Each rule can do harm. "A" is an article, and also the right answer to "which vitamin?". Strip punctuation blindly, and 2.5 becomes 25. Decide on the rules *before* you look at the answers, use the same for all models, and report them.
#
# People disagree too. VQA collected ten answers for each question. A model's answer is fully right if at least three other people gave it: each of the ten is left out once, the agreeing answers among the other nine are counted, up to three, and the ten results are averaged. Before you look, work out the score of an answer that one person of ten gave, and then of one that three gave.


# %% tags=["from:vlm.metrics.answers.is_exact_match"]
def is_exact_match(answer: str, truth: str) -> bool:
    """Whether two answers are the same after `normalize_answer`."""
    return normalize_answer(answer) == normalize_answer(truth)


# %% tags=["from:vlm.metrics.answers.vqa_accuracy"]
def vqa_accuracy(answer: str, human_answers: Sequence[str]) -> float:
    """Agreement with people: 1 if three others gave this answer, 1/3 if one did."""
    agrees = [is_exact_match(answer, human) for human in human_answers]
    # for each person: how many of the others agree with the answer
    others = [sum(agrees) - own for own in agrees]
    return sum(min(count / 3, 1.0) for count in others) / len(human_answers)


# %%
people = ["red", "red", "dark red", "red", "maroon"]
people += ["red", "brown", "red", "maroon", "Red."]
for answer in ("red", "maroon", "brown", "blue"):
    print(f"{answer:8s} {vqa_accuracy(answer, people):.1f}")
# By hand, for one of ten: when that person is left out, nobody agrees;
# in the other nine cases, one person does.
assert np.isclose(vqa_accuracy("brown", people), 9 / 10 * 1 / 3)

# %% [markdown]
# For `maroon`, given by two people of ten, the score is 2/10 · 1/3 + 8/10 · 2/3 = 0.6; three people would make 0.9, and four 1. So on such a question only `red` can score 1, and a model that knows the shade better than most people is marked down. That is the {term}`VQA score <VQA score>`, and one reason why nobody reaches 100 % on it.
#
# ## Bootstrap confidence intervals: how far would the number move?
#
# The Toybox model's captions are right on some fraction of the scenes. How much of that number is chance? Cut 500 test scenes into 5 sets of 100, and look at the five numbers. How far apart do you expect the best and the worst?

# %% tags=["nbval-ignore-output"]
caption_scenes = [draw_scene(seed, "test") for seed in range(500)]
captions_asked = make_questions(caption_scenes)["caption"]
captions = ask(captions_asked)
is_right = np.array([a == q.answer for q, a in zip(captions_asked, captions)], float)
sets = is_right.reshape(5, 100).mean(1)
numbers = " ".join(f"{value:.2f}" for value in sets)
print("sets of 100:", numbers, f"  all 500: {is_right.mean():.3f}")

# %% [markdown]
# The same model, the same kind of scenes. If you test on 100 images, you can get any of these. For a fraction p of n independent answers there is a formula for the standard error, √(p(1 − p)/n), here about 0.02. For precision, a ratio of IoUs or whatever else you can think of, a formula is hard to find, or a poor approximation. The {term}`bootstrap` {cite}`efron1979bootstrap` handles all of them, by pretending that your images are the world: draw as many images as you have, *with replacement*, measure again, and repeat. The range of the middle 95 % of the results is the {term}`confidence interval`.


# %%
Statistic = Callable[[np.ndarray], float]


# %% tags=["from:vlm.metrics.confidence.bootstrap_interval"]
def bootstrap_interval(
    rows: np.ndarray,
    statistic: Statistic,
    confidence: float = 0.95,
    num_samples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap: the middle part of the statistic over resampled rows."""
    if len(rows) == 0:
        raise ValueError("there are no rows: expected at least one image")
    rng = np.random.default_rng(seed)
    results = [  # [R]
        statistic(rows[rng.integers(len(rows), size=len(rows))]) for _ in range(num_samples)
    ]
    tail = (1 - confidence) / 2
    low, high = np.quantile(results, [tail, 1 - tail])
    return float(low), float(high)


# %% mystnb={"image": {"alt": "Five points with error bars, one for each set of 100 scenes, and a dashed line at the mean of all 500, which most of the bars cross."}, "figure": {"caption": "Most of the five intervals contain the mean of all 500 scenes (dashed line). Each point is a set of 100 scenes, with the interval computed from these 100 alone. A 95 % interval should miss the truth one time in twenty.", "name": "fig-ch20-sets"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.8, 3), layout="constrained")
missed = 0
for number, values in enumerate(is_right.reshape(5, 100), start=1):
    low, high = bootstrap_interval(values, np.mean)
    missed += not low <= is_right.mean() <= high
    bars = [[values.mean() - low], [high - values.mean()]]
    ax.errorbar(number, values.mean(), bars, color="#0072B2", marker="o", capsize=4)
ax.axhline(is_right.mean(), color="#D55E00", linestyle="--")
ax.set(xlabel="set of 100 scenes", ylabel="fraction of captions right", xticks=range(1, 6))
plt.show()
print(f"{missed} of 5 intervals miss the mean of all")

# %% [markdown]
# There is one case in which you must not trust such an interval. Say that all 100 captions of a set are right. However you resample them, all are right again, and the interval has no width: "1.00, and I am certain". The bootstrap knows only what it has seen; with few errors in the set, it has seen too few kinds of them. If there are no errors among n answers, the error rate may still be as large as 3/n (the *rule of three*, a 95 % bound), here 3 %. So 100 images are not enough to tell 0.96 from 0.99, and an interval that rests on three errors has to be taken with caution.

# %% tags=["nbval-ignore-output"]
low, high = bootstrap_interval(is_right, np.mean)
p, n = is_right.mean(), len(is_right)
print(f"all 500: {p:.3f}, bootstrap {low:.3f} to {high:.3f}")
by_formula = 1.96 * np.sqrt(p * (1 - p) / n)
print(f"by the formula         {p - by_formula:.3f} to {p + by_formula:.3f}")
assert abs(low - (p - by_formula)) < 0.005

# %% [markdown]
# To halve an interval you need four times as many images. What does an interval *not* cover? Users' images that differ from yours, mislabeled ground truth, and a checkpoint chosen as the best of ten on this very set. It covers the chance in drawing the images, and nothing else.
#
# It is right on one condition: what you draw must be independent. Boxes of one image are not: if the image is dark, all of its boxes suffer. So draw *images*, and keep everything that belongs to an image together.
#
# ## Ratio of sums or mean of ratios?
#
# Precision is right boxes over predicted boxes. Over many images you can add up both and divide once, or divide in each image and take the mean. Which of the two is higher on the hard scenes?

# %% tags=["nbval-ignore-output"]
boxes = rows["hard"]["boxes"]  # right boxes, predicted boxes, objects
predicted = boxes[:, 1] > 0
ratio_of_sums = boxes[:, 0].sum() / boxes[:, 1].sum()
mean_of_ratios = (boxes[predicted, 0] / boxes[predicted, 1]).mean()
print(f"ratio of sums  {ratio_of_sums:.3f}")
print(
    f"mean of ratios {mean_of_ratios:.3f}, "
    f"and {(~predicted).sum()} answers without a box have no ratio"
)
with_ones = np.where(predicted, boxes[:, 0] / np.maximum(boxes[:, 1], 1), 1).mean()
print(f"mean of ratios {with_ones:.3f} if those count 1")

# %% [markdown]
# They answer different questions. The ratio of sums asks: of the boxes I am shown, how many can I trust? Each box has the same weight. The mean of ratios asks about images: an image with one box weighs as much as one with six, and crowded images are harder. And it is undefined for an image without a predicted box, so somebody has to decide what such an image counts, and that decision moves the number. Detection papers add up. Captioning papers often take means. Check which one a paper uses.


# %% tags=["from:vlm.metrics.confidence.ratio_of_sums"]
def ratio_of_sums(rows: np.ndarray) -> float:
    """[M, 2] -> the sum of the first column divided by that of the second."""
    return float(rows[:, 0].sum() / rows[:, 1].sum())


# %% tags=["nbval-ignore-output"]
for split in ("test", "hard"):
    counts = rows[split]["boxes"]
    for name, columns in (("precision", [0, 1]), ("recall", [0, 2])):
        low, high = bootstrap_interval(counts[:, columns], ratio_of_sums)
        print(
            f"{split} {name:9s} {ratio_of_sums(counts[:, columns]):.2f} "
            f"({low:.2f} to {high:.2f})"
        )

# %% [markdown]
# ## Paired comparison: is this model better than that one?
#
# Say you want to store the weights in fewer bits. Round the numbers in each row of each matrix to 2ᵇ − 1 evenly spaced values, and ask whether the captions get worse. With 8 bits, with 4, with 3? Here are the original model and each of the rounded ones on the same 300 scenes.


# %% tags=["nbval-ignore-output"]
def with_bits(bits: int):
    """The trained model, with each row of each matrix rounded to 2^bits - 1 values."""
    rounded = load_model(CHECKPOINT_DIRECTORY)
    for parameter in rounded.parameters():
        if parameter.dim() >= 2:
            flat = parameter.data.flatten(1)  # [rows, numbers]
            step = flat.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
            parameter.data = ((flat / step).round() * step).reshape(parameter.shape)
    return rounded


def mean_difference(pairs: np.ndarray) -> float:
    return float((pairs[:, 0] - pairs[:, 1]).mean())


# %% tags=["nbval-ignore-output"]
asked, right = captions_asked[:300], is_right[:300]
print(f"32 bits: {right.mean():.3f}")
pairs = {}
for bits in (8, 4, 3):
    answered = ask(asked, with_bits(bits))
    other = np.array([a == q.answer for q, a in zip(asked, answered)], float)
    pairs[bits] = np.stack([right, other], axis=1)  # [M, 2]
    separate = [bootstrap_interval(column, np.mean) for column in pairs[bits].T]
    low, high = bootstrap_interval(pairs[bits], mean_difference)
    # the width if each model had been tested on scenes of its own
    apart = np.hypot(*(end - start for start, end in separate))
    start, end = separate[1]
    print(
        f"{bits:2d} bits: {other.mean():.3f} ({start:.3f} to {end:.3f}), "
        f"lost {mean_difference(pairs[bits]):+.3f} ({low:+.3f} to {high:+.3f})"
    )
    print(f"         width {high - low:.3f}; on different scenes {apart:.3f}")

# %% [markdown]
# Take 4 bits. One model is right on 96.2 % and the other on 95.2 %, and their intervals overlap by two thirds. But both saw the *same* scenes, and on most of them they agree, right or wrong. Only the scenes where they differ matter. Resample the scenes, keep the two results of a scene together, and take the difference. That interval is little more than half as wide as the one you would get from two models on different scenes. It still contains 0, so the lost point may be chance; with 3 bits it does not. (With 8 bits the two differ on one or two of the 300 scenes. That is again too few errors to resample.)
#
# Two mistakes are common: to see two intervals overlap and conclude "no difference", and to resample the scenes separately for the two models, which throws away the pairing.

# %% mystnb={"image": {"alt": "For 8, 4 and 3 bits: left, the two models' fractions of right captions with intervals, which overlap except for 3 bits; right, the interval of the paired difference, narrow, with a dashed line at zero."}, "figure": {"caption": "Two overlapping intervals say little; the interval of the difference says whether 0 is in it. Left: each model by itself. Right: the difference on the same scenes.", "name": "fig-ch20-pairs"}} tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(8.4, 3), layout="constrained")
for index, both in enumerate(pairs.values()):
    for column, color, marker, label in (
        (0, "#0072B2", "o", "32 bits"),
        (1, "#D55E00", "s", "fewer"),
    ):
        value = both[:, column].mean()
        low, high = bootstrap_interval(both[:, column], np.mean)
        bars = [[value - low], [high - value]]
        at = index - 0.08 + 0.16 * column
        axes[0].errorbar(
            at,
            value,
            bars,
            color=color,
            marker=marker,
            capsize=4,
            label=label if index == 0 else None,
        )
    value = mean_difference(both)
    low, high = bootstrap_interval(both, mean_difference)
    axes[1].errorbar(
        index, value, [[value - low], [high - value]], color="black", marker="o", capsize=4
    )
axes[1].axhline(0, color="gray", linestyle="--", linewidth=1)
for ax, label in zip(axes, ("captions right", "lost by rounding")):
    ax.set_xticks(range(len(pairs)), [f"{bits} bits" for bits in pairs])
    ax.set(ylabel=label, xlabel="weights stored in")
axes[0].legend(loc="lower left", fontsize=8)
plt.show()

# %% [markdown]
# ## Error analysis: where is it bad?
#
# A mean hides what it averages over. Break it down: here by the number of toys. The table in the model card says that half of the captions of hard scenes are right, and you may think that this holds whatever the number of toys. It does not.

# %% tags=["nbval-ignore-output"]
for split in ("test", "hard"):
    toys = np.array([len(q.scene.objects) for q in questions[split]["caption"]])
    for least, most in ((0, 1), (2, 3), (4, 5), (6, 8)):
        part = rows[split]["caption"][(least <= toys) & (toys <= most), 0]
        low, high = bootstrap_interval(part, np.mean)
        print(
            f"{split}, {least} to {most} toys: {part.mean():.2f} "
            f"({low:.2f} to {high:.2f}), {len(part)} scenes"
        )

# %% [markdown]
# On test scenes the model fails where there are many toys, and more often than independent mistakes on each toy would explain: no errors in 69 scenes with two toys (which still allows 4 %), and 16 % with four. So crowding itself is one cause. Hard scenes are harder with few toys, too, so there must be others. Their backgrounds look like blurred photographs and are full of objects without a name; some of their toys are only 12 to 16 pixels wide, and of others only a fifth is visible. Which of these is it? Look at the errors, not at the error rate.

# %% tags=["nbval-ignore-output"]
GROUND = re.compile(r" (on grass|on sand|on snow|on water|in the sky|at night)$")


def kinds_in(text: str) -> set[str]:
    words = text.replace(",", "").split()
    return {label for label in LABELS if label in words or plural(label) in words}


def sort_error(truth: str, answer: str) -> str:
    """The first kind of error that fits."""
    if GROUND.sub("", truth) == GROUND.sub("", answer):
        return "only the ground"
    missed = kinds_in(truth) - kinds_in(answer)
    invented = kinds_in(answer) - kinds_in(truth)
    if missed and invented:
        return "one kind for another"
    if missed or invented:
        return "a kind missed" if missed else "a kind invented"
    return "only a number"


# %% tags=["nbval-ignore-output"]
for split in ("test", "hard"):
    asked, answered = questions[split]["caption"], answers[split]["caption"]
    wrong = [(q.answer, a) for q, a in zip(asked, answered) if a != q.answer]
    print(f"{split}: {len(wrong)} of {NUM_SCENES} wrong,", end=" ")
    print(dict(Counter(sort_error(*pair) for pair in wrong).most_common()))
for truth, answer in wrong[:5]:
    print(f"  {truth!r} -> {answer!r}")

# %% [markdown]
# On test scenes it is mostly a number that is wrong, and all kinds of toys are named. On hard scenes the kinds are wrong in three of four: some are missed, which small size and occlusion explain, and some are invented, which points to the objects without a name. The ground is rarely the problem. There were several causes, and one number had hidden them all.
#
# ## Calibration: does it know when it is wrong?
#
# A model that says when it is unsure is more useful than one that is right as often and certain of everything. The probability of an answer is the model's own {term}`confidence` in it. Can you trust it? Sort answers into bins by confidence, and look at how many are right in each bin. If the two agree, the points lie on the diagonal, and the model is *calibrated* ({term}`calibration`).


# %% tags=["from:vlm.metrics.calibration.Reliability"]
@dataclass(frozen=True)
class Reliability:
    """Answers in bins of confidence; empty bins are left out. Each [L]."""

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


# %% tags=["from:vlm.metrics.calibration.measure_reliability"]
def measure_reliability(
    confidences: np.ndarray, is_right: np.ndarray, num_bins: int = 10
) -> Reliability:
    """Sort answers into bins of equal width: 0 to 0.1, above 0.1 to 0.2, ..."""
    # the bin of each answer, [M]
    bins = np.clip(np.ceil(confidences * num_bins).astype(int) - 1, 0, num_bins - 1)
    filled = np.unique(bins)
    members = [bins == index for index in filled]
    return Reliability(
        np.array([member.sum() for member in members]),
        np.array([confidences[member].mean() for member in members]),
        np.array([is_right[member].mean() for member in members]),
    )


# %% tags=["from:vlm.metrics.calibration.expected_calibration_error"]
def expected_calibration_error(
    confidences: np.ndarray, is_right: np.ndarray, num_bins: int = 10
) -> float:
    """The mean gap between confidence and accuracy, over all answers."""
    bins = measure_reliability(confidences, is_right, num_bins)
    gaps = np.abs(bins.accuracy - bins.confidence)  # [L]
    return float((bins.counts * gaps).sum() / bins.counts.sum())


# %%
# By hand: two answers at 0.8, one of them right, and one at 0.3, wrong.
# All gaps are 0.3.
confidences, right_or_not = np.array([0.8, 0.8, 0.3]), np.array([True, False, False])
assert np.isclose(expected_calibration_error(confidences, right_or_not), 0.3)


def answer_probabilities(asked: list[Question], answered: list[str]) -> np.ndarray:
    """The probability that the model gave to each of its answers, `<eos>` included."""
    values = []
    for start in range(0, len(asked), 50):
        batch, texts = asked[start : start + 50], answered[start : start + 50]
        prompts, images = [q.prompt for q in batch], [q.scene.image for q in batch]
        scored = score_answers(model, processor, prompts, images, texts)
        values += [row.sum().exp().item() for row in scored]
    return np.array(values)


# %%
by_scene, probability, correct = {}, {}, {}
for split in ("test", "hard"):
    rows_of_scene = {id(q.scene): [] for q in questions[split]["caption"]}
    for task in ("caption", "count", "where"):
        asked, answered = questions[split][task], answers[split][task]
        for q, a, value in zip(asked, answered, answer_probabilities(asked, answered)):
            rows_of_scene[id(q.scene)].append((value, a == q.answer))
    by_scene[split] = list(rows_of_scene.values())  # a scene's answers stay together
    flat = np.array([row for rows_here in by_scene[split] for row in rows_here], float)
    probability[split], correct[split] = flat[:, 0], flat[:, 1] > 0.5

# %% mystnb={"image": {"alt": "Left: a reliability diagram. The large points at 1 hold most answers: test on the diagonal, hard a little below. The small points below 0.8 are mostly under the diagonal, in both. Right: accuracy against the fraction of questions that are answered when the model may decline those with the lowest confidence. Test stays at 1 and ends at 0.98. Hard begins at 1 and ends at 0.80."}, "figure": {"caption": "Confidence is too high on hard scenes, but it still ranks the answers. Answers to `caption`, `count` and `where` questions. Left: accuracy of the answers in each bin of confidence; the size of a point is the number of answers, and below the diagonal the model is overconfident. Right: accuracy if the model may decline the questions with the lowest confidence.", "name": "fig-ch20-calibration"}} tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(8.4, 3.5), layout="constrained")
for split, color, marker, style in (
    ("test", "#0072B2", "o", "-"),
    ("hard", "#D55E00", "s", "--"),
):
    bins = measure_reliability(probability[split], correct[split])
    axes[0].scatter(
        bins.confidence,
        bins.accuracy,
        s=15 + bins.counts / 3,
        color=color,
        marker=marker,
        label=split,
    )
    order = np.argsort(-probability[split])
    kept = np.arange(1, len(order) + 1)
    axes[1].plot(
        kept / len(order),
        np.cumsum(correct[split][order]) / kept,
        color=color,
        linestyle=style,
        label=split,
    )
axes[0].plot([0, 1], [0, 1], color="gray", linestyle=":", linewidth=1)
axes[0].set(xlabel="confidence", ylabel="accuracy", xlim=(-0.04, 1.05), ylim=(-0.04, 1.06))
axes[1].set(xlabel="fraction answered", ylabel="accuracy on these", ylim=(0.4, 1.02))
axes[0].legend(loc="upper left")
plt.show()


# %% tags=["nbval-ignore-output"]
def error_of_scenes(indices: np.ndarray) -> float:
    """The calibration error of some scenes: we resample scenes, not answers."""
    drawn = np.array([row for index in indices for row in scenes_here[index]], float)
    return expected_calibration_error(drawn[:, 0], drawn[:, 1] > 0.5)


for split in ("test", "hard"):
    scenes_here = by_scene[split]
    error = expected_calibration_error(probability[split], correct[split])
    indices = np.arange(NUM_SCENES)
    low, high = bootstrap_interval(indices, error_of_scenes, num_samples=300)
    print(
        f"{split}: accuracy {correct[split].mean():.2f}, "
        f"confidence {probability[split].mean():.2f}, "
        f"calibration error {error:.2f} ({low:.2f} to {high:.2f})"
    )

# %% [markdown]
# On scenes like those it was trained on the model is, on average, as confident as it is accurate. On the hard ones its accuracy is 80 % and its confidence 91 %: it does not notice that these scenes are outside its training distribution. That is common {cite}`ovadia2019can`, and large networks are often overconfident even on data like those they were trained on {cite}`guo2017calibration`. The {term}`expected calibration error` (ECE) sums this up in one number, but it depends on the bins; with few answers even a perfectly calibrated model gets a little more than 0, since the gaps are taken as absolute values; and a model that always states its average accuracy has an ECE of 0 and is useless. So look at the diagram too. The right panel shows what the confidence is good for even so: where it is too high, its order is still useful. If the model may decline a fifth of the hard questions, it is right on nine in ten of the rest.
#
# ## Reporting
#
# What would you want to read about somebody else's model? Which images, how many, and that none of them was in the training data. How the answers were generated (greedily or not, how many tokens) and compared (by which rules). A number with its interval, and for a comparison the interval of the difference. What the model is bad at. And how often you looked: if you try twenty variants on one test set and report the best, you have fitted the test set, and no interval accounts for it. The Toybox has a validation split for that; the test split was evaluated for the model card and for these chapters. The table in the card, `toybox/checkpoint/README.md`, comes from `python -m toybox.evaluate`, and a test compares it with the file of results.
#
# ## What the real model does
#
# PaliGemma's report gives a number for each of some forty tasks, after fine-tuning on each: CIDEr for captions (how many n-grams of one to four words are shared with what five people wrote, rare ones counting more), VQA score, IoU for RefCOCO, mAP for COCO. 83.2 on VQAv2 at 224 pixels {cite}`beyer2024paligemma` is a mean over some hundred thousand questions, so chance moves it by two tenths of a point either way; differences between seeds of the fine-tuning are as large. One part of evaluating such a model is much harder there than here: it may mention an object that is absent because such images usually contain it {cite}`rohrbach2018object`. This {term}`hallucination` is measured by asking about absent objects {cite}`li2023evaluating`. The Toybox's question `is there a ...?` is of that kind: the right answer to four in ten of these questions is no, and some of them ask for things that are not toys.
#
# ## Exercises
#
# Open `exercises/ch20_evaluation.py`, write what is missing, and grade it, below or in a terminal:
#
# ```text
# pytest exercises/test_ch20_evaluation.py
# ```
#
# ### `normalize` (2 points, 15 minutes)
#
# ```{literalinclude} ../exercises/ch20_evaluation.py
# :pyobject: normalize
# ```
#
# ```{admonition} Hint
# :class: dropdown
# Remove the commas in numbers first, then replace the other punctuation with spaces, then go word by word. `re.sub(r"(?<=\d),(?=\d)", "", text)` removes a comma between two digits.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch20_evaluation.py
# :pyobject: normalize
# ```
# ````
#
# ### `vqa_score` (1 point, 10 minutes)
#
# ```{literalinclude} ../exercises/ch20_evaluation.py
# :pyobject: vqa_score
# ```
#
# ```{admonition} Hint
# :class: dropdown
# For each person: how many of the *others* agree with the answer? At most three count.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch20_evaluation.py
# :pyobject: vqa_score
# ```
# ````
#
# ### `precision_and_recall` (1 point, 5 minutes)
#
# ```{literalinclude} ../exercises/ch20_evaluation.py
# :pyobject: precision_and_recall
# ```
#
# ```{admonition} Hint
# :class: dropdown
# Sum over the images first.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch20_evaluation.py
# :pyobject: precision_and_recall
# ```
# ````
#
# ### `interval_from_draws` (2 points, 15 minutes)
#
# ```{literalinclude} ../exercises/ch20_evaluation.py
# :pyobject: interval_from_draws
# ```
#
# ```{admonition} Hint
# :class: dropdown
# `rows[pick]` are the rows of one resampled set. Collect the statistic of each, and take two quantiles.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch20_evaluation.py
# :pyobject: interval_from_draws
# ```
# ````
#
# ### `paired_interval` (2 points, 10 minutes)
#
# ```{literalinclude} ../exercises/ch20_evaluation.py
# :pyobject: paired_interval
# ```
#
# ```{admonition} Hint
# :class: dropdown
# Use the same draw for both models. What you resample is the difference.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch20_evaluation.py
# :pyobject: paired_interval
# ```
# ````
#
# ### `calibration_error` (2 points, 15 minutes)
#
# ```{literalinclude} ../exercises/ch20_evaluation.py
# :pyobject: calibration_error
# ```
#
# ```{admonition} Hint
# :class: dropdown
# `torch.ceil(confidences * num_bins) - 1` is the bin, except for a confidence of 0.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch20_evaluation.py
# :pyobject: calibration_error
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch20_evaluation")

# %% [markdown]
# ## Summary
#
# Decide what counts as the same answer before you look. A number from a hundred images moves by several points; the bootstrap says how much, for any metric, if you resample whole images and there are enough errors to resample. Know whether a number is a ratio of sums or a mean of ratios. Compare models on the same images, and resample the difference. Break the mean down, and read the errors. This model's confidence is right on scenes like those it was trained on and too high on hard ones; in both cases its order is useful.
#
# Now you can tell whether a change was an improvement. Time to change something: next you teach the model what it does not know.
