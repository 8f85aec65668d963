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
# # What if it does not fit? Leaving one machine
#
# PaliGemma 2 of 28B has 55 GB of weights. To train it takes 440 GB, before a single activation. No graphics card has that. In this chapter one model runs on several processes, and on one machine or on forty that makes no difference to the code: the processes find each other, and from then on they send numbers. You count which numbers, and how many, by hand and measured.
#
# At the end you will be able to
#
# - say what a model needs in memory, to write and to learn, and among how many it must be shared;
# - cut two matrices so that one sum puts their product together again;
# - count what is sent for each token, and predict when a second machine makes things slower;
# - average gradients, once;
# - start a program on several processes, and let it survive the death of one.
#
# It takes about 45 minutes, and 60 for the exercises. Two processes on your own machine are enough for all of it.

# %% mystnb={"image": {"alt": "Gigabytes for each process over 1 to 64 processes on logarithmic axes, four falling lines. To write, 10B begins at 19 and 28B at 55 GB. To learn, 10B begins at 155 and 28B at 442. A dotted line at 80 GB is crossed by learning 10B at 2 and learning 28B at 6 processes."}, "figure": {"caption": "What each process holds when a model is shared equally: bfloat16 weights to write, 16 bytes a parameter to learn. The dotted line is a graphics card of 80 GB. Activations and cache come on top.", "name": "fig-ch24-goal"}} tags=["hide-input"]
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

WRITE, LEARN = 2, 16  # bytes a parameter


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
    for cost, verb, style in ((LEARN, "learns", "-"), (WRITE, "writes", "--")):
        ax.loglog(
            processes,
            cost * sizes[name] / 1e9 / processes,
            color=color,
            linestyle=style,
            marker="o",
            label=f"{name} {verb}",
        )
ax.axhline(80, color="black", linestyle=":")
ax.set(xlabel="processes that share the model", ylabel="GB for each")
ax.set_xticks(processes.tolist(), processes.tolist())
ax.set_yticks([1, 10, 100], ["1", "10", "100"])
ax.legend()
plt.show()

# %% [markdown]
# ## What must be held
#
# To *write*: the weights, 2 bytes each in bfloat16, and a cache that is small beside them (chapter 16). To *learn*: a gradient for each weight; and for {term}`AdamW` two running means. In bfloat16 a weight of 1 could not take a step of 0.001: the next number above 1 is 1.0078. So a training in bfloat16 keeps a second copy of all weights in float32, takes its steps there, and rounds. (The Toybox is small, and holds all its weights in float32.) Add up.

# %%
bytes_of = {
    "weight (bfloat16)": 2,
    "gradient (bfloat16)": 2,
    "weight (float32)": 4,
    "mean of the gradients": 4,
    "mean of their squares": 4,
}
assert sum(bytes_of.values()) == LEARN
assert torch.tensor(1.0).bfloat16() + torch.tensor(0.001).bfloat16() == 1
for name, number in sizes.items():
    write_gb, learn_gb = (cost * number / 1e9 for cost in (WRITE, LEARN))
    print(
        f"{name}: {number:,} parameters, {write_gb:.1f} GB to write, {learn_gb:.0f} GB to learn"
    )
    print(f"     in cards of 80 GB: {-(-write_gb // 80):.0f} and {-(-learn_gb // 80):.0f}")
assert sizes == {"10b": 9_662_638_832, "28b": 27_650_487_024}

# %% [markdown]
# Besides these there are activations. They grow with the batch, and can be made small by computing them again on the way back. They are left out here.
#
# There are two things that can be shared. Give each process the whole model and *a part of the batch*: {term}`data parallelism`. The model gets no smaller, but more is learned at a time. Or give each process the whole batch and *a part of each matrix*: {term}`tensor parallelism`. Then the model gets smaller. You will do both, the second one first.
#
# ## Cut along, then across
#
# An MLP has two steps: D numbers become F hidden ones, and F become D again. You have two processes. Where do you cut?
#
# Cut the *hidden units*. The first process gets the first half of them: the rows of `gate` and `up` that make them, and the columns of `down` that read them. Each hidden unit depends on the input alone and not on other hidden units. So each process computes its half without asking. And `down` is a sum over hidden units: each process has a part of the sum. What remains is to add two vectors of D numbers.
#
# Do it with the toy's own MLP, with both processes played by one.

# %%
model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
config = model.config.text_config
mlp: GemmaMLP = model.language_model.model.layers[0].mlp
W = 2  # processes
torch.manual_seed(0)
states = torch.randn(3, config.hidden_size)  # [S, D]
whole = mlp(states)

gate, up = (part.weight.chunk(W, dim=0) for part in (mlp.gate_proj, mlp.up_proj))  # rows
down = mlp.down_proj.weight.chunk(W, dim=1)  # columns
parts = []
for rank in range(W):
    hidden = nn.functional.gelu(states @ gate[rank].t(), approximate="tanh") * (
        states @ up[rank].t()
    )
    parts.append(hidden @ down[rank].t())  # [S, D], a part of the sum
print("a piece of gate", list(gate[0].shape), "and of down", list(down[0].shape))
assert torch.allclose(sum(parts), whole, atol=1e-5)
assert not torch.allclose(parts[0], whole, atol=0.1)
print("the two parts add up to the whole; one of them is not it")

# %% mystnb={"image": {"alt": "Three panels. The matrix of gate, 384 rows by 128 columns, its upper half blue and its lower half orange. The matrix of down, 128 rows by 384 columns, its left half blue and its right half orange. Bars of sixteen outputs: a blue and an orange bar each, and a black mark at their sum, which is where the whole MLP's output is."}, "figure": {"caption": "The cut, in the toy's first layer: blue is held by process 0, orange by process 1. `up` is cut like `gate`. Right: sixteen of the outputs of one place, the two parts side by side. The black mark is what the whole MLP gives: the sum of the two, often of opposite signs.", "name": "fig-ch24-cut"}} tags=["hide-input"]
fig, axes = plt.subplots(
    1, 3, figsize=(8.4, 3.4), layout="constrained", width_ratios=(1, 1.9, 2.4)
)
pieces = (
    (axes[0], mlp.gate_proj.weight, 0, "gate: rows are cut", "input", "hidden unit"),
    (axes[1], mlp.down_proj.weight, 1, "down: columns are cut", "hidden unit", "output"),
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
# Adding a tensor over all processes, so that all have the result, is an {term}`all-reduce`. Cut the other way round (`gate` by columns), and each process would have a part of the sum *before* the GELU. The GELU of a sum is not the sum of GELUs, so there would have to be an all-reduce in the middle, of F numbers for `gate` and F for `up`. The cut that we made, along and then across, is Megatron's {cite}`shoeybi2019megatron`.
#
# Attention works alike, and what is cut are heads. A head needs its own queries, keys and values and asks no other head. `q_proj` is cut by rows, `o_proj` by columns, and one all-reduce puts the heads together. Keys are shared by heads (chapter 8). In the 10B of PaliGemma 2, 16 heads have 8 keys: two processes take 4 keys each. In the 3B of the first PaliGemma, 8 heads have *one* key. It cannot be cut, so every process holds it. It is small.
#
# What remains is the vocabulary: the largest matrix of all. Each process knows some of the words. As an embedding: who knows the word gives its vector, the others give zeros, and an all-reduce adds them. As the head: each scores its own words, and an *all-gather* puts the scores side by side.
#
# ## Let torch cut
#
# torch does this for you. A `DTensor` is a tensor that knows how it is shared: `Shard(0)` is by rows, `Shard(1)` by columns, `Replicate` not at all. `parallelize_module` replaces the weights of linear layers and adds what has to be sent. `ColwiseParallel` is the cut along (torch names it by A in y = x A, which is the transpose of `weight`: its columns are cut), `RowwiseParallel` the cut across, all-reduce included. This is the whole of it:


# %% tags=["from:vlm.parallel.tensor_parallel.split_model"]
def split_model(model: PaliGemmaForConditionalGeneration, mesh: DeviceMesh):
    """Cut the model's matrices, in place; afterwards this process holds its slices alone."""
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
        "model.embed_tokens": RowwiseParallel(
            input_layouts=Replicate()
        ),  # each process knows some of the words
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
# The *mesh* says which processes there are. `check_divisible` sees to it that their number divides the heads and keys. The config is replaced by one that says what this process holds, so that a cache made for it is as small as it can be.
#
# It is called on a model without memory (the meta device, chapter 13). Then each process reads its own slices from the file, and no other byte of a matrix that is cut. So the 28B never has to be anywhere as a whole.
#
# Now with real processes. `torchrun` starts them, tells each its number (its *rank*) and how many there are, and where to meet. Here are two, on this machine. They talk through gloo, which works between CPUs.

# %%
folder = Path(tempfile.mkdtemp())
PROMPT = "detect cat ; bird"


def launch(num_processes: int, *words: str) -> str:
    """What `torchrun --standalone --nproc-per-node N -m ...` prints."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(num_processes), "-m", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment
    ).stdout


words = ["--image", str(example_path(0)), "--prompt", PROMPT]
words += ["--logits", str(folder / "logits.safetensors")]
said = launch(W, "vlm.commands.run_split", *words)
answer, held, traffic = said.splitlines()
print(answer)
print(held)

# %% [markdown]
# The file has 10.7 MB. Half of it and a little more is here: what is not cut (the projector, the positions, the norms) everyone has. On a terminal this was
#
# ```text
# torchrun --nproc-per-node 2 -m vlm.commands.run_split --image my.png --prompt "detect cat ; bird"
# ```
#
# The same answer as one process gives? And the same scores?

# %%
vision = model.config.vision_config
processor = PaliGemmaProcessor.for_model(model, tokenizer)
inputs = processor([PROMPT], [example_image(0)])
with torch.inference_mode():
    alone = model(**inputs, logits_to_keep=1).logits[:, -1]
shared = load_file(folder / "logits.safetensors")["logits"]
print(f"largest score {alone.abs().max():.0f}; they differ by less than 1e-4: ", end="")
print(bool((shared - alone).abs().max() < 1e-4))
assert torch.allclose(shared, alone, atol=1e-4)

# %% [markdown]
# (To the last bit they are not the same: a sum of two parts is rounded otherwise than a sum in one go. On small random models, with scores of size 1, the package's test holds them to 1e-5.)
#
# ## What is sent
#
# Count by hand. Each layer has two all-reduces, of a vector of D numbers for each token that is read. The embedding has one more. The logits are gathered once. For a token of the toy, that is 4 layers: 9 all-reduces of 128 numbers of 4 bytes. Now the log of the run above: the answer had 27 tokens, and its first pass read the prompt, and the tower its patches.

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
# These bytes are what goes *into* the calls of one process: the whole vector of an all-reduce, its own part of an all-gather. What goes through the wire? In a *ring*, each process sends to its neighbour. First parts of the sum travel round, then the finished parts: of n bytes, each process sends 2 n (W - 1) / W {cite}`patarasuk2009bandwidth`. For a token of the 28B on eight processes that is

# %%
for name in ("10b", "28b"):
    text = published_config(f"paligemma2-{name}-224").text_config
    count = 2 * text.num_hidden_layers + 1
    ring = 2 * 2 * text.hidden_size * 7 / 8  # bytes of one vector, sent by each
    logits = 2 * text.vocab_size * 7 / 8
    print(
        f"{name}: {count} all-reduces, {count * ring / 1e6:.2f} MB; logits {logits / 1e6:.2f} MB"
    )

# %% [markdown]
# A megabyte or two. A network of 10 gigabits a second sends that in one or two thousandths of a second. So the bytes are not the main trouble. The *calls* are: 93 of them, one after the other, and each must wait for its answer. Between two cards in one machine that takes some 10 millionths of a second, between two machines over an ordinary network 50 and more.[^ch24-1]
#
# Put it together: a token takes the time to fetch a W-th of the weights, and the waiting, and the sending. Guess before you look: on eight cards in one machine, how much faster is the 28B than on one? On eight cards with a slow network between them? And the 10B?
#
# [^ch24-1]: More processes wait longer, since a ring has more steps. For short messages there are trees, whose steps grow slowly. Below, a wait is a fixed number, which is kind.

# %% mystnb={"image": {"alt": "Two panels, tokens per second over 1 to 16 processes, for the 10B and the 28B. Cards in one machine: 10B from 181 to 834, 28B from 61 to 513. Cards with a slow network: 10B falls from 181 to 130 at two and is at 170 at sixteen; 28B rises from 61 to 136. Machines of two cores rise all the way."}, "figure": {"caption": "What W processes that share a model can write at most, one row, in bfloat16: weights / W / bandwidth, plus the waits, plus what is sent. The thin dotted lines are W times as fast as one. Bandwidths, waits and networks are of the order that such machines have; no such machine was at hand. (The 10B's points at sixteen suppose that two processes hold the same key, which this package does not do.)", "name": "fig-ch24-roofline"}} tags=["hide-input"]


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
    "cards in one machine": (3.35e12, 10e-6, 450e9, "#0072B2", "-"),
    "cards, slow network between them": (3.35e12, 50e-6, 1.25e9, "#D55E00", "--"),
    "two cores, slow network": (30e9, 50e-6, 1.25e9, "#009E73", ":"),
}
few = processes[:5]  # 16 is the most that the keys of the 28B can be shared by
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
# Fast cards lose most: the less time a share of the weights takes, the more the waiting counts. With a slow network between two cards the 10B is *slower* than on one, and eight, the most that its 8 keys can be shared by, do not bring it back. Slow machines gain nearly all the way. That is why large models are cut within a machine, where waiting is short, and between machines by *layers* (pipeline parallelism: each machine has some of the blocks, and sends one vector on, once a token), or not at all: each machine has a model of its own and other questions to answer.
#
# ## Sharing the batch
#
# Now the other way. Each of W processes has the whole model and its own rows. Each finds the gradient of the mean loss over its rows. If all have as many rows, the mean of these gradients is the gradient over all of them. Then each takes the same step, and the models stay equal without ever being sent. (If the numbers of rows differ, a mean of means is not the mean. It is in the exercises.)


# %% tags=["from:vlm.parallel.gradients.average_gradients"]
def average_gradients(parameters: Sequence[nn.Parameter], place: Place):
    """Replace each gradient by its mean over all processes. Call it once a step."""
    if place.world_size == 1:
        return
    num_users = torch.tensor([float(parameter.grad is not None) for parameter in parameters])
    num_users = num_users.to(parameters[0].device)  # [parameters]
    dist.all_reduce(num_users)
    used = [
        parameter for parameter, number in zip(parameters, num_users, strict=True) if number > 0
    ]
    for parameter in used:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in used]
    flat = torch.cat(
        [gradient.flatten() for gradient in gradients]
    )  # [all numbers of the model]
    dist.all_reduce(flat)  # the sum; gloo has no mean
    flat /= place.world_size
    start = 0
    for gradient in gradients:
        gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
        start += gradient.numel()


# %% [markdown]
# Divide once. If each process has divided its loss by W already, and you divide the gradient again here, it is W times too small. Nothing crashes: {term}`AdamW` divides the gradient by its own size, so the steps are as long as before, and only the clipping of large gradients differs. You would look for a long time. It is better to check it, as the package's test does: two processes against one that has seen both batches.
#
# The Toybox's training does this if it is started so; each process draws its own part of every batch:
#
# ```text
# export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
# torchrun --nproc-per-node 2 --max-restarts 3 -m toybox.train
# ```
#
# `--max-restarts` is for the day when a process dies. Then `torchrun` ends the others too (they wait for numbers that will never come), and starts all of them again. They find the last saved state, which was written aside and renamed, so it is whole, and go on. In the package's test one of two processes is killed in its sixth step with a signal that cannot be caught. The finished weights are those of a run that nothing happened to, to the last bit.[^ch24-2]
#
# What is the variable for? Processes find each other by writing their addresses into a small store. In today's torch (2.13) `torchrun` keeps that store when it begins again, and a new process may find the address of one that has ended, and wait for it. It took us a while to see: 3 of 6 runs with a killed worker hung or failed, and 0 of 8 with the variable, which gives each attempt a store of its own. It is a known fault (pytorch issue 135712). Without the variable this package refuses to start with `--max-restarts`.
#
# Data parallelism holds everything W times. {term}`FSDP` (ZeRO-3 {cite}`rajbhandari2019zero`) shares weights, gradients and optimizer among the same processes, and gathers the weights of one block just before it is used. It sends half as much again, and needs a W-th of the memory, and one block's weights on top. In torch it is a call for each block and one for the rest, before the optimizer is made:
#
# ```python
# from torch.distributed.fsdp import fully_shard
#
# for layer in model.language_model.model.layers:
#     fully_shard(layer)
# fully_shard(model)
# model(**inputs, labels=labels).loss.backward()  # gradients are averaged, each process has its part
# ```
#
# (`tests/parallel_worker.py` does exactly this, and compares its gradients with those of one process.)
#
# ## On more than one machine
#
# The code does not know how many machines there are. The launch line does. On each of four machines, with HOST one of them that all can reach:
#
# ```text
# export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
# torchrun --nnodes 4 --nproc-per-node 8 --max-restarts 3 --rdzv-backend c10d --rdzv-endpoint HOST:29500 \
#     -m toybox.train --directory /shared/run
# ```
#
# (`rdzv` is the *rendezvous*, where they meet, and c10d is torch's own.) On graphics cards they talk through NCCL instead of gloo, and each process takes one card. The folder must be one that all see. We have tried two processes on one machine; the rest of this line is torch's own, and we had no second machine.
#
# And to *serve* a model to many people at once? Not with this package. A server has to let rows come and go, keep caches in pages {cite}`kwon2023efficient`, and do all that on many cards. vLLM does. What it reads is the published format, config.json and safetensors in the layout of `vlm convert` (chapter 16). So what you have trained here can be served there.
#
# ## Exercises
#
# Open `exercises/ch24_distributed.py`, write what is missing, and grade it, below or in a terminal:
#
# ```text
# pytest exercises/test_ch24_distributed.py
# ```
#
# No process is started in them. The ranks are a list, with an entry for each.
#
# ### `split_mlp` (2 points, 10 minutes)
#
# ```{admonition} Hint
# :class: dropdown
# `nn.Linear` has a row for each number that comes out. Which side of `gate`, `up` and `down` is F?
# ```
# ```{admonition} Another hint
# :class: dropdown
# `chunk(num_processes, dim=0)` for `gate` and `up`, `dim=1` for `down`; then `zip` makes a piece for each rank.
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
# ```{admonition} Hint
# :class: dropdown
# Treat each piece as a small MLP of its own, which reads all of `hidden_states`. What do you get if you add what they give?
# ```
# ```{admonition} Another hint
# :class: dropdown
# Collect the W parts in a list, call `all_reduce` once with the list, and return what it returns.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch24_distributed.py
# :pyobject: run_mlp
# ```
# ````
#
# ### `heads_of` (2 points, 10 minutes)
#
# The package holds a shared key on every process only if there is but one. The exercise allows any number that divides W.
#
# ```{admonition} Hint
# :class: dropdown
# First the query heads: A / W neighbours, from rank · A / W on. Check before that W divides A.
# ```
# ```{admonition} Another hint
# :class: dropdown
# Query head h uses key/value head h // (A / K). Take that of all your heads, and keep each once.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch24_distributed.py
# :pyobject: heads_of
# ```
# ````
#
# ### `average_gradients` (2 points, 15 minutes)
#
# Here the ranks may have different numbers of rows.
#
# ```{admonition} Hint
# :class: dropdown
# A rank's gradient times its rows is the gradient of a sum. Sums of different ranks can be added.
# ```
# ```{admonition} Another hint
# :class: dropdown
# For each parameter: add rows · gradient over the ranks, leave out None, and divide by the rows of *all* ranks.
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
# ```{admonition} Hint
# :class: dropdown
# How many all-reduces are there? Two in each layer and one more. Each sends 2 D (W - 1) / W numbers.
# ```
# ```{admonition} Another hint
# :class: dropdown
# The logits are only gathered: W - 1 parts of V / W numbers. Add both, and multiply by the bytes of a number.
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
# ```{admonition} Hint
# :class: dropdown
# Write down the bytes of each of the five: weight, gradient, weight in float32, and two means.
# ```
# ```{admonition} Another hint
# :class: dropdown
# They sum to 16. Multiply by the parameters; divide by W only if `sharded`.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch24_distributed.py
# :pyobject: training_bytes_per_process
# ```
# ````
#
# [^ch24-2]: There, each step is saved. The real training saves every 90 seconds, and makes again what came after.

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch24_distributed")

# %% [markdown]
# ## Summary
#
# A weight that writes costs 2 bytes, one that learns costs 16. What does not fit is cut: hidden units and heads, along and then across, so that one sum for each half of a block puts it together. What is sent is little; that it is sent a hundred times for each token is the price. Or the batch is shared, and gradients are averaged, once. All processes do the same, and `torchrun` starts them, on one machine or on many, again if one dies.
#
# This was the last chapter. You began with pixels, and now you have a model of your own, proven against the real one, that you can look into, teach, measure, make fast, and take with you to as many machines as you have.
