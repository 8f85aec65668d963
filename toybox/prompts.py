"""Questions about a scene and their true answers, in the prompt format of PaliGemma.

    task        prompt                                                suffix (what the model should answer)
    caption     caption en                                            a cat and two dogs on grass
    count       answer en how many cats are there?                    1
    presence    answer en is there an apple?                          no
    where       answer en where is the cat?                           top left
    left        answer en which is further left, the cat or the dog?  cat
    color       answer en what color is the car?                      blue
    detect      detect cat ; dog                                      <loc0100><loc0020><loc0400><loc0300> cat
    refer       detect left cat                                       <loc0100><loc0020><loc0400><loc0300> left cat
    segment     segment cat                   <loc0100><loc0020><loc0400><loc0300><seg012>...<seg101> cat
    ocr         ocr                                                   STOP

"en" in a prompt asks for an answer in English.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from toybox.colors import COLORS, NATURAL_COLORS
from toybox.grounds import BACKGROUNDS
from toybox.scenes import MAX_OBJECTS_HARD, Scene, SceneObject
from toybox.signs import WORDS
from toybox.sprites import LABELS, plural
from toybox.strangers import HEARD
from vlm.regions.boxes import Detection, format_detections

TASKS = ("caption", "count", "presence", "where", "left", "color", "detect", "refer", "segment", "ocr")
ADJECTIVES = ("left", "right", "largest", "smallest")  # "detect left cat"; besides these, colors

_NUMBER_WORDS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight"}
_POSITIONS = (
    ("top left", "top", "top right"),
    ("left", "center", "right"),
    ("bottom left", "bottom", "bottom right"),
)
# Below these limits, two in pixels and one a ratio of areas, the true answer is ambiguous, and we do not ask.
_MIN_FROM_THIRD_LINE = 3
_MIN_APART = 6
_MIN_TIMES_LARGER = 1.3
# How often a question is about a toy that is not there, and how often, if so, about something that is not a toy.
_ABSENT_CHANCE = 0.4
_ABSENT_CHANCE_DETECT = 0.15
ABSENT_CHANCE_SEGMENT = 0.08
_STRANGER_CHANCE = 0.3
_ONLY_ONE_CHANCE = 0.25  # that "left cat" is among the phrases for a scene with a single cat
_NONE_CHANCE = 0.2  # that it is among the phrases for a scene without a cat
_MAX_DETECT_LABELS = 3


@dataclass(frozen=True)
class Example:
    """One training example: `suffix` is the answer to the image and `prompt`. `task` is one of TASKS."""

    task: str
    prompt: str
    suffix: str


def caption(scene: Scene) -> Example:
    """Name everything in the scene: kinds in alphabetical order, then the ground if it has a name.

    "nothing" if there is no toy: "nothing on grass".
    """
    counts = Counter(thing.label for thing in scene.objects)
    phrases = [number_phrase(counts[label], label) for label in sorted(counts)]
    words = [_join_phrases(phrases) if phrases else "nothing"]
    if scene.background is not None:
        words.append(BACKGROUNDS[scene.background])
    return Example("caption", "caption en", " ".join(words))


def count(scene: Scene, label: str) -> Example:
    """How many of a kind there are, in digits; "0" if there are none."""
    return Example("count", f"answer en how many {plural(label)} are there?", str(len(_find(scene, label))))


def presence(scene: Scene, label: str) -> Example:
    """Whether there is at least one of a kind: "yes" or "no"."""
    answer = "yes" if _find(scene, label) else "no"
    return Example("presence", f"answer en is there {number_phrase(1, label)}?", answer)


def where(scene: Scene, label: str) -> Example | None:
    """In which cell of a 3 x 3 grid over the image the center of the only toy of a kind lies.

    None unless there is exactly one, and its center is at least 3 pixels away from the lines of the grid.
    """
    found = _find(scene, label)
    if len(found) != 1:
        return None
    row, column = (_third(at, size) for at, size in zip(found[0].center, scene.owner.shape, strict=True))
    if row is None or column is None:
        return None
    return Example("where", f"answer en where is the {label}?", _POSITIONS[row][column])


def left(scene: Scene, label_a: str, label_b: str) -> Example | None:
    """Which of two toys has its center further left.

    None unless there is exactly one of each kind, and the centers are at least 6 pixels apart in x.
    """
    found_a, found_b = _find(scene, label_a), _find(scene, label_b)
    if len(found_a) != 1 or len(found_b) != 1:
        return None
    x_a, x_b = found_a[0].center[1], found_b[0].center[1]
    if abs(x_a - x_b) < _MIN_APART:
        return None
    prompt = f"answer en which is further left, the {label_a} or the {label_b}?"
    return Example("left", prompt, label_a if x_a < x_b else label_b)


def color(scene: Scene, label: str) -> Example | None:
    """The color of the only toy of a kind; None unless there is exactly one, of a kind that comes in colors."""
    found = _find(scene, label)
    if len(found) != 1 or found[0].color is None:
        return None
    return Example("color", f"answer en what color is the {label}?", found[0].color)


def ocr(scene: Scene) -> Example:
    """The word on the sign; "" if there is no sign."""
    return Example("ocr", "ocr", scene.sign or "")


def detect(scene: Scene, labels: Sequence[str]) -> Example:
    """The boxes of all toys of some kinds, from top to bottom, whatever their kind.

    The top edge is the first number of a box, so it decides the order. If the left edge did, or the order of the
    kinds in the prompt, the model would have to choose a toy by something other than the number that it writes first.
    A kind that is not there adds nothing; if none is there, the suffix is "".

    Raises:
        ValueError: `labels` is empty, or contains a label twice.
    """
    if not labels or len(set(labels)) < len(labels):
        raise ValueError(f"labels are {list(labels)}: name at least one, and none of them twice")
    things = sorted((thing for thing in scene.objects if thing.label in labels), key=lambda thing: thing.box)
    detections = [Detection(thing.label, thing.box) for thing in things]
    height, width = scene.owner.shape
    return Example("detect", f"detect {' ; '.join(labels)}", format_detections(detections, height, width))


def find_referred(scene: Scene, adjective: str, label: str) -> list[int] | None:
    """The toys, by their index in `scene.objects`, that a phrase such as "cat", "left cat" or "blue car" refers to.

    "left", "right", "largest" and "smallest" refer to one at most, and to none if that kind is not there. A color may
    refer to several. None if the true answer is ambiguous: two centers are nearly equally far left, or two boxes
    nearly equally large.

    Args:
        adjective: one of ADJECTIVES, or of COLORS for a kind that comes in colors; "" for all toys of the kind.

    Raises:
        ValueError: there is no such adjective.
    """
    found = [index for index, thing in enumerate(scene.objects) if thing.label == label]
    if not adjective:
        return found
    if adjective in COLORS:
        return [index for index in found if scene.objects[index].color == adjective]
    if adjective not in ADJECTIVES:
        raise ValueError(f"there is no {adjective!r}: choose one of {', '.join((*ADJECTIVES, *COLORS))}")
    if len(found) < 2:
        return found
    by_position = adjective in ("left", "right")
    measures = {index: scene.objects[index].center[1] if by_position else scene.objects[index].area for index in found}
    ordered = sorted(found, key=measures.get, reverse=adjective in ("right", "largest"))
    smaller, larger = sorted(measures[index] for index in ordered[:2])
    is_clear = larger - smaller >= _MIN_APART if by_position else larger >= _MIN_TIMES_LARGER * smaller
    return ordered[:1] if is_clear else None


def refer(scene: Scene, adjective: str, label: str) -> Example | None:
    """The boxes of what a phrase refers to, from top to bottom; None if `find_referred` returns None."""
    found = find_referred(scene, adjective, label)
    if found is None:
        return None
    phrase, (height, width) = f"{adjective} {label}", scene.owner.shape
    boxes = sorted(scene.objects[index].box for index in found)
    detections = [Detection(phrase, box) for box in boxes]
    return Example("refer", f"detect {phrase}", format_detections(detections, height, width))


def segment(scene: Scene, label: str, mask_codes: Mapping[int, tuple[int, ...]], adjective: str = "") -> Example:
    """Box and mask of each toy of a kind, from top to bottom; "" if there is none.

    Args:
        mask_codes: the codes of the toys' masks, by their index in `scene.objects`; those of other toys are ignored.
        adjective: for phrases such as "left cat" or "blue car", which must not be ambiguous (`find_referred`).
    """
    phrase = f"{adjective} {label}" if adjective else label
    indices = find_referred(scene, adjective, label)
    found = [Detection(phrase, scene.objects[index].box, mask_codes[index]) for index in indices]
    height, width = scene.owner.shape
    suffix = format_detections(sorted(found, key=lambda detection: detection.box), height, width)
    return Example("segment", f"segment {phrase}", suffix)


def sample_example(scene: Scene, rng: np.random.Generator, task: str) -> Example:
    """Draw an example of a task, with labels that suit the scene.

    If the scene has no clear answer ("where" needs a single toy, "ocr" a sign), the example is a "count" or "presence"
    instead, and its `task` says so. For "segment", whose answer needs codes, use `sample_segment_phrase`.

    Raises:
        ValueError: there is no such task.
    """
    example = _sample_if_possible(scene, rng, task)
    if example is not None:
        return example
    return sample_example(scene, rng, "count" if rng.integers(2) else "presence")


def sample_segment_phrase(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    """An adjective ("" most of the time) and a label, for a toy that is there or, now and then, for one that is not."""
    if not scene.objects or rng.random() < ABSENT_CHANCE_SEGMENT:
        return "", draw_absent_label(scene, rng)
    if rng.random() < 0.2:
        phrases = _referring_phrases(scene, rng)
        if phrases:
            return phrases[rng.integers(len(phrases))]
    return "", str(rng.choice(_present_labels(scene)))


def draw_absent_label(scene: Scene, rng: np.random.Generator) -> str:
    """The label of a random kind that is not there, or the name of something that is not a toy."""
    if rng.random() < _STRANGER_CHANCE:
        return str(rng.choice(HEARD))
    return str(rng.choice(_absent_labels(scene)))


def all_examples(scene: Scene, rng: np.random.Generator) -> list[Example]:
    """One example of each task that the scene allows, in the order of TASKS, without "segment"."""
    examples = (_sample_if_possible(scene, rng, task) for task in TASKS if task != "segment")
    return [example for example in examples if example is not None]


def all_prompt_texts() -> Iterator[str]:
    """Texts that together contain every word of every prompt and suffix, for the tokenizer to learn.

    Each question appears with each label; captions and detections appear only as examples, since they repeat the same
    words.
    """
    yield "caption en"
    yield from ("yes", "no", "ocr", "nothing", *WORDS, *COLORS)
    yield from (str(number) for number in range(MAX_OBJECTS_HARD + 1))
    yield from (position for row in _POSITIONS for position in row)
    for label in LABELS:
        yield label  # the answer to "which is further left"
        yield f"answer en how many {plural(label)} are there?"
        yield f"answer en is there {number_phrase(1, label)}?"
        yield f"answer en where is the {label}?"
        yield f"answer en what color is the {label}?"
        yield f"segment {label}"
        yield f"detect {label} ; {label}"  # also what remains of a suffix when its <loc....> are taken out
        yield from (f"detect {adjective} {label}" for adjective in (*ADJECTIVES, *COLORS))
        for number in range(1, MAX_OBJECTS_HARD + 1):
            phrase = number_phrase(number, label)
            for background in BACKGROUNDS.values():
                yield f"{_join_phrases([phrase] * 3)} {background}"
    yield from (f"nothing {background}" for background in BACKGROUNDS.values())
    for label_a, label_b in permutations(LABELS, 2):
        yield f"answer en which is further left, the {label_a} or the {label_b}?"


def _sample_if_possible(scene: Scene, rng: np.random.Generator, task: str) -> Example | None:
    if task == "caption":
        return caption(scene)
    if task == "count":
        return count(scene, _draw_label(scene, rng))
    if task == "presence":
        return presence(scene, _draw_label(scene, rng))
    if task == "where":
        return _draw_example([where(scene, label) for label in _present_labels(scene)], rng)
    if task == "left":
        return _draw_example([left(scene, a, b) for a, b in permutations(_present_labels(scene), 2)], rng)
    if task == "color":
        return _draw_example([color(scene, label) for label in _present_labels(scene)], rng)
    if task == "detect":
        return detect(scene, _draw_detect_labels(scene, rng))
    if task == "refer":
        phrases = _referring_phrases(scene, rng)
        return refer(scene, *phrases[rng.integers(len(phrases))]) if phrases else None
    if task == "ocr":
        return ocr(scene) if scene.sign else None
    raise ValueError(f"there is no task {task!r}: choose one of {', '.join(TASKS)}")


def _referring_phrases(scene: Scene, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Adjective and label of each unambiguous phrase: for kinds with several toys, and for colors that are there.

    For each kind that comes in colors there is one more phrase, with a color that is not there: its answer is "".
    Now and then there is a phrase about the only toy of a kind ("left cat" is then the cat), or about a kind that is
    not there.
    """
    phrases = []
    if rng.random() < _NONE_CHANCE:
        phrases.append((str(rng.choice(ADJECTIVES)), draw_absent_label(scene, rng)))
    for label in _present_labels(scene):
        found = _find(scene, label)
        if len(found) > 1:
            phrases += [(word, label) for word in ADJECTIVES if find_referred(scene, word, label) is not None]
        elif rng.random() < _ONLY_ONE_CHANCE:
            phrases.append((str(rng.choice(ADJECTIVES)), label))
        if label in NATURAL_COLORS:
            there = {thing.color for thing in found}
            phrases += [(name, label) for name in sorted(there)]
            absent = sorted(set(COLORS) - there)
            if absent:
                phrases.append((str(rng.choice(absent)), label))
    return phrases


def _draw_label(scene: Scene, rng: np.random.Generator) -> str:
    """Now and then an absent label, else that of a random toy, so frequent kinds are asked about more often."""
    if not scene.objects or rng.random() < _ABSENT_CHANCE:
        return draw_absent_label(scene, rng)
    return scene.objects[rng.integers(len(scene.objects))].label


def _draw_example(candidates: list[Example | None], rng: np.random.Generator) -> Example | None:
    possible = [example for example in candidates if example is not None]
    return possible[rng.integers(len(possible))] if possible else None


def _draw_detect_labels(scene: Scene, rng: np.random.Generator) -> list[str]:
    """One to three labels in random order, most of them present."""
    number = int(rng.integers(1, _MAX_DETECT_LABELS + 1))
    num_absent = int(rng.binomial(number, _ABSENT_CHANCE_DETECT))
    present = rng.permutation(_present_labels(scene))[: number - num_absent].tolist()
    if not present:
        num_absent = max(num_absent, 1)
    absent: list[str] = []
    while len(absent) < num_absent:
        label = draw_absent_label(scene, rng)
        if label not in absent:
            absent.append(label)
    return [str(label) for label in rng.permutation([*present, *absent])]


def _present_labels(scene: Scene) -> list[str]:
    return sorted({thing.label for thing in scene.objects})


def _absent_labels(scene: Scene) -> list[str]:
    return sorted(set(LABELS) - {thing.label for thing in scene.objects})


def _find(scene: Scene, label: str) -> list[SceneObject]:
    return [thing for thing in scene.objects if thing.label == label]


def _third(at: float, size: int) -> int | None:
    """Which third of `size` pixels the coordinate `at` is in: 0, 1 or 2, or None if it is too close to a line."""
    if min(abs(at - size / 3), abs(at - size * 2 / 3)) < _MIN_FROM_THIRD_LINE:
        return None
    return int(3 * at / size)


def number_phrase(number: int, label: str) -> str:
    """ "an apple", "a cat", "two cats"."""
    if number == 1:
        return f"{'an' if label[0] in 'aeiou' else 'a'} {label}"
    return f"{_NUMBER_WORDS[number]} {plural(label)}"


def _join_phrases(phrases: list[str]) -> str:
    """ "a cat"; "a cat and a dog"; "a cat, a dog and a fish"."""
    *others, last = phrases
    return f"{', '.join(others)} and {last}" if others else last
