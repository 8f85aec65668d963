"""Common mistakes in the exercises of chapter 20, and other right answers."""

import re
import string

import torch
from torch import Tensor

from grader import mistake, variant
from solutions import ch20_evaluation as solution

COMMA = r"(?<=\d),(?=\d)"
PUNCTUATION = r"(?<!\d)\.|\.(?!\d)|[^\w\s.']"


def clean(
    answer,
    lower=True,
    comma=COMMA,
    comma_to="",
    punctuation=PUNCTUATION,
    punctuation_to=" ",
    articles=True,
    numbers=True,
    join=" ",
):
    text = answer.lower() if lower else answer
    text = re.sub(punctuation, punctuation_to, re.sub(comma, comma_to, text))
    words = [str(solution.NUMBERS.index(w)) if numbers and w in solution.NUMBERS else w for w in text.split()]
    return join.join(word for word in words if not articles or word not in solution.ARTICLES)


@mistake("normalize", "You kept capital letters. Convert to lower case first.")
def case_kept(answer):
    return clean(answer, lower=False)


@mistake("normalize", "You kept punctuation. Replace it by spaces, except for the characters that stay.")
def punctuation_kept(answer):
    return clean(answer, punctuation=r"(?!)")


@mistake("normalize", 'You removed punctuation. Replace it by a space, so that "top-left" becomes two words.')
def punctuation_removed(answer):
    return clean(answer, punctuation_to="")


@mistake("normalize", 'You replaced a comma between digits by a space. Remove it: "1,000" is one number.')
def comma_splits(answer):
    return clean(answer, comma=r"(?!)")


@mistake("normalize", 'You removed every comma, so "cats,dogs" becomes one word. Remove only those between digits.')
def every_comma_removed(answer):
    return clean(answer, comma=",")


@mistake("normalize", 'You removed the period in "2.5". Between two digits it stays.')
def periods_lost(answer):
    return clean(answer, punctuation=r"[^\w\s']")


@mistake("normalize", 'You kept every period. It stays only between two digits: "2." becomes "2".')
def periods_kept(answer):
    return clean(answer, punctuation=r"[^\w\s.']")


@mistake("normalize", 'You removed the apostrophe. "it\'s" stays as it is.')
def apostrophe_lost(answer):
    return clean(answer, punctuation=r"(?<!\d)\.|\.(?!\d)|[^\w\s.]")


@mistake("normalize", 'You kept the articles. Drop the words "a", "an" and "the".')
def articles_kept(answer):
    return clean(answer, articles=False)


@mistake("normalize", 'You removed articles inside words: "another" is not "other". Compare whole words.')
def articles_inside_words(answer):
    return " ".join(re.sub(r"the|an|a", "", clean(answer, articles=False)).split())


@mistake("normalize", 'You kept the article "an". Drop it.')
def an_kept(answer):
    words = clean(answer, articles=False).split()
    return " ".join(word for word in words if word not in ("a", "the"))


@mistake("normalize", 'You kept number words. Write "zero" to "ten" as digits.')
def numbers_kept(answer):
    return clean(answer, numbers=False)


@mistake("normalize", "You wrote digits as words. Write words as digits.")
def digits_to_words(answer):
    text = clean(answer, numbers=False)
    return " ".join(solution.NUMBERS[int(word)] if word in map(str, range(11)) else word for word in text.split())


@mistake("normalize", "You replaced the underscore by a space. It stays.")
def underscore_lost(answer):
    return clean(answer, punctuation=r"(?<!\d)\.|\.(?!\d)|[^\w\s.']|_")


@mistake("normalize", 'You removed letters with accents. "café" is one word.')
def ascii_only(answer):
    return clean(answer, punctuation=r"(?<!\d)\.|\.(?!\d)|[^a-z0-9_\s.']")


@mistake("normalize", 'You missed commas in "1,2,3", as your pattern consumes the digits. Use lookarounds.')
def every_second_comma(answer):
    text = re.sub(r"(\d),(\d)", r"\1\2", answer.lower())
    return clean(text, comma=r"(?!)")


@mistake("normalize", 'You removed only commas before three digits. By the rule, "1,5" becomes "15" too.')
def thousands_only(answer):
    return clean(answer, comma=r"(?<=\d),(?=\d{3})")


@mistake(
    "normalize",
    "You removed articles too early, or next to an apostrophe. Replace punctuation first, then compare whole words.",
)
def articles_by_borders(answer):
    text = re.sub(r"\b(a|an|the)\b", "", re.sub(COMMA, "", answer.lower()))
    return clean(text, articles=False)


@mistake("normalize", 'You replaced number words inside other words: "someone" is not "some1". Compare whole words.')
def numbers_inside_words(answer):
    text = clean(answer, numbers=False, articles=False)
    for number, word in enumerate(solution.NUMBERS):
        text = text.replace(word, str(number))
    return " ".join(word for word in text.split() if word not in solution.ARTICLES)


@mistake("normalize", 'Your numbers are off by one. "zero" becomes 0.')
def numbers_from_one(answer):
    words = [
        str(solution.NUMBERS.index(word) + 1) if word in solution.NUMBERS else word
        for word in clean(answer, numbers=False).split()
    ]
    return " ".join(words)


@mistake("normalize", 'You kept "ten". Write it as 10.')
def without_ten(answer):
    text = clean(answer, numbers=False)
    return " ".join(str(solution.NUMBERS.index(w)) if w in solution.NUMBERS[:-1] else w for w in text.split())


@mistake("normalize", "You joined the words without spaces.")
def joined(answer):
    return clean(answer, join="")


@mistake("normalize", "Dropped articles leave double spaces. Join the remaining words with single spaces.")
def double_spaces(answer):
    words = clean(answer, articles=False).split()
    return " ".join("" if word in solution.ARTICLES else word for word in words)


@variant("normalize")
def letter_by_letter(answer):
    text, result = answer.lower(), ""
    for index, letter in enumerate(text):
        before, after = text[index - 1 : index] if index else "", text[index + 1 : index + 2]
        between = before.isdigit() and after.isdigit()
        if letter == "," and between:
            continue
        keep = letter.isalnum() or letter in "_' " or letter.isspace() or (letter == "." and between)
        result += letter if keep else " "
    table = dict(zip(solution.NUMBERS, string.digits)) | {"ten": "10"}
    return " ".join(table.get(word, word) for word in result.split() if word not in {"a", "an", "the"})


def agreeing(answer: str, humans: list[str]) -> int:
    return sum(human == answer for human in humans)


@mistake("vqa_score", "You computed min(agreeing / 3, 1) over all people. Leave each person out in turn and average.")
def all_at_once(answer, human_answers):
    return min(agreeing(answer, human_answers) / 3, 1.0)


@mistake(
    "vqa_score", "You returned the fraction of people who agree. Three others who agree are enough for a score of 1."
)
def fraction_who_agree(answer, human_answers):
    return agreeing(answer, human_answers) / len(human_answers)


@mistake("vqa_score", "You did not limit each score to 1.")
def not_limited(answer, human_answers):
    others = [agreeing(answer, human_answers) - (human == answer) for human in human_answers]
    return sum(count / 3 for count in others) / len(human_answers)


@mistake("vqa_score", "You checked whether anybody agrees. Count how many do.")
def anybody(answer, human_answers):
    return float(answer in human_answers)


@mistake("vqa_score", "You averaged over the people who agree. Average over all people.")
def mean_over_those_who_agree(answer, human_answers):
    agree = agreeing(answer, human_answers)
    return min((agree - 1) / 3, 1.0) if agree else 0.0


@mistake("vqa_score", "You summed the scores. Take their mean.")
def summed_scores(answer, human_answers):
    return solution.vqa_score(answer, human_answers) * len(human_answers)


@mistake("vqa_score", "You divided by the number of others. Take the mean over all people.")
def divided_by_the_others(answer, human_answers):
    return solution.vqa_score(answer, human_answers) * len(human_answers) / (len(human_answers) - 1)


@mistake("vqa_score", "You checked for a majority. Each of the others who agrees counts a third.")
def majority(answer, human_answers):
    return float(agreeing(answer, human_answers) > len(human_answers) / 2)


@mistake("vqa_score", "You counted a quarter for each who agrees. It is a third.")
def quarters(answer, human_answers):
    others = [agreeing(answer, human_answers) - (human == answer) for human in human_answers]
    return sum(min(count / 4, 1) for count in others) / len(human_answers)


@mistake("vqa_score", "You required three who agree. Each counts a third.")
def three_or_nothing(answer, human_answers):
    others = [agreeing(answer, human_answers) - (human == answer) for human in human_answers]
    return sum(float(count >= 3) for count in others) / len(human_answers)


@mistake("vqa_score", "You searched for the answer inside the others. `dark red` is not `red`: compare whole answers.")
def inside_others(answer, human_answers):
    return solution.vqa_score("1", ["1" if answer in human else "0" for human in human_answers])


@mistake("vqa_score", "You always divided by ten. Divide by the number of people.")
def always_ten(answer, human_answers):
    return solution.vqa_score(answer, human_answers) * len(human_answers) / 10


@variant("vqa_score")
def limited_at_the_end(answer, human_answers):
    # Equivalent: once four agree, at least three of the others always do.
    return min(not_limited.implementation(answer, human_answers), 1.0)


@variant("vqa_score")
def by_counting(answer, human_answers):
    n, k = len(human_answers), agreeing(answer, human_answers)
    return (k * min(max(k - 1, 0) / 3, 1) + (n - k) * min(k / 3, 1)) / n


def safe(numerator: Tensor, denominator: Tensor, empty: float) -> Tensor:
    return torch.where(denominator > 0, numerator / denominator.clamp(min=1), empty)


@mistake("precision_and_recall", "You averaged the ratios of the images. Sum the counts first, then divide once.")
def mean_of_ratios(counts):
    right, predicted, actual = counts.double().unbind(1)
    return safe(right, predicted, 1.0).mean().item(), safe(right, actual, 1.0).mean().item()


@mistake(
    "precision_and_recall",
    "You averaged the ratios of the images that have boxes. Sum the counts first, then divide once.",
)
def mean_of_ratios_that_exist(counts):
    right, predicted, actual = counts.double().unbind(1)

    def mean(of: Tensor) -> float:
        return (right[of > 0] / of[of > 0]).mean().item() if (of > 0).any() else 1.0

    return mean(predicted), mean(actual)


@mistake(
    "precision_and_recall",
    "You averaged the ratios, with 0 for images without boxes. Sum the counts first, then divide once.",
)
def mean_of_ratios_with_zeros(counts):
    right, predicted, actual = counts.double().unbind(1)
    return safe(right, predicted, 0.0).mean().item(), safe(right, actual, 0.0).mean().item()


@mistake(
    "precision_and_recall",
    "Precision and recall are swapped. Precision is the fraction of the predicted boxes that are right.",
)
def swapped(counts):
    return solution.precision_and_recall(counts)[::-1]


@mistake(
    "precision_and_recall",
    "You return 0 if there are no predicted boxes, or no objects. Return 1: nothing was wrong or missed.",
)
def zero_for_nothing(counts):
    right, predicted, actual = counts.sum(0).tolist()
    return (right / predicted if predicted else 0.0), (right / actual if actual else 0.0)


@mistake("precision_and_recall", "You divide by 0 if there are no predicted boxes, or no objects. Return 1 then.")
def nan_for_nothing(counts):
    right, predicted, actual = counts.sum(0).float()
    return (right / predicted).item(), (right / actual).item()


@mistake("precision_and_recall", "You returned the F1 score for both. Return precision and recall.")
def f1_for_both(counts):
    right, predicted, actual = counts.sum(0).tolist()
    value = 2 * right / (predicted + actual)
    return value, value


@mistake("precision_and_recall", "You divided by the number of wrong boxes. Divide by the number of predicted boxes.")
def divided_by_the_wrong_ones(counts):
    right, predicted, actual = counts.sum(0).tolist()
    recall = right / actual if actual else 1.0
    return (right / max(predicted - right, 1) if predicted else 1.0), recall


@variant("precision_and_recall")
def in_a_loop(counts):
    right = predicted = actual = 0
    for a, b, c in counts.tolist():
        right, predicted, actual = right + a, predicted + b, actual + c
    return 1.0 if predicted == 0 else right / predicted, 1.0 if actual == 0 else right / actual


def resampled(rows: Tensor, picks: Tensor, statistic) -> Tensor:
    return torch.tensor([float(statistic(rows[pick])) for pick in picks], dtype=torch.float64)


def cut(results: Tensor, low: float, high: float) -> tuple[float, float]:
    return results.quantile(low).item(), results.quantile(high).item()


@mistake("interval_from_draws", "You cut off 1 - confidence at each end. Cut off half of it at each.")
def whole_tail_at_each_end(rows, picks, statistic, confidence):
    return cut(resampled(rows, picks, statistic), 1 - confidence, confidence)


@mistake("interval_from_draws", "You cut off results below only. Cut off equally many below and above.")
def one_sided(rows, picks, statistic, confidence):
    return cut(resampled(rows, picks, statistic), 1 - confidence, 1.0)


@mistake("interval_from_draws", "You returned the smallest and the largest result. Cut off both tails.")
def smallest_and_largest(rows, picks, statistic, confidence):
    return cut(resampled(rows, picks, statistic), 0.0, 1.0)


@mistake(
    "interval_from_draws",
    "Mean ± 1.96 standard deviations assumes a normal distribution. Take quantiles of the results.",
)
def as_if_normal(rows, picks, statistic, confidence):
    results = resampled(rows, picks, statistic)
    deviation = 1.96 * results.std()
    return (results.mean() - deviation).item(), (results.mean() + deviation).item()


@mistake(
    "interval_from_draws", "You divided by the root of the number of draws. Take quantiles of the results themselves."
)
def standard_error_of_the_draws(rows, picks, statistic, confidence):
    results = resampled(rows, picks, statistic)
    deviation = 1.96 * results.std() / len(results) ** 0.5
    return (results.mean() - deviation).item(), (results.mean() + deviation).item()


@mistake("interval_from_draws", "You took quantiles over the single rows. Compute the statistic on each draw's rows.")
def quantiles_of_the_rows(rows, picks, statistic, confidence):
    values = torch.tensor([float(statistic(row[None])) for row in rows])
    return cut(values, (1 - confidence) / 2, (1 + confidence) / 2)


@mistake(
    "interval_from_draws",
    "You resampled each column separately. Resample whole rows: an image's numbers belong together.",
)
def columns_apart(rows, picks, statistic, confidence):
    results = []
    for index, pick in enumerate(picks):
        others = [picks[(index + shift) % len(picks)] for shift in range(1, rows.shape[1])]
        columns = [rows[one, column] for column, one in enumerate([pick, *others])]
        results.append(float(statistic(torch.stack(columns, dim=1))))
    return cut(torch.tensor(results), (1 - confidence) / 2, (1 + confidence) / 2)


@mistake("interval_from_draws", "You used each picked image once. An image that is picked twice counts twice.")
def each_image_once(rows, picks, statistic, confidence):
    results = torch.tensor([float(statistic(rows[pick.unique()])) for pick in picks])
    return cut(results, (1 - confidence) / 2, (1 + confidence) / 2)


@mistake(
    "interval_from_draws",
    "You took the nearest result as quantile. Interpolate between results, as `torch.quantile` does.",
)
def not_interpolated(rows, picks, statistic, confidence):
    results, tail = resampled(rows, picks, statistic), (1 - confidence) / 2
    ends = results.quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64), interpolation="nearest")
    return ends[0].item(), ends[1].item()


@mistake("interval_from_draws", "You always used 95%. Use `confidence`.")
def always_95(rows, picks, statistic, confidence):
    return cut(resampled(rows, picks, statistic), 0.025, 0.975)


@mistake("interval_from_draws", "The two ends are swapped. Return the lower end first.")
def ends_swapped(rows, picks, statistic, confidence):
    return solution.interval_from_draws(rows, picks, statistic, confidence)[::-1]


@mistake("interval_from_draws", "You returned the distances from the statistic to the ends. Return the ends.")
def half_widths(rows, picks, statistic, confidence):
    low, high = solution.interval_from_draws(rows, picks, statistic, confidence)
    middle = float(statistic(rows))
    return middle - low, high - middle


@mistake("interval_from_draws", "You left out the first draw.")
def first_draw_omitted(rows, picks, statistic, confidence):
    return solution.interval_from_draws(rows, picks[1:], statistic, confidence)


@variant("interval_from_draws")
def by_sorting(rows, picks, statistic, confidence):
    results = sorted(float(statistic(rows[pick])) for pick in picks)

    def quantile(fraction: float) -> float:
        index = fraction * (len(results) - 1)
        low = min(int(index), len(results) - 2)
        return results[low] + (index - low) * (results[low + 1] - results[low])

    return quantile((1 - confidence) / 2), quantile(1 - (1 - confidence) / 2)


def means(results: Tensor, picks: Tensor) -> Tensor:
    return results[picks].double().mean(1)  # [R]


def middle(values: Tensor, confidence: float) -> tuple[float, float]:
    return cut(values.double(), (1 - confidence) / 2, (1 + confidence) / 2)


@mistake("paired_interval", "You used different draws for the two models. Use the same images for both.")
def separate_draws(results, other_results, picks, confidence):
    return middle(means(results, picks) - means(other_results, picks.roll(1, 0)), confidence)


@mistake("paired_interval", "You subtracted the ends of two intervals. Resample the difference instead.")
def ends_subtracted(results, other_results, picks, confidence):
    first, second = middle(means(results, picks), confidence), middle(means(other_results, picks), confidence)
    return first[0] - second[0], first[1] - second[1]


@mistake("paired_interval", "You combined two intervals as if the models were independent. Resample the difference.")
def independent_intervals(results, other_results, picks, confidence):
    first, second = middle(means(results, picks), confidence), middle(means(other_results, picks), confidence)
    return first[0] - second[1], first[1] - second[0]


@mistake("paired_interval", "The sign is wrong. Subtract the mean of other_results from the mean of results.")
def sign_flipped(results, other_results, picks, confidence):
    return solution.paired_interval(other_results, results, picks, confidence)


@mistake("paired_interval", "You took absolute differences. Keep the signs.")
def absolute_differences(results, other_results, picks, confidence):
    return middle(means((results - other_results).abs(), picks), confidence)


@mistake(
    "paired_interval",
    "You took quantiles of the images' differences. Take the mean over each draw, then quantiles of the means.",
)
def quantiles_of_differences(results, other_results, picks, confidence):
    return middle(results - other_results, confidence)


@mistake(
    "paired_interval", "You averaged only over images on which the models differ. Average over all images of a draw."
)
def only_where_they_differ(results, other_results, picks, confidence):
    differences = (results - other_results)[picks]  # [R, M]
    counted = (differences != 0).sum(1).clamp(min=1)
    return middle(differences.sum(1) / counted, confidence)


@mistake("paired_interval", "You cut off 1 - confidence at each end. Cut off half of it at each.")
def paired_whole_tail(results, other_results, picks, confidence):
    return cut(means(results - other_results, picks), 1 - confidence, confidence)


@mistake("paired_interval", "You always used 95%. Use `confidence`.")
def paired_always_95(results, other_results, picks, confidence):
    return solution.paired_interval(results, other_results, picks, 0.95)


@mistake("paired_interval", "The two ends are swapped. Return the lower end first.")
def paired_ends_swapped(results, other_results, picks, confidence):
    return solution.paired_interval(results, other_results, picks, confidence)[::-1]


@mistake("paired_interval", "This is the first model's interval. Resample the difference of the two models.")
def first_model_only(results, other_results, picks, confidence):
    return middle(means(results, picks), confidence)


@mistake("paired_interval", "You summed the differences. Take their mean.")
def paired_sums(results, other_results, picks, confidence):
    return middle(means(results - other_results, picks) * len(results), confidence)


@mistake("paired_interval", "You divided the means. Subtract them.")
def ratio(results, other_results, picks, confidence):
    return middle(means(results, picks) / means(other_results, picks).clamp(min=1e-6), confidence)


@variant("paired_interval")
def model_by_model(results, other_results, picks, confidence):
    return middle(means(results, picks) - means(other_results, picks), confidence)


def binned(confidences, is_right, num_bins, bins=None, gap=None, weight=None) -> float:
    """The solution with one of its rules replaced."""
    confidences, right = confidences.double(), is_right.double()
    bins = (torch.ceil(confidences * num_bins) - 1).clamp(min=0) if bins is None else bins
    gap = gap or (lambda c, r: (c.mean() - r.mean()).abs())
    weight = weight or (lambda inside: inside.double().mean())
    terms = [weight(bins == index) * gap(confidences[bins == index], right[bins == index]) for index in bins.unique()]
    return float(sum(terms))


@mistake("calibration_error", "You weighted all bins equally. Weight each bin by its number of answers.")
def bins_weighted_equally(confidences, is_right, num_bins):
    number = len((torch.ceil(confidences * num_bins) - 1).clamp(min=0).unique())
    return binned(confidences, is_right, num_bins, weight=lambda inside: 1 / number)


@mistake(
    "calibration_error",
    "You divided by the number of all bins, empty ones included. Weight each bin by its number of answers.",
)
def divided_by_all_bins(confidences, is_right, num_bins):
    return binned(confidences, is_right, num_bins, weight=lambda inside: 1 / num_bins)


@mistake("calibration_error", "You kept the signs of the gaps, so they cancel. Take absolute values.")
def gaps_cancel(confidences, is_right, num_bins):
    return abs(binned(confidences, is_right, num_bins, gap=lambda c, r: c.mean() - r.mean()))


@mistake("calibration_error", "You used the root of the mean squared gap. Average the absolute gaps.")
def squared(confidences, is_right, num_bins):
    return binned(confidences, is_right, num_bins, gap=lambda c, r: (c.mean() - r.mean()).square()) ** 0.5


@mistake("calibration_error", "You took the largest gap. Take the weighted mean.")
def largest(confidences, is_right, num_bins):
    bins = (torch.ceil(confidences * num_bins) - 1).clamp(min=0)
    gaps = [(confidences[bins == i].mean() - is_right[bins == i].float().mean()).abs() for i in bins.unique()]
    return max(gaps).item()


@mistake("calibration_error", "You compared each answer's confidence with 0 or 1. Compare the means within each bin.")
def answer_by_answer(confidences, is_right, num_bins):
    return (confidences.double() - is_right.double()).abs().mean().item()


@mistake(
    "calibration_error", "You used the middle of the bin as its confidence. Use the mean confidence of its answers."
)
def middle_of_the_bin(confidences, is_right, num_bins):
    def gap(c, r):
        bin_index = (torch.ceil(c[0] * num_bins) - 1).clamp(min=0)
        return ((bin_index + 0.5) / num_bins - r.mean()).abs()

    return binned(confidences, is_right, num_bins, gap=gap)


@mistake(
    "calibration_error",
    "You put an upper edge into the next bin. It belongs to its own: with 4 bins, 0.25 is in the first.",
)
def upper_edges_in_the_next_bin(confidences, is_right, num_bins):
    bins = torch.floor(confidences * num_bins).clamp(max=num_bins - 1)
    return binned(confidences, is_right, num_bins, bins=bins)


@mistake("calibration_error", "You put upper edges into the next bin, and 1 into none. They belong to their own bin.")
def ones_lost(confidences, is_right, num_bins):
    kept = confidences < 1
    bins = torch.floor(confidences[kept] * num_bins)
    return binned(confidences[kept], is_right[kept], num_bins, bins=bins) * kept.double().mean().item()


@mistake("calibration_error", "You left out confidences of 0, and reweighted the rest. 0 belongs to the first bin.")
def zero_lost_and_reweighted(confidences, is_right, num_bins):
    kept = confidences > 0
    return binned(confidences[kept], is_right[kept], num_bins)


@mistake("calibration_error", "With `ceil`, a confidence of 0 gets its own bin. It belongs to the first bin.")
def bins_from_1(confidences, is_right, num_bins):
    return binned(confidences, is_right, num_bins, bins=torch.ceil(confidences * num_bins))


@mistake("calibration_error", "You left out confidences of 0. They belong to the first bin.")
def zero_lost(confidences, is_right, num_bins):
    kept = confidences > 0
    return binned(confidences[kept], is_right[kept], num_bins) * kept.double().mean().item()


@mistake("calibration_error", "Your bins have equal numbers of answers. They should have equal widths.")
def bins_of_equal_count(confidences, is_right, num_bins):
    ranks = confidences.argsort(stable=True).argsort()
    return binned(confidences, is_right, num_bins, bins=ranks * num_bins // len(confidences))


@variant("calibration_error")
def bin_by_bin(confidences, is_right, num_bins):
    total = 0.0
    for index in range(num_bins):
        low, high = index / num_bins, (index + 1) / num_bins
        pairs = [
            (c, r)
            for c, r in zip(confidences.tolist(), is_right.tolist())
            if (low < c or (index == 0 and c == 0)) and c <= high
        ]
        if pairs:
            total += abs(sum(c for c, _ in pairs) - sum(r for _, r in pairs))
    return total / len(confidences)
