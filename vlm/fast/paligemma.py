"""PaliGemma arranged for speed, for writing answers: `FastPaliGemma(model)` goes wherever `generate` takes a model.

Shapes: B batch, C H W channels, height and width of a picture, S new tokens, T all tokens so far, D hidden size,
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
    """Takes over `model`, which is used up: its layers give their weights away one by one.

    Args:
        weights: "plain"; "packed", in the order that the CPU likes (float32 with several rows, and bfloat16); "int8".
        batch_size: how many rows will be written at a time. "packed" float32 is laid out for that number.
        compile: make one program of the step that writes a token. Takes some ten seconds at the first token, and a
            C++ compiler; without one it warns, and runs uncompiled. It pays where a step is short, in small models.

    Raises:
        ValueError: the model has adapters, there is no such kind of weights, or packed weights are to be compiled or
            are not on a CPU.
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
            raise ValueError(f"{weights} weights are for a CPU, and the model is on {model.device}: take plain ones")
        if weights == "packed" and compile:
            raise ValueError("packed weights cannot be compiled: take plain ones or int8")
        self.config = model.config
        fuse_attention(model.vision_tower)
        self.language_model = FastGemma(model.language_model, partial(LINEARS[weights], num_rows=batch_size))
        self.model = model  # what is left of it: tower, projector, embedding
        self.needs_mask = isinstance(self.language_model.layers[0], FastDecoderLayer2)  # Gemma 2, for its window
        self.write = self.language_model  # reads one token and scores the next
        if compile and not has_compiler(model.device):
            warnings.warn(
                "no C++ compiler was found, or torch lies in a folder with a space: the model runs uncompiled",
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
        """As the model's own, for what `generate_tokens` asks of it: the prompt is all prefix, then one token a step.

        Args:
            input_ids: [B, S].
            pixel_values: [B, C, H, W], or None when the pictures are in the cache.
            attention_mask: [B, T].
            kv_cache: read and filled.

        Returns:
            Logits of the last place, [B, 1, V].

        Raises:
            ValueError: the cache has no room left, or logits of other places are wanted.
        """
        num_cached, num_new = kv_cache.length, input_ids.shape[1]
        length = num_cached + num_new
        if logits_to_keep != 1:
            raise ValueError(f"logits_to_keep is {logits_to_keep}: a FastPaliGemma gives those of the last place alone")
        if length > kv_cache.max_length:
            raise ValueError(f"the cache holds {kv_cache.max_length} tokens, and {length} are needed: make it larger")
        image_features = None if pixel_values is None else self.model.get_image_features(pixel_values)
        inputs_embeds = self.model.embed_inputs(input_ids, image_features)  # [B, S, D]
        mask = None  # without padding, a prefix and whatever is written after it see everything there is
        if self.needs_mask or not attention_mask.all():
            types = torch.full_like(input_ids, 1 if num_cached else 0)
            mask = make_prefix_lm_mask(attention_mask, types, inputs_embeds.dtype)  # [B, 1, S, T]
            mask = self.model.language_model.make_layer_masks(mask, types)
        run = self.write if num_new == 1 else self.language_model
        places = torch.arange(num_cached, length, device=input_ids.device)  # [S]
        # A copy, since the strides of a slice tell how long the whole is, and each length would be compiled anew.
        position_ids = make_position_ids(attention_mask, num_new).clone(memory_format=torch.contiguous_format)
        logits = run(inputs_embeds, position_ids, mask, kv_cache.keys, kv_cache.values, places, length)  # [B, 1, V]
        kv_cache.advance(num_new)
        return PaliGemmaOutput(logits)
