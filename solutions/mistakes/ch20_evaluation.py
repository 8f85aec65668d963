"""Mistakes people make in chapter 20, and other right answers."""

import re
import string

import torch
from torch import Tensor

from grader import mistake, variant
from solutions import ch20_evaluation as solution

COMMA = r"(?<=\d),(?=\d)"
MARKS = r"(?<!\d)\.|\.(?!\d)|[^\w\s.']"


def clean(
    answer, lower=True, comma=COMMA, comma_to="", marks=MARKS, mark_to=" ", articles=True, numbers=True, join=" "
):
    text = answer.lower() if lower else answer
    text = re.sub(marks, mark_to, re.sub(comma, comma_to, text))
    words = [str(solution.NUMBERS.index(w)) if numbers and w in solution.NUMBERS else w for w in text.split()]
    return join.join(word for word in words if not articles or word not in solution.ARTICLES)


@mistake("normalize", "Capital letters make a difference with you: make it lower case first.")
def case_kept(answer):
    return clean(answer, lower=False)


@mistake("normalize", "Punctuation makes a difference with you: every mark but those named becomes a space.")
def marks_kept(answer):
    return clean(answer, marks=r"(?!)")


@mistake("normalize", 'Marks vanish instead of becoming spaces: "top-left" should be two words.')
def marks_vanish(answer):
    return clean(answer, mark_to="")


@mistake("normalize", 'A comma between digits is taken for a space: "1,000" is one number.')
def comma_splits(answer):
    return clean(answer, comma=r"(?!)")


@mistake("normalize", 'Every comma vanishes, so that "cats,dogs" becomes one word; only one between digits does.')
def every_comma_vanishes(answer):
    return clean(answer, comma=",")


@mistake("normalize", 'The point in "2.5" is lost: between two digits it stays.')
def points_lost(answer):
    return clean(answer, marks=r"[^\w\s']")


@mistake("normalize", 'Every point stays; only one between two digits may: "2." is "2".')
def points_kept(answer):
    return clean(answer, marks=r"[^\w\s.']")


@mistake("normalize", 'The apostrophe is lost: "it\'s" stays as it is.')
def apostrophe_lost(answer):
    return clean(answer, marks=r"(?<!\d)\.|\.(?!\d)|[^\w\s.]")


@mistake("normalize", 'The articles are still there: leave out "a", "an" and "the".')
def articles_kept(answer):
    return clean(answer, articles=False)


@mistake("normalize", 'Articles are taken out of words: "another" is not "other".')
def articles_inside_words(answer):
    return " ".join(re.sub(r"the|an|a", "", clean(answer, articles=False)).split())


@mistake("normalize", '"an" stays.')
def an_kept(answer):
    words = clean(answer, articles=False).split()
    return " ".join(word for word in words if word not in ("a", "the"))


@mistake("normalize", "Number words stay words.")
def numbers_kept(answer):
    return clean(answer, numbers=False)


@mistake("normalize", "You write digits as words; it is words that become digits.")
def digits_to_words(answer):
    text = clean(answer, numbers=False)
    return " ".join(solution.NUMBERS[int(word)] if word in map(str, range(11)) else word for word in text.split())


@mistake("normalize", "An underscore becomes a space with you; it stays.")
def underscore_lost(answer):
    return clean(answer, marks=r"(?<!\d)\.|\.(?!\d)|[^\w\s.']|_")


@mistake("normalize", 'Letters with accents are lost: "café" is a word.')
def ascii_only(answer):
    return clean(answer, marks=r"(?<!\d)\.|\.(?!\d)|[^a-z0-9_\s.']")


@mistake("normalize", 'A comma between digits goes wherever it stands: in "1,2,3" too.')
def every_second_comma(answer):
    text = re.sub(r"(\d),(\d)", r"\1\2", answer.lower())
    return clean(text, comma=r"(?!)")


@mistake("normalize", 'Only commas before three digits go with you; "1,5" is "15" by the rule.')
def thousands_only(answer):
    return clean(answer, comma=r"(?<=\d),(?=\d{3})")


@mistake("normalize", "Articles are taken out before marks become spaces, or beside an apostrophe.")
def articles_by_borders(answer):
    text = re.sub(r"\b(a|an|the)\b", "", re.sub(COMMA, "", answer.lower()))
    return clean(text, articles=False)


@mistake("normalize", 'Number words inside other words are replaced: "someone" is not "some1".')
def numbers_inside_words(answer):
    text = clean(answer, numbers=False, articles=False)
    for number, word in enumerate(solution.NUMBERS):
        text = text.replace(word, str(number))
    return " ".join(word for word in text.split() if word not in solution.ARTICLES)


@mistake("normalize", "Numbers are off by one: zero is 0.")
def numbers_from_one(answer):
    words = [
        str(solution.NUMBERS.index(word) + 1) if word in solution.NUMBERS else word
        for word in clean(answer, numbers=False).split()
    ]
    return " ".join(words)


@mistake("normalize", '"ten" stays a word.')
def without_ten(answer):
    text = clean(answer, numbers=False)
    return " ".join(str(solution.NUMBERS.index(w)) if w in solution.NUMBERS[:-1] else w for w in text.split())


@mistake("normalize", "Words are joined without a space.")
def joined(answer):
    return clean(answer, join="")


@mistake("normalize", "Single articles leave two spaces behind: join the words by one.")
def double_spaces(answer):
    words = clean(answer, articles=False).split()
    return " ".join("" if word in solution.ARTICLES else word for word in words)


@variant("normalize")
def letter_by_letter(answer):
    text, result = answer.lower(), ""
    for place, letter in enumerate(text):
        before, after = text[place - 1 : place] if place else "", text[place + 1 : place + 2]
        between = before.isdigit() and after.isdigit()
        if letter == "," and between:
            continue
        keep = letter.isalnum() or letter in "_' " or letter.isspace() or (letter == "." and between)
        result += letter if keep else " "
    table = dict(zip(solution.NUMBERS, string.digits)) | {"ten": "10"}
    return " ".join(table.get(word, word) for word in result.split() if word not in {"a", "an", "the"})


def agreeing(answer: str, humans: list[str]) -> int:
    return sum(human == answer for human in humans)


@mistake("vqa_score", "You count all people at once: min(agreeing / 3, 1). Each one is left out once, and averaged.")
def all_at_once(answer, human_answers):
    return min(agreeing(answer, human_answers) / 3, 1.0)


@mistake("vqa_score", "You return the part of the people who agree; three others are enough for 1.")
def part_who_agree(answer, human_answers):
    return agreeing(answer, human_answers) / len(human_answers)


@mistake("vqa_score", "You do not stop at 1.")
def not_limited(answer, human_answers):
    others = [agreeing(answer, human_answers) - (human == answer) for human in human_answers]
    return sum(count / 3 for count in others) / len(human_answers)


@mistake("vqa_score", "You ask whether somebody agrees.")
def anybody(answer, human_answers):
    return float(answer in human_answers)


@mistake("vqa_score", "You take the mean over those who agree alone; it is over all people.")
def mean_over_those_who_agree(answer, human_answers):
    agree = agreeing(answer, human_answers)
    return min((agree - 1) / 3, 1.0) if agree else 0.0


@mistake("vqa_score", "You add the persons' scores up; take their mean.")
def summed_scores(answer, human_answers):
    return solution.vqa_score(answer, human_answers) * len(human_answers)


@mistake("vqa_score", "You divide by the number of the others; the mean is over all persons.")
def divided_by_the_others(answer, human_answers):
    return solution.vqa_score(answer, human_answers) * len(human_answers) / (len(human_answers) - 1)


@mistake("vqa_score", "You ask whether most people say so.")
def majority(answer, human_answers):
    return float(agreeing(answer, human_answers) > len(human_answers) / 2)


@mistake("vqa_score", "A quarter for each who agrees; it is a third.")
def quarters(answer, human_answers):
    others = [agreeing(answer, human_answers) - (human == answer) for human in human_answers]
    return sum(min(count / 4, 1) for count in others) / len(human_answers)


@mistake("vqa_score", "Three who agree are needed with you before anything counts; each counts a third.")
def three_or_nothing(answer, human_answers):
    others = [agreeing(answer, human_answers) - (human == answer) for human in human_answers]
    return sum(float(count >= 3) for count in others) / len(human_answers)


@mistake("vqa_score", "You look for the answer inside the others: `dark red` is not `red`.")
def inside_others(answer, human_answers):
    return solution.vqa_score("1", ["1" if answer in human else "0" for human in human_answers])


@mistake("vqa_score", "The mean is over ten people; there may be fewer.")
def always_ten(answer, human_answers):
    return solution.vqa_score(answer, human_answers) * len(human_answers) / 10


@variant("vqa_score")
def limited_at_the_end(answer, human_answers):
    # The same: once four agree, at least three of the others always do.
    return min(not_limited.implementation(answer, human_answers), 1.0)


@variant("vqa_score")
def by_counting(answer, human_answers):
    n, k = len(human_answers), agreeing(answer, human_answers)
    return (k * min(max(k - 1, 0) / 3, 1) + (n - k) * min(k / 3, 1)) / n


def safe(numerator: Tensor, denominator: Tensor, empty: float) -> Tensor:
    return torch.where(denominator > 0, numerator / denominator.clamp(min=1), empty)


@mistake("precision_and_recall", "You take the mean of the pictures' ratios; add up first, then divide once.")
def mean_of_ratios(counts):
    right, drawn, there = counts.double().unbind(1)
    return safe(right, drawn, 1.0).mean().item(), safe(right, there, 1.0).mean().item()


@mistake("precision_and_recall", "You take the mean of the pictures' ratios, and those without a box are left out.")
def mean_of_ratios_that_exist(counts):
    right, drawn, there = counts.double().unbind(1)

    def mean(of: Tensor) -> float:
        return (right[of > 0] / of[of > 0]).mean().item() if (of > 0).any() else 1.0

    return mean(drawn), mean(there)


@mistake("precision_and_recall", "You take the mean of the pictures' ratios, and those without a box count 0.")
def mean_of_ratios_with_zeros(counts):
    right, drawn, there = counts.double().unbind(1)
    return safe(right, drawn, 0.0).mean().item(), safe(right, there, 0.0).mean().item()


@mistake("precision_and_recall", "Precision and recall have changed places: precision is the part of what was drawn.")
def swapped(counts):
    return solution.precision_and_recall(counts)[::-1]


@mistake("precision_and_recall", "Where nothing is drawn (or there) you return 0; nothing wrong was said: it is 1.")
def zero_for_nothing(counts):
    right, drawn, there = counts.sum(0).tolist()
    return (right / drawn if drawn else 0.0), (right / there if there else 0.0)


@mistake("precision_and_recall", "Where nothing is drawn you divide by 0; the precision is 1 then.")
def nan_for_nothing(counts):
    right, drawn, there = counts.sum(0).float()
    return (right / drawn).item(), (right / there).item()


@mistake("precision_and_recall", "You return the F1 score for both.")
def f1_for_both(counts):
    right, drawn, there = counts.sum(0).tolist()
    value = 2 * right / (drawn + there)
    return value, value


@mistake("precision_and_recall", "You divide by the wrong boxes; divide by all that were drawn.")
def divided_by_the_wrong_ones(counts):
    right, drawn, there = counts.sum(0).tolist()
    recall = right / there if there else 1.0
    return (right / max(drawn - right, 1) if drawn else 1.0), recall


@variant("precision_and_recall")
def in_a_loop(counts):
    right = drawn = there = 0
    for a, b, c in counts.tolist():
        right, drawn, there = right + a, drawn + b, there + c
    return 1.0 if drawn == 0 else right / drawn, 1.0 if there == 0 else right / there


def resampled(rows: Tensor, picks: Tensor, statistic) -> Tensor:
    return torch.tensor([float(statistic(rows[pick])) for pick in picks], dtype=torch.float64)


def cut(results: Tensor, low: float, high: float) -> tuple[float, float]:
    return results.quantile(low).item(), results.quantile(high).item()


@mistake("interval", "You cut the whole rest off at each end; half of it belongs to each.")
def whole_tail_at_each_end(rows, picks, statistic, confidence):
    return cut(resampled(rows, picks, statistic), 1 - confidence, confidence)


@mistake("interval", "You cut off only below: the interval goes from the rest up to the largest result.")
def one_sided(rows, picks, statistic, confidence):
    return cut(resampled(rows, picks, statistic), 1 - confidence, 1.0)


@mistake("interval", "You return the smallest and the largest result; cut the outer parts off.")
def smallest_and_largest(rows, picks, statistic, confidence):
    return cut(resampled(rows, picks, statistic), 0.0, 1.0)


@mistake("interval", "The mean plus and minus 1.96 standard deviations assumes a bell; take quantiles of the results.")
def as_if_normal(rows, picks, statistic, confidence):
    results = resampled(rows, picks, statistic)
    deviation = 1.96 * results.std()
    return (results.mean() - deviation).item(), (results.mean() + deviation).item()


@mistake("interval", "You divide by the root of the number of draws; the spread of the results is the answer itself.")
def standard_error_of_the_draws(rows, picks, statistic, confidence):
    results = resampled(rows, picks, statistic)
    deviation = 1.96 * results.std() / len(results) ** 0.5
    return (results.mean() - deviation).item(), (results.mean() + deviation).item()


@mistake("interval", "You take quantiles of the rows' own values; resample the rows and compute the statistic anew.")
def quantiles_of_the_rows(rows, picks, statistic, confidence):
    values = torch.tensor([float(statistic(row[None])) for row in rows])
    return cut(values, (1 - confidence) / 2, (1 + confidence) / 2)


@mistake("interval", "Each column is resampled by itself; a picture's numbers stay together.")
def columns_apart(rows, picks, statistic, confidence):
    results = []
    for index, pick in enumerate(picks):
        others = [picks[(index + shift) % len(picks)] for shift in range(1, rows.shape[1])]
        columns = [rows[one, column] for column, one in enumerate([pick, *others])]
        results.append(float(statistic(torch.stack(columns, dim=1))))
    return cut(torch.tensor(results), (1 - confidence) / 2, (1 + confidence) / 2)


@mistake("interval", "Each picture is taken once, however often it is picked: `unique` or a set loses what matters.")
def each_picture_once(rows, picks, statistic, confidence):
    results = torch.tensor([float(statistic(rows[pick.unique()])) for pick in picks])
    return cut(results, (1 - confidence) / 2, (1 + confidence) / 2)


@mistake("interval", "Between two results a quantile is interpolated; you take the nearest result inside or outside.")
def not_interpolated(rows, picks, statistic, confidence):
    results, tail = resampled(rows, picks, statistic), (1 - confidence) / 2
    ends = results.quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64), interpolation="nearest")
    return ends[0].item(), ends[1].item()


@mistake("interval", "You always take 95 %; use `confidence`.")
def always_95(rows, picks, statistic, confidence):
    return cut(resampled(rows, picks, statistic), 0.025, 0.975)


@mistake("interval", "High and low have changed places.")
def ends_swapped(rows, picks, statistic, confidence):
    return solution.interval(rows, picks, statistic, confidence)[::-1]


@mistake("interval", "You return how far the ends are from the number; return the ends.")
def half_widths(rows, picks, statistic, confidence):
    low, high = solution.interval(rows, picks, statistic, confidence)
    middle = float(statistic(rows))
    return middle - low, high - middle


@mistake("interval", "You leave the first draw out.")
def first_draw_left_out(rows, picks, statistic, confidence):
    return solution.interval(rows, picks[1:], statistic, confidence)


@variant("interval")
def by_sorting(rows, picks, statistic, confidence):
    results = sorted(float(statistic(rows[pick])) for pick in picks)

    def quantile(part: float) -> float:
        place = part * (len(results) - 1)
        low = min(int(place), len(results) - 2)
        return results[low] + (place - low) * (results[low + 1] - results[low])

    return quantile((1 - confidence) / 2), quantile(1 - (1 - confidence) / 2)


def means(results: Tensor, picks: Tensor) -> Tensor:
    return results[picks].double().mean(1)  # [R]


def middle(values: Tensor, confidence: float) -> tuple[float, float]:
    return cut(values.double(), (1 - confidence) / 2, (1 + confidence) / 2)


@mistake("paired_interval", "Each model gets draws of its own; the same pictures have to be drawn for both.")
def separate_draws(results, other_results, picks, confidence):
    return middle(means(results, picks) - means(other_results, picks.roll(1, 0)), confidence)


@mistake("paired_interval", "You subtract the ends of two intervals: low minus low, high minus high.")
def ends_subtracted(results, other_results, picks, confidence):
    first, second = middle(means(results, picks), confidence), middle(means(other_results, picks), confidence)
    return first[0] - second[0], first[1] - second[1]


@mistake("paired_interval", "You combine two intervals as if the models were independent; resample the difference.")
def widest(results, other_results, picks, confidence):
    first, second = middle(means(results, picks), confidence), middle(means(other_results, picks), confidence)
    return first[0] - second[1], first[1] - second[0]


@mistake("paired_interval", "The difference is the other way round: the first model minus the second.")
def turned_round(results, other_results, picks, confidence):
    return solution.paired_interval(other_results, results, picks, confidence)


@mistake("paired_interval", "You take the size of the differences; their signs matter.")
def sizes(results, other_results, picks, confidence):
    return middle(means((results - other_results).abs(), picks), confidence)


@mistake("paired_interval", "You take quantiles of the pictures' differences; resample, and take the means' quantiles.")
def quantiles_of_differences(results, other_results, picks, confidence):
    return middle(results - other_results, confidence)


@mistake("paired_interval", "Only pictures on which the models differ are counted; all of them are in the mean.")
def only_where_they_differ(results, other_results, picks, confidence):
    differences = (results - other_results)[picks]  # [R, M]
    counted = (differences != 0).sum(1).clamp(min=1)
    return middle(differences.sum(1) / counted, confidence)


@mistake("paired_interval", "The whole rest is cut off at each end; half of it belongs to each.")
def paired_whole_tail(results, other_results, picks, confidence):
    return cut(means(results - other_results, picks), 1 - confidence, confidence)


@mistake("paired_interval", "You always take 95 %; use `confidence`.")
def paired_always_95(results, other_results, picks, confidence):
    return solution.paired_interval(results, other_results, picks, 0.95)


@mistake("paired_interval", "High and low have changed places.")
def paired_ends_swapped(results, other_results, picks, confidence):
    return solution.paired_interval(results, other_results, picks, confidence)[::-1]


@mistake("paired_interval", "This is the interval of the first model; resample the difference of the two.")
def first_model_alone(results, other_results, picks, confidence):
    return middle(means(results, picks), confidence)


@mistake("paired_interval", "You take the sum of the differences; take their mean.")
def paired_sums(results, other_results, picks, confidence):
    return middle(means(results - other_results, picks) * len(results), confidence)


@mistake("paired_interval", "You take the ratio of the means; take their difference.")
def ratio(results, other_results, picks, confidence):
    return middle(means(results, picks) / means(other_results, picks).clamp(min=1e-6), confidence)


@variant("paired_interval")
def model_by_model(results, other_results, picks, confidence):
    return middle(means(results, picks) - means(other_results, picks), confidence)


def binned(confidences, is_right, num_bins, bins=None, gap=None, weight=None) -> float:
    """The solution, with some rule in it replaced."""
    confidences, right = confidences.double(), is_right.double()
    bins = (torch.ceil(confidences * num_bins) - 1).clamp(min=0) if bins is None else bins
    gap = gap or (lambda c, r: (c.mean() - r.mean()).abs())
    weight = weight or (lambda inside: inside.double().mean())
    parts = [weight(bins == index) * gap(confidences[bins == index], right[bins == index]) for index in bins.unique()]
    return float(sum(parts))


@mistake("calibration_error", "Each bin counts alike with you; each answer should.")
def bins_alike(confidences, is_right, num_bins):
    number = len((torch.ceil(confidences * num_bins) - 1).clamp(min=0).unique())
    return binned(confidences, is_right, num_bins, weight=lambda inside: 1 / number)


@mistake("calibration_error", "You divide by the number of all bins, the empty ones too; each answer counts alike.")
def divided_by_all_bins(confidences, is_right, num_bins):
    return binned(confidences, is_right, num_bins, weight=lambda inside: 1 / num_bins)


@mistake("calibration_error", "Gaps of different bins cancel: take the size of each gap.")
def gaps_cancel(confidences, is_right, num_bins):
    return abs(binned(confidences, is_right, num_bins, gap=lambda c, r: c.mean() - r.mean()))


@mistake("calibration_error", "You square the gaps (and take the root at the end); take their sizes.")
def squared(confidences, is_right, num_bins):
    return binned(confidences, is_right, num_bins, gap=lambda c, r: (c.mean() - r.mean()).square()) ** 0.5


@mistake("calibration_error", "You take the largest gap; take the mean.")
def largest(confidences, is_right, num_bins):
    bins = (torch.ceil(confidences * num_bins) - 1).clamp(min=0)
    gaps = [(confidences[bins == i].mean() - is_right[bins == i].float().mean()).abs() for i in bins.unique()]
    return max(gaps).item()


@mistake("calibration_error", "You compare each answer by itself; a single answer is right or wrong, so compare bins.")
def answer_by_answer(confidences, is_right, num_bins):
    return (confidences.double() - is_right.double()).abs().mean().item()


@mistake("calibration_error", "You take the middle of the bin for its confidence; take the mean of its answers.")
def middle_of_the_bin(confidences, is_right, num_bins):
    def gap(c, r):
        bin_index = (torch.ceil(c[0] * num_bins) - 1).clamp(min=0)
        return ((bin_index + 0.5) / num_bins - r.mean()).abs()

    return binned(confidences, is_right, num_bins, gap=gap)


@mistake("calibration_error", "An upper end belongs to its own bin: 0.25 of 4 bins is in the first, and 1 in the last.")
def lower_ends(confidences, is_right, num_bins):
    bins = torch.floor(confidences * num_bins).clamp(max=num_bins - 1)
    return binned(confidences, is_right, num_bins, bins=bins)


@mistake("calibration_error", "Upper ends are in the next bin with you, and 1 is in none.")
def upper_ends_lost(confidences, is_right, num_bins):
    kept = confidences < 1
    bins = torch.floor(confidences[kept] * num_bins)
    return binned(confidences[kept], is_right[kept], num_bins, bins=bins) * kept.double().mean().item()


@mistake("calibration_error", "Confidences of 0 are left out, and the others weigh more for it.")
def zero_lost_and_weighed_anew(confidences, is_right, num_bins):
    kept = confidences > 0
    return binned(confidences[kept], is_right[kept], num_bins)


@mistake(
    "calibration_error", "`ceil` counts bins from 1, so a confidence of 0 gets a bin of its own; it is in the first."
)
def bins_from_1(confidences, is_right, num_bins):
    return binned(confidences, is_right, num_bins, bins=torch.ceil(confidences * num_bins))


@mistake("calibration_error", "A confidence of 0 has fallen out of the first bin.")
def zero_lost(confidences, is_right, num_bins):
    kept = confidences > 0
    return binned(confidences[kept], is_right[kept], num_bins) * kept.double().mean().item()


@mistake("calibration_error", "Your bins hold equally many answers; they should be equally wide.")
def equally_many(confidences, is_right, num_bins):
    places = confidences.argsort(stable=True).argsort()
    return binned(confidences, is_right, num_bins, bins=places * num_bins // len(confidences))


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
