"""Learning from pairs: two towers, one for pictures and one for texts, whose vectors should meet.

This is how a SigLIP tower is trained before it becomes part of a PaliGemma, which keeps the picture's tower and drops
everything that is in this file.

Shapes: B pairs of a picture and a text, T text length, D hidden size.

Source: "Sigmoid Loss for Language Image Pre-Training" (arXiv 2303.15343); CLIP is arXiv 2103.00020.
"""

import math

import torch
from torch import Tensor, nn

from vlm.config import SiglipVisionConfig
from vlm.siglip import SiglipEncoder


def pair_logits(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor, logit_bias: Tensor) -> Tensor:
    """How well each picture of a batch matches each of its texts: cosine similarity, stretched and shifted.

    Args:
        image_embeds: [B, D], of any length: they are divided by it.
        text_embeds: [B, D], likewise.
        logit_scale: the logarithm of the stretch, so that no training step can make the stretch negative.
        logit_bias: the shift; negative, since most pairs of a batch do not match.

    Returns:
        [B, B], a row for each picture, a column for each text.

    Source: SigLIP (arXiv 2303.15343), Algorithm 1.
    """
    image_embeds = nn.functional.normalize(image_embeds, dim=-1)
    text_embeds = nn.functional.normalize(text_embeds, dim=-1)
    return image_embeds @ text_embeds.T * logit_scale.exp() + logit_bias


def softmax_loss(logits: Tensor) -> Tensor:
    """CLIP's loss: each picture should pick its own text out of the batch's texts, and each text its picture.

    Args:
        logits: [B, B]; pair i stands at row i, column i.

    Source: CLIP (arXiv 2103.00020), Figure 3.
    """
    own = torch.arange(len(logits), device=logits.device)  # [B]
    return (nn.functional.cross_entropy(logits, own) + nn.functional.cross_entropy(logits.T, own)) / 2


def sigmoid_loss(logits: Tensor) -> Tensor:
    """SigLIP's loss: each of the B * B pairs by itself, yes or no. The sum over all pairs, divided by B.

    Args:
        logits: [B, B]; pair i stands at row i, column i.

    Source: SigLIP (arXiv 2303.15343), section 3.2 and Algorithm 1 (whose sign of the bias this is).
    """
    labels = 2 * torch.eye(len(logits), device=logits.device) - 1  # [B, B], 1 where they belong together, else -1
    return -nn.functional.logsigmoid(labels * logits).sum() / len(logits)


class SiglipTextModel(nn.Module):
    """The tower for texts: embeddings, the same blocks as for pictures, and the last place speaks for the text.

    Every text has the same length, filled up at its end. There is no mask: the filling is read like words.
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
        """[B, T], T as long as the model was made for -> [B, D]."""
        words = self.embeddings["token_embedding"](input_ids)  # [B, T, D]
        hidden_states = self.encoder(words + self.embeddings["position_embedding"].weight)  # [B, T, D]
        return self.head(self.final_layer_norm(hidden_states)[:, -1])


def initial_logit_scale_and_bias() -> tuple[nn.Parameter, nn.Parameter]:
    """SigLIP's: a stretch of 10, and -10, so that at the start nearly every pair counts as no match, which is true."""
    return nn.Parameter(torch.tensor(math.log(10.0))), nn.Parameter(torch.tensor(-10.0))
