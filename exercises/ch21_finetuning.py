"""Exercises of chapter 21, "Can it learn something new?".

Grade them with: pytest exercises/test_ch21_finetuning.py

Shapes: B rows, S places, V vocabulary, I numbers in, O numbers out, G rank.
"""

from torch import Tensor, nn

IGNORE_INDEX = -100


def make_labels(input_ids: Tensor, token_type_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """Make the labels of a batch: what should be learned at which place.

    A place that holds a real token of the suffix gets that token as its label, the `<eos>` at the end too. All others
    get -100: the prefix, and padding, whatever type the padding has. Nothing is shifted here.

    Args:
        input_ids: int64 [B, S].
        token_type_ids: int64 [B, S], 0 for the prefix, 1 for the suffix; padding may have either.
        attention_mask: int64 [B, S], 1 for real tokens, 0 for padding, which may stand on either side.

    Returns:
        int64 [B, S].
    """
    raise NotImplementedError


def suffix_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the loss: the mean surprise over all labels of the batch that count.

    The logits of a place foretell the token of the *next* place. The surprise is minus the logarithm of the probability
    of the right token. Labels of -100 do not count. The mean is over all that count, in all rows together. Write it
    without `cross_entropy` and `nll_loss`.

    Args:
        logits: float32 [B, S, V]; numbers may be large.
        labels: int64 [B, S], not shifted; at least one counts.

    Returns:
        One number, a float32 tensor without dimensions.
    """
    raise NotImplementedError


class LoraLinear(nn.Module):
    """A frozen linear layer, and beside it a change of low rank that learns.

    Its output is base(x) + (alpha / rank) * x A^T B^T, where A is [G, I] and B is [O, G]. A new layer gives what its
    base gives, and one step of training must be able to change that: one of A and B starts as zeros, the other with
    random numbers (were its rows alike, they would stay alike). Nothing of the base is trained.

    Args:
        base: the layer; it may have a bias.
        rank: G.
        alpha: the change is multiplied by alpha / rank.

    Attributes:
        base: the layer.
        lora_A: parameter, float32 [G, I].
        lora_B: parameter, float32 [O, G].
    """

    def __init__(self, base: nn.Linear, rank: int, alpha: float):
        super().__init__()
        raise NotImplementedError

    def forward(self, states: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        raise NotImplementedError

    def merge(self):
        """Add the change to `base.weight`. What `forward` gives stays the same; a second call changes nothing."""
        raise NotImplementedError
