"""Gemma and Gemma 2 with fewer and larger operations; the numbers are those of `vlm.gemma` and `vlm.gemma2`.

The query, key and value projections are one matrix, and so are the two input projections of the MLP. Query heads that
share a key/value head become rows of one matrix, so no key is copied for them. Attention is one fused call. All of it
can be compiled, since no shape depends on computed values.

Shapes: B batch, S new tokens, T all tokens so far, D hidden size, F MLP width, A heads, K key/value heads,
G = A / K query heads for each of them, E head_dim, V vocabulary.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vlm.attention import attention, soft_cap
from vlm.gemma import GemmaDecoderLayer, GemmaForCausalLM, apply_rotary_pos_emb, rotary_cos_sin
from vlm.gemma2 import Gemma2DecoderLayer, LayerMasks

MakeLinear = Callable[[Tensor], nn.Module]


class FastDecoderLayer(nn.Module):
    """One block of Gemma. It takes over the weights of `layer`."""

    def __init__(self, layer: GemmaDecoderLayer, make_linear: MakeLinear):
        super().__init__()
        attention, mlp = layer.self_attn, layer.mlp
        self.head_dim, self.num_groups = attention.head_dim, attention.num_groups
        self.num_heads = attention.q_proj.out_features // attention.head_dim
        self.num_key_value_heads = self.num_heads // self.num_groups
        self.scaling, self.softcap = attention.scaling, attention.softcap
        self.norms = nn.ModuleDict({name: part for name, part in layer.named_children() if name.endswith("norm")})
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        # [(A + 2K) E, D]
        self.qkv_proj = make_linear(torch.cat([part.weight for part in projections]))
        self.o_proj = make_linear(attention.o_proj.weight)
        # [2 F, D]
        self.gate_up_proj = make_linear(torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]))
        self.down_proj = make_linear(mlp.down_proj.weight)

    def forward(self, hidden_states: Tensor, *context) -> Tensor:
        """[B, S, D] -> [B, S, D]."""
        hidden_states = hidden_states + self.attend(self.norms["input_layernorm"](hidden_states), *context)
        return hidden_states + self.gate(self.norms["post_attention_layernorm"](hidden_states))

    def attend(
        self,
        hidden_states: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Tensor | None,
        keys: Tensor,
        values: Tensor,
        slots: Tensor,
        length: int,
    ) -> Tensor:
        """Attention over what the cache holds, after the new tokens are in it.

        Args:
            hidden_states: [B, S, D].
            cos, sin: [B, S, 1, E].
            mask: [B, 1, S, T], added to the attention scores; None: every token attends to every other.
            keys, values: the cache of this layer, [B, K, max_length, E]; written at `slots` [S], read up to `length`.
        """
        batch_size, num_new, _ = hidden_states.shape
        heads, shared = self.num_heads, self.num_key_value_heads
        # projected: [B, S, A + 2K, E]; rotated (RoPE): [B, S, A + K, E]
        projected = self.project(self.qkv_proj, hidden_states).unflatten(-1, (-1, self.head_dim))
        rotated = apply_rotary_pos_emb(projected[:, :, : heads + shared], cos, sin)
        query, key = rotated[:, :, :heads].transpose(1, 2), rotated[:, :, heads:].transpose(1, 2)
        keys.index_copy_(2, slots, key)
        values.index_copy_(2, slots, projected[:, :, heads + shared :].transpose(1, 2))

        # [B, K, G S, E]
        rows = query.reshape(batch_size, shared, self.num_groups * num_new, self.head_dim)
        if mask is not None:
            mask = mask.repeat(1, 1, self.num_groups, 1)  # [B, 1, G S, T]
        known = keys[:, :, :length], values[:, :, :length]  # [B, K, T, E]
        if self.softcap is None:
            mixed = nn.functional.scaled_dot_product_attention(rows, *known, attn_mask=mask, scale=self.scaling)
        else:  # SDPA has no softcap
            mixed, _ = attention(rows, *known, self.scaling, mask, self.softcap)
        # [B, S, A E]
        mixed = mixed.reshape(batch_size, heads, num_new, self.head_dim).transpose(1, 2).flatten(2)
        return self.project(self.o_proj, mixed)

    def gate(self, hidden_states: Tensor) -> Tensor:
        """The MLP."""
        # [B, S, F] each
        gate, up = self.project(self.gate_up_proj, hidden_states).chunk(2, dim=-1)
        return self.project(self.down_proj, nn.functional.gelu(gate, approximate="tanh") * up)

    def project(self, linear: nn.Module, hidden_states: Tensor) -> Tensor:
        """[B, S, inputs] -> [B, S, outputs], by a linear layer that takes rows."""
        return linear(hidden_states.flatten(0, 1)).unflatten(0, hidden_states.shape[:2])


class FastDecoderLayer2(FastDecoderLayer):
    """One block of Gemma 2, with its four norms and with its mask, sliding or full."""

    def __init__(self, layer: Gemma2DecoderLayer, make_linear: MakeLinear):
        super().__init__(layer, make_linear)
        self.is_sliding = layer.is_sliding

    def forward(self, hidden_states: Tensor, cos: Tensor, sin: Tensor, masks: LayerMasks, *cache) -> Tensor:
        norms, mask = self.norms, masks.sliding if self.is_sliding else masks.full
        attended = self.attend(norms["input_layernorm"](hidden_states), cos, sin, mask, *cache)
        hidden_states = hidden_states + norms["post_attention_layernorm"](attended)
        gated = self.gate(norms["pre_feedforward_layernorm"](hidden_states))
        return hidden_states + norms["post_feedforward_layernorm"](gated)


class FastGemma(nn.Module):
    """Takes over the weights of a language model, layer by layer, so that they are never in memory twice."""

    def __init__(self, language_model: GemmaForCausalLM, make_linear: MakeLinear):
        super().__init__()
        model = language_model.model
        self.config, self.norm = model.config, model.norm
        self.final_softcap = getattr(model.config, "final_logit_softcapping", None)
        self.lm_head = make_linear(language_model.lm_head.weight)
        self.layers = nn.ModuleList()
        for index, layer in enumerate(model.layers):
            layer_class = FastDecoderLayer2 if isinstance(layer, Gemma2DecoderLayer) else FastDecoderLayer
            self.layers.append(layer_class(layer, make_linear))
            model.layers[index] = nn.Identity()  # frees the layer's weights

    def forward(
        self,
        inputs_embeds: Tensor,
        position_ids: Tensor,
        mask: Tensor | None,
        keys: list[Tensor],
        values: list[Tensor],
        slots: Tensor,
        length: int,
    ) -> Tensor:
        """Logits of the last position, [B, 1, V].

        Args:
            inputs_embeds: [B, S, D].
            position_ids: [B, S].
            mask, slots, length: see `FastDecoderLayer.attend`.
            keys, values: the cache, one tensor for each layer.
        """
        config, hidden_states = self.config, inputs_embeds
        cos, sin = rotary_cos_sin(position_ids, config.head_dim, config.rope_theta, hidden_states.dtype)
        cos, sin = cos.transpose(1, 2), sin.transpose(1, 2)  # [B, S, 1, E]
        for layer, layer_keys, layer_values in zip(self.layers, keys, values, strict=True):
            hidden_states = layer(hidden_states, cos, sin, mask, layer_keys, layer_values, slots, length)
        logits = self.lm_head(self.norm(hidden_states[:, -1]))  # [B, V]; no other position is needed
        return (logits if self.final_softcap is None else soft_cap(logits, self.final_softcap))[:, None]
