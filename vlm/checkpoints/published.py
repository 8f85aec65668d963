"""The configs of the PaliGemmas that Google has published, by name: `published_config("paligemma2-10b-448")`.

Sources: PaliGemma (arXiv 2407.07726), section 3.1; PaliGemma 2 (arXiv 2412.03555), Table 1; the config.json files.
"""

from vlm.config import Gemma2Config, GemmaConfig, PaliGemmaConfig, SiglipVisionConfig

VOCAB_SIZE, IMAGE_TOKEN_INDEX = 257216, 257152
IMAGE_SIZES = (224, 448, 896)
LANGUAGE_MODELS = {
    "paligemma-3b": GemmaConfig(
        hidden_size=2048,
        intermediate_size=16384,
        num_hidden_layers=18,
        num_attention_heads=8,
        num_key_value_heads=1,
        vocab_size=VOCAB_SIZE,
    ),
    "paligemma2-3b": Gemma2Config(vocab_size=VOCAB_SIZE),
    "paligemma2-10b": Gemma2Config(
        hidden_size=3584,
        intermediate_size=14336,
        num_hidden_layers=42,
        num_attention_heads=16,
        num_key_value_heads=8,
        vocab_size=VOCAB_SIZE,
    ),
    "paligemma2-28b": Gemma2Config(
        hidden_size=4608,
        intermediate_size=36864,
        num_hidden_layers=46,
        num_attention_heads=32,
        num_key_value_heads=16,
        head_dim=128,
        query_pre_attn_scalar=144,  # hidden_size / num_attention_heads, not head_dim
        vocab_size=VOCAB_SIZE,
    ),
}
NAMES = [f"{model}-{size}" for model in LANGUAGE_MODELS for size in IMAGE_SIZES]


def published_config(name: str) -> PaliGemmaConfig:
    """The config of a published model, by its name without "pt", "mix" or "ft", which have the same shape.

    Raises:
        ValueError: no such model was published.
    """
    if name not in NAMES:
        raise ValueError(f"no published model is called {name!r}: expected one of {', '.join(NAMES)}")
    model, _, image_size = name.rpartition("-")
    vision_config = SiglipVisionConfig(  # So400m, the same in all of them
        hidden_size=1152,
        intermediate_size=4304,
        num_hidden_layers=27,
        num_attention_heads=16,
        patch_size=14,
        image_size=int(image_size),
    )
    return PaliGemmaConfig(vision_config, LANGUAGE_MODELS[model], IMAGE_TOKEN_INDEX)
