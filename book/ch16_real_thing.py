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
# # What does it take to run the real thing? Memory, dtypes, devices, licences
#
# The Toybox has 2.7 million parameters and knows twenty toys. Google's smallest PaliGemma has 2.9 billion and knows the world. The code is the same: the same classes, with other numbers in their config. What changes is that memory, time and dtype begin to matter, and that somebody else's licence applies.
#
# This chapter can't show you Google's weights: everybody accepts their licence for themselves, and this book must run without a network. So everything here that needs them is a cell that says what it would show, and runs when you have them. All else runs as always, and is measured.
#
# At the end you will be able to
#
# - choose a checkpoint, and say what the parts of its name mean;
# - say before you download whether it fits into your machine, and how fast it will be at best;
# - choose a dtype and a device, and say what each costs;
# - look into a checkpoint without loading it, and convert it.
#
# It takes about 40 minutes, exercises included. Does it fit? That is the question that everybody asks first.

# %% mystnb={"image": {"alt": "Grouped bars on a logarithmic axis for the four language model sizes at 224 pixels, in float32 and bfloat16: 3B 12 and 6 gigabytes, PaliGemma 2 3B 12 and 6, 10B 39 and 19, 28B 111 and 55. Horizontal lines at 8, 16, 24 and 80 gigabytes."}, "figure": {"caption": "What the weights of each size take in memory, and what machines have. The operating system, the program itself and the cache of keys and values come on top.", "name": "fig-ch16-goal"}} tags=["hide-input"]
import os
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image
from toybox.prompts import caption
from toybox.scenes import draw_scene
from vlm.checkpoints.convert import convert
from vlm.checkpoints.devices import check_device, default_device
from vlm.checkpoints.headers import describe, find_weight_files, read_headers
from vlm.checkpoints.published import NAMES, published_config
from vlm.commands.inspect import describe_config
from vlm.generate import generate
from vlm.loader import load_hf_model
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor
from vlm.regions.boxes import box_iou, parse_detections

torch.set_grad_enabled(False)  # nothing is trained in this chapter


def count_parameters(name: str) -> dict[str, int]:
    """Of a published model, whole and by part; built on the device meta, so without memory."""
    with torch.device("meta"):
        model = PaliGemmaForConditionalGeneration(published_config(name))
    parts = {
        "vision": sum(p.numel() for p in model.vision_tower.parameters())
        + sum(p.numel() for p in model.multi_modal_projector.parameters()),
        "language": sum(p.numel() for p in model.language_model.parameters()),
    }
    return parts | {"all": sum(parts.values())}


SIZES = [name for name in NAMES if name.endswith("-224")]
parameters = {name: count_parameters(name) for name in SIZES}
fig, ax = plt.subplots(figsize=(7.2, 3.4), layout="constrained")
for shift, dtype, size, color, hatch in (
    (-0.2, "float32", 4, "#D55E00", ""),
    (0.2, "bfloat16", 2, "#0072B2", "//"),
):
    heights = [parameters[name]["all"] * size / 1e9 for name in SIZES]
    places = [i + shift for i in range(len(SIZES))]
    bars = ax.bar(
        places, heights, 0.38, color=color, hatch=hatch, edgecolor="white", label=dtype
    )
    ax.bar_label(bars, [f"{h:.1f}" for h in heights], fontsize=8)
for gigabytes, machine in (
    (8, "small laptop"),
    (16, "laptop"),
    (24, "graphics card"),
    (80, "data centre's card"),
):
    ax.axhline(gigabytes, color="#777777", linestyle="--", linewidth=0.8)
    ax.text(3.55, gigabytes, f"{machine}, {gigabytes}", fontsize=8, va="bottom", ha="left")
ax.set_xticks(range(len(SIZES)), [name.removesuffix("-224") for name in SIZES])
ax.set(ylabel="gigabytes", yscale="log", ylim=(4, 200), xlim=(-0.6, 3.5))
ax.set_yticks([5, 10, 20, 50, 100, 200], ["5", "10", "20", "50", "100", "200"])
ax.minorticks_off()
ax.legend(fontsize=8, loc="upper left")
plt.show()

# %% [markdown]
# ## What is in a name
#
# `google/paligemma-3b-mix-224` says four things. *paligemma* or *paligemma2*: which language model stands in it (chapter 15). *3b*, *10b*, *28b*: how large it is, in billions of parameters, roughly. *224*, *448*, *896*: the side of the picture in pixels, so 256, 1,024 or 4,096 image tokens. More pixels
# read smaller print: on DocVQA {cite}`mathew2020docvqa`, questions about scanned pages, PaliGemma 3B scores 43.7 at 224 pixels, 78.0 at 448 and 84.8 at 896 (arXiv 2407.07726 {cite}`beyer2024paligemma`, Table 1). For captions of photographs it makes little difference (COCO: 141.9 at 224 pixels, 144.6 at 448), unless there is writing in them (TextCaps: 127.5 and 153.9).
#
# The word in the middle says how it was trained, and it is the one people trip over. *pt* is {term}`pretrained <pretraining>` only: made to be {term}`fine-tuned <fine-tuning>`, and of little use as it is. *mix* was fine-tuned on a mixture of tasks, and answers right away. *ft* names fine-tunes for a single task. If you want to try things, take a *mix*.
#
# The prompts are those that you know from the Toybox, which has them from here: `caption en`, `answer en what is on the table?`, `detect cat ; dog`, `segment cat`, `ocr`. Write them exactly so, small letters and no full stop: the models know these words, and to others they say something all the same, or nothing.
#
# Before you can download, you have to accept Gemma's licence, once, on the model's page, and log in:
#
# ```text
# hf auth login
# vlm run --model google/paligemma-3b-mix-224 --revision bfloat16 --image my.png --prompt "caption en"
# ```
#
# Mind the revision. The main files of the first PaliGemma are float32, 11.7 GB; under the revisions `bfloat16` and `float16` there are files of half the size. PaliGemma 2 is published in bfloat16, and needs none. With the wrong one you can still say `--dtype bfloat16`, and have downloaded twice as much as you use.
#
# If you forget, `vlm` tells you so, with the page's address. The files lie in the hub's cache afterwards, and the next call needs no network. The same in Python:
#
# ```python
# model, tokenizer = load_hf_model(
#     "google/paligemma-3b-mix-224", device="cuda", revision="bfloat16"
# )
# ```
#
# From here on, cells that need the real weights look into the environment variable `PALIGEMMA`, for a directory or a name on the hub. Set it before you start Jupyter: `export PALIGEMMA=google/paligemma2-3b-mix-224`.

# %% tags=["nbval-ignore-output"]
real = os.environ.get("PALIGEMMA")
if real is None:
    print("PALIGEMMA is not set: cells that need real weights say what they would show")
else:
    print(f"using {Path(real).name}")

# %% tags=["nbval-ignore-output"]
image = example_image(0)
if real is None:
    print("(Here the real model would caption our picture of toys, and box its cats.)")
else:
    real_model, real_tokenizer = load_hf_model(
        real, device=default_device(), dtype=torch.bfloat16
    )
    real_processor = PaliGemmaProcessor.for_model(real_model, real_tokenizer)
    for prompt in ("caption en", "detect cat"):
        print(prompt, "->", generate(real_model, real_processor, prompt, image)[0])

# %% [markdown]
# ## How much memory
#
# Two things stay in memory: the weights, and the keys and values of what has been read. By hand, for PaliGemma 3B in bfloat16: 2,923,466,480 parameters of 2 bytes are 5.85 GB. A token leaves 2 · 18 · 1 · 256 = 9,216 numbers (chapter 8), 18,432 bytes, so a prompt of 268 tokens leaves 4.9 MB. Beside the weights that is nothing. It becomes something with large pictures and many rows.

# %%
assert parameters["paligemma-3b-224"]["all"] == 2_923_466_480
print(f"weights {2_923_466_480 * 2 / 1e9:.2f} GB, cache {18_432 * 268 / 1e6:.1f} MB")
for name, rows in (
    ("paligemma2-10b-224", 1),
    ("paligemma2-10b-896", 1),
    ("paligemma2-10b-896", 8),
):
    config = published_config(name)
    text = config.text_config
    tokens = config.vision_config.num_image_tokens + 128
    cache = (
        2
        * text.num_hidden_layers
        * text.num_key_value_heads
        * text.head_dim
        * 2
        * tokens
        * rows
    )
    print(f"{name}, {rows} row{'s' if rows > 1 else ' '}: cache {cache / 1e9:5.2f} GB")

# %% [markdown]
# What else? While the prompt is read, each layer makes intermediate results, and forgets them. With 268 tokens that is tens of megabytes. With 4,224, the scores alone are 4,224² numbers for each head; the 8 heads of a 3B in bfloat16 are 285 MB, and on the way through the softmax they are there in float32 as well, another 571 MB.
#
# And there is the way into memory. A loader that builds a model with random numbers, reads the file beside it, and casts, needs several times the model (chapter 13 measured 5.0). We wrote a checkpoint of the 3B's shape, with random numbers in it, and loaded it with this package as you have built it and with *transformers* 5.23, on two processor cores, each in a process of its own, the file already in the operating system's cache, nine turns, medians:
#
# | | this package | *transformers* | |
# | --- | ---: | ---: | --- |
# | load | 0.04 s | 0.17 s | the file is mapped, not read |
# | most memory | 6.20 GB | 6.28 GB | of 5.85 GB of weights |
# | read picture and prompt (268 tokens) | 1.84 s | 1.86 s | |
# | write | 5.3 tokens/s | 5.1 tokens/s | |
#
# You can do it on your machine, and see your own numbers. It takes 6 GB on disk, 18 GB of memory, and half an hour or more:
#
# ```text
# python -m benchmark --models 3b
# ```
#
# {term}`"Mapped" <memory mapping>` means that loading is nearly free, and the first pass pays: the pages of the file come into memory when they are first touched. From a slow disk that first pass takes as long as reading 6 GB takes.
#
# ## How fast
#
# Writing is limited by memory, not by arithmetic (chapter 11). For each token every weight of the language model is fetched once, and used once: the embedding too, whole, since it is the head. And so are the keys and values so far. So the most that a machine can do is its {term}`memory's bandwidth <memory bandwidth>` divided by these bytes.[^ch16-1] Think before you run: two processor cores fetch some 25 GB a second, a good graphics card 1,000 or more. The 3B has 5 GB of language model. How many tokens a second does each make at best?
#
# [^ch16-1]: The figure leaves the cache out: for one row with a small picture it is a thousandth.

# %% mystnb={"image": {"alt": "Lines on logarithmic axes: tokens per second over bandwidth from 10 to 4,000 gigabytes per second, for four sizes in bfloat16. At 25 GB/s the 3B makes 5, the 28B less than one; at 1,000 the 3B makes 200 and the 28B 18."}, "figure": {"caption": "The most tokens a second that memory allows, one row at a time, in bfloat16. The two models of 3B lie on one another. Bandwidths are of the order that such machines have.", "name": "fig-ch16-speed"}} tags=["hide-input"]
bandwidths = torch.logspace(1, 3.6, 50)
fig, ax = plt.subplots(figsize=(7.2, 3.2), layout="constrained")
for name, color, style in zip(
    SIZES, ("#0072B2", "#56B4E9", "#D55E00", "#009E73"), ("-", "--", "-.", ":")
):
    gigabytes = parameters[name]["language"] * 2 / 1e9
    label = f"{name.removesuffix('-224')} ({gigabytes:.1f} GB for a token)"
    ax.loglog(bandwidths, bandwidths / gigabytes, color=color, linestyle=style, label=label)
for bandwidth, machine in (
    (25, "2 cores"),
    (100, "laptop"),
    (1000, "graphics card"),
    (3000, "data centre"),
):
    ax.axvline(bandwidth, color="#777777", linestyle="--", linewidth=0.8)
    ax.text(bandwidth, 1100, machine, fontsize=8, ha="center", va="bottom")
ax.set(xlabel="memory bandwidth (GB/s)", ylabel="tokens per second", ylim=(0.1, 1000))
ax.set_xticks([10, 100, 1000], ["10", "100", "1,000"])
ax.set_yticks([0.1, 1, 10, 100, 1000], ["0.1", "1", "10", "100", "1,000"])
ax.legend(fontsize=8, loc="lower right")
plt.show()
print(f"2 cores {25 / 5.02:.0f} tokens/s, graphics card {1000 / 5.02:.0f} tokens/s")

# %% [markdown]
# The table above has 5.3 tokens a second. That is 5.3 · 5.0 = 27 GB a second, about all that this machine's memory gives. (An hour before, on the same machine, both programs made 4.0.) No better code for the same work makes it ten. What makes it faster is fewer bytes for a weight, more rows at a time, which share the fetching (chapter 12), several tokens at a time, which {term}`a small model guesses and the large one checks <speculative decoding>` {cite}`leviathan2022fast`, or another machine.
#
# ## Which dtype
#
# | dtype | bytes | largest number | digits, in binary | |
# | --- | ---: | ---: | ---: | --- |
# | float32 | 4 | 3.4 · 10³⁸ | 24 | to compare numbers, and for small models |
# | bfloat16 | 2 | 3.4 · 10³⁸ | 8 | nearly always |
# | float16 | 2 | 65,504 | 11 | where a device has no bfloat16 |
#
# {term}`bfloat16` is float32 with its last 16 bits rounded away. It loses digits and keeps the range, and trained models need the range more. float16 has three more digits and a ceiling. How near is the ceiling? Some entries of a language model's vectors are far larger than all others, and they grow with the model. What lies above 65,504 becomes infinite, and the next norm makes nan of it. So with float16 check for nan, on your own pictures, before you rely on it. What each dtype costs the Toybox, and how near it comes to the ceiling, can be measured.

# %%
drawn = (draw_scene(seed, "test") for seed in range(50))
scenes = [scene for scene in drawn if scene.objects][:40]
pictures = [scene.image for scene in scenes]


def quality(dtype: torch.dtype) -> tuple[float, float, float]:
    """Captions right, mean IoU of the first box, and the largest number in the vectors between the layers."""
    model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY, dtype=dtype)
    processor = PaliGemmaProcessor.for_model(model, tokenizer)
    largest = []
    for layer in [
        *model.vision_tower.vision_model.encoder.layers,
        *model.language_model.model.layers,
    ]:
        layer.register_forward_hook(
            lambda *arguments: largest.append(arguments[2].abs().max().item())
        )
    texts = generate(model, processor, ["caption en"] * len(scenes), pictures, 26)
    right = sum(text == caption(scene).suffix for text, scene in zip(texts, scenes))
    prompts = [f"detect {scene.objects[0].label}" for scene in scenes]
    ious = []
    for text, scene in zip(generate(model, processor, prompts, pictures, 8), scenes):
        found = parse_detections(text, 112, 112)
        boxes = [thing.box for thing in scene.objects if thing.label == scene.objects[0].label]
        ious.append(max(box_iou(found[0].box, box) for box in boxes) if found else 0.0)
    return right / len(scenes), sum(ious) / len(ious), max(largest)


for dtype in (torch.float32, torch.bfloat16, torch.float16):
    right, iou, largest = quality(dtype)
    print(
        f"{dtype!s:15} captions {right:.1f}  boxes {iou:.1f}  largest number about {round(largest, -1):.0f}"
    )

# %% [markdown]
# For captions and boxes of this model the three are alike, to the first decimal place; single marks of a box move. And 140 is far from 65,504. That says nothing about a model a thousand times as large. What you must *not* do is to cast by hand with `model.bfloat16()` and hope: chapter 7 had angles that were lost so, and chapter 13 a loader that held everything twice. Ask the loader for the dtype; it casts each tensor as it reads it, and what has to be computed in float32 (the softmax, the norms, the angles) is. If the file has that dtype already, nothing is cast and, on a CPU, nothing is copied: only then does loading take 0.04 s and no memory.
#
# ## Which device
#
# `vlm` takes the best that it finds, cuda before mps before cpu, unless you say otherwise. If you ask for one that is not there, it says so before it reads a single weight.

# %% tags=["nbval-ignore-output"]
print("this machine would use:", default_device())

# %%
try:
    check_device("cuda:99")
except ValueError as error:
    print(str(error).partition(", try")[0])

# %% [markdown]
# The weights go to the device tensor by tensor, so nothing is held twice on the way. On a graphics card with less memory than the model, you need a smaller model, fewer bytes for a weight, or more cards.[^ch16-2]
#
# ## Looking inside without loading
#
# A safetensors file says at its beginning what is in it (chapter 13). So a checkpoint can be inspected in milliseconds, whatever its size. This is what `vlm inspect` prints of the Toybox:
#
# [^ch16-2]: Weights can also be kept in the machine's memory and sent to the card layer by layer; then the wire between them sets the pace.

# %%
from vlm.config import PaliGemmaConfig

paths = find_weight_files(CHECKPOINT_DIRECTORY)
print(describe_config(PaliGemmaConfig.from_json(CHECKPOINT_DIRECTORY / "config.json")))
print()
print(describe(read_headers(paths), paths))

# %% [markdown]
# If a tensor were missing, surplus or of another shape, `vlm inspect` would name it and end with exit code 1. What people have on disk is not always in the dtype or the layout that they need. `vlm convert` rewrites a checkpoint, one {term}`shard` in memory at a time. The Toybox in bfloat16, under the names that *transformers* 5 holds in memory. Layout C has the head as well, though it is the embedding once more; at 3B that is another gigabyte on the disk, but not in memory:

# %%
import tempfile

with tempfile.TemporaryDirectory() as folder:
    target = Path(folder) / "half"
    convert(CHECKPOINT_DIRECTORY, target, torch.bfloat16, layout="C")
    paths = find_weight_files(target)
    print(describe(read_headers(paths), paths))
    model, tokenizer = load_hf_model(target)
    print(
        generate(model, PaliGemmaProcessor.for_model(model, tokenizer), "caption en", image)[0]
    )

# %% [markdown]
# ## Masks, and licences
#
# For `segment` you need one more file. The sixteen `<seg>` tokens of a mask are codes of a small network, and the published models' codes mean nothing to the Toybox's network. Google's is called `vae-oid.npz`; give it to `vlm run` with `--mask-decoder`. (A Toybox of your own, converted or fine-tuned, needs `--mask-decoder toybox/mask_vqvae/mask_vqvae.safetensors`.) It is an archive of arrays, and is read without pickle.
#
# And whose is all this? The code of this course is under Apache 2.0, its text under CC BY 4.0, the Toybox's weights, trained here, under Apache 2.0. Google's weights are under the Gemma Terms of Use, which you accept on the model's page. They let you use, change and pass on the models, commercially too, under conditions: among others, uses on a list of prohibited ones are excluded, and whoever passes weights on, fine-tuned ones included, must pass these conditions on with them. That is a summary by people who are no lawyers. Read the terms.
#
# ## Exercises
#
# Open `exercises/ch16_real_thing.py`. Grade yourself below, or in a terminal:
#
# ```text
# pytest exercises/test_ch16_real_thing.py
# ```
#
# ### `memory_needed` (1 point, 10 minutes)
#
# ```{admonition} Hint
# :class: dropdown
# Count numbers first, those of the weights and those of the cache, and multiply by the bytes at the end.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch16_real_thing.py
# :pyobject: memory_needed
# ```
# ````
#
# ### `most_tokens_per_second` (2 points, 10 minutes)
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Which of the weights are needed for a token of the answer, and which have done their work?
# ```
# ```{admonition} Hint 2: almost the line
# :class: dropdown
# Bytes a second, divided by bytes a token.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch16_real_thing.py
# :pyobject: most_tokens_per_second
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch16_real_thing")

# %% [markdown]
# ## Summary
#
# A name says generation, size, training and pixels; take a *mix* to try things. Weights take two bytes a parameter in bfloat16, and the cache comes on top, much of it with large pictures and many rows. Loading a file that is mapped takes next to no time and no memory beside the model's; the obvious way takes several times the model. The speed of writing has a ceiling, bandwidth by bytes. bfloat16 keeps the range, float16 the digits. `vlm inspect` looks before you load, `vlm convert` rewrites what you have.
#
# You can build it, prove it, and run it. Looking inside it, and teaching it something new, come next.
