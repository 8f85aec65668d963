"""Exercises of chapter 15, "What did PaliGemma 2 change?".

Grade them with: pytest exercises/test_ch15_gemma2.py

Shapes: B batch, A heads, Q queries, S new tokens, T all tokens so far (the keys), D hidden size, E head_dim.
"""

from collections.abc import Callable

import torch  # noqa: F401, you will need it
from torch import Tensor

from vlm.config import Gemma2Config


def soft_cap(values: Tensor, cap: float) -> Tensor:
    """Bend numbers smoothly into the range from -cap to cap.

        y = cap * tanh(x / cap)

    Small numbers stay nearly as they are, large ones approach the cap. With a cap of 50: 1 -> 1.00, 50 -> 38.08,
    500 -> 50.00.

    Args:
        values: any shape.
        cap: above 0.

    Returns:
        The same shape.

    Source: Gemma 2 (arXiv 2408.00118), section 2.
    """
    raise NotImplementedError


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float, cap: float) -> Tensor:
    """Attention whose scores are soft-capped.

    The scores are scaled, then capped, then masked: what the mask forbids stays forbidden, however large a score is.

    Args:
        query: [B, A, Q, E].
        key, value: [B, A, T, E].
        mask: added to the scores, [B, 1, Q, T]: 0 for "may look", the lowest number of the dtype for "may not".
        scaling: factor of the scores.
        cap: of the scaled scores.

    Returns:
        [B, A, Q, E].
    """
    raise NotImplementedError


def attention_scaling(config: Gemma2Config) -> float:
    """The factor of the scores: one over the root of `config.query_pre_attn_scalar`.

    In the published models that number is 256, 256 and 144. Other fields happen to be equal to it in one model or the
    other; none is equal in all.
    """
    raise NotImplementedError


def run_block(
    hidden_states: Tensor,
    attention: Callable[[Tensor], Tensor],
    mlp: Callable[[Tensor], Tensor],
    norms: dict[str, Callable[[Tensor], Tensor]],
) -> Tensor:
    """One block of Gemma 2: each of the two steps has a norm on its way in and one on its way out.

    What a step adds to the vectors is normed before it is added. The vectors themselves are never normed.

    Args:
        hidden_states: [B, S, D].
        attention, mlp: the two steps, [B, S, D] -> [B, S, D].
        norms: `input_layernorm`, `post_attention_layernorm`, `pre_feedforward_layernorm` and
            `post_feedforward_layernorm`, each [B, S, D] -> [B, S, D]. Their names say where they stand: before and
            after the attention, before and after the MLP.

    Returns:
        [B, S, D].
    """
    raise NotImplementedError


def limit_to_window(may_look: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    """Let the suffix look back only as far as a window; the prefix keeps its full view of itself.

    (The package's function of this name works on a mask that is added; this one works on bools.)

    A token of the suffix may look at itself and the `window - 1` tokens before it, of those at which it might look
    anyway. Where it stands is its column: the S new tokens are the last of the T. For a prefix (a b c) and a suffix
    (d e), with a window of 2:

        a  x x x . .
        b  x x x . .
        c  x x x . .
        d  . . x x .
        e  . . . x x

    Args:
        may_look: bool [B, S, T], from the prefix-LM rule: who might look at whom without a window.
        token_type_ids: [B, S], 0 for the prefix and padding, 1 for the suffix.
        window: at least 1.

    Returns:
        bool [B, S, T].
    """
    raise NotImplementedError
