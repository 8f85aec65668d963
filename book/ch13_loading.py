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
# # Loading a checkpoint: how do you know that all the weights arrived?
#
# You have written a PaliGemma. What it knows is in a checkpoint: 109 tensors for the Toybox, 603 for Google's 3B model. A loader copies each tensor into the right parameter. If one tensor is missed, nothing breaks: the parameter keeps the random numbers it was initialized with, and the model runs.
#
# At the end you will be able to
#
# - read a safetensors file byte by byte, and say why weights should never come as a pickle;
# - translate the tensor names of the five layouts in which PaliGemma checkpoints are found;
# - write a strict loader that reports all missing keys, unexpected keys and wrong shapes;
# - say what a tied head is, and name three ways to lose the tie;
# - load a model with every weight in memory only once.
#
# Time: about 45 minutes to read and run, and 50 for the four exercises. This is the problem: in each row of the figure, one part of the trained model has been replaced by the random numbers of a new model, as if a loader had missed it.

# %% mystnb={"image": {"alt": "Horizontal bars: correct captions of 40, by the part that stayed random. Nothing 40. Last norm 40. Key biases of the tower 40. Position embedding 38. Last block of the tower 28, second block 24. Last layer of the language model 7. First layer of the language model 0. Projector 0. Whole tower 0."}, "figure": {"caption": "Some lost weights show at once, some cost a third of the answers, and some cost nothing that 40 captions can show. Each bar: correct captions on 40 test scenes when one part of the model stayed random.", "name": "fig-ch13-goal"}} tags=["hide-input"]
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
untrained = PaliGemmaForConditionalGeneration(config)
initialize(untrained)
trained, random = dict(model.state_dict()), dict(untrained.state_dict())
scenes = [draw_scene(seed, "test") for seed in range(40)]


def with_random(*parts: str) -> PaliGemmaForConditionalGeneration:
    """The trained model, with random tensors wherever the name contains one of the parts."""
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
ax.set(xlabel="correct captions, of 40", ylabel="part left random", xlim=(0, 44))
plt.show()

# %% [markdown]
# Look at the rows that still say 40. The last norm can be lost because a new norm starts with weights of 0, so all its factors are 1. The trained factors are between 1.3 and 2.9, and most of them are similar; a common factor does not change which logit is the largest. The key biases could never matter: a bias b on all keys adds the same number q · b to all attention scores of a query q, and a softmax does not change when the same number is added to all of its inputs. So a test that only looks at answers cannot prove that the weights arrived. The loader has to check.
#
# ## The safetensors format, and why not pickle
#
# Before you write a loader, look at what it reads. For years weights came as {term}`pickles <pickle>`. A pickle is not just data. It is a small program that Python runs to build an object. Here is a complete one, 29 bytes long. We do not run it; Python's own disassembler lists its instructions.

# %%
import pickletools

program = b"cbuiltins\nprint\n(S'I ran'\ntR."
pickletools.dis(program)

# %% [markdown]
# GLOBAL fetches a function, the instructions from MARK to TUPLE collect its arguments, and REDUCE *calls* it. If you load this file, it prints a line. Instead of `print` it could call a function that deletes your files. That is why this course only reads weights from {term}`safetensors` files. The format takes two sentences to describe. The first eight bytes give the length of the header; the header, in JSON, gives each tensor's name, dtype, shape, and the byte offsets where it begins and ends. Then come the numbers.

# %%
data = (CHECKPOINT_DIRECTORY / "model.safetensors").read_bytes()
# "little": the least significant byte comes first
header_length = int.from_bytes(data[:8], "little")
header = json.loads(data[8 : 8 + header_length])
num_tensors = len(header) - 1
print(f"{len(data):,} bytes, {header_length:,} of them header, {num_tensors} tensors")
print("first entry: ", header["__metadata__"])
name = "language_model.model.norm.weight"
print(name, header[name])

# %% [markdown]
# Nothing in this file can be executed. Read one tensor by hand, and compare it with what the library reads.

# %%
begin, end = header[name]["data_offsets"]
assert end - begin == 128 * 4  # 128 float32 numbers
numbers = data[8 + header_length :]
by_hand = torch.frombuffer(bytearray(numbers[begin:end]), dtype=torch.float32).reshape(
    header[name]["shape"]
)
with safe_open(CHECKPOINT_DIRECTORY / "model.safetensors", framework="pt") as file:
    assert torch.equal(by_hand, file.get_tensor(name))
print("the first three numbers:", [round(x, 3) for x in by_hand[:3].tolist()])

# %% [markdown]
# Which parts hold the parameters? The figure shows the Toybox next to Google's smallest model. You can build that one too, on the {term}`meta device`: there a tensor has a shape but no data, so a model with 3 billion parameters needs no memory. Guess first: which part takes a larger fraction of the small model than of the large one?

# %% mystnb={"image": {"alt": "Two stacked horizontal bars of percent. Toybox: embedding 9, language model 30, projector 1, tower 60. PaliGemma 3B: embedding 18, language model 68, projector below 1, tower 14."}, "figure": {"caption": "In the real model most parameters are in the language model; in the Toybox most are in the tower, because it has much to see and little to say. Each bar splits the parameters of one model by part.", "name": "fig-ch13-parts"}} tags=["hide-input"]
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
# The total is exactly the number that the published index file of the 3B model implies. That is a first check, and it costs nothing: *count the parameters*.
#
# ## `strict=False`: the loader that forgives
#
# PyTorch modules have `load_state_dict`. It is strict unless you tell it not to be, and people often do, because the first attempt raises an error and `strict=False` makes the error go away. Take a {term}`checkpoint` as *transformers* writes it today. Some of its names differ from ours. What will a model loaded with `strict=False` say about this image?

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
# The second answer is a fine sentence, in the model's own style, about an image that it did not see. The language model was loaded, the tower was not. Nothing was printed, because the missing keys are in the return value, and the code above never checks it. Check it now:

# %%
missing, unexpected = result.missing_keys, result.unexpected_keys
print(f"missing {len(missing)}, unexpected {len(unexpected)}, of {len(trained)}")
print(missing[0])
print(unexpected[0])

# %% [markdown]
# (The model has 110 keys and the file 109 tensors, because PyTorch lists the head and the embedding separately and the file stores the matrix only once. So there is one more missing key than there are unexpected ones.)
#
# ## Five checkpoint layouts
#
# A tensor's name is the path of modules that leads to it: `language_model.model.layers.0.mlp.up_proj.weight`. When a library moves a module, all names below it change, but the files that people already have keep the old ones. PaliGemma checkpoints exist in five layouts. Layout A is the published one, and this package follows its names. *transformers* 5.23 writes B and holds C in memory; D comes from versions 4.52 to 5.0, E from older ones and from merged fine-tunes. C, D and E also store the head, a copy of the embedding: the section on the tied head says what to do with it. Apart from that, E is the same as A.


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
    names = [name for name in as_layout(layout) if "layers.0" in name]
    print(layout, *(name for name in names if "q_proj.weight" in name))

# %% [markdown]
# One function maps all five to the package's names. It drops two kinds of tensors, by name: SigLIP's pooling head, which PaliGemma does not use but some files contain, and `position_ids`, a buffer with the values 0, 1, 2 … Dropping what you know is not the same as ignoring everything you don't.


# %% tags=["from:vlm.checkpoints.layouts.canonical_name"]
def canonical_name(name: str) -> str | None:
    """A tensor's name in this package, whichever release wrote the file; None if PaliGemma does not use it."""
    name = name.removeprefix("model.")
    if name.endswith(".position_ids") or (
        name.startswith("vision_tower.") and ".head." in name
    ):
        return None  # a buffer with the values 0, 1, 2 …, and SigLIP's pooling head
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


# %% mystnb={"image": {"alt": "Stacked bars for the layouts A to E. A: 109 names match unchanged. B: 40 match unchanged, 69 after renaming. C and D: none match unchanged, 110 after renaming. E: 110 match unchanged. A dashed line marks the 109 tensors of layout A."}, "figure": {"caption": "Renaming brings every layout to full coverage; without it, `strict=False` loads 40 tensors and no tower from layout B, and nothing from C and D. Blue: names that match the model's unchanged; orange: names that match after `canonical_name`. The dashed line is at 109, all tensors without the head; C, D and E contain the head too.", "name": "fig-ch13-coverage"}} tags=["hide-input"]
fits, fits_renamed = [], []
for layout in "ABCDE":
    names = as_layout(layout)
    fits.append(sum(name in trained for name in names))
    fits_renamed.append(sum(canonical_name(name) in trained for name in names) - fits[-1])
fig, ax = plt.subplots(figsize=(6.6, 3.2), layout="constrained")
bars = ax.bar(list("ABCDE"), fits, color="#0072B2", label="unchanged")
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
ax.set(xlabel="layout", ylabel="tensors whose name matches", ylim=(0, 145))
ax.legend(loc="upper center", ncols=2)
plt.show()
assert all(a + b >= len(tensors) for a, b in zip(fits, fits_renamed))

# %% [markdown]
# ## A strict loader: missing keys, unexpected keys, wrong shapes
#
# Three things can be wrong with a file: a key is missing, a key is unexpected, or a tensor has the wrong shape. `load_state_dict` reports all three in one error, but it needs the tensors themselves, and it insists on a head, which the published files do not have. Even with `strict=False` it still raises an error for wrong shapes. The package's check needs only names and shapes, allows the head to be missing, and raises one error with everything it found. If you have the wrong file, you see at a glance *that* it is the wrong one, and which parts do not fit.


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
# Try it on a file with two faults, which give three entries: a tensor under another library's name counts twice, as an unexpected key and as a missing one.

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
# Only one tensor may be missing: the head.
#
# ## The tied head
#
# The embedding maps a token to a vector. The head maps a vector to one logit per token. Gemma uses a single matrix for both (Gemma, arXiv 2403.08295 {cite}`gemma2024open`, section 2; the idea is older {cite}`press2016using`). In PaliGemma 3B it has 527 million numbers, 18 % of the model, and the published files store it once. A loader has to know that, and {term}`tie <tied head>` the head: `lm_head.weight` and `embed_tokens.weight` must be the same parameter.
#
# There are three ways to lose the tie, all of them silent. You forget to tie, and the head stays random:

# %%
torch.manual_seed(0)
untied = finished_load_model(CHECKPOINT_DIRECTORY)
untied.language_model.lm_head.weight = torch.nn.Parameter(random[HEAD].clone())
print(generate(untied, processor, "caption en", image, max_new_tokens=6))

# %% [markdown]
# You tie too early: a loader that replaces parameters instead of copying into them (`assign=True`, see below) replaces the embedding, and the head still holds the old one.

# %%
with torch.device("meta"):
    early = PaliGemmaForConditionalGeneration(config)  # tied when it is built
language = early.language_model
print("before:", language.lm_head.weight is language.model.embed_tokens.weight)
early.load_state_dict(tensors, strict=False, assign=True)
print("after: ", language.lm_head.weight is language.model.embed_tokens.weight)
print("the head is on the device", language.lm_head.weight.device)

# %% [markdown]
# Or you copy: the answers are right, but the matrix is in memory twice, and as soon as you train the model, the two copies drift apart. The opposite mistake exists as well. Some fine-tuned models have a head of their own, which differs from the embedding. If you tie it anyway, you get a different model. So the rule is: if the file has no head, or a head equal to the embedding, tie it; if it has a different one, keep that.
#
# ## Peak memory: every weight once
#
# A bfloat16 parameter takes 2 bytes, so the 3B model takes 5.9 GB. The obvious loader needs far more. It builds the model, in float32 and filled with random numbers. It reads the file. It casts the tensors to float32. It copies them into the model. Then it casts the model back to the dtype that you wanted. How many times the size of the file will it need at its peak? Count before you look.
#
# To measure it, we take a larger file: the Toybox's tower with a language model of 75 million parameters, 146 MB in bfloat16. Memory does not depend on the values, so they are all 0.01. Each loader runs in a process of its own, while a thread samples the memory of the process a hundred times a second.

# %% tags=["hide-input"]
# For all files that this chapter writes; deleted when the notebook ends.
temporary = tempfile.TemporaryDirectory()
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
load_model(CHECKPOINT_DIRECTORY)  # so that imports do not count
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
    parameter.view(torch.uint8).flatten()[::4096].sum()  # touch every page: a mapped file is read only then
time.sleep(0.2)
done.set()
print(json.dumps(samples))
"""


def measure(loader: str) -> list[tuple[float, float]]:
    """(seconds, MB) samples while a loader runs."""
    command = [sys.executable, "-c", MEASURE, loader, str(folder)]
    return json.loads(
        subprocess.run(command, capture_output=True, check=True, text=True).stdout
    )


# %% mystnb={"image": {"alt": "Memory over time for three loaders. The obvious one climbs in steps to about five times the file and falls back to one. The package with a cast to float32 peaks at about three times and ends at two. The package without a cast rises to one and stays there."}, "figure": {"caption": "The obvious loader (dashed) needs five times the size of the file on the way; the package needs the file's size once. Memory while loading, as a multiple of the file's 146 MB; all three models have all their weights at the end.", "name": "fig-ch13-memory"}} tags=["hide-input", "nbval-ignore-output"]
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
ax.set(xlabel="seconds", ylabel="memory / file size", ylim=(0, 6))
ax.legend(fontsize=9)
plt.show()

# %% [markdown]
# Five times: two for the random numbers in float32, two for the tensors cast to float32, one for the file. For the real 3B model that is 29 GB, more than many laptops have, to load a model of 5.9.
#
# The package builds the model on the meta device, where initialization costs nothing, and then makes each tensor of the file a parameter: `assign=True`. A tensor that already has the right dtype is not even copied, because safetensors {term}`maps the file into memory <memory mapping>`: a page is read when it is first accessed. A cast makes a second copy while the file's pages are in memory too. That is why the curve with the cast to float32 peaks above its final value.


# %% tags=["from:vlm.loader.fill_model"]
def fill_model(
    model: PaliGemmaForConditionalGeneration,
    directory: Path,
    device: torch.device | str,
    dtype: torch.dtype | None,
    read: Callable[[object, str, str], Tensor],
) -> PaliGemmaForConditionalGeneration:
    """Fill an empty model with a checkpoint's weights, and tie its head to the embedding unless the file has another."""
    paths = find_weight_files(directory)
    headers = read_headers(paths)
    check_tensors(model, headers)  # before a single weight is read
    tensors = read_tensors(paths, headers, device, dtype or headers[EMBEDDING].dtype, read)
    head = tensors.pop(HEAD, None)
    # Checked above; only the head is missing.
    model.load_state_dict(tensors, strict=False, assign=True)
    model.tie_weights()
    # Some fine-tunes have a head of their own.
    if head is not None and not torch.equal(head, tensors[EMBEDDING]):
        model.language_model.lm_head.weight = torch.nn.Parameter(head)
    logger.info("%s: %s", directory, describe(headers, paths))
    return model.eval()


# %% tags=["from:vlm.loader.load_model"]
def load_model(
    directory: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> PaliGemmaForConditionalGeneration:
    """The model only: built on the meta device, then filled tensor by tensor."""
    check_device(device, dtype)
    return fill_model(
        empty_model(directory),
        directory,
        device,
        dtype,
        lambda file, name, new: file.get_tensor(name),
    )


# %% [markdown]
# `fill_model` is the loader; `load_model` gives it an empty model and a function that reads one tensor. (`read` is an argument because chapter 24 uses the same function to read slices.) Without a `dtype`, all weights get the dtype of the embedding; if the file mixes dtypes, the others are cast to it. There is a `strict=False` after all, but it comes after `check_tensors`, which allows nothing but a missing head. That check needs only the headers of the files and takes milliseconds, so you find out that you have the wrong file before 6 GB are read. `empty_model` builds the model on the meta device, and `logger.info` logs a table of what was loaded (`vlm inspect` prints it too).
#
# All five layouts must give the same model, bit for bit. So must a model in several files: large checkpoints are split into {term}`shards <shard>`, with an index that says which tensor is in which file.


# %%
def write(layout: str, in_shards: bool = False) -> Path:
    """A directory with the Toybox's weights in one layout, in one file or in two."""
    directory = Path(tempfile.mkdtemp(dir=temporary.name))
    shutil.copy(CHECKPOINT_DIRECTORY / "config.json", directory)
    named = {name: tensor.clone() for name, tensor in as_layout(layout).items()}
    if not in_shards:
        save_file(named, directory / "model.safetensors")
        return directory
    shards = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    weight_map = {name: shards["vision_tower" in name] for name in named}
    for shard in shards:
        in_this = {name: named[name] for name in named if weight_map[name] == shard}
        save_file(in_this, directory / shard)
    index = json.dumps({"weight_map": weight_map})
    (directory / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    return directory


# %%
for layout in "ABCDE":
    loaded = load_model(write(layout, in_shards=layout == "A"))
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, trained[name])
    language = loaded.language_model
    assert language.lm_head.weight is language.model.embed_tokens.weight
print("five layouts, one of them in shards: one model, and its head is tied")

# %% [markdown]
# What if one of two shards is missing?

# %%
in_two = write("A", in_shards=True)
(in_two / "model-00002-of-00002.safetensors").unlink()
try:
    load_model(in_two)
except FileNotFoundError as error:
    print(str(error).replace(str(in_two), "the directory"))
temporary.cleanup()

# %% [markdown]
# A half-copied checkpoint raises an error that names the missing file. And the reference? *transformers* also reads layouts A to E. It initializes missing weights at random and prints a table of them. That lets you load a checkpoint for another purpose, and it relies on you to read the table.
#
# One more look at how little a lost part may show. On the left are the boxes of the trained model, on the right those of a model with the last block of its tower left random. The slider chooses another part. Guess first: which parts, of those that cost few captions, spoil the boxes?

# %% tags=["hide-input", "nbval-ignore-output"]
from figures.filmstrip import filmstrip_html
from IPython.display import HTML


def show_lost(part: str = "last block of the tower"):
    """Boxes of the trained model, and of one with a part left random."""
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
        "Left: the trained model. Right: the same model with one part left random.",
        start=[list(PARTS).index("last block of the tower")],
        part=list(PARTS),
    )
)

# %% [markdown]
# ## Exercises
#
# Open `exercises/ch13_loading.py`, replace each `raise NotImplementedError` with your code, and grade it with the cell below or in a terminal:
#
# ```text
# pytest exercises/test_ch13_loading.py
# ```
#
# ### `read_safetensors` (2 points, 15 minutes)
#
# Read a safetensors file from its bytes, without the library.
#
# ```{literalinclude} ../exercises/ch13_loading.py
# :pyobject: read_safetensors
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Three parts: eight bytes, the header, the numbers. Split the bytes into these three first. Where does the third begin?
# ```
# ```{admonition} Hint 2: which functions
# :class: dropdown
# `int.from_bytes(..., "little")`, `json.loads`, and `torch.frombuffer(bytearray(piece), dtype=...)`, which returns a one-dimensional tensor.
# ```
# ```{admonition} Hint 3: a file that is too short
# :class: dropdown
# A Python slice that goes past the end is shortened silently. Compare the second offset with the length of the third part.
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
# Map a tensor's name from any of the five layouts to the name in this package.
#
# ```{literalinclude} ../exercises/ch13_loading.py
# :pyobject: canonical_name
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# `vision_model.` ends in `model.`. What does `replace` do to it?
# ```
# ```{admonition} Hint 2: which function
# :class: dropdown
# `name.removeprefix("model.")` removes a prefix, and does nothing if it is not there. To make sure that `vision_model.` is there exactly once: remove it, then add it.
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
# List the missing keys, the unexpected keys and the wrong shapes.
#
# ```{literalinclude} ../exercises/ch13_loading.py
# :pyobject: list_problems
# ```
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
# Load a language model's tensors strictly, and tie the head if it should be tied. The grader counts the bytes that you allocate. One difference from the package: with `dtype=None`, each tensor keeps the dtype it has in the file.
#
# ```{literalinclude} ../exercises/ch13_loading.py
# :pyobject: load_weights
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# In this order: check; decide whether the head is tied; assign the tensors; tie.
# ```
# ```{admonition} Hint 2: which functions
# :class: dropdown
# `tensor.to(dtype)` returns the tensor itself if `dtype` is None or the dtype it already has. `model.load_state_dict(..., strict=False, assign=True)` makes the tensors the model's parameters.
# ```
# ```{admonition} Hint 3: the head
# :class: dropdown
# If the head equals the embedding, leave it out of what you load, and call `model.tie_weights()` after loading. If the head differs, load it like any other tensor, and don't tie.
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
# A checkpoint is a set of named arrays. A pickle is a program, so use safetensors. A missed tensor leaves random numbers in its place, and answers cannot prove that none was missed: count the parameters, compare names and shapes, and raise an error that lists everything that does not fit. Names come in five layouts, and one function translates them. The head is tied to the embedding unless the file has another one, and you tie it last. If you build the model on the meta device and assign the tensors, loading needs the memory of the model and no more.
#
# All weights are where they belong. Is what you *compute* with them right? For that you need a reference, and a way to find the first layer that diverges from it. That is the {doc}`next chapter <ch14_proving>`.
