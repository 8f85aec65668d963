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
# # Object detection as text: location tokens, IoU, average precision
#
# You ask for the cats, and the model answers with text. Some of its tokens are marks on a ruler. That is all there is to detection in PaliGemma: a conventional detector has special layers and a special loss for boxes; PaliGemma has neither. The idea comes from pix2seq {cite}`chen2021pix2seq`. The price is that you have to do with text what a detector does for you: parse it when it is malformed, decide what counts as found, and find out how confident the model was.
#
# At the end you will be able to
#
# - write a box as four location tokens and read it back, without an off-by-one error;
# - parse whatever a model writes, without losing a good box to a broken one;
# - compute IoU, precision, recall and mean average precision, from scratch and as COCO does;
# - get a confidence from a model that reports none;
# - look at failures and sort them by kind.
#
# Time: about 50 minutes to read and run, and 70 for the five exercises. Here is one answer of the Toybox, with the two rulers that its tokens refer to.

# %% mystnb={"image": {"alt": "A toy scene with a ruler, ticks from 0 to 896, along its top and another down its left side. A box surrounds a cat; dashed lines lead from its four edges to the rulers, at bins 106 and 411 for y, 418 and 754 for x."}, "figure": {"caption": "A box is four location tokens: the bins at which its edges meet the two rulers, first y, then x, then y and x again. The figure shows the first box of an answer to `detect cat`.", "name": "fig-ch17-goal"}} tags=["hide-input"]
import re
from collections import Counter
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image
from toybox.questions import make_questions
from toybox.scenes import draw_scene
from vlm.generate import generate
from vlm.inside.scoring import score_answers, score_boxes
from vlm.loader import load_hf_model
from vlm.metrics.detection import DetectionCounts, mean_average_precision
from vlm.processor import PaliGemmaProcessor
from vlm.regions.boxes import (
    Box,
    Detection,
    location_value,
)
from vlm.regions.boxes import box_iou as finished_box_iou
from vlm.regions.boxes import parse_detections as finished_parse_detections
from vlm.regions.draw import draw_detections

torch.set_grad_enabled(False)  # nothing is trained in this chapter

model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
config = model.config.vision_config
processor = PaliGemmaProcessor.for_model(model, tokenizer)

image = example_image(0)
[answer] = generate(model, processor, ["detect cat"], [image])
found = finished_parse_detections(answer, *image.size[::-1])
bins = [int(digits) for digits in re.findall(r"<loc(\d{4})>", answer)][:4]
fig, ax = plt.subplots(figsize=(5.2, 5.4), layout="constrained")
draw_detections(image, found[:1], ax)
ticks = np.arange(0, 1024, 128)
ax.set_xticks(ticks * 112 / 1023, ticks)
ax.set_yticks(ticks * 112 / 1023, ticks)
ax.xaxis.tick_top()
ax.xaxis.set_label_position("top")
ax.set(xlabel="x, in bins", ylabel="y, in bins")
for index, one_bin in enumerate(bins):
    at = one_bin * 112 / 1023
    line = ax.axhline if index % 2 == 0 else ax.axvline
    line(at, color="black", linestyle="--", linewidth=1)
    position = (1, at) if index % 2 == 0 else (at, 111)
    style = {"facecolor": "white", "edgecolor": "black"}
    ax.text(*position, f"{one_bin:04d}", fontsize=9, bbox=style)
plt.show()
print(answer)

# %% [markdown]
# ## Location tokens: a ruler with 1,024 marks
#
# An image may have any size, and the vocabulary must not grow with it. So a coordinate is given as a fraction of the image's side, and the fraction is rounded to one of 1,024 marks, or *bins*. Each bin is a {term}`location token`. The bins are numbered from 0 to 1023, and there are 1,023 steps between them. Bin 0 is one edge of the image, bin 1023 the other.


# %%
def location_token_v1(value: float, size: int) -> str:
    return f"<loc{round(value / size * 1024):04d}>"


print([location_token_v1(value, 400) for value in (0, 100, 399, 400)])
for name in ("<loc1023>", "<loc1024>"):
    print(name, "is", tokenizer.tokenize(name))

# %% [markdown]
# This first version multiplies by 1024, as many programs do. See what it makes of the right edge: `<loc1024>`. There is no such token. The tokenizer splits it into eight pieces, and a model trained on them learns to write garbage at the right edge of the image. Values outside the image are just as bad: a sloppy annotation whose box begins at x = -3, in an image 400 pixels wide, gives `<loc-008>`.
#
# The package's version has 1,023 steps, and clips values outside the image to its edge.


# %% tags=["from:vlm.regions.boxes.location_token"]
def location_token(value: float, size: int) -> str:
    """One coordinate as a token: bin 0 to 1023, with 1023 equal steps between them."""
    _check_size(size)
    fraction = min(max(value / size, 0.0), 1.0)
    return f"<loc{round(fraction * _LAST_BIN):04d}>"


# %%
from vlm.regions.boxes import (  # helpers and patterns from the same file
    _ITEM,
    _LAST_BIN,
    _LOCATION,
    _MASK_CODE,
    _check_size,
    _parse_mask_codes,
)

# %%
# By hand: 100 of 400 is a quarter, and a quarter of 1023 is 255.75, rounded to 256.
assert location_token(100, 400) == "<loc0256>"
assert location_token(400, 400) == "<loc1023>"
assert location_token(-3, 400) == "<loc0000>"
# And back again: the error is at most half a step.
assert abs(location_value(256, 400) - 100) <= 400 / 1023 / 2
for size in (112, 224, 896, 4000):
    print(f"an image of {size:4d} pixels: half a step is {size / 1023 / 2:.2f} pixels")

# %% [markdown]
# At every image size that PaliGemma reads, half a step is less than half a pixel. You notice the rounding only if you draw the box on a photograph of 4,000 pixels.
#
# How bad is it to encode with 1,023 steps and decode with 1,024? Bin m lies at m / 1023 of the side, and m / 1024 is a little less: at the far edge by a thousandth of the side, which is a ninth of a pixel here and 0.9 pixels at 896. That hardly changes any metric. But you will meet `<loc1024>`, and results that differ from another program's in the third digit.
#
# What does matter is the order. COCO stores boxes as x, y, width, height, and most other data sets and drawing libraries take x first too. PaliGemma writes **y first**: `y_min x_min y_max x_max`. Before you run the next cells: what fraction of the boxes will still fit an object (an IoU, defined below, of at least one half) if you read the answers with x first?

# %% tags=["nbval-ignore-output"]
test_scenes = [draw_scene(seed, "test") for seed in range(200)]
hard_scenes = [draw_scene(seed, "hard") for seed in range(200)]


def ask_for_boxes(scenes: list) -> tuple[list[str], list[str]]:
    """A prompt for each scene, with one to three labels, and the model's answer."""
    prompts = [question.prompt for question in make_questions(scenes)["detect"]]
    answers = []
    for start in range(0, len(scenes), 50):
        batch = slice(start, start + 50)
        images = [scene.image for scene in scenes[batch]]
        answers += generate(model, processor, prompts[batch], images, 60)
    return prompts, answers


def truth_of(scene, prompt: str) -> list[Detection]:
    labels = prompt.removeprefix("detect ").split(" ; ")
    asked_for = [thing for thing in scene.objects if thing.label in labels]
    return [Detection(thing.label, thing.box) for thing in asked_for]


test_prompts, test_answers = ask_for_boxes(test_scenes)
test_truths = [truth_of(*pair) for pair in zip(test_scenes, test_prompts, strict=True)]


# %% tags=["nbval-ignore-output"]
def fraction_right(read) -> float:
    """The fraction of boxes that fit an object of their label, at IoU 0.5."""
    right = []
    for text, truths in zip(test_answers, test_truths):
        for d in read(text):
            same = [t.box for t in truths if t.label == d.label]
            right.append(any(finished_box_iou(d.box, box) >= 0.5 for box in same))
    return sum(right) / len(right)


def y_first(text: str) -> list[Detection]:
    return finished_parse_detections(text, 112, 112)


def x_first(text: str) -> list[Detection]:
    boxes = [(d.label, d.box) for d in y_first(text)]
    return [Detection(label, (b[1], b[0], b[3], b[2])) for label, b in boxes]


print(f"y first: {fraction_right(y_first):.2f}")
print(f"x first: {fraction_right(x_first):.2f}")

# %% [markdown]
# Not 0. Some toys lie near the diagonal of the image, and a box on the diagonal stays where it is when x and y are swapped. If you check a single image, it may be one of these, so test your parser with a box that is far from the diagonal, in an image that is not square.
#
# ## Parsing boxes from the answer
#
# An answer is a stream of text. The obvious parser takes all location tokens, four at a time, and all names.


# %%
def parse_v1(text: str, height: int, width: int) -> list[Detection]:
    bins = [int(digits) for digits in re.findall(r"<loc(\d{4})>", text)]
    labels = [part.strip() for part in re.sub(r"<loc\d{4}>", "", text).split(";")]
    sizes = (height, width, height, width)
    boxes = [
        tuple(location_value(b, size) for b, size in zip(bins[i : i + 4], sizes))
        for i in range(0, len(bins), 4)
    ]
    return [Detection(label, box) for label, box in zip(labels, boxes)]


two_cats = "<loc0100><loc0200><loc0300><loc0400> cat"
two_cats += " ; <loc0500><loc0600><loc0700><loc0800> cat"
print("as it should be:  ", [d.box for d in parse_v1(two_cats, 1023, 1023)])
one_lost = two_cats.replace("<loc0300>", "")
print("one token missing:", [d.box for d in parse_v1(one_lost, 1023, 1023)])

# %% [markdown]
# One missing token in the first box, and the second box is ruined too: its numbers moved up by one. No error is raised. The first box now ends at x = 500, which is the second box's y_min, and the second box has three numbers.
#
# A parser must be stricter and more forgiving at once. It goes item by item: a *run* of location tokens, then optionally sixteen mask tokens (see the next chapter), then a name up to the next `;` or token. An item is dropped if its run does not have exactly four tokens, if one of them does not exist, or if the box is empty. The others stay. That takes one pattern for an item, and one loop.

# %%
print(_ITEM.pattern)


# %% tags=["from:vlm.regions.boxes.parse_detections"]
def parse_detections(text: str, height: int, width: int) -> list[Detection]:
    """Read the boxes and masks in an answer; skip whatever is not a valid box."""
    detections = []
    for item in _ITEM.finditer(text):
        box = _parse_box(_LOCATION.findall(item["run"]), height, width)
        if box is not None:
            codes = _parse_mask_codes(_MASK_CODE.findall(item["shape"]))
            detections.append(Detection(item["label"].strip(), box, codes))
    return detections


# %% tags=["from:vlm.regions.boxes._parse_box"]
def _parse_box(digits: list[str], height: int, width: int) -> Box | None:
    """Four strings like "0012" -> a box in pixels, or None if they are not one."""
    bins = [int(text) for text in digits if len(text) == 4 and int(text) <= _LAST_BIN]
    if len(digits) != 4 or len(bins) != 4:
        return None
    y_min, x_min, y_max, x_max = bins
    if y_max <= y_min or x_max <= x_min:
        return None
    return (
        location_value(y_min, height),
        location_value(x_min, width),
        location_value(y_max, height),
        location_value(x_max, width),
    )


# %%
good = "<loc0100><loc0200><loc0300><loc0400>"
STREAMS = {
    "two boxes": f"{good} cat ; {good} dog",
    "a token missing": f"<loc0100><loc0200><loc0400> cat ; {good} dog",
    "five locations": f"{good}<loc0500> cat ; {good} dog",
    "no such bin": f"<loc0100><loc0200><loc0300><loc1024> cat ; {good} dog",
    "upside down": f"<loc0300><loc0200><loc0100><loc0400> cat ; {good} dog",
    "no width": f"<loc0100><loc0200><loc0300><loc0200> cat ; {good} dog",
    "cut off": f"{good} cat ; <loc0100><loc0200>",
    "without a name": good,
    "with a preamble": f"I see {good} cat",
    "no boxes": "a cat on grass",
}
for name, text in STREAMS.items():
    labels = [detection.label for detection in parse_detections(text, 112, 112)]
    print(f"{name:16s}", labels)
    assert name != "a token missing" or labels == ["dog"]

# %% [markdown]
# Do such answers occur? Not among the 200 above: there, the Toybox model never breaks the format. But sample at a high temperature, where unlikely tokens are drawn too, and count.

# %% tags=["nbval-ignore-output"]
odd = Counter()
prompts, images = test_prompts[:50], [scene.image for scene in test_scenes[:50]]
temperatures = (0.0, 1.0, 2.0, 3.0)
for temperature in temperatures:
    texts = generate(model, processor, prompts, images, 60, temperature, seed=0)
    for text in texts:
        num_locations = len(re.findall("<loc", text))
        odd[temperature] += num_locations != 4 * len(parse_detections(text, 112, 112))
print({number: odd[number] for number in temperatures}, "of 50 malformed")
assert odd[0.0] == 0

# %% [markdown]
# ## IoU: how well do two boxes agree?
#
# You need one number that says how well a box fits an object. Distances between edges will not do: ten pixels are a lot for a mouse and little for a house. *Intersection over union*, {term}`IoU`, divides the area that two boxes share by the area that they cover together:
#
# $$\operatorname{IoU}(a, b) = \frac{|a \cap b|}{|a \cup b|} = \frac{|a \cap b|}{|a| + |b| - |a \cap b|}$$
#
# It is 1 for equal boxes, 0 for boxes that do not overlap, and has no unit.


# %% tags=["from:vlm.regions.boxes._area"]
def _area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


# %% tags=["from:vlm.regions.boxes.box_iou"]
def box_iou(a: Box, b: Box) -> float:
    """Intersection over union: the area they share over the area of their union."""
    shared = (max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    intersection = _area(shared)
    # Two empty boxes have a union of 0: the test avoids dividing by it.
    return intersection / (_area(a) + _area(b) - intersection) if intersection > 0 else 0.0


# %%
# By hand: two squares of side 2, one moved by 1.
# They share 1 x 2 = 2, and cover 4 + 4 - 2 = 6.
assert box_iou((0, 0, 2, 2), (0, 1, 2, 3)) == 2 / 6
assert box_iou((0, 0, 2, 2), (0, 2, 2, 4)) == 0  # they touch, and share no area
assert box_iou((5, 5, 5, 9), (5, 5, 5, 9)) == 0  # two equal, empty boxes
assert box_iou((0, 0, 2, 2), (3, 3, 5, 5)) == 0  # both overlaps are negative

# %% [markdown]
# The last line guards against a classic bug. The overlap in y is 2 - 3 = -1, the overlap in x is -1 as well, and (-1) · (-1) is 1. Each side has to be clipped at 0 before you multiply, as `_area` does.
#
# What is a good IoU? Take a box that has the right size, and push it diagonally, by one pixel, by two ... Before you look: by how much may a box of 26 pixels, a small toy, be pushed down and to the right until it no longer counts as right at IoU 0.5?

# %% mystnb={"image": {"alt": "Four falling curves of IoU over the shift in pixels, one for each box side: 8, 26, 56 and 112 pixels. The smaller the box, the steeper. A dashed line marks IoU 0.5; the curve of 26 pixels crosses it a little below 5 pixels."}, "figure": {"caption": "One half is stricter than it sounds: a box of 26 pixels falls below IoU 0.5 after 5 pixels, less than a fifth of its side. Each curve is the IoU of a square box with a copy of itself, pushed diagonally. For small objects every pixel counts.", "name": "fig-ch17-shift"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
shifts = np.linspace(0, 16, 161)
for side, color, style in (
    (8, "#D55E00", ":"),
    (26, "#0072B2", "-"),
    (56, "#009E73", "--"),
    (112, "#CC79A7", "-."),
):
    values = [box_iou((0, 0, side, side), (s, s, side + s, side + s)) for s in shifts]
    ax.plot(shifts, values, color=color, linestyle=style, label=f"side {side} pixels")
ax.axhline(0.5, color="gray", linestyle="--", linewidth=1)
ax.set(xlabel="shift down and to the right, in pixels", ylabel="IoU", ylim=(0, 1))
ax.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.16), fontsize=8)
plt.show()

# %% [markdown]
# A shift of s pixels leaves a shared area of (26 - s)². IoU is 0.5 where (26 - s)² = 2/3 · 26², at s = 26 · (1 - √(2/3)), which is 4.8 pixels.
#
# ## Precision and recall: found, missed, and found twice
#
# An answer has some boxes, the image has some objects. Pair them: same label, IoU of at least one half, each box and each object in at most one pair. Then
#
# - {term}`precision` is the fraction of the boxes that are in a pair: how far you can trust a box;
# - {term}`recall` is the fraction of the objects that are in a pair: how much the model finds.
#
# "At most one" is the clause that people forget. What are precision and recall of a model that draws three perfect boxes around the same cat, when there are two cats? Without it, all three boxes count as right, and a recall computed from them would be 3/2.


# %% tags=["from:vlm.metrics.matching.match_greedily"]
def match_greedily(overlaps: np.ndarray) -> list[tuple[int, int]]:
    """Pair predictions with objects, the largest overlap first, each at most once."""
    left, pairs = overlaps.copy(), []
    while left.size and left.max() > 0:
        # argmax takes the first of several equal ones
        i, j = divmod(int(left.argmax()), left.shape[1])
        pairs.append((i, j))
        left[i, :] = left[:, j] = 0
    return pairs


# %% tags=["from:vlm.metrics.detection.match_detections"]
def match_detections(
    predicted: Sequence[Detection], actual: Sequence[Detection], min_iou: float = 0.5
) -> DetectionCounts:
    """Pair boxes with objects of the same label, the largest IoU first."""
    ious = np.zeros((len(predicted), len(actual)))  # [M, J]; 0: cannot be a pair
    for i, guess in enumerate(predicted):
        for j, truth in enumerate(actual):
            iou = box_iou(guess.box, truth.box) if guess.label == truth.label else 0.0
            ious[i, j] = iou if iou >= min_iou else 0.0
    found = tuple(ious[pair].item() for pair in match_greedily(ious))
    return DetectionCounts(len(predicted), len(actual), found)


# %%
here, there = Detection("cat", (0, 0, 10, 10)), Detection("cat", (50, 50, 60, 60))
counts = match_detections([here, here, here], [here, there])
assert (counts.precision, counts.recall) == (1 / 3, 1 / 2)

# %% [markdown]
# Now measure the model, on 200 scenes like those it was trained on and on 200 of the *hard* split: backgrounds like blurred photographs, full of objects without a name, and up to eight toys, some of them tiny or nearly hidden. The counts of all images are added up first and divided at the end, so each box has the same weight.

# %%
hard_prompts, hard_answers = ask_for_boxes(hard_scenes)
hard_truths = [truth_of(*pair) for pair in zip(hard_scenes, hard_prompts, strict=True)]


def count(
    answers: list[str],
    truths: list[list[Detection]],
    min_iou: float,
) -> DetectionCounts:
    total = DetectionCounts()
    for text, actual in zip(answers, truths, strict=True):
        total += match_detections(parse_detections(text, 112, 112), actual, min_iou)
    return total


# %% tags=["nbval-ignore-output"]
print("                 test            hard")
print("min. IoU   precision recall  precision recall")
for min_iou in (0.5, 0.75, 0.9):
    test, hard = (
        count(test_answers, test_truths, min_iou),
        count(hard_answers, hard_truths, min_iou),
    )
    print(
        f"{min_iou:8.2f}   {test.precision:9.2f} {test.recall:6.2f}  "
        f"{hard.precision:9.2f} {hard.recall:6.2f}"
    )

# %% [markdown]
# At one half the model is nearly perfect on scenes like those it was trained on. At 0.9, nearly half of its boxes are wrong, and on the hard scenes four in five. Both are true, and a paper that gives only the first number tells you little about how tight the boxes are.
#
# ## Confidence: how sure is it?
#
# A conventional detector gives every box a score, its {term}`confidence`. You then choose a threshold: a high one gives precision, a low one recall. PaliGemma's text has no score. But each of its tokens had a probability, and you can ask for it: feed the model its own answer, and look up how likely it found each token, given those before it. One forward pass is enough. The package does this in `vlm/inside/scoring.py`.

# %% tags=["nbval-ignore-output"]
[log_probabilities] = score_answers(model, processor, ["detect cat"], [image], [answer])
tokens = tokenizer.convert_ids_to_tokens(processor.encode_suffix(answer))
for token, value in zip(tokens[:7], log_probabilities):
    print(f"{token:10s} {value.exp():.3f}")
confidences = score_boxes(tokens, log_probabilities)
print("of the two boxes:", [f"{confidence:.1e}" for confidence in confidences])

# %% [markdown]
# The name is certain: it was in the prompt. Each location token has only about 0.03, since the model was trained with soft targets, which give some probability to the neighboring bins as well (a box that is off by one bin is no mistake). The confidence of a box is the product of its four probabilities: about one in a million, but only the order will matter. Does the order mean anything? Compare the boxes that lie on an object of their label (IoU of at least one half; here a second box on the same object counts too) with those that do not, on the hard scenes, where there are enough of both.


# %%
def scores_of(
    scenes: list,
    prompts: list[str],
    answers: list[str],
) -> list[list[float]]:
    """The confidence of each box of each answer."""
    scores = []
    for start in range(0, len(scenes), 50):
        batch = slice(start, start + 50)
        images = [scene.image for scene in scenes[batch]]
        rows = score_answers(model, processor, prompts[batch], images, answers[batch])
        for text, row in zip(answers[batch], rows):
            tokens = tokenizer.convert_ids_to_tokens(processor.encode_suffix(text))
            scores.append(score_boxes(tokens, row.tolist()))
    return scores


hard_scores = scores_of(hard_scenes, hard_prompts, hard_answers)
hard_found = [parse_detections(text, 112, 112) for text in hard_answers]
all_scores, all_ious = [], []
for found, scores, truths in zip(hard_found, hard_scores, hard_truths, strict=True):
    for one, score in zip(found, scores, strict=True):
        ious = [box_iou(one.box, t.box) for t in truths if t.label == one.label]
        all_scores.append(score)
        all_ious.append(max(ious, default=0.0))
all_scores, all_ious = np.array(all_scores), np.array(all_ious)

# %% mystnb={"image": {"alt": "Scatter of some 320 boxes: the logarithm of the confidence on the x axis, IoU with the object on the y axis. Most lie above 0.5, between 0.6 and 0.97. Sixteen lie below; half of these are to the left of -6.6, where few of the others are."}, "figure": {"caption": "The confidence is informative, but far from perfect. Each point is a box that the model drew in a hard scene. Of the least confident ones, on the left, about half are wrong (crosses); of the confident ones, on the right, few.", "name": "fig-ch17-scores"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
good = all_ious >= 0.5
for kept, color, marker, label in (
    (good, "#0072B2", "o", "on an object"),
    (~good, "#D55E00", "x", "not"),
):
    ax.scatter(
        np.log10(all_scores[kept]), all_ious[kept], c=color, marker=marker, s=22, label=label
    )
ax.axhline(0.5, color="gray", linestyle="--", linewidth=1)
ax.set(xlabel="log10 of the confidence", ylabel="IoU with the object")
ax.legend(loc="lower right")
plt.show()

# %% [markdown]
# ## Average precision: one number for a ranked list
#
# Sort the boxes of one label from all images by confidence, the most confident first, and go down the list. After each box, note precision and recall so far. Recall only grows. Precision drops at each wrong box and creeps up at each right one: the curve has teeth. {term}`Average precision <average precision>` is the mean height of this curve over all recalls {cite}`everingham2010pascal`, with the teeth filled up: each recall counts with the best precision that is reached at that recall or a higher one.
#
# The same pass decides which boxes are right. The most confident box chooses first, and takes the object that it overlaps most among those that are still free. This is not quite the matching from above, where the best overlap came first. There, the boxes had no order; here, a less confident box must not change what a more confident one gets.


# %% tags=["from:vlm.metrics.detection.find_right_boxes"]
def find_right_boxes(
    predicted: Sequence[Box], actual: Sequence[Box], min_iou: float
) -> np.ndarray:
    """Match boxes greedily, in order of confidence. Which are right? bool [M]."""
    right, free = np.zeros(len(predicted), dtype=bool), list(actual)
    for index, guess in enumerate(predicted):
        best = max(reversed(free), key=lambda truth: box_iou(guess, truth), default=None)
        if best is not None and box_iou(guess, best) >= min_iou:
            right[index] = True
            free.remove(best)
    return right


# %%
_RECALLS = np.linspace(0, 1, 101)


# %% tags=["from:vlm.metrics.detection.average_precision"]
def average_precision(
    scores: np.ndarray,
    is_right: np.ndarray,
    num_actual: int,
) -> float:
    """The mean precision over 101 recalls: 0, 0.01, ... 1."""
    order = np.argsort(-scores, kind="stable")  # [M]
    num_right = np.cumsum(is_right[order])  # [M], among the first 1, 2, ...
    recall = num_right / num_actual
    precision = num_right / np.arange(1, len(order) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]  # [M]
    # [101], the first index with that recall
    first_with = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.append(best_from_here, 0.0)[first_with].mean())


# %%
# By hand: right, wrong, right, of 2 objects.
# Recall 0.5 is reached with precision 1, recall 1 with 2/3.
# Of the 101 recalls, 51 are at most 0.5, and 50 lie above.
by_hand = (51 * 1 + 50 * 2 / 3) / 101
scores, is_right = np.array([0.9, 0.8, 0.7]), np.array([True, False, True])
assert np.isclose(average_precision(scores, is_right, 2), by_hand)
print(round(by_hand, 3))

# %% [markdown]
# Here is the curve for the hard scenes, at two IoU thresholds (all labels in one list, to have one curve). Where it ends, no score can help: boxes that the model never wrote cannot be ranked. A conventional detector proposes many boxes for each image (COCO counts up to a hundred) and lets the score sort them. PaliGemma stops at the boxes it believes in, so its curves end early.

# %% mystnb={"image": {"alt": "Two precision-recall curves with teeth and, dashed, their upper envelopes. IoU 0.5: near 1 until recall 0.9, where it ends. IoU 0.9: below 0.5 from the start, about 0.3 for most of its length, ending at recall 0.2."}, "figure": {"caption": "At IoU 0.5 precision is high and the curve ends early; at IoU 0.9 it is low from the start, since the most confident boxes are not the tightest. Precision over recall on the hard scenes. The dashed steps are the envelope, whose mean height is the average precision; beyond the last recall it is 0.", "name": "fig-ch17-curve"}} tags=["hide-input"]


def pooled(min_iou: float) -> tuple[np.ndarray, np.ndarray, int]:
    """All boxes of the hard scenes as one list: scores, which are right, number of objects."""
    scores, rights = [], []
    for detections, sure, truths in zip(hard_found, hard_scores, hard_truths, strict=True):
        for label in {detection.label for detection in detections}:
            ranked = sorted(
                ((s, d.box) for d, s in zip(detections, sure) if d.label == label), reverse=True
            )
            boxes = [truth.box for truth in truths if truth.label == label]
            scores += [score for score, _ in ranked]
            rights += find_right_boxes([box for _, box in ranked], boxes, min_iou).tolist()
    return np.array(scores), np.array(rights), sum(len(truths) for truths in hard_truths)


fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for min_iou, color in ((0.5, "#0072B2"), (0.9, "#D55E00")):
    scores, rights, num_actual = pooled(min_iou)
    num_right = np.cumsum(rights[np.argsort(-scores)])
    recall, precision = num_right / num_actual, num_right / np.arange(1, len(scores) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    value = average_precision(scores, rights, num_actual)
    ax.plot(recall, precision, color=color, linewidth=1, label=f"IoU {min_iou}: AP {value:.2f}")
    ax.plot(recall, envelope, color=color, linestyle="--", drawstyle="steps-pre")
ax.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.03))
ax.legend(loc="lower left")
plt.show()

# %% [markdown]
# COCO's metric, the mean average precision or mAP {cite}`lin2014microsoft`, is the mean of the average precision over all labels and ten IoU thresholds, 0.5, 0.55, ... 0.95. It rewards tight boxes. `vlm/metrics/detection.py` computes it, and a test compares it with COCO's official code, `pycocotools`, on random boxes: the difference is below 10⁻⁹.

# %% tags=["nbval-ignore-output"]
test_scores = scores_of(test_scenes, test_prompts, test_answers)
test_found = [parse_detections(text, 112, 112) for text in test_answers]
for name, data in (
    ("test", (test_found, test_scores, test_truths)),
    ("hard", (hard_found, hard_scores, hard_truths)),
):
    at = {m: mean_average_precision(*data, min_ious=[m]) for m in (0.5, 0.75)}
    print(
        f"{name}: mAP {mean_average_precision(*data):.2f}, "
        f"at 0.5 {at[0.5]:.2f}, at 0.75 {at[0.75]:.2f}"
    )
without = [[1.0] * len(scores) for scores in hard_scores]
value = mean_average_precision(hard_found, without, hard_truths)
print(f"hard, without confidences: mAP {value:.2f}")

# %% [markdown]
# Without confidences, all boxes rank equally and stay in the order of the images. The difference is what the confidences are worth. It is small, since most boxes are right anyway, and a confident box is not always a tight one.
#
# For comparison: PaliGemma, fine-tuned on COCO, reaches a mAP of 0.287 at 224 pixels, 0.370 at 448 and 0.411 at 896, and PaliGemma 2 3B 0.304, 0.385 and 0.423 {cite}`steiner2024paligemma`. A photograph with thirty people in it is harder than a scene with six toys. And resolution helps, as the figure with the shifted boxes shows: an object 8 pixels wide at 224 is 32 pixels wide at 896.
#
# ## Error analysis: look at the failures
#
# Numbers tell you how many boxes are wrong; only the images tell you how. Sort each wrong box by the first of these that fits: *double* (the object it fits already has a box); *loose* (the best IoU with an object of its label is between 0.1 and 0.5); *wrong name* (it fits another of the objects that were asked for); *invented* (none of these). An object without a box is *missed*.


# %% tags=["nbval-ignore-output"]
def sort_failures(detections: list[Detection], truths: list[Detection]) -> Counter:
    """How many failures of each kind an answer has."""
    kinds, taken = Counter(), set()
    for one in detections:
        ious = [(box_iou(one.box, t.box), j) for j, t in enumerate(truths)]
        same = [(iou, j) for iou, j in ious if truths[j].label == one.label]
        others = [iou for iou, j in ious if truths[j].label != one.label]
        iou, index = max(same, default=(0.0, -1))
        if iou >= 0.5 and index not in taken:
            taken.add(index)
        elif iou >= 0.5:
            kinds["double"] += 1
        elif iou >= 0.1:
            kinds["loose"] += 1
        elif max(others, default=0.0) >= 0.5:
            kinds["wrong name"] += 1
        else:
            kinds["invented"] += 1
    kinds["missed"] = len(truths) - len(taken)
    return kinds


# %% tags=["nbval-ignore-output"]
failures = {}
for name, found_in, truths_in in (
    ("test", test_found, test_truths),
    ("hard", hard_found, hard_truths),
):
    per_image = [sort_failures(f, t) for f, t in zip(found_in, truths_in, strict=True)]
    failures[name] = per_image
    total = sum(per_image, Counter())
    num_objects = sum(map(len, truths_in))
    print(f"{name}: {dict(sorted(total.items()))}, of {num_objects} objects")

# %% mystnb={"image": {"alt": "Six hard scenes in two rows, each with the model's boxes in color and the true boxes as white dashed lines: two frogs, both boxed, one of them called turtle; a house boxed twice, a rocket and an apple without a box; a flower boxed twice and two birds with one box; three pizzas, one with two boxes and one with none; two cars, the small one with a box below it; two buses and a boat, the boat without a box. The title of each gives its prompt and what went wrong."}, "figure": {"caption": "The first six hard scenes with a failure. Look for what the missed objects have in common before you read on. Colored: the model's boxes. Dashed: the objects that were asked for.", "name": "fig-ch17-failures"}} tags=["hide-input"]
fig, axes = plt.subplots(2, 3, figsize=(8.6, 6.4), layout="constrained")
worst = [i for i, kinds in enumerate(failures["hard"]) if sum(kinds.values())][:6]
for ax, index in zip(axes.flat, worst):
    kinds = ", ".join(f"{n} {kind}" for kind, n in failures["hard"][index].items() if n)
    prompt = hard_prompts[index]
    draw_detections(hard_scenes[index].image, hard_found[index], ax, f"{prompt}\n{kinds}")
    ax.title.set_fontsize(9)
    named = set()
    for chip in list(ax.texts):  # one name tag for each label: more would overlap
        if chip.get_text() in named:
            chip.remove()
        named.add(chip.get_text())
    for truth in hard_truths[index]:
        y_min, x_min, y_max, x_max = truth.box
        corners = ([x_min, x_max, x_max, x_min, x_min], [y_min, y_min, y_max, y_max, y_min])
        ax.plot(*corners, color="black", linewidth=2.2)
        ax.plot(*corners, color="white", linestyle="--", linewidth=1.2)
plt.show()

# %% [markdown]
# On scenes like those it was trained on, 10 of 326 objects are missed, and nothing is invented. On the hard ones it is one in ten, and the figure shows which: objects that touch or hide each other (the pizzas, the boat in front of the bus), and a small object beside a large one of its kind (the car, whose box has slipped off and counts as *invented*). Where the model boxes the same object twice, it has lost count: while it writes the third box, it has to keep track of which two it has already written. That is the price of a detector that writes text.
#
# The figure below asks the same model for boxes while you move toys. Two toys of the same kind are the hard case. What will happen to the two boxes when you push one cat over the other: will one disappear, or will one box grow around both? How much of a cat has to be hidden until the model misses it?
#
# <div class="live-figure" data-figure="playground" data-scene="sand.8_cat.74.80.44.0_cat.40.30.44.0.m" data-prompt="detect cat" data-tasks="detect count">
# <p>This figure needs JavaScript. The cells of this chapter ask the same model the same questions. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show(
    "playground",
    scene="sand.8_cat.74.80.44.0_cat.40.30.44.0.m",
    prompt="detect cat",
    tasks="detect count",
)

# %% [markdown]
# Push slowly, and read the probabilities as well. At the first token of the second box the model decides whether there is a second cat at all: the alternative is `<eos>`, or the end of the first box. Ask `answer en how many cats are there?` at the same positions. The two answers need not agree: nothing in the model makes the number it says equal to the number of boxes it draws.
#
# ## What the real model does
#
# The tokens are the same, `<loc0000>` to `<loc1023>`, y first. big_vision decodes them with 1,023 steps in its evaluators; the demonstration space on the Hugging Face hub with 1,024. The published *pt* models know `detect` from pretraining on boxes that other detectors predicted, and are meant to be fine-tuned; *mix* models answer at once. Google's PaliGemma was trained with one-hot targets, not with our soft ones, so a bin of which it is certain can have a probability near 1.

# %% [markdown]
# ## Exercises
#
# Open `exercises/ch17_boxes.py`, write what is missing, and grade it, below or in a terminal:
#
# ```text
# pytest exercises/test_ch17_boxes.py
# ```
#
# ### `write_box` (1 point, 5 minutes)
#
# ```{literalinclude} ../exercises/ch17_boxes.py
# :pyobject: write_box
# ```
#
# ```{admonition} Hint
# :class: dropdown
# `f"{number:04d}"` writes four digits with leading zeros. Which two of the four numbers are fractions of the height?
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch17_boxes.py
# :pyobject: write_box
# ```
# ````
#
# ### `read_answer` (3 points, 20 minutes)
#
# ```{literalinclude} ../exercises/ch17_boxes.py
# :pyobject: read_answer
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# First split the text into items: a run of location tokens, as long as it goes, and the name after it. Only then check whether the run is a box.
# ```
# ```{admonition} Hint 2: which functions
# :class: dropdown
# `re.findall(r"((?:<loc\d*>)+)([^;<>]*)", text)` gives pairs of a run and a name. Within a run, `re.findall(r"<loc(\d*)>", run)` gives the digits as text: how many are there, and how long is each?
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch17_boxes.py
# :pyobject: read_answer
# ```
# ````
#
# ### `iou_matrix` (2 points, 15 minutes)
#
# ```{literalinclude} ../exercises/ch17_boxes.py
# :pyobject: iou_matrix
# ```
#
# ```{admonition} Hint 1: shapes
# :class: dropdown
# `boxes[:, None]` is [M, 1, 4] and `others[None]` is [1, J, 4]. `torch.maximum` of the two is [M, J, 4].
# ```
# ```{admonition} Hint 2: empty boxes
# :class: dropdown
# Clip each side at 0, then multiply. `torch.where(shared > 0, shared / union, 0.0)` discards the result of 0 / 0.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch17_boxes.py
# :pyobject: iou_matrix
# ```
# ````
#
# ### `match_by_confidence` (2 points, 15 minutes)
#
# ```{literalinclude} ../exercises/ch17_boxes.py
# :pyobject: match_by_confidence
# ```
#
# ```{admonition} Hint
# :class: dropdown
# Work on a copy of the IoU matrix. When an object is taken, write -1 into its column, so that it is never chosen again.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch17_boxes.py
# :pyobject: match_by_confidence
# ```
# ````
#
# ### `average_precision` (2 points, 15 minutes)
#
# ```{literalinclude} ../exercises/ch17_boxes.py
# :pyobject: average_precision
# ```
#
# ```{admonition} Hint
# :class: dropdown
# For each of the 101 recalls, find all positions in the list at which at least that recall is reached, and take the best precision among them.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch17_boxes.py
# :pyobject: average_precision
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch17_boxes")

# %% [markdown]
# ## Summary
#
# A box is four location tokens, y first: bins on rulers with 1,023 steps. Parse an answer item by item, so that a broken item costs only itself. IoU divides the area that two boxes share by the area that they cover together, with each side clipped at 0. Each box and each object is matched at most once: precision says how far you can trust a box, recall how many objects are found. A model that writes text gives no confidences, but one more forward pass yields its probabilities; with them its boxes can be ranked, and average precision measures the ranking. And look at the failures: here they are objects that touch, and objects boxed twice.
#
# A box says where. The next chapter says which pixels, in sixteen more tokens.
