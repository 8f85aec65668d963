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
# # Setting up: does everything run, and how do you use this book?
#
# Before you build a model, make sure that the workshop is in order. This chapter checks your installation, shows you every stage that an image passes through in the model, and lets you solve three
# small exercises, so that you know how they are graded.
#
# At the end you will be able to
#
# - check that everything you need is installed and works;
# - find your way through the chapters, and know which chapter builds which part;
# - create tensors with compatible shapes, dtypes and devices, which prevents many of the most common bugs;
# - solve an exercise, have it graded, and read the grader's report.
#
# Time: about 30 minutes to read and run, and 20 for the three exercises. Here is the path through the model, from left to right, with real values from the small model that comes with this course. You don't have to understand it yet.

# %% mystnb={"image": {"alt": "Five panels from left to right: a toy scene; the same scene cut into 64 patches; a matrix of 64 rows and 192 columns; a matrix of 68 rows and 128 columns with a line between the image and the prompt; the scene with a box around each dog."}, "figure": {"caption": "The whole course in one row: pixels, patches, the vision tower's output vectors, the input sequence of the language model (image above the line, prompt below it), and the boxes of its answer. The last three panels show what the trained model computes.", "name": "fig-ch00-map"}} tags=["hide-input"]
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
prompt_ids = inputs["input_ids"][:, image_features.shape[1] :]
prompt_embeddings = model.language_model.model.embed(prompt_ids)
sequence = torch.cat([image_features, prompt_embeddings], dim=1)  # [B, S, D]
[answer] = generate(model, processor, [prompt], [image])
seconds = time.perf_counter() - start


def draw_map():
    """Every stage of the model in five panels."""
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
        ax.set_xlabel("hidden dimension", fontsize=7)
        ax.set_ylabel("position", fontsize=7)
        ax.tick_params(labelsize=6)
    ax.axhline(image_features.shape[1] - 0.5, color="white", linewidth=1.5)
    ax = panels[4].subplots()
    draw_detections(image, parse_detections(answer, image.height, image.width), ax)
    plt.show()


draw_map()

# %% [markdown]
# ## Is everything installed?
#
# If you are reading this on a web page and do not want to run the code, go on to the next section. To run the chapters, you need Python 3.11 or newer and the repository. One command creates an environment in the folder `.venv`,
# installs everything into it, and opens the chapters:
#
# ```bash
# make lab
# ```
#
# After that, no chapter needs an internet connection. If the figure above appeared when you ran its cell, the model was loaded, read the image, and answered. The next cell prints the versions and
# how long that took. (The page shows our output; yours will differ.)

# %% tags=["nbval-ignore-output"]
import platform

import transformers

print("Python", platform.python_version(), " torch", torch.__version__.split("+")[0])
print("transformers", transformers.__version__, " threads", torch.get_num_threads())
print(f"model loaded and run in {seconds:.1f} s")

# %% [markdown]
# The answer itself does not depend on your machine. If this cell stops with an error, something is wrong with the installation: delete `.venv` and start again.

# %%
print(answer)
assert [d.label for d in parse_detections(answer, 112, 112)] == ["dog", "dog"]

# %% [markdown]
# ## How a chapter works
#
# Each chapter asks one question. It begins with the naive answer, finds out what is wrong with it, and ends with working code. The code you build in a chapter is the code in the package `vlm/`; a test keeps the two identical (docstrings and comments may differ). You can read the chapters without running
# them, since the outputs are on the page. Run them anyway. Change a number, and predict what will happen before you look.
#
# Some exercises ask you to write what the chapter has just shown. They are for practice: close the page, and write the code from what you have understood. Keep the names of functions and of their arguments, since the grader calls
# them by name.
#
# | chapter | question | what you build |
# | --- | --- | --- |
# | {doc}`1 · A whole VLM in one sitting <ch01_whole_vlm>` | How does an image become an answer? | the generation loop, and a parser for boxes |
# | {doc}`2 · From pixels to patches <ch02_patches>` | How does an image become a sequence of vectors? | patch and position embeddings |
# | {doc}`3 · Attention, and the tower <ch03_attention>` | How do patches exchange information? | the vision tower |
# | {doc}`4 · Learning from pairs <ch04_contrastive>` | How does a vision tower learn what words mean? | the losses of CLIP and SigLIP |
# | {doc}`5 · The processor <ch05_processor>` | How do an image and a prompt become tensors? | the processor, and a tokenizer |
# | {doc}`6 · Norms and the gated MLP <ch06_norms_mlp>` | What happens to a single vector? | RMSNorm and the gated MLP |
# | {doc}`7 · Rotary positions <ch07_rope>` | How does a vector know its position? | rotary position embedding (RoPE) |
# | {doc}`8 · Grouped-query attention <ch08_gqa>` | Why do query heads share keys and values? | grouped-query attention |
# | {doc}`9 · One sequence from two worlds <ch09_merge>` | How does an image get into a sentence? | projector, merge, mask, the whole model |
# | {doc}`10 · From logits to text <ch10_sampling>` | Which token comes next? | temperature, top-p, and when to stop |
# | {doc}`11 · The KV cache <ch11_kv_cache>` | What need not be computed twice? | the cache of keys and values |
# | {doc}`12 · Batches <ch12_batches>` | How do you answer many questions at once? | padded batches |
# | {doc}`13 · Loading a checkpoint <ch13_loading>` | How do you know that all the weights arrived? | a strict loader |
# | {doc}`14 · Comparing layer by layer <ch14_proving>` | How do you know that your model is right? | a comparison layer by layer; eight bugs to find |
# | {doc}`Capstone: your own parts <capstone>` | | a PaliGemma of your own parts |
#
# Chapters 15 to 24 start from the finished model: PaliGemma 2 and the real weights, boxes and masks, a look inside, evaluation, fine-tuning and pretraining, speed, and several machines.
#
# Letters for sizes mean the same everywhere; {doc}`notation` lists them all. In this chapter B is the batch size, N the number of vectors and D the number of entries in each. A comment at the end of a line gives the shape of that line's result.
#
# Some figures, like the next one, have a slider that chooses an example; their images were drawn when the page was made. Other figures run the trained model itself, in your browser: you move a toy or switch something off, and the answer changes. They work on these pages; in JupyterLab, run the cell after the figure.

# %% tags=["hide-input", "nbval-ignore-output"]
from figures.filmstrip import filmstrip_html
from IPython.display import HTML


def show_example(example: int):
    """Caption an example, and detect every kind of toy that the caption names."""
    image = example_image(example - 1)
    [sentence] = generate(model, processor, ["caption en"], [image])
    _, ax = plt.subplots(figsize=(3.4, 3.6), layout="constrained")
    found = []
    for label in LABELS:
        if label in sentence or plural(label) in sentence:
            [boxes] = generate(model, processor, [f"detect {label}"], [image])
            found += parse_detections(boxes, image.height, image.width)
    draw_detections(image, found, ax)
    ax.set_title(sentence, fontsize=9)
    plt.show()


HTML(
    filmstrip_html(
        show_example,
        "The model's caption, and its boxes for the toys that the caption names.",
        start=[3],
        example=range(1, 7),
    )
)

# %% [markdown]
# ## Shapes that fit
#
# Many bugs in deep-learning code are shape bugs, and the worst of them raise no error. When two tensors of different shapes meet, PyTorch aligns the shapes *from the right*. Two sizes fit if they are equal, or if one of them is 1 or missing;
# then that axis is repeated. This is called {term}`broadcasting`.

# %%
states = torch.arange(24.0).reshape(2, 3, 4)  # [B, N, D]
weights = torch.tensor([1.0, 10.0, 100.0, 1000.0])  # [D]
print(list((states * weights).shape), (states * weights)[0, 0].tolist())

# %% [markdown]
# `weights` has 4 elements, and the last axis of `states` has size 4: it fits. Suppose now that you have one weight for each *position*, so N = 3 of them. What will the next cell do?

# %%
per_position = torch.tensor([1.0, 10.0, 100.0])  # [N]
try:
    states * per_position
except RuntimeError as error:
    print(str(error)[:86])

# %% [markdown]
# Aligned from the right, 3 meets 4, and PyTorch raises an error. That is the lucky case. Had D been 3 as well, the weights would have been applied along the wrong axis, without any error. So add the missing axes yourself, with `None`.

# %%
scaled = states * per_position[:, None]  # [N, 1] meets [B, N, D]
assert torch.equal(scaled[1, 2], states[1, 2] * 100)  # position 2 got its own weight
square = torch.ones(1, 3, 3)
print(
    "the same weights along two axes:",
    (square * per_position)[0, 0].tolist(),
    (square * per_position[:, None])[0, 0].tolist(),
)

# %% [markdown]
# Reductions such as `sum` and `norm` remove an axis. If you want to divide by the result, that axis has to stay, with size 1. That is what `keepdim=True` is for.

# %%
print(list(states.sum(dim=-1).shape), list(states.sum(dim=-1, keepdim=True).shape))
fractions = states / states.sum(dim=-1, keepdim=True)  # [B, N, D]
assert torch.allclose(fractions.sum(dim=-1), torch.ones(2, 3))  # each vector sums to 1

# %% [markdown]
# ## Dtypes and devices
#
# A tensor has a number format, its {term}`dtype`, and it lives in the memory of a *device*, the CPU or a GPU. When two floating-point tensors of different dtypes meet, the result gets the wider dtype (a plain number, or a tensor without axes, does not count). That is convenient, and it hides mistakes: because of one careless float32 tensor, a model that should run in {term}`half precision <bfloat16>` computes in float32, with twice the memory. If the devices differ, you nearly always get an error. So give every new tensor the dtype and the device of the tensors that it will meet.

# %%
double = torch.ones(2, 3, dtype=torch.float64)
careless = torch.arange(3.0)  # float32, on the CPU
careful = torch.arange(3, dtype=double.dtype, device=double.device)
print(careless.dtype, careful.dtype)
half = torch.ones(2, 3, dtype=torch.float16)
print("half precision meets the careless one:", (half * careless).dtype)

# %% [markdown]
# To try a second device without having one, use PyTorch's {term}`device <meta device>` `meta`. A tensor there has a shape and a dtype, but no data. Many of the device bugs that a GPU would reveal show up there too, so the graders use it.

# %%
elsewhere = torch.empty(2, 3, device="meta")
print(elsewhere + torch.ones(2, 3, device=elsewhere.device))

# %% [markdown]
# ## Exercises
#
# Every chapter has exercises. You write your solutions in the folder `exercises/`, here in `exercises/ch00_setup.py`. Open that file. The docstring of each function says what goes in, what comes out and in which shape. No function may change its arguments: the grader checks, and a right answer that modified an argument gets no points. Each function ends with `raise NotImplementedError`: replace that line with your code. Then grade it, with the last cell of this chapter or in a terminal, from the top folder of the repository:
#
# ```text
# source .venv/bin/activate                 (once for each terminal; on Windows inside WSL)
# pytest exercises/test_ch00_setup.py
# ```
#
# You get a table with each exercise, its points, and "passed" or what is wrong. The inputs are random, in several shapes. If your mistake is a common one, the table names it. If you get stuck, open the hints one
# by one. The first says what to think about; the last is almost the line of code. The solution is below them: look at it rather than stay stuck for an hour.
#
# ### `to_unit_length` (1 point, 5 minutes)
#
# ```{literalinclude} ../exercises/ch00_setup.py
# :pyobject: to_unit_length
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Each vector has one length. Which axis disappears when you compute it, and should it?
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
# ### `add_channel_offsets` (1 point, 5 minutes)
#
# ```{literalinclude} ../exercises/ch00_setup.py
# :pyobject: add_channel_offsets
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Align the two shapes from the right: `[B, C, H, W]` and `[B, C]`. Which axes are missing in the second, and on which side?
# ```
# ```{admonition} Hint 2: almost the line
# :class: dropdown
# `offsets[:, :, None, None]` is `[B, C, 1, 1]`.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch00_setup.py
# :pyobject: add_channel_offsets
# ```
# ````
#
# ### `append_positions` (1 point, 10 minutes)
#
# ```{literalinclude} ../exercises/ch00_setup.py
# :pyobject: append_positions
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# You need a new tensor: of which dtype, on which device? And in the end it must have the shape `[B, N, 1]`.
# ```
# ```{admonition} Hint 2: which functions
# :class: dropdown
# `torch.arange` takes `dtype` and `device`. `expand` repeats an axis of size 1. `torch.cat` concatenates along an axis.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch00_setup.py
# :pyobject: append_positions
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch00_setup")

# %% [markdown]
# ## Summary
#
# The workshop is in order: the model that comes with the course loads and answers on your machine. PyTorch aligns shapes from the right: add missing axes with `None`, and keep an axis that a reduction would remove with `keepdim=True`. Give new tensors
# the dtype and the device of the tensors that they will meet.
#
# Next you follow one image through the whole model, in one sitting.
