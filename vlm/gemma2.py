"""Gemma 2, the language model of PaliGemma 2: Gemma, and what is different.

Two more norms in each block, scores and logits that are kept within bounds, another scale for the scores, and a window
in every other layer.

Shapes: B batch, S new tokens, T all tokens so far (S without a cache), D hidden size, V vocabulary.

Source: "Gemma 2: Improving Open Language Models at a Practical Size" (arXiv 2408.00118), section 2.
"""

import torch
from torch import Tensor, nn

from vlm.attention import soft_cap
from vlm.config import Gemma2Config
from vlm.gemma import GemmaAttention, GemmaDecoderLayer, GemmaForCausalLM, GemmaModel, GemmaRMSNorm
from vlm.kv_cache import KVCache
from vlm.masks import limit_to_window


class Gemma2Attention(GemmaAttention):
    """Gemma's attention with its scores divided by another root, and soft-capped."""

    def __init__(self, config: Gemma2Config, layer_idx: int):
        super().__init__(config, layer_idx)
        self.scaling = config.query_pre_attn_scalar**-0.5
        self.softcap = config.attn_logit_softcapping


class Gemma2DecoderLayer(GemmaDecoderLayer):
    """Four norms: each of the two steps has one on its way in, and one on its way out.

    `post_attention_layernorm` changes its place with respect to Gemma: there it stands before the MLP.
    """

    def __init__(self, config: Gemma2Config, layer_idx: int):
        super().__init__(config, layer_idx)
        self.is_sliding = config.is_sliding(layer_idx)
        self.self_attn = Gemma2Attention(config, layer_idx)
        self.pre_feedforward_layernorm = GemmaRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_feedforward_layernorm = GemmaRMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self, hidden_states: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, kv_cache: KVCache | None = None
    ) -> Tensor:
        """[B, S, D] -> [B, S, D]; of the two masks [2, B, 1, S, T] the second is the one with the window."""
        mask = mask[int(self.is_sliding)]  # [B, 1, S, T]
        attended, _ = self.self_attn(self.input_layernorm(hidden_states), cos, sin, mask, kv_cache)
        hidden_states = hidden_states + self.post_attention_layernorm(attended)
        gated = self.mlp(self.pre_feedforward_layernorm(hidden_states))
        return hidden_states + self.post_feedforward_layernorm(gated)


class Gemma2Model(GemmaModel):
    """Gemma's frame around Gemma 2's blocks."""

    def __init__(self, config: Gemma2Config):
        super().__init__(config)
        self.layers = nn.ModuleList(Gemma2DecoderLayer(config, i) for i in range(config.num_hidden_layers))


class Gemma2ForCausalLM(GemmaForCausalLM):
    """Gemma 2 with its head, whose logits are soft-capped."""

    def __init__(self, config: Gemma2Config):
        super().__init__(config)
        self.model = Gemma2Model(config)
        self.tie_weights()

    def limit_mask(self, mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """The mask as it is, and with the window: [B, 1, S, T] -> [2, B, 1, S, T]."""
        sliding_window = self.model.config.sliding_window
        window = mask if sliding_window is None else limit_to_window(mask, token_type_ids, sliding_window)
        return torch.stack([mask, window])

    def forward(
        self,
        inputs_embeds: Tensor,
        position_ids: Tensor,
        mask: Tensor,
        kv_cache: KVCache | None = None,
        logits_to_keep: int = 0,
    ) -> Tensor:
        """As Gemma's; the logits lie between minus and plus `final_logit_softcapping`, in the same order."""
        logits = super().forward(inputs_embeds, position_ids, mask, kv_cache, logits_to_keep)
        cap = self.model.config.final_logit_softcapping
        return logits if cap is None else soft_cap(logits, cap)
