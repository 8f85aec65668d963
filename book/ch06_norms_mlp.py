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
# # RMSNorm and the gated MLP: what happens to a single vector?
#
# The language model gets a list of vectors: 64 that come from patches, and a handful that come from the tokens of the prompt. From here on they are all
# treated alike. Each of Gemma's {term}`blocks <block>` does two things with them. First the positions exchange information in the attention, as the patches did in the tower.
# Then an {term}`MLP` processes each vector on its own. Attention comes in the next two chapters. This one is about a single vector: how a norm keeps it
# at a size that the layers can work with, and what the MLP computes from it.
#
# At the end you will be able to
#
# - say what RMSNorm divides by, and why the residual stream needs it;
# - explain why Gemma's checkpoints store how far a norm's scale is from one, and what happens if you forget it;
# - read a gate of the MLP: which patches open it, which close it;
# - write `GemmaRMSNorm` and `GemmaMLP` as in the package, and check them against the reference.
#
# Time: about 45 minutes to read and run, and 40 for the four exercises. The figure shows what we look for: single numbers out of thousands inside the trained model, and where in the
# scene they are large.

# %% mystnb={"image": {"alt": "Two rows, each with the toy scene and three maps of its patches. In the upper row, with the prompt caption en, the patches of the two birds are bright in the first map, those of the two cats in the second, the grass in the third. In the lower row, with the prompt detect cat ; bird, the first two maps are dark, and the third nearly so."}, "figure": {"caption": "Single gates respond to single kinds of things. Three gates of the language model, out of 1,536, and the patches for which they open: with the prompt “caption en” one opens for birds, one for cats, one for the grass. With a prompt that asks for boxes, the first two stay shut on the same image, and the third nearly so. We chose the gates on other scenes, further below.", "name": "fig-ch06-goal"}} tags=["hide-input"]
import math

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image
from toybox.scenes import draw_scene
from vlm.config import GemmaConfig
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor
from vlm.regions.draw import draw_patch_values

torch.set_grad_enabled(False)  # nothing is trained in this chapter

model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
config = model.config.text_config
N = model.config.vision_config.num_image_tokens
processor = PaliGemmaProcessor.for_model(model, tokenizer)
layers = model.language_model.model.layers
image = example_image(0)
inputs = processor(["detect cat ; bird"], [image])


def record(modules: list[nn.Module], **inputs: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Run the model. For each module, return its input and its output, without the batch axis."""
    kept = {}
    hooks = [
        module.register_forward_hook(
            lambda module, args, output: kept.update({module: (args[0][0], output[0])})
        )
        for module in modules
    ]
    model(**inputs)
    for hook in hooks:
        hook.remove()
    return [kept[module] for module in modules]


def open_gates(**inputs: Tensor) -> Tensor:
    """Opening of each gate of each layer, at each patch: [layers, N, F]."""
    recorded = record([layer.mlp.gate_proj for layer in layers], **inputs)
    return torch.stack([nn.functional.gelu(out[:N], approximate="tanh") for _, out in recorded])


def labels_of_patches(scene) -> list[str]:
    """For each of the N patches, the label of the toy at its center, or "ground"."""
    labels = []
    for patch in range(N):
        y, x = divmod(patch, 8)
        labels.append("ground")
        for thing in scene.objects:
            top, left, bottom, right = thing.box
            if top <= y * 14 + 7 < bottom and left <= x * 14 + 7 < right:
                labels[-1] = thing.label
    return labels


scenes = [draw_scene(seed, "test") for seed in range(100, 400)]
scenes = [scene for scene in scenes if {"cat", "bird"} & {t.label for t in scene.objects}][:40]
gates_of_scene = torch.cat(
    [open_gates(**processor(["caption en"], [scene.image])) for scene in scenes], dim=1
)  # [layers, 40 * N, F]
under_patch = [label for scene in scenes for label in labels_of_patches(scene)]


def best_gate(kind: str) -> tuple[int, int]:
    """The gate, as (layer, unit), that best separates the patches of one kind from the rest."""
    chosen = torch.tensor([label == kind for label in under_patch])
    difference = gates_of_scene[:, chosen].mean(1) - gates_of_scene[:, ~chosen].mean(1)
    separation = difference / (gates_of_scene.std(1) + 0.3)  # [layers, F]
    layer, unit = divmod(int(separation.argmax()), separation.shape[1])
    return layer, unit


prompts = ("caption en", "detect cat ; bird")
fig, axes = plt.subplots(2, 4, figsize=(8, 4.3), layout="constrained")
for row, prompt in zip(axes, prompts):
    gates = open_gates(**processor([prompt], [image]))  # [layers, N, F]
    row[0].imshow(image)
    row[0].set(xticks=[], yticks=[], title=f"“{prompt}”")
    for ax, kind in zip(row[1:], ("bird", "cat", "ground")):
        layer, unit = best_gate(kind)
        drawn = draw_patch_values(image, gates[layer, :, unit].clamp(min=0), ax, vmax=3)
        ax.set_title(f"layer {layer}, gate {unit}", fontsize=10)
fig.colorbar(drawn, ax=axes, label="opening of the gate", shrink=0.7)
plt.show()

# %% [markdown]
# ## The residual stream grows
#
# A block never replaces a vector, it adds to it, as in the tower. So a vector is a running sum, the {term}`residual stream`: the vector that came in, plus what each attention and each MLP has added.

# %% tags=["hide-input"]
from figures.schematics.block import draw_block
from IPython.display import HTML

drawing = draw_block(config)
HTML(
    drawing.html(
        "A block never replaces a vector: the residual stream is the straight line, and "
        "attention and MLP only add to it. Each of the two reads the stream through a "
        "norm of its own. This chapter builds everything here except the attention."
    )
)

# %% [markdown]
# Such a sum tends to grow. How large is a vector? We measure its size by the *root mean square* (RMS): square all entries, take the mean, take the root. It says how large a typical entry is, however many entries there are. By hand, for four entries:

# %%
vector = torch.tensor([3.0, 4.0, 0.0, 0.0])
by_hand = math.sqrt((9 + 16 + 0 + 0) / 4)
root_mean_square = vector.square().mean().sqrt()
assert root_mean_square == by_hand
print(by_hand)

# %% [markdown]
# Now the trained model. Each of its four blocks has two norms, one before the attention and one before the MLP, and there is one more
# at the very end. The input of these nine norms is the residual stream. Before you look: what should their output look like?

# %% mystnb={"image": {"alt": "Line chart over the nine norms. The input's root mean square grows from about 2 to more than 5 for patches and from 1.6 to more than 7 for text tokens. The output's stays near 1, and near 2 at the last norm."}, "figure": {"caption": "The residual stream grows from norm to norm; what comes out of a norm has nearly the same size everywhere, for patches and for text. Root mean square of the vectors before and after each of the nine norms, averaged over the 64 patches and over the text tokens of the prompt. The last norm is the one before the logits.", "name": "fig-ch06-sizes"}} tags=["hide-input"]
norms = [
    norm for layer in layers for norm in (layer.input_layernorm, layer.post_attention_layernorm)
]
norms.append(model.language_model.model.norm)
recorded = record(norms, **inputs)
names = [f"{number}\n{step}" for number in range(4) for step in ("attn", "MLP")] + ["final\n"]


def sizes(states: Tensor) -> tuple[float, float]:
    """Mean RMS of the vectors of patches, and of text tokens."""
    size = states.square().mean(-1).sqrt()
    return size[:N].mean().item(), size[N:].mean().item()


fig, ax = plt.subplots(figsize=(6.8, 3.2), layout="constrained")
for index, (kind, color) in enumerate((("patches", "#0072B2"), ("text", "#D55E00"))):
    ax.plot(
        names,
        [sizes(before)[index] for before, _ in recorded],
        color=color,
        marker="o",
        label=f"{kind}, before",
    )
    ax.plot(
        names,
        [sizes(after)[index] for _, after in recorded],
        color=color,
        marker="s",
        linestyle="--",
        label=f"{kind}, after",
    )
ax.set(xlabel="layer and norm", ylabel="root mean square", ylim=(0, None))
ax.legend(fontsize=9)
plt.show()

# %% [markdown]
# Without norms each layer would have to cope with vectors of every size, and a training step that makes one layer's output
# larger would change the input scale of all layers above it. With them, each layer gets vectors of a familiar size.
#
# ## RMSNorm
#
# The tower's LayerNorm first subtracts the mean of the entries, then divides by their standard deviation. {term}`RMSNorm` (arXiv 1910.07467 {cite}`zhang2019root`) leaves out the
# subtraction and divides by the root mean square. Does that hurt? Measure what would have been subtracted.

# %%
before, _ = recorded[4]  # the residual stream at the input of layer 2
ratio = before.mean(-1).abs() / before.square().mean(-1).sqrt()
print(f"|mean of the entries| / root mean square: {ratio.mean():.2f} on average")
assert ratio.mean() < 0.2

# %% [markdown]
# The mean is small compared with the RMS, so subtracting it would change little, and the paper found that translation models do as well without it. What is saved is one pass over
# the entries.
#
# The first version is one line.


# %%
def rms_norm_v1(states: Tensor) -> Tensor:
    return states / states.square().mean(-1, keepdim=True).sqrt()


print([round(x, 2) for x in rms_norm_v1(vector).tolist()])
print(rms_norm_v1(torch.zeros(4)).tolist())

# %% [markdown]
# The zero vector breaks it: 0 / 0. So a tiny number `eps` is added under the root. With 1e-6 a vector of ordinary size is
# not affected. A vector with an RMS of 0.001 is: its mean square is 1e-6 too, so it comes out at 1/√2 of the size that it would
# have had.
#
# $$\operatorname{RMSNorm}(x) = \frac{x}{\sqrt{\frac{1}{D} \sum_{d=1}^{D} x_d^2 + \epsilon}}$$
#
# ## Why Gemma's norm multiplies by 1 + weight
#
# Dividing a whole vector by one number treats all its entries alike. So each entry also gets a learned scale
# of its own, with which the model can emphasize some entries and mute others. LayerNorm multiplies by a weight that starts at one. Gemma's norm multiplies by *one plus* a weight that starts at zero. On paper it is the same.
# It is not the same in training: {term}`weight decay`, where it is applied to norms, pulls all weights a little toward zero at each step, and here zero is
# the harmless value, a scale of one. And it is not the same in a checkpoint: the file holds the weights, and the code that
# loads them must add the one. So Gemma's norm computes $\operatorname{RMSNorm}(x) \odot (1 + w)$, where $w$ is what the file holds.

# %% mystnb={"image": {"alt": "Nine dots with bars. The mean scale of the norms in the blocks lies between 0.9 and 1.3, that of the last norm near 1.9, with single entries up to 2.9."}, "figure": {"caption": "The scales (1 + weight) have stayed near one, except in the last norm, whose larger scales make the logits larger and the predictions more confident. Dots: mean over the 128 entries of each of the nine trained norms. Bars: smallest and largest entry.", "name": "fig-ch06-scales"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.8, 2.8), layout="constrained")
scales = torch.stack([1 + norm.weight for norm in norms])  # [9, D]
middle, low, high = scales.mean(1), scales.amin(1), scales.amax(1)
ax.errorbar(
    names,
    middle,
    yerr=torch.stack([middle - low, high - middle]),
    fmt="o",
    capsize=3,
    color="#0072B2",
)
ax.axhline(1, color="#666666", linewidth=1)
ax.set(xlabel="layer and norm", ylabel="1 + weight", ylim=(0, None))
plt.show()

# %% [markdown]
# What happens if you forget the one? No error is raised: the shapes fit. Let us try it on the shipped model, and let it describe the image.

# %%
from vlm.generate import generate

print("with 1 + weight:", generate(model, processor, "caption en", image)[0])
for norm in norms:
    norm.weight -= 1  # now 1 + weight is the old weight
[caption] = generate(model, processor, "caption en", image, max_new_tokens=8)
print("with weight alone:", repr(caption))
for norm in norms:
    norm.weight += 1

# %% [markdown]
# Llama's norm {cite}`touvron2023llama` multiplies by the weight itself, Gemma's by one plus the weight. If you load Gemma's weights into code written for Llama, you get this.
#
# Llama and Gemma differ in one more detail. Both divide in float32, because in bfloat16 a mean of many squares loses its last digits. ({term}`bfloat16` is a 16-bit number format: it has the range of float32, but only 8 significant binary digits {cite}`kalamkar2019study`.) Then the result is cast back to bfloat16. Llama casts first and scales
# afterward. Gemma scales in float32 and casts last. Does that matter? Count how many entries come out different.

# %%
before, _ = recorded[4]
scale = 1 + norms[4].weight
normed = rms_norm_v1(before)
cast_last = (normed * scale).bfloat16()
cast_first = normed.bfloat16() * scale.bfloat16()
print(f"different: {(cast_last != cast_first).float().mean():.0%} of the entries")
print(f"by at most {((cast_last - cast_first).abs() / cast_last.abs()).max():.1%}")

# %% [markdown]
# More than a third of the entries differ, each in its last digits. No single one matters, but after dozens of layers they add up to noise that the model was not trained
# with, and it is the kind of difference that makes a comparison with a reference fail without telling you why. Here is the package's norm.


# %% tags=["from:vlm.gemma.GemmaRMSNorm"]
class GemmaRMSNorm(nn.Module):
    """Divides a vector by its root mean square, then scales entries by 1 + weight."""

    def __init__(self, hidden_size: int, eps: float):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[..., D] -> [..., D]."""
        states = hidden_states.float()
        states = states * torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + self.eps)
        return (states * (1 + self.weight.float())).to(hidden_states.dtype)


# %% [markdown]
# `rsqrt` is one over the square root. First our four numbers again, by hand; then the trained weights, against *transformers*, in both
# dtypes.

# %%
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm as ReferenceNorm

ours = GemmaRMSNorm(4, eps=1e-6)
ours.weight.copy_(torch.tensor([0.0, 1.0, 0.0, 0.0]))
assert torch.allclose(ours(vector), torch.tensor([3 / 2.5, 2 * 4 / 2.5, 0, 0]))

reference = ReferenceNorm(config.hidden_size, eps=config.rms_norm_eps)
ours = GemmaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
for norm in (reference, ours):
    norm.load_state_dict(norms[4].state_dict())
assert torch.allclose(ours(before), reference(before), atol=1e-6)
assert torch.equal(ours(before.bfloat16()), reference(before.bfloat16()))
print("equal, in float32 and in bfloat16")

# %% [markdown]
# One more thing follows from the form of the norm. Each norm in a block is followed by linear layers without biases: three in the attention (query, key, value), two in the MLP (gate and up). Scaling the entries of a vector and then multiplying by a matrix is the
# same as multiplying by another matrix. So the scales can be folded into the weights of the layers that follow, and some inference engines do this.[^ch06-1] You will do it in an exercise.
#
# ## GeGLU: an MLP with a gate
#
# Now the MLP. In the tower it was a linear layer to more entries, a GELU, and a linear layer back. Gemma has a third linear
# layer, and the GELU has become part of a {term}`gate <GeGLU>` ("GLU Variants Improve Transformer", arXiv 2002.05202 {cite}`shazeer2020glu`).
#
# The idea: one layer, `up_proj`, proposes F numbers. Another, `gate_proj`, decides for each of them how much to let through. The two are multiplied, entry by
# entry. The gate goes through a GELU, the {term}`nonlinearity`, so that it can be shut (near zero) or open (as large as it likes). Then `down_proj` brings the result back to D entries.
#
# $$\operatorname{MLP}(x) = W_{\text{down}} \bigl( \operatorname{GELU}(W_{\text{gate}}\, x) \odot W_{\text{up}}\, x \bigr)$$
#
# Take one entry, with a proposal of 5. What comes through, for gates of −3, 0, 1 and 2?
#
# [^ch06-1]: The last norm is an exception: the head that follows it shares its matrix with the embedding.

# %%
gate = torch.tensor([-3.0, 0.0, 1.0, 2.0])
through = nn.functional.gelu(gate, approximate="tanh") * 5.0
print([round(x, 2) for x in through.tolist()])

# %% [markdown]
# Without a gate, one number decides both whether a unit is active and how much it contributes. With a gate these are two numbers, each learned separately. The price is a third
# matrix. To pay for it, the paper makes F smaller, 8/3 of D instead of 4 D: it compares the two at equal numbers of weights, and the gated form still wins.[^ch06-2]
#
# [^ch06-2]: Our F is 3 D. Gemma does not make F smaller, as you will see.


# %% tags=["from:vlm.gemma.GemmaMLP"]
class GemmaMLP(nn.Module):
    """GeGLU: one projection, through a GELU, gates another."""

    def __init__(self, config: GemmaConfig):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, hidden_states: Tensor) -> Tensor:
        # [B, S, F]
        gate = nn.functional.gelu(self.gate_proj(hidden_states), approximate="tanh")
        return self.down_proj(gate * self.up_proj(hidden_states))  # [B, S, D]


# %%
from transformers import GemmaConfig as ReferenceConfig
from transformers.models.gemma.modeling_gemma import GemmaMLP as ReferenceMLP

reference = ReferenceMLP(
    ReferenceConfig(
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        hidden_activation="gelu_pytorch_tanh",
    )
)
ours = GemmaMLP(config)
for mlp in (reference, ours):
    mlp.load_state_dict(layers[1].mlp.state_dict())
[(states, output)] = record([layers[1].mlp], **inputs)
assert torch.allclose(ours(states), output, atol=1e-5)
assert torch.allclose(ours(states), reference(states), atol=1e-5)
weights = sum(p.numel() for p in layers[1].mlp.parameters())
in_block = sum(p.numel() for p in layers[1].parameters())
print(f"equal; {weights:,} of the block's {in_block:,} weights are in the MLP")
assert weights == 3 * config.hidden_size * config.intermediate_size

# %% [markdown]
# Three quarters of a block's weights are in its MLP. In Google's 3B model it is 91 %: F is eight times D, and the MLP has 100.7 of a block's 110.1 million weights.
#
# What have the gates learned? For each of the 4 × 384 gates we can find the patches for which it opens. We took 40 test scenes, in which we know what is at each
# patch, let the model read them with the prompt for a caption, and looked for the gate that best separates the patches of one kind from the rest. The figure at the beginning shows the winners for
# three kinds, on a scene that is not among the 40.

# %%
assert all(scene.image.tobytes() != image.tobytes() for scene in scenes)
for kind in ("bird", "cat", "ground"):
    layer, unit = best_gate(kind)
    chosen = torch.tensor([label == kind for label in under_patch])
    opening = gates_of_scene[layer, :, unit]
    inside, elsewhere = opening[chosen].mean(), opening[~chosen].mean()
    print(
        f"{kind:6} gate {unit:3} of layer {layer}: "
        f"mean opening {inside:.2f}, elsewhere {elsewhere:.2f}"
    )

# %% [markdown]
# The lower row of that figure surprised us. When the prompt asks for boxes, the same gates stay shut on the same birds and cats. The image
# tokens attend to the prompt, because attention within the prefix goes both ways, so from the first block on they carry information about the task. A caption needs to
# know *what* is there; a list of boxes also needs *where*, and perhaps it uses other gates. (That is a guess. To test it, compute `gates_of_scene` again with the prompt `detect cat ; bird`, and call `best_gate` again.)
#
# Be careful all the same with a name like "bird gate". We searched 1,536 gates for the best one, and in a search that wide something always looks good. That it fits on a new image
# is evidence. Whether the model *uses* it is another question: you would have to shut it, and see what changes.
#
# Most gates do not have such a simple story. How open are they overall?

# %% mystnb={"image": {"alt": "Four curves, one for each layer, with a tall peak between minus 0.17 and zero and a tail to the right that reaches beyond 2."}, "figure": {"caption": "Few gates are wide open at any one patch. Distribution of the openings of all gates at all patches of our image, by layer, for “caption en”. A GELU never falls below −0.17, so shut gates pile up between there and zero.", "name": "fig-ch06-openings"}} tags=["hide-input"]
gates = open_gates(**processor(["caption en"], [image]))  # [layers, N, F]
fig, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
for layer, color, style in zip(
    range(4), ("#0072B2", "#D55E00", "#009E73", "#CC79A7"), ("-", "--", "-.", ":")
):
    counts, edges = torch.histogram(gates[layer].flatten(), bins=60, range=(-0.5, 2.5))
    ax.plot(
        (edges[:-1] + edges[1:]) / 2,
        counts / counts.sum(),
        color=color,
        linestyle=style,
        label=f"layer {layer}",
    )
ax.set(xlabel="opening of a gate", ylabel="fraction of the gates", ylim=(0, None))
ax.legend(fontsize=9)
plt.show()
print(f"open by more than 0.5: {(gates > 0.5).float().mean():.0%} of the gates")

# %% [markdown]
# In the next figure you choose the token, the layer and the gate. Guess first. Take a patch inside a cat, in layer 0: is the gate that lets the most through open on cats alone, or everywhere? And if you shut that one gate, for all tokens, will the model still write “cats”? What if you shut the first 8, or 64?
#
# <div class="live-figure" data-figure="gates">
# <p>This figure needs JavaScript. The figure at the beginning of this chapter shows the openings of three gates. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("gates")

# %% [markdown]
# On the curve each dot is a gate of your token. Most lie where the GELU is nearly flat, close to 0, and let little through; a few are far to the right, where it is nearly straight. In layer 0 you will often find a gate whose map shows just one kind of toy. Other maps make no sense, and that is the normal case.
#
# Shut one gate, and hardly any probability moves. So the “cat gate” is not where the model keeps its cats: other gates carry the same information. Shut 64 of the 384 in layer 0, and there are scenes in which the answer breaks. Try the same in layer 3 with the gates of an image patch. Almost nothing happens, and the reason is simple: after the last layer no position attends to a patch any more, so what the MLP adds there is never read.
#
# The figure's lower chart is the exact GELU minus the tanh approximation. It never reaches 0.0005. Remember that number: the next section tries the exact GELU.

# %% [markdown]
# ## The wrong activation function
#
# The GELU has an exact formula and a tanh approximation, as you know from the tower, and a close relative, SiLU (x times the sigmoid of x), which Llama uses. What does the shipped model say when
# its gates use another activation function? We replace it in all four layers and compare the logits at the last position. Guess the order first.

# %%
logits = model(**inputs).logits[0, -1]
activations = {
    "GELU, exact": nn.functional.gelu,
    "SiLU": nn.functional.silu,
    "ReLU": nn.functional.relu,
}


def logits_with(activation) -> Tensor:
    """Logits at the last position, with another activation function in the gates."""

    def forward(mlp, states):
        return mlp.down_proj(activation(mlp.gate_proj(states)) * mlp.up_proj(states))

    for layer in layers:
        layer.mlp.forward = forward.__get__(layer.mlp)
    changed = model(**inputs).logits[0, -1]
    for layer in layers:
        del layer.mlp.forward
    return changed


# %%
for name, activation in activations.items():
    changed = logits_with(activation)
    same = changed.argmax() == logits.argmax()
    difference = (changed - logits).abs().max()
    print(f"{name:12} largest change {difference:6.3f}  same first token: {bool(same)}")

# %% [markdown]
# The exact formula changes the logits in the third decimal place. You will hardly ever see that mistake in a box or a caption. A comparison with a reference shows it at once, and that is why
# the norm and the MLP were each compared with one.
#
# This chapter's three mistakes are switches in the next figure: the norm without its one, SiLU, and the exact GELU. The images show the right model's answer and the answer with the mistake; the bars show how far the output of each module is from the right one. Guess first, for each of the three: does the caption change? Do the boxes? And which module is the first to differ?
#
# <div class="live-figure" data-figure="break-it" data-bugs="norm-without-1 silu exact-gelu" data-tasks="caption detect">
# <p>This figure needs JavaScript. The cells of this chapter make the same three mistakes in Python. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("break-it", bugs="norm-without-1 silu exact-gelu", tasks="caption detect")

# %% [markdown]
# All three mistakes first show in layer 0 of the language model, because the tower has neither an RMSNorm nor a gated MLP. They differ in the length of the bars. Without the one, the error is as large as the vectors themselves, and no answer makes sense: a loud bug, found within a minute. SiLU makes an error of several percent. Captions survive it, and boxes come out a little different: you would only think that the model is not very good. With the exact GELU the error is about one part in ten thousand. We tried it on 16 scenes: no caption and no box changed. Still, every module from layer 0 on differs, and only the bars say so.
#
# ## Exercises
#
# Open `exercises/ch06_norms_mlp.py`, write what is missing, and grade it, below or in a terminal:
#
# ```text
# pytest exercises/test_ch06_norms_mlp.py
# ```
#
# ### `root_mean_square` (1 point, 5 minutes)
#
# Compute the size (RMS) of each vector of a tensor.
#
# ```{literalinclude} ../exercises/ch06_norms_mlp.py
# :pyobject: root_mean_square
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Read the name backwards: square, mean, root. Over which axis is the mean?
# ```
# ```{admonition} Hint 2: almost the line
# :class: dropdown
# `mean(-1, keepdim=True)` keeps the last axis, with length 1.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch06_norms_mlp.py
# :pyobject: root_mean_square
# ```
# ````
#
# ### `GemmaRMSNorm` (2 points, 15 minutes)
#
# Write Gemma's norm from basic operations. The grader blocks PyTorch's RMSNorm and the package's.
#
# ```{literalinclude} ../exercises/ch06_norms_mlp.py
# :pyobject: GemmaRMSNorm
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Which steps run in float32? Where does eps belong: inside the root or outside?
# ```
# ```{admonition} Hint 2: which tensor
# :class: dropdown
# Cast the input with `.float()`, and only the final product back with `.to(hidden_states.dtype)`. The parameter is `nn.Parameter(torch.zeros(hidden_size))`.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch06_norms_mlp.py
# :pyobject: GemmaRMSNorm
# ```
# ````
#
# ### `GemmaMLP` (2 points, 10 minutes)
#
# Write the gated MLP, with its three linear layers.
#
# ```{literalinclude} ../exercises/ch06_norms_mlp.py
# :pyobject: GemmaMLP
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Which of the three layers does the GELU belong to? What are the shapes of the two factors?
# ```
# ```{admonition} Hint 2: a detail
# :class: dropdown
# `nn.functional.gelu` takes `approximate="tanh"`, and `nn.Linear` takes `bias=False`.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch06_norms_mlp.py
# :pyobject: GemmaMLP
# ```
# ````
#
# ### `fold_norm` (1 point, 10 minutes)
#
# Fold the norm's scales into the matrix of the linear layer that follows.
#
# ```{literalinclude} ../exercises/ch06_norms_mlp.py
# :pyobject: fold_norm
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Write out one entry of the result: a sum over d of matrix[f, d] times scale[d] times x[d]. Which two can be multiplied before you know x?
# ```
# ```{admonition} Hint 2: which axis
# :class: dropdown
# Entry d of the vector meets column d of the matrix. `[F, D] * [D]` lines up the last axes.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch06_norms_mlp.py
# :pyobject: fold_norm
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch06_norms_mlp")

# %% [markdown]
# ## Summary
#
# A vector that goes through Gemma is a running sum, the residual stream. Before each attention and each MLP, RMSNorm divides a copy of it by its root mean square and scales it, entry by entry, by one plus a learned weight, all of that in
# float32. The gated MLP then computes F proposals and F gates from the copy, multiplies them, and projects the result back to D entries, which are added to the residual stream. Details that no image shows, such as
# the one, the eps and the exact formula of the activation, are what a comparison with a reference is for.
#
# Nothing in this chapter depended on where a vector is in the sequence. The order of tokens matters, though. In the next chapter rotary position embeddings (RoPE) bring it into the attention.
