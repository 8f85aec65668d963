"""Solutions of chapter 4, "Contrastive learning with CLIP and SigLIP".

Shapes: B pairs of an image and a text, D embedding size.
In this chapter only: G classes to choose from, M sentences for each class.
"""

import torch
from torch import Tensor, nn


def pair_logits(
    image_embeds: Tensor,
    text_embeds: Tensor,
    logit_scale: Tensor,
    logit_bias: Tensor,
) -> Tensor:
    """Compute a logit for each image with each text: cosine similarity, scaled and shifted."""
    images = image_embeds / image_embeds.norm(dim=-1, keepdim=True)  # [B, D]
    texts = text_embeds / text_embeds.norm(dim=-1, keepdim=True)  # [B, D]
    return images @ texts.T * logit_scale.exp() + logit_bias  # [B, B]


def softmax_loss(logits: Tensor) -> Tensor:
    """Compute CLIP's loss: each image picks its text in the batch, and each text its image."""
    images = -logits.log_softmax(dim=1).diagonal().mean()
    texts = -logits.log_softmax(dim=0).diagonal().mean()
    return (images + texts) / 2


def sigmoid_loss(logits: Tensor) -> Tensor:
    """Compute SigLIP's loss: a yes-or-no question for each of the B * B pairs by itself."""
    labels = 2 * torch.eye(len(logits), dtype=logits.dtype, device=logits.device) - 1  # [B, B]
    return -nn.functional.logsigmoid(labels * logits).sum() / len(logits)


def classify_zero_shot(image_embeds: Tensor, sentence_embeds: Tensor) -> Tensor:
    """Classify images without a trained classifier, by their similarity to sentences."""
    sentences = nn.functional.normalize(sentence_embeds, dim=-1)  # [G, M, D]
    classes = nn.functional.normalize(sentences.mean(dim=1), dim=-1)  # [G, D]
    return (image_embeds @ classes.T).argmax(dim=-1)  # [B]
