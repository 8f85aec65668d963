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
# # Distributed inference and training: what if the model does not fit on one device?
#
# PaliGemma 2 28B has 55 GB of weights. Training it takes 440 GB, before a single activation. No single GPU has that much memory. In this chapter one model runs on several processes. Whether these are on one machine or on forty makes no difference to the code: the processes find each other, and from then on they exchange numbers. You count which numbers, and how many, by hand and by measurement.
#
# At the end you will be able to
#
# - compute the memory that inference and training need, and over how many processes it must be divided;
# - split the matrices of an MLP so that one sum gives the whole result;
# - count the communication per token, and predict when a second machine makes things slower;
# - average gradients, exactly once;
# - launch a program on several processes, and let it survive the death of one.
#
# Time: about 45 minutes to read and run, and 60 for the six exercises. Two processes on your own machine are enough for all of it.

# %% mystnb={"image": {"alt": "Gigabytes per process over 1 to 64 processes on logarithmic axes, four falling lines. For inference, the 10B begins at 19 and the 28B at 55 GB. For training, the 10B begins at 155 and the 28B at 442. Training crosses the dotted line at 80 GB at 2 processes for the 10B and at 6 for the 28B."}, "figure": {"caption": "Inference with the 28B fits on one GPU of 80 GB (dotted line); training it needs at least six. Memory per process when a model is divided equally: 2 bytes per parameter for inference in bfloat16, 16 for training. Activations and the KV cache come on top.", "name": "fig-ch24-goal"}} tags=["hide-input"]
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Replicate
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image, example_path
from vlm.checkpoints.published import published_config
from vlm.gemma import GemmaMLP
from vlm.loader import load_hf_model
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.parallel.processes import Place
from vlm.parallel.tensor_parallel import check_divisible
from vlm.processor import PaliGemmaProcessor

INFERENCE, TRAINING = 2, 16  # bytes per parameter


def num_parameters(name: str) -> int:
    with torch.device("meta"):
        return sum(
            p.numel()
            for p in PaliGemmaForConditionalGeneration(published_config(name)).parameters()
        )


sizes = {name: num_parameters(f"paligemma2-{name}-224") for name in ("10b", "28b")}
processes = torch.tensor([1, 2, 4, 8, 16, 32, 64])
fig, ax = plt.subplots(figsize=(6.8, 3.3), layout="constrained")
for name, color in (("28b", "#D55E00"), ("10b", "#0072B2")):
    for cost, task, style in ((TRAINING, "training", "-"), (INFERENCE, "inference", "--")):
        ax.loglog(
            processes,
            cost * sizes[name] / 1e9 / processes,
            color=color,
            linestyle=style,
            marker="o",
            label=f"{name} {task}",
        )
ax.axhline(80, color="black", linestyle=":")
ax.set(xlabel="processes that share the model", ylabel="GB per process")
ax.set_xticks(processes.tolist(), processes.tolist())
ax.set_yticks([1, 10, 100], ["1", "10", "100"])
ax.legend()
plt.show()

# %% [markdown]
# ## Memory for inference and for training
#
# *Inference* needs the weights, 2 bytes each in bfloat16, and a KV cache that is small beside them (chapter 16). *Training* also needs a gradient for each weight, and two running means for {term}`AdamW`. In bfloat16 a weight of 1 could not take a step of 0.001: the next number above 1 is 1.0078. So mixed-precision training keeps a second copy of all weights in float32 (*master weights*), takes its steps there, and rounds. (The Toybox model is small, and holds all its weights in float32.) Add them up:

# %%
bytes_of = {
    "weight (bfloat16)": 2,
    "gradient (bfloat16)": 2,
    "weight (float32)": 4,
    "mean of the gradients": 4,
    "mean of their squares": 4,
}
assert sum(bytes_of.values()) == TRAINING
assert torch.tensor(1.0).bfloat16() + torch.tensor(0.001).bfloat16() == 1
for name, number in sizes.items():
    inference, training = INFERENCE * number / 1e9, TRAINING * number / 1e9  # GB
    print(f"{name}: {number:,} parameters")
    print(f"     {inference:.1f} GB for inference, {training:.0f} GB for training")
    print(f"     GPUs of 80 GB: {-(-inference // 80):.0f} and {-(-training // 80):.0f}")
assert sizes == {"10b": 9_662_638_832, "28b": 27_650_487_024}

# %% [markdown]
# Activations come on top. They grow with the batch, and can be reduced by computing them again in the backward pass (activation checkpointing). They are left out here.
#
# There are two things to divide. Give each process the whole model and *a part of the batch*: {term}`data parallelism`. No process holds less of the model, but each step sees more examples. Or give each process the whole batch and *a part of each matrix*: {term}`tensor parallelism`. Then each process holds less of the model. You will do both, the second one first.
#
# ## Tensor parallelism: column-parallel, then row-parallel
#
# An MLP has two steps: D numbers become F hidden units, and F hidden units become D numbers again. You have two processes. Where do you split?
#
# Split the *hidden units*. Process 0 gets the first half of them: the rows of `gate` and `up` that compute them, and the columns of `down` that read them. Each hidden unit depends on the input alone, not on other hidden units. So each process computes its half without communication. And `down` is a sum over hidden units, so each process has a partial sum. What remains is to add two vectors of D numbers.

# %% tags=["hide-input"]
from figures.schematics.parallel import draw_tensor_parallel
from IPython.display import HTML

drawing = draw_tensor_parallel(hidden_size=128, intermediate_size=384)
HTML(
    drawing.html(
        "Column-parallel, then row-parallel: one exchange for the whole MLP. Each "
        "process has half of the hidden units, and a partial sum of every output; the "
        "all-reduce adds these up."
    )
)

# %% [markdown]
# Try it with the MLP of the Toybox model's layer 0. Here one process plays the part of both.

# %%
model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
config = model.config.text_config
mlp: GemmaMLP = model.language_model.model.layers[0].mlp
W = 2  # processes
torch.manual_seed(0)
states = torch.randn(3, config.hidden_size)  # [S, D]
whole = mlp(states)

gate = mlp.gate_proj.weight.chunk(W, dim=0)  # rows
up = mlp.up_proj.weight.chunk(W, dim=0)  # rows
down = mlp.down_proj.weight.chunk(W, dim=1)  # columns
parts = []
for rank in range(W):
    gated = nn.functional.gelu(states @ gate[rank].t(), approximate="tanh")
    hidden = gated * (states @ up[rank].t())  # [S, F / W]
    parts.append(hidden @ down[rank].t())  # [S, D], a partial sum
print("slice of gate", list(gate[0].shape), "and of down", list(down[0].shape))
assert torch.allclose(sum(parts), whole, atol=1e-5)
assert not torch.allclose(parts[0], whole, atol=0.1)
print("the two partial sums add up to the MLP's output; one alone does not")

# %% mystnb={"image": {"alt": "Three panels. The matrix of gate, 384 rows by 128 columns, its upper half blue and its lower half orange. The matrix of down, 128 rows by 384 columns, its left half blue and its right half orange. Bars of sixteen outputs: a blue and an orange bar each, and a black mark at their sum, which is the whole MLP's output."}, "figure": {"caption": "Each process holds half of the hidden units. Left and middle: the slices in the Toybox model's layer 0, blue for process 0, orange for process 1; `up` is split like `gate`. Right: sixteen of the outputs at one position. The two partial sums, side by side and often of opposite signs, add up to the output of the whole MLP (black mark).", "name": "fig-ch24-cut"}} tags=["hide-input"]
fig, axes = plt.subplots(
    1, 3, figsize=(8.4, 3.4), layout="constrained", width_ratios=(1, 1.9, 2.4)
)
pieces = (
    (axes[0], mlp.gate_proj.weight, 0, "gate: rows are split", "input", "hidden unit"),
    (axes[1], mlp.down_proj.weight, 1, "down: columns are split", "hidden unit", "output"),
)
for ax, weight, axis, title, xlabel, ylabel in pieces:
    sizes_of_weights = weight.detach().abs()
    sizes_of_weights = sizes_of_weights / sizes_of_weights.quantile(0.99)
    colored = torch.cat(
        [
            torch.tensor(plt.get_cmap(name)(piece.clamp(max=1).numpy()))
            for name, piece in zip(("Blues", "Oranges"), sizes_of_weights.chunk(W, dim=axis))
        ],
        dim=axis,
    )
    ax.imshow(colored, interpolation="nearest")
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
numbers = torch.arange(16)
for rank, (part, color) in enumerate(zip(parts, ("#0072B2", "#D55E00"))):
    outputs = part[0, :16].detach()
    axes[2].bar(numbers + 0.4 * rank - 0.2, outputs, 0.4, color=color, label=f"process {rank}")
outputs = whole[0, :16].detach()
axes[2].scatter(numbers, outputs, color="black", marker="_", s=90, zorder=3, label="whole")
axes[2].set(title="outputs are sums", xlabel="output", ylabel="value", xticks=numbers[::3])
axes[2].margins(y=0.2)
axes[2].legend(fontsize=7, ncols=3, loc="lower center", columnspacing=1, handlelength=1.4)
plt.show()

# %% [markdown]
# Adding a tensor over all processes, so that each of them has the result, is an {term}`all-reduce`. If you split it the other way round (`gate` by columns), each process would have a partial sum *before* the GELU. The GELU of a sum is not the sum of GELUs, so an all-reduce would be needed in the middle, of F numbers for `gate` and F for `up`. The split that we made, column-parallel and then row-parallel, is Megatron's {cite}`shoeybi2019megatron`. (The names refer to the matrix A in y = x A. A linear layer stores its transpose as `weight`, so a column-parallel layer splits the rows of `weight`.)
#
# Attention is split in the same way, by heads. A head needs its own queries, keys and values, and nothing from other heads. `q_proj` is split by rows, `o_proj` by columns, and one all-reduce adds up what the heads contribute. Query heads share key/value heads (chapter 8). PaliGemma 2 10B has 16 query heads and 8 key/value heads: two processes take 4 key/value heads each. PaliGemma 3B has 8 query heads and *one* key/value head. That one cannot be split, so every process holds a copy. It is small.
#
# What remains is the vocabulary, with the largest matrix of all. Each process owns some of the tokens. For the embedding, the process that owns a token returns its vector, the others return zeros, and an all-reduce adds them. For the head, each process computes the logits of its own tokens, and an *all-gather* puts them side by side.
#
# ## DTensor: let PyTorch split the model
#
# PyTorch does this for you. A `DTensor` is a tensor that knows how it is distributed: `Shard(0)` splits it by rows, `Shard(1)` by columns, and `Replicate()` copies it to every process. `parallelize_module` replaces the weights of linear layers by DTensors and adds the communication. `ColwiseParallel` makes a layer column-parallel; `RowwiseParallel` makes it row-parallel, all-reduce included. This is the plan for one layer of the language model.


# %%
layer_plan = {
    "self_attn.q_proj": ColwiseParallel(),
    "self_attn.k_proj": ColwiseParallel(),  # a single key/value head is not split
    "self_attn.v_proj": ColwiseParallel(),
    "self_attn.o_proj": RowwiseParallel(),
    "mlp.gate_proj": ColwiseParallel(),
    "mlp.up_proj": ColwiseParallel(),
    "mlp.down_proj": RowwiseParallel(),
}

# %% [markdown]
# `split_model` applies this plan to every layer, splits the embedding, the head and the vision tower in the same way, and adjusts the numbers of heads. Open the cell to read all of it.


# %% tags=["from:vlm.parallel.tensor_parallel.split_model", "hide-input"]
def split_model(model: PaliGemmaForConditionalGeneration, mesh: DeviceMesh):
    """Split the model's matrices in place; afterwards this process holds only its slices."""
    num_processes = mesh.size()
    check_divisible(model.config, num_processes)
    language_model, text_config = model.language_model, model.config.text_config
    is_tied = language_model.lm_head.weight is language_model.model.embed_tokens.weight
    shares_keys = text_config.num_key_value_heads == 1
    num_heads = text_config.num_attention_heads // num_processes
    num_key_value_heads = 1 if shares_keys else text_config.num_key_value_heads // num_processes

    for layer in language_model.model.layers:
        plan = {
            "self_attn.q_proj": ColwiseParallel(),
            "self_attn.o_proj": RowwiseParallel(),
            "mlp.gate_proj": ColwiseParallel(),
            "mlp.up_proj": ColwiseParallel(),
            "mlp.down_proj": RowwiseParallel(),
        }
        if not shares_keys:
            plan |= {
                "self_attn.k_proj": ColwiseParallel(),
                "self_attn.v_proj": ColwiseParallel(),
            }
        parallelize_module(layer, mesh, plan)
        layer.self_attn.num_groups = num_heads // num_key_value_heads
    plan = {
        # each process holds some of the tokens
        "model.embed_tokens": RowwiseParallel(input_layouts=Replicate()),
        "lm_head": ColwiseParallel(output_layouts=Replicate()),
    }
    parallelize_module(language_model, mesh, plan)
    if is_tied:
        language_model.tie_weights()

    for layer in model.vision_tower.vision_model.encoder.layers:
        plan = {
            f"self_attn.{name}": ColwiseParallel() for name in ("q_proj", "k_proj", "v_proj")
        }
        plan |= {
            "self_attn.out_proj": RowwiseParallel(),
            "mlp.fc1": ColwiseParallel(),
            "mlp.fc2": RowwiseParallel(),
        }
        parallelize_module(layer, mesh, plan)
        layer.self_attn.num_heads //= num_processes
    text_config = replace(
        text_config, num_attention_heads=num_heads, num_key_value_heads=num_key_value_heads
    )
    model.config = replace(model.config, text_config=text_config)


# %% [markdown]
# The *mesh* says which processes take part. `check_divisible` makes sure that their number divides the numbers of heads. The config is replaced by one that describes what this process holds, so that a cache made from it is no larger than needed.
#
# `split_model` is called on a model without memory (on the meta device, chapter 13). Then each process reads only its own slices of the split matrices from the file. So no process ever holds the whole 28B.
#
# Now with real processes. `torchrun` starts them, tells each its number (its *rank*) and how many there are, and where to meet. Here are two, on this machine. They communicate through gloo, a library that works between CPUs.

# %%
folder = Path(tempfile.mkdtemp())
PROMPT = "detect cat ; bird"


def launch(num_processes: int, *arguments: str) -> str:
    """What `torchrun --standalone --nproc-per-node N -m ...` prints."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(num_processes), "-m", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment
    ).stdout


options = ["--image", str(example_path(0)), "--prompt", PROMPT]
options += ["--logits", str(folder / "logits.safetensors")]
printed = launch(W, "vlm.commands.run_split", *options)
answer, held, traffic = printed.splitlines()
print(answer)
print(held)

# %% [markdown]
# The file has 10.7 MB. Each process holds half of it and a little more, because what is not split (the projector, the position embeddings, the norms) is in every process. In a terminal, the command would be
#
# ```text
# torchrun --nproc-per-node 2 -m vlm.commands.run_split --image my.png --prompt "detect cat ; bird"
# ```
#
# Is the answer the same as that of one process? And the logits?

# %%
vision = model.config.vision_config
processor = PaliGemmaProcessor.for_model(model, tokenizer)
inputs = processor([PROMPT], [example_image(0)])
with torch.inference_mode():
    alone = model(**inputs, logits_to_keep=1).logits[:, -1]
shared = load_file(folder / "logits.safetensors")["logits"]
print(f"largest logit {alone.abs().max():.0f}; they differ by less than 1e-4: ", end="")
print(bool((shared - alone).abs().max() < 1e-4))
assert torch.allclose(shared, alone, atol=1e-4)

# %% [markdown]
# (They are not equal to the last bit: a sum of two partial sums is rounded differently from a single sum. On small random models, with logits of size 1, the package's test allows 1e-5.)
#
# ## Communication per token
#
# Count by hand. Each layer has two all-reduces, of one vector of D numbers for each token that is read. The embedding has one more. The logits are gathered once. For one token of the Toybox model with its 4 layers, that makes 9 all-reduces of 128 numbers with 4 bytes each. Now compare with the log of the run above: the answer had 27 tokens; in the first pass the language model also read the prompt, and the vision tower read the patches.

# %%
N, D = vision.num_image_tokens, config.hidden_size
S = inputs["input_ids"].shape[1]
L, tower_layers = config.num_hidden_layers, vision.num_hidden_layers
tokens = len(tokenizer(answer, add_special_tokens=False).input_ids) + 1  # and <eos>
print(traffic.split("; ")[1])

calls = tokens * (2 * L + 1) + 2 * tower_layers
numbers = (S + tokens - 1) * (2 * L + 1) * D + 2 * tower_layers * N * vision.hidden_size
print(f"by hand: {calls} all-reduces, {4 * numbers} bytes; {tokens} all-gathers")
assert f"'all_reduce': {calls}" in traffic and f"'all_reduce': {4 * numbers}" in traffic
assert f"'all_gather_into_tensor': {tokens}" in traffic

# %% [markdown]
# These bytes are the *inputs* of the calls in one process: the whole vector for an all-reduce, the process's own part for an all-gather. How much goes over the network? In a *ring*, each process sends only to its neighbor: first partial sums travel around the ring, then the finished sums. For n bytes, each process sends 2 n (W - 1) / W {cite}`patarasuk2009bandwidth`. For one token on eight processes that is

# %%
for name in ("10b", "28b"):
    text = published_config(f"paligemma2-{name}-224").text_config
    count = 2 * text.num_hidden_layers + 1
    ring = 2 * 2 * text.hidden_size * 7 / 8  # bytes that each process sends
    logits = 2 * text.vocab_size * 7 / 8
    print(f"{name}: {count} all-reduces, {count * ring / 1e6:.2f} MB; ", end="")
    print(f"logits {logits / 1e6:.2f} MB")

# %% [markdown]
# A megabyte or two. A network of 10 Gbit/s sends that in one or two milliseconds. So bandwidth is not the main problem. The *latency* of the calls is: for the 28B, 93 all-reduces and the all-gather make 94 calls, one after the other, and each must wait for its result. Between two GPUs in one machine that takes some 10 µs per call, between two machines over an ordinary network 50 µs and more.[^ch24-1]
#
# Put it together: a token takes the time to read a W-th of the weights, plus the waits, plus the transfer. Guess before you look: on eight GPUs in one machine, how much faster is the 28B than on one? On eight GPUs with a slow network between them? And the 10B?
#
# [^ch24-1]: More processes wait longer, since a ring has more steps. For short messages there are tree algorithms, whose number of steps grows slowly. Below, the wait of an all-reduce is a fixed number and that of the all-gather is left out, which is optimistic.

# %% mystnb={"image": {"alt": "Two panels, tokens per second over 1 to 16 processes, for the 10B and the 28B. GPUs in one machine: 10B from 181 to 834, 28B from 61 to 513. GPUs with a slow network: 10B falls from 181 to 130 at two and is at 170 at sixteen; 28B rises from 61 to 136. Machines of two cores rise all the way."}, "figure": {"caption": "The faster a device reads its weights, the more communication costs it. Upper limit on tokens per second for W processes that share a model, one row, bfloat16: one token takes weights / W / bandwidth, plus the waits, plus the transfer. The thin dotted lines are W times the speed of one process. Bandwidths, waits and networks are typical values; no such machine was at hand. (The 10B's points at sixteen assume that two processes hold the same key/value head, which this package does not do.)", "name": "fig-ch24-roofline"}} tags=["hide-input"]


def tokens_per_second(
    name: str, num_processes: Tensor, memory: float, wait: float, network: float
) -> Tensor:
    """memory and network in bytes per second, wait in seconds."""
    text = published_config(f"paligemma2-{name}-224").text_config
    query, key = (
        n * text.head_dim for n in (text.num_attention_heads, text.num_key_value_heads)
    )
    layer = text.hidden_size * (2 * query + 2 * key + 3 * text.intermediate_size)
    weights = 2 * (text.num_hidden_layers * layer + text.vocab_size * text.hidden_size)
    count = 2 * text.num_hidden_layers + 1
    away = (num_processes - 1) / num_processes
    sent = away * (2 * count * 2 * text.hidden_size + 2 * text.vocab_size)
    waits = torch.where(num_processes > 1, count * wait, 0.0)
    return 1 / (weights / num_processes / memory + waits + sent / network)


MACHINES = {
    "GPUs in one machine": (3.35e12, 10e-6, 450e9, "#0072B2", "-"),
    "GPUs, slow network between them": (3.35e12, 50e-6, 1.25e9, "#D55E00", "--"),
    "two cores, slow network": (30e9, 50e-6, 1.25e9, "#009E73", ":"),
}
few = processes[:5]  # up to 16: the 28B has 16 key/value heads
fig, axes = plt.subplots(1, 2, figsize=(8, 3.5), layout="constrained", sharey=True)
for ax, name in zip(axes, ("10b", "28b")):
    for label, (memory, wait, network, color, style) in MACHINES.items():
        speeds = tokens_per_second(name, few.float(), memory, wait, network)
        ax.loglog(few, speeds, color=color, linestyle=style, marker="o", label=label)
        ax.loglog(few, few * speeds[0], color="gray", linestyle=":", linewidth=0.8)
        row = "  ".join(f"{w}: {speed:6.1f}" for w, speed in zip(few.tolist(), speeds))
        print(f"{name} {label:33s} {row}")
    ax.set(xlabel="processes", title=f"PaliGemma 2, {name}")
    ax.set_xticks(few.tolist(), few.tolist())
    ax.minorticks_off()
axes[0].set_yticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
axes[0].set(ylabel="tokens per second")
axes[1].legend(fontsize=7)
plt.show()

# %% [markdown]
# Fast GPUs lose most: the less time a W-th of the weights takes, the more the waits count. With a slow network between two GPUs, the 10B is *slower* than on one; even eight, the most that its 8 key/value heads allow, do not make up for it. W slow machines are almost W times as fast as one. That is why large models use tensor parallelism within a machine, where waits are short. Between machines they are split by *layers* (pipeline parallelism: each machine has some of the layers, and passes on one vector per token), or not at all: each machine has a whole model and answers other requests.
#
# ## Data parallelism: average the gradients
#
# Now divide the batch instead. Each of W processes has the whole model and its own rows. Each computes the gradient of the mean loss over its rows. If all have the same number of rows, the mean of these gradients is the gradient over all rows. Then each takes the same step, and the models stay equal although no weights are ever sent. (If the numbers of rows differ, the mean of the means is not the mean over all rows. That is one of the exercises.)

# %% tags=["hide-input"]
from figures.schematics.parallel import draw_ring
from IPython.display import HTML

drawing = draw_ring()
HTML(
    drawing.html(
        "A ring all-reduce: each process talks to one neighbor alone, and sends less "
        "than twice the data, however many processes there are. The dark chunk is the "
        "one whose sum the process holds after the first round."
    )
)


# %% tags=["from:vlm.parallel.gradients.average_gradients"]
def average_gradients(parameters: Sequence[nn.Parameter], place: Place):
    """Replace each gradient by its mean over all processes. Call it once a step."""
    if place.world_size == 1:
        return
    # 1 if this process has a gradient, else 0; their sum counts the processes.
    num_users = torch.tensor(
        [float(parameter.grad is not None) for parameter in parameters],
    )
    num_users = num_users.to(parameters[0].device)  # [parameters]
    dist.all_reduce(num_users)
    used = [
        parameter
        for parameter, number in zip(parameters, num_users, strict=True)
        if number > 0  # otherwise no process has a gradient, and nothing is averaged
    ]
    for parameter in used:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in used]
    # One long vector, [all numbers of the model]: faster than many short messages.
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)  # the sum; gloo has no mean
    flat /= place.world_size
    start = 0
    for gradient in gradients:
        gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
        start += gradient.numel()


# %% [markdown]
# Divide once. If each process has divided its loss by W already, and you divide the gradient again here, it is W times too small. Nothing crashes: {term}`AdamW` divides the gradient by its own size, so the steps are as long as before, and only gradient clipping behaves differently. Such a bug can stay hidden for a long time. So test for it, as the package does: two processes must give the gradient of one that has seen both batches.
#
# The Toybox's training does this when `torchrun` launches it; each process draws its own part of every batch:
#
# ```text
# export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
# torchrun --nproc-per-node 2 --max-restarts 3 -m toybox.train
# ```
#
# `--max-restarts` is for the day when a process dies. Then `torchrun` stops the others too (they would wait for numbers that never come), and starts all of them again. They load the last saved state and go on. That state is never half-written, because it was written to a temporary file and then renamed. In the package's test, one of two processes is killed in its sixth step by a signal that cannot be caught. The final weights are those of an undisturbed run, to the last bit.[^ch24-2]
#
# What is the environment variable for? Processes find each other by writing their addresses to a small store. In today's PyTorch (2.13), `torchrun` keeps that store when it restarts, so a new process may find the address of one that has ended, and wait for it. It took us a while to find: 3 of 6 runs with a killed worker hung or failed, and 0 of 8 with the variable, which gives each attempt a store of its own. It is a known bug (pytorch issue 135712). Without the variable, this package refuses to start with `--max-restarts`.
#
# ## FSDP: shard the weights, gradients and optimizer
#
# In data parallelism, every process holds everything. {term}`FSDP` (ZeRO-3 {cite}`rajbhandari2019zero`) divides weights, gradients and optimizer states among the same processes, and gathers the weights of a block just before they are used. It sends 1.5 times as much as plain data parallelism. Each process needs a W-th of the memory, plus the weights of one block. In PyTorch it takes one call for each block and one for the rest, before the optimizer is created:
#
# ```python
# from torch.distributed.fsdp import fully_shard
#
# for layer in model.language_model.model.layers:
#     fully_shard(layer)
# fully_shard(model)
# # Gradients are averaged, and each process keeps its part.
# model(**inputs, labels=labels).loss.backward()
# ```
#
# (`tests/parallel_worker.py` does exactly this, and compares its gradients with those of one process.)
#
# ## Several machines: the launch command
#
# The code does not know how many machines there are. The launch command does. Run it on each of four machines, where HOST is one of them, which all the others can reach:
#
# ```text
# export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
# torchrun --nnodes 4 --nproc-per-node 8 --max-restarts 3 --rdzv-backend c10d --rdzv-endpoint HOST:29500 \
#     -m toybox.train --directory /shared/run
# ```
#
# (`rdzv` is the *rendezvous*, where the processes meet, and c10d is PyTorch's own implementation of it.) GPUs communicate through NCCL instead of gloo, and each process takes one GPU. The directory must be visible to all machines. We have tried two processes on one machine; the rest of this command is PyTorch's own, and we had no second machine.
#
# And to *serve* a model to many users at once? Not with this package. A server lets rows join and leave the batch, keeps caches in pages {cite}`kwon2023efficient`, and does all that on many GPUs. vLLM is such a server. It reads the published format (config.json and safetensors), which `vlm convert` writes (chapter 16). So it should be able to serve what you have trained here; we have not tried it.
#
# ## Exercises
#
# Open `exercises/ch24_distributed.py`, fill in what is missing, and grade it, below or in a terminal:
#
# ```text
# pytest exercises/test_ch24_distributed.py
# ```
#
# The exercises start no processes. Instead, a list has one entry for each rank.
#
# ### `split_mlp` (2 points, 10 minutes)
#
# Split the three matrices of an MLP among W processes.
#
# ```{literalinclude} ../exercises/ch24_distributed.py
# :pyobject: split_mlp
# ```
#
# ```{admonition} Hint
# :class: dropdown
# The weight of an `nn.Linear` has one row per output. Which dimension of `gate`, `up` and `down` is F?
# ```
# ```{admonition} Another hint
# :class: dropdown
# `chunk(num_processes, dim=0)` for `gate` and `up`, `dim=1` for `down`; then `zip` makes the piece of each rank.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch24_distributed.py
# :pyobject: split_mlp
# ```
# ````
#
# ### `run_mlp` (2 points, 10 minutes)
#
# Run the split MLP, so that every rank ends up with the whole result.
#
# ```{literalinclude} ../exercises/ch24_distributed.py
# :pyobject: run_mlp
# ```
#
# ```{admonition} Hint
# :class: dropdown
# Treat each piece as a small MLP of its own that reads all of `hidden_states`. What is the sum of their outputs?
# ```
# ```{admonition} Another hint
# :class: dropdown
# Collect the W partial sums in a list, call `all_reduce` once with this list, and return its result.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch24_distributed.py
# :pyobject: run_mlp
# ```
# ````
#
# ### `heads_on_rank` (2 points, 10 minutes)
#
# Say which query heads a rank has, and which key/value heads it needs for them. The package copies a key/value head to every process only if there is a single one. The exercise also allows several key/value heads with a copy on several ranks each.
#
# ```{literalinclude} ../exercises/ch24_distributed.py
# :pyobject: heads_on_rank
# ```
#
# ```{admonition} Hint
# :class: dropdown
# First the query heads: A / W adjacent ones, starting at rank · A / W. Before that, check that W divides A.
# ```
# ```{admonition} Another hint
# :class: dropdown
# Query head h uses key/value head h // (A / K). Compute this for all heads of the rank, and keep each number once.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch24_distributed.py
# :pyobject: heads_on_rank
# ```
# ````
#
# ### `average_gradients` (2 points, 15 minutes)
#
# Average the gradients of W ranks. Unlike above, the ranks may have different numbers of rows.
#
# ```{literalinclude} ../exercises/ch24_distributed.py
# :pyobject: average_gradients
# ```
#
# ```{admonition} Hint
# :class: dropdown
# A rank's gradient times its number of rows is the gradient of a sum of losses. Sums of different ranks can be added.
# ```
# ```{admonition} Another hint
# :class: dropdown
# For each parameter, add rows · gradient over the ranks, leave out None, and divide by the number of rows of *all* ranks.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch24_distributed.py
# :pyobject: average_gradients
# ```
# ````
#
# ### `bytes_sent_per_token` (2 points, 10 minutes)
#
# Count the bytes that each process sends for one token.
#
# ```{literalinclude} ../exercises/ch24_distributed.py
# :pyobject: bytes_sent_per_token
# ```
#
# ```{admonition} Hint
# :class: dropdown
# How many all-reduces are there? Two in each layer, and one for the embedding. Each sends 2 D (W - 1) / W numbers.
# ```
# ```{admonition} Another hint
# :class: dropdown
# The logits are only gathered: W - 1 parts of V / W numbers. Add both, and multiply by the bytes per number.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch24_distributed.py
# :pyobject: bytes_sent_per_token
# ```
# ````
#
# ### `training_bytes_per_process` (1 point, 5 minutes)
#
# Compute the memory per process for training, with and without FSDP.
#
# ```{literalinclude} ../exercises/ch24_distributed.py
# :pyobject: training_bytes_per_process
# ```
#
# ```{admonition} Hint
# :class: dropdown
# Write down the bytes per parameter of each of the five: weight, gradient, float32 weight, and two running means.
# ```
# ```{admonition} Another hint
# :class: dropdown
# They sum to 16. Multiply by the number of parameters; divide by W only if `sharded`.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch24_distributed.py
# :pyobject: training_bytes_per_process
# ```
# ````
#
# [^ch24-2]: The test saves after each step. The real training saves every 90 seconds, and repeats the steps that came after the last save.

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch24_distributed")

# %% [markdown]
# ## Summary
#
# A parameter costs 2 bytes in inference and 16 in training. A model that does not fit is split by hidden units and heads, column-parallel and then row-parallel, so that each half of a block needs one all-reduce. The amount of data is small; the latency of about a hundred calls per token is the price. Data parallelism splits the batch instead, and averages the gradients, once; FSDP also divides the memory. All processes run the same program. `torchrun` launches them, on one machine or on many, and restarts them if one dies.
#
# This was the last chapter. You began with pixels, and now you have a model of your own, checked against the real one, that you can look into, teach, measure, make fast, and run on as many machines as you have.
