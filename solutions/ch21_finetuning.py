"""Solutions of chapter 21, "Fine-tuning and LoRA".

Shapes: B rows, S positions, V vocabulary size, I input size, O output size, G rank.
"""

import torch
from torch import Tensor, nn

IGNORE_INDEX = -100


def make_labels(input_ids: Tensor, token_type_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """The labels of a batch: which token, if any, counts at each position."""
    counts = (token_type_ids == 1) & (attention_mask == 1)  # [B, S]
    return input_ids.masked_fill(~counts, IGNORE_INDEX)


def suffix_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The fine-tuning loss: mean cross-entropy over all labels that count."""
    log_probabilities = logits[:, :-1].log_softmax(-1)  # [B, S - 1, V]
    targets = labels[:, 1:]  # [B, S - 1]
    counts = targets != IGNORE_INDEX
    indices = targets.where(counts, 0)[..., None]  # gather does not accept -100
    chosen = log_probabilities.gather(-1, indices)[..., 0]  # [B, S - 1]
    return -chosen[counts].mean()


class LoraLinear(nn.Module):
    """A frozen linear layer with a trainable low-rank update beside it."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.scaling = alpha / rank
        random = torch.randn(rank, base.in_features) / base.in_features**0.5
        self.lora_A = nn.Parameter(random)  # [G, I]
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank))  # [O, G]
        self.is_merged = False

    def forward(self, states: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        if self.is_merged:
            return self.base(states)
        return self.base(states) + self.scaling * (states @ self.lora_A.T @ self.lora_B.T)

    @torch.no_grad()
    def merge(self):
        """Add the update to `base.weight`, once."""
        if not self.is_merged:
            self.base.weight += self.scaling * self.lora_B @ self.lora_A  # [O, I]
            self.is_merged = True
