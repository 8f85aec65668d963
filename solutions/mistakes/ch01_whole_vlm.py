"""Common mistakes in chapter 1, and other correct answers."""

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
    "Your sequence is one token too short: count the newline at the end of the prompt.",
    "From a text to tokens",
)
def newline_forgotten(**sizes: int) -> Shapes:
    return lengthen(solution.trace_shapes(**sizes), -1)


@mistake(
    "trace_shapes",
    "Your sequence is two tokens too short: count `<bos>` and the newline at the end of the prompt.",
    "From a text to tokens",
)
def bos_and_newline_forgotten(**sizes: int) -> Shapes:
    return lengthen(solution.trace_shapes(**sizes), -2)


@mistake(
    "trace_shapes",
    "Your sequence is one token too long. Did you count an `<eos>`? It ends an answer, and there is no answer yet.",
    "From a text to tokens",
)
def eos_counted(**sizes: int) -> Shapes:
    return lengthen(solution.trace_shapes(**sizes), 1)


@mistake("trace_shapes", "The image tokens are missing from your sequence: add one for each patch.")
def image_tokens_forgotten(**sizes: int) -> Shapes:
    return lengthen(solution.trace_shapes(**sizes), -((sizes["image_size"] // sizes["patch_size"]) ** 2))


@mistake("trace_shapes", "You have one vector too many for each image: SigLIP has no class token, only patches.")
def class_token_counted(**sizes: int) -> Shapes:
    shapes = lengthen(solution.trace_shapes(**sizes), 1)
    for name in ("patch_vectors", "image_features"):
        shapes[name][1] += 1
    return shapes


@mistake("trace_shapes", "You counted the patches of one row. There are as many rows as columns: square the number.")
def patches_of_one_row(**sizes: int) -> Shapes:
    row = sizes["image_size"] // sizes["patch_size"]
    shapes = lengthen(solution.trace_shapes(**sizes), row - row**2)
    for name in ("patch_vectors", "image_features"):
        shapes[name][1] = row
    return shapes


@mistake("trace_shapes", "The batch axis is missing. It comes first in every tensor.")
def batch_forgotten(**sizes: int) -> Shapes:
    return {name: shape[1:] for name, shape in solution.trace_shapes(**sizes).items()}


@mistake("trace_shapes", "Your batch size is always 1. Use the argument `batch`.")
def batch_of_one(**sizes: int) -> Shapes:
    return solution.trace_shapes(**sizes | {"batch": 1})


@mistake("trace_shapes", "You put the channels last. The order is [B, C, H, W].")
def channels_at_the_end(**sizes: int) -> Shapes:
    size = sizes["image_size"]
    return solution.trace_shapes(**sizes) | {"pixel_values": [sizes["batch"], size, size, 3]}


@mistake(
    "trace_shapes", "Your image_features have the width of the vision tower. The projector maps them to `text_width`."
)
def projector_forgotten(**sizes: int) -> Shapes:
    shapes = solution.trace_shapes(**sizes)
    return shapes | {"image_features": shapes["patch_vectors"]}


@mistake(
    "trace_shapes",
    "Your logits are as wide as the hidden vectors. Each position has one logit for each of the V tokens.",
)
def logits_as_wide_as_vectors(**sizes: int) -> Shapes:
    shapes = solution.trace_shapes(**sizes)
    return shapes | {"logits": shapes["inputs_embeds"]}


@variant("trace_shapes")
def shapes_as_tuples(**sizes: int) -> dict[str, Any]:
    return {name: tuple(shape) for name, shape in reversed(solution.trace_shapes(**sizes).items())}


@mistake("positions_processed", "Your number with a cache is 1 too large: the last generated token is never processed.")
def last_token_processed(prefix_length: int, new_tokens: int) -> tuple[int, int]:
    without, cached = solution.positions_processed(prefix_length, new_tokens)
    return without, cached + 1


@mistake(
    "positions_processed",
    "Without a cache, you counted only the prefix in each pass. The sequence grows by one token per pass.",
)
def growth_forgotten(prefix_length: int, new_tokens: int) -> tuple[int, int]:
    return prefix_length * new_tokens, solution.positions_processed(prefix_length, new_tokens)[1]


@mistake(
    "positions_processed",
    "Without a cache, you started at prefix_length + 1. The first pass processes only the prefix.",
)
def first_pass_too_long(prefix_length: int, new_tokens: int) -> tuple[int, int]:
    _, cached = solution.positions_processed(prefix_length, new_tokens)
    return sum(prefix_length + i for i in range(1, new_tokens + 1)), cached


@mistake(
    "positions_processed",
    "With a cache, the prefix is missing. The first pass processes it to fill the cache, so its positions count.",
)
def prefix_free_of_charge(prefix_length: int, new_tokens: int) -> tuple[int, int]:
    return solution.positions_processed(prefix_length, new_tokens)[0], new_tokens


@mistake("positions_processed", "You swapped the two numbers. Return the one without a cache first.")
def numbers_swapped(prefix_length: int, new_tokens: int) -> tuple[int, int]:
    return solution.positions_processed(prefix_length, new_tokens)[::-1]


@variant("positions_processed")
def positions_by_formula(prefix_length: int, new_tokens: int) -> tuple[int, int]:
    triangle = new_tokens * (new_tokens - 1) // 2
    return new_tokens * prefix_length + triangle, new_tokens - 1 + prefix_length


@mistake("read_boxes", "Your boxes have x first. The order is top, left, bottom, right: y first.")
def x_first(answer: str, height: int, width: int) -> Boxes:
    return [(name, [box[1], box[0], box[3], box[2]]) for name, box in solution.read_boxes(answer, height, width)]


@mistake(
    "read_boxes", "You swapped height and width. Top and bottom scale with the height, left and right with the width."
)
def height_and_width_swapped(answer: str, height: int, width: int) -> Boxes:
    return solution.read_boxes(answer, width, height)


@mistake("read_boxes", "You divided by 1024. Divide by 1023: bin 1023 is the very edge of the image.")
def divided_by_1024(answer: str, height: int, width: int) -> Boxes:
    found = solution.read_boxes(answer, height, width)
    return [(name, [edge * 1023 / 1024 for edge in box]) for name, box in found]


@mistake("read_boxes", "Your edges are still bin numbers. Divide by 1023, then multiply by the height or width.")
def edges_as_bins(answer: str, height: int, width: int) -> Boxes:
    return solution.read_boxes(answer, 1023, 1023)


@mistake(
    "read_boxes",
    "You took the third and fourth number for the height and width of the box. They are its bottom and right edges.",
)
def sizes_for_edges(answer: str, height: int, width: int) -> Boxes:
    found = solution.read_boxes(answer, height, width)
    return [(name, [top, left, top + down, left + right]) for name, (top, left, down, right) in found]


@mistake("read_boxes", "You return only the first object. There may be several, separated by “ ; ”.")
def first_object_only(answer: str, height: int, width: int) -> Boxes:
    return solution.read_boxes(answer, height, width)[:1]


@mistake("read_boxes", "Your names have one word each. A name may have several: read up to the next “;” or the end.")
def first_word_only(answer: str, height: int, width: int) -> Boxes:
    return [(name.split()[0], box) for name, box in solution.read_boxes(answer, height, width)]


@mistake("read_boxes", "Your names still begin with a space. Strip them.")
def names_with_spaces(answer: str, height: int, width: int) -> Boxes:
    return [(f" {name}", box) for name, box in solution.read_boxes(answer, height, width)]


@mistake("read_boxes", "Some of your names end with a space. Strip them.")
def names_with_a_trailing_space(answer: str, height: int, width: int) -> Boxes:
    found = solution.read_boxes(answer, height, width)
    return [(f"{name} ", box) for name, box in found[:-1]] + found[-1:]


@mistake("read_boxes", "You rounded the edges to whole pixels. Return them unrounded.")
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
