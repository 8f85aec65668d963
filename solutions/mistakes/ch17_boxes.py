"""Mistakes people make in chapter 17, and other right answers."""

import re
from itertools import combinations, permutations

import torch
from torch import Tensor

from grader import mistake, variant
from solutions import ch17_boxes as solution


def write(box: list[float], height: int, width: int, mark=lambda part: round(part * 1023), digits: int = 4) -> str:
    """The words of a box, by some way to make a mark of a part of the side."""
    parts = (min(max(value / size, 0), 1) for value, size in zip(box, (height, width, height, width)))
    return "".join(f"<loc{mark(part):0{digits}d}>" for part in parts)


@mistake("write_box", "x and y have changed places: PaliGemma writes y_min first, then x_min, y_max, x_max.")
def x_first(box, height, width) -> str:
    y_min, x_min, y_max, x_max = box
    return solution.write_box([x_min, y_min, x_max, y_max], width, height)


@mistake("write_box", "You divide by the width where it is a y, and by the height where it is an x.")
def sides_swapped(box, height, width) -> str:
    return solution.write_box(box, width, height)


@mistake("write_box", "You divide all four by the height; an x is a part of the width.")
def height_for_all(box, height, width) -> str:
    return solution.write_box(box, height, height)


@mistake("write_box", "You take 1024 steps: the right edge becomes <loc1024>, which is no word. There are 1023.")
def steps_1024(box, height, width) -> str:
    return write(box, height, width, lambda part: round(part * 1024))


@mistake("write_box", "You take 1024 steps and stop at 1023; take 1023 steps, so that both edges are exact.")
def steps_1024_clipped(box, height, width) -> str:
    return write(box, height, width, lambda part: min(round(part * 1024), 1023))


@mistake("write_box", "You take 1024 steps and cut off, stopping at 1023; take 1023 steps, and round.")
def steps_1024_cut(box, height, width) -> str:
    return write(box, height, width, lambda part: min(int(part * 1024), 1023))


@mistake("write_box", "You cut the fraction off; round to the nearest mark.")
def cut_off(box, height, width) -> str:
    return write(box, height, width, lambda part: int(part * 1023))


@mistake("write_box", "You round up; round to the nearest mark.")
def rounded_up(box, height, width) -> str:
    return write(box, height, width, lambda part: -int(-part * 1023 // 1))


@mistake("write_box", "Values outside the picture are not brought to its edge: <loc-051> and <loc1151> are no words.")
def not_clipped(box, height, width) -> str:
    sizes = (height, width, height, width)
    return "".join(f"<loc{round(value / size * 1023):04d}>" for value, size in zip(box, sizes))


@mistake("write_box", "Only values that are too large are brought to the edge; a negative one belongs on mark 0.")
def clipped_above_only(box, height, width) -> str:
    sizes = (height, width, height, width)
    return "".join(f"<loc{round(min(value / size, 1) * 1023):04d}>" for value, size in zip(box, sizes))


@mistake("write_box", "A mark has four digits, with zeros in front: <loc0042>.")
def without_zeros(box, height, width) -> str:
    return write(box, height, width, digits=1)


@mistake("write_box", "You write y, x, height and width; PaliGemma writes where the box ends, not how large it is.")
def height_and_width(box, height, width) -> str:
    y_min, x_min, y_max, x_max = box
    return solution.write_box([y_min, x_min, y_max - y_min, x_max - x_min], height, width)


@mistake("write_box", "There are spaces between the words; they follow each other directly.")
def with_spaces(box, height, width) -> str:
    return solution.write_box(box, height, width).replace("><", "> <")


@variant("write_box")
def by_tensor(box, height, width) -> str:
    sizes = torch.tensor([height, width, height, width], dtype=torch.float64)
    marks = (torch.tensor(box, dtype=torch.float64) / sizes).clamp(0, 1).mul(1023).add(0.5).floor().int()
    return "".join("<loc" + str(mark).zfill(4) + ">" for mark in marks.tolist())


ITEM = r"((?:<loc\d*>)+)([^;<>]*)"


def read(text, height, width, item=ITEM, is_valid=None, is_box=None, value=None) -> list[tuple[str, list[float]]]:
    """The solution, with some rule in it replaced."""
    is_valid = is_valid or (lambda d: len(d) == 4 and int(d) <= 1023)
    is_box = is_box or (lambda b: b[2] > b[0] and b[3] > b[1])
    value = value or (lambda d, size: int(d) * size / 1023)
    found = []
    for run, name in re.findall(item, text):
        digits = re.findall(r"<loc(\d*)>", run)
        if len(digits) != 4 or not all(is_valid(d) for d in digits):
            continue
        box = [value(d, size) for d, size in zip(digits, (height, width, height, width))]
        if is_box(box):
            found.append((name.strip(), box))
    return found


@mistake("read_answer", "You read x first; the words are y_min, x_min, y_max, x_max.")
def read_x_first(text, height, width):
    return [(name, [b[1], b[0], b[3], b[2]]) for name, b in solution.read_answer(text, width, height)]


@mistake("read_answer", "y is a part of the height, and x of the width; you have them the other way round.")
def read_sides_swapped(text, height, width):
    return solution.read_answer(text, width, height)


@mistake("read_answer", "You divide by 1024; mark 1023 is the picture's edge, so divide by 1023.")
def read_1024(text, height, width):
    return read(text, height, width, value=lambda d, size: int(d) * size / 1024)


@mistake("read_answer", "You return marks; make pixels of them: mark * side / 1023.")
def read_marks(text, height, width):
    return read(text, height, width, value=lambda d, size: float(int(d)))


@mistake("read_answer", "You round to whole pixels; leave the values as they are.")
def read_whole_pixels(text, height, width):
    return read(text, height, width, value=lambda d, size: float(round(int(d) * size / 1023)))


@mistake(
    "read_answer",
    "You take location tokens four at a time, so one bad item shifts the numbers of all that follow. Go by items.",
)
def four_at_a_time(text, height, width):
    bins = [int(d) for d in re.findall(r"<loc(\d{4})>", text)]
    names = [part.strip() for part in re.sub(r"<loc\d*>", "", text).split(";")]
    sizes = (height, width, height, width)
    boxes = [[b * s / 1023 for b, s in zip(bins[i : i + 4], sizes)] for i in range(0, len(bins) - 3, 4)]
    return [(name, box) for name, box in zip(names, boxes) if box[2] > box[0] and box[3] > box[1]]


@mistake("read_answer", "A run of five or more gives a box of its last four tokens; nobody knows which were meant.")
def last_four_of_a_run(text, height, width):
    return read(text, height, width, item=r"((?:<loc\d*>){4})([^;<>]*)")


@mistake("read_answer", "A run of more than four gives a box of its first four tokens; leave such an item out.")
def first_four_of_a_run(text, height, width):
    found = []
    for run, name in re.findall(ITEM, text):
        first = "".join(re.findall(r"<loc\d*>", run)[:4])
        found += [(name.strip(), box) for _, box in solution.read_answer(first, height, width)]
    return found


@mistake("read_answer", "A mark above 1023 is taken for a place outside the picture; it is no word, and the item goes.")
def marks_above_1023(text, height, width):
    return read(text, height, width, is_valid=lambda d: len(d) == 4)


@mistake("read_answer", "1024 passes for a mark; the last is 1023.")
def up_to_1024(text, height, width):
    return read(text, height, width, is_valid=lambda d: len(d) == 4 and int(d) <= 1024)


@mistake("read_answer", "Mark 1023, the right and lower edge of the picture, is refused; it exists.")
def below_1023(text, height, width):
    return read(text, height, width, is_valid=lambda d: len(d) == 4 and int(d) < 1023)


@mistake("read_answer", "Mark 0, the left and upper edge of the picture, is refused; it exists.")
def without_mark_0(text, height, width):
    return read(text, height, width, is_valid=lambda d: len(d) == 4 and 0 < int(d) <= 1023)


@mistake("read_answer", "Tokens that do not exist are left out of a run, and the others counted; the whole item goes.")
def bad_tokens_left_out(text, height, width):
    found = []
    for run, name in re.findall(ITEM, text):
        good = [d for d in re.findall(r"<loc(\d*)>", run) if len(d) == 4 and int(d) <= 1023]
        found += solution.read_answer("".join(f"<loc{d}>" for d in good) + name, height, width)
    return found


@mistake("read_answer", "Of a run of eight you make two boxes; a run has exactly four, or its item goes.")
def eight_are_two(text, height, width):
    found = []
    for run, name in re.findall(ITEM, text):
        tokens = re.findall(r"<loc\d*>", run)
        parts = [tokens[i : i + 4] for i in range(0, len(tokens), 4)] if len(tokens) % 4 == 0 else [tokens]
        for part in parts:
            found += [(name.strip(), box) for _, box in solution.read_answer("".join(part), height, width)]
    return found


@mistake("read_answer", "A mark above 1023 is brought to the edge; nobody knows what was meant, and the item goes.")
def marks_clipped(text, height, width):
    def value(d, size):
        return min(int(d), 1023) * size / 1023

    return read(text, height, width, is_valid=lambda d: len(d) == 4, value=value)


@mistake("read_answer", "Tokens have exactly four digits: <loc999> and <loc01000> are none.")
def any_number_of_digits(text, height, width):
    return read(text, height, width, is_valid=lambda d: int(d) <= 1023)


@mistake("read_answer", "Boxes without height or width, or upside down, are returned; leave them out.")
def empty_boxes_too(text, height, width):
    return read(text, height, width, is_box=lambda b: True)


@mistake("read_answer", "A box whose maximum equals its minimum has nothing in it; leave it out.")
def flat_boxes_too(text, height, width):
    return read(text, height, width, is_box=lambda b: b[2] >= b[0] and b[3] >= b[1])


@mistake("read_answer", "You turn boxes over that end before they begin; leave them out.")
def turned_over(text, height, width):
    found = read(text, height, width, is_box=lambda b: b[2] != b[0] and b[3] != b[1])
    return [(name, [min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3])]) for name, b in found]


@mistake("read_answer", "Only the height is checked; a box without width is empty as well.")
def only_height_checked(text, height, width):
    return read(text, height, width, is_box=lambda b: b[2] > b[0])


@mistake("read_answer", "A box without a name is lost; its name is the empty string.")
def nameless_lost(text, height, width):
    return [(name, box) for name, box in solution.read_answer(text, height, width) if name]


@mistake("read_answer", "There are spaces around the names.")
def spaces_kept(text, height, width):
    item = re.compile(r"(?:<loc\d*>)+([^;<>]*)")
    names = [m[1] for m in item.finditer(text) if solution.read_answer(m[0], height, width)]
    return [(name, box) for name, (_, box) in zip(names, solution.read_answer(text, height, width))]


@mistake("read_answer", 'A name may have spaces in it: "fire truck". It ends at ";" or at the next token.')
def names_of_one_word(text, height, width):
    return read(text, height, width, item=r"((?:<loc\d*>)+)(\s*\w*)")


@mistake("read_answer", 'You split at ";" first; where one is missing, the second item is lost.')
def split_first(text, height, width):
    found = []
    for part in text.split(";"):
        found += solution.read_answer(part, height, width)[:1]
    return found


@mistake("read_answer", "Text before the first token is taken for a reason to leave the item out.")
def no_preamble(text, height, width):
    parts = [part for part in text.split(";") if part.strip().startswith("<loc")]
    return solution.read_answer(";".join(parts), height, width)


@mistake("read_answer", "One bad item ends the reading; leave it out, and go on with the next.")
def stops_at_the_first_bad_one(text, height, width):
    found = []
    for run, name in re.findall(ITEM, text):
        boxes = solution.read_answer(run + name, height, width)
        if not boxes:
            break
        found += boxes
    return found


@variant("read_answer")
def by_hand(text, height, width):
    found, position = [], 0
    token = re.compile(r"<loc(\d*)>")
    while (start := text.find("<loc", position)) >= 0:
        digits, position = [], start
        while match := token.match(text, position):
            digits.append(match[1])
            position = match.end()
        if not digits:
            position = start + 4
            continue
        end = position
        while end < len(text) and text[end] not in ";<>":
            end += 1
        valid = [f"{number:04d}" for number in range(1024)]
        if len(digits) == 4 and set(digits) <= set(valid):
            y0, x0, y1, x1 = map(int, digits)
            if y0 < y1 and x0 < x1:
                box = [y0 / 1023 * height, x0 / 1023 * width, y1 / 1023 * height, x1 / 1023 * width]
                found.append((text[position:end].strip(), box))
        position = end
    return found


def corners(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    return torch.maximum(boxes[:, None, :2], others[None, :, :2]), torch.minimum(
        boxes[:, None, 2:], others[None, :, 2:]
    )


def area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(-1)


@mistake("iou_matrix", "Where two boxes are apart in y and in x, minus times minus gives an area: clip each side at 0.")
def sides_not_clipped(boxes, others):
    low, high = corners(boxes, others)
    shared = (high - low).prod(-1)
    union = area(boxes)[:, None] + area(others)[None] - shared
    return torch.where(union > 0, shared / union, 0.0)


@mistake("iou_matrix", "You clip the area and not the sides: two negative sides have a positive product.")
def area_clipped(boxes, others):
    low, high = corners(boxes, others)
    shared = (high - low).prod(-1).clamp(min=0)
    union = area(boxes)[:, None] + area(others)[None] - shared
    return torch.where(shared > 0, shared / union, 0.0)


@mistake("iou_matrix", "Two empty boxes give 0 / 0, which is nan: where nothing is shared the answer is 0.")
def nan_for_empty(boxes, others):
    low, high = corners(boxes, others)
    shared = (high - low).clamp(min=0).prod(-1)
    return shared / (area(boxes)[:, None] + area(others)[None] - shared)


@mistake("iou_matrix", "You divide by the sum of both areas: what is shared is in it twice. Subtract it once.")
def divided_by_the_sum(boxes, others):
    low, high = corners(boxes, others)
    shared = (high - low).clamp(min=0).prod(-1)
    return torch.where(shared > 0, shared / (area(boxes)[:, None] + area(others)[None]), 0.0)


@mistake("iou_matrix", "You divide by the area of the box that encloses both; divide by what they cover.")
def divided_by_the_hull(boxes, others):
    low, high = corners(boxes, others)
    shared = (high - low).clamp(min=0).prod(-1)
    hull = torch.maximum(boxes[:, None, 2:], others[None, :, 2:]) - torch.minimum(
        boxes[:, None, :2], others[None, :, :2]
    )
    return torch.where(shared > 0, shared / hull.prod(-1), 0.0)


@mistake("iou_matrix", "You divide by the smaller area, so a small box inside a large one gets 1.")
def divided_by_the_smaller(boxes, others):
    low, high = corners(boxes, others)
    shared = (high - low).clamp(min=0).prod(-1)
    return torch.where(shared > 0, shared / torch.minimum(area(boxes)[:, None], area(others)[None]), 0.0)


@mistake("iou_matrix", "You divide by the first box's area alone.")
def divided_by_the_first(boxes, others):
    low, high = corners(boxes, others)
    shared = (high - low).clamp(min=0).prod(-1)
    return torch.where(shared > 0, shared / area(boxes)[:, None], 0.0)


@mistake("iou_matrix", "You add 1 to each side, as programs for whole pixels did; these maxima are not included.")
def plus_one(boxes, others):
    grown = [torch.cat([b[:, :2], b[:, 2:] + 1], dim=-1) for b in (boxes, others)]
    return solution.iou_matrix(*grown)


@mistake("iou_matrix", "A small number added to the union makes every IoU too small, most of all for small boxes.")
def with_epsilon(boxes, others):
    low, high = corners(boxes, others)
    shared = (high - low).clamp(min=0).prod(-1)
    return shared / (area(boxes)[:, None] + area(others)[None] - shared + 1e-3)


@mistake("iou_matrix", "What both cover is taken to be at least 1; for small boxes that is far too much.")
def union_at_least_1(boxes, others):
    low, high = corners(boxes, others)
    shared = (high - low).clamp(min=0).prod(-1)
    return shared / (area(boxes)[:, None] + area(others)[None] - shared).clamp(min=1)


@mistake("iou_matrix", "The table has a row for each of the others; it wants a row for each of the boxes.")
def transposed(boxes, others):
    return solution.iou_matrix(others, boxes)


@mistake("iou_matrix", "You return the shared area; divide it by what both cover.")
def intersection_alone(boxes, others):
    low, high = corners(boxes, others)
    return (high - low).clamp(min=0).prod(-1)


@mistake("iou_matrix", "A box that is upside down in both directions has a positive area with you; it is empty.")
def areas_not_clipped(boxes, others):
    low, high = corners(boxes, others)
    shared = (high - low).clamp(min=0).prod(-1)
    areas = [(b[:, 2:] - b[:, :2]).prod(-1) for b in (boxes, others)]
    union = areas[0][:, None] + areas[1][None] - shared
    first_equal = (boxes[:, None] == others[None]).all(-1) & (areas[0][:, None] > 0)
    return torch.where(first_equal, 1.0, torch.where(shared > 0, shared / union, 0.0))


@variant("iou_matrix")
def box_by_box(boxes, others):
    def iou(a, b):
        height, width = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        if height <= 0 or width <= 0:
            return 0.0
        sizes = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
        return height * width / (sum(sizes) - height * width)

    rows = [[iou(a, b) for b in others.tolist()] for a in boxes.tolist()]
    return torch.tensor(rows, dtype=torch.float32).reshape(len(boxes), len(others))


def go_through(ious, scores, min_iou, order, may_use=lambda left: left) -> Tensor:
    left, right = ious.clone(), torch.zeros(len(scores), dtype=torch.bool)
    for index in order:
        if left.shape[1] and left[index].max() >= min_iou:
            right[index] = True
            left[:, left[index].argmax()] = -1
    return right


@mistake("find_right", "You go through the boxes in the order of the rows; the surest comes first.")
def in_order_of_rows(ious, scores, min_iou):
    return go_through(ious, scores, min_iou, range(len(scores)))


@mistake("find_right", "You begin with the least sure box.")
def least_sure_first(ious, scores, min_iou):
    return go_through(ious, scores, min_iou, scores.argsort())


@mistake("find_right", "Several boxes on one object all count as right; an object that is taken is taken.")
def duplicates_count(ious, scores, min_iou):
    return (ious >= min_iou).any(1) if ious.shape[1] else torch.zeros(len(scores), dtype=torch.bool)


@mistake(
    "find_right",
    "A box whose best object is taken is wrong with you; it may have the best one that is still free.",
)
def no_second_choice(ious, scores, min_iou):
    taken, right = set(), torch.zeros(len(scores), dtype=torch.bool)
    for index in scores.argsort(descending=True):
        if not ious.shape[1]:
            break
        best = int(ious[index].argmax())
        if ious[index, best] >= min_iou and best not in taken:
            taken.add(best)
            right[index] = True
    return right


@mistake("find_right", "The box takes the first free object that it overlaps enough; it should take the best.")
def first_object_that_fits(ious, scores, min_iou):
    taken, right = set(), torch.zeros(len(scores), dtype=torch.bool)
    for index in scores.argsort(descending=True):
        for column in range(ious.shape[1]):
            if ious[index, column] >= min_iou and column not in taken:
                taken.add(column)
                right[index] = True
                break
    return right


@mistake("find_right", "An IoU of exactly the least counts: at least, not above.")
def above_the_least(ious, scores, min_iou):
    return solution.find_right(ious, scores, min_iou + 1e-6)


@mistake("find_right", "You pair the best overlap first, whatever the scores say; the surest box chooses first.")
def best_overlap_first(ious, scores, min_iou):
    left, right = ious.clone(), torch.zeros(len(scores), dtype=torch.bool)
    while left.numel() and left.max() >= min_iou:
        row, column = divmod(int(left.argmax()), left.shape[1])
        right[row] = True
        left[row], left[:, column] = -1, -1
    return right


@mistake("find_right", "For each object you take its best box; it is the boxes that choose, the surest first.")
def objects_choose(ious, scores, min_iou):
    right = torch.zeros(len(scores), dtype=torch.bool)
    for column in range(ious.shape[1] if len(scores) else 0):
        best = ious[:, column].argmax()
        right[best] = bool(right[best]) or bool(ious[best, column] >= min_iou)
    return right


@mistake("find_right", "You make as many boxes right as can be; the surest box takes its best, come what may.")
def as_many_as_possible(ious, scores, min_iou):
    rows, columns = ious.shape
    fits = ious >= min_iou
    right = torch.zeros(rows, dtype=torch.bool)
    for number in range(min(rows, columns), 0, -1):
        for chosen in combinations(scores.argsort(descending=True).tolist(), number):
            for taken in permutations(range(columns), number):
                if fits[list(chosen), list(taken)].all():
                    right[list(chosen)] = True
                    return right
    return right


@mistake("find_right", "The answers are in the order of the scores; give them in the order of the rows.")
def in_order_of_scores(ious, scores, min_iou):
    return solution.find_right(ious, scores, min_iou)[scores.argsort(descending=True)]


@mistake("find_right", "A box with too small an IoU takes its object away from the others.")
def bad_boxes_take_too(ious, scores, min_iou):
    left, right = ious.clone(), torch.zeros(len(scores), dtype=torch.bool)
    for index in scores.argsort(descending=True):
        if left.shape[1] and left[index].max() >= 0:
            right[index] = bool(left[index].max() >= min_iou)
            left[:, left[index].argmax()] = -1
    return right


@mistake("find_right", "The least IoU is always 0.5 with you; use `min_iou`.")
def always_one_half(ious, scores, min_iou):
    return solution.find_right(ious, scores, 0.5)


@variant("find_right")
def with_sets(ious, scores, min_iou):
    free, right = set(range(ious.shape[1])), [False] * len(scores)
    for index in sorted(range(len(scores)), key=lambda i: -scores[i].item()):
        best = max(free, key=lambda column: ious[index, column].item(), default=None)
        if best is not None and ious[index, best] >= min_iou:
            free.discard(best)
            right[index] = True
    return torch.tensor(right, dtype=torch.bool)


def curve(scores, is_right, num_actual) -> tuple[list[float], list[float]]:
    right = is_right[scores.argsort(descending=True)].tolist()
    found, recalls, precisions = 0, [], []
    for count, one in enumerate(right, start=1):
        found += one
        recalls.append(found / num_actual)
        precisions.append(found / count)
    return recalls, precisions


def read_heights(recalls, precisions, points) -> float:
    return sum(
        max((p for r, p in zip(recalls, precisions) if r >= point - 1e-9), default=0.0) for point in points
    ) / len(points)


@mistake("average_precision", "The boxes are not sorted by score.")
def not_sorted(scores, is_right, num_actual):
    return solution.average_precision(torch.arange(len(scores), 0, -1).float(), is_right, num_actual)


@mistake("average_precision", "You sort the least sure first.")
def sorted_upwards(scores, is_right, num_actual):
    return solution.average_precision(-scores, is_right, num_actual)


@mistake("average_precision", "The teeth are not filled: a recall counts with the best precision there or further on.")
def teeth(scores, is_right, num_actual):
    recalls, precisions = curve(scores, is_right, num_actual)
    heights = []
    for percent in range(101):
        at = [p for r, p in zip(recalls, precisions) if r * 100 >= percent - 1e-9]
        heights.append(at[0] if at else 0.0)
    return sum(heights) / 101


@mistake("average_precision", "Recall is divided by the boxes that are right; divide by all objects.")
def recall_of_the_found(scores, is_right, num_actual):
    return solution.average_precision(scores, is_right, max(int(is_right.sum()), 1))


@mistake("average_precision", "You read the curve at 11 recalls, as PASCAL did in 2007; COCO reads it at 101.")
def eleven_points(scores, is_right, num_actual):
    return read_heights(*curve(scores, is_right, num_actual), [tenth / 10 for tenth in range(11)])


@mistake("average_precision", "You read the curve at 0.01 to 1; recall 0 belongs to it: 101 places.")
def without_recall_0(scores, is_right, num_actual):
    return read_heights(*curve(scores, is_right, num_actual), [percent / 100 for percent in range(1, 101)])


@mistake("average_precision", "You take the mean over the recalls that are reached; those beyond count 0.")
def only_what_is_reached(scores, is_right, num_actual):
    recalls, precisions = curve(scores, is_right, num_actual)
    points = [percent / 100 for percent in range(101) if recalls and percent / 100 <= max(recalls) + 1e-9]
    return read_heights(recalls, precisions, points) if points else 0.0


@mistake("average_precision", "You take the mean precision at the right boxes; COCO takes the filled curve's height.")
def mean_at_the_right_ones(scores, is_right, num_actual):
    _, precisions = curve(scores, is_right, num_actual)
    right = is_right[scores.argsort(descending=True)].tolist()
    return sum(p for p, one in zip(precisions, right) if one) / num_actual


@mistake(
    "average_precision",
    "You compute the area exactly, by adding up steps; COCO reads 101 places.",
)
def exact_area(scores, is_right, num_actual):
    recalls, precisions = curve(scores, is_right, num_actual)
    area_so_far, before = 0.0, 0.0
    for index, recall in enumerate(recalls):
        area_so_far += (recall - before) * max(precisions[index:])
        before = recall
    return area_so_far


@mistake("average_precision", "You return the precision of the whole list.")
def precision_alone(scores, is_right, num_actual):
    return float(is_right.float().mean()) if len(scores) else 0.0


@mistake("average_precision", "A recall counts as soon as it is reached: at least, not above.")
def above_the_recall(scores, is_right, num_actual):
    recalls, precisions = curve(scores, is_right, num_actual)
    points = [percent / 100 for percent in range(101)]
    heights = [max((p for r, p in zip(recalls, precisions) if r > point + 1e-9), default=0.0) for point in points]
    return sum(heights) / 101


@mistake("average_precision", "The best precision is that at the recall or further on; yours is the best up to there.")
def best_so_far(scores, is_right, num_actual):
    recalls, precisions = curve(scores, is_right, num_actual)
    heights = []
    for percent in range(101):
        first = next((i for i, recall in enumerate(recalls) if recall * 100 >= percent - 1e-9), None)
        heights.append(0.0 if first is None else max(precisions[: first + 1]))
    return sum(heights) / 101


@mistake("average_precision", "There are 101 recalls from 0 to 1; divide by 101.")
def divided_by_100(scores, is_right, num_actual):
    return solution.average_precision(scores, is_right, num_actual) * 101 / 100


@variant("average_precision")
def as_coco_does(scores, is_right, num_actual):
    right = is_right[scores.argsort(descending=True)].double()
    found = right.cumsum(0)
    recall, precision = found / num_actual, found / torch.arange(1, len(right) + 1)
    envelope = precision.flip(0).cummax(0).values.flip(0) if len(right) else precision
    places = torch.searchsorted(recall, torch.linspace(0, 1, 101, dtype=torch.float64))
    return torch.cat([envelope, torch.zeros(1, dtype=torch.float64)])[places].mean().item()


@variant("average_precision")
def by_envelope(scores, is_right, num_actual):
    recalls, precisions = curve(scores, is_right, num_actual)
    for index in range(len(precisions) - 2, -1, -1):
        precisions[index] = max(precisions[index], precisions[index + 1])
    heights = torch.zeros(101, dtype=torch.float64)
    for percent in range(101):
        reached = [index for index, recall in enumerate(recalls) if round(recall * 100, 6) >= percent]
        if reached:
            heights[percent] = precisions[reached[0]]
    return heights.mean().item()
