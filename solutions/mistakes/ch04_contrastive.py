"""Common mistakes in chapter 4, and other correct answers."""

import torch
from torch import Tensor, nn

from grader import mistake, variant
from solutions import ch04_contrastive as solution


@mistake(
    "pair_logits",
    "You multiplied by `logit_scale` itself. It is the logarithm of the scale: multiply by exp(logit_scale).",
)
def scale_without_exp(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor, logit_bias: Tensor) -> Tensor:
    return solution.pair_logits(image_embeds, text_embeds, logit_scale.log(), logit_bias)


@mistake("pair_logits", "You subtracted the bias. Add it: it is a negative number.")
def bias_subtracted(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor, logit_bias: Tensor) -> Tensor:
    return solution.pair_logits(image_embeds, text_embeds, logit_scale, -logit_bias)


@mistake("pair_logits", "You divided by the scale, exp(logit_scale). Multiply by it.")
def scale_divides(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor, logit_bias: Tensor) -> Tensor:
    return solution.pair_logits(image_embeds, text_embeds, -logit_scale, logit_bias)


@mistake(
    "pair_logits",
    "Your vectors are not normalized, so long ones get large logits with everything. Divide each by its length.",
)
def not_normalized(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor, logit_bias: Tensor) -> Tensor:
    return image_embeds @ text_embeds.T * logit_scale.exp() + logit_bias


@mistake(
    "pair_logits",
    "You normalized over the batch. Each vector should have length 1: take the norm over its D entries, dim=-1.",
)
def normalized_over_batch(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor, logit_bias: Tensor) -> Tensor:
    images, texts = nn.functional.normalize(image_embeds, dim=0), nn.functional.normalize(text_embeds, dim=0)
    return images @ texts.T * logit_scale.exp() + logit_bias


@mistake("pair_logits", "You swapped rows and columns. The rows are the images.")
def texts_as_rows(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor, logit_bias: Tensor) -> Tensor:
    return solution.pair_logits(image_embeds, text_embeds, logit_scale, logit_bias).T


@mistake("pair_logits", "You multiplied the bias by the scale. Scale the cosines first, then add the bias.")
def bias_scaled(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor, logit_bias: Tensor) -> Tensor:
    return solution.pair_logits(image_embeds, text_embeds, logit_scale, logit_bias * logit_scale.exp())


@variant("pair_logits")
def logits_by_cosine_similarity(
    image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor, logit_bias: Tensor
) -> Tensor:
    cosines = torch.cosine_similarity(image_embeds[:, None], text_embeds[None], dim=-1)
    return torch.exp(logit_scale) * cosines + logit_bias


@mistake(
    "softmax_loss",
    "You have only the loss of the images, over the rows. Add the loss of the texts, over the columns, and halve the "
    "sum.",
)
def images_only(logits: Tensor) -> Tensor:
    return -logits.log_softmax(dim=1).diagonal().mean()


@mistake(
    "softmax_loss",
    "You have only the loss of the texts, over the columns. Add the loss of the images, over the rows, and halve the "
    "sum.",
)
def texts_only(logits: Tensor) -> Tensor:
    return -logits.log_softmax(dim=0).diagonal().mean()


@mistake("softmax_loss", "You added the two losses. Divide the sum by 2.")
def sum_not_halved(logits: Tensor) -> Tensor:
    return 2 * solution.softmax_loss(logits)


@mistake("softmax_loss", "You summed over the batch. Take the mean, so that the loss does not grow with B.")
def softmax_loss_summed(logits: Tensor) -> Tensor:
    return solution.softmax_loss(logits) * len(logits)


@mistake(
    "softmax_loss",
    "Your exp overflows for large logits. Use log_softmax, which computes softmax and log in one stable step.",
)
def softmax_then_log(logits: Tensor) -> Tensor:
    powers = logits.exp()
    images = -(powers / powers.sum(dim=1, keepdim=True)).log().diagonal().mean()
    texts = -(powers / powers.sum(dim=0, keepdim=True)).log().diagonal().mean()
    return (images + texts) / 2


@mistake("softmax_loss", "Your softmax rounds to 0 for large logits, and log(0) is -inf. Use log_softmax.")
def stable_softmax_then_log(logits: Tensor) -> Tensor:
    images = -logits.softmax(dim=1).log().diagonal().mean()
    texts = -logits.softmax(dim=0).log().diagonal().mean()
    return (images + texts) / 2


@mistake(
    "softmax_loss",
    "Your softmax runs over the whole matrix. Take it over each row for the images, and over each column for the "
    "texts.",
)
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


@mistake("sigmoid_loss", "You counted only the matching pairs. Every other pair counts too, with z = -1.")
def matching_pairs_only(logits: Tensor) -> Tensor:
    return -nn.functional.logsigmoid(logits).diagonal().sum() / len(logits)


@mistake(
    "sigmoid_loss", "Your z is 0 for pairs that do not match, so each of them costs log 2, whatever its logit. Use -1."
)
def zeros_as_labels(logits: Tensor) -> Tensor:
    labels = torch.eye(len(logits), dtype=logits.dtype)
    return -nn.functional.logsigmoid(labels * logits).sum() / len(logits)


@mistake("sigmoid_loss", "Your z is 1 for every pair. Use -1 where image and text do not match.")
def ones_as_labels(logits: Tensor) -> Tensor:
    return -nn.functional.logsigmoid(logits).sum() / len(logits)


@mistake("sigmoid_loss", "Your z has the wrong sign: 1 is for matching pairs, -1 for the others.")
def labels_negated(logits: Tensor) -> Tensor:
    return solution.sigmoid_loss(-logits)


@mistake("sigmoid_loss", "The minus sign is missing, so your loss rises as the model improves.")
def sigmoid_loss_without_minus(logits: Tensor) -> Tensor:
    return -solution.sigmoid_loss(logits)


@mistake("sigmoid_loss", "You divided by B * B. Divide the sum by B, as the paper does.")
def mean_over_all_pairs(logits: Tensor) -> Tensor:
    return solution.sigmoid_loss(logits) / len(logits)


@mistake("sigmoid_loss", "You returned the sum. Divide it by B.")
def sigmoid_loss_summed(logits: Tensor) -> Tensor:
    return solution.sigmoid_loss(logits) * len(logits)


@mistake("sigmoid_loss", "Your sigmoid rounds to 0 for large logits, and log(0) is -inf. Use logsigmoid, or softplus.")
def sigmoid_then_log(logits: Tensor) -> Tensor:
    labels = 2 * torch.eye(len(logits), dtype=logits.dtype) - 1
    return -torch.sigmoid(labels * logits).log().sum() / len(logits)


@mistake(
    "sigmoid_loss",
    "The small number you add inside the log avoids -inf, but makes the loss wrong for large logits. Use logsigmoid.",
)
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
    "classify_zero_shot",
    "The mean vectors of the classes differ in length. Normalize them again, or compute the cosine.",
)
def mean_not_normalized(image_embeds: Tensor, sentence_embeds: Tensor) -> Tensor:
    classes = nn.functional.normalize(sentence_embeds, dim=-1).mean(dim=1)
    return (image_embeds @ classes.T).argmax(dim=-1)


@mistake(
    "classify_zero_shot",
    "You averaged before normalizing, so sentences with long vectors count more. Normalize each sentence first.",
)
def mean_of_long_vectors(image_embeds: Tensor, sentence_embeds: Tensor) -> Tensor:
    classes = nn.functional.normalize(sentence_embeds.mean(dim=1), dim=-1)
    return (image_embeds @ classes.T).argmax(dim=-1)


@mistake(
    "classify_zero_shot",
    "You chose the class of the single best sentence. Average the vectors of all sentences of a class.",
)
def best_sentence(image_embeds: Tensor, sentence_embeds: Tensor) -> Tensor:
    sentences = nn.functional.normalize(sentence_embeds, dim=-1)
    return torch.einsum("bd,kmd->bkm", image_embeds, sentences).amax(-1).argmax(-1)


@mistake("classify_zero_shot", "You used only the first sentence of each class. Average over all M sentences.")
def first_sentence(image_embeds: Tensor, sentence_embeds: Tensor) -> Tensor:
    return (image_embeds @ nn.functional.normalize(sentence_embeds[:, 0], dim=-1).T).argmax(dim=-1)


@mistake("classify_zero_shot", "You chose the smallest cosine. The most similar class has the largest: use argmax.")
def least_similar(image_embeds: Tensor, sentence_embeds: Tensor) -> Tensor:
    return solution.classify_zero_shot(-image_embeds, sentence_embeds)


@variant("classify_zero_shot")
def classify_by_sum_of_sentences(image_embeds: Tensor, sentence_embeds: Tensor) -> Tensor:
    classes = (sentence_embeds / sentence_embeds.norm(dim=-1, keepdim=True)).sum(dim=1)
    return torch.stack([torch.cosine_similarity(image[None], classes, dim=-1).argmax() for image in image_embeds])
