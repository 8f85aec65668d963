"""Mistakes people make in chapter 1, and other right answers."""

from typing import Any

from grader import mistake, variant
from solutions import ch01_whole_vlm as solution

Shapes = dict[str, list[int]]
Boxes = list[tuple[str, list[float]]]


def lengthen(shapes: Shapes, by: int) -> Shapes:
    """The same shapes, with a longer (or shorter) sequence."""
    batch, length = shapes["input_ids"]
    changed = {name: [batch, length + by, *shapes[name][2:]] for name in ("input_ids", "inputs_embeds", "logits")}
    return shapes | changed


@mistake(
    "trace_shapes",
    "The sequence is one too short: the newline at the end of the prompt is a token too.",
    "From a text to numbers",
)
def newline_forgotten(**sizes: int) -> Shapes:
    return lengthen(solution.trace_shapes(**sizes), -1)


@mistake(
    "trace_shapes", "The sequence is two too short: <bos> and the newline are tokens too.", "From a text to numbers"
)
def bos_and_newline_forgotten(**sizes: int) -> Shapes:
    return lengthen(solution.trace_shapes(**sizes), -2)


@mistake("trace_shapes", "You counted an <eos>; nothing has been answered yet.", "From a text to numbers")
def eos_counted(**sizes: int) -> Shapes:
    return lengthen(solution.trace_shapes(**sizes), 1)


@mistake("trace_shapes", "The picture's places are missing from the sequence.")
def picture_not_in_the_sequence(**sizes: int) -> Shapes:
    return lengthen(solution.trace_shapes(**sizes), -((sizes["image_size"] // sizes["patch_size"]) ** 2))


@mistake("trace_shapes", "There is a vector too many for each picture: SigLIP has no class token, only patches.")
def class_token_counted(**sizes: int) -> Shapes:
    shapes = lengthen(solution.trace_shapes(**sizes), 1)
    for name in ("patch_vectors", "image_features"):
        shapes[name][1] += 1
    return shapes


@mistake("trace_shapes", "You counted the patches of one row; there are as many rows.")
def patches_of_one_row(**sizes: int) -> Shapes:
    row = sizes["image_size"] // sizes["patch_size"]
    shapes = lengthen(solution.trace_shapes(**sizes), row - row**2)
    for name in ("patch_vectors", "image_features"):
        shapes[name][1] = row
    return shapes


@mistake("trace_shapes", "The batch is missing: every tensor has it as its first axis.")
def batch_forgotten(**sizes: int) -> Shapes:
    return {name: shape[1:] for name, shape in solution.trace_shapes(**sizes).items()}


@mistake("trace_shapes", "You took every batch for 1.")
def batch_of_one(**sizes: int) -> Shapes:
    return solution.trace_shapes(**sizes | {"batch": 1})


@mistake("trace_shapes", "Channels come before height and width.")
def channels_at_the_end(**sizes: int) -> Shapes:
    size = sizes["image_size"]
    return solution.trace_shapes(**sizes) | {"pixel_values": [sizes["batch"], size, size, 3]}


@mistake("trace_shapes", "The projector brings the patches' vectors to the width of the language model.")
def projector_forgotten(**sizes: int) -> Shapes:
    shapes = solution.trace_shapes(**sizes)
    return shapes | {"image_features": shapes["patch_vectors"]}


@mistake("trace_shapes", "A logit is a score for a word: at each place there are V of them.")
def logits_as_wide_as_vectors(**sizes: int) -> Shapes:
    shapes = solution.trace_shapes(**sizes)
    return shapes | {"logits": shapes["inputs_embeds"]}


@variant("trace_shapes")
def shapes_as_tuples(**sizes: int) -> dict[str, Any]:
    return {name: tuple(shape) for name, shape in reversed(solution.trace_shapes(**sizes).items())}


@mistake("places_worked_through", "With the cache it is one less: the token that is written last is never read.")
def last_token_read(prefix_length: int, new_tokens: int) -> tuple[int, int]:
    without, cached = solution.places_worked_through(prefix_length, new_tokens)
    return without, cached + 1


@mistake("places_worked_through", "Without a cache the sequence grows from run to run; you counted the prefix alone.")
def growth_forgotten(prefix_length: int, new_tokens: int) -> tuple[int, int]:
    return prefix_length * new_tokens, solution.places_worked_through(prefix_length, new_tokens)[1]


@mistake("places_worked_through", "The first run reads the prefix alone: nothing has been written yet.")
def first_run_too_long(prefix_length: int, new_tokens: int) -> tuple[int, int]:
    _, cached = solution.places_worked_through(prefix_length, new_tokens)
    return sum(prefix_length + i for i in range(1, new_tokens + 1)), cached


@mistake("places_worked_through", "The cache is filled by reading the prefix once; those places count.")
def prefix_free_of_charge(prefix_length: int, new_tokens: int) -> tuple[int, int]:
    return solution.places_worked_through(prefix_length, new_tokens)[0], new_tokens


@mistake("places_worked_through", "The two numbers have changed places: first without, then with a cache.")
def numbers_exchanged(prefix_length: int, new_tokens: int) -> tuple[int, int]:
    return solution.places_worked_through(prefix_length, new_tokens)[::-1]


@variant("places_worked_through")
def places_by_formula(prefix_length: int, new_tokens: int) -> tuple[int, int]:
    triangle = new_tokens * (new_tokens - 1) // 2
    return new_tokens * prefix_length + triangle, new_tokens - 1 + prefix_length


@mistake("read_boxes", "Your boxes have x first; the order is top, left, bottom, right: y first.")
def x_first(answer: str, height: int, width: int) -> Boxes:
    return [(name, [box[1], box[0], box[3], box[2]]) for name, box in solution.read_boxes(answer, height, width)]


@mistake("read_boxes", "You exchanged height and width: rows are counted along the height.")
def height_and_width_exchanged(answer: str, height: int, width: int) -> Boxes:
    return solution.read_boxes(answer, width, height)


@mistake("read_boxes", "You divided by 1024; the last mark is 1023, and it means the very edge of the picture.")
def divided_by_1024(answer: str, height: int, width: int) -> Boxes:
    found = solution.read_boxes(answer, height, width)
    return [(name, [edge * 1023 / 1024 for edge in box]) for name, box in found]


@mistake("read_boxes", "You left the edges as marks; divide by 1023, then multiply by height or width.")
def edges_as_marks(answer: str, height: int, width: int) -> Boxes:
    return solution.read_boxes(answer, 1023, 1023)


@mistake("read_boxes", "You read the third and fourth number as height and width of the box; they are edges.")
def sizes_for_edges(answer: str, height: int, width: int) -> Boxes:
    found = solution.read_boxes(answer, height, width)
    return [(name, [top, left, top + down, left + right]) for name, (top, left, down, right) in found]


@mistake("read_boxes", "Only the first thing is read; there may be several, with “ ; ” between them.")
def first_thing_only(answer: str, height: int, width: int) -> Boxes:
    return solution.read_boxes(answer, height, width)[:1]


@mistake("read_boxes", "A name may be more than one word.")
def first_word_only(answer: str, height: int, width: int) -> Boxes:
    return [(name.split()[0], box) for name, box in solution.read_boxes(answer, height, width)]


@mistake("read_boxes", "Your names keep the spaces around them.")
def names_with_spaces(answer: str, height: int, width: int) -> Boxes:
    return [(f" {name}", box) for name, box in solution.read_boxes(answer, height, width)]


@mistake("read_boxes", "A space is left at the end of a name: strip it.")
def names_with_a_space_behind(answer: str, height: int, width: int) -> Boxes:
    found = solution.read_boxes(answer, height, width)
    return [(f"{name} ", box) for name, box in found[:-1]] + found[-1:]


@mistake("read_boxes", "You rounded the edges to whole pixels.")
def edges_rounded(answer: str, height: int, width: int) -> Boxes:
    found = solution.read_boxes(answer, height, width)
    return [(name, [float(round(edge)) for edge in box]) for name, box in found]


@variant("read_boxes")
def boxes_by_splitting(answer: str, height: int, width: int) -> Boxes:
    boxes = []
    for part in filter(None, answer.split(" ; ")):
        *tokens, name = part.split(">")
        edges = [int(token[-4:]) * size / 1023 for token, size in zip(tokens, [height, width] * 2, strict=True)]
        boxes.append((name.lstrip(), edges))
    return boxes
