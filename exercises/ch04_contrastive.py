"""Exercises of chapter 4, "How does a picture learn what words mean?".

Grade them with: pytest exercises/test_ch04_contrastive.py

Shapes: B pairs of a picture and a text, D hidden size.
Here alone: G kinds to choose from, M sentences for each kind.
In a batch, picture i and text i belong together.
"""

from torch import Tensor


def pair_logits(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor, logit_bias: Tensor) -> Tensor:
    """How well each picture of a batch matches each of its texts: cosine similarity, stretched and shifted.

        logits[i, j] = cos(image i, text j) * exp(logit_scale) + logit_bias

    The cosine of two vectors is the scalar product of the two, each divided by its own length first.

    Args:
        image_embeds: [B, D], of any length.
        text_embeds: [B, D], of any length.
        logit_scale: a number, the logarithm of the stretch.
        logit_bias: a number.

    Returns:
        [B, B], a row for each picture, a column for each text.

    Source: SigLIP (arXiv 2303.15343), Algorithm 1.
    """
    raise NotImplementedError


def softmax_loss(logits: Tensor) -> Tensor:
    """CLIP's loss: each picture should pick its own text out of the batch's texts, and each text its picture.

        pictures = mean over i of -log softmax(row i)[i]
        texts    = mean over i of -log softmax(column i)[i]
        loss     = (pictures + texts) / 2

    Logits may be in the hundreds: the loss must stay finite.

    Args:
        logits: [B, B]; pair i stands at row i, column i.

    Returns:
        A tensor with one number, shape [].

    Source: CLIP (arXiv 2103.00020), Figure 3.
    """
    raise NotImplementedError


def sigmoid_loss(logits: Tensor) -> Tensor:
    """SigLIP's loss: each of the B * B pairs by itself, yes or no.

        loss = -1/B * sum over all i and j of log sigmoid(z_ij * logits_ij),    z_ij = 1 if i = j, else -1

    Logits may be in the hundreds: the loss must stay finite.

    Args:
        logits: [B, B]; pair i stands at row i, column i.

    Returns:
        A tensor with one number, shape [].

    Source: SigLIP (arXiv 2303.15343), section 3.2 and Algorithm 1 (whose sign of the bias this is).
    """
    raise NotImplementedError


def choose_kind(image_embeds: Tensor, sentence_embeds: Tensor) -> Tensor:
    """Name the kind of each picture, without a classifier: the kind whose sentences it is most similar to.

    There are several sentences for each kind ("a cat on grass", "a cat on sand", ...). A kind's vector is the mean of
    its sentences' vectors, each brought to length 1 before. The kind with the largest cosine wins.

    Args:
        image_embeds: [B, D], of any length.
        sentence_embeds: [G, M, D], of any length.

    Returns:
        The winners' numbers, [B], int64.

    Source: CLIP (arXiv 2103.00020), section 3.1.4, on ensembles of prompts.
    """
    raise NotImplementedError
