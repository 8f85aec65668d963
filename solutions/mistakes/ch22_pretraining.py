"""Mistakes people make in chapter 22, and other right answers."""

import math

import torch

from grader import mistake, variant
from solutions import ch22_pretraining as solution


def bell(marks, num_marks, exponent, normalize=True):
    weights = exponent((torch.arange(num_marks) - marks[:, None]).double()).exp()
    return (weights / weights.sum(-1, keepdim=True) if normalize else weights).float()


@mistake("soft_targets", "The rows do not sum to 1: divide by the sum over the ruler.")
def not_divided(marks, num_marks, sigma):
    return bell(marks, num_marks, lambda d: -(d**2) / (2 * sigma**2), normalize=False)


@mistake("soft_targets", "You divide by sigma √(2π), as on an endless line; at the ruler's ends that is not the sum.")
def divided_by_the_formula(marks, num_marks, sigma):
    weights = bell(marks, num_marks, lambda d: -(d**2) / (2 * sigma**2), normalize=False)
    return weights / (sigma * math.sqrt(2 * math.pi))


@mistake("soft_targets", "The 2 is missing: the distance squared is divided by 2 sigma².")
def without_the_2(marks, num_marks, sigma):
    return bell(marks, num_marks, lambda d: -(d**2) / sigma**2)


@mistake("soft_targets", "You divide by 2 sigma; divide by 2 sigma².")
def sigma_not_squared(marks, num_marks, sigma):
    return bell(marks, num_marks, lambda d: -(d**2) / (2 * sigma))


@mistake("soft_targets", "The distance is not squared: that is a tent with a long tail, and no bell.")
def distance_not_squared(marks, num_marks, sigma):
    return bell(marks, num_marks, lambda d: -d.abs() / (2 * sigma**2))


@mistake("soft_targets", "The sign is missing: far marks get more than near ones.")
def sign_missing(marks, num_marks, sigma):
    scaled = (torch.arange(num_marks) - marks[:, None]).double() ** 2 / (2 * sigma**2)
    return torch.softmax(scaled, dim=-1).float()


@mistake("soft_targets", "The bell is one mark too far to the right: marks are numbered from 0.")
def one_to_the_right(marks, num_marks, sigma):
    return solution.soft_targets(marks + 1, num_marks, sigma)


@mistake("soft_targets", "`x / 2 * sigma**2` is (x / 2) * sigma**2: put 2 sigma² in brackets.")
def brackets_missing(marks, num_marks, sigma):
    return bell(marks, num_marks, lambda d: -(d**2) / 2 * sigma**2)


@mistake("soft_targets", "You divide by the sum of all rows together; each row is divided by its own.")
def one_sum_for_all(marks, num_marks, sigma):
    weights = bell(marks, num_marks, lambda d: -(d**2) / (2 * sigma**2), normalize=False)
    return weights / weights.sum()


@mistake("soft_targets", "Rows and columns are swapped: each row is one target, each column one mark.")
def transposed(marks, num_marks, sigma):
    return solution.soft_targets(marks, num_marks, sigma).T


@mistake("soft_targets", "Only the right mark counts with you: its neighbours should get their part.")
def one_hot(marks, num_marks, sigma):
    return torch.nn.functional.one_hot(marks, num_marks).float()


@mistake("soft_targets", "You smooth evenly over all marks; near ones should get more.")
def label_smoothing(marks, num_marks, sigma):
    return 0.9 * torch.nn.functional.one_hot(marks, num_marks).float() + 0.1 / num_marks


@mistake("soft_targets", "The ruler is a circle with you: mark 0 and the last one are no neighbours.")
def on_a_circle(marks, num_marks, sigma):
    def exponent(d):
        around = torch.minimum(d.abs(), num_marks - d.abs())
        return -(around**2) / (2 * sigma**2)

    return bell(marks, num_marks, exponent)


@variant("soft_targets")
def mark_by_mark(marks, num_marks, sigma):
    rows = []
    for mark in marks.tolist():
        weights = [math.exp(-((place - mark) ** 2) / (2 * sigma**2)) for place in range(num_marks)]
        rows.append([weight / sum(weights) for weight in weights])
    return torch.tensor(rows)


def half_cosine(progress, peak, final):
    return final + (peak - final) * 0.5 * (1 + math.cos(math.pi * progress))


@mistake("learning_rate", "There is no warm-up.")
def no_warmup(step, num_steps, warmup_steps, peak, final):
    progress = max(step - warmup_steps, 0) / (num_steps - warmup_steps)
    return half_cosine(progress, peak, final)


@mistake("learning_rate", "The warm-up begins at 0: step 0 has the peak divided by warmup_steps.")
def warmup_from_0(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return peak * step / warmup_steps
    return solution.learning_rate(step, num_steps, warmup_steps, peak, final)


@mistake("learning_rate", "The cosine begins at step 0; it begins when the warm-up is over.")
def cosine_from_step_0(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return half_cosine(step / num_steps, peak, final)


@mistake("learning_rate", "After the warm-up the cosine takes num_steps more, so it never gets to its end.")
def cosine_too_long(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return half_cosine((step - warmup_steps) / num_steps, peak, final)


@mistake("learning_rate", "It falls along a straight line; half a cosine is asked for.")
def straight_down(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return peak + (final - peak) * (step - warmup_steps) / (num_steps - warmup_steps)


@mistake("learning_rate", "It falls to 0; it should fall to `final`.")
def falls_to_0(step, num_steps, warmup_steps, peak, final):
    return solution.learning_rate(step, num_steps, warmup_steps, peak, 0.0)


@mistake("learning_rate", "`final` is added to the whole curve, so the peak is too high.")
def final_added(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return solution.learning_rate(step, num_steps, warmup_steps, peak, 0.0) + final


@mistake("learning_rate", "A whole cosine goes down and up again; take half of it.")
def whole_cosine(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / (num_steps - warmup_steps)
    return half_cosine(2 * progress, peak, final)


@mistake("learning_rate", "After the warm-up nothing falls: half a cosine takes the rate down to `final`.")
def constant_after_warmup(step, num_steps, warmup_steps, peak, final):
    return peak * min(1, (step + 1) / warmup_steps)


@mistake("learning_rate", "A quarter of a cosine goes from 1 to 0; take half of one, from 1 to -1, shifted and halved.")
def quarter_cosine(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return final + (peak - final) * math.cos(math.pi / 2 * (step - warmup_steps) / (num_steps - warmup_steps))


@mistake("learning_rate", "The warm-up is one step too long: its last step is warmup_steps - 1, with the peak.")
def warmup_too_long(step, num_steps, warmup_steps, peak, final):
    if step <= warmup_steps:
        return peak * (step + 1) / warmup_steps
    return solution.learning_rate(step, num_steps, warmup_steps, peak, final)


@mistake("learning_rate", "The cosine is one step ahead: at step `warmup_steps` it is still at the peak.")
def one_step_ahead(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return half_cosine((step + 1 - warmup_steps) / (num_steps - warmup_steps), peak, final)


@mistake("learning_rate", "`final` is a rate, and no part of the peak.")
def final_as_a_part(step, num_steps, warmup_steps, peak, final):
    return solution.learning_rate(step, num_steps, warmup_steps, peak, final * peak)


@mistake("learning_rate", "The cosine runs from 1 to -1: shift it by 1 and halve it.")
def cosine_not_halved(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return final + (peak - final) * math.cos(math.pi * (step - warmup_steps) / (num_steps - warmup_steps))


@mistake("learning_rate", "The end is reached at the last step; it belongs to the step after it, num_steps.")
def one_step_early(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return half_cosine((step - warmup_steps) / (num_steps - 1 - warmup_steps), peak, final)


@mistake("learning_rate", "The rise starts from `final`; it is a part of the peak alone.")
def rise_from_final(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return final + (peak - final) * (step + 1) / warmup_steps
    return solution.learning_rate(step, num_steps, warmup_steps, peak, final)


@mistake("learning_rate", "With degrees instead of radians the cosine hardly falls: half a turn is π.")
def without_pi(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / (num_steps - warmup_steps)
    return final + (peak - final) * 0.5 * (1 + math.cos(progress))


@variant("learning_rate")
def by_a_squared_cosine(step, num_steps, warmup_steps, peak, final):
    if step + 1 <= warmup_steps:
        return (step + 1) * peak / warmup_steps
    part = math.cos(math.pi / 2 * (step - warmup_steps) / (num_steps - warmup_steps)) ** 2
    return part * peak + (1 - part) * final


def shares(weights):
    return [weight / sum(weights) for weight in weights]


@mistake("mixture", "The limit has no effect: it is a limit of sizes, not of shares, and the giant drowns the others.")
def without_limit(sizes, temperature, limit):
    return shares([size ** (1 / temperature) for size in sizes])


@mistake("mixture", "The temperature has no effect: `x ** 1 / t` is (x ** 1) / t. Put 1 / temperature in brackets.")
def without_temperature(sizes, temperature, limit):
    return shares([min(size, limit) for size in sizes])


@mistake("mixture", "You raise to the power of the temperature; it is 1 / temperature, which makes shares alike.")
def power_upside_down(sizes, temperature, limit):
    return shares([float(min(size, limit)) ** temperature for size in sizes])


@mistake("mixture", "You limit after taking the power; limit the sizes themselves.")
def limited_afterwards(sizes, temperature, limit):
    return shares([min(size ** (1 / temperature), limit) for size in sizes])


@mistake("mixture", "You limit the shares' powers at the power of the limit over the sum: limit the sizes first.")
def limit_of_shares(sizes, temperature, limit):
    return shares([min(size / sum(sizes), limit / (2 * sum(sizes))) ** (1 / temperature) for size in sizes])


@mistake("mixture", "They do not sum to 1: divide by the sum after taking the power.")
def not_divided_again(sizes, temperature, limit):
    limited = [min(size, limit) for size in sizes]
    return [(size / sum(limited)) ** (1 / temperature) for size in limited]


@mistake("mixture", "These are weights; divide by their sum.")
def weights_alone(sizes, temperature, limit):
    return [min(size, limit) ** (1 / temperature) for size in sizes]


@mistake("mixture", "You take a softmax of the sizes; they are raised to a power.")
def softmax_of_sizes(sizes, temperature, limit):
    limited = torch.tensor([float(min(size, limit)) for size in sizes], dtype=torch.float64)
    return (limited / limited.sum() / temperature).softmax(-1).tolist()


@mistake("mixture", "Sizes below the limit are raised to it: you take the larger of the two.")
def larger_of_the_two(sizes, temperature, limit):
    return shares([max(size, limit) ** (1 / temperature) for size in sizes])


@mistake("mixture", "Data sets above the limit are left out; they count as the limit.")
def left_out(sizes, temperature, limit):
    return shares([size ** (1 / temperature) if size <= limit else 0.0 for size in sizes])


@mistake("mixture", "All are alike with you.")
def all_alike(sizes, temperature, limit):
    return [1 / len(sizes)] * len(sizes)


@variant("mixture")
def by_logarithms(sizes, temperature, limit):
    logs = torch.tensor([min(size, limit) for size in sizes], dtype=torch.float64).log() / temperature
    return logs.softmax(-1).tolist()


@mistake("answers_alike", "You take the mean over all tokens together; long answers then count more.")
def over_all_tokens(surprises, counts):
    return surprises[counts].mean()


@mistake("answers_alike", "Each row's sum is divided by its whole length; divide by the tokens that count.")
def divided_by_the_length(surprises, counts):
    rows = surprises.where(counts, 0).mean(1)
    return rows[counts.any(1)].mean()


@mistake("answers_alike", "You take the sums of the rows; take their means.")
def sums_of_rows(surprises, counts):
    return surprises.where(counts, 0).sum(1)[counts.any(1)].mean()


@mistake("answers_alike", "A row in which nothing counts is counted as 0; leave it out.")
def empty_rows_are_0(surprises, counts):
    rows = surprises.where(counts, 0).sum(1) / counts.sum(1).clamp(min=1)
    return rows.mean()


@mistake("answers_alike", "A row in which nothing counts is 0 / 0, which is nan; leave it out.")
def empty_rows_are_nan(surprises, counts):
    return (surprises.where(counts, 0).sum(1) / counts.sum(1)).mean()


@mistake("answers_alike", "Places that do not count may hold nan, and nan times 0 is nan: choose, do not multiply.")
def multiplied(surprises, counts):
    rows = (surprises * counts).sum(1) / counts.sum(1).clamp(min=1)
    return rows[counts.any(1)].mean()


@mistake("answers_alike", "It has no gradient: nothing can be trained by it.")
def without_gradient(surprises, counts):
    return solution.answers_alike(surprises.detach(), counts)


@mistake("answers_alike", "You count the places that do not count, and leave out those that do.")
def inverted(surprises, counts):
    rows = surprises.where(~counts, 0).sum(1) / (~counts).sum(1).clamp(min=1)
    return rows[(~counts).any(1)].mean()


@mistake("answers_alike", "Tokens with a surprise of 0 are left out; they are certain, and they count.")
def zeros_left_out(surprises, counts):
    return solution.answers_alike(surprises, counts & (surprises != 0))


@mistake("answers_alike", "You add the rows up; take their mean.")
def rows_added(surprises, counts):
    return solution.answers_alike(surprises, counts) * counts.any(1).sum()


@mistake("answers_alike", "Places that do not count are counted.")
def all_counted(surprises, counts):
    return surprises.mean(1)[counts.any(1)].mean()


@mistake("answers_alike", "The mean goes down the columns; an answer is a row.")
def down_the_columns(surprises, counts):
    columns = surprises.where(counts, 0).sum(0) / counts.sum(0).clamp(min=1)
    return columns[counts.any(0)].mean()


@variant("answers_alike")
def with_nanmean(surprises, counts):
    return surprises.where(counts, torch.nan).nanmean(1).nanmean()


@variant("answers_alike")
def by_weights(surprises, counts):
    per_row = counts.sum(1, keepdim=True).clamp(min=1)
    weights = counts / per_row / counts.any(1).sum()
    return (surprises.where(counts, 0) * weights).sum()
