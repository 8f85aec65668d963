"""Exercises of chapter 15, "PaliGemma 2, as a diff".

Grade them with: pytest exercises/test_ch15_gemma2.py

Shapes: B batch, A heads, Q queries, S new tokens, T tokens so far (the keys), D hidden size,
E head_dim.
"""

from collections.abc import Callable

import torch  # noqa: F401, you will need it
from torch import Tensor

from vlm.config import Gemma2Config


def soft_cap(values: Tensor, cap: float) -> Tensor:
    """Soft-capping: squash values smoothly into the range from -cap to cap.

        y = cap * tanh(x / cap)

    Small values hardly change, large ones approach the cap. With a cap of 50:
    1 -> 1.00, 50 -> 38.08, 500 -> 50.00.

    Args:
        values: any shape.
        cap: above 0.

    Returns:
        The same shape.

    Source: Gemma 2 (arXiv 2408.00118), section 2.
    """
    raise NotImplementedError


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    scaling: float,
    cap: float,
) -> Tensor:
    """Attention with soft-capped scores.

    The scores are scaled, then capped (`soft_cap`), then masked, so that a masked key gets no
    weight, however large the scores and the cap are. A softmax over the keys gives the weights.

    Args:
        query: [B, A, Q, E].
        key, value: [B, A, T, E].
        mask: added to the scores, [B, 1, Q, T]: 0 where the query may attend to the key, the
            lowest number of the dtype elsewhere.
        scaling: the factor of the scores.
        cap: the cap of the scaled scores.

    Returns:
        [B, A, Q, E].
    """
    raise NotImplementedError


def attention_scaling(config: Gemma2Config) -> float:
    """The factor of the attention scores: 1 / sqrt(config.query_pre_attn_scalar).

    In the published models (3B, 10B and 28B) that number is 256, 256 and 144. Other quantities
    happen to equal it in some of them, but none does in all three.
    """
    raise NotImplementedError


def run_block(
    hidden_states: Tensor,
    attention: Callable[[Tensor], Tensor],
    mlp: Callable[[Tensor], Tensor],
    norms: dict[str, Callable[[Tensor], Tensor]],
) -> Tensor:
    """One transformer block of Gemma 2, with a norm before and a norm after each sublayer.

    The output of a sublayer is normalized before it is added to the residual stream. The
    residual stream itself is never normalized.

    Args:
        hidden_states: the residual stream, [B, S, D].
        attention, mlp: the two sublayers, in this order, each [B, S, D] -> [B, S, D].
        norms: `input_layernorm`, `post_attention_layernorm`, `pre_feedforward_layernorm` and
            `post_feedforward_layernorm`, each [B, S, D] -> [B, S, D]: in this order, before and
            after the attention, before and after the MLP.

    Returns:
        [B, S, D].
    """
    raise NotImplementedError


def limit_to_window(may_attend: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    """Sliding-window attention for the suffix; the prefix still attends to itself in full.

    (The package's function of this name works on an additive mask; this one works on booleans.)

    A suffix token may attend to itself and to the `window - 1` tokens before it, wherever
    `may_attend` allows it already; older tokens are masked, those of the prefix too. Distances
    are counted in columns; the S new tokens are the last of the T. For a prefix (a b c), a
    suffix (d e) and a window of 2, with one row per query:

        a  x x x . .
        b  x x x . .
        c  x x x . .
        d  . . x x .
        e  . . . x x

    Args:
        may_attend: bool [B, S, T], the prefix-LM mask: True where a new token (row) may attend
            to a token (column) if there is no window.
        token_type_ids: of the new tokens, [B, S]: 0 for the prefix and padding, 1 for the
            suffix.
        window: at least 1.

    Returns:
        bool [B, S, T].
    """
    raise NotImplementedError
