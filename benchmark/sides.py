"""The sides to time: this package, readable and fast, and transformers. All decode greedily and ignore <eos>.

Shapes: B batch.
"""

import dataclasses
import time
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from vlm.fast.paligemma import FastPaliGemma
from vlm.generate import generate_tokens
from vlm.kv_cache import KVCache
from vlm.loader import load_model

NO_TOKEN = 2**31  # an <eos> id that is in no vocabulary


class Ours:
    """This package: the model that the chapters build, or, with options, the fast one (`FastPaliGemma`)."""

    def __init__(self, **fast):
        self.fast = fast

    def load(self, directory: Path, dtype: torch.dtype, batch_size: int):
        self.model = load_model(directory, dtype=dtype)
        self.model.config = dataclasses.replace(self.model.config, eos_token_id=NO_TOKEN)
        if self.fast:
            self.model = FastPaliGemma(self.model, batch_size=batch_size, **self.fast)

    def prefill(self, inputs: dict[str, Tensor]):
        batch_size, length = inputs["input_ids"].shape
        kv_cache = KVCache(self.model.config.text_config, batch_size, length, self.model.dtype)
        prompt = (inputs["input_ids"], inputs["pixel_values"], inputs["attention_mask"])
        self.model(*prompt, kv_cache=kv_cache, logits_to_keep=1)

    def decode(self, inputs: dict[str, Tensor], num_tokens: int, max_new_tokens: int) -> list[tuple[list[int], float]]:
        """The tokens of all rows [B] and their times, step by step; the cache has room for `max_new_tokens` tokens."""
        written = islice(generate_tokens(self.model, inputs, max_new_tokens), num_tokens)
        return [(tokens.tolist(), time.perf_counter()) for tokens in written]


class Theirs:
    """transformers with its defaults, or with what its documentation recommends: a static cache and compilation."""

    def __init__(self, best: bool = False):
        self.best = best

    def load(self, directory: Path, dtype: torch.dtype, batch_size: int):
        from transformers import PaliGemmaForConditionalGeneration

        self.model = PaliGemmaForConditionalGeneration.from_pretrained(directory, dtype=dtype)
        if self.best:
            self.model.forward = torch.compile(self.model.forward)

    def prefill(self, inputs: dict[str, Tensor]):
        self.model(**inputs, use_cache=True, logits_to_keep=1)

    def decode(self, inputs: dict[str, Tensor], num_tokens: int, max_new_tokens: int) -> list[tuple[list[int], float]]:
        """Likewise: transformers calls a "logits processor" before each token, which records the time."""
        times = []

        def record_time(_input_ids: Tensor, scores: Tensor) -> Tensor:
            times.append(time.perf_counter())
            return scores

        options = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0, "max_new_tokens": num_tokens}
        if self.best:
            options["cache_implementation"] = "static"
        sequences = self.model.generate(**inputs, **options, logits_processor=[record_time])
        written = sequences[:, -num_tokens:].t().tolist()  # [tokens][B]
        return list(zip(written, times, strict=True))


SIDES = {
    "readable": Ours(),
    "fast": Ours(weights="plain"),
    "packed": Ours(weights="packed"),
    "compiled": Ours(weights="plain", compile=True),
    "int8": Ours(weights="int8"),
    "int8 compiled": Ours(weights="int8", compile=True),
    "transformers": Theirs(),
    "transformers, static and compiled": Theirs(best=True),
}
