"""PaliGemma arranged for fast generation: pass `FastPaliGemma(model)` to `generate` in place of the model.

Shapes: B batch, C H W channels, height and width of an image, S new tokens, T all tokens so far, D hidden size,
V vocabulary.
"""

import warnings
from functools import partial

import torch
from torch import Tensor, nn

from vlm.attention_mask import make_position_ids, make_prefix_lm_mask
from vlm.checkpoints.devices import has_compiler
from vlm.fast.gemma import FastDecoderLayer2, FastGemma
from vlm.fast.linear import LINEARS
from vlm.fast.siglip import fuse_attention
from vlm.kv_cache import KVCache
from vlm.paligemma import PaliGemmaForConditionalGeneration, PaliGemmaOutput
from vlm.training.lora import find_lora


class FastPaliGemma(nn.Module):
    """Consumes `model`: its weights are moved layer by layer, so it must not be used afterwards.

    Args:
        weights: "plain"; "packed", in the order that the CPU's library reads (it helps in bfloat16, and in float32 with
            several rows); or "int8".
        batch_size: rows of a batch. "packed" float32 weights are laid out for that number.
        compile: compile the decode step. The first token then takes about ten seconds longer. It needs a C++ compiler;
            without one it warns and runs uncompiled. It pays off where a step is short, in small models.

    Raises:
        ValueError: the model has adapters, `weights` is unknown, packed weights are to be compiled, or packed or int8
            weights are not on a CPU.
    """

    def __init__(
        self,
        model: PaliGemmaForConditionalGeneration,
        weights: str = "plain",
        batch_size: int = 1,
        compile: bool = False,
    ):
        super().__init__()
        if find_lora(model):
            raise ValueError("the model has adapters: merge_lora first, then make the fast model")
        if weights not in LINEARS:
            raise ValueError(f"weights are {weights!r}: expected one of {', '.join(LINEARS)}")
        if weights != "plain" and model.device.type != "cpu":
            raise ValueError(f"{weights} weights are for a CPU, and the model is on {model.device}: use plain weights")
        if weights == "packed" and compile:
            raise ValueError("packed weights cannot be compiled: use plain or int8 weights")
        self.config = model.config
        fuse_attention(model.vision_tower)
        self.language_model = FastGemma(model.language_model, partial(LINEARS[weights], num_rows=batch_size))
        self.model = model  # what is left of it: tower, projector, embedding
        # Gemma 2 always needs a mask, for its sliding window.
        self.needs_mask = isinstance(self.language_model.layers[0], FastDecoderLayer2)
        self.write = self.language_model  # a decode step: one token in, the logits of the next out
        if compile and not has_compiler(model.device):
            warnings.warn(
                "no C++ compiler was found, or torch is in a folder with a space: the model runs uncompiled",
                stacklevel=2,
            )
        elif compile:
            options = {"cpp_wrapper": True} if model.device.type == "cpu" else None
            self.write = torch.compile(self.language_model, dynamic=True, fullgraph=True, options=options)

    @property
    def device(self) -> torch.device:
        return self.model.language_model.model.embed_tokens.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.model.language_model.model.embed_tokens.weight.dtype

    def forward(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None,
        attention_mask: Tensor,
        kv_cache: KVCache,
        logits_to_keep: int = 1,
    ) -> PaliGemmaOutput:
        """`forward` of the model, limited to what `generate_tokens` needs: prefill a prefix, then decode tokens.

        Args:
            input_ids: [B, S].
            pixel_values: [B, C, H, W], or None once the images are in the cache.
            attention_mask: [B, T].
            kv_cache: read and filled.

        Returns:
            Logits of the last position, [B, 1, V].

        Raises:
            ValueError: the cache is full, or `logits_to_keep` is not 1.
        """
        num_cached, num_new = kv_cache.length, input_ids.shape[1]
        length = num_cached + num_new
        if logits_to_keep != 1:
            raise ValueError(f"logits_to_keep is {logits_to_keep}: FastPaliGemma supports only 1")
        if length > kv_cache.max_length:
            raise ValueError(f"the cache holds {kv_cache.max_length} tokens, and {length} are needed: make it larger")
        image_features = None if pixel_values is None else self.model.get_image_features(pixel_values)
        inputs_embeds = self.model.embed_inputs(input_ids, image_features)  # [B, S, D]
        mask = None  # without padding, the prefix and each token after it attend to everything in the cache
        if self.needs_mask or not attention_mask.all():
            types = torch.full_like(input_ids, 1 if num_cached else 0)
            mask = make_prefix_lm_mask(attention_mask, types, inputs_embeds.dtype)  # [B, 1, S, T]
            mask = self.model.language_model.make_layer_masks(mask, types)
        run = self.write if num_new == 1 else self.language_model
        slots = torch.arange(num_cached, length, device=input_ids.device)  # [S], of the cache
        # A copy: the strides of a slice depend on the length of the whole, so each new length would be compiled again.
        position_ids = make_position_ids(attention_mask, num_new).clone(memory_format=torch.contiguous_format)
        logits = run(inputs_embeds, position_ids, mask, kv_cache.keys, kv_cache.values, slots, length)  # [B, 1, V]
        kv_cache.advance(num_new)
        return PaliGemmaOutput(logits)
