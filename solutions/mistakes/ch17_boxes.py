"""Common mistakes in the exercises of chapter 17, and other right answers."""

import re
from itertools import combinations, permutations

import torch
from torch import Tensor

from grader import mistake, variant
from solutions import ch17_boxes as solution


def write(
    box: list[float], height: int, width: int, to_bin=lambda fraction: round(fraction * 1023), digits: int = 4
) -> str:
    """The location tokens of a box; `to_bin` turns a fraction of the side into a bin."""
    fractions = (min(max(value / size, 0), 1) for value, size in zip(box, (height, width, height, width)))
    return "".join(f"<loc{to_bin(fraction):0{digits}d}>" for fraction in fractions)


@mistake("write_box", "x and y are swapped. PaliGemma writes y_min first, then x_min, y_max, x_max.")
def x_first(box, height, width) -> str:
    y_min, x_min, y_max, x_max = box
    return solution.write_box([x_min, y_min, x_max, y_max], width, height)


@mistake("write_box", "You divided y by the width and x by the height. Divide y by the height and x by the width.")
def sides_swapped(box, height, width) -> str:
    return solution.write_box(box, width, height)


@mistake("write_box", "You divided all four by the height. Divide x by the width.")
def height_for_all(box, height, width) -> str:
    return solution.write_box(box, height, height)


@mistake(
    "write_box", "You used 1024 steps, so the right edge becomes <loc1024>, which does not exist. Multiply by 1023."
)
def steps_1024(box, height, width) -> str:
    return write(box, height, width, lambda fraction: round(fraction * 1024))


@mistake("write_box", "You used 1024 steps, clipped at 1023. Multiply by 1023, so that both edges are exact.")
def steps_1024_clipped(box, height, width) -> str:
    return write(box, height, width, lambda fraction: min(round(fraction * 1024), 1023))


@mistake("write_box", "You used 1024 steps and rounded down. Multiply by 1023 and round to the nearest bin.")
def steps_1024_rounded_down(box, height, width) -> str:
    return write(box, height, width, lambda fraction: min(int(fraction * 1024), 1023))


@mistake("write_box", "You rounded down. Round to the nearest bin.")
def rounded_down(box, height, width) -> str:
    return write(box, height, width, lambda fraction: int(fraction * 1023))


@mistake("write_box", "You rounded up. Round to the nearest bin.")
def rounded_up(box, height, width) -> str:
    return write(box, height, width, lambda fraction: -int(-fraction * 1023 // 1))


@mistake("write_box", "You did not clip coordinates outside the image: <loc-051> and <loc1151> do not exist.")
def not_clipped(box, height, width) -> str:
    sizes = (height, width, height, width)
    return "".join(f"<loc{round(value / size * 1023):04d}>" for value, size in zip(box, sizes))


@mistake("write_box", "You clipped only large coordinates. Negative ones go to bin 0.")
def clipped_above_only(box, height, width) -> str:
    sizes = (height, width, height, width)
    return "".join(f"<loc{round(min(value / size, 1) * 1023):04d}>" for value, size in zip(box, sizes))


@mistake("write_box", "Leading zeros are missing. A bin has four digits: <loc0042>.")
def without_zeros(box, height, width) -> str:
    return write(box, height, width, digits=1)


@mistake("write_box", "You wrote y, x, height and width. PaliGemma writes where the box ends: y_max and x_max.")
def height_and_width(box, height, width) -> str:
    y_min, x_min, y_max, x_max = box
    return solution.write_box([y_min, x_min, y_max - y_min, x_max - x_min], height, width)


@mistake("write_box", "There are spaces between your tokens. Join them without spaces.")
def with_spaces(box, height, width) -> str:
    return solution.write_box(box, height, width).replace("><", "> <")


@variant("write_box")
def by_tensor(box, height, width) -> str:
    sizes = torch.tensor([height, width, height, width], dtype=torch.float64)
    bins = (torch.tensor(box, dtype=torch.float64) / sizes).clamp(0, 1).mul(1023).add(0.5).floor().int()
    return "".join("<loc" + str(bin).zfill(4) + ">" for bin in bins.tolist())


ITEM = r"((?:<loc\d*>)+)([^;<>]*)"


def read(text, height, width, item=ITEM, is_valid=None, is_box=None, value=None) -> list[tuple[str, list[float]]]:
    """The solution with one of its rules replaced."""
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


@mistake("read_answer", "You read x first. The tokens are y_min, x_min, y_max, x_max.")
def read_x_first(text, height, width):
    return [(name, [b[1], b[0], b[3], b[2]]) for name, b in solution.read_answer(text, width, height)]


@mistake("read_answer", "Height and width are swapped. y is a fraction of the height, x of the width.")
def read_sides_swapped(text, height, width):
    return solution.read_answer(text, width, height)


@mistake("read_answer", "You divided by 1024. Bin 1023 is the image's edge, so divide by 1023.")
def read_1024(text, height, width):
    return read(text, height, width, value=lambda d, size: int(d) * size / 1024)


@mistake("read_answer", "You returned bins. Convert them to pixels: bin * side / 1023.")
def read_bins(text, height, width):
    return read(text, height, width, value=lambda d, size: float(int(d)))


@mistake("read_answer", "You rounded to whole pixels. Do not round.")
def read_whole_pixels(text, height, width):
    return read(text, height, width, value=lambda d, size: float(round(int(d) * size / 1023)))


@mistake(
    "read_answer",
    "You took location tokens four at a time, so an invalid item shifts all that follow. Parse item by item.",
)
def four_at_a_time(text, height, width):
    bins = [int(d) for d in re.findall(r"<loc(\d{4})>", text)]
    names = [part.strip() for part in re.sub(r"<loc\d*>", "", text).split(";")]
    sizes = (height, width, height, width)
    boxes = [[b * s / 1023 for b, s in zip(bins[i : i + 4], sizes)] for i in range(0, len(bins) - 3, 4)]
    return [(name, box) for name, box in zip(names, boxes) if box[2] > box[0] and box[3] > box[1]]


@mistake(
    "read_answer", "You used the last four tokens of a longer run. Skip the item: which four were meant is unknown."
)
def last_four_of_a_run(text, height, width):
    return read(text, height, width, item=r"((?:<loc\d*>){4})([^;<>]*)")


@mistake("read_answer", "You used the first four tokens of a longer run. Skip the item.")
def first_four_of_a_run(text, height, width):
    found = []
    for run, name in re.findall(ITEM, text):
        first = "".join(re.findall(r"<loc\d*>", run)[:4])
        found += [(name.strip(), box) for _, box in solution.read_answer(first, height, width)]
    return found


@mistake(
    "read_answer",
    "You accepted a bin above 1023 as a position outside the image. Such a token does not exist: skip the item.",
)
def bins_above_1023(text, height, width):
    return read(text, height, width, is_valid=lambda d: len(d) == 4)


@mistake("read_answer", "You accepted bin 1024. The last bin is 1023.")
def up_to_1024(text, height, width):
    return read(text, height, width, is_valid=lambda d: len(d) == 4 and int(d) <= 1024)


@mistake("read_answer", "You rejected bin 1023. It exists: it is the right or lower edge of the image.")
def below_1023(text, height, width):
    return read(text, height, width, is_valid=lambda d: len(d) == 4 and int(d) < 1023)


@mistake("read_answer", "You rejected bin 0. It exists: it is the left or upper edge of the image.")
def without_bin_0(text, height, width):
    return read(text, height, width, is_valid=lambda d: len(d) == 4 and 0 < int(d) <= 1023)


@mistake("read_answer", "You dropped invalid tokens and used the rest of the run. Skip the whole item.")
def invalid_tokens_dropped(text, height, width):
    found = []
    for run, name in re.findall(ITEM, text):
        good = [d for d in re.findall(r"<loc(\d*)>", run) if len(d) == 4 and int(d) <= 1023]
        found += solution.read_answer("".join(f"<loc{d}>" for d in good) + name, height, width)
    return found


@mistake(
    "read_answer", "You made two boxes of a run of eight. Skip an item whose run does not have exactly four tokens."
)
def eight_are_two(text, height, width):
    found = []
    for run, name in re.findall(ITEM, text):
        tokens = re.findall(r"<loc\d*>", run)
        parts = [tokens[i : i + 4] for i in range(0, len(tokens), 4)] if len(tokens) % 4 == 0 else [tokens]
        for part in parts:
            found += [(name.strip(), box) for _, box in solution.read_answer("".join(part), height, width)]
    return found


@mistake("read_answer", "You clipped a bin above 1023. Skip the item: what was meant is unknown.")
def bins_clipped(text, height, width):
    def value(d, size):
        return min(int(d), 1023) * size / 1023

    return read(text, height, width, is_valid=lambda d: len(d) == 4, value=value)


@mistake("read_answer", "You accepted tokens like <loc999> or <loc01000>. A valid token has exactly four digits.")
def any_number_of_digits(text, height, width):
    return read(text, height, width, is_valid=lambda d: int(d) <= 1023)


@mistake("read_answer", "You returned boxes that are empty or end before they begin. Skip them.")
def empty_boxes_too(text, height, width):
    return read(text, height, width, is_box=lambda b: True)


@mistake("read_answer", "You returned boxes whose maximum equals the minimum. They are empty: skip them.")
def flat_boxes_too(text, height, width):
    return read(text, height, width, is_box=lambda b: b[2] >= b[0] and b[3] >= b[1])


@mistake("read_answer", "You swapped the ends of boxes that end before they begin. Skip them instead.")
def ends_swapped(text, height, width):
    found = read(text, height, width, is_box=lambda b: b[2] != b[0] and b[3] != b[1])
    return [(name, [min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3])]) for name, b in found]


@mistake("read_answer", "You checked the height only. A box without width is empty too: skip it.")
def only_height_checked(text, height, width):
    return read(text, height, width, is_box=lambda b: b[2] > b[0])


@mistake("read_answer", "You skipped boxes without a name. Return them with the name .")
def nameless_lost(text, height, width):
    return [(name, box) for name, box in solution.read_answer(text, height, width) if name]


@mistake("read_answer", "There are spaces around your names. Strip them.")
def spaces_kept(text, height, width):
    item = re.compile(r"(?:<loc\d*>)+([^;<>]*)")
    names = [m[1] for m in item.finditer(text) if solution.read_answer(m[0], height, width)]
    return [(name, box) for name, (_, box) in zip(names, solution.read_answer(text, height, width))]


@mistake(
    "read_answer", 'You cut names at a space. A name such as "fire truck" ends at ";" or at the next location token.'
)
def names_of_one_word(text, height, width):
    return read(text, height, width, item=r"((?:<loc\d*>)+)(\s*\w*)")


@mistake(
    "read_answer",
    'You split at ";" first, which loses an item if a ";" is missing. A name also ends at a location token.',
)
def split_first(text, height, width):
    found = []
    for part in text.split(";"):
        found += solution.read_answer(part, height, width)[:1]
    return found


@mistake("read_answer", "You skipped items with text before their run. Ignore that text and keep the item.")
def no_preamble(text, height, width):
    parts = [part for part in text.split(";") if part.strip().startswith("<loc")]
    return solution.read_answer(";".join(parts), height, width)


@mistake("read_answer", "You stopped at the first invalid item. Skip it and continue with the next.")
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


@mistake(
    "iou_matrix",
    "If two boxes are apart in both y and x, two negative sides give a positive area. Clip each side at 0.",
)
def sides_not_clipped(boxes, others):
    low, high = corners(boxes, others)
    shared = (high - low).prod(-1)
    union = area(boxes)[:, None] + area(others)[None] - shared
    return torch.where(union > 0, shared / union, 0.0)


@mistake("iou_matrix", "You clipped the area, but two negative sides have a positive product. Clip each side at 0.")
def area_clipped(boxes, others):
    low, high = corners(boxes, others)
    shared = (high - low).prod(-1).clamp(min=0)
    union = area(boxes)[:, None] + area(others)[None] - shared
    return torch.where(shared > 0, shared / union, 0.0)


@mistake("iou_matrix", "Two empty boxes give 0 / 0 = NaN. Return 0 wherever nothing is shared.")
def nan_for_empty(boxes, others):
    low, high = corners(boxes, others)
    shared = (high - low).clamp(min=0).prod(-1)
    return shared / (area(boxes)[:, None] + area(others)[None] - shared)


@mistake("iou_matrix", "You divided by the sum of both areas, which counts the shared area twice. Subtract it once.")
def divided_by_the_sum(boxes, others):
    low, high = corners(boxes, others)
    shared = (high - low).clamp(min=0).prod(-1)
    return torch.where(shared > 0, shared / (area(boxes)[:, None] + area(others)[None]), 0.0)


@mistake(
    "iou_matrix", "You divided by the area of the enclosing box. Divide by the union, the area that the two cover."
)
def divided_by_the_enclosing_box(boxes, others):
    low, high = corners(boxes, others)
    shared = (high - low).clamp(min=0).prod(-1)
    enclosing = torch.maximum(boxes[:, None, 2:], others[None, :, 2:]) - torch.minimum(
        boxes[:, None, :2], others[None, :, :2]
    )
    return torch.where(shared > 0, shared / enclosing.prod(-1), 0.0)


@mistake(
    "iou_matrix", "You divided by the smaller area, so a small box inside a large one gets 1. Divide by the union."
)
def divided_by_the_smaller(boxes, others):
    low, high = corners(boxes, others)
    shared = (high - low).clamp(min=0).prod(-1)
    return torch.where(shared > 0, shared / torch.minimum(area(boxes)[:, None], area(others)[None]), 0.0)


@mistake("iou_matrix", "You divided by the first box's area. Divide by the union.")
def divided_by_the_first(boxes, others):
    low, high = corners(boxes, others)
    shared = (high - low).clamp(min=0).prod(-1)
    return torch.where(shared > 0, shared / area(boxes)[:, None], 0.0)


@mistake(
    "iou_matrix", "You added 1 to each side, as for integer pixels with inclusive maxima. These maxima are exclusive."
)
def plus_one(boxes, others):
    grown = [torch.cat([b[:, :2], b[:, 2:] + 1], dim=-1) for b in (boxes, others)]
    return solution.iou_matrix(*grown)


@mistake(
    "iou_matrix",
    "You added a small number to the union, which lowers every IoU, most for small boxes. Use torch.where.",
)
def with_epsilon(boxes, others):
    low, high = corners(boxes, others)
    shared = (high - low).clamp(min=0).prod(-1)
    return shared / (area(boxes)[:, None] + area(others)[None] - shared + 1e-3)


@mistake("iou_matrix", "You clamped the union at 1, which is far too large for small boxes. Use torch.where.")
def union_at_least_1(boxes, others):
    low, high = corners(boxes, others)
    shared = (high - low).clamp(min=0).prod(-1)
    return shared / (area(boxes)[:, None] + area(others)[None] - shared).clamp(min=1)


@mistake("iou_matrix", "Your matrix is transposed. Return a row for each of `boxes` and a column for each of `others`.")
def transposed(boxes, others):
    return solution.iou_matrix(others, boxes)


@mistake("iou_matrix", "You returned the intersection. Divide it by the union.")
def intersection_only(boxes, others):
    low, high = corners(boxes, others)
    return (high - low).clamp(min=0).prod(-1)


@mistake(
    "iou_matrix",
    "A box that ends before it begins in both directions gets a positive area. It is empty: clip each side at 0.",
)
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


def go_through(ious, scores, min_iou, order) -> Tensor:
    left, right = ious.clone(), torch.zeros(len(scores), dtype=torch.bool)
    for index in order:
        if left.shape[1] and left[index].max() >= min_iou:
            right[index] = True
            left[:, left[index].argmax()] = -1
    return right


@mistake("match_by_confidence", "You matched the boxes in row order. Go by score, the most confident first.")
def in_order_of_rows(ious, scores, min_iou):
    return go_through(ious, scores, min_iou, range(len(scores)))


@mistake("match_by_confidence", "You started with the least confident box. Start with the most confident.")
def least_confident_first(ious, scores, min_iou):
    return go_through(ious, scores, min_iou, scores.argsort())


@mistake("match_by_confidence", "You counted several boxes on one object as right. Each object can be matched once.")
def duplicates_count(ious, scores, min_iou):
    return (ious >= min_iou).any(1) if ious.shape[1] else torch.zeros(len(scores), dtype=torch.bool)


@mistake(
    "match_by_confidence",
    "You gave up on a box whose best object is taken. It gets the best object that is still free.",
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


@mistake(
    "match_by_confidence",
    "You matched a box to the first free object with enough overlap. Take the one with the highest IoU.",
)
def first_object_that_fits(ious, scores, min_iou):
    taken, right = set(), torch.zeros(len(scores), dtype=torch.bool)
    for index in scores.argsort(descending=True):
        for column in range(ious.shape[1]):
            if ious[index, column] >= min_iou and column not in taken:
                taken.add(column)
                right[index] = True
                break
    return right


@mistake("match_by_confidence", "You required an IoU above min_iou. An IoU equal to min_iou counts too.")
def above_min_iou(ious, scores, min_iou):
    return solution.match_by_confidence(ious, scores, min_iou + 1e-6)


@mistake("match_by_confidence", "You matched the pair with the highest IoU first. The most confident box chooses first.")
def best_overlap_first(ious, scores, min_iou):
    left, right = ious.clone(), torch.zeros(len(scores), dtype=torch.bool)
    while left.numel() and left.max() >= min_iou:
        row, column = divmod(int(left.argmax()), left.shape[1])
        right[row] = True
        left[row], left[:, column] = -1, -1
    return right


@mistake("match_by_confidence", "You chose the best box for each object. The boxes choose, the most confident first.")
def objects_choose(ious, scores, min_iou):
    right = torch.zeros(len(scores), dtype=torch.bool)
    for column in range(ious.shape[1] if len(scores) else 0):
        best = ious[:, column].argmax()
        right[best] = bool(right[best]) or bool(ious[best, column] >= min_iou)
    return right


@mistake(
    "match_by_confidence",
    "You maximized the number of matches. Match greedily: each box in turn takes its best free object.",
)
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


@mistake("match_by_confidence", "Your result is in the order of the scores. Return it in the order of the rows.")
def in_order_of_scores(ious, scores, min_iou):
    return solution.match_by_confidence(ious, scores, min_iou)[scores.argsort(descending=True)]


@mistake("match_by_confidence", "A box below min_iou takes its object away from other boxes. It should take none.")
def bad_boxes_take_too(ious, scores, min_iou):
    left, right = ious.clone(), torch.zeros(len(scores), dtype=torch.bool)
    for index in scores.argsort(descending=True):
        if left.shape[1] and left[index].max() >= 0:
            right[index] = bool(left[index].max() >= min_iou)
            left[:, left[index].argmax()] = -1
    return right


@mistake("match_by_confidence", "You always used 0.5. Use `min_iou`.")
def always_one_half(ious, scores, min_iou):
    return solution.match_by_confidence(ious, scores, 0.5)


@variant("match_by_confidence")
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


@mistake("average_precision", "You did not sort the boxes by score.")
def not_sorted(scores, is_right, num_actual):
    return solution.average_precision(torch.arange(len(scores), 0, -1).float(), is_right, num_actual)


@mistake("average_precision", "You sorted the least confident first. The most confident comes first.")
def sorted_upwards(scores, is_right, num_actual):
    return solution.average_precision(-scores, is_right, num_actual)


@mistake(
    "average_precision",
    "You used the precision at the first point that reaches r. Take the highest precision there or later.",
)
def without_envelope(scores, is_right, num_actual):
    recalls, precisions = curve(scores, is_right, num_actual)
    heights = []
    for percent in range(101):
        at = [p for r, p in zip(recalls, precisions) if r * 100 >= percent - 1e-9]
        heights.append(at[0] if at else 0.0)
    return sum(heights) / 101


@mistake("average_precision", "You divided by the number of right boxes to get the recall. Divide by num_actual.")
def recall_of_the_found(scores, is_right, num_actual):
    return solution.average_precision(scores, is_right, max(int(is_right.sum()), 1))


@mistake("average_precision", "You averaged over 11 recalls, as PASCAL VOC did in 2007. COCO uses 101.")
def eleven_points(scores, is_right, num_actual):
    return read_heights(*curve(scores, is_right, num_actual), [tenth / 10 for tenth in range(11)])


@mistake("average_precision", "You left out recall 0. Average over the 101 recalls from 0 to 1.")
def without_recall_0(scores, is_right, num_actual):
    return read_heights(*curve(scores, is_right, num_actual), [percent / 100 for percent in range(1, 101)])


@mistake("average_precision", "You averaged over the recalls that are reached. Those beyond count as 0.")
def only_what_is_reached(scores, is_right, num_actual):
    recalls, precisions = curve(scores, is_right, num_actual)
    points = [percent / 100 for percent in range(101) if recalls and percent / 100 <= max(recalls) + 1e-9]
    return read_heights(recalls, precisions, points) if points else 0.0


@mistake(
    "average_precision", "You averaged the precision at the right boxes. Average the curve's height at 101 recalls."
)
def mean_at_the_right_ones(scores, is_right, num_actual):
    _, precisions = curve(scores, is_right, num_actual)
    right = is_right[scores.argsort(descending=True)].tolist()
    return sum(p for p, one in zip(precisions, right) if one) / num_actual


@mistake(
    "average_precision",
    "You computed the exact area under the curve. COCO averages its height at 101 recalls.",
)
def exact_area(scores, is_right, num_actual):
    recalls, precisions = curve(scores, is_right, num_actual)
    area_so_far, before = 0.0, 0.0
    for index, recall in enumerate(recalls):
        area_so_far += (recall - before) * max(precisions[index:])
        before = recall
    return area_so_far


@mistake(
    "average_precision", "You returned the precision of the whole list. Average the curve's height at 101 recalls."
)
def precision_only(scores, is_right, num_actual):
    return float(is_right.float().mean()) if len(scores) else 0.0


@mistake("average_precision", "You required a recall above r. A recall equal to r counts too.")
def above_the_recall(scores, is_right, num_actual):
    recalls, precisions = curve(scores, is_right, num_actual)
    points = [percent / 100 for percent in range(101)]
    heights = [max((p for r, p in zip(recalls, precisions) if r > point + 1e-9), default=0.0) for point in points]
    return sum(heights) / 101


@mistake(
    "average_precision",
    "You took the highest precision up to the point that reaches r. Take the highest there or later.",
)
def best_so_far(scores, is_right, num_actual):
    recalls, precisions = curve(scores, is_right, num_actual)
    heights = []
    for percent in range(101):
        first = next((i for i, recall in enumerate(recalls) if recall * 100 >= percent - 1e-9), None)
        heights.append(0.0 if first is None else max(precisions[: first + 1]))
    return sum(heights) / 101


@mistake("average_precision", "You divided by 100. There are 101 recalls from 0 to 1.")
def divided_by_100(scores, is_right, num_actual):
    return solution.average_precision(scores, is_right, num_actual) * 101 / 100


@variant("average_precision")
def as_coco_does(scores, is_right, num_actual):
    right = is_right[scores.argsort(descending=True)].double()
    found = right.cumsum(0)
    recall, precision = found / num_actual, found / torch.arange(1, len(right) + 1)
    envelope = precision.flip(0).cummax(0).values.flip(0) if len(right) else precision
    indices = torch.searchsorted(recall, torch.linspace(0, 1, 101, dtype=torch.float64))
    return torch.cat([envelope, torch.zeros(1, dtype=torch.float64)])[indices].mean().item()


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
