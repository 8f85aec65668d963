"""Wide cases for chapter 20, evaluation."""

from collections.abc import Iterator

import torch
from torch import Tensor

from grader.exercise import Case, Random
from tools.holes.wide import Wide

ANSWERS = [
    *(
        "",
        " ",
        "A",
        "an",
        "THE",
        "a.",
        "the-the",
        "theatre an antelope",
        "one two three four five six seven eight nine ten",
    ),
    *("zero", "Zero.", "ONE,TWO", "eleven", "tens", "someone", "1,2", "1,a", "a,1", ",1", "1,", "1,,2", "1, 2", "1 ,2"),
    *("1.5", ".5", "5.", "1..5", "1.a", "a.1", "1.2.3", "1,234,567", "1,234.5", "-5", "+5", "5%", "$5", "5:30", "5/6"),
    *(
        "it's",
        "'",
        "a'b'c",
        "dogs'",
        "_",
        "a_b",
        "__init__",
        "x-y_z",
        "é",
        "Ünïcode",
        "Straße",
        "日本語",
        "١٢",
        "½",
        "²",
    ),
    *(
        "tab\tand\nnewline",
        "  double  spaces ",
        "no-break\u00a0space",
        "emoji 🙂 cat",
        "semi;colon:dot...",
        "a-an-the",
        "(a)",
    ),
    *(
        "The.End",
        "U.S.A.",
        "3.14.",
        "..3",
        "1,000,",
        "two,three",
        "cat(s)",
        "[x]{y}",
        "a\\b",
        "q?w!",
        "“quoted”",
        "–dash—",
    ),
]


def texts(random: Random) -> Iterator[Case]:
    for answer in ANSWERS:
        yield {"answer": answer}
        yield {"answer": f"{answer} {random.choice(ANSWERS)}".upper()}


def panels(random: Random) -> Iterator[Case]:
    for people in (2, 3, 4, 7, 10, 25):
        for agreeing in {0, 1, 2, 3, 4, people - 1, people} & set(range(people + 1)):
            answers = ["x"] * agreeing + ["y"] * (people - agreeing)
            for answer in ("x", "y", "z", "", "X", "x "):
                yield {"answer": answer, "human_answers": answers}
    yield {"answer": "", "human_answers": ["", "a", ""]}
    yield {"answer": "a", "human_answers": ["a b", "ab", "a", "A"]}


def tables(random: Random) -> Iterator[Case]:
    for rows in (
        [[0, 0, 0]],
        [[0, 0, 0], [0, 0, 0]],
        [[1, 1, 1]],
        [[0, 1, 0]],
        [[0, 0, 1]],
        [[5, 5, 9], [0, 7, 0], [1, 1, 1]],
        [[0, 3, 0], [2, 2, 2]],
        [[100000, 200000, 300000]] * 3,
    ):
        yield {"counts": torch.tensor(rows)}
    yield {"counts": torch.zeros(0, 3, dtype=torch.int64)}


def samples(random: Random) -> Iterator[Case]:
    for pictures, columns, draws in [(1, 1, 1), (2, 1, 3), (5, 4, 2), (9, 2, 200)]:
        for confidence in (0.0, 0.5, 0.9, 0.99, 1.0):
            yield {
                "rows": random.normal(pictures, columns),
                "picks": random.integers(0, pictures, draws, pictures),
                "confidence": confidence,
            }


def call_interval(submission, case: Case) -> list:
    """Statistics that feel the order, one row twice, and a sign."""
    statistics = [
        lambda rows: float(rows[0, 0] - 2 * rows[-1, -1]),
        lambda rows: -float(rows.square().sum()),
        lambda rows: float(len(rows.unique(dim=0))),
    ]
    return [submission.interval(case["rows"], case["picks"], one, case["confidence"]) for one in statistics]


def pairs(random: Random) -> Iterator[Case]:
    for pictures, draws in [(1, 1), (2, 5), (30, 2), (8, 300)]:
        for confidence in (0.0, 0.6, 0.95, 1.0):
            picks: Tensor = random.integers(0, pictures, draws, pictures)
            results, others = random.normal(2, pictures, scale=10.0)
            yield {"results": results, "other_results": others, "picks": picks, "confidence": confidence}
            yield {"results": results, "other_results": results, "picks": picks, "confidence": confidence}


def sure_answers(random: Random) -> Iterator[Case]:
    for answers, num_bins in [(1, 1), (1, 10), (7, 1), (50, 2), (200, 64), (3, 8)]:
        confidences = random.integers(0, num_bins * 4 + 1, answers) / (num_bins * 4)  # many at a border
        if num_bins & (num_bins - 1):
            confidences = (random.integers(0, num_bins, answers) + 0.5) / num_bins  # where borders are not exact
        for is_right in (random.uniform(answers) < 0.5, torch.ones(answers).bool(), torch.zeros(answers).bool()):
            yield {"confidences": confidences, "is_right": is_right, "num_bins": num_bins}
    for confidence in (0.0, 1.0):
        yield {"confidences": torch.full((4,), confidence), "is_right": torch.arange(4) < 1, "num_bins": 16}


WIDE = [
    Wide("normalize", texts),
    Wide("vqa_score", panels),
    Wide("precision_and_recall", tables),
    Wide("interval", samples, {"call": call_interval, "tolerance": 1e-4}),
    Wide("paired_interval", pairs, {"tolerance": 1e-4}),
    Wide("calibration_error", sure_answers),
]
WITHOUT = dict.fromkeys(("interval", "paired_interval", "calibration_error"), ("bfloat16", "float64"))
