"""Common mistakes in the exercises of chapter 18, and other right answers."""

import math
import re

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from grader import mistake, variant
from solutions import ch18_masks as solution


@mistake(
    "nearest_codes",
    "You took the largest dot product, which prefers long codes to near ones. Take the smallest distance.",
)
def by_dot_product(vectors, codebook):
    return (vectors @ codebook.T).argmax(-1)


@mistake("nearest_codes", "You took the largest cosine similarity, which ignores lengths. Take the smallest distance.")
def by_cosine_similarity(vectors, codebook):
    directions = [torch.nn.functional.normalize(states, dim=-1) for states in (vectors, codebook)]
    return (directions[0] @ directions[1].T).argmax(-1)


@mistake("nearest_codes", "You summed absolute differences. Sum their squares.")
def by_absolute_differences(vectors, codebook):
    return (vectors[:, :, None] - codebook).abs().sum(-1).argmin(-1)


@mistake("nearest_codes", "You used the largest of the D differences. Sum their squares.")
def by_largest_difference(vectors, codebook):
    return (vectors[:, :, None] - codebook).abs().amax(-1).argmin(-1)


@mistake("nearest_codes", "You took the smallest sum of signed differences. Square the differences first.")
def smallest_signed_sum(vectors, codebook):
    return (vectors[:, :, None] - codebook).sum(-1).argmin(-1)


@mistake("nearest_codes", "You summed signed differences, so they cancel. Square them first.")
def signs_cancel(vectors, codebook):
    return (vectors[:, :, None] - codebook).sum(-1).abs().argmin(-1)


@mistake("nearest_codes", "You took the farthest code. Use argmin, not argmax.")
def farthest(vectors, codebook):
    return torch.cdist(vectors, codebook[None]).argmax(-1)


@mistake("nearest_codes", "You found the nearest vector for each code. Find the nearest code for each vector.")
def vectors_of_codes(vectors, codebook):
    nearest = torch.cdist(vectors, codebook[None]).argmin(1)  # [M, V]
    return nearest[:, :1].expand(-1, vectors.shape[1]).contiguous()


@mistake("nearest_codes", "In |v - c|² = v² - 2 v·c + c² the dot product counts twice. You subtracted it once.")
def product_once(vectors, codebook):
    return (codebook.square().sum(-1) - vectors @ codebook.T).argmin(-1)


@mistake("nearest_codes", "You returned the codes themselves. Return their indices.")
def codes_themselves(vectors, codebook):
    return codebook[solution.nearest_codes(vectors, codebook)]


@mistake("nearest_codes", "You numbered the codes from 1. Number them from 0.")
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


@mistake("straight_through", "You overwrote `vectors` in place, so the losses see no difference. Return a new tensor.")
def vectors_overwritten(vectors, chosen):
    with torch.no_grad():
        vectors.copy_(chosen)
    return vectors


@mistake(
    "straight_through",
    "The values are right, but the gradient goes to the codes. You returned them, or `vectors + (chosen - vectors)`, "
    "where the vectors cancel: detach the difference.",
)
def codes_only(vectors, chosen):
    return chosen


@mistake("straight_through", "You returned the codes without any gradient. It should go to the vectors.")
def codes_detached(vectors, chosen):
    return chosen.detach()


@mistake("straight_through", "You returned the vectors. The result should have the values of the codes.")
def vectors_only(vectors, chosen):
    return vectors


@mistake("straight_through", "The gradient goes to the codes. Vectors and codes are swapped.")
def gradient_to_codes(vectors, chosen):
    return chosen + (vectors - chosen).detach()


@mistake("straight_through", "The gradient goes to both. Only the vectors should get it.")
def gradient_to_both(vectors, chosen):
    return chosen + vectors - vectors.detach()


@mistake("straight_through", "You averaged the vectors and the codes. The values should be those of the codes.")
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


@mistake("vq_losses", "Neither loss detaches anything, so each moves both. Detach the tensor that should stay.")
def neither_detached(vectors, chosen, commitment):
    return mean_square(chosen - vectors), commitment * mean_square(vectors - chosen)


@mistake("vq_losses", "The commitment loss moves the codes too. Detach them there.")
def second_not_detached(vectors, chosen, commitment):
    return mean_square(chosen - vectors.detach()), commitment * mean_square(vectors - chosen)


@mistake("vq_losses", "The codebook loss moves the vectors too. Detach them there.")
def first_not_detached(vectors, chosen, commitment):
    return mean_square(chosen - vectors), commitment * mean_square(vectors - chosen.detach())


@mistake(
    "vq_losses",
    "You detached the wrong tensor in each loss. The codebook loss moves the codes, the commitment loss the vectors.",
)
def wrong_one_detached(vectors, chosen, commitment):
    return mean_square(chosen.detach() - vectors), commitment * mean_square(vectors.detach() - chosen)


@mistake("vq_losses", "You detached both tensors, so nothing moves.")
def both_detached(vectors, chosen, commitment):
    loss = mean_square(chosen.detach() - vectors.detach())
    return loss, commitment * loss


@mistake("vq_losses", "You multiplied the codebook loss by `commitment`. Multiply the commitment loss instead.")
def factor_on_the_first(vectors, chosen, commitment):
    first, second = solution.vq_losses(vectors, chosen, commitment)
    return commitment * first, second / commitment


@mistake("vq_losses", "You multiplied both losses by `commitment`. Multiply the commitment loss only.")
def factor_on_both(vectors, chosen, commitment):
    first, second = solution.vq_losses(vectors, chosen, commitment)
    return commitment * first, second


@mistake("vq_losses", "You did not multiply the commitment loss by `commitment`.")
def without_the_factor(vectors, chosen, commitment):
    first, second = solution.vq_losses(vectors, chosen, commitment)
    return first, second / commitment


@mistake("vq_losses", "The two losses are swapped. Return the codebook loss, which moves the codes, first.")
def other_order(vectors, chosen, commitment):
    return solution.vq_losses(vectors, chosen, commitment)[::-1]


@mistake("vq_losses", "You averaged over the vectors only. Average over all M * K * D numbers.")
def summed_over_width(vectors, chosen, commitment):
    width = vectors.shape[-1] if vectors.shape[-1] > 1 else 2
    first, second = solution.vq_losses(vectors, chosen, commitment)
    return first * width, second * width


@mistake("vq_losses", "You summed the squares. Take their mean.")
def summed(vectors, chosen, commitment):
    first, second = solution.vq_losses(vectors, chosen, commitment)
    return first * vectors.numel(), second * vectors.numel()


@mistake("vq_losses", "You used absolute differences. Square them.")
def absolute_differences(vectors, chosen, commitment):
    return (chosen - vectors.detach()).abs().mean(), commitment * (vectors - chosen.detach()).abs().mean()


@mistake("vq_losses", "You took the square root of the mean. Return the mean of the squares.")
def roots(vectors, chosen, commitment):
    first, second = solution.vq_losses(vectors, chosen, commitment)
    return first.sqrt(), commitment * (second / commitment).sqrt()


@mistake("vq_losses", "Both losses move the codes. The commitment loss should move the vectors.")
def both_move_codes(vectors, chosen, commitment):
    loss = mean_square(chosen - vectors.detach())
    return loss, commitment * loss


@variant("vq_losses")
def with_mse_loss(vectors, chosen, commitment):
    loss = torch.nn.functional.mse_loss
    return loss(chosen, vectors.data), loss(vectors, chosen.data) * commitment


def read(text: str, pattern: str = r"<seg(\d*)>", number: int = 16, is_code=lambda d: len(d) == 3 and int(d) < 128):
    digits = re.findall(pattern, text)
    return [int(d) for d in digits] if len(digits) == number and all(map(is_code, digits)) else None


@mistake("read_mask", "You dropped invalid tokens and counted the rest, so 16 of 17 pass as a mask. Return None.")
def invalid_ones_dropped(text):
    codes = [int(d) for d in re.findall(r"<seg(\d{3})>", text) if int(d) < 128]
    return codes if len(codes) == 16 else None


@mistake("read_mask", "You ignored tokens with a wrong number of digits. They are invalid mask tokens: return None.")
def wrong_lengths_ignored(text):
    return read(text, r"<seg(\d{3})>")


@mistake("read_mask", "You did not count the tokens. Return None unless there are exactly sixteen.")
def not_counted(text):
    digits = re.findall(r"<seg(\d*)>", text)
    return [int(d) for d in digits] if all(len(d) == 3 and int(d) < 128 for d in digits) else None


@mistake("read_mask", "You accepted more than sixteen tokens. Which sixteen were meant is unknown: return None.")
def at_least_sixteen(text):
    digits = re.findall(r"<seg(\d*)>", text)[:16]
    return [int(d) for d in digits] if len(digits) == 16 and all(len(d) == 3 and int(d) < 128 for d in digits) else None


@mistake("read_mask", "You filled up a short mask with zeros, but a missing token may be anywhere. Return None.")
def filled_with_zeros(text):
    digits = re.findall(r"<seg(\d*)>", text)
    if not 0 < len(digits) <= 16:
        return None
    return read("".join(f"<seg{d}>" for d in digits) + "<seg000>" * (16 - len(digits)))


@mistake("read_mask", "You accepted code 128. The last code is 127.")
def up_to_128(text):
    return read(text, is_code=lambda d: len(d) == 3 and int(d) <= 128)


@mistake("read_mask", "You accepted any code. The last code is 127.")
def any_number(text):
    return read(text, is_code=lambda d: len(d) == 3)


@mistake("read_mask", "You clipped a code above 127. What was meant is unknown: return None.")
def clipped_to_127(text):
    codes = read(text, is_code=lambda d: len(d) == 3)
    return None if codes is None else [min(code, 127) for code in codes]


@mistake("read_mask", "You accepted tokens like <seg12> or <seg0012>. A valid token has exactly three digits.")
def any_length(text):
    return read(text, is_code=lambda d: d != "" and int(d) < 128)


@mistake("read_mask", "You parsed the location tokens too. Parse only the mask tokens.")
def locations_too(text):
    return read(text, r"<(?:seg|loc)(\d*)>")


@mistake("read_mask", "You rejected text around the mask tokens. There may be a box and a name.")
def nothing_else(text):
    return solution.read_mask(text) if re.fullmatch(r"(?:<seg\d*>)*", text) else None


@mistake("read_mask", "You returned strings. Return integers.")
def as_text(text):
    codes = solution.read_mask(text)
    return None if codes is None else [f"{code:03d}" for code in codes]


@mistake("read_mask", "You returned an empty list. Return None if there is no valid mask.")
def empty_list(text):
    return solution.read_mask(text) or []


@mistake("read_mask", "You rejected a mask with spaces between its tokens. They are allowed.")
def no_spaces(text):
    return solution.read_mask(text) if re.search(r"(?:<seg\d*>){16}", text) else None


@variant("read_mask")
def by_a_table(text):
    table = {f"seg{code:03d}": code for code in range(128)}
    words = [word for word in re.split(r"[<>]", text) if word.startswith("seg")]
    codes = [table.get(word) for word in words]
    return codes if len(codes) == 16 and None not in codes else None


def paste(values, box, height, width, inside=lambda v: v > 0, resample=Image.Resampling.BILINEAR) -> Tensor:
    """The solution with another way to resize or to threshold."""
    y_min, x_min, y_max, x_max = (round(edge) for edge in box)
    resized = np.array(Image.fromarray(np.ascontiguousarray(values)).resize((x_max - x_min, y_max - y_min), resample))
    canvas = torch.zeros(height + 400, width + 400, dtype=torch.bool)
    canvas[200 + y_min : 200 + y_max, 200 + x_min : 200 + x_max] = torch.from_numpy(inside(resized))
    return canvas[200 : 200 + height, 200 : 200 + width].clone()


@mistake("paste_mask", "Your threshold is 0.5. Decoded values range from -1 to 1, so threshold at 0.")
def border_at_one_half(values, box, height, width):
    return paste(values, box, height, width, lambda v: v > 0.5)


@mistake("paste_mask", "Your threshold is below 0. Threshold at 0.")
def border_at_minus_one_half(values, box, height, width):
    return paste(values, box, height, width, lambda v: v > -0.5)


@mistake(
    "paste_mask", "The whole box is in the mask, perhaps by `!= 0` or a cast to bool. Only values above 0 should be."
)
def not_zero(values, box, height, width):
    return paste(values, box, height, width, lambda v: v != 0)


@mistake("paste_mask", "Inside and outside are swapped. Values above 0 are inside.")
def inside_out(values, box, height, width):
    return paste(values, box, height, width, lambda v: v < 0)


@mistake("paste_mask", "You thresholded before resizing, so the border is jagged. Resize first.")
def threshold_first(values, box, height, width):
    return paste((values > 0).float().numpy(), box, height, width, lambda v: v > 0.5)


@mistake("paste_mask", "You thresholded before resizing, so every partly covered pixel counts as inside. Resize first.")
def threshold_first_any(values, box, height, width):
    return paste((values > 0).float().numpy(), box, height, width)


@mistake("paste_mask", "You resized with nearest-neighbor interpolation. Use bilinear interpolation.")
def nearest_pixel(values, box, height, width):
    return paste(values, box, height, width, resample=Image.Resampling.NEAREST)


@mistake("paste_mask", "You rounded the box's edges down. Round them to the nearest integer.")
def edges_rounded_down(values, box, height, width):
    return paste(values, tuple(math.floor(edge) for edge in box), height, width)


@mistake("paste_mask", "The box is one pixel too large. Its maxima are exclusive.")
def one_pixel_larger(values, box, height, width):
    y_min, x_min, y_max, x_max = (round(edge) for edge in box)
    return paste(values, (y_min, x_min, y_max + 1, x_max + 1), height, width)


@mistake(
    "paste_mask",
    "If the box begins outside the image, crop the upper and left part of the mask, not the lower and right.",
)
def upper_left_kept(values, box, height, width):
    y_min, x_min, y_max, x_max = (round(edge) for edge in box)
    size = (x_max - x_min, y_max - y_min)
    inside = torch.from_numpy(np.array(Image.fromarray(values.numpy()).resize(size, Image.Resampling.BILINEAR))) > 0
    mask = torch.zeros(height, width, dtype=torch.bool)
    top, left, bottom, right = max(y_min, 0), max(x_min, 0), min(y_max, height), min(x_max, width)
    mask[top:bottom, left:right] = inside[: bottom - top, : right - left]
    return mask


@mistake("paste_mask", "You did not average where the box is smaller than the mask. Use PIL or `antialias=True`.")
def not_averaged(values, box, height, width):
    y_min, x_min, y_max, x_max = (round(edge) for edge in box)
    resized = torch.nn.functional.interpolate(
        values[None, None], size=(y_max - y_min, x_max - x_min), mode="bilinear", align_corners=False
    )[0, 0]
    canvas = torch.zeros(height + 400, width + 400, dtype=torch.bool)
    canvas[200 + y_min : 200 + y_max, 200 + x_min : 200 + x_max] = resized > 0
    return canvas[200 : 200 + height, 200 : 200 + width].clone()


@mistake("paste_mask", "You resized the mask to the whole image. Resize it to its box.")
def over_the_image(values, box, height, width):
    return paste(values, (0, 0, height, width), height, width)


@mistake("paste_mask", "You did not resize the mask. Resize it to its box.")
def not_resized(values, box, height, width):
    y_min, x_min, _, _ = (round(edge) for edge in box)
    side = values.shape[0]
    return paste(values, (y_min, x_min, y_min + side, x_min + side), height, width)


@mistake("paste_mask", "x and y are swapped. The box is y_min, x_min, y_max, x_max.")
def x_and_y_swapped(values, box, height, width):
    y_min, x_min, y_max, x_max = box
    return paste(values, (x_min, y_min, x_max, y_max), height, width)


@mistake("paste_mask", "The mask is transposed.")
def transposed(values, box, height, width):
    return paste(values.T.numpy(), box, height, width)


@mistake("paste_mask", "You gave PIL the height first. Its `resize` takes (width, height).")
def height_first(values, box, height, width):
    y_min, x_min, y_max, x_max = (round(edge) for edge in box)
    canvas = paste(values, (0, 0, x_max - x_min, y_max - y_min), 400, 400)
    moved = torch.zeros(height + 800, width + 800, dtype=torch.bool)
    moved[200 + y_min : 600 + y_min, 200 + x_min : 600 + x_min] = canvas
    return moved[200 : 200 + height, 200 : 200 + width].clone()


@mistake(
    "paste_mask", "You cropped the box first and squeezed the mask into the rest. Resize to the whole box, then crop."
)
def squeezed_into_the_image(values, box, height, width):
    y_min, x_min, y_max, x_max = box
    return paste(values, (max(y_min, 0), max(x_min, 0), min(y_max, height), min(x_max, width)), height, width)


@mistake("paste_mask", "You moved a box that begins outside into the image. Crop what lies outside.")
def pushed_in(values, box, height, width):
    y_min, x_min, y_max, x_max = box
    down, right = max(0, -y_min), max(0, -x_min)
    return paste(values, (y_min + down, x_min + right, y_max + down, x_max + right), height, width)


@variant("paste_mask")
def by_interpolate(values, box, height, width):
    y_min, x_min, y_max, x_max = (round(edge) for edge in box)
    size = (y_max - y_min, x_max - x_min)
    resized = torch.nn.functional.interpolate(
        values[None, None], size=size, mode="bilinear", antialias=True, align_corners=False
    )[0, 0]
    mask = torch.zeros(height, width, dtype=torch.bool)
    for y in range(max(y_min, 0), min(y_max, height)):
        for x in range(max(x_min, 0), min(x_max, width)):
            mask[y, x] = resized[y - y_min, x - x_min] > 0
    return mask
