# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Where does the time go? Making it fast
#
# The model that you have built is written to be read. Beside *transformers* it is not slow, but neither is near what the machine can do. In this chapter you find out what the machine can do, and get there in five steps, each with its gain measured. The numbers that come out stay the same until the last step, which rounds; a test in the package holds the two models together.
#
# At the end you will be able to
#
# - say how many tokens a second a machine allows, before you run anything;
# - tell time that goes into reading weights from time that goes into giving orders;
# - write attention for shared keys without copying a key;
# - say what `torch.compile` does, what breaks its graph, and what makes it begin again;
# - turn weights into 8-bit integers, and measure what that costs.
#
# It takes about 50 minutes, and 65 for the exercises. Here is what you will have gained, on the toy.

# %% mystnb={"image": {"alt": "Bars of tokens per second for four ways to write the same answer. Reading everything again is by far the slowest, then the model of the chapters with its cache, then fewer and larger calls, and compiled is the fastest."}, "figure": {"caption": "Tokens a second of one answer, measured on the machine that executed this page. Every way writes the same tokens. (The last one needs a C++ compiler. Without one it is left out.)", "name": "fig-ch23-goal"}} tags=["hide-input", "nbval-ignore-output"]
import dataclasses
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import matplotlib.pyplot as plt
import torch
from benchmark.models import middle_config
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image
from vlm.attention import attention
from vlm.checkpoints.devices import has_compiler
from vlm.checkpoints.published import published_config
from vlm.fast.paligemma import FastPaliGemma
from vlm.gemma import (
    GemmaDecoderLayer,
    apply_rotary_pos_emb,
    repeat_kv,
)
from vlm.generate import generate_tokens
from vlm.kv_cache import KVCache
from vlm.loader import load_hf_model, load_model
from vlm.processor import PaliGemmaProcessor

MakeLinear = Callable[[Tensor], nn.Module]  # of a matrix, one of the layers of step 5
torch.set_grad_enabled(False)  # nothing is trained in this chapter

model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
config = model.config.text_config
processor = PaliGemmaProcessor.for_model(model, tokenizer)
inputs = processor(["detect cat ; bird"], [example_image(0)])
S = inputs["input_ids"].shape[1]
LENGTH = 60


def endless() -> nn.Module:
    """The Toybox's model, which never stops: no token is <eos>."""
    loaded = load_model(CHECKPOINT_DIRECTORY)
    loaded.config = dataclasses.replace(loaded.config, eos_token_id=-1)
    return loaded


def write(writer: nn.Module) -> tuple[list[int], float]:
    """An answer of LENGTH tokens, and the median of the seconds for one."""
    tokens, times = [], []
    for token in generate_tokens(writer, inputs, LENGTH):
        tokens.append(int(token))
        times.append(time.perf_counter())
    return tokens, median(b - a for a, b in itertools.pairwise(times))


def write_without_cache(writer: nn.Module) -> tuple[list[int], float]:
    """The same, reading everything again for each token."""
    tokens, times = [], [time.perf_counter()]
    for _ in range(LENGTH):
        ids = torch.cat([inputs["input_ids"], torch.tensor([tokens], dtype=torch.long)], dim=1)
        types = torch.tensor([[0] * S + [1] * len(tokens)])
        logits = writer(ids, inputs["pixel_values"], token_type_ids=types).logits
        tokens.append(int(logits[0, -1].argmax()))
        times.append(time.perf_counter())
    return tokens, median(b - a for a, b in itertools.pairwise(times))


readable = endless()
measured = {"everything again": write_without_cache(readable), "with a cache": write(readable)}
measured["fewer, larger calls"] = write(FastPaliGemma(endless()))
if has_compiler("cpu"):
    compiled = FastPaliGemma(endless(), compile=True)
    write(compiled)  # compiles
    measured["compiled"] = write(compiled)
fig, ax = plt.subplots(figsize=(6.8, 2.5), layout="constrained")
ax.barh(
    list(measured)[::-1],
    [1 / seconds for _, seconds in measured.values()][::-1],
    color="#0072B2",
)
ax.set(xlabel="tokens per second", ylabel="")
plt.show()
assert all(tokens == measured["with a cache"][0] for tokens, _ in measured.values())

# %% [markdown]
# ## What the machine allows
#
# To write one token, every weight of the language model is used once: multiplied by one number, and added. So it must come to the processor once. The most tokens a second is therefore the {term}`memory's bandwidth <memory bandwidth>` divided by the bytes of the weights. Chapter 16 drew that for real machines. Do it for three models: the toy; a *middle* one, which this chapter uses because its weights are large enough to matter and small enough to wait for; and the 3B.


# %%
def weights_read(text) -> int:
    """Numbers in the matrices of the language model; the head, which is the embedding, once."""
    query = text.num_attention_heads * text.head_dim
    key = text.num_key_value_heads * text.head_dim
    layer = text.hidden_size * (2 * query + 2 * key + 3 * text.intermediate_size)
    return text.num_hidden_layers * layer + text.vocab_size * text.hidden_size


def fetch_speed(num_bytes: int) -> float:
    """Gigabytes a second at which matrices are multiplied by a vector, in float32."""
    matrices = [torch.randn(4096, 1024) for _ in range(num_bytes // (4096 * 1024 * 4))]
    vector, times = torch.randn(1, 1024), []
    for _ in range(9):
        start = time.perf_counter()
        for matrix in matrices:
            nn.functional.linear(vector, matrix)
        times.append(time.perf_counter() - start)
    return sum(m.nbytes for m in matrices) / median(times) / 1e9


SIZES = {
    "toybox": (config, 4),
    "middle": (middle_config().text_config, 4),
    "3b": (published_config("paligemma-3b-224").text_config, 2),
}
megabytes = {name: weights_read(text) * size / 1e6 for name, (text, size) in SIZES.items()}
for name, amount in megabytes.items():
    print(f"{name:8s}{amount:8.1f} MB for a token")
# By hand, for the middle: 8 layers of 512 x (2 x 512 + 2 x 64 + 3 x 2048), and a head of 32,000 x 512.
assert megabytes["middle"] == (8 * 512 * (1024 + 128 + 6144) + 32000 * 512) * 4 / 1e6

# %% tags=["nbval-ignore-output"]
speed = fetch_speed(400_000_000)
print(f"this machine fetches {speed:.0f} GB a second")
for name, amount in megabytes.items():
    print(f"{name:8s} at most {1000 * speed / amount:8.0f} tokens a second")

# %% [markdown]
# For the toy the limit is absurd: thousands of tokens a second, and the first figure shows far fewer.[^ch23-1] What does it do with its time? It is told what to do. Each operation of torch (a product, a slice, a sum) has a price before it has done anything: some microseconds in Python and in torch's own machinery. Count them. `TorchDispatchMode` sees every operation that reaches torch's core.
#
# [^ch23-1]: Its weights even stay in the processor's cache, so the true limit is higher still.


# %%
class Operations(TorchDispatchMode):
    """Counts operations within a `with` block."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.counts[function.__name__.partition(".")[0]] += 1
        return function(*args, **(kwargs or {}))


def operations_of_a_token(writer: nn.Module) -> Counter:
    cache = KVCache(config, 1, S + 2)
    attention_mask = inputs["attention_mask"]
    prompt = (inputs["input_ids"], inputs["pixel_values"], attention_mask)
    writer(*prompt, kv_cache=cache, logits_to_keep=1)
    attention_mask = torch.ones(1, S + 1, dtype=torch.long)
    with Operations() as operations:
        writer(torch.tensor([[7]]), None, attention_mask, kv_cache=cache, logits_to_keep=1)
    return operations.counts


before = operations_of_a_token(endless())
after = operations_of_a_token(FastPaliGemma(endless()))
print(
    f"operations for one token: {before.total()} as it is read, {after.total()} as it is fast"
)
for name in ("mm", "view", "slice", "clone", "mul", "add"):
    print(f"    {name:6s} {before[name]:4d} {after[name]:4d}")
assert after.total() < 0.8 * before.total()

# %% [markdown]
# So there are two kinds of time. *Orders*: a price for each operation, whatever its size. *Weights*: a price for each byte. The toy pays for orders, the 3B for weights, the middle one for both. Each of the following steps lowers one of the two. Before you measure a gain, know which one it can be.
#
# ## Step 1: ask for what you need
#
# While it reads the prompt, the model could give scores for every place. You need those of the last. For the 3B with 268 places that is the difference between a product with a [257,216 × 2,048] matrix for 268 rows and for one; and 138 MB of scores that nobody reads, in bfloat16. You have had this since chapter 11: `logits_to_keep=1`. What is it worth on the toy, whose vocabulary has 1,921 tokens? Guess, then measure.

# %% tags=["nbval-ignore-output"]


def milliseconds(call: Callable[[], object], repeats: int = 15) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return median(times)


for keep, says in ((0, "all places"), (1, "the last place")):
    print(
        f"{says}: {milliseconds(lambda keep=keep: model(**inputs, logits_to_keep=keep)):.1f} ms"
    )

# %% [markdown]
# ## Step 2: room that does not move
#
# The {term}`KV cache` has been set aside once, since chapter 11. Two things about it matter here. First, it has *one tensor for each layer*. If all layers shared one large tensor, a compiler that sees a write into a part of it would have to prove that no other part is touched; we measured 0.50 ms against 0.36 on the toy, for the compiled step alone. Second, attention reads what is filled and not the whole room. Many fast implementations read all of it, with a mask, because then no shape ever changes. Then a token of a short answer costs as much as one of the longest answer that you might have wanted.

# %% mystnb={"image": {"alt": "Milliseconds for a token over the room of the cache, from 200 to 6,000 places. The line that reads what is filled is flat. The line that reads the whole room with a mask rises."}, "figure": {"caption": "Attention of one layer of the middle model for one token, 200 places filled, in a cache with more and more room. Read only what is filled, and room costs nothing.", "name": "fig-ch23-room"}} tags=["hide-input", "nbval-ignore-output"]
text = middle_config().text_config
attend = nn.functional.scaled_dot_product_attention
rows = torch.randn(1, 1, text.num_attention_heads, text.head_dim)  # [B, K, G, E]
rooms, lines = [200, 400, 800, 1600, 3200, 6000], {"what is filled": [], "the whole room": []}
for room in rooms:
    keys, values = torch.randn(2, 1, 1, room, text.head_dim)  # [B, K, room, E]
    mask = torch.zeros(1, 1, 1, room)
    mask[..., 200:] = float("-inf")
    filled = keys[:, :, :200], values[:, :, :200]
    lines["what is filled"].append(milliseconds(partial(attend, rows, *filled), 50))
    lines["the whole room"].append(
        milliseconds(partial(attend, rows, keys, values, attn_mask=mask), 50)
    )
fig, ax = plt.subplots(figsize=(6.6, 2.8), layout="constrained")
for (label, times), color, style in zip(lines.items(), ("#0072B2", "#D55E00"), ("-", "--")):
    ax.plot(rooms, times, color=color, linestyle=style, marker="o", label=label)
ax.set(xlabel="room of the cache (places)", ylabel="milliseconds", ylim=(0, None))
ax.legend()
plt.show()

# %% [markdown]
# ## Step 3: fewer and larger calls
#
# Query, key and value are three products with the same vector. Stack the three matrices, and it is one product. The same for gate and up in the MLP. Nothing is computed differently; three products fewer a layer.
#
# Attention itself is more interesting. In chapter 8 heads share keys, and `repeat_kv` copied each key for every head that uses it. For the 3B that is eight copies of the whole cache, in every layer, for every token: it undoes what sharing has saved. But look at the shapes. G heads that share a key are G queries to the same keys. A matrix of queries has *rows*. So make the heads rows, and no key is copied.

# %%
layer = endless().language_model.model.layers[1].self_attn
torch.manual_seed(0)
A, K, E = config.num_attention_heads, config.num_key_value_heads, config.head_dim
G, T = A // K, 20
query = torch.randn(1, A, 3, E)  # [B, A, S, E]
key, value = torch.randn(2, 1, K, T, E)  # [B, K, T, E] each
copied, _ = attention(query, repeat_kv(key, G), repeat_kv(value, G), E**-0.5)  # [B, A, S, E]

rows = query.reshape(
    1, K, G * 3, E
)  # heads 0..G-1 share the first key: their rows, one under the other
mixed, _ = attention(rows, key, value, E**-0.5)  # [B, K, G * S, E]
assert torch.allclose(mixed.reshape(1, A, 3, E), copied, atol=1e-6)
print(f"{A} heads, {K} keys: {list(query.shape)} becomes {list(rows.shape)}")

# %% [markdown]
# And `scaled_dot_product_attention` does scores, mask, softmax and mixture in one call, without ever writing the scores to memory {cite}`dao2022flashattention`. It gives no weights back, which is why the chapters do not use it: there would be nothing to look at.
#
# Here is the block that comes out of it. It takes over the weights of a `GemmaDecoderLayer`.


# %% tags=["from:vlm.fast.gemma.FastDecoderLayer"]
class FastDecoderLayer(nn.Module):
    """One block of Gemma. It takes over the weights of `layer`."""

    def __init__(self, layer: GemmaDecoderLayer, make_linear: MakeLinear):
        super().__init__()
        attention, mlp = layer.self_attn, layer.mlp
        self.head_dim, self.num_groups = attention.head_dim, attention.num_groups
        self.num_heads = attention.q_proj.out_features // attention.head_dim
        self.num_key_value_heads = self.num_heads // self.num_groups
        self.scaling, self.softcap = attention.scaling, attention.softcap
        self.norms = nn.ModuleDict(
            {name: part for name, part in layer.named_children() if name.endswith("norm")}
        )
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        self.qkv_proj = make_linear(
            torch.cat([part.weight for part in projections])
        )  # [(A + 2K) E, D]
        self.o_proj = make_linear(attention.o_proj.weight)
        self.gate_up_proj = make_linear(
            torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])
        )  # [2 F, D]
        self.down_proj = make_linear(mlp.down_proj.weight)

    def forward(self, hidden_states: Tensor, *context) -> Tensor:
        """[B, S, D] -> [B, S, D]."""
        hidden_states = hidden_states + self.attend(
            self.norms["input_layernorm"](hidden_states), *context
        )
        return hidden_states + self.gate(self.norms["post_attention_layernorm"](hidden_states))

    def attend(
        self,
        hidden_states: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Tensor | None,
        keys: Tensor,
        values: Tensor,
        places: Tensor,
        length: int,
    ) -> Tensor:
        """Attention over what the cache holds, after the new tokens are in it.

        keys, values: the cache of this layer, [B, K, max_length, E]; written at `places` [S],
        read up to `length`. mask: [B, 1, S, T], or None.
        """
        batch_size, num_new, _ = hidden_states.shape
        heads, shared = self.num_heads, self.num_key_value_heads
        projected = self.project(self.qkv_proj, hidden_states).unflatten(
            -1, (-1, self.head_dim)
        )  # [B, S, A + 2K, E]
        turned = apply_rotary_pos_emb(
            projected[:, :, : heads + shared], cos, sin
        )  # [B, S, A + K, E]
        query, key = turned[:, :, :heads].transpose(1, 2), turned[:, :, heads:].transpose(1, 2)
        keys.index_copy_(2, places, key)
        values.index_copy_(2, places, projected[:, :, heads + shared :].transpose(1, 2))

        rows = query.reshape(
            batch_size, shared, self.num_groups * num_new, self.head_dim
        )  # [B, K, G S, E]
        if mask is not None:
            mask = mask.repeat(1, 1, self.num_groups, 1)  # [B, 1, G S, T]
        known = keys[:, :, :length], values[:, :, :length]  # [B, K, T, E]
        if self.softcap is None:
            mixed = nn.functional.scaled_dot_product_attention(
                rows, *known, attn_mask=mask, scale=self.scaling
            )
        else:  # the fused call knows no cap
            mixed, _ = attention(rows, *known, self.scaling, mask, self.softcap)
        mixed = (
            mixed.reshape(batch_size, heads, num_new, self.head_dim).transpose(1, 2).flatten(2)
        )  # [B, S, A E]
        return self.project(self.o_proj, mixed)

    def gate(self, hidden_states: Tensor) -> Tensor:
        """The MLP."""
        gate, up = self.project(self.gate_up_proj, hidden_states).chunk(
            2, dim=-1
        )  # [B, S, F] each
        return self.project(self.down_proj, nn.functional.gelu(gate, approximate="tanh") * up)

    def project(self, linear: nn.Module, hidden_states: Tensor) -> Tensor:
        """[B, S, inputs] -> [B, S, outputs], by a linear layer that takes rows."""
        return linear(hidden_states.flatten(0, 1)).unflatten(0, hidden_states.shape[:2])


# %% [markdown]
# The block writes its keys with `index_copy_`, at places that are *data*. With a slice, `keys[:, :, 75:76] = key`, the number 75 would be part of the program. For an interpreter that makes no difference. The next step is not an interpreter. (`length`, up to which the block reads, is a number in the program too. It is one that the compiler is told may change.)
#
# Does it give the same numbers? Read a prompt, and then a token, with both.

# %%
largest = 0.0
slow, quick = endless(), FastPaliGemma(endless())
caches = [KVCache(config, 1, S + 1) for _ in range(2)]
attention_mask = inputs["attention_mask"]
for ids, pictures in (
    (inputs["input_ids"], inputs["pixel_values"]),
    (torch.tensor([[7]]), None),
):
    expected, found = (
        writer(ids, pictures, attention_mask, kv_cache=cache, logits_to_keep=1).logits
        for writer, cache in zip((slow, quick), caches)
    )
    largest = max(largest, (found - expected).abs().max().item())
    attention_mask = torch.ones(1, S + 1, dtype=torch.long)
print(f"logits differ by less than 1e-4: {largest < 1e-4}")
assert largest < 1e-4

# %% [markdown]
# ## Step 4: one program
#
# After step 3 there are still hundreds of orders for a token. `torch.compile` watches Python run once, writes down which operations happened on which tensors (a *graph*), and makes one program of them {cite}`ansel2024pytorch2`. In it, a norm's nine small operations are one loop. Next time, it checks whether what it assumed still holds (its *guards*: shapes, dtypes, who is who), and runs the program.
#
# Watching has a limit. Where Python asks for a *number* inside a tensor, to decide what to do next, the graph ends: nobody can know which way it will go. That is a {term}`graph break`. Count them in two ways to choose a token.


# %%
def with_a_look(logits: Tensor, ended: Tensor) -> Tensor:
    token = logits.argmax(-1)
    if ended.all():  # which way? It depends on the numbers
        return torch.zeros_like(token)
    return token.masked_fill(ended, 0)


def without(logits: Tensor, ended: Tensor) -> Tensor:
    return logits.argmax(-1).masked_fill(ended, 0)


for choose in (with_a_look, without):
    torch._dynamo.reset()
    found = torch._dynamo.explain(choose)(torch.randn(2, 5), torch.tensor([True, False]))
    print(f"{choose.__name__:12s} {found.graph_break_count} breaks, {found.graph_count} graphs")
torch._dynamo.reset()

# %% [markdown]
# Guards have a trap of their own. A program is made for what it has seen, and made again when a guard fails. Compiling the middle model's step took eleven seconds; if it happened for each new length of the cache, it would never pay. So it is told from the start that sizes may change (`dynamic=True`). That was not enough. Positions were the last column of `attention_mask.cumsum(-1)`, and a column of a wider matrix has the width of that matrix in its *stride*. One place more, another stride, and all was compiled once more. One copy of a single number cured it. A test in the package counts: one program, whatever the length.
#
# What stays outside of the program? Reading the prompt (once, and its shape is new each time), and choosing the token. The step of the toy is the last bar of the first figure.
#
# ## Step 5: bytes
#
# For large models all this is next to nothing. They wait for weights. There are two ways to wait less.
#
# *The right order.* A library for matrices does not read a matrix row by row. It reads tiles that fit its registers. So it copies a matrix into that order before it multiplies, every time, unless you have done it before. With one row in float32 it does not bother. With several rows, or in bfloat16, it matters: on our machine a product of eight rows with a [16,384 × 2,048] matrix in float32 took 13.1 ms, and 5.9 with the matrix laid out once; one row in bfloat16 3.5 and 2.7. That is `PackedLinear` (`vlm/fast/linear.py`).
#
# *Fewer bytes.* bfloat16 has 16 bits for each weight. Give it 8: whole numbers from -127 to 127, and one *scale* for each row of the matrix. Why for each row? A scale is set by the largest number. One large number in the matrix would make all others small: rounded to few steps, or to 0. This way it spoils its own row only.


# %% tags=["from:vlm.fast.linear.quantize_rows"]
def quantize_rows(values: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers [R, I] -> int8 [R, I] and the scale [R, 1] to multiply each row by again."""
    values = values.float()
    scale = (
        values.abs().amax(dim=-1, keepdim=True).clamp(min=1e-12) / 127
    )  # a row of zeros stays one
    return (values / scale).round().to(torch.int8), scale


# %% [markdown]
# And the vector that is multiplied? If it stays in floating point, each weight must become a floating-point number again before it is used. Processors can multiply bytes by bytes and add them up exactly in 32 bits, four times as many at once. So the vector is rounded too, with a scale of its own. By hand first, for a row of two weights.

# %%
rounded, scale = quantize_rows(torch.tensor([[2.54, -1.0]]))
assert rounded.tolist() == [[127, -50]] and abs(scale.item() - 0.02) < 1e-6
print(f"2.54 and -1.00 are {rounded.tolist()[0]} times {scale.item():.2f}")


# %% tags=["from:vlm.fast.linear.Int8Linear"]
class Int8Linear(nn.Module):
    """Each row of the matrix, and each token's vector, as whole numbers and a scale."""

    def __init__(self, weight: Tensor, num_rows: int):
        super().__init__()
        weight, scale = quantize_rows(weight.detach())
        self.register_buffer("weight", weight)  # int8 [O, I]
        self.register_buffer("scale", scale[:, 0])  # float32 [O]

    def forward(self, hidden_states: Tensor) -> Tensor:
        rounded, scale = quantize_rows(hidden_states)  # int8 [R, I], float32 [R, 1]
        products = torch._int_mm(rounded, self.weight.t())  # int32 [R, O]
        return (products * scale * self.scale).to(hidden_states.dtype)  # [R, O]


# %% [markdown]
# Now the toy's own matrices, with the vectors that really come. How far is the product from what it should be? Compare a scale for each row with one scale for the whole matrix.

# %% mystnb={"image": {"alt": "Relative error in percent of the products of seven kinds of matrices and the head of the Toybox. With a scale for each row 0.6 to 0.9, for down 1.7. With one scale for the matrix 0.7 to 1.1, for down 1.8."}, "figure": {"caption": "Error of the products in 8 bits, as a part of their size: mean over the layers of the toy, a real prompt. A scale for each row costs four bytes a row, and takes a sixth of the error away, of `down` hardly any.", "name": "fig-ch23-int8"}} tags=["hide-input"]
seen: dict[str, list[tuple[Tensor, Tensor]]] = {}
looked_at = endless()
for name, module in looked_at.language_model.named_modules():
    if isinstance(module, nn.Linear):
        kind = name.split(".")[-1].removesuffix("_proj")
        module.register_forward_hook(
            lambda part, args, _output, kind=kind: seen.setdefault(kind, []).append(
                (part.weight.detach(), args[0].flatten(0, -2))
            )
        )
looked_at(**inputs)
errors = {"one scale for each row": {}, "one scale for the matrix": {}}
for kind, calls in seen.items():
    both = [[], []]
    for weight, states in calls:
        exact = states @ weight.t()
        vectors, their_scale = quantize_rows(states)
        step = weight.abs().max() / 127  # one for the whole matrix
        whole = (vectors.float() @ (weight / step).round().t()) * their_scale * step
        for found, list_of_errors in zip((Int8Linear(weight, 1)(states), whole), both):
            list_of_errors.append(((found - exact).norm() / exact.norm()).item())
    for label, list_of_errors in zip(errors, both):
        errors[label][kind] = 100 * sum(list_of_errors) / len(list_of_errors)
fig, ax = plt.subplots(figsize=(7, 2.9), layout="constrained")
places = torch.arange(len(seen))
for shift, (label, by_kind), color, hatch in zip(
    (0, 0.4), errors.items(), ("#0072B2", "#D55E00"), ("", "//")
):
    ax.bar(
        places + shift,
        by_kind.values(),
        0.38,
        color=color,
        hatch=hatch,
        edgecolor="white",
        label=label,
    )
ax.set_xticks(places + 0.2, list(seen))
ax.set(xlabel="matrix", ylabel="error (%)")
ax.legend()
plt.show()

# %% [markdown]
# In the toy no row of a matrix is much larger than the others, so a scale for each row buys a sixth. And `down` is bad with both. There it is the *vector* that is hard to round: with the exact vector the error is 0.5 %, with the exact matrix 1.6. A few gates are wide open beside many that are shut.
#
# Nearly one percent in every product of every layer: what does the model say now? The only honest answer is the whole table. `python -m toybox.evaluate --fast int8` asked the 1,000 test scenes again.

# %%
int8 = json.loads(Path("data/int8_evaluation.json").read_text(encoding="utf-8"))["tasks"]
float32 = json.loads((CHECKPOINT_DIRECTORY / "evaluation.json").read_text(encoding="utf-8"))[
    "tasks"
]
print(f"{'':24s}float32    int8")
for task, measures in float32.items():
    for name, figure in measures.items():
        if name != "questions":
            print(f"{task + ' ' + name:24s}{figure:7.3f} {int8[task][name]:7.3f}")
            assert abs(figure - int8[task][name]) < 0.01

# %% [markdown]
# Some answers are others, some of them better: it is noise, a third of a point at most. A large model is less patient. Some of its vectors have a few entries that are twenty times as large as the rest, and a vector has one scale; LLM.int8() {cite}`dettmers2022llmint8` computes those entries in 16 bits.
#
# How far down can you go? The figure rounds the weights in your browser, with a scale for each row as above, and asks again. (Only the weights: vectors stay in floating point. The page's own weights have 7 bits, −63 to 63, so the model that you have been playing with is a rounded one already.) Guess first. With each bit less, by which factor do the logits' errors grow? At how many bits will the caption change, and at how many a box? And what does one scale for a whole matrix cost: a tenth of a bit, one, or three?
#
# <div class="live-figure" data-figure="eight-bits" data-prompt="caption en">
# <p>This figure needs JavaScript. The table above compares 8 bits with float32. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("eight-bits", prompt="caption en")

# %% [markdown]
# A bit less doubles the step from one level to the next, so it doubles the rounding error, and the logits follow roughly. The answer doesn't follow: it stays as it is until an error is as large as the lead of the best token over the next. The lead is large at most words of a caption, and small at a location token, whose neighbors are nearly as good. So boxes begin to move by a bin at bit widths that leave every word in place. But a bin is a ninth of a pixel: read the IoU. One scale for a matrix costs about one bit in our model, whose rows have similar sizes. In a model with a few large rows it costs more.
#
# ## All of it, beside transformers
#
# `make bench` times all this, each in a process of its own, in turns with *transformers* (`benchmark`). "Readable" is the model of the chapters, "fast" has step 3, "packed" and "int8" step 5, "compiled" steps 3 and 4. These are our figures, on two cores: medians of seven turns (three for the 3B), and ratios of neighbouring turns, so that what else the machine did hit both.

# %% mystnb={"image": {"alt": "Three panels of bars, tokens per second. Toybox: transformers 491, readable 778, fast 1,020, compiled 1,547. Middle: transformers 89, readable 101, compiled 124, int8 234. The 3B in bfloat16: transformers 3.0, packed 4.6, int8 8.3."}, "figure": {"caption": "Tokens a second for one row, by `make bench`. The dashed line is what the weights allow in the panel's dtype; int8, which reads a quarter or half of the bytes, may pass it.", "name": "fig-ch23-bench"}} tags=["hide-input"]
benchmark = json.loads(Path("data/bench.json").read_text(encoding="utf-8"))
fig, axes = plt.subplots(3, 1, figsize=(7, 7), layout="constrained", height_ratios=(6, 7, 3))
for ax, (name, report) in zip(axes, benchmark["models"].items()):
    table = report["batches"]["1"]
    sides = list(table)[::-1]
    ax.barh(
        sides,
        [table[side]["decode"] for side in sides],
        color=["#999999" if "transformers" in side else "#0072B2" for side in sides],
    )
    if name != "toybox":
        ax.axvline(report["limit"]["tokens_per_second"], color="#D55E00", linestyle="--")
    ax.set(title=f"{name}, {report['dtype']}", xlabel="tokens per second")
plt.show()

# %%
print(f"{'':66s}{'reached':>8s}{'wanted':>8s}")
for bar in benchmark["bars"]:
    print(f"{bar['model'] + ': ' + bar['says']:66s}{bar['figure']:8.2f}{bar['least']:8.2f}")

# %% [markdown]
# (*Wanted* is what we had set ourselves before we began. The limit is measured for each model, with matrices of as many bytes in its dtype, by the best of our own products: 53 GB/s for the toy, whose weights fit into the processor's cache, 41 for the middle, 23 for the 3B in bfloat16.)
#
# Read it by kind of time. The *toy* pays for orders. Fewer calls give 1.3 times, one program twice what the readable model does, and three times what *transformers* does as it comes (2.5 times when that is compiled with a static cache, its documentation's advice). Eight bits add 18 %.
#
# The *3B* pays for bytes. With packed weights it is 1.5 times as fast as *transformers*, and eight bits are 1.8 times as fast as that: half of the bytes. It writes as fast as our products run (a hundredth more: both are measured, and both vary). But they run at 23 GB/s, where float32 comes at 31: in bfloat16 this processor is busy turning numbers into others. And it costs memory: at most 11.2 GB with packed weights and 8.8 with eight bits, against 6.3, since the file's pages and the new weights are in memory at the same time. We have not seen compiled *transformers* here: after six minutes it had not written a token.
#
# The *middle* one pays for both, and here we miss two bars: 1.44 times *transformers* and not 1.6 (1.24 times when that is compiled, and in reading the prompt it is then ahead of us, 1.26 against 1.09), and 0.56 of the limit and not 0.75. Where is the rest? In a profile in which a token took 7.5 ms, 6.3 were products, 0.4 attention, 0.15 guards. So it is the products. Read in pieces of 32 MB, the 185 MB take 4.6 ms; in the model they are 32 pieces of 1 to 8 MB and the head, two threads share each, and must meet after it. And the limit is a hard one here: this processor has 260 MB of cache, so weights that are read again and again come faster than from memory. Against memory (31 GB/s) it is 0.74. What else we tried, without gain: threads that wait without sleeping, threads bound to cores, larger pieces of work for a thread.
#
# Eight rows at a time give 4.4 times as many tokens as one, for the same reading of the weights; not 8 times, since each row has its own arithmetic. And the room of the cache costs nothing.
#
# Reading picture and prompt is a third kind of time, *arithmetic*: all places share one reading of the weights. So fewer orders and packed weights buy little there, 1.0 to 1.25 times *transformers*. Eight bits do for the 3B, 2.2 times, since bytes are multiplied faster. It matters: with packed weights the 3B reads for 8.5 seconds, as long as it takes to write 39 tokens; with eight bits for 4.0.
#
# ## What is not here
#
# *A graphics card.* We had none, so nothing about one is measured here. The steps are the same, but they weigh otherwise: an order costs as much as here, while the memory is thirty times as fast or more. A 3B there waits for orders about as long as for weights. There the compiled step is recorded once and replayed whole (a CUDA graph), which wants every address and shape fixed; a cache would be read whole, or in a few lengths.
#
# *Speculative decoding* {cite}`leviathan2022fast`: a small model guesses some tokens, the large one reads them in one pass and keeps those that it would have written. For boxes and masks, which no small model guesses, it would gain little, and we left it out.
#
# *Serving many at once.* With eight rows each weight is fetched once for eight tokens. A server goes further: it lets rows come and go, and keeps their caches in pages {cite}`kwon2023efficient`. That is the subject of whole projects; the next chapter says which.
#
# ## Exercises
#
# Open `exercises/ch23_fast.py`, write what is missing, and grade it, below or in a terminal:
#
# ```text
# pytest exercises/test_ch23_fast.py
# ```
#
# ### `tokens_per_second_limit` (1 point, 10 minutes)
#
# ```{admonition} Hint
# :class: dropdown
# Write down the shapes of the seven matrices of a layer, and of the head. Which sides are num_key_value_heads · head_dim?
# ```
# ```{admonition} Another hint
# :class: dropdown
# Seconds for a token are all weights · bytes_per_weight / (gigabytes_per_second · 10⁹). What is asked for is 1 over that. The head counts once, outside the layers.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch23_fast.py
# :pyobject: tokens_per_second_limit
# ```
# ````
#
# ### `attend_grouped` (2 points, 15 minutes)
#
# ```{admonition} Hint
# :class: dropdown
# In [B, A, S, E] the heads that share a key are neighbours, so one `reshape` puts them into one matrix. The way back is a `reshape` too.
# ```
# ```{admonition} Another hint
# :class: dropdown
# The rows are now all tokens of one head, then all tokens of the next. The mask must follow: `mask.repeat(1, 1, G, 1)`, and not `repeat_interleave`.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch23_fast.py
# :pyobject: attend_grouped
# ```
# ````
#
# ### `StaticCache` (2 points, 10 minutes)
#
# ```{admonition} Hint
# :class: dropdown
# Make one tensor for each layer, in a list comprehension. `[x] * n` is one tensor, n times.
# ```
# ```{admonition} Another hint
# :class: dropdown
# `index_copy_(2, places, key)`, with the underscore, writes at all places at once. A slice `[:, :, :length]` is a view and costs nothing.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch23_fast.py
# :pyobject: StaticCache
# ```
# ````
#
# ### `next_token` (2 points, 10 minutes)
#
# ```{admonition} Hint
# :class: dropdown
# Do not ask whether a row has ended. Compute the token for all rows, and choose between it and the pad token with `masked_fill` or `torch.where`.
# ```
# ```{admonition} Another hint
# :class: dropdown
# Fill in with `ended` as it was before this step. Then: ended now = ended before, or token is `<eos>`.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch23_fast.py
# :pyobject: next_token
# ```
# ````
#
# ### `quantize_rows` (2 points, 10 minutes)
#
# ```{admonition} Hint
# :class: dropdown
# Take `abs()`, then `amax` along the last axis with `keepdim=True`, and divide by 127.
# ```
# ```{admonition} Another hint
# :class: dropdown
# Round before `.to(torch.int8)`, which only cuts off. For a row of zeros, `clamp(min=...)` the largest magnitude before you divide.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch23_fast.py
# :pyobject: quantize_rows
# ```
# ````
#
# ### `int8_linear` (2 points, 10 minutes)
#
# ```{admonition} Hint
# :class: dropdown
# Round both with `quantize_rows`. Multiply them as int32 (or float32, which is exact here); int8 overflows.
# ```
# ```{admonition} Another hint
# :class: dropdown
# The scales of the tokens are [R, 1], as they come. Those of the matrix are [O, 1]: transpose them to [1, O].
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch23_fast.py
# :pyobject: int8_linear
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch23_fast")

# %% [markdown]
# ## Summary
#
# A token has two prices: orders, and bytes of weights. The second is a limit that you can compute before you run. Small models pay for orders: make fewer of them, larger, and at last one program. Large ones pay for bytes: lay them out as they are read, or have fewer. Heads that share a key are rows. A cache is written at places that are data, and read as far as it is filled. A compiler wants no questions about numbers, and begins again when a guard fails. Eight bits cost a percent in each product, and the table decides whether that matters.
#
# One machine has a limit. The next chapter {doc}`leaves it <ch24_distributed>`.
