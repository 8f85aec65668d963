"""Exercises of chapter 19, "What is it looking at?".

Grade them with: pytest exercises/test_ch19_inside.py

Shapes: A heads, S places, N patches, D hidden size, V vocabulary, H W height and width of a picture.
"""

from collections.abc import Callable

from torch import Tensor


def word_map(scores: Tensor, num_patches: int, num_answer_tokens: int, word: int) -> Tensor:
    """Draw where the model looks while it writes a word: the mean of the heads, over the patches.

    The sequence is: the patches, the prompt, the answer's tokens. It has no padding. A token is written by the place
    before it. What you get are the scores of one layer; softmax makes attention of them.

    Args:
        scores: float32 [A, S, S], a row for each place that looks; very negative where it may not.
        num_patches: N; the patches are the first N places.
        num_answer_tokens: how many of the last places are the answer.
        word: which token of the answer, from 0.

    Returns:
        float32 [N], not scaled: the sum is the part of the attention that the picture gets.
    """
    raise NotImplementedError


def rollout(weights: list[Tensor]) -> Tensor:
    """Follow attention through all layers.

    In each layer a place keeps its vector and adds what attention brings. Count both alike: the matrix of a layer is
    half of the identity and half of its attention, averaged over the heads. The result is the product of these
    matrices, so that row i says how much of each place of the *input* is in place i of the last layer's output.

    Args:
        weights: of each layer, from the first to the last, float32 [A, S, S]; rows sum to 1.

    Returns:
        float32 [S, S]; rows sum to 1.

    Source: Abnar and Zuidema (arXiv 2005.00928), section 3.
    """
    raise NotImplementedError


def lens(hidden_states: Tensor, norm_weight: Tensor, head_weight: Tensor, eps: float) -> Tensor:
    """Read vectors from between two layers as if they were the last: norm, head, softmax.

    The norm is Gemma's: divide by the root of (the mean square plus eps), then multiply by 1 + weight. The scores are
    the products with the rows of `head_weight`.

    Args:
        hidden_states: float32 [S, D].
        norm_weight: float32 [D].
        head_weight: float32 [V, D].
        eps: added to the mean square.

    Returns:
        Probabilities, float32 [S, V].
    """
    raise NotImplementedError


def occlusion(score: Callable[[Tensor], float], picture: Tensor, side: int, value: float) -> Tensor:
    """Cover each square of a picture in turn, and measure by how much the score falls.

    Cut the picture into squares; its height and width are multiples of the side. For each of them: paint a copy of the
    picture over with `value` there, in all channels, and subtract the copy's score from that of the whole picture. The
    picture itself stays as it is.

    Args:
        score: gives one number for a picture [C, H, W].
        picture: float32 [C, H, W].
        side: of a square, in pixels.
        value: what a covered pixel becomes.

    Returns:
        float32 [H / side, W / side]; positive where covering makes the score smaller.
    """
    raise NotImplementedError
