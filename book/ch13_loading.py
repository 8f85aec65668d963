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
# # How do you know that all the weights arrived? Loading a checkpoint
#
# You have written a PaliGemma. What it knows lies in a file, 109 tensors in the Toybox's case, 603 in that of Google's model. A loader puts each into its place. If one of them does not
# arrive, nothing breaks: the place keeps the random numbers that it was born with, and the model runs.
#
# At the end you will be able to
#
# - read a safetensors file byte by byte, and say why weights should never come as a pickle;
# - translate the names of the five layouts in which PaliGemmas lie on people's disks;
# - write a loader that names everything that is missing, surplus or of the wrong shape;
# - say what a tied head is, and three ways to lose the tie;
# - load a model with each number in memory once.
#
# It takes about 45 minutes. This is what we are up against. In each line one part of the trained model has been replaced by the random numbers that a new model begins with, as if a loader had missed it.

# %% mystnb={"image": {"alt": "Horizontal bars: captions right of 40, by the part that stayed random. Nothing 40. Last norm 40. Key biases of the tower 40. Position embedding 38. Last block of the tower 28, second block 24. Last layer of the language model 7. First layer of the language model 0. Projector 0. Whole tower 0."}, "figure": {"caption": "Captions that are right, of 40 test scenes, when one part of the model stayed random. Some losses show at once. Some cost a third of the answers, and some nothing that 40 captions can show.", "name": "fig-ch13-goal"}} tags=["hide-input"]
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image
from toybox.prompts import caption
from toybox.scenes import draw_scene
from toybox.train import initialize
from vlm.checkpoints.devices import check_device
from vlm.checkpoints.headers import TensorHeader, describe, find_weight_files, read_headers
from vlm.checkpoints.layouts import EMBEDDING, HEAD
from vlm.checkpoints.skeleton import empty_model, list_first
from vlm.config import GemmaConfig, PaliGemmaConfig, SiglipVisionConfig
from vlm.generate import generate
from vlm.loader import load_hf_model, logger, read_tensors, save_hf_model
from vlm.loader import load_model as finished_load_model
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor
from vlm.regions.boxes import parse_detections
from vlm.regions.draw import draw_detections

torch.set_grad_enabled(False)  # nothing is trained in this chapter

model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
config = model.config
processor = PaliGemmaProcessor.for_model(model, tokenizer)
torch.manual_seed(0)
newborn = PaliGemmaForConditionalGeneration(config)
initialize(newborn)
trained, random = dict(model.state_dict()), dict(newborn.state_dict())
scenes = [draw_scene(seed, "test") for seed in range(40)]


def with_random(*parts: str) -> PaliGemmaForConditionalGeneration:
    """The trained model, but for the tensors whose names have one of the parts in them."""
    weights = {
        name: (random if any(part in name for part in parts) else trained)[name]
        for name in trained
    }
    changed = PaliGemmaForConditionalGeneration(config)
    changed.load_state_dict(weights)
    return changed.eval()


def captions_right(*parts: str) -> int:
    texts = generate(
        with_random(*parts),
        processor,
        ["caption en"] * len(scenes),
        [scene.image for scene in scenes],
        max_new_tokens=26,
    )
    return sum(text == caption(scene).suffix for text, scene in zip(texts, scenes))


PARTS = {
    "nothing": (),
    "last norm": ("language_model.model.norm",),
    "key biases of the tower": ("k_proj.bias",),
    "position embedding": ("position_embedding",),
    "last block of the tower": ("encoder.layers.3",),
    "second block of the tower": ("encoder.layers.1",),
    "last layer of Gemma": ("language_model.model.layers.3",),
    "first layer of Gemma": ("language_model.model.layers.0",),
    "projector": ("multi_modal_projector",),
    "the whole tower": ("vision_tower",),
}
right = {name: captions_right(*parts) for name, parts in PARTS.items()}
fig, ax = plt.subplots(figsize=(6.8, 3.4), layout="constrained")
bars = ax.barh(list(right), list(right.values()), color="#0072B2")
ax.bar_label(bars, padding=3)
ax.invert_yaxis()
ax.set(xlabel="captions right, of 40", ylabel="what stayed random", xlim=(0, 44))
plt.show()

# %% [markdown]
# Look at the lines that still say 40. The last norm can be lost because a new norm begins with weights of 0, so all its factors are 1. The trained factors lie between 1.3 and 2.9, most of them alike, and a common factor does not change which score is the largest. The key biases could never matter: a bias b on all keys adds the same number q · b to all scores of a query q, and softmax does not
# see what is added to all. So no test that looks at answers can prove that the weights arrived. Something has to count.
#
# ## What is in the file
#
# Before you write a loader, look at what it reads. For years weights came as {term}`pickles <pickle>`. A pickle is not data. It is a small program, which Python runs to build an object. Here is a whole one, of 29 bytes. We do not run it, we let Python's own tool list its instructions.

# %%
import pickletools

program = b"cbuiltins\nprint\n(S'I ran'\ntR."
pickletools.dis(program)

# %% [markdown]
# GLOBAL fetches a function, MARK to TUPLE collect its arguments, and REDUCE *calls* it. Whoever loads this file prints a line. In place of `print` could stand what deletes your files. Therefore this course reads weights from {term}`safetensors` alone. Such a file can be described in two sentences. Eight bytes say how long the header is, and the header, in JSON, says of each tensor its name, dtype,
# shape, and from which byte to which it goes. Then come the numbers.

# %%
data = (CHECKPOINT_DIRECTORY / "model.safetensors").read_bytes()
header_length = int.from_bytes(data[:8], "little")  # the least significant byte first
header = json.loads(data[8 : 8 + header_length])
print(f"{len(data):,} bytes, {header_length:,} of them header, {len(header) - 1} tensors")
print("first entry: ", header["__metadata__"])
name = "language_model.model.norm.weight"
print(name, header[name])

# %% [markdown]
# Nothing in it can be run. Read one tensor by hand, and compare with the library.

# %%
begin, end = header[name]["data_offsets"]
assert end - begin == 128 * 4  # 128 numbers of float32
numbers = data[8 + header_length :]
by_hand = torch.frombuffer(bytearray(numbers[begin:end]), dtype=torch.float32).reshape(
    header[name]["shape"]
)
with safe_open(CHECKPOINT_DIRECTORY / "model.safetensors", framework="pt") as file:
    assert torch.equal(by_hand, file.get_tensor(name))
print("the first three numbers:", [round(x, 3) for x in by_hand[:3].tolist()])

# %% [markdown]
# Where do the numbers go? Here is the file by part, beside Google's smallest. That model you can build too, on the {term}`device <meta device>` `meta`: there a tensor has a shape and no numbers, and a model of 3 billion parameters needs no memory. Which part is larger in the small model than in the large one, in proportion?

# %% mystnb={"image": {"alt": "Two stacked horizontal bars of percent. Toybox: embedding 9, language model 30, projector 1, tower 60. PaliGemma 3B: embedding 18, language model 68, projector below 1, tower 14."}, "figure": {"caption": "Where the parameters are. In the real model most of them are in the language model; in the Toybox most are in the tower, since it has much to see and little to say.", "name": "fig-ch13-parts"}} tags=["hide-input"]
paligemma_3b = PaliGemmaConfig(
    SiglipVisionConfig(
        hidden_size=1152,
        intermediate_size=4304,
        num_hidden_layers=27,
        num_attention_heads=16,
    ),
    GemmaConfig(
        hidden_size=2048,
        intermediate_size=16384,
        num_hidden_layers=18,
        num_attention_heads=8,
        num_key_value_heads=1,
        vocab_size=257216,
    ),
    image_token_index=257152,
)
with torch.device("meta"):
    large = PaliGemmaForConditionalGeneration(paligemma_3b)
PART_OF = {
    "embed_tokens": "embedding",
    "language_model": "language model",
    "multi_modal_projector": "projector",
    "vision_tower": "tower",
}
fig, ax = plt.subplots(figsize=(7, 2.2), layout="constrained")
for row, whole in enumerate((model, large)):
    sizes = dict.fromkeys(PART_OF.values(), 0)
    for name, parameter in whole.named_parameters():
        sizes[next(part for key, part in PART_OF.items() if key in name)] += parameter.numel()
    total, left = sum(sizes.values()), 0.0
    for (part, size), color in zip(sizes.items(), ("#0072B2", "#56B4E9", "#000000", "#E69F00")):
        share = 100 * size / total
        ax.barh(row, share, left=left, color=color, edgecolor="white", label=part)
        if share > 5:
            ink = "white" if part == "embedding" else "black"
            ax.text(left + share / 2, row, f"{share:.0f}", ha="center", va="center", color=ink)
        left += share
    print(f"{total:,} parameters")
ax.set_yticks([0, 1], ["Toybox", "PaliGemma 3B"])
ax.invert_yaxis()
ax.set(xlabel="percent of all parameters", ylabel="model", xlim=(0, 100))
ax.legend(
    *(entry[:4] for entry in ax.get_legend_handles_labels()),
    ncols=4,
    fontsize=8,
    loc="upper center",
    bbox_to_anchor=(0.5, 1.35),
)
plt.show()
assert total == 2_923_466_480  # what the published index file implies: 11,693,865,920 bytes / 4

# %% [markdown]
# The numbers agree to the last one with the published index file of the 3B model. That is a first check that costs nothing: *count the parameters*.
#
# ## The loader that forgives
#
# PyTorch has `load_state_dict`. It is strict, unless it is told not to be. And it is often told, since the first attempt gives an error, and `strict=False` makes the error go away. Take a {term}`checkpoint` as *transformers* writes it today. Some names in it differ from
# ours. What will a forgiving loader's model say about this picture?

# %%
tensors = load_file(CHECKPOINT_DIRECTORY / "model.safetensors")
written_today = {
    name.replace("vision_tower.vision_model.", "vision_tower."): tensor
    for name, tensor in tensors.items()
}
image = example_image(0)
torch.manual_seed(0)
forgiving = PaliGemmaForConditionalGeneration(config).eval()
result = forgiving.load_state_dict(written_today, strict=False)
for which in (model, forgiving):
    print(generate(which, processor, "caption en", image, max_new_tokens=20))

# %% [markdown]
# A fine sentence, in the model's own words, about a picture that is not there. The language model was loaded, the tower was not. Nothing was printed, because the list of losses is in the result, and nobody looks at it. (110, since PyTorch counts the head apart from the embedding; the file does not have it, so one more is missing than is surplus.)

# %%
print(
    f"missing {len(result.missing_keys)}, surplus {len(result.unexpected_keys)}, of {len(trained)}"
)
print(result.missing_keys[0])
print(result.unexpected_keys[0])

# %% [markdown]
# ## Five layouts
#
# A tensor's name is the path of the modules that lead to it: `language_model.model.layers.0.mlp.up_proj.weight`. When a library moves a module, all names change, and the files that people have do not. PaliGemma's weights lie on disks in five layouts. A is the published
# one, which this package's names follow. B and C are what *transformers* 5 writes and holds in memory, D is from the versions between, E is from older ones and from merged fine-tunes. C, D and E hold the head as well, a copy of the embedding: the section on the tied head says what to do with it. In all other names E is A.


# %%
def as_layout(layout: str) -> dict[str, Tensor]:
    """The Toybox's tensors under the names of one of the five layouts."""
    renamed = {}
    for name, tensor in tensors.items():
        if layout in "CD":
            name = "model." + name.replace("language_model.model.", "language_model.")
        if layout in "BC":
            name = name.replace("vision_tower.vision_model.", "vision_tower.")
        renamed[name] = tensor
    head = {"C": "lm_head.weight", "D": "lm_head.weight", "E": HEAD}.get(layout)
    return renamed | ({head: tensors[EMBEDDING]} if head else {})


for layout in "ABCDE":
    names = [
        name for name in as_layout(layout) if "layers.0" in name and "q_proj.weight" in name
    ]
    print(layout, *names)

# %% [markdown]
# One function brings them together. Two kinds of tensors are let go, by name: SigLIP's pooling head, which PaliGemma does not use and some files carry, and `position_ids`, a buffer that counts 0, 1, 2. To let go of something known is not the same as to forgive everything.


# %% tags=["from:vlm.checkpoints.layouts.canonical_name"]
def canonical_name(name: str) -> str | None:
    """A tensor's name in this package, whichever release wrote the file; None for what PaliGemma does not use."""
    name = name.removeprefix("model.")
    if name.endswith(".position_ids") or (
        name.startswith("vision_tower.") and ".head." in name
    ):
        return None  # a buffer that counts 0, 1, 2 …, and SigLIP's pooling head
    if name in ("lm_head.weight", HEAD):
        return HEAD
    if name.startswith("language_model."):
        return "language_model.model." + name.removeprefix("language_model.").removeprefix(
            "model."
        )
    if name.startswith("vision_tower."):
        return "vision_tower.vision_model." + name.removeprefix("vision_tower.").removeprefix(
            "vision_model."
        )
    return name


# %% mystnb={"image": {"alt": "Stacked bars for the layouts A to E. A: 109 names fit as they stand. B: 40 fit, 69 after renaming. C and D: none fit, 110 after renaming. E: 110 fit. A dashed line marks the 109 tensors of layout A."}, "figure": {"caption": "Key coverage: how many names of a file are those of the model as they stand, and how many more after `canonical_name`. The dashed line is at 109, all tensors without the head; C, D and E have the head too. In layout B a forgiving loader gets 40 and no tower; in C and D it gets nothing.", "name": "fig-ch13-coverage"}} tags=["hide-input"]
fits, fits_renamed = [], []
for layout in "ABCDE":
    names = as_layout(layout)
    fits.append(sum(name in trained for name in names))
    fits_renamed.append(sum(canonical_name(name) in trained for name in names) - fits[-1])
fig, ax = plt.subplots(figsize=(6.6, 3.2), layout="constrained")
bars = ax.bar(list("ABCDE"), fits, color="#0072B2", label="as it stands")
ax.bar_label(bars, [n or "" for n in fits], label_type="center", color="white")
bars = ax.bar(
    list("ABCDE"),
    fits_renamed,
    bottom=fits,
    color="#E69F00",
    label="after renaming",
)
ax.bar_label(bars, [n or "" for n in fits_renamed], label_type="center")
ax.axhline(len(tensors), color="black", linestyle="--", linewidth=1)
ax.set(xlabel="layout", ylabel="tensors of the file that fit", ylim=(0, 145))
ax.legend(loc="upper center", ncols=2)
plt.show()
assert all(a + b >= len(tensors) for a, b in zip(fits, fits_renamed))

# %% [markdown]
# ## Nothing is forgiven
#
# Three things can be wrong with a file: a tensor is missing, a tensor is surplus, a tensor has another shape. `load_state_dict` stops at shapes with one kind of error and at names with another. The package collects everything, and raises once. Whoever has the wrong
# file sees at a glance that it *is* the wrong file, and which parts do not fit.


# %% tags=["from:vlm.checkpoints.skeleton.check_tensors"]
def check_tensors(
    model: PaliGemmaForConditionalGeneration, tensors: dict[str, Tensor | TensorHeader]
):
    """Raise one ValueError with all missing keys, unexpected keys and wrong shapes. Only the head may be missing."""
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    found = {name: tensor.shape for name, tensor in tensors.items()}
    missing = [
        f"{name} {list(expected[name])}"
        for name in expected
        if name not in found and name != HEAD
    ]
    unexpected = [f"{name} {list(found[name])}" for name in found if name not in expected]
    misshapen = [
        f"{name} is {list(found[name])}, the config says {list(expected[name])}"
        for name in found
        if name in expected and found[name] != expected[name]
    ]
    if missing or unexpected or misshapen:
        raise ValueError(
            "the weights do not fit the config:"
            + list_first("missing keys", missing)
            + list_first("unexpected keys", unexpected)
            + list_first("wrong shapes", misshapen)
        )


# %% [markdown]
# Try it on a file with two faults, which make three entries. One is sly: a tensor that is called by an old name of another library is at the same time a surplus one and a missing one.

# %%
faulty = dict(tensors)
faulty["language_model.model.final_norm.weight"] = faulty.pop(
    "language_model.model.norm.weight"
)
faulty["multi_modal_projector.linear.weight"] = tensors[
    "multi_modal_projector.linear.weight"
].T.contiguous()
try:
    check_tensors(model, faulty)
except ValueError as error:
    print(error)

# %% [markdown]
# One absence is allowed: the head's.
#
# ## The tied head
#
# The embedding turns a token into a vector. The head turns a vector into a score for each token. Gemma uses one matrix for both (Gemma, arXiv 2403.08295 {cite}`gemma2024open`, section 2; the idea is older {cite}`press2016using`). In PaliGemma 3B it has 527 million numbers, a sixth of the model, and the
# published files have it once. A loader has to know that, and {term}`tie <tied head>` the head: `lm_head.weight` and `embed_tokens.weight` must be the same parameter.
#
# There are three ways to lose the tie, all in silence. You don't tie, and the head stays random.

# %%
torch.manual_seed(0)
untied = finished_load_model(CHECKPOINT_DIRECTORY)
untied.language_model.lm_head.weight = torch.nn.Parameter(random[HEAD].clone())
print(generate(untied, processor, "caption en", image, max_new_tokens=6))

# %% [markdown]
# You tie too early: a loader that puts new parameters in place (`assign=True`, see below) replaces the embedding, and the head still holds the old one.

# %%
with torch.device("meta"):
    early = PaliGemmaForConditionalGeneration(config)  # tied when it is built
language = early.language_model
print("before:", language.lm_head.weight is language.model.embed_tokens.weight)
early.load_state_dict(tensors, strict=False, assign=True)
print("after: ", language.lm_head.weight is language.model.embed_tokens.weight)
print("the head is on the device", language.lm_head.weight.device)

# %% [markdown]
# Or you copy: the answers are right, the memory is not, and as soon as the model is trained the two drift apart. The opposite mistake exists as well. Some fine-tuned models have a head of their own, which differs from the embedding. Who ties it away gets another model. So the
# rule is: if the file has no head, or one that is equal to the embedding, tie; if it has another one, keep it.
#
# ## Each number once
#
# A parameter in bfloat16 has 2 bytes, so the 3B model has 5.9 GB. The obvious loader needs far more. It builds the model first, in float32 and filled with random numbers. It reads the file beside it. It casts. Then it copies, and at last it casts the model back to what it should have
# been. How many times the file's size will it need at its peak? Count before you look.
#
# To measure it, take a larger file: the Toybox's tower with a language model of 75 million parameters, 146 MB in bfloat16. Memory does not care what the numbers are, so they are all 0.01. Each loader runs in a process of its own, while a thread looks a hundred times a second at how much memory the process has.

# %% tags=["hide-input"]
temporary = (
    tempfile.TemporaryDirectory()
)  # all that this chapter writes; it goes when the notebook ends
folder = Path(temporary.name) / "middle"
middle = replace(
    config,
    text_config=GemmaConfig(
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=1,
        vocab_size=32000,
        head_dim=96,
    ),
)
with torch.device("meta"):
    larger = PaliGemmaForConditionalGeneration(middle)
larger = larger.bfloat16().to_empty(device="cpu")
larger.tie_weights()
for parameter in larger.parameters():
    parameter.fill_(0.01)
save_hf_model(larger, folder)
megabytes = sum(parameter.nbytes for parameter in larger.parameters()) / 2**20
del larger

MEASURE = """
import json, sys, threading, time
from pathlib import Path
import psutil, torch
from safetensors.torch import load_file
from vlm.config import PaliGemmaConfig
from vlm.loader import load_model
from vlm.paligemma import PaliGemmaForConditionalGeneration
from toybox import CHECKPOINT_DIRECTORY

def everything_once_more(directory):
    model = PaliGemmaForConditionalGeneration(PaliGemmaConfig.from_json(directory / "config.json"))
    tensors = load_file(directory / "model.safetensors")
    tensors = {name: tensor.float() for name, tensor in tensors.items()}
    model.load_state_dict(tensors, strict=False)
    return model.bfloat16()

LOADERS = {
    "build, read, cast, copy, cast": everything_once_more,
    "the package, cast to float32": lambda directory: load_model(directory, dtype=torch.float32),
    "the package": load_model,
}
load_model(CHECKPOINT_DIRECTORY)  # what is imported on the way does not count
process, samples, done = psutil.Process(), [], threading.Event()
before, start = process.memory_info().rss, time.perf_counter()

def watch():
    while not done.is_set():
        memory = (process.memory_info().rss - before) / 2**20
        samples.append((time.perf_counter() - start, memory))
        time.sleep(0.01)

threading.Thread(target=watch).start()
model = LOADERS[sys.argv[1]](Path(sys.argv[2]))
for parameter in model.parameters():
    parameter.view(torch.uint8).flatten()[::4096].sum()  # touch every page: what is mapped is read only then
time.sleep(0.2)
done.set()
print(json.dumps(samples))
"""


def measure(loader: str) -> list[tuple[float, float]]:
    """Seconds and MB while a loader works."""
    command = [sys.executable, "-c", MEASURE, loader, str(folder)]
    return json.loads(
        subprocess.run(command, capture_output=True, check=True, text=True).stdout
    )


# %% mystnb={"image": {"alt": "Memory over time for three loaders. The obvious one climbs in steps to about five times the file and falls back to one. The package cast to float32 peaks at about three times and ends at two. The package rises to one and stays there."}, "figure": {"caption": "Memory while loading, as a multiple of the file's 146 MB. All three models have all their weights at the end; the dashed one needed five times their size on the way.", "name": "fig-ch13-memory"}} tags=["hide-input", "nbval-ignore-output"]
LOADERS = (
    "build, read, cast, copy, cast",
    "the package, cast to float32",
    "the package",
)
fig, ax = plt.subplots(figsize=(6.8, 3.2), layout="constrained")
for loader, color, style in zip(LOADERS, ("#D55E00", "#CC79A7", "#0072B2"), ("--", "-.", "-")):
    samples = measure(loader)
    seconds, memory = zip(*samples)
    ax.plot(
        seconds, [m / megabytes for m in memory], color=color, linestyle=style, label=loader
    )
ax.set(xlabel="seconds", ylabel="memory, in sizes of the file", ylim=(0, 6))
ax.legend(fontsize=9)
plt.show()

# %% [markdown]
# Five times. Two for the random numbers, in float32. Two for the cast copies. One for the file. For the real 3B model that is 29 GB, and many a laptop stops there, for a model that needs 5.9.
#
# The package builds the model on `meta`, where the random numbers cost nothing, and makes each tensor of the file a parameter: `assign=True`. A tensor that has the right dtype already is not even copied. safetensors {term}`maps <memory mapping>` the file: its pages are read when somebody touches them. A cast makes a second copy while the file's page is
# in memory too, therefore the middle curve peaks above its end.


# %% tags=["from:vlm.loader.fill_model"]
def fill_model(
    model: PaliGemmaForConditionalGeneration,
    directory: Path,
    device: torch.device | str,
    dtype: torch.dtype | None,
    read: Callable[[object, str, str], Tensor],
) -> PaliGemmaForConditionalGeneration:
    """Give an empty model the weights of a checkpoint, and tie its head to the embedding unless the file has another."""
    paths = find_weight_files(directory)
    headers = read_headers(paths)
    check_tensors(model, headers)  # before a single weight is read
    tensors = read_tensors(paths, headers, device, dtype or headers[EMBEDDING].dtype, read)
    head = tensors.pop(HEAD, None)
    model.load_state_dict(
        tensors, strict=False, assign=True
    )  # checked above; only the head is missing
    model.tie_weights()
    if head is not None and not torch.equal(
        head, tensors[EMBEDDING]
    ):  # some fine-tunes have a head of their own
        model.language_model.lm_head.weight = torch.nn.Parameter(head)
    logger.info("%s: %s", directory, describe(headers, paths))
    return model.eval()


# %% tags=["from:vlm.loader.load_model"]
def load_model(
    directory: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> PaliGemmaForConditionalGeneration:
    """The model alone: built on the meta device, then filled tensor by tensor."""
    check_device(device, dtype)
    return fill_model(
        empty_model(directory),
        directory,
        device,
        dtype,
        lambda file, name, new: file.get_tensor(name),
    )


# %% [markdown]
# `fill_model` is the loader; `load_model` gives it an empty model and a way to read one tensor. (`read` is an argument because chapter 24 uses the same function to read slices.) There is a `strict=False` in it after all. It comes after a check that is stricter than PyTorch's and needs only the headers of the files, which takes milliseconds: so you find out that you have the wrong file before 6 GB are read. `empty_model` is the three lines with `meta`,
# `logger.info` says what was loaded in one table (`vlm inspect` prints it too).
#
# All five layouts must give one and the same model, to the last bit. So must a model in pieces: large checkpoints are cut into {term}`shards <shard>`, several files with an index that says which tensor is in which.

# %%
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def write(layout: str, in_shards: bool = False) -> Path:
    """A directory with the Toybox's weights."""
    directory = Path(tempfile.mkdtemp(dir=temporary.name))
    shutil.copy(CHECKPOINT_DIRECTORY / "config.json", directory)
    named = {name: tensor.clone() for name, tensor in as_layout(layout).items()}
    if not in_shards:
        save_file(named, directory / "model.safetensors")
        return directory
    weight_map = {name: SHARDS["vision_tower" in name] for name in named}
    for shard in SHARDS:
        in_this = {name: named[name] for name in named if weight_map[name] == shard}
        save_file(in_this, directory / shard)
    index = json.dumps({"weight_map": weight_map})
    (directory / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    return directory


for layout in "ABCDE":
    loaded = load_model(write(layout, in_shards=layout == "A"))
    assert all(
        torch.equal(tensor, trained[name]) for name, tensor in loaded.state_dict().items()
    )
    assert (
        loaded.language_model.lm_head.weight is loaded.language_model.model.embed_tokens.weight
    )
print("five layouts, one of them in shards: one model, and its head is tied")
in_two = write("A", in_shards=True)
(in_two / SHARDS[1]).unlink()
try:
    load_model(in_two)
except FileNotFoundError as error:
    print(str(error).replace(str(in_two), "the directory"))
temporary.cleanup()

# %% [markdown]
# A half-copied checkpoint is an error, with the name of what is not there. And the reference? *transformers* reads layouts A to E too. It fills what is missing with random numbers and prints a table about it. It is polite enough to load a checkpoint for another purpose, and it relies on you to read the table.
#
# One more look at how little a lost part may show. Here is a model with the last block of its tower left random. The slider loses another part.

# %% tags=["hide-input", "nbval-ignore-output"]
from figures.filmstrip import filmstrip_html
from IPython.display import HTML


def show_lost(part: str = "last block of the tower"):
    """Boxes of the trained model, and of one that lost a part."""
    _fig, axes = plt.subplots(1, 2, figsize=(7, 3.6), layout="constrained")
    for ax, which, title in zip(
        axes, (model, with_random(*PARTS[part])), ("as trained", f"random: {part}")
    ):
        [answer] = generate(which, processor, "detect cat ; bird", image, max_new_tokens=40)
        draw_detections(image, parse_detections(answer, 112, 112), ax, title)
        ax.set(xlabel="x in pixels", ylabel="y in pixels")
    plt.show()


HTML(
    filmstrip_html(
        show_lost,
        "Left the model as it was trained, right the same with one part of it random.",
        start=[list(PARTS).index("last block of the tower")],
        part=list(PARTS),
    )
)

# %% [markdown]
# ## Exercises
#
# Open `exercises/ch13_loading.py`, write what is missing, and grade it, below or in a terminal:
#
# ```text
# pytest exercises/test_ch13_loading.py
# ```
#
# ### `read_safetensors` (2 points, 15 minutes)
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Three parts: eight bytes, the header, the numbers. Cut the bytes into these three first. Where does the third begin?
# ```
# ```{admonition} Hint 2: which functions
# :class: dropdown
# `int.from_bytes(..., "little")`, `json.loads`, and `torch.frombuffer(bytearray(piece), dtype=...)`, which gives a row of numbers.
# ```
# ```{admonition} Hint 3: a file that is too short
# :class: dropdown
# Python cuts a slice that goes too far without a word. Compare the second offset with the length of the third part.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch13_loading.py
# :pyobject: read_safetensors
# ```
# ````
#
# ### `canonical_name` (2 points, 10 minutes)
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# `vision_model.` ends in `model.`. What does `replace` do to it?
# ```
# ```{admonition} Hint 2: which function
# :class: dropdown
# `name.removeprefix("model.")` cuts at the beginning, and does nothing if it is not there. To put `vision_model.` in where it may stand or not: remove it, then put it in.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch13_loading.py
# :pyobject: canonical_name
# ```
# ````
#
# ### `list_problems` (1 point, 5 minutes)
#
# ```{admonition} Hint
# :class: dropdown
# The keys of a dict can be subtracted and intersected like sets: `a.keys() - b.keys()`.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch13_loading.py
# :pyobject: list_problems
# ```
# ````
#
# ### `load_weights` (3 points, 20 minutes)
#
# The grader counts the bytes that you ask for.
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# In this order: check; decide whether the head is tied; put the tensors in place; tie.
# ```
# ```{admonition} Hint 2: which functions
# :class: dropdown
# `tensor.to(dtype)` with `dtype=None`, or with the dtype that it has, gives the tensor itself. `model.load_state_dict(..., strict=False, assign=True)` puts it in place.
# ```
# ```{admonition} Hint 3: the head
# :class: dropdown
# Leave a head that equals the embedding out of what you load, and call `model.tie_weights()` after loading. If the head is another one, load it like any other tensor, and don't tie.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch13_loading.py
# :pyobject: load_weights
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch13_loading")

# %% [markdown]
# ## Summary
#
# A checkpoint is named arrays. A pickle is a program, so weights come as safetensors. A lost tensor leaves random numbers in its place, and answers cannot prove that none was lost: count, compare names and shapes, and name everything that does not fit. Names come in five layouts, and one function translates them. The head is the
# embedding, unless the file says otherwise, and it is tied last. Built on `meta` and loaded by assignment, a model needs its own size in memory and no more.
#
# All weights are where they belong. Is what you *compute* with them right? For that you need a reference, and a way to find the first layer that departs from it. That is next.
