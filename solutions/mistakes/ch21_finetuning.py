"""Mistakes people make in chapter 21, and other right answers."""

import torch
from torch import nn

from grader import mistake, variant
from solutions import ch21_finetuning as solution

IGNORE = -100


@mistake("make_labels", "The prefix is scored: nobody asks the model to write the prompt. Its labels are -100.")
def prefix_scored(input_ids, token_type_ids, attention_mask):
    return input_ids.masked_fill(attention_mask == 0, IGNORE)


@mistake("make_labels", "Padding is scored where its type is 1; only real tokens count.")
def padding_scored(input_ids, token_type_ids, attention_mask):
    return input_ids.masked_fill(token_type_ids == 0, IGNORE)


@mistake("make_labels", "All is scored: the prefix and the padding should be -100.")
def all_scored(input_ids, token_type_ids, attention_mask):
    return input_ids.clone()


@mistake("make_labels", "The <eos> has no label: a model that is never shown how an answer ends does not end it.")
def eos_missing(input_ids, token_type_ids, attention_mask):
    labels = solution.make_labels(input_ids, token_type_ids, attention_mask)
    return labels.masked_fill(labels == 1, IGNORE)


@mistake("make_labels", "You shift here, and the loss shifts again: the token after the next is learned.")
def shifted_here(input_ids, token_type_ids, attention_mask):
    labels = solution.make_labels(input_ids, token_type_ids, attention_mask)
    return torch.cat([labels[:, 1:], torch.full_like(labels[:, :1], IGNORE)], dim=1)


@mistake("make_labels", "The first token of the suffix has no label; it is foretold by the last place of the prefix.")
def first_token_missing(input_ids, token_type_ids, attention_mask):
    labels = solution.make_labels(input_ids, token_type_ids, attention_mask)
    first = (labels != IGNORE).int().argmax(1)
    labels[torch.arange(len(labels)), first] = IGNORE
    return labels


@mistake("make_labels", "What does not count is 0 with you; 0 is a token. Write -100.")
def zeros(input_ids, token_type_ids, attention_mask):
    return solution.make_labels(input_ids, token_type_ids, attention_mask).clamp(min=0)


@mistake("make_labels", "What does not count is -1 with you; the loss leaves out -100.")
def minus_one(input_ids, token_type_ids, attention_mask):
    return solution.make_labels(input_ids, token_type_ids, attention_mask).clamp(min=-1)


@mistake("make_labels", "Prefix and suffix have changed places: it is the prefix that is scored.")
def suffix_left_out(input_ids, token_type_ids, attention_mask):
    return solution.make_labels(input_ids, 1 - token_type_ids, attention_mask)


@mistake("make_labels", "You return which places count; return their tokens.")
def mask_itself(input_ids, token_type_ids, attention_mask):
    return (token_type_ids * attention_mask).masked_fill(token_type_ids * attention_mask == 0, IGNORE)


@variant("make_labels")
def row_by_row(input_ids, token_type_ids, attention_mask):
    rows = zip(input_ids.tolist(), token_type_ids.tolist(), attention_mask.tolist())
    return torch.tensor([[i if t and a else -100 for i, t, a in zip(*row)] for row in rows])


def surprise(logits, labels):
    """Minus the log probabilities of the labels (0 where they do not count), and which count."""
    counts = labels != IGNORE
    chosen = logits.log_softmax(-1).gather(-1, labels.where(counts, 0)[..., None])[..., 0]
    return -chosen * counts, counts


def next_surprise(logits, labels):
    return surprise(logits[:, :-1], labels[:, 1:])


def mean_of_counted(values, counts):
    return values.sum() / counts.sum().clamp(min=1)


@mistake("suffix_loss", "Nothing is shifted: the logits of a place foretell the token of the next place.")
def not_shifted(logits, labels):
    return mean_of_counted(*surprise(logits, labels))


@mistake("suffix_loss", "You shift the wrong way: logits of a place go with the label of the place after it.")
def shifted_the_wrong_way(logits, labels):
    return mean_of_counted(*surprise(logits[:, 1:], labels[:, :-1]))


@mistake("suffix_loss", "You shift twice.")
def shifted_twice(logits, labels):
    return mean_of_counted(*surprise(logits[:, :-2], labels[:, 2:]))


@mistake("suffix_loss", "Labels of -100 are taken for token 0 and counted; leave these places out.")
def ignored_as_token_0(logits, labels):
    values, _ = surprise(logits[:, :-1], labels[:, 1:].clamp(min=0))
    return values.mean()


@mistake("suffix_loss", "Labels of -100 count as 0 in the mean; divide by the number of those that count.")
def divided_by_all_places(logits, labels):
    values, counts = next_surprise(logits, labels)
    return values.sum() / counts.numel()


@mistake("suffix_loss", "You take the mean of each row and then of the rows; the mean is over all labels together.")
def mean_of_rows(logits, labels):
    values, counts = next_surprise(logits, labels)
    return (values.sum(1) / counts.sum(1).clamp(min=1)).mean()


@mistake("suffix_loss", "You return the sum; return the mean.")
def summed(logits, labels):
    return next_surprise(logits, labels)[0].sum()


@mistake("suffix_loss", "You divide by the number of rows; divide by the number of labels that count.")
def divided_by_rows(logits, labels):
    return next_surprise(logits, labels)[0].sum() / (len(logits) if len(logits) > 1 else logits.shape[1])


@mistake("suffix_loss", "The sign is missing: the surprise is minus the logarithm.")
def sign_missing(logits, labels):
    return -solution.suffix_loss(logits, labels)


@mistake("suffix_loss", "Token 0 is left out; only -100 is.")
def token_0_left_out(logits, labels):
    values, counts = next_surprise(logits, labels)
    kept = counts & (labels[:, 1:] != 0)
    return mean_of_counted(values * kept, kept)


@mistake("suffix_loss", "The logarithm of a softmax is minus infinity where a probability is 0: take log_softmax.")
def log_of_softmax(logits, labels):
    targets = labels[:, 1:]
    counts = targets != IGNORE
    chosen = logits[:, :-1].softmax(-1).log().gather(-1, targets.where(counts, 0)[..., None])[..., 0]
    return -chosen[counts].mean()


@mistake("suffix_loss", "It has no gradient: nothing can be trained by it.")
def detached(logits, labels):
    return solution.suffix_loss(logits.detach(), labels)


@mistake("suffix_loss", "The label of the first place is counted, which no place foretells.")
def first_label_counted(logits, labels):
    values, counts = surprise(logits, labels.roll(-1, 1))
    return mean_of_counted(values, counts)


@mistake("suffix_loss", "You divide by all labels that count, the first place's too, which no place foretells.")
def first_label_in_the_number(logits, labels):
    return next_surprise(logits, labels)[0].sum() / (labels != IGNORE).sum()


@mistake("suffix_loss", "Rows are joined end to end: the last place of one foretells the first of the next.")
def rows_joined(logits, labels):
    values, counts = surprise(logits.flatten(0, 1)[None, :-1], labels.flatten()[None, 1:])
    return mean_of_counted(values, counts)


@mistake("suffix_loss", "These are scores; take log_softmax first.")
def without_softmax(logits, labels):
    targets = labels[:, 1:]
    counts = targets != IGNORE
    return -logits[:, :-1].gather(-1, targets.where(counts, 0)[..., None])[..., 0][counts].mean()


@mistake("suffix_loss", "You average probabilities; average their logarithms.")
def log_of_the_mean(logits, labels):
    values, counts = next_surprise(logits, labels)
    return -(-values[counts]).exp().mean().clamp(min=1e-30).log()


@mistake("suffix_loss", "In base 2; take the natural logarithm.")
def in_bits(logits, labels):
    return solution.suffix_loss(logits, labels) / 0.6931471805599453


@variant("suffix_loss")
def place_by_place(logits, labels):
    terms = []
    for scores, row in zip(logits.double(), labels.tolist()):
        for place, target in enumerate(row[1:]):
            if target != -100:
                terms.append(scores[place].logsumexp(0) - scores[place, target])
    return (sum(terms) / len(terms)).float()


class Lora(solution.LoraLinear):
    """The solution, with parts that a mistake replaces."""


@mistake("LoraLinear", "A and B are both 0 at the start: then neither ever gets a gradient. Let one of them be random.")
class BothZero(Lora):
    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        self.lora_A.data.zero_()


@mistake("LoraLinear", "A and B are both random at the start, so a new layer gives something else than its base.")
class BothRandom(Lora):
    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        nn.init.normal_(self.lora_B)


@mistake("LoraLinear", "The change is not multiplied by alpha / rank.")
class WithoutScale(Lora):
    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        self.scaling = 1.0


@mistake("LoraLinear", "The change is multiplied by alpha; divide by the rank.")
class AlphaAlone(Lora):
    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        self.scaling = alpha


@mistake("LoraLinear", "The change is multiplied by rank / alpha; it is alpha / rank.")
class ScaleUpsideDown(Lora):
    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        self.scaling = rank / alpha


@mistake("LoraLinear", "alpha is divided by the root of the rank (that is another method); divide by the rank.")
class RootOfRank(Lora):
    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        self.scaling = alpha / (rank**0.5 if rank > 1 else 2)


@mistake("LoraLinear", "The scale is missing where you merge; then the layer gives something else afterwards.")
class ScaleMissingInMerge(Lora):
    @torch.no_grad()
    def merge(self):
        if not self.is_merged:
            self.base.weight += self.lora_B @ self.lora_A
            self.is_merged = True


@mistake("LoraLinear", "A second merge adds the change again.")
class MergedTwice(Lora):
    @torch.no_grad()
    def merge(self):
        self.base.weight += self.scaling * self.lora_B @ self.lora_A
        self.is_merged = True


@mistake("LoraLinear", "After merging, forward adds the change a second time.")
class AddedAfterMerging(Lora):
    def forward(self, states):
        return self.base(states) + self.scaling * (states @ self.lora_A.T @ self.lora_B.T)


@mistake("LoraLinear", "merge does nothing: the change belongs into base.weight.")
class MergeDoesNothing(Lora):
    def merge(self):
        pass


@mistake("LoraLinear", "After merging, forward leaves the change out, and base.weight does not have it either.")
class MergeLosesIt(Lora):
    def merge(self):
        self.is_merged = True


@mistake("LoraLinear", "A second merge adds the change again, and forward adds it as well: note that it is merged.")
class NoGuardAtAll(Lora):
    def forward(self, states):
        return self.base(states) + self.scaling * (states @ self.lora_A.T @ self.lora_B.T)

    @torch.no_grad()
    def merge(self):
        self.base.weight += self.scaling * self.lora_B @ self.lora_A


@mistake("LoraLinear", "The bias of the base is left out.")
class BiasLeftOut(Lora):
    def forward(self, states):
        given = nn.functional.linear(states, self.base.weight)
        return given if self.is_merged else given + self.scaling * (states @ self.lora_A.T @ self.lora_B.T)


@mistake("LoraLinear", "The base is scaled too: alpha / rank belongs to the change alone.")
class BaseScaled(Lora):
    def forward(self, states):
        if self.is_merged:
            return self.base(states)
        return self.scaling * (self.base(states) + states @ self.lora_A.T @ self.lora_B.T)


@mistake("LoraLinear", "All rows of A are alike at the start: they get the same gradient, and the rank stays 1.")
class AllAlike(Lora):
    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        self.lora_A.data.fill_(0.1)
        if rank == 1:
            nn.init.normal_(self.lora_A)


@mistake("LoraLinear", "No gradient goes on to what is below: the layers before this one could not learn.")
class CutOff(Lora):
    def forward(self, states):
        return super().forward(states.detach()) + 0 * states.sum()


@mistake("LoraLinear", "After merging the base is trained: a new parameter was put in its weight's place.")
class TrainedAfterMerging(Lora):
    def merge(self):
        if not self.is_merged:
            self.base.weight = nn.Parameter(
                self.base.weight.detach() + self.scaling * (self.lora_B @ self.lora_A).detach()
            )
            self.is_merged = True


@mistake("LoraLinear", "The base is still trained: freeze its weight and bias.")
class BaseTrained(Lora):
    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        self.base.requires_grad_(True)


@mistake("LoraLinear", "The bias of the base is still trained.")
class BiasTrained(Lora):
    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        if base.bias is not None:
            base.bias.requires_grad_(True)


@mistake("LoraLinear", "forward leaves the base out; the change is added to what it gives.")
class BaseLeftOut(Lora):
    def forward(self, states):
        return self.base(states) if self.is_merged else self.scaling * (states @ self.lora_A.T @ self.lora_B.T)


@mistake("LoraLinear", "What merge adds has the wrong sign.")
class MergedWithMinus(Lora):
    @torch.no_grad()
    def merge(self):
        if not self.is_merged:
            self.base.weight -= self.scaling * self.lora_B @ self.lora_A
            self.is_merged = True


@variant("LoraLinear")
class AZeroBRandom(Lora):
    # The other way round: nothing at first, and A gets a gradient in the first step.
    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        self.lora_A.data.zero_()
        nn.init.normal_(self.lora_B)


@variant("LoraLinear")
class ChangeSetToZero(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base = base
        for parameter in base.parameters():
            parameter.requires_grad = False
        self.lora_A = nn.Parameter(torch.rand(rank, base.in_features) - 0.5)
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank))
        self.factor = alpha / rank

    def forward(self, states):
        change = self.factor * (self.lora_B @ self.lora_A)
        return nn.functional.linear(states, self.base.weight + change, self.base.bias)

    def merge(self):
        with torch.no_grad():
            self.base.weight.add_(self.factor * (self.lora_B @ self.lora_A))
            self.lora_B.zero_()
