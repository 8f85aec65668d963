"""Gemma 2, the language model of PaliGemma 2: what differs from Gemma.

Two more norms in each block, soft-capped attention scores and logits, another scale for the scores, and a sliding
window in every other layer.

Shapes: B batch, S new tokens, T all tokens so far (S without a cache), D hidden size, V vocabulary.

Source: "Gemma 2: Improving Open Language Models at a Practical Size" (arXiv 2408.00118), section 2.
"""

from typing import NamedTuple

from torch import Tensor

from vlm.attention import soft_cap
from vlm.attention_mask import limit_to_window
from vlm.config import Gemma2Config
from vlm.gemma import GemmaAttention, GemmaDecoderLayer, GemmaForCausalLM, GemmaRMSNorm
from vlm.kv_cache import KVCache


class LayerMasks(NamedTuple):
    """The masks of the two kinds of layers, each [B, 1, S, T]: without and with a sliding window."""

    full: Tensor
    sliding: Tensor


class Gemma2Attention(GemmaAttention):
    """Gemma's attention with another scale for the scores, which are then soft-capped."""

    def __init__(self, config: Gemma2Config, layer_idx: int):
        super().__init__(config, layer_idx)
        self.scaling = config.query_pre_attn_scalar**-0.5
        self.softcap = config.attn_logit_softcapping


class Gemma2DecoderLayer(GemmaDecoderLayer):
    """Four norms: one before and one after the attention, one before and one after the MLP.

    Beware of `post_attention_layernorm`: here it follows the attention, in Gemma it precedes the MLP.
    """

    def __init__(self, config: Gemma2Config, layer_idx: int):
        super().__init__(config, layer_idx, Gemma2Attention)
        self.is_sliding = config.is_sliding(layer_idx)
        self.pre_feedforward_layernorm = GemmaRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_feedforward_layernorm = GemmaRMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self, hidden_states: Tensor, cos: Tensor, sin: Tensor, masks: LayerMasks, kv_cache: KVCache | None = None
    ) -> Tensor:
        """[B, S, D] -> [B, S, D]; the layer uses the mask for its kind."""
        mask = masks.sliding if self.is_sliding else masks.full  # [B, 1, S, T]
        attended, _ = self.self_attn(self.input_layernorm(hidden_states), cos, sin, mask, kv_cache)
        hidden_states = hidden_states + self.post_attention_layernorm(attended)
        gated = self.mlp(self.pre_feedforward_layernorm(hidden_states))
        return hidden_states + self.post_feedforward_layernorm(gated)


class Gemma2ForCausalLM(GemmaForCausalLM):
    """Gemma 2 with its head, whose logits are soft-capped."""

    def __init__(self, config: Gemma2Config):
        super().__init__(config, Gemma2DecoderLayer)

    def make_layer_masks(self, mask: Tensor, token_type_ids: Tensor) -> LayerMasks:
        """The prefix-LM mask [B, 1, S, T] for layers without a window, and one limited to the window for the others."""
        sliding_window = self.model.config.sliding_window
        sliding = mask if sliding_window is None else limit_to_window(mask, token_type_ids, sliding_window)
        return LayerMasks(mask, sliding)

    def forward(
        self,
        inputs_embeds: Tensor,
        position_ids: Tensor,
        masks: LayerMasks,
        kv_cache: KVCache | None = None,
        logits_to_keep: int = 0,
    ) -> Tensor:
        """As in Gemma; the logits are then soft-capped by `final_logit_softcapping`, which keeps their order."""
        logits = super().forward(inputs_embeds, position_ids, masks, kv_cache, logits_to_keep)
        cap = self.model.config.final_logit_softcapping
        return logits if cap is None else soft_cap(logits, cap)
