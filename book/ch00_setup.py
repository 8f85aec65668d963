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
# # Does everything run? Setting up, and how to use this book
#
# Before you build a model, make sure that the workshop is in order. This chapter checks your machine, shows you the whole way that a picture takes through the model, and lets you solve three
# small exercises, so that you know how they are graded.
#
# At the end you will be able to
#
# - say that everything you need is installed and works;
# - find your way through the chapters, and know which chapter builds which part;
# - make tensors whose shapes, kinds and devices fit each other, which prevents half of all mistakes;
# - write an exercise, have it graded, and read what the grader says.
#
# It takes about 30 minutes. Here is the way, from left to right, with the real numbers of the small model that comes with this course. You don't have to understand it yet.

# %% mystnb={"image": {"alt": "Five panels from left to right: a toy scene; the same scene in 64 patches; a matrix of 64 rows and 192 columns; a matrix of 68 rows and 128 columns with a line between picture and prompt; the scene with a box around each dog."}, "figure": {"caption": "The whole course in one row: pixels, patches, the vision tower's vectors, the sequence that the language model reads (the picture above the line, the prompt below), and its answer, drawn. The last three panels show what the trained model computes.", "name": "fig-ch00-map"}} tags=["hide-input"]
import time

import matplotlib.pyplot as plt
import torch
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image
from toybox.sprites import LABELS, plural
from vlm import PaliGemmaProcessor, generate, load_hf_model, parse_detections
from vlm.regions.draw import draw_detections

torch.set_grad_enabled(False)  # nothing is trained in this chapter

start = time.perf_counter()
model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY, device="cpu")
processor = PaliGemmaProcessor.for_model(model, tokenizer)
image, prompt = example_image(1), "detect dog"
inputs = processor(text=[prompt], images=[image])
patch_vectors = model.vision_tower(inputs["pixel_values"])  # [B, N, 192]
image_features = model.multi_modal_projector(patch_vectors)  # [B, N, D]
words = model.language_model.model.embed(inputs["input_ids"][:, image_features.shape[1] :])
sequence = torch.cat([image_features, words], dim=1)  # [B, S, D]
[answer] = generate(model, processor, [prompt], [image])
seconds = time.perf_counter() - start


def draw_map():
    """The whole way in five panels."""
    fig = plt.figure(figsize=(10, 2.9), layout="constrained")
    panels = fig.subfigures(1, 5)
    titles = (
        "pixels\n3 × 112 × 112",
        "patches\n64",
        "tower\n64 × 192",
        f"sequence\n{sequence.shape[1]} × 128",
        "answer\nboxes",
    )
    for panel, title in zip(panels, titles):
        panel.suptitle(title, fontsize=9)
    ax = panels[0].subplots()
    ax.imshow(image)
    ax.axis("off")
    for patch, ax in enumerate(panels[1].subplots(8, 8).flat):
        y, x = divmod(patch, 8)
        ax.imshow(image.crop((x * 14, y * 14, x * 14 + 14, y * 14 + 14)))
        ax.axis("off")
    for panel, values, limit in ((panels[2], patch_vectors, 3), (panels[3], sequence, 3)):
        ax = panel.subplots()
        ax.imshow(values[0], cmap="cividis", vmin=-limit, vmax=limit, aspect="auto")
        ax.set_xlabel("number in the vector", fontsize=7)
        ax.set_ylabel("place", fontsize=7)
        ax.tick_params(labelsize=6)
    ax.axhline(image_features.shape[1] - 0.5, color="white", linewidth=1.5)
    ax = panels[4].subplots()
    draw_detections(image, parse_detections(answer, image.height, image.width), ax)
    plt.show()


draw_map()

# %% [markdown]
# ## Is everything there?
#
# If you are reading this on a web page and only want to read, go on to the next section. To run the chapters, you need Python 3.11 or newer and the repository. One command makes an environment in the folder `.venv`,
# installs everything into it, and opens the chapters:
#
# ```bash
# make lab
# ```
#
# After that no chapter needs a network. If the picture above appeared when you ran its cell, then the model was loaded, it looked, and it answered. The next cell asks for the versions, and
# measures how long that took. (On the page you see ours; yours will differ.)

# %% tags=["nbval-ignore-output"]
import platform

import transformers

print("Python", platform.python_version(), " torch", torch.__version__.split("+")[0])
print("transformers", transformers.__version__, " threads", torch.get_num_threads())
print(f"model loaded and asked in {seconds:.1f} s")

# %% [markdown]
# The answer itself does not depend on your machine. If this cell stops with an error, something is wrong with the installation: delete `.venv` and begin again.

# %%
print(answer)
assert [d.label for d in parse_detections(answer, 112, 112)] == ["dog", "dog"]

# %% [markdown]
# ## How a chapter works
#
# Each chapter asks one question. It begins with the naive answer, finds out what is wrong with it, and ends with code that is in the package `vlm/`, word for word but for longer docstrings there: a test compares the two. You can read the chapters without running
# them, since the outputs are on the page. Run them anyway. Change a number, and predict what will happen before you look.
#
# Some exercises ask for what a chapter has shown. They are for your hands: close the page, and write it from what you have understood. Keep the names of functions and of their arguments, since the grader calls
# them by name.
#
# | chapter | question | what you build |
# | --- | --- | --- |
# | {doc}`1 · A whole VLM in one sitting <ch01_whole_vlm>` | How does a picture become an answer? | the loop that writes, the boxes that are drawn |
# | {doc}`2 · From pixels to patches <ch02_patches>` | How does a picture become a list of vectors? | patch embedding and positions |
# | {doc}`3 · Attention, and the tower <ch03_attention>` | How do patches look at each other? | the vision tower |
# | {doc}`4 · Learning from pairs <ch04_contrastive>` | How does a picture learn what words mean? | the losses of CLIP and SigLIP |
# | {doc}`5 · The processor <ch05_processor>` | How do a picture and a question become tensors? | the processor, and a tokenizer |
# | {doc}`6 · Norms and the gated MLP <ch06_norms_mlp>` | What happens to a single vector? | Gemma's norm and its gated MLP |
# | {doc}`7 · Rotary positions <ch07_rope>` | How does a vector know where it stands? | rotary positions |
# | {doc}`8 · Grouped-query attention <ch08_gqa>` | Why do several queries share a key? | grouped-query attention |
# | {doc}`9 · One sequence from two worlds <ch09_merge>` | How does a picture get into a sentence? | projector, merge, mask, the whole model |
# | {doc}`10 · Loading a checkpoint <ch13_loading>` | How do you know that all the weights arrived? | a strict loader |
# | {doc}`11 · Comparing layer by layer <ch14_proving>` | How do you know that it is right? | a comparison layer by layer; eight bugs to find |
# | {doc}`12 · From scores to text <ch10_sampling>` | Which word comes next? | temperature, top-p, and when to stop |
# | {doc}`13 · The KV cache <ch11_kv_cache>` | What need not be computed twice? | the cache of keys and values |
# | {doc}`14 · Batches <ch12_batches>` | How do you answer many questions at once? | padded batches |
# | {doc}`Capstone: your own parts <capstone>` | | a PaliGemma of your own parts |
#
# Chapters 15 to 24 go on from the finished model: PaliGemma 2 and the real weights, boxes and masks, a look inside, evaluation, fine-tuning and pretraining, speed, and several machines.
#
# Letters for sizes, such as B and N, mean the same everywhere; {doc}`notation` has them all. A comment at the end of a line gives the shape of what the line makes.
#
# Some figures have a slider, like the next one, which chooses an example. Its images were drawn when the page was made. Other figures run the trained model itself, in your browser: you move a toy or switch something off, and the answer changes. They work on these pages, and in JupyterLab too, where the cell after such a figure shows it.


# %% tags=["hide-input", "nbval-ignore-output"]
from figures.filmstrip import filmstrip_html
from IPython.display import HTML


def show_example(example: int):
    """Ask for a caption of an example, and for the boxes of all kinds that the caption names."""
    picture = example_image(example - 1)
    [sentence] = generate(model, processor, ["caption en"], [picture])
    _, ax = plt.subplots(figsize=(3.4, 3.6), layout="constrained")
    found = []
    for label in LABELS:
        if label in sentence or plural(label) in sentence:
            [boxes] = generate(model, processor, [f"detect {label}"], [picture])
            found += parse_detections(boxes, picture.height, picture.width)
    draw_detections(picture, found, ax)
    ax.set_title(sentence, fontsize=9)
    plt.show()


HTML(
    filmstrip_html(
        show_example,
        "The model's caption, and the boxes that it gives for the kinds in it.",
        start=[3],
        example=range(1, 7),
    )
)

# %% [markdown]
# ## Shapes that fit
#
# Most mistakes in this trade are mistakes of shape, and the worst of them raise no error. When two tensors of different shapes meet, PyTorch lines the shapes up *from the right*. Two sizes fit if they are equal, or if one of them is 1 or missing;
# then it is repeated. This is called {term}`broadcasting`.

# %%
states = torch.arange(24.0).reshape(2, 3, 4)  # [B, N, D]
weights = torch.tensor([1.0, 10.0, 100.0, 1000.0])  # [D]
print(list((states * weights).shape), (states * weights)[0, 0].tolist())

# %% [markdown]
# `weights` has 4 numbers, and the last axis of `states` has 4 places: it fits. Suppose now that you have a number for each of the *places*, so N = 3 of them. What will the next cell do?

# %%
per_place = torch.tensor([1.0, 10.0, 100.0])  # [N]
try:
    states * per_place
except RuntimeError as error:
    print(str(error)[:86])

# %% [markdown]
# From the right, 3 meets 4, and that is an error. A good one: you are told. Had D been 3 as well, the numbers would have gone to the wrong axis, and nobody would have said a word. So give a tensor its missing axes yourself, with `None`.

# %%
scaled = states * per_place[:, None]  # [N, 1] meets [B, N, D]
assert torch.equal(scaled[1, 2], states[1, 2] * 100)  # place 2 got its own number
square = torch.ones(1, 3, 3)
print(
    "the same numbers on two axes:",
    (square * per_place)[0, 0].tolist(),
    (square * per_place[:, None])[0, 0].tolist(),
)

# %% [markdown]
# Sums and lengths take an axis away. If you want to divide by them, you want it to stay, with the size 1. That is what `keepdim=True` is for.

# %%
print(list(states.sum(dim=-1).shape), list(states.sum(dim=-1, keepdim=True).shape))
shares = states / states.sum(dim=-1, keepdim=True)  # [B, N, D]
assert torch.allclose(shares.sum(dim=-1), torch.ones(2, 3))  # each vector's shares make 1

# %% [markdown]
# ## Kinds and places
#
# A tensor has a kind of number, its {term}`dtype`, and a place where it lives, its *device*. When two tensors of floating-point numbers meet, the wider kind wins (a plain number, or a tensor without axes, gives way). That is convenient, and it hides mistakes: what a
# model computes in {term}`half precision <bfloat16>` becomes twice as large because of one careless tensor. When devices meet, there is an error, nearly always. So whenever you make a new tensor, make it of the kind and at the place of those that it will meet.

# %%
double = torch.ones(2, 3, dtype=torch.float64)
careless = torch.arange(3.0)  # float32, on the CPU
careful = torch.arange(3, dtype=double.dtype, device=double.device)
print(careless.dtype, careful.dtype)
half = torch.ones(2, 3, dtype=torch.float16)
print("half precision meets the careless one:", (half * careless).dtype)

# %% [markdown]
# To try a second device without having one, PyTorch has the {term}`device <meta device>` `meta`. A tensor there has a shape and a dtype and no numbers. Many mistakes that would show on a graphics card show up there too. The graders use it.

# %%
elsewhere = torch.empty(2, 3, device="meta")
print(elsewhere + torch.ones(2, 3, device=elsewhere.device))

# %% [markdown]
# ## Exercises
#
# Every chapter has exercises. You write them in the folder `exercises/`: here `exercises/ch00_setup.py`. Open that file. Each function says what goes in, what comes out and in which shape. No function may change what it is given: the grader looks, and a right answer that changed an argument earns nothing. Each ends with `raise NotImplementedError`; put your
# code in its place. Then grade it, with the last cell of this chapter or in a terminal, in the folder of the repository:
#
# ```text
# source .venv/bin/activate                 (once for each terminal; on Windows inside WSL)
# pytest exercises/test_ch00_setup.py
# ```
#
# You get a table: each exercise, its points, and "passed", or what is wrong. The inputs are random, and there are several shapes of them. If you have made a mistake that others have made before you, the table says which. If you don't get on, unfold the hints one
# by one. The first says what to think about, the last is almost the line. The solution is below them; it is better to look at it than to be stuck for an hour.
#
# ### `to_unit_length` (1 point, 5 minutes)
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# A length for each vector: which axis disappears, and should it?
# ```
# ```{admonition} Hint 2: almost the line
# :class: dropdown
# `(vectors**2).sum(dim=-1, keepdim=True).sqrt()` has the shape `[B, N, 1]`.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch00_setup.py
# :pyobject: to_unit_length
# ```
# ````
#
# ### `add_shades` (1 point, 5 minutes)
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Line the two shapes up from the right: `[B, C, H, W]` and `[B, C]`. What does the second lack, and on which side?
# ```
# ```{admonition} Hint 2: almost the line
# :class: dropdown
# `shades[:, :, None, None]` is `[B, C, 1, 1]`.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch00_setup.py
# :pyobject: add_shades
# ```
# ````
#
# ### `append_places` (1 point, 10 minutes)
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# You need a new tensor: of which dtype, on which device? And in the end it must have the shape `[B, N, 1]`.
# ```
# ```{admonition} Hint 2: which functions
# :class: dropdown
# `torch.arange` takes `dtype` and `device`. `expand` repeats an axis of size 1. `torch.cat` joins along an axis.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch00_setup.py
# :pyobject: append_places
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch00_setup")

# %% [markdown]
# ## Summary
#
# Your workshop is in order: the model that comes with the course loads, looks and answers on your machine. Shapes are lined up from the right; missing axes are given with `None`, and axes that a sum takes away are kept with `keepdim`. New tensors
# are made of the dtype and on the device of those that they will meet.
#
# Next you follow one picture through the whole model, in one sitting.
