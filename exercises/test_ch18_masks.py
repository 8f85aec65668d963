"""Checks of exercises/ch18_masks.py: test cases for each exercise. The solutions define what is right."""

from collections.abc import Iterator

import pytest
import torch

from grader import Case, Exercise, Random


def vectors_and_books(random: Random) -> Iterator[Case]:
    for masks, tokens, width, size in ((2, 4, 3, 6), (3, 16, 8, 20), (1, 5, 4, 2), (1, 1, 2, 1)):
        vectors = random.normal(masks, tokens, width)
        # Long and short codes, so that dot product, cosine similarity and distance disagree.
        yield {"vectors": vectors, "codebook": random.normal(size, width) * random.uniform(size, 1, low=0.2, high=3)}
    yield {"vectors": random.normal(2, 3, 4) + 50, "codebook": random.normal(9, 4) + 50}  # far from 0
    # One large difference against several small ones: squared and absolute differences disagree.
    vectors = random.normal(1, 1, 4)
    yield {"vectors": vectors, "codebook": vectors[0, 0] + torch.tensor([[1.5, 0, 0, 0], [0.6, 0.6, 0.6, 0.6]])}
    yield {"vectors": vectors, "codebook": vectors[0, 0] + torch.tensor([[1.0, 1.0, 0, 0], [1.2, 0, 0, 0]])}


def pairs(random: Random) -> Iterator[Case]:
    for shape in ((2, 3, 4), (1, 16, 8), (5, 2, 1)):
        yield {"vectors": random.normal(*shape), "chosen": random.normal(*shape)}


def call_straight_through(submission, case: Case) -> dict:
    vectors = case["vectors"].clone().requires_grad_()
    chosen = case["chosen"].clone().requires_grad_()
    given = vectors.detach().clone()
    result = submission.straight_through(vectors, chosen)
    if not isinstance(result, torch.Tensor):
        raise TypeError(f"expected a tensor, got a {type(result).__name__}")
    weights = torch.linspace(-1, 2, result.numel()).reshape(result.shape)
    gradients = [None, None]
    if result.requires_grad:
        gradients = torch.autograd.grad((result * weights).sum(), [vectors, chosen], allow_unused=True)
    zeros = torch.zeros_like(weights)
    to_vectors, to_chosen = (zeros if gradient is None else gradient for gradient in gradients)
    return {
        "value": result.detach(),
        "gradient of vectors": to_vectors,
        "gradient of chosen": to_chosen,
        "vectors are unchanged": torch.equal(vectors.detach(), given),
    }


def weighted_pairs(random: Random) -> Iterator[Case]:
    for case in pairs(random):
        yield case | {"commitment": random.choice([0.25, 0.1, 2.0])}


def call_vq_losses(submission, case: Case) -> dict:
    vectors = case["vectors"].clone().requires_grad_()
    chosen = case["chosen"].clone().requires_grad_()
    losses = submission.vq_losses(vectors, chosen, case["commitment"])
    are_losses = isinstance(losses, (tuple, list)) and all(isinstance(one, torch.Tensor) for one in losses)
    if not are_losses or any(one.numel() != 1 for one in losses):
        raise TypeError(f"expected two losses, each a tensor with one number, got {str(losses)[:80]}")
    answer = {"number of losses": len(losses)}
    for name, loss in zip(("codebook", "commitment"), losses):
        gradients = [None, None]
        if loss.requires_grad:
            gradients = torch.autograd.grad(loss, [vectors, chosen], allow_unused=True, retain_graph=True)
        answer[f"{name} loss"] = loss.detach()
        for of, gradient in zip(("vectors", "chosen"), gradients):
            answer[f"gradient of the {name} loss in {of}"] = torch.zeros_like(vectors) if gradient is None else gradient
    return answer


def mask_texts(random: Random) -> Iterator[Case]:
    def tokens(number: int = 16) -> list[str]:
        return [f"<seg{code:03d}>" for code in random.integers(0, 128, number).tolist()]

    yield {"text": "".join(tokens())}
    yield {"text": "<loc0100><loc0200><loc0300><loc0400>" + "".join(tokens()) + " cat"}
    yield {"text": " ".join(tokens())}
    yield {"text": "<seg000>" + "".join(tokens(14)) + "<seg127> fire truck"}
    for number in (0, 1, 15, 17, 32):
        yield {"text": "".join(tokens(number)) + " cat"}
    for wrong in ("<seg128>", "<seg999>", "<seg12>", "<seg0012>", "<seg>"):
        index = random.integer(0, 16)
        yield {"text": "".join([*tokens(index), wrong, *tokens(15 - index)])}
        yield {"text": "".join([*tokens(index), wrong, *tokens(16 - index)])}
    yield {"text": "a cat on grass"}


def masks_to_paste(random: Random) -> Iterator[Case]:
    def case(box: list[float], height: int, width: int, side: int = 64) -> Case:
        # Smooth hills, rough enough for a long border, with more than half of the pixels inside.
        rough = random.normal(1, 1, 6, 6)
        values = torch.nn.functional.interpolate(rough, size=(side, side), mode="bicubic")[0, 0] + 0.2
        return {"values": values, "box": tuple(box), "height": height, "width": width}

    for height, width in ((112, 112), (90, 140), (140, 90)):
        y, x = random.uniform(2, high=20).tolist()
        yield case([y, x, y + 30.3 + random.integer(0, 9), x + 50.2 + random.integer(0, 9)], height, width)
    yield case([3.4, 10.7, 150.6, 120.2], 160, 130)  # larger than 64, and not square
    yield case([-12.0, -20.3, 50.0, 60.0], 100, 80)  # beyond the upper left
    yield case([40.0, 30.0, 130.2, 120.0], 100, 80)  # beyond the lower right
    yield case([0, 0, 64, 64], 64, 64)
    yield case([10.0, 12.0, 170.0, 130.0], 200, 150, side=8)  # each of its values covers many pixels
    # Lines one pixel wide, inside on average: without averaging, a box smaller than the mask gets holes.
    lines = torch.where(torch.arange(64) % 2 == 0, 1.6, -1.0).expand(64, 64).contiguous() + 0.1 * random.uniform(1)
    yield {"values": lines, "box": (5.0, 4.0, 27.0, 24.0), "height": 40, "width": 40}


def nearly_the_same_pixels(answer, expected) -> bool:
    """Other ways to resize differ slightly at the border: one pixel in a hundred may differ."""
    return int((answer != expected).sum()) <= 0.01 * int(expected.sum())


EXERCISES = [
    Exercise(
        "nearest_codes",
        "The nearest code",
        vectors_and_books,
        points=2,
        forbidden=("vlm.regions.mask_vqvae.nearest_codes", "torch.cdist"),
        section="VQ-VAE: a learned codebook",
    ),
    Exercise(
        "straight_through",
        "The straight-through estimator",
        pairs,
        call=call_straight_through,
        section="The straight-through gradient: a choice has no gradient",
    ),
    Exercise(
        "vq_losses",
        "Codebook loss and commitment loss",
        weighted_pairs,
        points=2,
        call=call_vq_losses,
        section="The straight-through gradient: a choice has no gradient",
    ),
    Exercise(
        "read_mask",
        "Parsing mask tokens",
        mask_texts,
        points=2,
        forbidden=("vlm.regions.boxes.parse_detections", "vlm.regions.boxes._parse_mask_codes"),
        section="The model writes mask tokens",
    ),
    Exercise(
        "paste_mask",
        "Pasting a mask into its box",
        masks_to_paste,
        points=3,
        forbidden=("vlm.regions.segmentation.paste_mask",),
        equal=nearly_the_same_pixels,
        show=lambda case: {name: case[name] for name in ("box", "height", "width")},
        section="Crop and paste: a window of 64 × 64",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
