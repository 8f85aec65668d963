"""Attention written out, compared with torch's fused version."""

import torch
from torch import nn

from vlm.attention import attention


def test_it_equals_torchs_fused_attention_with_a_mask():
    query, key, value = torch.randn(3, 1, 2, 40, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 1, 40, 40).masked_fill(torch.ones(40, 40).triu(1).bool(), torch.finfo(torch.float32).min)
    attended, weights = attention(query, key, value, 0.3, mask)
    expected = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.3)
    torch.testing.assert_close(attended, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 2, 40))
