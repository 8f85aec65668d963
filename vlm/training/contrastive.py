"""Contrastive training: an image tower and a text tower, whose vectors should be similar for matching pairs.

A SigLIP tower is trained in this way before it becomes part of a PaliGemma, which keeps the image tower and needs
nothing from this file.

Shapes: B pairs of an image and a text, T text length, D hidden size.

Source: "Sigmoid Loss for Language Image Pre-Training" (arXiv 2303.15343); CLIP is arXiv 2103.00020.
"""

import math

import torch
from torch import Tensor, nn

from vlm.config import SiglipVisionConfig
from vlm.siglip import SiglipEncoder


def pair_logits(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor, logit_bias: Tensor) -> Tensor:
    """Logits of each image with each text of a batch: cosine similarity times a scale, plus a bias.

    Args:
        image_embeds: [B, D], normalized here.
        text_embeds: [B, D], normalized here.
        logit_scale: the logarithm of the scale, so that the scale stays positive whatever the optimizer does.
        logit_bias: negative, since most pairs of a batch do not match.

    Returns:
        [B, B], a row for each image, a column for each text.

    Source: SigLIP (arXiv 2303.15343), Algorithm 1.
    """
    image_embeds = nn.functional.normalize(image_embeds, dim=-1)
    text_embeds = nn.functional.normalize(text_embeds, dim=-1)
    return image_embeds @ text_embeds.T * logit_scale.exp() + logit_bias


def softmax_loss(logits: Tensor) -> Tensor:
    """CLIP's loss: cross-entropy of each image over the texts of the batch, and of each text over the images.

    Args:
        logits: [B, B]; pair i is at row i, column i.

    Source: CLIP (arXiv 2103.00020), Figure 3.
    """
    own = torch.arange(len(logits), device=logits.device)  # [B]
    return (nn.functional.cross_entropy(logits, own) + nn.functional.cross_entropy(logits.T, own)) / 2


def sigmoid_loss(logits: Tensor) -> Tensor:
    """SigLIP's loss: a binary decision for each of the B * B pairs, summed over all pairs and divided by B.

    Args:
        logits: [B, B]; pair i is at row i, column i.

    Source: SigLIP (arXiv 2303.15343), section 3.2 and Algorithm 1 (from which the sign of the bias is taken).
    """
    # [B, B], 1 for matching pairs, else -1
    labels = 2 * torch.eye(len(logits), device=logits.device) - 1
    return -nn.functional.logsigmoid(labels * logits).sum() / len(logits)


class SiglipTextModel(nn.Module):
    """Text tower: token embeddings, encoder, and a projection of the last position.

    Every text is padded at its end to the same length. There is no mask: padding is attended to like any token.
    """

    def __init__(self, config: SiglipVisionConfig, vocab_size: int, max_length: int):
        super().__init__()
        self.embeddings = nn.ModuleDict(
            {
                "token_embedding": nn.Embedding(vocab_size, config.hidden_size),
                "position_embedding": nn.Embedding(max_length, config.hidden_size),
            }
        )
        self.encoder = SiglipEncoder(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.head = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, input_ids: Tensor) -> Tensor:
        """[B, T] -> [B, D]; T is `max_length`."""
        words = self.embeddings["token_embedding"](input_ids)  # [B, T, D]
        # [B, T, D]
        hidden_states = self.encoder(words + self.embeddings["position_embedding"].weight)
        return self.head(self.final_layer_norm(hidden_states)[:, -1])


def initial_logit_scale_and_bias() -> tuple[nn.Parameter, nn.Parameter]:
    """SigLIP's: a scale of 10 and a bias of -10. At first almost no pair counts as a match, which is nearly right."""
    return nn.Parameter(torch.tensor(math.log(10.0))), nn.Parameter(torch.tensor(-10.0))
