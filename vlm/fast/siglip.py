"""The vision tower with fused attention."""

from torch import Tensor, nn

from vlm.siglip import SiglipAttention, SiglipVisionModel


class FusedSiglipAttention(nn.Module):
    """Takes over the projections of `attention`; returns no attention weights, since the fused call stores none."""

    def __init__(self, attention: SiglipAttention):
        super().__init__()
        self.attention = attention

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, None]:
        """[B, N, D] -> ([B, N, D], None)."""
        own = self.attention
        projections = (own.q_proj, own.k_proj, own.v_proj)
        query, key, value = (own.split_heads(part(hidden_states)) for part in projections)  # [B, A, N, E]
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, scale=own.scaling)  # [B, A, N, E]
        return own.out_proj(mixed.transpose(1, 2).flatten(2)), None


def fuse_attention(tower: SiglipVisionModel):
    """Replace the attention of every layer, in place."""
    for layer in tower.vision_model.encoder.layers:
        layer.self_attn = FusedSiglipAttention(layer.self_attn)
