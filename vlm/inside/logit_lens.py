"""The logit lens: reads hidden states from the middle of the language model as if they were its last.

Shapes: B batch, S sequence, D hidden size, V vocabulary.
"""

import torch
from torch import Tensor

from vlm.gemma import GemmaForCausalLM


@torch.inference_mode()
def logit_lens(language_model: GemmaForCausalLM, hidden_states: Tensor) -> Tensor:
    """The logits if the model stopped here: the final norm, then the head.

    Args:
        hidden_states: [B, S, D], between two layers, before any norm.

    Returns:
        Logits [B, S, V].

    Source: nostalgebraist, "interpreting GPT: the logit lens" (2020).
    """
    return language_model.lm_head(language_model.model.norm(hidden_states))
