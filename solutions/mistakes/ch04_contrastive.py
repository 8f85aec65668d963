"""Mistakes people make in chapter 4, and other right answers."""

import torch
from torch import Tensor, nn

from grader import mistake, variant
from solutions import ch04_contrastive as solution


@mistake("pair_logits", "You multiplied by logit_scale itself; it is a logarithm: the stretch is exp(logit_scale).")
def scale_without_exp(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor, logit_bias: Tensor) -> Tensor:
    return solution.pair_logits(image_embeds, text_embeds, logit_scale.log(), logit_bias)


@mistake("pair_logits", "You subtracted the bias; it is added. It is negative already.")
def bias_subtracted(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor, logit_bias: Tensor) -> Tensor:
    return solution.pair_logits(image_embeds, text_embeds, logit_scale, -logit_bias)


@mistake("pair_logits", "You divided by the stretch, exp(logit_scale); multiply by it.")
def scale_divides(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor, logit_bias: Tensor) -> Tensor:
    return solution.pair_logits(image_embeds, text_embeds, -logit_scale, logit_bias)


@mistake("pair_logits", "You did not bring the vectors to length 1: a long vector then matches everything.")
def not_normalized(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor, logit_bias: Tensor) -> Tensor:
    return image_embeds @ text_embeds.T * logit_scale.exp() + logit_bias


@mistake("pair_logits", "You normalised over the batch: each vector is to have length 1, along its D numbers.")
def normalized_over_batch(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor, logit_bias: Tensor) -> Tensor:
    images, texts = nn.functional.normalize(image_embeds, dim=0), nn.functional.normalize(text_embeds, dim=0)
    return images @ texts.T * logit_scale.exp() + logit_bias


@mistake("pair_logits", "Rows and columns are exchanged: pictures are the rows.")
def texts_as_rows(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor, logit_bias: Tensor) -> Tensor:
    return solution.pair_logits(image_embeds, text_embeds, logit_scale, logit_bias).T


@mistake("pair_logits", "The bias stands inside the stretch: stretch first, then add the bias.")
def bias_stretched(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor, logit_bias: Tensor) -> Tensor:
    return solution.pair_logits(image_embeds, text_embeds, logit_scale, logit_bias * logit_scale.exp())


@variant("pair_logits")
def logits_by_cosine_similarity(
    image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor, logit_bias: Tensor
) -> Tensor:
    cosines = torch.cosine_similarity(image_embeds[:, None], text_embeds[None], dim=-1)
    return torch.exp(logit_scale) * cosines + logit_bias


@mistake("softmax_loss", "Only the pictures choose: add the loss of the texts, over the columns, and halve the sum.")
def pictures_only(logits: Tensor) -> Tensor:
    return -logits.log_softmax(dim=1).diagonal().mean()


@mistake("softmax_loss", "Only the texts choose: add the loss of the pictures, over the rows, and halve the sum.")
def texts_only(logits: Tensor) -> Tensor:
    return -logits.log_softmax(dim=0).diagonal().mean()


@mistake("softmax_loss", "The two halves are added, but their sum is not halved.")
def sum_not_halved(logits: Tensor) -> Tensor:
    return 2 * solution.softmax_loss(logits)


@mistake("softmax_loss", "You summed over the batch; the loss is a mean, so that it does not grow with B.")
def softmax_loss_summed(logits: Tensor) -> Tensor:
    return solution.softmax_loss(logits) * len(logits)


@mistake(
    "softmax_loss", "log of a softmax overflows for large logits: use log_softmax, which takes both steps at once."
)
def softmax_then_log(logits: Tensor) -> Tensor:
    powers = logits.exp()
    pictures = -(powers / powers.sum(dim=1, keepdim=True)).log().diagonal().mean()
    texts = -(powers / powers.sum(dim=0, keepdim=True)).log().diagonal().mean()
    return (pictures + texts) / 2


@mistake("softmax_loss", "log of a softmax is -inf where the softmax rounds to 0: use log_softmax.")
def stable_softmax_then_log(logits: Tensor) -> Tensor:
    pictures = -logits.softmax(dim=1).log().diagonal().mean()
    texts = -logits.softmax(dim=0).log().diagonal().mean()
    return (pictures + texts) / 2


@mistake("softmax_loss", "Your softmax runs over the whole table: each row, and each column, is a choice by itself.")
def softmax_over_everything(logits: Tensor) -> Tensor:
    return -logits.flatten().log_softmax(0).reshape(logits.shape).diagonal().mean()


@variant("softmax_loss")
def softmax_loss_by_cross_entropy(logits: Tensor) -> Tensor:
    own = torch.arange(logits.shape[0])
    return (nn.functional.cross_entropy(logits, own) + nn.functional.cross_entropy(logits.T, own)) / 2


@variant("softmax_loss")
def softmax_loss_by_logsumexp(logits: Tensor) -> Tensor:
    choices = torch.logsumexp(logits, 0) + torch.logsumexp(logits, 1)
    return (choices / 2 - logits.diagonal()).mean()


@mistake("sigmoid_loss", "The -1 labels are missing: pairs that do not belong together must count too, as “no”.")
def matching_pairs_only(logits: Tensor) -> Tensor:
    return -nn.functional.logsigmoid(logits).diagonal().sum() / len(logits)


@mistake("sigmoid_loss", "Your labels are 0 where they should be -1: every such pair then costs log 2, right or wrong.")
def zeros_as_labels(logits: Tensor) -> Tensor:
    labels = torch.eye(len(logits), dtype=logits.dtype)
    return -nn.functional.logsigmoid(labels * logits).sum() / len(logits)


@mistake("sigmoid_loss", "All your labels are 1: only picture i and text i belong together.")
def ones_as_labels(logits: Tensor) -> Tensor:
    return -nn.functional.logsigmoid(logits).sum() / len(logits)


@mistake("sigmoid_loss", "Your labels have the wrong sign: this loss falls when nothing matches.")
def labels_negated(logits: Tensor) -> Tensor:
    return solution.sigmoid_loss(-logits)


@mistake("sigmoid_loss", "The minus is missing: a loss must fall when the answers get better.")
def sigmoid_loss_without_minus(logits: Tensor) -> Tensor:
    return -solution.sigmoid_loss(logits)


@mistake("sigmoid_loss", "You divided by B * B; the paper divides the sum by B.")
def mean_over_all_pairs(logits: Tensor) -> Tensor:
    return solution.sigmoid_loss(logits) / len(logits)


@mistake("sigmoid_loss", "You did not divide the sum by B.")
def sigmoid_loss_summed(logits: Tensor) -> Tensor:
    return solution.sigmoid_loss(logits) * len(logits)


@mistake("sigmoid_loss", "log of a sigmoid is -inf where the sigmoid rounds to 0: use logsigmoid, or softplus.")
def sigmoid_then_log(logits: Tensor) -> Tensor:
    labels = 2 * torch.eye(len(logits), dtype=logits.dtype) - 1
    return -torch.sigmoid(labels * logits).log().sum() / len(logits)


@mistake("sigmoid_loss", "A small number inside the log hides the overflow, and makes the loss of large logits wrong.")
def sigmoid_then_log_with_epsilon(logits: Tensor) -> Tensor:
    labels = 2 * torch.eye(len(logits), dtype=logits.dtype) - 1
    return -(torch.sigmoid(labels * logits) + 1e-8).log().sum() / len(logits)


@variant("sigmoid_loss")
def sigmoid_loss_by_softplus(logits: Tensor) -> Tensor:
    return (nn.functional.softplus(logits).sum() - logits.trace()) / len(logits)


@variant("sigmoid_loss")
def sigmoid_loss_by_binary_cross_entropy(logits: Tensor) -> Tensor:
    targets = torch.eye(len(logits), dtype=logits.dtype)
    return nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(logits)


@mistake(
    "choose_kind", "The kinds' vectors have different lengths after the mean: a cosine needs them at length 1 again."
)
def mean_not_normalized(image_embeds: Tensor, sentence_embeds: Tensor) -> Tensor:
    kinds = nn.functional.normalize(sentence_embeds, dim=-1).mean(dim=1)
    return (image_embeds @ kinds.T).argmax(dim=-1)


@mistake("choose_kind", "You took the mean first: a sentence with a long vector then speaks louder than the others.")
def mean_of_long_vectors(image_embeds: Tensor, sentence_embeds: Tensor) -> Tensor:
    kinds = nn.functional.normalize(sentence_embeds.mean(dim=1), dim=-1)
    return (image_embeds @ kinds.T).argmax(dim=-1)


@mistake("choose_kind", "You took the kind of the single best sentence; all sentences of a kind count.")
def best_sentence(image_embeds: Tensor, sentence_embeds: Tensor) -> Tensor:
    sentences = nn.functional.normalize(sentence_embeds, dim=-1)
    return torch.einsum("bd,kmd->bkm", image_embeds, sentences).amax(-1).argmax(-1)


@mistake("choose_kind", "You used the first sentence of each kind alone.")
def first_sentence(image_embeds: Tensor, sentence_embeds: Tensor) -> Tensor:
    return (image_embeds @ nn.functional.normalize(sentence_embeds[:, 0], dim=-1).T).argmax(dim=-1)


@mistake("choose_kind", "You looked for the smallest cosine; the most similar kind has the largest.")
def least_similar(image_embeds: Tensor, sentence_embeds: Tensor) -> Tensor:
    return solution.choose_kind(-image_embeds, sentence_embeds)


@variant("choose_kind")
def choose_by_sum_of_sentences(image_embeds: Tensor, sentence_embeds: Tensor) -> Tensor:
    kinds = (sentence_embeds / sentence_embeds.norm(dim=-1, keepdim=True)).sum(dim=1)
    return torch.stack([torch.cosine_similarity(image[None], kinds, dim=-1).argmax() for image in image_embeds])
