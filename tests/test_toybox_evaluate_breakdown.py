"""Recall and precision by group: toys fall into the right group, and so do boxes."""

import numpy as np
import pytest
from checkpoints import save_random_checkpoint
from truths import make_scene, true_answer

from toybox.breakdown import (
    GROUPINGS,
    NOWHERE,
    break_down,
    find_toy,
    format_breakdown,
    how_cut,
    how_hidden,
    main,
    number_of_toys,
    size_of_toy,
)
from toybox.questions import Question, make_questions
from toybox.scenes import draw_scene
from toybox.scoring import score_detections
from vlm.metrics.detection import DetectionCounts
from vlm.regions.boxes import Detection, format_detections


def written(*detections: Detection) -> str:
    return format_detections(detections, 112, 112)


@pytest.mark.parametrize(
    ("side", "group"),
    [(14, "0 to 17 px"), (17, "0 to 17 px"), (18, "18 to 25 px"), (26, "26 to 39 px"), (59, "40 to 59 px")],
)
def test_the_size_is_the_longer_side(side, group):
    scene = make_scene(("cat", (0, 10, side, 12)), ("cat", (100, 10, 102, 10 + side)))
    assert size_of_toy(scene, 0) == size_of_toy(scene, 1) == group


def test_the_largest_toys_are_a_group():
    scene = make_scene(("cat", (0, 0, 60, 60)), ("dog", (0, 0, 112, 112)))
    assert size_of_toy(scene, 0) == size_of_toy(scene, 1) == "60 px and more"


def test_the_number_is_that_of_the_whole_scene():
    scene = make_scene(("cat", (0, 0, 20, 20)), ("dog", (30, 0, 50, 20)))
    assert number_of_toys(scene, 0) == number_of_toys(scene, 1) == "2"


def test_only_what_was_put_down_later_hides_a_toy():
    scene = make_scene(
        ("cat", (20, 20, 50, 50)),  # the dog covers its lower half
        ("dog", (35, 15, 70, 55)),
        ("bird", (60, 51, 80, 70)),  # on a corner of the dog
        ("fish", (90, 0, 110, 20)),
    )
    groups = [how_hidden(scene, index) for index in range(4)]
    assert groups == ["under another", "touched by another", "free", "free"]


def test_toys_that_scenes_hide_are_found():
    """Of two toys a scene may hide the first behind the second: then they lie on one another, else seldom."""
    groups = [how_hidden(scene, 0) for scene in map(draw_scene, range(300)) if len(scene.objects) == 2]
    assert 0.05 < np.mean([group == "under another" for group in groups]) < 0.4
    assert np.mean([group == "free" for group in groups]) > 0.4


@pytest.mark.parametrize(
    ("box", "group"),
    [
        ((0, 5, 20, 20), "at the edge"),
        ((5, 0, 20, 20), "at the edge"),
        ((92, 5, 112, 20), "at the edge"),
        ((5, 92, 20, 112), "at the edge"),
        ((1, 1, 111, 111), "inside"),
    ],
)
def test_a_toy_at_the_edge_counts_as_cut_off(box, group):
    assert how_cut(make_scene(("cat", box)), 0) == group


def test_a_box_belongs_to_the_toy_that_it_overlaps_most():
    scene = make_scene(("cat", (0, 0, 40, 40)), ("dog", (0, 50, 40, 90)))
    assert find_toy(scene, (0, 20, 40, 56)) == 0
    assert find_toy(scene, (0, 36, 40, 80)) == 1
    assert find_toy(scene, (60, 0, 80, 20)) is None
    assert find_toy(make_scene(), (60, 0, 80, 20)) is None


def test_counts_by_hand():
    scene = make_scene(("cat", (0, 0, 20, 20)), ("cat", (30, 0, 80, 50)), ("dog", (0, 60, 50, 110)))
    answer = written(
        Detection("cat", (0, 0, 20, 20)),  # right, small
        Detection("cat", (30, 0, 80, 50)),  # right, large
        Detection("cat", (0, 60, 50, 110)),  # a dog: wrong, on a large toy
        Detection("cat", (90, 90, 100, 100)),  # wrong, on no toy
    )
    counts = break_down([Question(scene, "detect cat")] * 2, [answer, ""], size_of_toy)
    found = {group: (here.actual, here.predicted, len(here.ious)) for group, here in counts.items()}
    assert list(found) == ["18 to 25 px", "40 to 59 px", NOWHERE]
    assert found == {"18 to 25 px": (2, 1, 1), "40 to 59 px": (2, 2, 1), NOWHERE: (0, 1, 0)}


@pytest.mark.parametrize("title", GROUPINGS)
def test_all_groups_together_are_the_whole(title):
    asked = make_questions([draw_scene(seed, "test") for seed in range(40)])["detect"]
    answers = [true_answer(question) for question in asked]
    answers[::3] = answers[1::3] + [""]  # some are wrong
    counts = sum(break_down(asked, answers, GROUPINGS[title]).values(), DetectionCounts())
    whole = score_detections(asked, answers)
    assert 0 < whole["precision"] < 1 and 0 < whole["recall"] < 1
    assert (round(counts.precision, 4), round(counts.recall, 4)) == (whole["precision"], whole["recall"])


def test_the_table_leaves_out_what_there_is_not():
    counts = {
        "26 to 39 px": DetectionCounts(predicted=1000, actual=2000, ious=(0.8,) * 900),
        NOWHERE: DetectionCounts(predicted=3),
        "unseen": DetectionCounts(actual=4),
    }
    assert format_breakdown("size", counts).splitlines() == [
        "| size | toys | recall | boxes | precision | mean IoU |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| 26 to 39 px | 2,000 | 0.450 | 1,000 | 0.900 | 0.800 |",
        "| on no toy | 0 |  | 3 | 0.000 |  |",
        "| unseen | 4 | 0.000 | 0 |  |  |",
    ]


def test_the_program_prints_all_tables(tmp_path, capsys):
    words = ["--model", str(save_random_checkpoint(tmp_path)), "--scenes", "3", "--device", "cpu", "--split", "hard"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("detect, 3 scenes of the hard split\n")
    assert [line.split(" | ")[0] for line in printed.splitlines() if "mean IoU" in line] == [
        f"| {t}" for t in GROUPINGS
    ]
    assert main(["--scenes", "0"]) == 1
    assert capsys.readouterr().err == "toybox.breakdown: --scenes is 0: expected at least 1\n"
