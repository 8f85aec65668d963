"""Solutions of chapter 4, "How does a picture learn what words mean?".

Shapes: B pairs of a picture and a text, D hidden size.
Here alone: G kinds to choose from, M sentences for each kind.
"""

import torch
from torch import Tensor, nn


def pair_logits(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor, logit_bias: Tensor) -> Tensor:
    """How well each picture of a batch matches each of its texts: cosine similarity, stretched and shifted."""
    images = image_embeds / image_embeds.norm(dim=-1, keepdim=True)  # [B, D]
    texts = text_embeds / text_embeds.norm(dim=-1, keepdim=True)  # [B, D]
    return images @ texts.T * logit_scale.exp() + logit_bias  # [B, B]


def softmax_loss(logits: Tensor) -> Tensor:
    """CLIP's loss: each picture should pick its own text out of the batch's texts, and each text its picture."""
    pictures = -logits.log_softmax(dim=1).diagonal().mean()
    texts = -logits.log_softmax(dim=0).diagonal().mean()
    return (pictures + texts) / 2


def sigmoid_loss(logits: Tensor) -> Tensor:
    """SigLIP's loss: each of the B * B pairs by itself, yes or no."""
    labels = 2 * torch.eye(len(logits), dtype=logits.dtype, device=logits.device) - 1  # [B, B]
    return -nn.functional.logsigmoid(labels * logits).sum() / len(logits)


def choose_kind(image_embeds: Tensor, sentence_embeds: Tensor) -> Tensor:
    """Name the kind of each picture, without a classifier: the kind whose sentences it is most similar to."""
    sentences = nn.functional.normalize(sentence_embeds, dim=-1)  # [G, M, D]
    kinds = nn.functional.normalize(sentences.mean(dim=1), dim=-1)  # [G, D]
    return (image_embeds @ kinds.T).argmax(dim=-1)  # [B]
