"""Gemma, the language model: token embeddings in, one logit for each token of the vocabulary out.

Shapes: B batch, S new tokens, T all tokens so far (S without a cache), D hidden size, F MLP width,
A heads, K key/value heads, E head_dim, V vocabulary.

Source: "Gemma: Open Models Based on Gemini Research and Technology" (arXiv 2403.08295), section 2.
"""

import torch
from torch import Tensor, nn

from vlm.attention import attention
from vlm.config import GemmaConfig
from vlm.kv_cache import KVCache


class GemmaRMSNorm(nn.Module):
    """Divides a vector by its root mean square, then scales entries by 1 + weight.

    The weight starts at 0, so the norm starts as a plain division. Everything runs in float32, and only the
    result is cast back. Source: "Root Mean Square Layer Normalization" (arXiv 1910.07467), section 4.
    """

    def __init__(self, hidden_size: int, eps: float):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[..., D] -> [..., D]."""
        states = hidden_states.float()
        states = states * torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + self.eps)
        return (states * (1 + self.weight.float())).to(hidden_states.dtype)


class GemmaMLP(nn.Module):
    """GeGLU: one projection, through a GELU, gates another.

    Source: "GLU Variants Improve Transformer" (arXiv 2002.05202), section 2.
    """

    def __init__(self, config: GemmaConfig):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, hidden_states: Tensor) -> Tensor:
        gate = nn.functional.gelu(self.gate_proj(hidden_states), approximate="tanh")  # [B, S, F]
        return self.down_proj(gate * self.up_proj(hidden_states))  # [B, S, D]


def rotary_cos_sin(position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the angle by which each pair is rotated at each position.

    Pair i of E/2 is rotated by position * theta^(-2i/E). The angles are computed in float32, again at each
    call: bfloat16 would be 0.4 rad off at position 300, and a stored buffer would be cast with the model.

    Args:
        position_ids: [B, S].

    Returns:
        Two tensors [B, 1, S, E] in `dtype`. Source: RoFormer (arXiv 2104.09864), section 3.2.2.
    """
    exponents = torch.arange(0, head_dim, 2, device=position_ids.device).float() / head_dim  # [E/2]
    angles = position_ids[:, None, :, None].float() * theta**-exponents  # [B, 1, S, E/2]
    angles = torch.cat([angles, angles], dim=-1)  # [B, 1, S, E]
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate_half(states: Tensor) -> Tensor:
    """(first half, second half) -> (-second half, first half): rotate each pair by 90 degrees."""
    first, second = states.chunk(2, dim=-1)
    return torch.cat([-second, first], dim=-1)


def apply_rotary_pos_emb(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate queries or keys [B, A, S, E] by the angles of their positions."""
    return states * cos + rotate_half(states) * sin


def repeat_kv(states: Tensor, num_groups: int) -> Tensor:
    """Copy key/value heads for the query heads: [B, K, T, E] -> [B, A, T, E].

    Neighbors share: with K = 2 and A = 4, query heads 0 and 1 use key/value head 0, and
    query heads 2 and 3 use key/value head 1.
    """
    return states.repeat_interleave(num_groups, dim=1)


class GemmaAttention(nn.Module):
    """Grouped-query attention with RoPE: A query heads share K key/value heads.

    Source: GQA (arXiv 2305.13245), section 2.2; with K = 1 it is multi-query attention (arXiv 1911.02150).
    """

    def __init__(self, config: GemmaConfig, layer_idx: int):
        super().__init__()
        self.layer_idx = layer_idx
        self.head_dim = config.head_dim
        self.num_groups = config.num_attention_heads // config.num_key_value_heads
        self.scaling = config.head_dim**-0.5
        self.softcap = None  # Gemma 2 has one
        query_size = config.num_attention_heads * config.head_dim
        key_value_size = config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, query_size, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, key_value_size, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, key_value_size, bias=False)
        self.o_proj = nn.Linear(query_size, config.hidden_size, bias=False)

    def forward(
        self, hidden_states: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, kv_cache: KVCache | None = None
    ) -> tuple[Tensor, Tensor]:
        """[B, S, D] -> ([B, S, D], attention weights [B, A, S, T])."""
        query = apply_rotary_pos_emb(self.split_heads(self.q_proj(hidden_states)), cos, sin)  # [B, A, S, E]
        key = apply_rotary_pos_emb(self.split_heads(self.k_proj(hidden_states)), cos, sin)  # [B, K, S, E]
        value = self.split_heads(self.v_proj(hidden_states))  # [B, K, S, E]
        if kv_cache is not None:
            key, value = kv_cache.update(self.layer_idx, key, value)  # [B, K, T, E]
        key, value = repeat_kv(key, self.num_groups), repeat_kv(value, self.num_groups)  # [B, A, T, E]
        mixed, weights = attention(query, key, value, self.scaling, mask, self.softcap)  # [B, A, S, E], [B, A, S, T]
        mixed = mixed.transpose(1, 2).flatten(2)  # [B, S, A * E]
        return self.o_proj(mixed), weights

    def split_heads(self, states: Tensor) -> Tensor:
        return states.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # [B, heads, S, E]


class GemmaDecoderLayer(nn.Module):
    """Pre-norm block: attention, then gated MLP, each with a residual connection."""

    def __init__(self, config: GemmaConfig, layer_idx: int, attention_class: type[GemmaAttention] = GemmaAttention):
        super().__init__()
        self.input_layernorm = GemmaRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = attention_class(config, layer_idx)
        self.post_attention_layernorm = GemmaRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = GemmaMLP(config)

    def forward(
        self, hidden_states: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, kv_cache: KVCache | None = None
    ) -> Tensor:
        """[B, S, D] -> [B, S, D]."""
        normed = self.input_layernorm(hidden_states)
        hidden_states = hidden_states + self.self_attn(normed, cos, sin, mask, kv_cache)[0]
        return hidden_states + self.mlp(self.post_attention_layernorm(hidden_states))


class GemmaModel(nn.Module):
    """The token embedding, the stack of blocks, and a final norm."""

    def __init__(self, config: GemmaConfig, layer_class: type[GemmaDecoderLayer] = GemmaDecoderLayer):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(layer_class(config, i) for i in range(config.num_hidden_layers))
        self.norm = GemmaRMSNorm(config.hidden_size, config.rms_norm_eps)

    def embed(self, input_ids: Tensor) -> Tensor:
        """Tokens [B, S] -> [B, S, D], scaled by sqrt(D). The scale is rounded to the dtype of the weights."""
        embeddings = self.embed_tokens(input_ids)  # [B, S, D]
        return embeddings * torch.tensor(self.config.hidden_size**0.5, dtype=embeddings.dtype)

    def forward(
        self, inputs_embeds: Tensor, position_ids: Tensor, mask: Tensor, kv_cache: KVCache | None = None
    ) -> Tensor:
        """Run the blocks.

        Args:
            inputs_embeds: [B, S, D].
            position_ids: [B, S].
            mask: [B, 1, S, T], added to the attention scores.
        """
        config, hidden_states = self.config, inputs_embeds
        cos, sin = rotary_cos_sin(position_ids, config.head_dim, config.rope_theta, hidden_states.dtype)
        for layer in self.layers:
            hidden_states = layer(hidden_states, cos, sin, mask, kv_cache)
        if kv_cache is not None:
            kv_cache.advance(hidden_states.shape[1])
        return self.norm(hidden_states)


class GemmaForCausalLM(nn.Module):
    """Gemma with its head. The head is tied to the embedding: one matrix, two uses."""

    def __init__(self, config: GemmaConfig, layer_class: type[GemmaDecoderLayer] = GemmaDecoderLayer):
        super().__init__()
        self.model = GemmaModel(config, layer_class)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.tie_weights()

    def tie_weights(self):
        self.lm_head.weight = self.model.embed_tokens.weight

    def make_layer_masks(self, mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """What the layers use of the prefix-LM mask: in Gemma, the mask itself, [B, 1, S, T], in every layer."""
        return mask

    def forward(
        self,
        inputs_embeds: Tensor,
        position_ids: Tensor,
        mask: Tensor,
        kv_cache: KVCache | None = None,
        logits_to_keep: int = 0,
    ) -> Tensor:
        """Logits [B, S, V], or of the last `logits_to_keep` positions only (0 keeps all)."""
        hidden_states = self.model(inputs_embeds, position_ids, mask, kv_cache)  # [B, S, D]
        # A copy: a slice keeps the strides of the full tensor, and PyTorch may then copy the head, which is far larger.
        kept = hidden_states[:, -logits_to_keep:].clone(memory_format=torch.contiguous_format)
        return self.lm_head(kept)  # [B, S or logits_to_keep, V]
