"""The hyperparameters of the Toybox model: its sizes and its training."""

from dataclasses import dataclass

from toybox.scenes import IMAGE_SIZE
from vlm.config import GemmaConfig, PaliGemmaConfig, SiglipVisionConfig


@dataclass(frozen=True)
class Recipe:
    """One training run. The same recipe gives the same run on the same machine, to the last bit.

    Two stages. First the vision tower is trained alone, without text: a linear probe predicts the object under each
    patch and its box ("look"). Then the whole model is trained to generate text ("speak"). The published model has
    the same order: its tower was trained with SigLIP's loss before it was joined to the language model.
    """

    seed: int = 0
    scenes_per_step: int = 32
    look_steps: int = 6000
    speak_steps: int = 12000
    warmup_steps: int = 200
    look_learning_rate: float = 2e-3
    speak_learning_rate: float = 1.5e-3
    final_learning_rate_fraction: float = 0.02
    weight_decay: float = 0.05
    max_gradient_norm: float = 1.0
    dense_weight: float = 0.5  # of the probe's loss at the start of the second stage; it falls to 0
    location_sigma: tuple[float, float] = (16.0, 4.0)  # bins; of the soft <loc> targets, at the start and the end

    @property
    def total_steps(self) -> int:
        return self.look_steps + self.speak_steps


def toybox_config(vocab_size: int, image_token_index: int) -> PaliGemmaConfig:
    """PaliGemma's architecture, at about a thousandth of its size."""
    vision_config = SiglipVisionConfig(
        hidden_size=192,
        intermediate_size=576,
        num_hidden_layers=4,
        num_attention_heads=6,
        image_size=IMAGE_SIZE,
    )
    text_config = GemmaConfig(
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        vocab_size=vocab_size,
        max_position_embeddings=512,
    )
    return PaliGemmaConfig(vision_config, text_config, image_token_index)
