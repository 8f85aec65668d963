"""Exercises of chapter 21, "Fine-tuning and LoRA".

Grade them with: pytest exercises/test_ch21_finetuning.py

Shapes: B rows, S positions, V vocabulary size, I input size, O output size, G rank.
"""

from torch import Tensor, nn

IGNORE_INDEX = -100


def make_labels(input_ids: Tensor, token_type_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """The labels of a batch: which token, if any, counts at each position.

    The label of a position that holds a real suffix token, the final `<eos>` included, is that
    token. All other labels are -100: those of the prefix, and of padding, whatever its type is.
    Do not shift anything here; the loss does that.

    Args:
        input_ids: int64 [B, S].
        token_type_ids: int64 [B, S], 0 for the prefix, 1 for the suffix; padding may have
            either.
        attention_mask: int64 [B, S], 1 for real tokens, 0 for padding, which may be on either
            side.

    Returns:
        int64 [B, S].
    """
    raise NotImplementedError


def suffix_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The fine-tuning loss: mean cross-entropy over all labels that count.

    The logits at a position predict the token at the *next* position. The loss of a label is
    minus the natural logarithm of its probability. Labels of -100 do not count, and neither
    does the label of the first position, which no logits predict. Average over all labels that
    count, in all rows together. Do not use `cross_entropy` or `nll_loss`.

    Args:
        logits: float32 [B, S, V]; the numbers may be large.
        labels: int64 [B, S], not shifted; at least one counts.

    Returns:
        A float32 tensor with one number and no dimensions.
    """
    raise NotImplementedError


class LoraLinear(nn.Module):
    """A frozen linear layer with a trainable low-rank update beside it.

    The output is base(x) + (alpha / rank) * x A^T B^T, where A is [G, I] and B is [O, G]. A new
    layer must give the same output as its base, and a single training step must be able to
    change
    that: so one of A and B starts with zeros, the other with random numbers. (If the other one
    had equal rows, they would stay equal.) Freeze all parameters of the base.

    Args:
        base: the linear layer, with or without a bias.
        rank: G.
        alpha: the update is multiplied by alpha / rank.

    Attributes:
        base: the linear layer.
        lora_A: an nn.Parameter, float32 [G, I].
        lora_B: an nn.Parameter, float32 [O, G].
    """

    def __init__(self, base: nn.Linear, rank: int, alpha: float):
        super().__init__()
        raise NotImplementedError

    def forward(self, states: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        raise NotImplementedError

    def merge(self):
        """Add the update to `base.weight`, once.

        The output of `forward` stays the same, and the base stays frozen. A second call changes
        nothing.
        """
        raise NotImplementedError
