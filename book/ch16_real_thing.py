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
# # Running the real PaliGemma: memory, dtype, device, license
#
# What does it take to run Google's model? The Toybox has 2.7 million parameters and knows twenty toys. Google's smallest PaliGemma has 2.9 billion and knows the world. The code is the same: the same classes, with other numbers in their config. What changes is that memory, time and dtype begin to matter, and that somebody else's license applies.
#
# This chapter can't show you Google's weights: you have to accept their license yourself, and this book must run without a network. So every cell that needs them says what it would show, and runs when you have them. All other cells run as in the other chapters.
#
# At the end you will be able to
#
# - choose a checkpoint, and say what the parts of its name mean;
# - say before you download it whether it fits into your machine's memory, and how fast it can be at best;
# - choose a dtype and a device, and say what each costs;
# - inspect a checkpoint without loading it, and convert it.
#
# Time: about 40 minutes to read and run, and 20 for the two exercises. The first question that everybody asks is: does it fit?

# %% mystnb={"image": {"alt": "Grouped bars on a logarithmic axis for the four language model sizes at 224 pixels, in float32 and bfloat16: 3B 12 and 6 gigabytes, PaliGemma 2 3B 12 and 6, 10B 39 and 19, 28B 111 and 55. Horizontal lines at 8, 16, 24 and 80 gigabytes."}, "figure": {"caption": "In bfloat16 a 3B fits on a laptop, a 10B on a graphics card with 24 GB, a 28B only on a data center card. Bars: memory for the weights alone; the operating system, the program itself and the KV cache come on top. Dashed lines: what machines have.", "name": "fig-ch16-goal"}} tags=["hide-input"]
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
    """Parameters of a published model, in total and by part; built on the meta device, so without memory."""
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
    positions = [i + shift for i in range(len(SIZES))]
    bars = ax.bar(
        positions, heights, 0.38, color=color, hatch=hatch, edgecolor="white", label=dtype
    )
    ax.bar_label(bars, [f"{h:.1f}" for h in heights], fontsize=8)
for gigabytes, machine in (
    (8, "small laptop"),
    (16, "laptop"),
    (24, "graphics card"),
    (80, "data center card"),
):
    ax.axhline(gigabytes, color="#777777", linestyle="--", linewidth=0.8)
    ax.text(3.55, gigabytes, f"{machine}, {gigabytes}", fontsize=8, va="bottom", ha="left")
ax.set_xticks(range(len(SIZES)), [name.removesuffix("-224") for name in SIZES])
ax.set(ylabel="weights (GB)", yscale="log", ylim=(4, 200), xlim=(-0.6, 3.5))
ax.set_yticks([5, 10, 20, 50, 100, 200], ["5", "10", "20", "50", "100", "200"])
ax.minorticks_off()
ax.legend(fontsize=8, loc="upper left")
plt.show()

# %% [markdown]
# ## Checkpoint names: pt, mix, 224, 448, 896
#
# `google/paligemma-3b-mix-224` says four things. *paligemma* or *paligemma2*: which language model it contains (chapter 15). *3b*, *10b*, *28b*: roughly how many billions of parameters it has. *224*, *448*, *896*: the side of the image in pixels, so 256, 1,024 or 4,096 image tokens. With more pixels the model reads smaller print: on DocVQA {cite}`mathew2020docvqa`, questions about scanned pages, PaliGemma 3B scores 43.7 at 224 pixels, 78.0 at 448 and 84.8 at 896 (arXiv 2407.07726 {cite}`beyer2024paligemma`, Table 1). For captions of photographs the resolution makes little difference (COCO: 141.9 at 224 pixels, 144.6 at 448), unless there is text in them (TextCaps: 127.5 and 153.9).
#
# The word in the middle says how the model was trained, and it is the part that people get wrong most often. *pt* is {term}`pretrained <pretraining>` only: made to be {term}`fine-tuned <fine-tuning>`, and of little use as it is. *mix* was fine-tuned on a mixture of tasks, and answers right away. *ft* is a fine-tune for a single task. If you want to try things, take a *mix*.
#
# You know the prompts from the Toybox, which took them from PaliGemma: `caption en`, `answer en what is on the table?`, `detect cat ; dog`, `segment cat`, `ocr`. Write them exactly like that, in lower case and without a period: the models were trained on these prefixes. To any other prompt they may answer anything, or nothing.
#
# Before you can download, you have to accept Gemma's license, once, on the model's page, and log in:
#
# ```text
# hf auth login
# vlm run --model google/paligemma-3b-mix-224 --revision bfloat16 --image my.png --prompt "caption en"
# ```
#
# Mind the revision. The main files of the first PaliGemma are float32, 11.7 GB; under the revisions `bfloat16` and `float16` there are files of half the size. PaliGemma 2 is published in bfloat16 and needs no revision. With the float32 files you can still pass `--dtype bfloat16`, but then you have downloaded twice as much as you use.
#
# If you forget to accept the license, `vlm` tells you so, with the page's address. After the first download the files are in the hub's cache, and the next call needs no network. The same in Python:
#
# ```python
# model, tokenizer = load_hf_model(
#     "google/paligemma-3b-mix-224", device="cuda", revision="bfloat16"
# )
# ```
#
# From here on, cells that need the real weights read the environment variable `PALIGEMMA`, a directory or a name on the hub. Set it before you start Jupyter: `export PALIGEMMA=google/paligemma2-3b-mix-224`.

# %% tags=["nbval-ignore-output"]
real = os.environ.get("PALIGEMMA")
if real is None:
    print("PALIGEMMA is not set: cells that need real weights say what they would show")
else:
    print(f"using {Path(real).name}")

# %% tags=["nbval-ignore-output"]
image = example_image(0)
if real is None:
    print("(Here the real model would caption our image of toys, and box its cats.)")
else:
    real_model, real_tokenizer = load_hf_model(
        real, device=default_device(), dtype=torch.bfloat16
    )
    real_processor = PaliGemmaProcessor.for_model(real_model, real_tokenizer)
    for prompt in ("caption en", "detect cat"):
        print(prompt, "->", generate(real_model, real_processor, prompt, image)[0])

# %% [markdown]
# ## Memory: weights and KV cache
#
# Two things stay in memory: the weights, and the keys and values of all tokens so far (the {term}`KV cache`). By hand, for PaliGemma 3B in bfloat16: 2,923,466,480 parameters of 2 bytes take 5.85 GB. Each token adds 2 · 18 · 1 · 256 = 9,216 numbers to the cache (chapter 8), 18,432 bytes, so a prompt of 268 tokens adds 4.9 MB. Next to the weights that is negligible. With large images and many rows it is not.

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
    num_tokens = config.vision_config.num_image_tokens + 128
    per_layer = 2 * text.num_key_value_heads * text.head_dim  # a key and a value
    num_bytes = 2 * text.num_hidden_layers * per_layer * num_tokens * rows
    rows_text = f"{rows} row{'s' if rows > 1 else ' '}"
    print(f"{name}, {rows_text}: cache {num_bytes / 1e9:5.2f} GB")

# %% [markdown]
# What else takes memory? During prefill each layer computes intermediate results and frees them again. With 268 tokens they take tens of megabytes. With 4,224 tokens, the attention scores alone are 4,224² numbers for each head: the 8 heads of a 3B take 285 MB in bfloat16, and another 571 MB during the softmax, which runs in float32.
#
# And loading itself takes memory. A loader that builds a model with random numbers, then reads the file, then casts, needs several times the size of the model (chapter 13 measured 5.0). We wrote a checkpoint with the 3B's shapes and random weights, and ran it with the package that you built and with *transformers* 5.23: on two CPU cores, each program in a process of its own, with the file already in the operating system's cache. Medians of nine runs:
#
# | | this package | *transformers* | |
# | --- | ---: | ---: | --- |
# | load | 0.04 s | 0.17 s | the file is mapped, not read |
# | peak memory | 6.20 GB | 6.28 GB | the weights take 5.85 GB |
# | prefill: image and prompt (268 tokens) | 1.84 s | 1.86 s | |
# | decode | 5.3 tokens/s | 5.1 tokens/s | |
#
# You can run the benchmark on your own machine. It takes 6 GB on disk, 18 GB of memory, and half an hour or more:
#
# ```text
# python -m benchmark --models 3b
# ```
#
# {term}`"Mapped" <memory mapping>` means that loading is nearly free and the first forward pass pays: the pages of the file are read into memory when they are first accessed. From a slow disk, the first pass takes at least as long as reading 6 GB does.
#
# ## Speed: decoding is memory-bound
#
# For a single row, decoding is limited by memory bandwidth, not by arithmetic (chapter 11). For every token, each weight of the language model is read from memory once and used once: the embedding matrix too, because it is the head. The keys and values so far are read as well. So the speed is at most the machine's {term}`memory bandwidth` divided by these bytes per token.[^ch16-1] Think before you run: two CPU cores read some 25 GB a second, a good graphics card 1,000 or more. The 3B's language model takes 5 GB. How many tokens a second can each machine generate at best?

# %% tags=["hide-input"]
from figures.schematics.roofline import draw_roofline
from IPython.display import HTML

drawing = draw_roofline(989e12, 3.35e12, {"decode, 1 row": 1, "prefill, 268 tokens": 268})
HTML(
    drawing.html(
        "One row of decoding leaves an H100 almost idle; a prefill of 268 tokens nearly "
        "fills it. Left of the dashed line memory is the limit, right of it arithmetic. "
        "A weight in bfloat16 has 2 bytes and takes part in 2 operations for each token, so "
        "the operations per byte equal the number of tokens that share one read of the "
        "weights. Peak and bandwidth are the data sheet's (dense bfloat16, SXM)."
    )
)

# %% [markdown]
# [^ch16-1]: The next figure leaves out the cache: for one row with a small image it is a thousandth of the weights.

# %% mystnb={"image": {"alt": "Lines on logarithmic axes: tokens per second over bandwidth from 10 to 4,000 gigabytes per second, for four sizes in bfloat16. At 25 GB/s the 3B makes 5, the 28B less than one; at 1,000 the 3B makes 200 and the 28B 18."}, "figure": {"caption": "Memory bandwidth limits how fast a model can decode: a 3B makes at most 5 tokens a second on two CPU cores, and 200 on a graphics card. One row at a time, in bfloat16; the lines of the two 3B models coincide. The bandwidths are typical of such machines.", "name": "fig-ch16-speed"}} tags=["hide-input"]
bandwidths = torch.logspace(1, 3.6, 50)
fig, ax = plt.subplots(figsize=(7.2, 3.2), layout="constrained")
for name, color, style in zip(
    SIZES, ("#0072B2", "#56B4E9", "#D55E00", "#009E73"), ("-", "--", "-.", ":")
):
    gigabytes = parameters[name]["language"] * 2 / 1e9
    label = f"{name.removesuffix('-224')} ({gigabytes:.1f} GB per token)"
    ax.loglog(bandwidths, bandwidths / gigabytes, color=color, linestyle=style, label=label)
for bandwidth, machine in (
    (25, "2 cores"),
    (100, "laptop"),
    (1000, "graphics card"),
    (3000, "data center"),
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
# The table above has 5.3 tokens a second. That is 5.3 · 5.0 = 27 GB a second, about all that this machine's memory delivers. (An hour earlier, on the same machine, both programs reached 4.0 tokens a second.) Better code for the same work cannot make it ten. Four things make it faster: fewer bytes per weight; more rows at a time, which share each read of the weights (chapter 12); several tokens at a time, which {term}`a small model drafts and the large one verifies <speculative decoding>` {cite}`leviathan2022fast`; or another machine.
#
# ## Dtype: float32, bfloat16 or float16
#
# | dtype | bytes | largest number | significant bits | use it |
# | --- | ---: | ---: | ---: | --- |
# | float32 | 4 | 3.4 · 10³⁸ | 24 | to compare numbers, and for small models |
# | bfloat16 | 2 | 3.4 · 10³⁸ | 8 | nearly always |
# | float16 | 2 | 65,504 | 11 | where a device has no bfloat16 |
#
# {term}`bfloat16` is float32 with its last 16 bits rounded away. It loses precision and keeps the range, and trained models need the range more. float16 has three more significant bits, but overflows above 65,504. How close do models get? Some entries of a language model's {term}`hidden states <hidden state>` are far larger than the rest, and these entries grow with the size of the model. A number that is too large becomes infinite, and the next norm turns it into NaN. So check for NaN on your own images before you rely on float16. For the Toybox you can measure what each dtype costs, and how close it gets to the limit.

# %% tags=["hide-input"]
drawn = (draw_scene(seed, "test") for seed in range(50))
scenes = [scene for scene in drawn if scene.objects][:40]
images = [scene.image for scene in scenes]


def quality(dtype: torch.dtype) -> tuple[float, float, float]:
    """Fraction of correct captions, mean IoU of the first box, largest number in a hidden state."""
    model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY, dtype=dtype)
    processor = PaliGemmaProcessor.for_model(model, tokenizer)
    largest = []
    blocks = [
        *model.vision_tower.vision_model.encoder.layers,
        *model.language_model.model.layers,
    ]
    for block in blocks:
        block.register_forward_hook(
            lambda _block, _args, output: largest.append(output.abs().max().item())
        )
    texts = generate(model, processor, ["caption en"] * len(scenes), images, 26)
    right = sum(text == caption(scene).suffix for text, scene in zip(texts, scenes))
    prompts = [f"detect {scene.objects[0].label}" for scene in scenes]
    ious = []
    for text, scene in zip(generate(model, processor, prompts, images, 8), scenes):
        found = parse_detections(text, 112, 112)
        boxes = [thing.box for thing in scene.objects if thing.label == scene.objects[0].label]
        ious.append(max(box_iou(found[0].box, box) for box in boxes) if found else 0.0)
    return right / len(scenes), sum(ious) / len(ious), max(largest)


# %%
for dtype in (torch.float32, torch.bfloat16, torch.float16):
    right, iou, largest = quality(dtype)
    print(f"{dtype!s:15} captions {right:.1f}  boxes {iou:.1f}", end="  ")
    print(f"largest number about {round(largest, -1):.0f}")

# %% [markdown]
# For captions and boxes of this model the three are the same to the first decimal place; single location tokens of a box change. And 140 is far from 65,504. That says nothing about a model a thousand times as large. What you must *not* do is cast by hand with `model.bfloat16()` and hope: in chapter 7 this made the RoPE angles wrong, and in chapter 13 a loader that casts at the end held the weights in memory several times. Pass the dtype to the loader instead. It casts each tensor as it reads it, and what has to be computed in float32 (the softmax, the norms, the angles) still is. If the file already has that dtype, nothing is cast and, on a CPU, nothing is copied: only then is loading nearly free, as in the table above.
#
# ## Device: CPU, CUDA or MPS
#
# `vlm` takes the best device that it finds, cuda before mps before cpu, unless you choose one. If you choose one that is not there, it raises an error before it reads a single weight.

# %% tags=["nbval-ignore-output"]
print("this machine would use:", default_device())

# %%
try:
    check_device("cuda:99")
except ValueError as error:
    print(str(error).partition(", try")[0])

# %% [markdown]
# The weights go to the device tensor by tensor, so nothing is held twice on the way. If the graphics card has less memory than the model needs, you need a smaller model, fewer bytes per weight, or more cards.[^ch16-2]
#
# ## Inspecting and converting a checkpoint
#
# The header of a safetensors file says what is in it (chapter 13). So you can inspect a checkpoint in milliseconds, whatever its size. This is what `vlm inspect` prints for the Toybox:
#
# [^ch16-2]: Weights can also stay in the machine's main memory and be sent to the card layer by layer (offloading); then the connection between the two limits the speed.

# %%
from vlm.config import PaliGemmaConfig

paths = find_weight_files(CHECKPOINT_DIRECTORY)
print(describe_config(PaliGemmaConfig.from_json(CHECKPOINT_DIRECTORY / "config.json")))
print()
print(describe(read_headers(paths), paths))

# %% [markdown]
# If there were missing keys, unexpected keys or wrong shapes, `vlm inspect` would list them and end with exit code 1. What people have on disk is not always in the dtype or the layout that they need. `vlm convert` rewrites a checkpoint, with one {term}`shard` in memory at a time. Here is the Toybox in bfloat16, with the names that *transformers* 5.23 uses in memory. This layout, C, also stores the head, a second copy of the embedding; for a 3B that is another gigabyte on disk, but not in memory:

# %%
import tempfile

with tempfile.TemporaryDirectory() as folder:
    target = Path(folder) / "half"
    convert(CHECKPOINT_DIRECTORY, target, torch.bfloat16, layout="C")
    paths = find_weight_files(target)
    print(describe(read_headers(paths), paths))
    model, tokenizer = load_hf_model(target)
    processor = PaliGemmaProcessor.for_model(model, tokenizer)
    print(generate(model, processor, "caption en", image)[0])

# %% [markdown]
# ## The mask decoder, and licenses
#
# For `segment` you need one more file. The sixteen `<seg>` tokens of a mask are codes of a small network, the mask decoder, and the codes of the published models mean nothing to the Toybox's decoder. Google's is called `vae-oid.npz`; pass it to `vlm run` with `--mask-decoder`. (A Toybox of your own, converted or fine-tuned, needs `--mask-decoder toybox/mask_vqvae/mask_vqvae.safetensors`.) It is an archive of NumPy arrays, and is read without pickle.
#
# And what may you do with all this? The code of this course is under Apache 2.0, its text under CC BY 4.0, and the Toybox's weights, which were trained for it, under Apache 2.0. Google's weights are under the Gemma Terms of Use, which you accept on the model's page. They let you use, modify and redistribute the models, commercially too, under conditions: among others, a list of uses is prohibited, and if you redistribute weights, fine-tuned ones included, you must pass these conditions on with them. That is a summary by people who are not lawyers. Read the terms.
#
# ## Exercises
#
# Open `exercises/ch16_real_thing.py`, replace each `raise NotImplementedError` with your code, and grade it with the cell below or in a terminal:
#
# ```text
# pytest exercises/test_ch16_real_thing.py
# ```
#
# ### `memory_needed` (1 point, 10 minutes)
#
# Compute the bytes that the weights and the KV cache of a batch take.
#
# ```{literalinclude} ../exercises/ch16_real_thing.py
# :pyobject: memory_needed
# ```
#
# ```{admonition} Hint
# :class: dropdown
# First count numbers, those of the weights and those of the cache, then multiply by the bytes per number.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch16_real_thing.py
# :pyobject: memory_needed
# ```
# ````
#
# ### `max_tokens_per_second` (2 points, 10 minutes)
#
# Compute the highest decoding speed that a given memory bandwidth allows.
#
# ```{literalinclude} ../exercises/ch16_real_thing.py
# :pyobject: max_tokens_per_second
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Which weights does the model read for each token of the answer, and which are no longer needed?
# ```
# ```{admonition} Hint 2: almost the line
# :class: dropdown
# Bytes per second, divided by bytes per token.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch16_real_thing.py
# :pyobject: max_tokens_per_second
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch16_real_thing")

# %% [markdown]
# ## Summary
#
# A checkpoint's name gives generation, size, training and resolution; to try things, take a *mix*. In bfloat16, weights take two bytes per parameter, and the KV cache comes on top: little for one small image, much with large images and many rows. Loading a mapped file takes almost no time and no memory beyond the model's own; the obvious loader needs several times as much. Decoding is memory-bound: tokens per second are at most bandwidth divided by bytes per token. bfloat16 keeps the range, float16 more of the precision. `vlm inspect` shows what is in a checkpoint before you load it, and `vlm convert` changes its dtype and layout.
#
# You can build a PaliGemma, check it against a reference, and run it. Next you will look at what it says (boxes and masks), look inside it, and teach it something new. It starts with {doc}`boxes <ch17_boxes>`.
