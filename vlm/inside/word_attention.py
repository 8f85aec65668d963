"""Which image patches the model attends to while it predicts each token of an answer.

Shapes: T tokens of the answer, L layers, A heads, N patches, S sequence.
"""

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from vlm.inside.recording import record_attention
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor


@dataclass(frozen=True)
class WordAttention:
    """The tokens of an answer, `<eos>` included, and the attention [T, L, A, N] with which each was predicted.

    A row sums to less than 1: the rest goes to the prompt and to the earlier tokens of the answer.
    """

    tokens: list[str]
    weights: Tensor


@torch.inference_mode()
def attend_word_by_word(
    model: PaliGemmaForConditionalGeneration,
    processor: PaliGemmaProcessor,
    prompt: str,
    image: Image.Image,
    answer: str,
) -> WordAttention:
    """Run the model once over an answer, its own or another, and keep each position's attention to the image.

    A token is predicted by the position *before* it, so it gets that position's row. The first token is predicted by
    the newline that ends the prompt.
    """
    inputs = processor([prompt], [image], [answer])
    labels = inputs.pop("labels")
    with record_attention(model.language_model) as recorded:
        model(**{name: tensor.to(model.device) for name, tensor in inputs.items()})
    num_tokens = len(processor.encode_suffix(answer))
    layers = torch.stack([weights[0] for [weights] in recorded.values()])  # [L, A, S, S]
    queries = slice(-num_tokens - 1, -1)  # the position before each token of the answer
    weights = layers[:, :, queries, : processor.num_image_tokens]  # [L, A, T, N]
    tokens = processor.tokenizer.convert_ids_to_tokens(labels[0, -num_tokens:].tolist())
    return WordAttention(tokens, weights.permute(2, 0, 1, 3).cpu())
