"""Checks of exercises/ch17_boxes.py: test cases for each exercise. The solutions define what is right."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from grader import Case, Exercise, Random


def boxes_to_write(random: Random) -> Iterator[Case]:
    for height, width in ((112, 112), (480, 640), (900, 300), (224, 224)):
        y, x = sorted(random.uniform(2).tolist()), sorted(random.uniform(2).tolist())
        yield {"box": [y[0] * height, x[0] * width, y[1] * height, x[1] * width], "height": height, "width": width}
    yield {"box": [0, 0, 333, 777], "height": 333, "width": 777}  # all four edges of the image
    yield {"box": [-4.0, 20.5, 90.0, 260.0], "height": 80, "width": 250}  # beyond them
    # Coordinates for which 1,023 steps, 1,024 steps and rounding down give different bins.
    bins = (random.integers(520, 1000, 4) + 0.1).tolist()
    yield {"box": [bin * 1000 / 1023 for bin in bins], "height": 1000, "width": 1000}
    small = (random.integers(3, 99, 4) + 0.7).tolist()  # needs leading zeros, and rounding up
    yield {"box": [bin * 1000 / 1023 for bin in small], "height": 1000, "width": 1000}


def run_of(random: Random, length: int = 4) -> str:
    """A run of location tokens; the first four are a box that is not empty."""
    low, high = random.integers(0, 500, 2).tolist(), random.integers(510, 1024, 2).tolist()
    return "".join(f"<loc{bin:04d}>" for bin in [*low, *high, *random.integers(0, 1024, 4).tolist()][:length])


def streams(random: Random) -> Iterator[Case]:
    def case(text: str) -> Case:
        height, width = random.choice([(112, 112), (480, 640), (300, 90)])
        return {"text": text, "height": height, "width": width}

    def good() -> str:
        return run_of(random)

    yield case(f"{good()} cat ; {good()} dog ; {good()} cat")
    yield case("a cat on grass")
    yield case("")
    for broken in (
        run_of(random, 3),
        run_of(random, 5),
        run_of(random, 8),
        run_of(random, 3) + "<loc1024>",
        run_of(random, 3) + f"<loc{random.integer(1025, 9999)}>",
        run_of(random, 4) + "<loc1024>",
        run_of(random, 4) + "<loc999>",
        "<loc12345>" + run_of(random, 4),
        run_of(random, 3) + "<loc999>",
        run_of(random, 3) + "<loc01000>",
        "<loc0700><loc0100><loc0200><loc0900>",
        "<loc0100><loc0900><loc0200><loc0300>",
        "<loc0100><loc0200><loc0300><loc0200>",
        "<loc0100><loc0200><loc0100><loc0300>",
    ):
        yield case(f"{broken} cat ; {good()} dog")
        yield case(f"{good()} fire truck ; {broken} cat ; {good()} bus")
    yield case(f"{good()} cat ; {run_of(random, 2)}")  # cut off
    yield case(f"{good()}cat;{good()}dog")  # without spaces
    yield case(f"{good()}; {good()} dog")  # without a name
    yield case(f"{good()}")
    yield case("<loc0000><loc0000><loc0500><loc0500> cat")  # at two edges of the image
    yield case("<loc0500><loc0500><loc1023><loc1023> cat")  # and at the other two
    yield case(f"{good()} T-rex no. 2 ; {good()} Ball_3")
    yield case(f"I see {good()} cat ; and a dog ; {good()} bus")
    yield case(f"{good()} cat {good()} dog")  # the ";" is missing


def pairs_of_boxes(random: Random) -> Iterator[Case]:
    def some(number: int) -> Tensor:
        corners = random.uniform(number, 2, high=60)
        return torch.cat([corners, corners + random.uniform(number, 2, low=5, high=40)], dim=-1)

    yield {"boxes": some(3), "others": some(5)}
    yield {"boxes": some(4), "others": some(1)}
    same = some(3)
    yield {"boxes": same, "others": same.clone()}
    # Far apart in both directions: the product of two negative sides is positive.
    yield {"boxes": some(2), "others": some(2) + 200}
    yield {"boxes": some(2), "others": some(2) + torch.tensor([0.0, 200, 0, 200])}
    empty = some(3)
    empty[:, 2] = empty[:, 0]
    swapped = some(2)[:, [2, 3, 0, 1]]  # both sides negative: their product is positive
    yield {"boxes": torch.cat([empty, some(2), swapped]), "others": torch.cat([empty, some(2), swapped])}
    inside = torch.tensor([[0.0, 0, 10, 10], [2, 2, 4, 4]]) + random.integer(0, 9)
    yield {"boxes": inside, "others": inside.clone()}
    yield {"boxes": some(3) / 100, "others": some(3) / 100}  # as fractions of the image's sides
    yield {"boxes": some(2), "others": torch.zeros(0, 4)}


def rankings(random: Random) -> Iterator[Case]:
    def case(ious: Tensor, scores: Tensor, min_iou: float = 0.5) -> Case:
        return {"ious": ious, "scores": scores, "min_iou": min_iou}

    for number, objects in ((5, 3), (4, 6), (8, 4)):
        scores = random.uniform(number, low=0.01)
        yield case(random.uniform(number, objects), scores)
        yield case(random.uniform(number, objects), scores, min_iou=0.75)
    # The last of three boxes on one object is the most confident; a box whose first choice is taken gets its second.
    yield case(torch.tensor([[0.9], [0.8], [0.7]]), torch.tensor([0.2, 0.5, 0.9]))
    yield case(torch.tensor([[0.9, 0.6], [0.8, 0.1], [0.7, 0.65]]), torch.tensor([0.3, 0.9, 0.6]))
    yield case(torch.tensor([[0.6, 0.55], [0.9, 0.2]]), torch.tensor([0.9, 0.4]))
    yield case(torch.tensor([[0.5, 0.25], [0.25, 0.25]]), torch.tensor([0.9, 0.4]))  # exactly min_iou
    yield case(torch.zeros(3, 0), random.uniform(3))
    yield case(torch.zeros(0, 2), torch.zeros(0))


def lists(random: Random) -> Iterator[Case]:
    # A prime number of objects: then 0 and 1 are the only recalls on the grid of hundredths, so rounding cannot matter.
    for number, num_right, num_actual in ((10, 6, 7), (30, 19, 19), (12, 5, 13), (40, 22, 29)):
        order = random.uniform(number).argsort()
        yield {"scores": random.uniform(number), "is_right": order < num_right, "num_actual": num_actual}
    yield {
        "scores": torch.tensor([0.7, 0.9, 0.8]),
        "is_right": torch.tensor([True, True, False]),
        "num_actual": 2,
    }
    yield {"scores": random.uniform(4), "is_right": torch.zeros(4, dtype=torch.bool), "num_actual": 3}
    yield {"scores": torch.zeros(0), "is_right": torch.zeros(0, dtype=torch.bool), "num_actual": 3}


EXERCISES = [
    Exercise(
        "write_box",
        "Writing a box as location tokens",
        boxes_to_write,
        forbidden=("vlm.regions.boxes.location_token", "vlm.regions.boxes.format_detections"),
        section="Location tokens: a ruler with 1,024 marks",
    ),
    Exercise(
        "read_answer",
        "Parsing boxes from an answer",
        streams,
        points=3,
        forbidden=("vlm.regions.boxes.parse_detections", "vlm.regions.boxes._parse_box"),
        section="Parsing boxes from the answer",
    ),
    Exercise(
        "iou_matrix",
        "The IoU matrix",
        pairs_of_boxes,
        points=2,
        forbidden=("vlm.regions.boxes.box_iou",),
        section="IoU: how well do two boxes agree?",
    ),
    Exercise(
        "match_by_confidence",
        "Greedy matching by confidence",
        rankings,
        points=2,
        forbidden=("vlm.metrics.detection.find_right_boxes",),
        section="Average precision: one number for a ranked list",
    ),
    Exercise(
        "average_precision",
        "Average precision",
        lists,
        points=2,
        forbidden=("vlm.metrics.detection.average_precision",),
        section="Average precision: one number for a ranked list",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
