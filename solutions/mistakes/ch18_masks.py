"""Mistakes people make in chapter 18, and other right answers."""

import math
import re

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from grader import mistake, variant
from solutions import ch18_masks as solution


@mistake("nearest_codes", "You take the largest product; a long code then wins against a near one. Take the distance.")
def by_product(vectors, codebook):
    return (vectors @ codebook.T).argmax(-1)


@mistake("nearest_codes", "You take the smallest angle (cosine); lengths count too. Take the distance.")
def by_angle(vectors, codebook):
    directions = [torch.nn.functional.normalize(states, dim=-1) for states in (vectors, codebook)]
    return (directions[0] @ directions[1].T).argmax(-1)


@mistake("nearest_codes", "You add up the sizes of the differences; add up their squares.")
def by_sum_of_sizes(vectors, codebook):
    return (vectors[:, :, None] - codebook).abs().sum(-1).argmin(-1)


@mistake("nearest_codes", "You take the largest of the D differences; add up their squares.")
def by_largest_difference(vectors, codebook):
    return (vectors[:, :, None] - codebook).abs().amax(-1).argmin(-1)


@mistake("nearest_codes", "You add up the differences with their signs and take the smallest sum; square them first.")
def smallest_signed_sum(vectors, codebook):
    return (vectors[:, :, None] - codebook).sum(-1).argmin(-1)


@mistake("nearest_codes", "You add up the differences with their signs, so that they cancel; square them first.")
def signs_cancel(vectors, codebook):
    return (vectors[:, :, None] - codebook).sum(-1).abs().argmin(-1)


@mistake("nearest_codes", "You take the farthest code: argmin, not argmax.")
def farthest(vectors, codebook):
    return torch.cdist(vectors, codebook[None]).argmax(-1)


@mistake("nearest_codes", "You find the nearest vector of each code; it is each vector that wants a code.")
def vectors_of_codes(vectors, codebook):
    nearest = torch.cdist(vectors, codebook[None]).argmin(1)  # [M, V]
    return nearest[:, :1].expand(-1, vectors.shape[1]).contiguous()


@mistake("nearest_codes", "In |v - c|² the product counts twice; you have it once.")
def product_once(vectors, codebook):
    return (codebook.square().sum(-1) - vectors @ codebook.T).argmin(-1)


@mistake("nearest_codes", "You return the codes themselves; return their numbers.")
def codes_themselves(vectors, codebook):
    return codebook[solution.nearest_codes(vectors, codebook)]


@mistake("nearest_codes", "Codes are numbered from 0.")
def numbered_from_1(vectors, codebook):
    return solution.nearest_codes(vectors, codebook) + 1


@variant("nearest_codes")
def vector_by_vector(vectors, codebook):
    def nearest(vector: Tensor) -> int:
        return min(range(len(codebook)), key=lambda code: (vector - codebook[code]).norm().item())

    return torch.tensor([[nearest(vector) for vector in row] for row in vectors])


@variant("nearest_codes")
def by_the_formula(vectors, codebook):
    vectors, codebook = vectors.double(), codebook.double()
    return (codebook.square().sum(-1) - 2 * vectors @ codebook.T).argmin(-1)


@mistake("straight_through", "You write the codes into `vectors` themselves: the losses then see no difference.")
def vectors_overwritten(vectors, chosen):
    with torch.no_grad():
        vectors.copy_(chosen)
    return vectors


@mistake(
    "straight_through",
    "The values are right, and the gradient goes to the codes: you return these, or `vectors + (chosen - vectors)`, "
    "where the vectors cancel without `detach`.",
)
def codes_alone(vectors, chosen):
    return chosen


@mistake("straight_through", "You return the codes without any gradient.")
def codes_detached(vectors, chosen):
    return chosen.detach()


@mistake("straight_through", "You return the vectors: nothing has been replaced.")
def vectors_alone(vectors, chosen):
    return vectors


@mistake("straight_through", "The gradient goes to the codes: you have vectors and codes the other way round.")
def gradient_to_codes(vectors, chosen):
    return chosen + (vectors - chosen).detach()


@mistake("straight_through", "The gradient goes to both; only the vectors should get it.")
def gradient_to_both(vectors, chosen):
    return chosen + vectors - vectors.detach()


@mistake("straight_through", "Half of the vector and half of the code: the value should be the code's alone.")
def halfway(vectors, chosen):
    return (vectors + chosen.detach()) / 2


@variant("straight_through")
def by_an_added_zero(vectors, chosen):
    return chosen.detach() + vectors - vectors.detach()


@variant("straight_through")
def by_a_function(vectors, chosen):
    class Replace(torch.autograd.Function):
        @staticmethod
        def forward(context, vectors, chosen):
            return chosen.clone()

        @staticmethod
        def backward(context, gradient):
            return gradient, None

    return Replace.apply(vectors, chosen)


def mean_square(difference: Tensor) -> Tensor:
    return difference.square().mean()


@mistake("pull_together", "Nothing is detached, so that each of the two terms moves both.")
def neither_detached(vectors, chosen, commitment):
    return mean_square(chosen - vectors), commitment * mean_square(vectors - chosen)


@mistake("pull_together", "In the second term nothing is detached, so that it moves the codes as well.")
def second_not_detached(vectors, chosen, commitment):
    return mean_square(chosen - vectors.detach()), commitment * mean_square(vectors - chosen)


@mistake("pull_together", "In the first term nothing is detached, so that it moves the vectors as well.")
def first_not_detached(vectors, chosen, commitment):
    return mean_square(chosen - vectors), commitment * mean_square(vectors - chosen.detach())


@mistake("pull_together", "The first moves the vectors and the second the codes: you detach the wrong one in each.")
def detached_the_wrong_one(vectors, chosen, commitment):
    return mean_square(chosen.detach() - vectors), commitment * mean_square(vectors.detach() - chosen)


@mistake("pull_together", "Both of them are detached, so that nothing moves.")
def both_detached(vectors, chosen, commitment):
    loss = mean_square(chosen.detach() - vectors.detach())
    return loss, commitment * loss


@mistake("pull_together", "The factor belongs to the second term, not to the first.")
def factor_on_the_first(vectors, chosen, commitment):
    first, second = solution.pull_together(vectors, chosen, commitment)
    return commitment * first, second / commitment


@mistake("pull_together", "The factor stands at both terms; it belongs to the second alone.")
def factor_on_both(vectors, chosen, commitment):
    first, second = solution.pull_together(vectors, chosen, commitment)
    return commitment * first, second


@mistake("pull_together", "The factor is missing.")
def without_the_factor(vectors, chosen, commitment):
    first, second = solution.pull_together(vectors, chosen, commitment)
    return first, second / commitment


@mistake("pull_together", "You return the two in the other order: first what moves the codes.")
def other_order(vectors, chosen, commitment):
    return solution.pull_together(vectors, chosen, commitment)[::-1]


@mistake("pull_together", "You add up the D squares and take the mean over the vectors; the mean is over all numbers.")
def summed_over_width(vectors, chosen, commitment):
    width = vectors.shape[-1] if vectors.shape[-1] > 1 else 2
    first, second = solution.pull_together(vectors, chosen, commitment)
    return first * width, second * width


@mistake("pull_together", "You take the sum of the squares; take their mean.")
def summed(vectors, chosen, commitment):
    first, second = solution.pull_together(vectors, chosen, commitment)
    return first * vectors.numel(), second * vectors.numel()


@mistake("pull_together", "You take the size of the differences; square them.")
def sizes(vectors, chosen, commitment):
    return (chosen - vectors.detach()).abs().mean(), commitment * (vectors - chosen.detach()).abs().mean()


@mistake("pull_together", "You take the mean distance, the root; take the mean of the squares.")
def roots(vectors, chosen, commitment):
    first, second = solution.pull_together(vectors, chosen, commitment)
    return first.sqrt(), commitment * (second / commitment).sqrt()


@mistake("pull_together", "Both terms move the codes; the second should move the vectors.")
def both_move_codes(vectors, chosen, commitment):
    loss = mean_square(chosen - vectors.detach())
    return loss, commitment * loss


@variant("pull_together")
def with_mse_loss(vectors, chosen, commitment):
    loss = torch.nn.functional.mse_loss
    return loss(chosen, vectors.data), loss(vectors, chosen.data) * commitment


def read(text: str, pattern: str = r"<seg(\d*)>", number: int = 16, is_code=lambda d: len(d) == 3 and int(d) < 128):
    digits = re.findall(pattern, text)
    return [int(d) for d in digits] if len(digits) == number and all(map(is_code, digits)) else None


@mistake("read_mask", "Codes that do not exist are left out, and the others counted: then 16 of 17 pass for a mask.")
def bad_ones_left_out(text):
    codes = [int(d) for d in re.findall(r"<seg(\d{3})>", text) if int(d) < 128]
    return codes if len(codes) == 16 else None


@mistake("read_mask", "Tokens of the wrong length are not seen, and so not counted.")
def wrong_lengths_not_seen(text):
    return read(text, r"<seg(\d{3})>")


@mistake("read_mask", "You do not count: fifteen codes, or none, are no mask.")
def not_counted(text):
    digits = re.findall(r"<seg(\d*)>", text)
    return [int(d) for d in digits] if all(len(d) == 3 and int(d) < 128 for d in digits) else None


@mistake("read_mask", "More than sixteen pass for a mask: nobody knows which sixteen were meant.")
def at_least_sixteen(text):
    digits = re.findall(r"<seg(\d*)>", text)[:16]
    return [int(d) for d in digits] if len(digits) == 16 and all(len(d) == 3 and int(d) < 128 for d in digits) else None


@mistake("read_mask", "Fewer than sixteen are filled up with zeros: all that follow the gap are in the wrong cell.")
def filled_with_zeros(text):
    digits = re.findall(r"<seg(\d*)>", text)
    if not 0 < len(digits) <= 16:
        return None
    return read("".join(f"<seg{d}>" for d in digits) + "<seg000>" * (16 - len(digits)))


@mistake("read_mask", "128 passes for a code: the alphabet ends at 127.")
def up_to_128(text):
    return read(text, is_code=lambda d: len(d) == 3 and int(d) <= 128)


@mistake("read_mask", "Any number passes for a code: the alphabet ends at 127.")
def any_number(text):
    return read(text, is_code=lambda d: len(d) == 3)


@mistake("read_mask", "A code that does not exist is taken for the nearest one that does; nobody knows what was meant.")
def brought_to_127(text):
    codes = read(text, is_code=lambda d: len(d) == 3)
    return None if codes is None else [min(code, 127) for code in codes]


@mistake("read_mask", "Tokens have three digits: <seg12> and <seg0012> are none.")
def any_length(text):
    return read(text, is_code=lambda d: d != "" and int(d) < 128)


@mistake("read_mask", "You read the locations too.")
def locations_too(text):
    return read(text, r"<(?:seg|loc)(\d*)>")


@mistake("read_mask", "You allow no other text beside the codes; there may be a box and a name.")
def nothing_else(text):
    return solution.read_mask(text) if re.fullmatch(r"(?:<seg\d*>)*", text) else None


@mistake("read_mask", "The codes are text; return numbers.")
def as_text(text):
    codes = solution.read_mask(text)
    return None if codes is None else [f"{code:03d}" for code in codes]


@mistake("read_mask", "Where there is no mask you return an empty list; return None.")
def empty_list(text):
    return solution.read_mask(text) or []


@mistake("read_mask", "Spaces between the tokens are allowed, and hide the mask from you.")
def no_spaces(text):
    return solution.read_mask(text) if re.search(r"(?:<seg\d*>){16}", text) else None


@variant("read_mask")
def by_a_table(text):
    table = {f"seg{code:03d}": code for code in range(128)}
    words = [word for word in re.split(r"[<>]", text) if word.startswith("seg")]
    codes = [table.get(word) for word in words]
    return codes if len(codes) == 16 and None not in codes else None


def paste(values, box, height, width, inside=lambda v: v > 0, resample=Image.Resampling.BILINEAR) -> Tensor:
    """The solution, with another way to stretch or to decide."""
    y_min, x_min, y_max, x_max = (round(edge) for edge in box)
    stretched = np.array(Image.fromarray(np.ascontiguousarray(values)).resize((x_max - x_min, y_max - y_min), resample))
    canvas = torch.zeros(height + 400, width + 400, dtype=torch.bool)
    canvas[200 + y_min : 200 + y_max, 200 + x_min : 200 + x_max] = torch.from_numpy(inside(stretched))
    return canvas[200 : 200 + height, 200 : 200 + width].clone()


@mistake("paste_mask", "The border is at 0.5 with you; decoded values run from -1 to 1, so it is at 0.")
def border_at_one_half(values, box, height, width):
    return paste(values, box, height, width, lambda v: v > 0.5)


@mistake("paste_mask", "The border is below 0 with you; it is at 0.")
def border_at_minus_one_half(values, box, height, width):
    return paste(values, box, height, width, lambda v: v > -0.5)


@mistake("paste_mask", "The whole box is inside (by `!= 0`, or a cast to bool?); only what is above 0 should be.")
def not_zero(values, box, height, width):
    return paste(values, box, height, width, lambda v: v != 0)


@mistake("paste_mask", "Inside and outside have changed places: above 0 is inside.")
def inside_out(values, box, height, width):
    return paste(values, box, height, width, lambda v: v < 0)


@mistake("paste_mask", "You compare with 0 first and stretch then: the border has the steps of the small mask.")
def threshold_first(values, box, height, width):
    return paste((values > 0).float().numpy(), box, height, width, lambda v: v > 0.5)


@mistake("paste_mask", "You compare with 0 first; stretched yes and no then counts as inside wherever a bit of it is.")
def threshold_first_any(values, box, height, width):
    return paste((values > 0).float().numpy(), box, height, width)


@mistake("paste_mask", "You stretch by taking the nearest pixel; stretch with bilinear interpolation.")
def nearest_pixel(values, box, height, width):
    return paste(values, box, height, width, resample=Image.Resampling.NEAREST)


@mistake("paste_mask", "Edges are cut off to whole pixels; round them.")
def edges_cut_off(values, box, height, width):
    return paste(values, tuple(math.floor(edge) for edge in box), height, width)


@mistake("paste_mask", "The box is one pixel too large: the maxima are not included.")
def one_pixel_larger(values, box, height, width):
    y_min, x_min, y_max, x_max = (round(edge) for edge in box)
    return paste(values, (y_min, x_min, y_max + 1, x_max + 1), height, width)


@mistake("paste_mask", "Where the box begins outside the picture, cut the shape's upper left part away.")
def upper_left_kept(values, box, height, width):
    y_min, x_min, y_max, x_max = (round(edge) for edge in box)
    size = (x_max - x_min, y_max - y_min)
    inside = torch.from_numpy(np.array(Image.fromarray(values.numpy()).resize(size, Image.Resampling.BILINEAR))) > 0
    mask = torch.zeros(height, width, dtype=torch.bool)
    top, left, bottom, right = max(y_min, 0), max(x_min, 0), min(y_max, height), min(x_max, width)
    mask[top:bottom, left:right] = inside[: bottom - top, : right - left]
    return mask


@mistake("paste_mask", "Where the box is smaller than the mask you pick single values; average (`antialias=True`).")
def not_averaged(values, box, height, width):
    y_min, x_min, y_max, x_max = (round(edge) for edge in box)
    stretched = torch.nn.functional.interpolate(
        values[None, None], size=(y_max - y_min, x_max - x_min), mode="bilinear", align_corners=False
    )[0, 0]
    canvas = torch.zeros(height + 400, width + 400, dtype=torch.bool)
    canvas[200 + y_min : 200 + y_max, 200 + x_min : 200 + x_max] = stretched > 0
    return canvas[200 : 200 + height, 200 : 200 + width].clone()


@mistake("paste_mask", "The mask is stretched over the whole picture; stretch it over its box.")
def over_the_picture(values, box, height, width):
    return paste(values, (0, 0, height, width), height, width)


@mistake("paste_mask", "The mask keeps its own size at the box's corner; stretch it over the box.")
def not_stretched(values, box, height, width):
    y_min, x_min, _, _ = (round(edge) for edge in box)
    side = values.shape[0]
    return paste(values, (y_min, x_min, y_min + side, x_min + side), height, width)


@mistake("paste_mask", "x and y have changed places: the box begins with y.")
def x_and_y_swapped(values, box, height, width):
    y_min, x_min, y_max, x_max = box
    return paste(values, (x_min, y_min, x_max, y_max), height, width)


@mistake("paste_mask", "The shape is mirrored along its diagonal.")
def transposed(values, box, height, width):
    return paste(values.T.numpy(), box, height, width)


@mistake("paste_mask", "PIL wants the width first, and you give it the height: the shape is stretched the wrong way.")
def height_first(values, box, height, width):
    y_min, x_min, y_max, x_max = (round(edge) for edge in box)
    canvas = paste(values, (0, 0, x_max - x_min, y_max - y_min), 400, 400)
    moved = torch.zeros(height + 800, width + 800, dtype=torch.bool)
    moved[200 + y_min : 600 + y_min, 200 + x_min : 600 + x_min] = canvas
    return moved[200 : 200 + height, 200 : 200 + width].clone()


@mistake("paste_mask", "The box is cut at the picture first, and the shape squeezed into the rest; cut afterwards.")
def squeezed_into_the_picture(values, box, height, width):
    y_min, x_min, y_max, x_max = box
    return paste(values, (max(y_min, 0), max(x_min, 0), min(y_max, height), min(x_max, width)), height, width)


@mistake("paste_mask", "A box that begins outside is pushed into the picture; cut away what lies outside.")
def pushed_in(values, box, height, width):
    y_min, x_min, y_max, x_max = box
    down, right = max(0, -y_min), max(0, -x_min)
    return paste(values, (y_min + down, x_min + right, y_max + down, x_max + right), height, width)


@variant("paste_mask")
def by_interpolate(values, box, height, width):
    y_min, x_min, y_max, x_max = (round(edge) for edge in box)
    size = (y_max - y_min, x_max - x_min)
    stretched = torch.nn.functional.interpolate(
        values[None, None], size=size, mode="bilinear", antialias=True, align_corners=False
    )[0, 0]
    mask = torch.zeros(height, width, dtype=torch.bool)
    for y in range(max(y_min, 0), min(y_max, height)):
        for x in range(max(x_min, 0), min(x_max, width)):
            mask[y, x] = stretched[y - y_min, x - x_min] > 0
    return mask
