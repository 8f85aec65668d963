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
# # Patch embedding: how does an image become a sequence of vectors?
#
# A {term}`transformer` reads a sequence of vectors. An image is not a sequence, and its pixels are not vectors of the right
# width. In this chapter you build the layer that converts one into the other. It cuts the image into {term}`patches <patch>`, makes one
# vector of each, and adds a position embedding, which says where the patch was.
#
# At the end you will be able to
#
# - cut an image into patches and put it together again, without mixing up an axis;
# - say why a convolution whose stride equals its kernel size is a linear layer on patches;
# - read a trained model's filters, and see what its learned position embeddings know about the grid;
# - write `SiglipVisionEmbeddings`, the first layer of PaliGemma, as in the package.
#
# Time: about 40 minutes to read and run, and 30 for the four exercises. The figure shows where we are going: 64 patches, and one vector for each.

# %% mystnb={"image": {"alt": "Left: a toy scene, cut into 8 by 8 patches with gaps between them. Right: a matrix of 64 rows and 192 columns, drawn in color."}, "figure": {"caption": "Patches in, vectors out. Left: the patches of one image. Right: the output of the trained model's first layer, one row of 192 numbers for each patch, in reading order.", "name": "fig-ch02-goal"}} tags=["hide-input"]
import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image
from vlm.config import SiglipVisionConfig
from vlm.image_processing import process_images
from vlm.loader import load_model

torch.set_grad_enabled(False)  # nothing is trained in this chapter

model = load_model(CHECKPOINT_DIRECTORY)
config = model.config.vision_config
trained = model.vision_tower.vision_model.embeddings
image = example_image(0)
pixel_values = process_images([image], config.image_size)  # [B, C, H, W]

fig = plt.figure(figsize=(7.4, 3.4), layout="constrained")
left, right = fig.subfigures(1, 2)
for patch, ax in enumerate(left.subplots(8, 8).flat):
    y, x = divmod(patch, 8)
    ax.imshow(image.crop((x * 14, y * 14, x * 14 + 14, y * 14 + 14)))
    ax.axis("off")
ax = right.subplots()
layer = ax.imshow(trained(pixel_values)[0], cmap="cividis", vmin=-3, vmax=3, aspect="auto")
ax.set(xlabel="hidden dimension", ylabel="patch")
right.colorbar(layer, label="value")
plt.show()

# %% [markdown]
# ## Why patches
#
# The simplest sequence would be the pixels themselves, one after another. Then an image of 224 by 224 would be a
# sequence of 50,176. In a transformer every position attends to every other, so the number of pairs grows with the square of the length.
# Patches of 14 by 14 make the sequence 196 times shorter, and the attention matrix, with one entry for each pair, 196² times smaller. This is how the {term}`Vision Transformer` reads images {cite}`dosovitskiy2020image`.[^ch02-1]
#
# [^ch02-1]: Only the attention products grow with the square; all other work in a layer grows linearly. In PaliGemma's tower the attention products are about 4 % of a layer's multiplications at 256 tokens, 13 % at 1,024 and 38 % at 4,096. With 50,176 pixels as tokens they would be 88 %.

# %%
for size in (112, 224, 448, 896):
    pixels, patches = size**2, (size // 14) ** 2
    print(
        f"{size:4} px: {pixels:>7,} pixels, {patches:>5,} patches, "
        f"{patches**2:>12,} pairs of patches"
    )

# %% [markdown]
# ## Cutting an image into patches
#
# Here is an image small enough to check by eye: one channel, 4 rows, 6 columns, the pixels numbered in reading order.
# With patches of 2 by 2 there are 2 rows of 3 patches. The first patch should hold 0, 1, 6, 7.

# %%
P = 2
small = torch.arange(24).reshape(1, 1, 4, 6)  # [B, C, H, W]
print(small[0, 0])

# %% [markdown]
# The first idea is to reshape. There are 24 numbers, and we want 6 patches of 4. Before you run the next cell: what will be
# in the first row?

# %%
print(small.reshape(1, 6, P * P)[0])

# %% [markdown]
# `reshape` never changes the order in which the numbers are read: along the last axis first, then the one before it, and so on.
# Here that is row by row through the whole image. So the first "patch" is a strip, 0 1 2 3. The shape is right and the content is wrong. That makes this mistake easy to miss: there is no error, and the model trains, only worse.
#
# It helps to name every axis first. A row index y of the image is *two* numbers: the row of patches that it is in, and
# the row inside that patch, y = (row of patches) · P + (row inside). The same holds for columns. Splitting an axis into
# two in this way keeps the order, so `reshape` can do it.

# %%
B, C, H, W = small.shape
split = small.reshape(B, C, H // P, P, W // P, P)  # [B, C, H/P, P, W/P, P]
print(list(split.shape))

# %% [markdown]
# Now move the axes, so that the two that count patches come first, and those inside a patch come last. This
# is the step that was missing: it changes the reading order. `permute` takes the numbers of the old axes, in the new order. The second `reshape` then joins the axes in that order. The drawing after the cell shows these steps.

# %%
moved = split.permute(0, 2, 4, 1, 3, 5)  # [B, H/P, W/P, C, P, P]
patches = moved.reshape(B, (H // P) * (W // P), C * P * P)  # [B, N, C * P * P]
print(patches[0])
assert patches[0, 0].tolist() == [0, 1, 6, 7]  # as we wanted
assert patches[0, 4].tolist() == [14, 15, 20, 21]  # patch 4: second row, middle

# %% tags=["hide-input"]
from figures.schematics.patchify import draw_patchify
from IPython.display import HTML

drawing = draw_patchify(config)
HTML(
    drawing.html(
        "Cutting an image into patches takes a split, a reordering and a merge of axes, "
        "in this order. Above, the small image of this section; below, the axes of our "
        "model's images, with their sizes. P' is P again, "
        "for the columns. The last step, at the bottom, comes in the next sections."
    )
)

# %% [markdown]
# Why do the channels come before the rows inside a patch, and not after? Any order would do. But PyTorch's convolution stores its
# filters as `[D, C, P, P]`, and we want our patches to have the same layout: you will see why in a moment.
#
# You will write this as a function, `patchify`, in the exercises. Below, PyTorch's own `unfold` does the same work.
# It returns the patches as columns, so we transpose the last two axes.


# %%
def patchify_v1(pixel_values: Tensor, patch_size: int) -> Tensor:
    """[B, C, H, W] -> [B, N, C * P * P], with PyTorch's `unfold`."""
    columns = nn.functional.unfold(pixel_values, patch_size, stride=patch_size)
    return columns.transpose(1, 2)  # [B, C * P * P, N] -> [B, N, C * P * P]


assert torch.equal(patchify_v1(small.float(), P), patches.float())

# %% [markdown]
# ## Patch embedding: a vector for each patch
#
# A patch of our images has 3 · 14 · 14 = 588 numbers. The model wants D = 192. The simplest way from 588 numbers to 192 is a
# linear layer: 192 weighted sums, each with its own 588 weights and a bias. The weights have the layout of a patch, like a small image, and are called a *filter*.
# A filter's weighted sum is large where the patch resembles the filter.

# %%
pixels_of_patches = patchify_v1(pixel_values, config.patch_size)  # [B, N, 588]
weight = trained.patch_embedding.weight  # [D, C, P, P]
bias = trained.patch_embedding.bias  # [D]
by_matrix = pixels_of_patches @ weight.flatten(1).T + bias  # [B, N, D]
print("filters", list(weight.shape), " patches", list(pixels_of_patches.shape))
print("vectors", list(by_matrix.shape))

# %% [markdown]
# `weight.flatten(1)` flattens each filter to a row of 588 numbers: channels first, then rows, then columns. That is the
# layout of our patches, and now you see why it had to be.
#
# The weights have the shape of a convolution's, because the model does this step with a convolution. A convolution slides each filter over
# the image, `stride` pixels at a time, and takes the weighted sum at each stop. If the stride equals the size of the filter, the
# stops do not overlap: they *are* the patches. So the convolution and the linear layer must give the same numbers.

# %%
by_convolution = trained.patch_embedding(pixel_values)  # [B, D, H/P, W/P]
print(list(by_convolution.shape))
by_convolution = by_convolution.flatten(2).transpose(1, 2)  # [B, N, D]
difference = (by_convolution - by_matrix).abs().max().item()
print("largest difference below 1e-4:", difference < 1e-4)
assert torch.allclose(by_convolution, by_matrix, atol=1e-4)

# %% [markdown]
# They do. The convolution returns a grid, with D before the two axes of the grid, so we flatten the grid and move D to the end. If you forget the `transpose`, you get a matrix of 192 rows, where each row belongs to a filter and not to a patch.
#
# What do the filters respond to? Here are the 40 strongest of the trained model, drawn as small images.

# %% mystnb={"image": {"alt": "Forty small colored squares. Many are smooth: a color on one side and its opposite on the other. Some are one color all over, a few have finer structure."}, "figure": {"caption": "Most filters are broad: a color against its opposite, left against right, top against bottom. Colors and edges are what tells the toys apart. Shown are the 40 filters with the largest weights, each scaled to its own range.", "name": "fig-ch02-filters"}} tags=["hide-input"]
strongest = weight.flatten(1).norm(dim=1).argsort(descending=True)[:40]
fig, axes = plt.subplots(4, 10, figsize=(7.4, 3.1), layout="constrained")
for ax, index in zip(axes.flat, strongest):
    filter_ = weight[index] / weight[index].abs().max()  # [C, P, P], -1..1
    ax.imshow((filter_ / 2 + 0.5).movedim(0, -1))
    ax.axis("off")
plt.show()

# %% [markdown]
# You can also see where in the image one filter responds. The slider goes through the 40 filters, the strongest first.

# %% tags=["hide-input", "nbval-ignore-output"]
from figures.filmstrip import filmstrip_html
from IPython.display import HTML


def show_filter(rank: int):
    """The image, the filter of that rank (1 is the strongest), and its response in each patch."""
    index = strongest[rank - 1]
    fig, axes = plt.subplots(1, 3, figsize=(7.4, 2.6), layout="constrained")
    axes[0].imshow(image)
    axes[1].imshow((weight[index] / weight[index].abs().max() / 2 + 0.5).movedim(0, -1))
    responses = by_matrix[0, :, index].reshape(8, 8)  # [H/P, W/P]
    largest = responses.abs().max()
    layer = axes[2].imshow(responses, cmap="RdBu_r", vmin=-largest, vmax=largest)
    for ax, title in zip(axes, ("image", f"filter of rank {rank}", "response")):
        ax.set(xticks=[], yticks=[], title=title)
    fig.colorbar(layer, ax=axes[2], shrink=0.8, label="weighted sum")
    plt.show()


HTML(
    filmstrip_html(
        show_filter,
        "An image, one filter, and the filter's response in each patch. Blue is a negative response: "
        "the patch resembles the opposite of the filter.",
        rank=range(1, 41),
    )
)

# %% [markdown]
# ## Position embeddings: where a patch was
#
# One thing is lost. Attention, which comes next, treats its input as a set: swap two rows, and the output has the
# same two rows swapped ({term}`attention` is *permutation-equivariant*). So nothing distinguishes "a cat on the left" from "a cat on the right". Each vector has to say where
# its patch was.
#
# SigLIP adds a {term}`position embedding` to the vector of each patch: a vector that belongs to that position and is learned like any other weight.
# There are N of them. Nothing tells the model that position 9 is below position 1: on our grid with 8 columns it is
# one row down, but the model sees 64 unrelated positions. Whatever it knows about the grid it has learned in training.
# Before you look: which positions will have similar vectors?

# %% mystnb={"image": {"alt": "An 8 by 8 arrangement of small 8 by 8 maps. In each map the position itself is brightest, and most maps show a vertical band around its column."}, "figure": {"caption": "The model was never told that there is a grid, and it has learned one. Each small map belongs to one position, and shows the similarity of its vector to the vectors of all 64 positions. Neighbors are alike, and most maps are vertical bands: these vectors differ far more from column to column than from row to row.", "name": "fig-ch02-positions"}} tags=["hide-input"]
positions = trained.position_embedding.weight  # [N, D]
centered = positions - positions.mean(0)  # without what all of them share
similarity = torch.cosine_similarity(centered[:, None], centered[None], dim=-1)  # [N, N]
fig, axes = plt.subplots(8, 8, figsize=(6.4, 6.4), layout="constrained")
for position, ax in enumerate(axes.flat):
    layer = ax.imshow(similarity[position].reshape(8, 8), cmap="cividis", vmin=-0.4, vmax=1)
    ax.set(xticks=[], yticks=[])
fig.supxlabel("column of the position")
fig.supylabel("row of the position")
fig.colorbar(layer, ax=axes, shrink=0.6, label="cosine similarity")
plt.show()

# %% [markdown]
# We can put a number on it: how similar are two positions in one row, or in one column, that are a given number of steps apart?

# %%
row, column = torch.arange(64) // 8, torch.arange(64) % 8  # each [N]
rows_apart = (row[:, None] - row).abs()  # [N, N]
columns_apart = (column[:, None] - column).abs()  # [N, N]
for distance in (1, 2, 4, 7):
    in_a_row = similarity[(rows_apart == 0) & (columns_apart == distance)].mean()
    in_a_column = similarity[(columns_apart == 0) & (rows_apart == distance)].mean()
    print(
        f"{distance} steps apart: mean similarity {in_a_row:+.2f} in a row, "
        f"{in_a_column:+.2f} in a column"
    )

# %% [markdown]
# The two directions differ, although nothing in the architecture favors one. This does not mean that the model cannot tell the rows apart: cosine similarity shows the largest components of a vector, and a weight matrix can pick out small ones.
#
# Learned positions have a price. The model has 64 of them and no more. A larger image, with more patches, has no vectors for its new
# positions. That is why PaliGemma comes in three sizes, 224, 448 and 896 pixels: three checkpoints, whose position embeddings were
# resized to the larger grid and trained further (arXiv 2407.07726 {cite}`beyer2024paligemma`, section 3.2). It is also why the processor resizes every image to the same square.
#
# ## The complete layer: `SiglipVisionEmbeddings`
#
# Put together, here is the package's first layer in full.


# %% tags=["from:vlm.siglip.SiglipVisionEmbeddings"]
class SiglipVisionEmbeddings(nn.Module):
    """Embed the patches of an image, and add a learned vector for each position."""

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        self.patch_embedding = nn.Conv2d(
            config.num_channels,
            config.hidden_size,
            kernel_size=config.patch_size,
            stride=config.patch_size,
        )
        self.position_embedding = nn.Embedding(config.num_image_tokens, config.hidden_size)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, N, D], patches in reading order."""
        patches = self.patch_embedding(pixel_values)  # [B, D, H/P, W/P]
        patches = patches.flatten(2).transpose(1, 2)  # [B, N, D]
        return patches + self.position_embedding.weight


# %% [markdown]
# Check it three times: against our own arithmetic, against the shipped model, and against the layer in Hugging Face's
# *transformers*, with the trained weights in all of them.

# %%
from transformers import SiglipVisionConfig as ReferenceConfig
from transformers.models.siglip import modeling_siglip

ours = SiglipVisionEmbeddings(config)
ours.load_state_dict(trained.state_dict())
vectors = ours(pixel_values)  # [B, N, D]
assert torch.allclose(vectors, by_matrix + positions, atol=1e-4)
assert torch.equal(vectors, trained(pixel_values))

reference_config = ReferenceConfig(hidden_size=192, image_size=112, patch_size=14)
reference = modeling_siglip.SiglipVisionEmbeddings(reference_config)
reference.load_state_dict(trained.state_dict())
difference = (reference(pixel_values) - vectors).abs().max().item()
assert difference < 1e-5
print("vectors", list(vectors.shape), " the reference agrees:", difference < 1e-5)

# %% [markdown]
# ## Exercises
#
# Open `exercises/ch02_patches.py`, write the four functions, and grade them here or in a terminal:
#
# ```text
# pytest exercises/test_ch02_patches.py
# ```
#
# Each exercise is graded on random images of several shapes, some of them not square. If your mistake is a common
# one, the table names it.
#
# ### `patchify` (2 points, 10 minutes)
#
# Turn images into patches, as in the section on cutting, but for any batch size, any number of channels, and any height and width that P divides.
# `unfold` is allowed; try it without.
#
# ```{literalinclude} ../exercises/ch02_patches.py
# :pyobject: patchify
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Write the shapes down first: what you have, what you want, and between them the shape with all six axes named.
# ```
# ```{admonition} Hint 2: which step
# :class: dropdown
# Split two axes with `reshape`, move axes with `permute`, join axes with a second `reshape`. Only the middle one changes the order.
# ```
# ```{admonition} Hint 3: almost the line
# :class: dropdown
# After the split the axes are B, C, row of patches, row inside, column of patches, column inside. You want B, row of patches,
# column of patches, C, row inside, column inside.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch02_patches.py
# :pyobject: patchify
# ```
# ````
#
# ### `unpatchify` (2 points, 10 minutes)
#
# Put the image together again from its patches. The function needs the height and width, since 12 patches may be 3 rows of 4 or 4 rows of 3.
#
# ```{literalinclude} ../exercises/ch02_patches.py
# :pyobject: unpatchify
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Go through `patchify` backward, one step at a time. The inverse of a split is a join; the inverse of a permutation is
# another permutation.
# ```
# ```{admonition} Hint 2: which step
# :class: dropdown
# Split the axis of patches into rows and columns, and the last axis into C, P and P. Where does each of the six axes have to go?
# ```
# ```{admonition} Hint 3: almost the line
# :class: dropdown
# You have [B, row, column, C, inside row, inside column], and want [B, C, row, inside row, column, inside column]. It is not the permutation of `patchify`, but its inverse.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch02_patches.py
# :pyobject: unpatchify
# ```
# ````
#
# ### `embed_patches` (2 points, 5 minutes)
#
# Compute one vector for each patch, without a convolution: PyTorch's convolutions raise an error in this exercise.
#
# ```{literalinclude} ../exercises/ch02_patches.py
# :pyobject: embed_patches
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# You have the patches from the first exercise. What shape must the filters have, so that one matrix product gives [B, N, D]?
# ```
# ```{admonition} Hint 2: almost the line
# :class: dropdown
# `weight.flatten(1)` is [D, C · P · P]. The product of the patches, [B, N, C · P · P], with the transpose of this matrix is [B, N, D].
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch02_patches.py
# :pyobject: embed_patches
# ```
# ````
#
# ### `patch_of_pixel` (1 point, 5 minutes)
#
# Find the patch that contains a given pixel. You need this whenever you want to know which {term}`image token` covers a certain pixel.
#
# ```{literalinclude} ../exercises/ch02_patches.py
# :pyobject: patch_of_pixel
# ```
#
# ```{admonition} Hint
# :class: dropdown
# First find the row and the column of the patch, by integer division. Then: how many patches are in the rows above it?
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch02_patches.py
# :pyobject: patch_of_pixel
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch02_patches")

# %% [markdown]
# ## Summary
#
# An image `[B, C, H, W]` becomes a sequence of vectors `[B, N, D]`. Splitting and joining axes keeps the numbers in their order; only a permutation changes it, and without it
# the patches are strips. A convolution whose stride equals its kernel size is a linear layer on patches, if filters and patches have the
# same layout. Each patch vector gets a learned position embedding, because attention cannot see order; the model has to
# learn the grid itself, and it does. In PaliGemma the same layer makes 256 vectors of 1,152 numbers from an image of 224 by 224 pixels.
#
# So far each vector knows only its own patch. In the next chapter they exchange information.
