"""Exercises of chapter 4, "Contrastive learning with CLIP and SigLIP".

Grade: pytest exercises/test_ch04_contrastive.py

Shapes: B pairs of an image and a text, D embedding size.
In this chapter only: G classes to choose from, M sentences for each class.
In a batch, image i and text i belong together.
"""

from torch import Tensor


def pair_logits(
    image_embeds: Tensor,
    text_embeds: Tensor,
    logit_scale: Tensor,
    logit_bias: Tensor,
) -> Tensor:
    """Compute a logit for each image with each text: cosine similarity, scaled and shifted.

        logits[i, j] = cos(image i, text j) * exp(logit_scale) + logit_bias

    The cosine similarity of two vectors is their dot product, after each is divided by its own
    length.

    Args:
        image_embeds: [B, D], vectors of any length.
        text_embeds: [B, D], vectors of any length.
        logit_scale: one number, the logarithm of the scale.
        logit_bias: one number.

    Returns:
        [B, B], one row for each image, one column for each text.

    Source: SigLIP (arXiv 2303.15343), Algorithm 1.
    """
    raise NotImplementedError


def softmax_loss(logits: Tensor) -> Tensor:
    """Compute CLIP's loss: each image picks its text in the batch, and each text its image.

        images = mean over i of -log softmax(row i)[i]
        texts  = mean over i of -log softmax(column i)[i]
        loss   = (images + texts) / 2

    Logits may be in the hundreds: the loss must stay finite.

    Args:
        logits: [B, B], row i for image i, column j for text j. The matching pairs are on the
            diagonal.

    Returns:
        A tensor with one number, shape [].

    Source: CLIP (arXiv 2103.00020), Figure 3.
    """
    raise NotImplementedError


def sigmoid_loss(logits: Tensor) -> Tensor:
    """Compute SigLIP's loss: a yes-or-no question for each of the B * B pairs by itself.

        loss = -1/B * sum over all i and j of log sigmoid(z_ij * logits[i, j])

    where z_ij is 1 if i = j (image i and text i match), and -1 otherwise. The sum has B * B
    terms, and is divided by B. Logits may be in the hundreds: the loss must stay finite.

    Args:
        logits: [B, B], row i for image i, column j for text j. The matching pairs are on the
            diagonal.

    Returns:
        A tensor with one number, shape [].

    Source: SigLIP (arXiv 2303.15343), section 3.2 and Algorithm 1. The sign of the bias is that
    of Algorithm 1.
    """
    raise NotImplementedError


def classify_zero_shot(image_embeds: Tensor, sentence_embeds: Tensor) -> Tensor:
    """Classify images without a trained classifier, by their similarity to sentences.

    Each class has several sentences, a prompt ensemble: "a cat on grass", "a cat on sand", ...
    The vector of a class is the mean of its sentences' vectors, each divided by its length
    before. The class whose vector has the largest cosine similarity with the image wins.

    Args:
        image_embeds: [B, D], vectors of any length.
        sentence_embeds: [G, M, D], M sentences for each of G classes, vectors of any length.

    Returns:
        The index of the winning class for each image, int64 [B].

    Source: CLIP (arXiv 2103.00020), section 3.1.4, on prompt ensembles.
    """
    raise NotImplementedError
