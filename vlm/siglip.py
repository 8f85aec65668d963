"""SigLIP's vision tower: an image becomes one vector for each of its patches.

Shapes: B batch, C channels, H W image height and width, P patch size, N image tokens (patches),
D hidden size, F MLP width, A heads, E head_dim.

Source: "Sigmoid Loss for Language Image Pre-Training" (arXiv 2303.15343); the tower is a ViT (arXiv 2010.11929) with
learned position embeddings and no class token. PaliGemma keeps every patch and drops the pooling head.
"""

from torch import Tensor, nn

from vlm.attention import attention
from vlm.config import SiglipVisionConfig


class SiglipVisionEmbeddings(nn.Module):
    """Embed the patches of an image, and add a learned vector for each position."""

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        self.patch_embedding = nn.Conv2d(
            config.num_channels, config.hidden_size, kernel_size=config.patch_size, stride=config.patch_size
        )
        self.position_embedding = nn.Embedding(config.num_image_tokens, config.hidden_size)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, N, D], patches in reading order."""
        patches = self.patch_embedding(pixel_values)  # [B, D, H/P, W/P]
        patches = patches.flatten(2).transpose(1, 2)  # [B, N, D]
        return patches + self.position_embedding.weight


class SiglipAttention(nn.Module):
    """Multi-head self-attention over the patches; each patch attends to all patches."""

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.scaling = config.head_dim**-0.5
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.k_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.v_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        """[B, N, D] -> ([B, N, D], attention weights [B, A, N, N])."""
        query = self.split_heads(self.q_proj(hidden_states))
        key = self.split_heads(self.k_proj(hidden_states))
        value = self.split_heads(self.v_proj(hidden_states))
        # [B, A, N, E], [B, A, N, N]
        mixed, weights = attention(query, key, value, self.scaling)
        mixed = mixed.transpose(1, 2).flatten(2)  # [B, N, D]
        return self.out_proj(mixed), weights

    def split_heads(self, states: Tensor) -> Tensor:
        return states.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # [B, A, N, E]


class SiglipMLP(nn.Module):
    """Two linear layers around a GELU (its tanh approximation), applied to each patch separately."""

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: Tensor) -> Tensor:
        hidden_states = nn.functional.gelu(self.fc1(hidden_states), approximate="tanh")  # [B, N, F]
        return self.fc2(hidden_states)  # [B, N, D]


class SiglipEncoderLayer(nn.Module):
    """Pre-norm block: attention, then MLP, each with a residual connection."""

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.self_attn = SiglipAttention(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = SiglipMLP(config)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, N, D] -> [B, N, D]."""
        hidden_states = hidden_states + self.self_attn(self.layer_norm1(hidden_states))[0]
        return hidden_states + self.mlp(self.layer_norm2(hidden_states))


class SiglipEncoder(nn.Module):
    """The stack of blocks."""

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        self.layers = nn.ModuleList(SiglipEncoderLayer(config) for _ in range(config.num_hidden_layers))

    def forward(self, hidden_states: Tensor) -> Tensor:
        for layer in self.layers:
            hidden_states = layer(hidden_states)
        return hidden_states


class SiglipVisionTransformer(nn.Module):
    """Embeddings, blocks, and a final LayerNorm."""

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        self.embeddings = SiglipVisionEmbeddings(config)
        self.encoder = SiglipEncoder(config)
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.post_layernorm(self.encoder(self.embeddings(pixel_values)))


class SiglipVisionModel(nn.Module):
    """The vision tower as PaliGemma uses it. The extra level gives the weights their names in checkpoints."""

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        self.config = config
        self.vision_model = SiglipVisionTransformer(config)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Images [B, C, H, W] in -1..1 -> patch vectors [B, N, D].

        Raises:
            ValueError: the images do not have the size that the position embeddings were learned for.
        """
        config = self.config
        expected = (config.num_channels, config.image_size, config.image_size)
        if pixel_values.dim() != 4 or tuple(pixel_values.shape[1:]) != expected:
            raise ValueError(
                f"pixel_values has shape {list(pixel_values.shape)}: expected "
                f"[batch, {', '.join(map(str, expected))}]; resize the image first, as PaliGemmaProcessor does"
            )
        return self.vision_model(pixel_values.to(self.vision_model.embeddings.patch_embedding.weight.dtype))
