"""Common mistakes in the exercises of chapter 22, and other right answers."""

import math

import torch

from grader import mistake, variant
from solutions import ch22_pretraining as solution


def bell(bins, num_bins, exponent, normalize=True):
    weights = exponent((torch.arange(num_bins) - bins[:, None]).double()).exp()
    return (weights / weights.sum(-1, keepdim=True) if normalize else weights).float()


@mistake("soft_targets", "The rows do not sum to 1. Divide each by its sum over all bins.")
def not_divided(bins, num_bins, sigma):
    return bell(bins, num_bins, lambda d: -(d**2) / (2 * sigma**2), normalize=False)


@mistake(
    "soft_targets",
    "You divided by sigma √(2π), which is wrong for discrete bins, most of all at the ends. Divide by the sum.",
)
def divided_by_the_formula(bins, num_bins, sigma):
    weights = bell(bins, num_bins, lambda d: -(d**2) / (2 * sigma**2), normalize=False)
    return weights / (sigma * math.sqrt(2 * math.pi))


@mistake("soft_targets", "The 2 is missing. Divide the squared distance by 2 sigma².")
def without_the_2(bins, num_bins, sigma):
    return bell(bins, num_bins, lambda d: -(d**2) / sigma**2)


@mistake("soft_targets", "You divided by 2 sigma. Divide by 2 sigma².")
def sigma_not_squared(bins, num_bins, sigma):
    return bell(bins, num_bins, lambda d: -(d**2) / (2 * sigma))


@mistake("soft_targets", "You did not square the distance, so the curve is not a bell. Square it.")
def distance_not_squared(bins, num_bins, sigma):
    return bell(bins, num_bins, lambda d: -d.abs() / (2 * sigma**2))


@mistake("soft_targets", "The minus sign is missing, so far bins get more than near ones.")
def sign_missing(bins, num_bins, sigma):
    scaled = (torch.arange(num_bins) - bins[:, None]).double() ** 2 / (2 * sigma**2)
    return torch.softmax(scaled, dim=-1).float()


@mistake("soft_targets", "The bell is one bin too far to the right. Bins are numbered from 0.")
def one_bin_to_the_right(bins, num_bins, sigma):
    return solution.soft_targets(bins + 1, num_bins, sigma)


@mistake("soft_targets", "`x / 2 * sigma**2` means (x / 2) * sigma**2. Put 2 sigma² in parentheses.")
def parentheses_missing(bins, num_bins, sigma):
    return bell(bins, num_bins, lambda d: -(d**2) / 2 * sigma**2)


@mistake("soft_targets", "You divided by the sum over all rows. Divide each row by its own sum.")
def one_sum_for_all(bins, num_bins, sigma):
    weights = bell(bins, num_bins, lambda d: -(d**2) / (2 * sigma**2), normalize=False)
    return weights / weights.sum()


@mistake("soft_targets", "Rows and columns are swapped. Each row is a target, each column a bin.")
def transposed(bins, num_bins, sigma):
    return solution.soft_targets(bins, num_bins, sigma).T


@mistake("soft_targets", "These are one-hot targets. The neighbors of the right bin should get some probability.")
def one_hot(bins, num_bins, sigma):
    return torch.nn.functional.one_hot(bins, num_bins).float()


@mistake("soft_targets", "This is label smoothing, the same for all bins. Near bins should get more than far ones.")
def label_smoothing(bins, num_bins, sigma):
    return 0.9 * torch.nn.functional.one_hot(bins, num_bins).float() + 0.1 / num_bins


@mistake("soft_targets", "You treated the bins as a circle. The first and the last bin are not neighbors.")
def on_a_circle(bins, num_bins, sigma):
    def exponent(d):
        around = torch.minimum(d.abs(), num_bins - d.abs())
        return -(around**2) / (2 * sigma**2)

    return bell(bins, num_bins, exponent)


@variant("soft_targets")
def bin_by_bin(bins, num_bins, sigma):
    rows = []
    for right in bins.tolist():
        weights = [math.exp(-((index - right) ** 2) / (2 * sigma**2)) for index in range(num_bins)]
        rows.append([weight / sum(weights) for weight in weights])
    return torch.tensor(rows)


def half_cosine(progress, peak, final):
    return final + (peak - final) * 0.5 * (1 + math.cos(math.pi * progress))


@mistake("learning_rate", "The warm-up is missing.")
def no_warmup(step, num_steps, warmup_steps, peak, final):
    progress = max(step - warmup_steps, 0) / (num_steps - warmup_steps)
    return half_cosine(progress, peak, final)


@mistake("learning_rate", "Your warm-up starts at 0. The rate at step 0 is peak / warmup_steps.")
def warmup_from_0(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return peak * step / warmup_steps
    return solution.learning_rate(step, num_steps, warmup_steps, peak, final)


@mistake("learning_rate", "Your cosine starts at step 0. It starts after the warm-up.")
def cosine_from_step_0(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return half_cosine(step / num_steps, peak, final)


@mistake(
    "learning_rate",
    "Your cosine takes num_steps after the warm-up, so it never reaches `final`. It has num_steps - warmup_steps.",
)
def cosine_too_long(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return half_cosine((step - warmup_steps) / num_steps, peak, final)


@mistake("learning_rate", "Your rate falls linearly. Use half a cosine.")
def linear_decay(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return peak + (final - peak) * (step - warmup_steps) / (num_steps - warmup_steps)


@mistake("learning_rate", "Your rate falls to 0. It should fall to `final`.")
def falls_to_0(step, num_steps, warmup_steps, peak, final):
    return solution.learning_rate(step, num_steps, warmup_steps, peak, 0.0)


@mistake(
    "learning_rate", "You added `final` to the whole curve, so the peak is too high. Scale the cosine by peak - final."
)
def final_added(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return solution.learning_rate(step, num_steps, warmup_steps, peak, 0.0) + final


@mistake("learning_rate", "You used a whole cosine, which comes up again. Use half of it.")
def whole_cosine(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / (num_steps - warmup_steps)
    return half_cosine(2 * progress, peak, final)


@mistake("learning_rate", "Your rate stays at the peak. It should fall to `final` along half a cosine.")
def constant_after_warmup(step, num_steps, warmup_steps, peak, final):
    return peak * min(1, (step + 1) / warmup_steps)


@mistake(
    "learning_rate", "You used a quarter of a cosine, from 1 to 0. Use half of one, from 1 to -1, shifted and halved."
)
def quarter_cosine(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return final + (peak - final) * math.cos(math.pi / 2 * (step - warmup_steps) / (num_steps - warmup_steps))


@mistake("learning_rate", "Your warm-up is one step too long. Its last step is warmup_steps - 1, with the peak.")
def warmup_too_long(step, num_steps, warmup_steps, peak, final):
    if step <= warmup_steps:
        return peak * (step + 1) / warmup_steps
    return solution.learning_rate(step, num_steps, warmup_steps, peak, final)


@mistake("learning_rate", "Your cosine is one step ahead. At step `warmup_steps` the rate is still the peak.")
def one_step_ahead(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return half_cosine((step + 1 - warmup_steps) / (num_steps - warmup_steps), peak, final)


@mistake("learning_rate", "You used `final` as a fraction of the peak. It is a rate.")
def final_as_a_fraction(step, num_steps, warmup_steps, peak, final):
    return solution.learning_rate(step, num_steps, warmup_steps, peak, final * peak)


@mistake("learning_rate", "Your cosine runs from 1 to -1. Add 1 and halve it.")
def cosine_not_halved(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return final + (peak - final) * math.cos(math.pi * (step - warmup_steps) / (num_steps - warmup_steps))


@mistake(
    "learning_rate", "Your rate reaches `final` at the last step. It should get there one step later, at num_steps."
)
def one_step_early(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return half_cosine((step - warmup_steps) / (num_steps - 1 - warmup_steps), peak, final)


@mistake("learning_rate", "Your warm-up starts from `final`. It should be peak * (i + 1) / warmup_steps.")
def warmup_from_final(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return final + (peak - final) * (step + 1) / warmup_steps
    return solution.learning_rate(step, num_steps, warmup_steps, peak, final)


@mistake("learning_rate", "The factor π is missing, so the cosine falls only from 1 to cos(1) = 0.54.")
def without_pi(step, num_steps, warmup_steps, peak, final):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / (num_steps - warmup_steps)
    return final + (peak - final) * 0.5 * (1 + math.cos(progress))


@variant("learning_rate")
def by_a_squared_cosine(step, num_steps, warmup_steps, peak, final):
    if step + 1 <= warmup_steps:
        return (step + 1) * peak / warmup_steps
    fraction = math.cos(math.pi / 2 * (step - warmup_steps) / (num_steps - warmup_steps)) ** 2
    return fraction * peak + (1 - fraction) * final


def shares(weights):
    return [weight / sum(weights) for weight in weights]


@mistake("sampling_weights", "The limit has no effect. Limit the sizes first, before you compute proportions.")
def without_limit(sizes, temperature, limit):
    return shares([size ** (1 / temperature) for size in sizes])


@mistake(
    "sampling_weights",
    "The temperature has no effect: `x ** 1 / t` means (x ** 1) / t. Put 1 / temperature in parentheses.",
)
def without_temperature(sizes, temperature, limit):
    return shares([min(size, limit) for size in sizes])


@mistake(
    "sampling_weights",
    "You raised to the power `temperature`. Use 1 / temperature, which makes the weights more equal.",
)
def power_inverted(sizes, temperature, limit):
    return shares([float(min(size, limit)) ** temperature for size in sizes])


@mistake("sampling_weights", "You limited after taking the power. Limit the sizes first.")
def limited_afterwards(sizes, temperature, limit):
    return shares([min(size ** (1 / temperature), limit) for size in sizes])


@mistake("sampling_weights", "You limited proportions of the total. Limit the sizes first.")
def limit_of_shares(sizes, temperature, limit):
    return shares([min(size / sum(sizes), limit / (2 * sum(sizes))) ** (1 / temperature) for size in sizes])


@mistake("sampling_weights", "The result does not sum to 1. Divide by the sum after taking the power.")
def not_divided_again(sizes, temperature, limit):
    limited = [min(size, limit) for size in sizes]
    return [(size / sum(limited)) ** (1 / temperature) for size in limited]


@mistake("sampling_weights", "The result does not sum to 1. Divide by the sum.")
def weights_only(sizes, temperature, limit):
    return [min(size, limit) ** (1 / temperature) for size in sizes]


@mistake("sampling_weights", "You took a softmax of the sizes. Raise them to the power 1 / temperature.")
def softmax_of_sizes(sizes, temperature, limit):
    limited = torch.tensor([float(min(size, limit)) for size in sizes], dtype=torch.float64)
    return (limited / limited.sum() / temperature).softmax(-1).tolist()


@mistake("sampling_weights", "You raised small sizes to the limit. Use min, not max.")
def larger_of_the_two(sizes, temperature, limit):
    return shares([max(size, limit) ** (1 / temperature) for size in sizes])


@mistake("sampling_weights", "You dropped data sets above the limit. They count as the limit.")
def large_ones_dropped(sizes, temperature, limit):
    return shares([size ** (1 / temperature) if size <= limit else 0.0 for size in sizes])


@mistake("sampling_weights", "All your probabilities are equal. They should depend on the sizes.")
def all_equal(sizes, temperature, limit):
    return [1 / len(sizes)] * len(sizes)


@variant("sampling_weights")
def by_logarithms(sizes, temperature, limit):
    logs = torch.tensor([min(size, limit) for size in sizes], dtype=torch.float64).log() / temperature
    return logs.softmax(-1).tolist()


@mistake(
    "mean_over_answers",
    "You averaged over all tokens together, so long answers weigh more. Average within each row first.",
)
def over_all_tokens(losses, counts):
    return losses[counts].mean()


@mistake("mean_over_answers", "You divided each row's sum by its length. Divide by the number of tokens that count.")
def divided_by_the_length(losses, counts):
    rows = losses.where(counts, 0).mean(1)
    return rows[counts.any(1)].mean()


@mistake("mean_over_answers", "You summed within each row. Take the mean.")
def sums_of_rows(losses, counts):
    return losses.where(counts, 0).sum(1)[counts.any(1)].mean()


@mistake("mean_over_answers", "You counted a row without counted tokens as 0. Leave it out.")
def empty_rows_are_0(losses, counts):
    rows = losses.where(counts, 0).sum(1) / counts.sum(1).clamp(min=1)
    return rows.mean()


@mistake("mean_over_answers", "A row without counted tokens gives 0 / 0 = NaN. Leave it out.")
def empty_rows_are_nan(losses, counts):
    return (losses.where(counts, 0).sum(1) / counts.sum(1)).mean()


@mistake(
    "mean_over_answers",
    "Tokens that do not count may be NaN, and NaN times 0 is NaN. Select with the mask, do not multiply.",
)
def multiplied(losses, counts):
    rows = (losses * counts).sum(1) / counts.sum(1).clamp(min=1)
    return rows[counts.any(1)].mean()


@mistake("mean_over_answers", "The loss has no gradient, so nothing can be trained. Do not detach the losses.")
def without_gradient(losses, counts):
    return solution.mean_over_answers(losses.detach(), counts)


@mistake("mean_over_answers", "The mask is inverted: you averaged over the tokens that do not count.")
def inverted(losses, counts):
    rows = losses.where(~counts, 0).sum(1) / (~counts).sum(1).clamp(min=1)
    return rows[(~counts).any(1)].mean()


@mistake("mean_over_answers", "You ignored tokens with a loss of 0. They count.")
def zeros_ignored(losses, counts):
    return solution.mean_over_answers(losses, counts & (losses != 0))


@mistake("mean_over_answers", "You summed over the rows. Take their mean.")
def rows_added(losses, counts):
    return solution.mean_over_answers(losses, counts) * counts.any(1).sum()


@mistake("mean_over_answers", "You included tokens that do not count.")
def all_counted(losses, counts):
    return losses.mean(1)[counts.any(1)].mean()


@mistake("mean_over_answers", "You averaged along the columns. An answer is a row.")
def down_the_columns(losses, counts):
    columns = losses.where(counts, 0).sum(0) / counts.sum(0).clamp(min=1)
    return columns[counts.any(0)].mean()


@variant("mean_over_answers")
def with_nanmean(losses, counts):
    return losses.where(counts, torch.nan).nanmean(1).nanmean()


@variant("mean_over_answers")
def by_weights(losses, counts):
    per_row = counts.sum(1, keepdim=True).clamp(min=1)
    weights = counts / per_row / counts.any(1).sum()
    return (losses.where(counts, 0) * weights).sum()
