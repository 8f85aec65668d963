"""Exercises of chapter 19, "Inside a VLM".

Grade them with: pytest exercises/test_ch19_inside.py

Shapes: A heads, S positions, N patches, D hidden size, V vocabulary size, C channels, H and W
height and width of an image.
"""

from collections.abc import Callable

from torch import Tensor


def attention_map(
    scores: Tensor,
    num_patches: int,
    num_answer_tokens: int,
    token: int,
) -> Tensor:
    """Attention to each patch when an answer token is predicted, averaged over the heads.

    The sequence is: the patches, the prompt, the answer tokens. It has no padding. A token is
    predicted at the position before it. You get the masked attention scores of one layer; a
    softmax over all key positions turns them into attention weights.

    Args:
        scores: float32 [A, S, S], one row per query position; very negative where the query may
            not attend to the key.
        num_patches: N; the patches are the first N positions.
        num_answer_tokens: the number of positions at the end that are answer tokens.
        token: which answer token, counted from 0.

    Returns:
        float32 [N], not rescaled: the sum is the fraction of the attention that goes to the
        image.
    """
    raise NotImplementedError


def rollout(weights: list[Tensor]) -> Tensor:
    """Attention rollout: follow attention through all layers, residual connections included.

    The residual connection keeps a position's own vector, and attention adds to it. Rollout
    counts both equally: a layer's matrix is half of the identity plus half of its attention
    weights, averaged over the heads. The result is the product of the layers' matrices, such
    that row i says how much of each *input* position is in position i of the last layer's
    output.

    Args:
        weights: attention weights of each layer, from the first to the last, float32 [A, S, S];
            rows sum to 1.

    Returns:
        float32 [S, S]; rows sum to 1.

    Source: Abnar and Zuidema (arXiv 2005.00928), section 3.
    """
    raise NotImplementedError


def logit_lens(
    hidden_states: Tensor,
    norm_weight: Tensor,
    head_weight: Tensor,
    eps: float,
) -> Tensor:
    """The logit lens: apply the final norm, the head and a softmax to earlier hidden states.

    The norm is Gemma's RMSNorm: divide each vector by the square root of (its mean square +
    eps), then multiply by 1 + weight. The logits are the dot products with the rows of
    `head_weight`.

    Args:
        hidden_states: the residual stream between two layers, float32 [S, D].
        norm_weight: float32 [D].
        head_weight: float32 [V, D].
        eps: added to the mean square.

    Returns:
        Probabilities, float32 [S, V].
    """
    raise NotImplementedError


def occlusion(
    score: Callable[[Tensor], float],
    image: Tensor,
    side: int,
    value: float,
) -> Tensor:
    """Cover each square of an image in turn, and measure how much the score drops.

    Divide the image into squares; its height and width are multiples of `side`. For each
    square, take a fresh copy of the image, set the square to `value` in all channels, and
    subtract the copy's score from that of the original image. Do not change the image itself.

    Args:
        score: returns a number for an image [C, H, W].
        image: float32 [C, H, W].
        side: the side of a square, in pixels.
        value: the value of a covered pixel.

    Returns:
        float32 [H / side, W / side], one number per square: positive where covering lowers the
        score.
    """
    raise NotImplementedError
