"""Common mistakes in the exercises of chapter 21, and other right answers."""

import torch
from torch import nn

from grader import mistake, variant
from solutions import ch21_finetuning as solution

IGNORE = -100


@mistake("make_labels", "You labeled the prefix. The model should not learn to generate the prompt: use -100 there.")
def prefix_scored(input_ids, token_type_ids, attention_mask):
    return input_ids.masked_fill(attention_mask == 0, IGNORE)


@mistake("make_labels", "You labeled padding of type 1. Only real tokens get a label: use the attention mask too.")
def padding_scored(input_ids, token_type_ids, attention_mask):
    return input_ids.masked_fill(token_type_ids == 0, IGNORE)


@mistake("make_labels", "You labeled every position. Use -100 for the prefix and for padding.")
def all_scored(input_ids, token_type_ids, attention_mask):
    return input_ids.clone()


@mistake("make_labels", "The <eos> has no label, so the model would never learn to stop. Keep it.")
def eos_missing(input_ids, token_type_ids, attention_mask):
    labels = solution.make_labels(input_ids, token_type_ids, attention_mask)
    return labels.masked_fill(labels == 1, IGNORE)


@mistake(
    "make_labels", "You shifted the labels. The loss shifts them, so the model would learn the token after the next."
)
def shifted_here(input_ids, token_type_ids, attention_mask):
    labels = solution.make_labels(input_ids, token_type_ids, attention_mask)
    return torch.cat([labels[:, 1:], torch.full_like(labels[:, :1], IGNORE)], dim=1)


@mistake(
    "make_labels", "The first suffix token has no label. It is predicted at the last position of the prefix: keep it."
)
def first_token_missing(input_ids, token_type_ids, attention_mask):
    labels = solution.make_labels(input_ids, token_type_ids, attention_mask)
    first = (labels != IGNORE).int().argmax(1)
    labels[torch.arange(len(labels)), first] = IGNORE
    return labels


@mistake("make_labels", "You used 0 for positions that do not count, but 0 is a token. Use -100.")
def zeros(input_ids, token_type_ids, attention_mask):
    return solution.make_labels(input_ids, token_type_ids, attention_mask).clamp(min=0)


@mistake("make_labels", "You used -1 for positions that do not count. The loss ignores -100: use that.")
def minus_one(input_ids, token_type_ids, attention_mask):
    return solution.make_labels(input_ids, token_type_ids, attention_mask).clamp(min=-1)


@mistake("make_labels", "Prefix and suffix are swapped: you labeled the prefix.")
def suffix_ignored(input_ids, token_type_ids, attention_mask):
    return solution.make_labels(input_ids, 1 - token_type_ids, attention_mask)


@mistake("make_labels", "You returned 1 at the positions that count. Return their token ids.")
def mask_itself(input_ids, token_type_ids, attention_mask):
    return (token_type_ids * attention_mask).masked_fill(token_type_ids * attention_mask == 0, IGNORE)


@variant("make_labels")
def row_by_row(input_ids, token_type_ids, attention_mask):
    rows = zip(input_ids.tolist(), token_type_ids.tolist(), attention_mask.tolist())
    return torch.tensor([[i if t and a else -100 for i, t, a in zip(*row)] for row in rows])


def token_losses(logits, labels):
    """Minus the log-probabilities of the labels (0 where they do not count), and which labels count."""
    counts = labels != IGNORE
    chosen = logits.log_softmax(-1).gather(-1, labels.where(counts, 0)[..., None])[..., 0]
    return -chosen * counts, counts


def next_token_losses(logits, labels):
    return token_losses(logits[:, :-1], labels[:, 1:])


def mean_of_counted(values, counts):
    return values.sum() / counts.sum().clamp(min=1)


@mistake("suffix_loss", "You did not shift. The logits at a position predict the token at the next position.")
def not_shifted(logits, labels):
    return mean_of_counted(*token_losses(logits, labels))


@mistake(
    "suffix_loss",
    "You shifted in the wrong direction. The logits at a position go with the label at the next position.",
)
def shifted_the_wrong_way(logits, labels):
    return mean_of_counted(*token_losses(logits[:, 1:], labels[:, :-1]))


@mistake("suffix_loss", "You shifted twice. Shift by one position.")
def shifted_twice(logits, labels):
    return mean_of_counted(*token_losses(logits[:, :-2], labels[:, 2:]))


@mistake("suffix_loss", "You counted labels of -100 as token 0. Leave these positions out.")
def ignored_as_token_0(logits, labels):
    values, _ = token_losses(logits[:, :-1], labels[:, 1:].clamp(min=0))
    return values.mean()


@mistake("suffix_loss", "You divided by the number of all positions. Divide by the number of labels that count.")
def divided_by_all_positions(logits, labels):
    values, counts = next_token_losses(logits, labels)
    return values.sum() / counts.numel()


@mistake("suffix_loss", "You averaged within each row first. Average over all labels that count, in all rows together.")
def mean_of_rows(logits, labels):
    values, counts = next_token_losses(logits, labels)
    return (values.sum(1) / counts.sum(1).clamp(min=1)).mean()


@mistake("suffix_loss", "You returned the sum. Return the mean.")
def summed(logits, labels):
    return next_token_losses(logits, labels)[0].sum()


@mistake("suffix_loss", "You divided by the number of rows. Divide by the number of labels that count.")
def divided_by_rows(logits, labels):
    return next_token_losses(logits, labels)[0].sum() / (len(logits) if len(logits) > 1 else logits.shape[1])


@mistake("suffix_loss", "The sign is wrong. The loss is minus the log-probability.")
def sign_missing(logits, labels):
    return -solution.suffix_loss(logits, labels)


@mistake("suffix_loss", "You ignored token 0. Ignore only labels of -100.")
def token_0_ignored(logits, labels):
    values, counts = next_token_losses(logits, labels)
    kept = counts & (labels[:, 1:] != 0)
    return mean_of_counted(values * kept, kept)


@mistake("suffix_loss", "The logarithm of a softmax is -inf where a probability rounds to 0. Use log_softmax.")
def log_of_softmax(logits, labels):
    targets = labels[:, 1:]
    counts = targets != IGNORE
    chosen = logits[:, :-1].softmax(-1).log().gather(-1, targets.where(counts, 0)[..., None])[..., 0]
    return -chosen[counts].mean()


@mistake("suffix_loss", "The loss has no gradient, so nothing can be trained. Do not detach the logits.")
def detached(logits, labels):
    return solution.suffix_loss(logits.detach(), labels)


@mistake("suffix_loss", "You counted the label of the first position, which no logits predict.")
def first_label_counted(logits, labels):
    values, counts = token_losses(logits, labels.roll(-1, 1))
    return mean_of_counted(values, counts)


@mistake("suffix_loss", "Your divisor includes the label of the first position, which no logits predict. Leave it out.")
def first_label_in_the_divisor(logits, labels):
    return next_token_losses(logits, labels)[0].sum() / (labels != IGNORE).sum()


@mistake(
    "suffix_loss",
    "You joined the rows, so the last position of one row predicts the first of the next. Shift within rows.",
)
def rows_joined(logits, labels):
    values, counts = token_losses(logits.flatten(0, 1)[None, :-1], labels.flatten()[None, 1:])
    return mean_of_counted(values, counts)


@mistake("suffix_loss", "You used the logits themselves. Apply log_softmax first.")
def without_softmax(logits, labels):
    targets = labels[:, 1:]
    counts = targets != IGNORE
    return -logits[:, :-1].gather(-1, targets.where(counts, 0)[..., None])[..., 0][counts].mean()


@mistake("suffix_loss", "You averaged the probabilities. Average their logarithms.")
def log_of_the_mean(logits, labels):
    values, counts = next_token_losses(logits, labels)
    return -(-values[counts]).exp().mean().clamp(min=1e-30).log()


@mistake("suffix_loss", "Your logarithm has base 2. Use the natural logarithm.")
def in_bits(logits, labels):
    return solution.suffix_loss(logits, labels) / 0.6931471805599453


@variant("suffix_loss")
def position_by_position(logits, labels):
    terms = []
    for row_logits, row in zip(logits.double(), labels.tolist()):
        for position, target in enumerate(row[1:]):
            if target != -100:
                terms.append(row_logits[position].logsumexp(0) - row_logits[position, target])
    return (sum(terms) / len(terms)).float()


class Lora(solution.LoraLinear):
    """The solution, with parts that the mistakes override."""


@mistake(
    "LoraLinear", "A and B both start with zeros, so neither ever gets a gradient. Initialize one of them randomly."
)
class BothZero(Lora):
    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        self.lora_A.data.zero_()


@mistake(
    "LoraLinear", "A and B both start with random numbers, so a new layer differs from its base. Set one to zeros."
)
class BothRandom(Lora):
    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        nn.init.normal_(self.lora_B)


@mistake("LoraLinear", "You did not multiply the update by alpha / rank.")
class WithoutScale(Lora):
    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        self.scaling = 1.0


@mistake("LoraLinear", "You multiplied the update by alpha. Multiply it by alpha / rank.")
class AlphaOnly(Lora):
    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        self.scaling = alpha


@mistake("LoraLinear", "You multiplied the update by rank / alpha. Multiply it by alpha / rank.")
class ScaleUpsideDown(Lora):
    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        self.scaling = rank / alpha


@mistake("LoraLinear", "You divided alpha by the root of the rank, as rsLoRA does. Divide by the rank.")
class RootOfRank(Lora):
    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        self.scaling = alpha / (rank**0.5 if rank > 1 else 2)


@mistake("LoraLinear", "merge leaves out alpha / rank, so the output changes. Scale the update there too.")
class ScaleMissingInMerge(Lora):
    @torch.no_grad()
    def merge(self):
        if not self.is_merged:
            self.base.weight += self.lora_B @ self.lora_A
            self.is_merged = True


@mistake("LoraLinear", "A second call of merge adds the update again. Remember that the layer is merged.")
class MergedTwice(Lora):
    @torch.no_grad()
    def merge(self):
        self.base.weight += self.scaling * self.lora_B @ self.lora_A
        self.is_merged = True


@mistake("LoraLinear", "After merging, forward adds the update a second time. It should return base(x) only.")
class AddedAfterMerging(Lora):
    def forward(self, states):
        return self.base(states) + self.scaling * (states @ self.lora_A.T @ self.lora_B.T)


@mistake("LoraLinear", "merge does nothing. It should add the update to base.weight.")
class MergeDoesNothing(Lora):
    def merge(self):
        pass


@mistake(
    "LoraLinear",
    "After merging, forward omits the update, but base.weight does not include it either. Add it in merge.",
)
class MergeLosesTheUpdate(Lora):
    def merge(self):
        self.is_merged = True


@mistake(
    "LoraLinear",
    "After merging, forward and a second merge both add the update again. Remember that the layer is merged.",
)
class NoGuardAtAll(Lora):
    def forward(self, states):
        return self.base(states) + self.scaling * (states @ self.lora_A.T @ self.lora_B.T)

    @torch.no_grad()
    def merge(self):
        self.base.weight += self.scaling * self.lora_B @ self.lora_A


@mistake("LoraLinear", "forward leaves out the bias of the base. Call base(x).")
class BiasLeftOut(Lora):
    def forward(self, states):
        given = nn.functional.linear(states, self.base.weight)
        return given if self.is_merged else given + self.scaling * (states @ self.lora_A.T @ self.lora_B.T)


@mistake("LoraLinear", "You scaled the base's output too. Multiply only the update by alpha / rank.")
class BaseScaled(Lora):
    def forward(self, states):
        if self.is_merged:
            return self.base(states)
        return self.scaling * (self.base(states) + states @ self.lora_A.T @ self.lora_B.T)


@mistake(
    "LoraLinear", "All rows of A start equal, so they get equal gradients and the rank stays 1. Initialize A randomly."
)
class EqualRows(Lora):
    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        self.lora_A.data.fill_(0.1)
        if rank == 1:
            nn.init.normal_(self.lora_A)


@mistake(
    "LoraLinear",
    "No gradient reaches the layer's input, so earlier layers could not be trained. Do not detach the input.",
)
class GradientCutOff(Lora):
    def forward(self, states):
        return super().forward(states.detach()) + 0 * states.sum()


@mistake(
    "LoraLinear", "After merging, the base is trainable, as merge creates a new parameter. Change base.weight in place."
)
class TrainedAfterMerging(Lora):
    def merge(self):
        if not self.is_merged:
            self.base.weight = nn.Parameter(
                self.base.weight.detach() + self.scaling * (self.lora_B @ self.lora_A).detach()
            )
            self.is_merged = True


@mistake("LoraLinear", "The base is trainable. Freeze its weight and its bias.")
class BaseTrained(Lora):
    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        self.base.requires_grad_(True)


@mistake("LoraLinear", "The base's bias is trainable. Freeze it too.")
class BiasTrained(Lora):
    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        if base.bias is not None:
            base.bias.requires_grad_(True)


@mistake("LoraLinear", "forward leaves out the base. Add the update to base(x).")
class BaseLeftOut(Lora):
    def forward(self, states):
        return self.base(states) if self.is_merged else self.scaling * (states @ self.lora_A.T @ self.lora_B.T)


@mistake("LoraLinear", "merge subtracts the update. It should add it.")
class MergedWithMinus(Lora):
    @torch.no_grad()
    def merge(self):
        if not self.is_merged:
            self.base.weight -= self.scaling * self.lora_B @ self.lora_A
            self.is_merged = True


@variant("LoraLinear")
class AZeroBRandom(Lora):
    # Also right: the output starts unchanged, and A gets a gradient in the first step.
    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        self.lora_A.data.zero_()
        nn.init.normal_(self.lora_B)


@variant("LoraLinear")
class UpdateSetToZero(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base = base
        for parameter in base.parameters():
            parameter.requires_grad = False
        self.lora_A = nn.Parameter(torch.rand(rank, base.in_features) - 0.5)
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank))
        self.factor = alpha / rank

    def forward(self, states):
        update = self.factor * (self.lora_B @ self.lora_A)
        return nn.functional.linear(states, self.base.weight + update, self.base.bias)

    def merge(self):
        with torch.no_grad():
            self.base.weight.add_(self.factor * (self.lora_B @ self.lora_A))
            self.lora_B.zero_()
