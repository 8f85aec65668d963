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
# # Comparing layer by layer: how do you know that your model is right?
#
# Your model runs, and its captions are right. So is the model right? In chapter 13 a quarter of the tower could be lost, and most captions stayed right. A wrong formula can cost even less. And what costs little in a small model on easy images may cost a lot in a large one.
#
# There is a better question than "does it answer well?": does every layer give {term}`the same numbers as the reference <parity>` on the same input? That question has a yes-or-no answer, and if the answer is no, the comparison says where.
#
# At the end you will be able to
#
# - tell rounding error from a bug when two implementations differ;
# - compare two models module by module without changing either, and find the first module whose outputs differ;
# - choose test inputs that reveal a bug;
# - find and fix eight bugs that other people shipped.
#
# Time: about 75 minutes to read and run, and 70 for the ten exercises. Eight of them are the bug hunt at the end. This is what a bug looks like from the inside:

# %% mystnb={"image": {"alt": "Relative error on a logarithmic axis over 27 modules in the order in which they run. The right model is at zero in the tower and below one part in a million after it. With a larger eps the tower is at one part in a million. The other three bugs follow the right model through the tower and jump to between 0.01 and 1 in the language model's first layer: two at its attention, SiLU at its MLP."}, "figure": {"caption": "Each bug follows the right model up to the module that contains it; the right model has rounding errors and nothing else. Each curve: the relative error of each module's output against the reference, in the order in which the modules run (0 is drawn at 1e-8).", "name": "fig-ch14-goal"}} tags=["hide-input", "nbval-ignore-output"]
import re
from contextlib import ExitStack, nullcontext
from unittest.mock import patch

import matplotlib.pyplot as plt
import torch
from grader.places import EXERCISES
from grader.sandbox import load_file
from torch import Tensor, nn
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image
from transformers import PaliGemmaForConditionalGeneration as Reference
from transformers import logging
from vlm import gemma, paligemma, siglip
from vlm.checkpoints.layouts import canonical_name
from vlm.generate import generate
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor

torch.set_grad_enabled(False)  # nothing is trained in this chapter
logging.disable_progress_bar()

model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
reference = Reference.from_pretrained(CHECKPOINT_DIRECTORY, attn_implementation="eager").eval()
processor = PaliGemmaProcessor.for_model(model, tokenizer)
image = example_image(0)
BOXES = "<loc0109><loc0438><loc0415><loc0776> cat ; <loc0233><loc0101><loc0446><loc0289> bird"
batch = processor(
    ["caption en", "detect cat ; bird"], [example_image(1), image], suffix=["two dogs", BOXES]
)
LAYER_0 = "language_model.model.layers.0"
# The two programs use these in different ways; what they compute from them is compared.
NOT_COMPARED = ("embed_tokens", "position_embedding")


def record(network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each module's output, by its name in the package, in the order in which the modules run."""
    kept = {}

    def keep(name: str):
        def hook(_module, _args, output):
            output = output[0] if isinstance(output, tuple) else output
            if isinstance(output, Tensor):
                kept[name] = output

        return hook

    def keep_input(_module, args):
        kept[f"{LAYER_0} (in)"] = args[0]

    hooks = []
    for name, module in network.named_modules():
        hooks.append(module.register_forward_hook(keep(canonical_name(name) or name)))
        if canonical_name(name) == LAYER_0:
            hooks.append(module.register_forward_pre_hook(keep_input))
    network(**batch)
    for hook in hooks:
        hook.remove()
    return kept


def relative_error(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    if ours.shape != theirs.shape:
        return float("inf")
    if is_real is not None:
        ours, theirs = ours[is_real], theirs[is_real]
    error = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    return float("inf") if error != error else error  # only nan is unequal to itself


THEIRS = record(reference, batch)


def compare(
    batch: dict[str, Tensor] = batch, theirs: dict[str, Tensor] = THEIRS
) -> dict[str, float]:
    """The relative error of each module that both models have, in the reference's order."""
    ours = record(model, batch)
    is_real = batch["attention_mask"].bool()
    errors = {}
    for name in theirs:
        in_both = name in dict(model.named_modules()) or name.endswith("(in)")
        if not in_both or name.endswith(NOT_COMPARED):
            continue
        chosen = is_real if name.startswith("language_model") else None
        did_run = name in ours
        errors[name] = (
            relative_error(ours[name], theirs[name], chosen) if did_run else float("inf")
        )
    return errors


original_mask = paligemma.make_prefix_lm_mask


def angles_in_bfloat16(position_ids, head_dim, theta, dtype):
    exponents = torch.arange(0, head_dim, 2).bfloat16() / head_dim
    angles = position_ids[:, None, :, None].bfloat16() * theta**-exponents
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def silu_mlp(self, states):
    return self.down_proj(nn.functional.silu(self.gate_proj(states)) * self.up_proj(states))


def all_visible(attention_mask, token_type_ids, dtype):
    return original_mask(attention_mask, torch.zeros_like(token_type_ids), dtype)


def layer_norm_with_larger_eps(self, states):
    return nn.functional.layer_norm(states, self.normalized_shape, self.weight, self.bias, 1e-5)


BUGS = {
    "none": nullcontext(),
    "LayerNorm, eps 1e-5": patch.object(nn.LayerNorm, "forward", layer_norm_with_larger_eps),
    "RoPE angles in bfloat16": patch.object(gemma, "rotary_cos_sin", angles_in_bfloat16),
    "SiLU for GELU": patch.object(gemma.GemmaMLP, "forward", silu_mlp),
    "suffix attends to its future": patch.object(paligemma, "make_prefix_lm_mask", all_visible),
}
STYLES = (
    ("#000000", "-"),
    ("#0072B2", "--"),
    ("#D55E00", "-."),
    ("#009E73", ":"),
    ("#CC79A7", (0, (5, 1, 1, 1, 1, 1))),
)
SHOWN = (
    "self_attn",
    "mlp",
    "post_layernorm",
    "multi_modal_projector",
    "norm",
    "0",
    "1",
    "2",
    "3",
)


def short(name: str) -> str:
    name = name.replace("language_model.model.", "").replace("vision_tower.vision_model.", "")
    return name.replace("encoder.layers", "tower").replace("multi_modal_", "")


def plot_errors(ax, errors: dict[str, float], label: str, color: str = "#000000", style="-"):
    shown = {name: error for name, error in errors.items() if name.split(".")[-1] in SHOWN}
    heights = [min(max(error, 1e-8), 10) for error in shown.values()]
    ax.semilogy(heights, color=color, linestyle=style, label=label)
    names = [short(name) for name in shown]
    ax.set_xticks(range(len(names)), names, rotation=90, fontsize=7)


fig, ax = plt.subplots(figsize=(7.8, 4.4), layout="constrained")
for bug, (color, style) in zip(BUGS, STYLES):
    with BUGS[bug]:
        plot_errors(ax, compare(), bug, color, style)
ax.set(xlabel="module", ylabel="relative error")
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# All four bugs in the figure have been in public code (the numbers are those of issues and pull requests on GitHub). An eps of 10⁻⁵ instead of 10⁻⁶: candle 271, in Llama's norm. RoPE angles in 16 bits: *transformers* 29285. SiLU in a Gemma model: candle 3745. A suffix that attends to its own future: *transformers* 30918, in PaliGemma's first weeks. Answers did not reveal them at once. Can you see them here?

# %%
for bug in BUGS:
    with BUGS[bug]:
        [text] = generate(model, processor, "caption en", image, max_new_tokens=12)
        [boxes] = generate(model, processor, "detect cat", image, max_new_tokens=20)
    numbers = " ".join(re.findall(r"\d+", boxes))
    print(f"{bug}: {text}\n    {numbers}")

# %% [markdown]
# Hardly: the captions are all right, and where location tokens differ, they differ by little.
#
# ## Relative error: one number per layer
#
# Two results are rarely equal to the last bit. Floating-point numbers are rounded after each operation, and two programs that add the same numbers in a different order round differently. A float32 has 24 significant bits, so one rounding changes a number by a factor of at most 1 ± 2⁻²⁴, an error of 6 · 10⁻⁸.

# %%
large, small = torch.tensor(1e8), torch.tensor(1.0)
print("(large + small) - large =", ((large + small) - large).item())
print("(large - large) + small =", ((large - large) + small).item())

# %% [markdown]
# So the question is how *large* a difference is. Compared with what? The outputs of the last MLP in this model have entries up to 84, those of its first norm up to 5. A difference of 10⁻⁵ does not mean the same in both. So divide by the size of the reference: the relative error is the largest absolute difference over the largest absolute value. We take the largest difference and not the mean, because a mask may be wrong for one token in a hundred, and that must show too.
#
# By hand: ours [1, 2], theirs [1, 4]. The largest difference is 2, the largest value 4, and the error 0.5.

# %%
right = torch.tensor([1.0, 4.0])
assert relative_error(torch.tensor([1.0, 2.0]), right) == 0.5
assert relative_error(torch.tensor([1.0, torch.nan]), right) == float("inf")
assert relative_error(torch.zeros(1, 3), torch.zeros(2, 3)) == float("inf")

# %% [markdown]
# The last two lines matter. `nan > x` is false for every x, so a NaN passes any test of the form "error above the tolerance?". And tensors of shapes [1, 3] and [2, 3] can be subtracted, because PyTorch broadcasts them.
#
# ## Forward hooks: reading every module's output
#
# You need the output of every module, in both models, without changing either. PyTorch lets you register a {term}`hook` on a module: a function that is called with the module's output each time the module has run.

# %%
kept = []
hook = model.vision_tower.vision_model.post_layernorm.register_forward_hook(
    lambda _module, _args, output: kept.append(output)
)
model.get_image_features(batch["pixel_values"])
hook.remove()
print("what left the tower:", list(kept[0].shape))

# %% [markdown]
# `record`, in the first (folded) cell of this page, registers a hook on every module. The modules of the two models have nearly the same names, because both follow the published checkpoint. They differ only where the layout of today's *transformers* does, and `canonical_name` from chapter 13 translates the names of modules as well as those of tensors.
#
# ## The table of errors, and its first mismatch
#
# Compare every module that both models have, in the order in which the modules run; `print_table` shows the rows around the first mismatch. Padded positions are left out: no real token attends to them, so their values do not matter. Errors below 10⁻⁵ are shown as "ok". Why 10⁻⁵? The right model's errors stay below about 10⁻⁶ (the black line above), and three of the four bugs rise above 10⁻². The tolerance lies between the two. The fourth bug stays below it; we come back to it.

# %%
TOLERANCE = 1e-5


def print_table(errors: dict[str, float], rows: int = 12):
    """The modules around the first mismatch, with their errors."""
    names = list(errors)
    first = next((i for i, name in enumerate(names) if errors[name] > TOLERANCE), None)
    if first is None:
        print(f"all {len(names)} modules agree")
        return
    for name in names[max(first - 3, 0) : max(first - 3, 0) + rows]:
        mark = "ok" if errors[name] <= TOLERANCE else f"{errors[name]:.0e}"
        print(f"{mark:>6}  {short(name)}")


print_table(compare())

# %% [markdown]
# They all agree. This is the evidence that the earlier chapters promised: not only the logits match, but every layer does. (*Which* input we used matters, as you will see.)
#
# Now with one of the bugs. SiLU replaces GELU in all four MLPs of the language model. Guess first: where is the first mismatch, and what is the error of the norm that comes right after it?

# %%
with BUGS["SiLU for GELU"]:
    print_table(compare())

# %% [markdown]
# Everything before the MLP is right, and so are its `gate_proj` and `up_proj`. `down_proj` is the first mismatch. Its weights are right, since both programs read them from the same file, strictly. So its *input* is wrong, and a single line of code computes that input from the outputs of the other two. The next norm is wrong as well: a norm hides a wrong length, but not a wrong direction.
#
# So the first mismatch is not always where the bug is. An RMSNorm divides a vector by its root mean square. If a bug makes a vector ten times too long, the output of the next norm is still right, and so is everything computed from that output; the error shows only where the vector itself is used again, at the residual connection. Remember this when you hunt.
#
# ## Which inputs reveal a bug?
#
# A comparison only says something about the input it was made with. Some bugs cannot show on some inputs. Take four inputs, and a fifth bug, *visible padding*. For each pair of a bug and an input, is there a mismatch at all? Guess: which of the bugs would you find with a single prompt, the input that everybody starts with?


# %%
def prepare(texts: list[str], suffix: list[str] | None = None) -> dict[str, Tensor]:
    inputs = processor(texts, [image] * len(texts), suffix=suffix)
    return {"token_type_ids": torch.zeros_like(inputs["input_ids"])} | inputs


def ignore_padding(attention_mask, token_type_ids, dtype):
    return original_mask(torch.ones_like(attention_mask), token_type_ids, dtype)


BUGS["visible padding"] = patch.object(paligemma, "make_prefix_lm_mask", ignore_padding)
INPUTS = {
    "a prompt": prepare(["caption en"]),
    "and answer": prepare(["caption en"], ["two cats"]),
    "two prompts": prepare(["caption en", "detect cat ; bird"]),
    "and answers": prepare(["caption en", "detect cat ; bird"], ["two cats", BOXES]),
}

# %%
print(" " * 30 + "".join(f"{name:>13}" for name in INPUTS))
for bug, planted in BUGS.items():
    seen = []
    for inputs in INPUTS.values():
        theirs = record(reference, inputs)
        with planted:
            worst = max(compare(inputs, theirs).values())
        seen.append("mismatch" if worst > TOLERANCE else "-")
    print(f"{bug:30}" + "".join(f"{word:>13}" for word in seen))

# %% [markdown]
# A single prompt finds two of the five. To see a suffix that attends to its future, you need a suffix. To see visible padding, you need two prompts of different lengths. That is how the masks of PaliGemma's first release could be wrong: for a single prompt, a mask that hides nothing is the right mask. Other bugs need other conditions: two key/value heads, because with one it makes no difference how heads are shared; norm weights that are not 0; large positions, for the RoPE angles.
#
# You can try this with your own inputs. The figure plants one or several of the bugs that people shipped. Both models are fed the right model's answer, and the bars are the relative errors of the buggy model's modules (here with the Euclidean norm over all positions instead of the maximum). There is no rounding noise: both models compute in the same order, so before the bug the error is exactly 0. Guess first:
#
# 1. Which bugs leave a caption unchanged, although the bars say that the model is wrong?
# 2. *Padding visible*: what will the bars show without padding, and what with 8 pads before the image?
# 3. Two bugs at once, such as the causal prefix and the exact GELU: can you tell from the bars that there are two?
#
# <div class="live-figure" data-figure="break-it" data-tasks="caption detect segment count">
# <p>This figure needs JavaScript. The cells of this chapter compare the models in Python. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("break-it", tasks="caption detect segment count")

# %% [markdown]
# 1. At least the exact GELU, SiLU and the shifted image features: on 16 scenes, no caption changed. With the last two, boxes did.
# 2. Without padding, nothing at all. There is no padding to attend to, so the two models compute the same, and all errors are 0. With pads, the bars grow at once. A comparison on one prompt would have called this model right.
# 3. No. Everything after the first mismatch is already wrong, and the second bug hides in the error of the first. You find it when you have fixed the first and compare again. The hunt below works the same way.
#
# The eps of LayerNorm never shows as a mismatch. The tower's vectors have entries up to 100, and compared with their variance it makes no difference whether you add 10⁻⁶ or 10⁻⁵. Is it a bug at all? For a vector of small variance the error is large:

# %%
norm = model.vision_tower.vision_model.encoder.layers[0].layer_norm1
torch.manual_seed(0)
states = torch.randn(4, 192)
for scale in (10, 1e-1, 1e-3):
    right = norm(scale * states)
    with BUGS["LayerNorm, eps 1e-5"]:
        wrong = norm(scale * states)
    print(f"entries of about {scale:6}: error {relative_error(wrong, right):.0e}")

# %% [markdown]
# There are two ways to catch such bugs. Test the part alone, on deliberately hard inputs, as this course's graders do. Or lower the noise: in float64 the rounding error is about 10⁻¹⁶, so a difference of 10⁻⁶ stands out.

# %%
model.double()
reference.double()
precise = {
    name: tensor.double() if tensor.is_floating_point() else tensor
    for name, tensor in batch.items()
}
theirs = record(reference, precise)
for bug in ("none", "LayerNorm, eps 1e-5"):
    with BUGS[bug]:
        errors = compare(precise, theirs)
    worst = max(error for name, error in errors.items() if "vision" in name)
    print(f"{bug:20} the tower's largest error is above 1e-12: {worst > 1e-12}")
model.float()
_ = reference.float()

# %% [markdown]
# Without the noise the wrong eps stands out, in the tower.[^ch14-1]
#
# ## Bug hunt: find and fix eight bugs
#
# The file `exercises/ch14_proving.py` contains eight parts of a PaliGemma, each with a bug that was once shipped. The next cells put the parts of the file in place of the package's own and print the table. Begin at the top of the table: find the first mismatch, find its cause, fix it in the file, and run the cells again from here. Then the next bug shows up further down; three of them, 5, 6 and 8, show up together. This is how such bugs are found in real projects.
#
# [^ch14-1]: Gemma's part stays at 10⁻⁷ even so, in both programs, because its norms and its softmax compute in float32 whatever the dtype of their input.


# %% tags=["hide-input"]
def put_in_place(parts) -> list:
    """The patches that make the package run with the functions of a file."""
    return [
        patch.object(
            siglip.SiglipVisionTransformer,
            "forward",
            lambda self, pixels: parts.finish_tower(
                self.encoder(self.embeddings(pixels)), self.post_layernorm
            ),
        ),
        patch.object(
            paligemma.PaliGemmaMultiModalProjector,
            "forward",
            lambda self, states: parts.project_image(states, self.linear),
        ),
        patch.object(
            gemma.GemmaModel,
            "embed",
            lambda self, input_ids: parts.embed_text(input_ids, self.embed_tokens),
        ),
        patch.object(
            gemma.GemmaRMSNorm,
            "forward",
            lambda self, states: parts.rms_norm(states, self.weight, self.eps),
        ),
        patch.object(gemma, "apply_rotary_pos_emb", parts.rotate),
        patch.object(gemma, "repeat_kv", parts.share_heads),
        patch.object(
            gemma.GemmaMLP,
            "forward",
            lambda self, states: parts.gated_mlp(
                states, self.gate_proj, self.up_proj, self.down_proj
            ),
        ),
        patch.object(paligemma, "make_prefix_lm_mask", parts.make_mask),
    ]


def compare_file() -> dict[str, float]:
    """The errors of the exercise file as it is now."""
    with ExitStack() as stack:
        for change in put_in_place(load_file(EXERCISES / "ch14_proving.py", "parts")):
            stack.enter_context(change)
        return compare()


# %% tags=["nbval-ignore-output"]
print_table(compare_file())

# %% [markdown]
# In the file as it is shipped, the first mismatch is a module that did not run at all: its error is infinite. When the table says that all modules agree, you have found all eight bugs. The whole curve helps too:

# %% mystnb={"image": {"alt": "Relative error on a logarithmic axis over the modules, for the file with its eight bugs: right up to the tower's last block, and between 0.1 and 10 from there on."}, "figure": {"caption": "The exercise file as it is shipped, with all eight bugs, is right up to the tower's last block and wrong from there on. Relative error by module; the axis ends at 10, which stands for everything above it. Run the cell again after each fix.", "name": "fig-ch14-hunt"}} tags=["hide-input", "nbval-ignore-output"]
fig, ax = plt.subplots(figsize=(7.6, 3.8), layout="constrained")
plot_errors(ax, compare_file(), "your file", "#D55E00", "--")
plot_errors(ax, compare(), "right", "#000000", "-")
ax.set(xlabel="module", ylabel="relative error")
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# You can also plant one of this page's own bugs, and look at its curve.

# %% tags=["hide-input", "nbval-ignore-output"]
from figures.filmstrip import filmstrip_html
from IPython.display import HTML


def show_bug(bug: str):
    """Plot the errors of one bug."""
    _fig, ax = plt.subplots(figsize=(7.6, 3.8), layout="constrained")
    with BUGS[bug]:
        plot_errors(ax, compare(), bug)
    ax.set(xlabel="module", ylabel="relative error", ylim=(1e-8, 10))
    plt.show()


HTML(
    filmstrip_html(
        show_bug,
        "With one bug planted, modules before it are right and modules after it are wrong. The curve is the relative error by module.",
        bug=list(BUGS),
    )
)

# %% [markdown]
# ## Exercises
#
# Open `exercises/ch14_proving.py`. You write the first two functions from scratch (`relative_error` is in the first, folded cell of this page: leave it folded); the other eight you fix. Grade them with the cell below or in a terminal:
#
# ```text
# pytest exercises/test_ch14_proving.py
# ```
#
# The graders test each part alone, on deliberately hard inputs. So they also find what the table cannot, a wrong eps for example. The table, on the other hand, only sees modules that are called: if you write a norm out by hand, it passes the grader, but the table still shows an infinite error.
#
# ### `relative_error` (1 point, 10 minutes)
#
# Compute the relative error of a result, as defined above.
#
# ```{literalinclude} ../exercises/ch14_proving.py
# :pyobject: relative_error
# ```
#
# ```{admonition} Hint
# :class: dropdown
# In this order: shapes; real tokens; NaN; the quotient. `ours[is_real]` selects the positions where a boolean mask is true, whatever comes after the first two dimensions.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch14_proving.py
# :pyobject: relative_error
# ```
# ````
#
# ### `first_mismatch` (1 point, 5 minutes)
#
# Return the name of the first layer whose error is above the tolerance: the first mismatch.
#
# ```{literalinclude} ../exercises/ch14_proving.py
# :pyobject: first_mismatch
# ```
#
# ```{admonition} Hint
# :class: dropdown
# A dict keeps the order in which it was filled. `for name, error in errors.items()` iterates in that order.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch14_proving.py
# :pyobject: first_mismatch
# ```
# ````
#
# ### Bug 1, `finish_tower` (1 point, 5 minutes)
#
# ```{literalinclude} ../exercises/ch14_proving.py
# :pyobject: finish_tower
# ```
#
# ```{admonition} Hint
# :class: dropdown
# One of the function's arguments is never used.
# ```
# ````{admonition} Solution, and where the bug was
# :class: dropdown
# The last norm was created but never called, in the vision tower of mlc-llm (pull request 3456). The opposite exists too, in models that need the vectors from *before* that norm (vLLM, pull request 8106).
# ```{literalinclude} ../solutions/ch14_proving.py
# :pyobject: finish_tower
# ```
# ````
#
# ### Bug 2, `project_image` (1 point, 5 minutes)
#
# ```{literalinclude} ../exercises/ch14_proving.py
# :pyobject: project_image
# ```
#
# ```{admonition} Hint
# :class: dropdown
# Which embeddings are scaled, those of the text or those of the image? See the section on scaling by √D in chapter 9.
# ```
# ````{admonition} Solution, and where the bug was
# :class: dropdown
# vLLM, issue 52667 (August 2026). Gemma's code once scaled all of its inputs by √D, and PaliGemma's divided the image features by it beforehand. Then the scaling moved to the text embeddings, and the division was forgotten: with D = 2,048 the image features were 45 times too small. The model still produced text.
# ```{literalinclude} ../solutions/ch14_proving.py
# :pyobject: project_image
# ```
# ````
#
# ### Bug 3, `embed_text` (1 point, 5 minutes)
#
# ```{literalinclude} ../exercises/ch14_proving.py
# :pyobject: embed_text
# ```
#
# ```{admonition} Hint
# :class: dropdown
# The table shows "layers.0 (in)", the input of the first layer. How many times too large are the text embeddings in it? (The norm that follows hides the mistake.)
# ```
# ````{admonition} Solution, and where the bug was
# :class: dropdown
# OpenTau, pull request 179 (April 2026): a model that scaled its text embeddings by hand was moved to a library whose embedding layer already scales them. They were 51 times too large next to the image features.
# ```{literalinclude} ../solutions/ch14_proving.py
# :pyobject: embed_text
# ```
# ````
#
# ### Bug 4, `rms_norm` (1 point, 5 minutes)
#
# ```{literalinclude} ../exercises/ch14_proving.py
# :pyobject: rms_norm
# ```
#
# ```{admonition} Hint
# :class: dropdown
# Gemma does not store the factor itself. See chapter 6.
# ```
# ````{admonition} Solution, and where the bug was
# :class: dropdown
# Liger-Kernel, issue 74 (August 2024): Gemma models got Llama's norm. The reverse exists too: files whose norm weights already include the 1, read by code that adds it again (utensils/mold, issue 1074).
# ```{literalinclude} ../solutions/ch14_proving.py
# :pyobject: rms_norm
# ```
# ````
#
# ### Bug 5, `rotate` (1 point, 10 minutes)
#
# ```{literalinclude} ../exercises/ch14_proving.py
# :pyobject: rotate
# ```
#
# ```{admonition} Hint 1: where to look
# :class: dropdown
# The outputs of `q_proj`, `k_proj` and `v_proj` agree, that of `o_proj` does not. Three functions of the file affect the input of `o_proj`: `rotate`, `share_heads` and `make_mask`. Fix all three before you judge by the table. While one of them is still wrong, a correct fix of another may leave this error unchanged or even increase it; each grader tests its part alone and tells you. The first mismatch moves on when all three are right.
# ```
# ```{admonition} Hint 2
# :class: dropdown
# Which entry is the partner of entry 0? See chapter 7.
# ```
# ````{admonition} Solution, and where the bug was
# :class: dropdown
# AiDotNet, pull request 2074 (August 2026): the weights were stored for pairs of entries i and i + E/2, the code rotated neighboring entries, and every model of the Llama family was silently wrong.
# ```{literalinclude} ../solutions/ch14_proving.py
# :pyobject: rotate
# ```
# ````
#
# ### Bug 6, `share_heads` (1 point, 5 minutes)
#
# ```{literalinclude} ../exercises/ch14_proving.py
# :pyobject: share_heads
# ```
#
# ```{admonition} Hint
# :class: dropdown
# With two key/value heads and two query heads per group, which key/value head should query head 1 use?
# ```
# ````{admonition} Solution, and where the bug was
# :class: dropdown
# jax-js, pull request 180 (August 2026): heads were tiled instead of repeated. With one key/value head, as in PaliGemma 3B, the two are the same, so no test of that model could have found the bug.
# ```{literalinclude} ../solutions/ch14_proving.py
# :pyobject: share_heads
# ```
# ````
#
# ### Bug 7, `gated_mlp` (1 point, 10 minutes)
#
# ```{literalinclude} ../exercises/ch14_proving.py
# :pyobject: gated_mlp
# ```
#
# ```{admonition} Hint
# :class: dropdown
# There are two GELUs, and an argument of `torch.nn.functional.gelu` chooses between them.
# ```
# ````{admonition} Solution, and where the bug was
# :class: dropdown
# The first releases of Gemma in *transformers* (pull request 29402) and in Google's own PyTorch code (gemma_pytorch, 37), March 2024. The difference is small.
# ```{literalinclude} ../solutions/ch14_proving.py
# :pyobject: gated_mlp
# ```
# ````
#
# ### Bug 8, `make_mask` (1 point, 10 minutes)
#
# ```{literalinclude} ../exercises/ch14_proving.py
# :pyobject: make_mask
# ```
#
# ```{admonition} Hint
# :class: dropdown
# Only rows with padding are wrong. Which `token_type_ids` does padding have? In which order are the two rules applied?
# ```
# ````{admonition} Solution, and where the bug was
# :class: dropdown
# *transformers* 4.48, issue 35855 (January 2025): in training, padding was masked first, and then the whole prefix was unmasked again, padding included.
# ```{literalinclude} ../solutions/ch14_proving.py
# :pyobject: make_mask
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch14_proving")

# %% [markdown]
# ## Summary
#
# Answers cannot show that a model is right. A layer-by-layer comparison with a reference can, for the inputs that you compare. In float32, rounding errors are about 10⁻⁷ of a layer's size, and most bugs cause errors at least a thousand times larger. Hooks read every module's output without changing the model. The first mismatch says where to look, though a norm may hide a bug for a few modules. The input must be able to reveal the bug: use answers, padding and two key/value heads. A bug that no input of the whole model reveals shows in a test of the part alone.
#
# You have now written every part of a PaliGemma, and you know how to check it. The {doc}`next page <bugs_in_the_wild>` shows what such bugs did to models that were already in use. Then, in the {doc}`capstone <capstone>`, you put your own parts together, and your model answers as the package does.
