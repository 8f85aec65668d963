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
# # Inside a VLM: attention maps, rollout, the logit lens, occlusion
#
# You can read every number in this model, and that alone tells you nothing. In this chapter you ask it four kinds of questions: where does it attend, which patches contribute to the last layer, what do its {term}`hidden states <hidden state>` already say halfway up, and which parts of the image could it not do without? The answers are pictures, and pictures persuade. So each of them is also scored against the ground truth, and some of them lose.
#
# At the end you will be able to
#
# - draw the attention from the position that predicts a token to the image patches, for each layer and head;
# - follow attention through several layers, and say why the residual connection belongs in it;
# - read hidden states from the middle of the model in its own vocabulary (the logit lens);
# - cover parts of an image and measure what that changes;
# - tell a correlation from an intervention.
#
# Time: about 60 minutes to read and run, and 50 for the four exercises. Here are the four answers for one token of one caption. Not all of them are right.

# %% mystnb={"image": {"alt": "Four panels of one toy scene with a house and a turtle, all for the word turtle. Attention in layer 1: bright on the turtle alone. Rollout: bright on the turtle, less on the house. Lens: patches labeled with toys; on the turtle it reads house and boat, on the house tree and rocket. Occlusion: bright on the turtle alone."}, "figure": {"caption": "Three of the four methods point at the turtle; the lens reads a boat there. The caption is `a house and a turtle on sand`, the token is `turtle`. From the left: attention (layer 1, mean of the heads), rollout, logit lens (after layer 2: the toy that each patch's hidden state names, if it names one), occlusion.", "name": "fig-ch19-goal"}} tags=["hide-input"]
from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import HTML
from PIL import Image
from torch import Tensor
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image, example_scene
from toybox.scenes import draw_scene
from toybox.sprites import LABELS, plural
from vlm.gemma import GemmaForCausalLM
from vlm.generate import generate
from vlm.inside.explorer import Frame, explorer_html
from vlm.inside.logit_lens import logit_lens as finished_logit_lens
from vlm.inside.occlusion import GREY
from vlm.inside.occlusion import occlusion_map as finished_occlusion_map
from vlm.inside.recording import record_attention, record_hidden_states
from vlm.inside.rollout import attention_rollout as finished_attention_rollout
from vlm.inside.scoring import score_answers
from vlm.inside.word_attention import attend_word_by_word
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor
from vlm.regions.draw import draw_patch_values

torch.set_grad_enabled(False)  # nothing is trained in this chapter

model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
processor = PaliGemmaProcessor.for_model(model, tokenizer)
NUM_PATCHES, NUM_LAYERS, NUM_HEADS = 64, 4, 4

PROMPT = "caption en"

# Every toy is a single token, in the singular and in the plural: token -> toy.
TOY_OF = {
    tokenizer.tokenize(f" {word}")[0]: toy for toy in LABELS for word in (toy, plural(toy))
}
TOY_IDS = torch.tensor([tokenizer.convert_tokens_to_ids(token) for token in TOY_OF])
NAMES = list(TOY_OF.values())


def read(image: Image.Image, answer: str) -> tuple[list[Tensor], list[Tensor]]:
    """Attention [A, S, S] and hidden states [S, D] of each layer, over image, prompt and answer."""
    inputs = processor([PROMPT], [image], [answer])
    del inputs["labels"]
    language_model = model.language_model
    with (
        record_attention(language_model) as weights,
        record_hidden_states(language_model) as states,
    ):
        model(**inputs)
    return [one[0] for [one] in weights.values()], [one[0] for [one] in states.values()]


def score_word(image: Image.Image, answer: str, index: int) -> Callable[[list], np.ndarray]:
    """For occlusion: a function from images to the log probability of one answer token."""

    def score(images: list[Image.Image]) -> np.ndarray:
        prompts, answers = [PROMPT] * len(images), [answer] * len(images)
        rows = score_answers(model, processor, prompts, images, answers)
        return np.array([row[index].item() for row in rows])

    return score


def draw_names(ax, image: Image.Image, names: list[str]):
    """The image in gray, with a short word on each patch; names of toys stand out."""
    ax.imshow(image.convert("L"), cmap="gray", vmin=0, vmax=510, extent=(0, 112, 112, 0))
    for patch, name in enumerate(names):
        y, x = divmod(patch, 8)
        toy = name in LABELS
        ax.text(
            14 * x + 7,
            14 * y + 7,
            name if toy else "·",
            ha="center",
            va="center",
            fontsize=5.5,
            color="white" if toy else "lightgray",
        )
    ax.set(xticks=[], yticks=[])


def draw_occlusion(ax, image: Image.Image, drop: np.ndarray):
    """Drops below 0.1 are not scaled up, so nothing is bright where covering does nothing."""
    drop = drop.clip(min=0).flatten()
    draw_patch_values(image, drop.tolist(), ax, vmax=max(drop.max(), 0.1))


house_and_turtle = example_image(4)
[answer] = generate(model, processor, [PROMPT], [house_and_turtle])
attention = attend_word_by_word(model, processor, PROMPT, house_and_turtle, answer)
turtle = attention.tokens.index("▁turtle")
weights, states = read(house_and_turtle, answer)
# The query position that predicts the token is the one before it.
query = weights[0].shape[-1] - len(attention.tokens) - 1 + turtle
rollout = finished_attention_rollout([layer[None] for layer in weights])[0]  # [S, S]
lens = finished_logit_lens(model.language_model, states[-2][:NUM_PATCHES])  # [N, V]
lens_tokens = tokenizer.convert_ids_to_tokens(lens.argmax(-1).tolist())
score = score_word(house_and_turtle, answer, turtle)

fig, axes = plt.subplots(1, 4, figsize=(9.2, 2.6), layout="constrained")
draw_patch_values(house_and_turtle, attention.weights[turtle, 1].mean(0).tolist(), axes[0])
draw_patch_values(house_and_turtle, rollout[query, :NUM_PATCHES].tolist(), axes[1])
draw_names(axes[2], house_and_turtle, [TOY_OF.get(token, "") for token in lens_tokens])
drop = finished_occlusion_map(score, house_and_turtle, stride=14, side=28)
draw_occlusion(axes[3], house_and_turtle, drop)
for ax, title in zip(axes, ("attention", "rollout", "lens", "occlusion")):
    ax.set_title(title)
plt.show()
print(answer)

# %% [markdown]
# ## Attention maps: from a token to the patches
#
# In each layer and head, a query position has one attention weight for each key position that it may attend to, and these weights sum to 1. 64 of the key positions are patches, so the weights from one position to the patches form an image of 8 × 8: an {term}`attention map`. There are three ways to draw it wrongly.
#
# **The wrong position.** Take a scene with two birds and two cats. Which position predicted `cats`? Not the position of the token itself, but the one before it: each position predicts the *next* token, so the hidden state that became `cats` is the one at `two`. The position of `cats` itself is busy predicting `on`. The two maps differ.
#
# **Before the softmax.** The attention scores q · k look like a map too, but their zero means nothing: all scores of a head may lie between 20 and 30, and only their differences count. The softmax turns them into weights that sum to 1.
#
# **What is left out.** The patches do not get all of the attention. What goes to the prompt and to the earlier tokens of the answer is not on the map, and a map scaled to its own maximum hides how much that is.

# %% tags=["hide-input"]
from figures.schematics.taps import draw_taps

drawing = draw_taps(model.config)
HTML(
    drawing.html(
        "Four instruments of this chapter and two more, by where they connect to the "
        "model. Those on the left only read; what they show is a correlation. Those on "
        "the right change something and look at what follows from it."
    )
)

# %% mystnb={"image": {"alt": "Three maps over the same scene. At the position before cats: bright on the upper cat, less on the lower one and on the bird beside it. At the position of cats itself: bright where the lower cat meets the bird. The scores before the softmax: all toys and much of the ground between them are bright."}, "figure": {"caption": "The map depends on the position and on the softmax. All three are layer 1, head 2. Left: the position that predicts `cats`. Middle: the position of `cats` itself, which predicts `on`. Right: as on the left, before the softmax; large differences in weight now look small.", "name": "fig-ch19-places"}} tags=["hide-input"]
image, scene = example_image(0), example_scene(0)
[answer] = generate(model, processor, [PROMPT], [image])
attention = attend_word_by_word(model, processor, PROMPT, image, answer)
WORD = attention.tokens.index("▁cats")
weights, states = read(image, answer)
query = weights[0].shape[-1] - len(attention.tokens) - 1 + WORD

LAYER, HEAD = 1, 2
row = weights[LAYER][HEAD]  # [S, S]
scores = row[query, :NUM_PATCHES].log()  # the scores before the softmax, up to a constant
fig, axes = plt.subplots(1, 3, figsize=(8, 2.9), layout="constrained")
draw_patch_values(image, row[query, :NUM_PATCHES].tolist(), axes[0], "predicts cats")
draw_patch_values(image, row[query + 1, :NUM_PATCHES].tolist(), axes[1], "predicts on")
draw_patch_values(image, (scores - scores.min()).tolist(), axes[2], "before the softmax")
plt.show()
print(f"attention to the patches: {row[query, :NUM_PATCHES].sum():.2f}")

# %% [markdown]
# Now all layers and heads; the model has 4 × 4. Before you look: in which layer would you expect a token to attend to its object, the first or the last?

# %% mystnb={"image": {"alt": "Sixteen small maps, four layers by four heads. In layer 0 the attention is scattered. In layer 1 all four heads are bright on the cats. In layer 2 only heads 1 and 3 are bright on the cats, and they give little of their attention to the image. In layer 3 it is scattered again."}, "figure": {"caption": "In layer 1, all heads find the cats. The maps show the position that predicts `cats`, one row for each layer, one column for each head. Each map is scaled to its own maximum; the number is the fraction of the attention that goes to the image at all.", "name": "fig-ch19-heads"}} tags=["hide-input"]
fig, axes = plt.subplots(4, 4, figsize=(7, 7.6), layout="constrained")
for layer in range(NUM_LAYERS):
    for head in range(NUM_HEADS):
        values = attention.weights[WORD, layer, head]
        draw_patch_values(image, values.tolist(), axes[layer, head])
        axes[layer, head].set_title(
            f"layer {layer}, head {head}: {values.sum():.2f}", fontsize=8
        )
plt.show()

# %% [markdown]
# One example is an anecdote. Take 80 scenes and every word of their captions that names a toy in the scene, 160 words. For each layer and head, which fraction of the attention to the image goes to the patches of that toy (those that it covers by at least a quarter)? If the attention were spread evenly, this would be the fraction of the image that these patches make up.


# %% tags=["nbval-ignore-output"]
def patches_of(scene, toy: str) -> np.ndarray:
    """bool [N]: the patches that toys of this kind cover by at least a quarter."""
    indices = [i for i, thing in enumerate(scene.objects) if thing.label == toy]
    covered = np.isin(scene.owner, indices).reshape(8, 14, 8, 14).mean((1, 3))
    return covered.flatten() >= 0.25


scenes = [draw_scene(seed, "test") for seed in range(80)]
images = [scene.image for scene in scenes]
captions = generate(model, processor, [PROMPT] * 80, images, 26)
words = []  # scene, caption, index of the word's token, bool [N]
for one, text in zip(scenes, captions):
    tokens = tokenizer.convert_ids_to_tokens(processor.encode_suffix(text))
    for index, token in enumerate(tokens):
        if token in TOY_OF and (patches := patches_of(one, TOY_OF[token])).any():
            words.append((one, text, index, patches))


# %% tags=["nbval-ignore-output"]
on_the_toy, even = np.zeros((NUM_LAYERS, NUM_HEADS)), 0.0
for one, text, index, patches in words:
    attended = attend_word_by_word(model, processor, PROMPT, one.image, text)
    values = attended.weights[index].numpy()  # [L, A, N]
    on_the_toy += values[..., patches].sum(-1) / values.sum(-1) / len(words)
    even += patches.mean() / len(words)
print(f"{len(words)} words; spread evenly it would be {even:.2f}")
for layer, fractions in enumerate(on_the_toy):
    print(f"layer {layer}:", " ".join(f"{fraction:.2f}" for fraction in fractions))
assert on_the_toy[1].min() > 0.5

# %% [markdown]
# It is layer 1: 62 to 74 % of its image attention goes to the toy being named, six times what an even spread would give. In the layers before and after it, the fraction is less than half. (You may guess why; nothing here shows it.)
#
# ## Explore the attention maps
#
# Here are three images with all tokens, layers and heads. Choose a token, then click on a head. Compare `two` with `cats`: which heads change? Try `grass`: which patches does the model attend to for the ground? The answer to the last image has boxes: where do the four location tokens of a box attend? (`space` is the token `▁`.)

# %% tags=["nbval-ignore-output", "hide-input"]
frames = []
for index, prompt in ((0, "caption en"), (2, "caption en"), (4, "detect turtle ; house")):
    example = example_image(index)
    [text] = generate(model, processor, [prompt], [example])
    attended = attend_word_by_word(model, processor, prompt, example, text)
    frames.append(Frame(example, prompt, attended.tokens, attended.weights))
HTML(explorer_html(frames))

# %% [markdown]
# All frames of the explorer are in the page, so it works without Python. In JupyterLab the next cell does the same with any image and any prompt: try your own.
#
# A map says where a head reads. Does the answer need what it has read there? Remove a head, and see. Ask for a caption below, choose the position that predicts the name of a toy, and find a head in layer 1 (the second row, since layers are numbered from 0) whose map lies on that toy. Knock it out. Guess first: will the model name another toy, name none, or answer as before?
#
# <div class="live-figure" data-figure="attention-lab" data-view="heads" data-tasks="caption detect count" data-scene="sand.30_house.37.28.50.0_turtle.74.80.32.0">
# <p>This figure needs JavaScript. The explorer above shows the maps of all heads. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show(
    "attention-lab",
    view="heads",
    tasks="caption detect count",
    scene="sand.30_house.37.28.50.0_turtle.74.80.32.0",
)

# %% [markdown]
# For most heads nothing changes, however bright the map was: the other heads of the layer attend to the same toy, and they are enough. Knock out the whole row, and the answer breaks. And if you find a head whose removal ends the caption early, or changes a number, look at its map again: nothing in it told you so. Knocking out a head is an *intervention*, as is covering a part of the image, further below. A more precise one is {term}`activation patching`: run the model on two images, copy one head's output or one hidden state from the first run into the second, and see whether the answer follows {cite}`zhang2023towards`. A map is only a measurement. It says what a head reads, not what for.


# %% [markdown]
# ## Attention rollout: through several layers
#
# A map of one layer does not reach back to the image. After layers 0 and 1, the hidden state at a patch's position is no longer that patch alone: it has taken in others. So a map of layer 2 says which positions are read, not which patches of the input. To trace attention back to the *input*, multiply the layers' attention matrices: what position i took from j, times what j had taken from k, summed over j.
#
# Multiply what, exactly? Attention is only a part of what happens. Each layer *adds* its output to the {term}`residual stream`, so the old vector stays in the sum. {term}`Attention rollout <attention rollout>` {cite}`abnar2020quantifying` gives both the same weight: half for the identity, half for attention.


# %% tags=["from:vlm.inside.rollout.attention_rollout"]
def attention_rollout(weights: Sequence[Tensor]) -> Tensor:
    """How much each output position takes from each input position, by attention."""
    rollout = torch.eye(weights[0].shape[-1], device=weights[0].device)  # [S, S]
    for layer_weights in weights:
        mixed = layer_weights.float().mean(1)  # [B, S, S]
        identity = torch.eye(mixed.shape[-1], device=mixed.device)  # [S, S]
        rollout = (identity + mixed) / 2 @ rollout  # [B, S, S]
    return rollout


# %%
# By hand, two positions and two layers. In the first layer both attend to position 0,
# in the second they attend to each other.
first, second = torch.tensor([[1.0, 0], [1, 0]]), torch.tensor([[0.0, 1], [1, 0]])
# (I + first) / 2 = [[1, 0], [.5, .5]],  (I + second) / 2 = [[.5, .5], [.5, .5]]
assert attention_rollout([first[None, None], second[None, None]])[0].tolist() == [
    [0.75, 0.25],
    [0.75, 0.25],
]


def rollout_without_residual(weights: Sequence[Tensor]) -> Tensor:
    product = torch.eye(weights[0].shape[-1])
    for layer_weights in weights:
        product = layer_weights.mean(1) @ product
    return product


# %% mystnb={"image": {"alt": "Two maps for the word cats. In both the brightest patch is on the left bird, and the right bird is bright. With the residual the upper cat's face is half as bright, and the lower cat a little; without it both cats are nearly dark."}, "figure": {"caption": "Without the residual, little is left of the cats. Rollout for the token `cats`, with the residual (left) and without (right). Both favor the birds.", "name": "fig-ch19-rollout"}} tags=["hide-input"]
batched = [layer[None] for layer in weights]
fig, axes = plt.subplots(1, 2, figsize=(6, 3.2), layout="constrained")
for ax, function, title in (
    (axes[0], attention_rollout, "with the residual"),
    (axes[1], rollout_without_residual, "without it"),
):
    draw_patch_values(image, function(batched)[0, query, :NUM_PATCHES].tolist(), ax, title)
plt.show()

# %% [markdown]
# Is "half" true? It is an assumption. A layer may add much or little, and rollout ignores the MLPs and the values altogether: it is a rough estimate of what can have come from where. You will see below how it compares with simpler maps.
#
# ## The logit lens: what do the hidden states already say?
#
# After the last layer, the final norm and the head turn a hidden state into logits over the vocabulary. Nothing stops you from doing the same with a hidden state from the middle of the model. This is the {term}`logit lens <logit lens>` {cite}`nostalgebraist2020interpreting`: what would the model predict if it stopped here?


# %% tags=["from:vlm.inside.logit_lens.logit_lens"]
@torch.inference_mode()
def logit_lens(language_model: GemmaForCausalLM, hidden_states: Tensor) -> Tensor:
    """The logits if the model stopped here: [B, S, D] -> [B, S, V]."""
    return language_model.lm_head(language_model.model.norm(hidden_states))


# %% tags=["nbval-ignore-output"]
table = []
for layer, hidden_states in enumerate(states):
    logits = logit_lens(model.language_model, hidden_states[None])[0]  # [S, V]
    # the positions that predict the tokens of the answer
    answer_logits = logits[-len(attention.tokens) - 1 : -1]
    table.append(tokenizer.convert_ids_to_tokens(answer_logits.argmax(-1).tolist()))
    printable = [token.strip("▁").replace("\n", "\\n") for token in table[-1]]
    print(f"after layer {layer}:", " ".join(printable))
print("the answer:   ", " ".join(token.replace("▁", "") for token in attention.tokens))
# After the last layer, the lens is the model itself.
assert table[-1] == attention.tokens

# %% [markdown]
# After layer 0, each hidden state still names the token that it has *read* (the first is the newline), not the one that comes next. Then the predictions become right, and after layer 2 the model could nearly stop. Do you need the norm for that? The most likely token would often be the same without it: RMSNorm divides the whole vector by one number and multiplies each entry by a weight, and these weights are much alike in this model. What changes is how *confident* the lens is, since hidden states in the middle of the model do not have the length that the head expects. Take the log probability of the token that does come next, over all captions, with the norm and without.


# %% tags=["nbval-ignore-output"]
def mean_log_probability(lens_function: Callable[[Tensor], Tensor]) -> list[float]:
    """Mean log probability of the caption's next token, after each layer."""
    totals, count = np.zeros(NUM_LAYERS), 0
    for one, text in zip(scenes[:60], captions):
        suffix = torch.tensor(processor.encode_suffix(text))
        count += len(suffix)
        for layer, hidden_states in enumerate(read(one.image, text)[1]):
            logits = lens_function(hidden_states[None, -len(suffix) - 1 : -1])[0]
            of_next = logits.log_softmax(-1).gather(-1, suffix[:, None])
            totals[layer] += of_next.sum().item()
    return (totals / count).tolist()


def with_norm(hidden_states: Tensor) -> Tensor:
    return logit_lens(model.language_model, hidden_states)


print("after layer        0      1      2      3")
for name, lens_function in (
    ("with the norm", with_norm),
    ("without it   ", model.language_model.lm_head),
):
    by_layer = mean_log_probability(lens_function)
    print(name, " ".join(f"{value:6.2f}" for value in by_layer))

# %% [markdown]
# After layer 1, the right token has a probability of e⁻⁶ with the norm (1 in 400) and of e⁻⁹·⁶ without (1 in 14,000), as a geometric mean. After layer 3, both are certain. If you leave out the norm, you will conclude that the model settles on its tokens later than it does.
#
# See for yourself. In the figure, each column is a token of the answer, each row a layer; the top row is the input of layer 0, and the bottom row is the answer. Before you ask: what will the lens read in the top row, where no layer has done anything yet? And which tokens are there first on the way down: the names of toys, the numbers, or words like `and` and `on`?
#
# <div class="live-figure" data-figure="attention-lab" data-view="lens" data-tasks="caption detect count">
# <p>This figure needs JavaScript. The numbers above are means over many tokens. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("attention-lab", view="lens", tasks="caption detect count")

# %% [markdown]
# In the top row each position names the token that it *holds*, with a probability near 1: the embedding matrix is also the head, so a vector that has just been looked up there has the largest dot product with its own row. In the bottom row each position names the token that *comes next*. The layers in between turn one into the other, and halfway you find both, or tokens that are neither. So the lens reads in the coordinates of the vocabulary, and sees only what the hidden state expresses in them. Move the toys, and find out which tokens settle early in every scene.
#
# Now the part that surprises people. Put the lens on the *patches*. The language model was never trained to predict anything at the image positions: no loss is computed there.[^ch19-1] And still it turns patches into its own words:
#
# [^ch19-1]: The vision tower is another matter. It was first trained to name the toy under each of its patches, with a linear layer that was thrown away ({doc}`chapter 22 <ch22_pretraining>`). So it is no surprise that this knowledge enters the language model. Google's tower had no such patch labels.

# %% mystnb={"image": {"alt": "Four panels, one for each layer, of the scene with birds and cats. On each patch is the toy that the lens reads there, or a dot. After layer 0 two wrong names, after layer 2 cat on the cats and bird on the birds, after layer 3 bird on some patches of the cats as well."}, "figure": {"caption": "The lens reads toys on the patches, although no loss asked the language model for these words. Each patch shows its most likely token if that is a toy, else a dot.", "name": "fig-ch19-lens"}} tags=["hide-input"]
fig, axes = plt.subplots(1, 4, figsize=(9.2, 2.6), layout="constrained")
for layer, (ax, hidden_states) in enumerate(zip(axes, states)):
    logits = logit_lens(model.language_model, hidden_states[None, :NUM_PATCHES])[0]
    tokens = tokenizer.convert_ids_to_tokens(logits.argmax(-1).tolist())
    draw_names(ax, image, [TOY_OF.get(token, "") for token in tokens])
    ax.set_title(f"after layer {layer}")
plt.show()

# %% [markdown]
# That is a striking figure, and many articles would stop here. How reliable is it? Take all patches that one toy covers by at least a half, in 60 scenes, and look for the most likely of the 20 toys. Guess first: on which fraction of the patches will the lens be right? By chance it would be 0.05.


# %% tags=["nbval-ignore-output"]
def owners_of_patches(scene) -> list[str | None]:
    """The toy that covers at least half of each patch, or None."""
    tiles = scene.owner.reshape(8, 14, 8, 14).swapaxes(1, 2).reshape(64, -1)  # [N, 196]
    owners = []
    for tile in tiles:
        values, counts = np.unique(tile[tile >= 0], return_counts=True)
        clear = len(values) and counts.max() >= 98
        owners.append(scene.objects[values[counts.argmax()]].label if clear else None)
    return owners


def patch_vectors(some_scenes: list, texts: list[str]) -> tuple[Tensor, list[str]]:
    """Vectors [5, M, D] of M patches, at the input and after each layer; their toys."""
    vectors, owners = [], []
    for one, text in zip(some_scenes, texts):
        pixel_values = processor([PROMPT], [one.image])["pixel_values"]
        layers = [model.get_image_features(pixel_values)[0], *read(one.image, text)[1]]
        kept = [patch for patch, toy in enumerate(owners_of_patches(one)) if toy]
        vectors.append(torch.stack([layer[kept] for layer in layers]))
        owners += [toy for toy in owners_of_patches(one) if toy]
    return torch.cat(vectors, dim=1), owners


# %% tags=["nbval-ignore-output"]
vectors, owners = patch_vectors(scenes[:60], captions)
read_by_lens = []
for layer in vectors:
    best = with_norm(layer[None])[0][:, TOY_IDS].argmax(-1)  # [M]
    read_by_lens.append([NAMES[i] == owner for i, owner in zip(best, owners)])


def print_by_layer(name: str, values: Sequence[float]):
    after = "     ".join(str(layer) for layer in range(NUM_LAYERS))
    print(f"{'':12s} input   after layer {after}")
    numbers = " ".join(f"{value:5.2f}" for value in values[1:])
    print(f"{name:12s} {values[0]:5.2f}             {numbers}")


print_by_layer("the lens:", [np.mean(right) for right in read_by_lens])
after_layer_2 = list(zip(read_by_lens[3], owners))  # index 0 is the input
by_toy = {
    toy: np.mean([right for right, owner in after_layer_2 if owner == toy])
    for toy in sorted(set(owners))
}
print("after layer 2:")
listed = [f"{toy} {fraction:.1f}" for toy, fraction in by_toy.items()]
for start in range(0, len(listed), 7):
    print("   ", ", ".join(listed[start : start + 7]))

# %% [markdown]
# One in four. Birds are always read, bananas and dogs mostly, turtles one time in five (the one above was a boat), and nine kinds at most one time in ten. The scene with the cats was a lucky one. (Whenever you see such a figure, in papers too, ask whether it was.)
#
# Does the model not know what is on these patches, then? It does, since it writes the right captions. The lens can only read what is expressed in the coordinates of the vocabulary. To ask whether something is there *at all*, in whatever coordinates, train a {term}`linear probe` {cite}`alain2016understanding`: one matrix from the hidden state to the 20 toys, fitted on other scenes.


# %% tags=["nbval-ignore-output"]
probe_scenes = [draw_scene(seed, "train") for seed in range(200)]
probe_images = [one.image for one in probe_scenes]
probe_texts = generate(model, processor, [PROMPT] * 200, probe_images, 26)
train_vectors, train_owners = patch_vectors(probe_scenes, probe_texts)
classes = [LABELS.index(owner) for owner in train_owners]
targets = torch.eye(len(LABELS))[classes].double()  # [M, 20]
probed = []
for train_layer, test_layer in zip(train_vectors.double(), vectors.double()):
    matrix = torch.linalg.lstsq(train_layer, targets).solution  # [D, 20]
    guesses = (test_layer @ matrix).argmax(-1)
    probed.append(np.mean([LABELS[i] == owner for i, owner in zip(guesses, owners)]))
print_by_layer("a probe:", probed)
assert min(probed) > 0.7 > 2 * np.mean(read_by_lens[3])

# %% [markdown]
# The toy can be read out after every layer. That the probe can read it at the input is no discovery: the tower was trained to encode it, for a linear reader like this one. The probe shows that it stays readable through four layers; the lens missed it, because most of these hidden states do not point in the direction of the toy's token. So a lens that reads nothing proves nothing, and one that reads something has to be scored before you believe it.[^ch19-2]
#
# ## Occlusion: what could it not do without?
#
# Attention maps and lenses show what is there. They do not show what matters: a model may attend to something and ignore it {cite}`jain2019attention`, and whether such maps may be called explanations is disputed {cite}`wiegreffe2019attention`. One thing is not disputed: change the input, and see what changes. *Cover* a part of the image. This is {term}`occlusion <occlusion>` {cite}`zeiler2013visualizing`.
#
# [^ch19-2]: A probe has the opposite trap: that it *can* read something does not mean that the model uses it.


# %% tags=["from:vlm.inside.occlusion.cover"]
def cover(
    image: Image.Image,
    box: tuple[int, int, int, int],
    value: int = GREY,
) -> Image.Image:
    """A copy of the image with a rectangle painted over."""
    y_min, x_min, y_max, x_max = box
    pixels = np.array(image.convert("RGB"))  # [H, W, 3]
    pixels[y_min:y_max, x_min:x_max] = value
    return Image.fromarray(pixels)


# %% [markdown]
# What happens when you cover the cat? There are two. Before you run this, say what the caption will be when one cat is covered, and when both are.

# %% mystnb={"image": {"alt": "Three versions of the scene with the caption above each. Whole: two birds and two cats on grass. With the lower cat covered by a gray rectangle: two birds, a cat and a tree on grass. With both cats covered: two birds, a cake and two rockets on grass."}, "figure": {"caption": "The covered cats leave the caption, and things that are not there enter it. The same scene whole, with one cat covered, and with both; above each is its caption.", "name": "fig-ch19-cover"}} tags=["hide-input"]
cats = [thing.box for thing in scene.objects if thing.label == "cat"]
versions = [image, cover(image, cats[0]), cover(cover(image, cats[0]), cats[1])]
texts = generate(model, processor, [PROMPT] * 3, versions)
fig, axes = plt.subplots(1, 3, figsize=(8.6, 3.1), layout="constrained")
for ax, version, text in zip(axes, versions, texts):
    ax.imshow(version)
    ax.set(xticks=[], yticks=[])
    ax.set_title(text, fontsize=8)
plt.show()
for text in texts:
    print(text)

# %% [markdown]
# The covered cats are gone from the captions. But a gray square is something too, and the model, which has no word for it, names a tree, then a cake and rockets. Whenever you cover something, you also add something.
#
# Cover something yourself: drag over the image below. For each token of the answer, the bar shows how probable it is now, and the line how probable it was. Guess first: is there a single patch of the turtle without which its name is gone? And if you cover as many patches of sand as the turtle has, which probabilities fall, and which stay?
#
# <div class="live-figure" data-figure="attention-lab" data-view="brush" data-tasks="caption count" data-scene="sand.30_house.37.28.50.0_turtle.74.80.32.0">
# <p>This figure needs JavaScript. The figure above shows two covered versions of a scene. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show(
    "attention-lab",
    view="brush",
    tasks="caption count",
    scene="sand.30_house.37.28.50.0_turtle.74.80.32.0",
)

# %% [markdown]
# We found no such patch: the name survives until most of the toy is gray. Cover all of it, and the name is gone, while the other toy keeps its own. Cover sand, and both names stay. But look at the short tokens before them: the probability of `a` may fall to nothing, because the model takes your gray for one more toy and says `two`. So covering is evidence about the name, and a poor experiment about the number.
#
# Now take many scenes: cover the only toy of its kind, and check whether the caption still names it; as a control, cover a rectangle of the same size where there is no toy.


# %% tags=["nbval-ignore-output"]
def find_empty_box(scene, height: int, width: int) -> tuple[int, int, int, int] | None:
    """A rectangle of that size without any toy in it."""
    for y in range(0, 113 - height, 4):
        for x in range(0, 113 - width, 4):
            if (scene.owner[y : y + height, x : x + width] < 0).all():
                return y, x, y + height, x + width
    return None


pairs = []  # label, scene with that toy covered, scene with as much ground covered
for one in scenes:
    kinds = [thing.label for thing in one.objects]
    single = [thing for thing in one.objects if kinds.count(thing.label) == 1]
    if single:
        thing = single[0]
        y_min, x_min, y_max, x_max = thing.box
        empty = find_empty_box(one, y_max - y_min, x_max - x_min)
        if empty is not None:
            covered = [cover(one.image, box) for box in (thing.box, empty)]
            pairs.append((thing.label, *covered))


# %% tags=["nbval-ignore-output"]
prompts = [PROMPT] * len(pairs)
toy_covered = generate(model, processor, prompts, [pair[1] for pair in pairs], 26)
ground_covered = generate(model, processor, prompts, [pair[2] for pair in pairs], 26)
still_named = np.mean([label in text for (label, *_), text in zip(pairs, toy_covered)])
control = np.mean([label in text for (label, *_), text in zip(pairs, ground_covered)])
print(f"{len(pairs)} scenes; the caption still names the toy")
print(f"    when the toy is covered:                  {still_named:.2f}")
print(f"    when ground of the same size is covered:  {control:.2f}")
assert still_named < 0.2 < 0.8 < control

# %% [markdown]
# That is evidence: whether the model names the toy depends on the pixels of the toy. To make a map, repeat it for every square of a grid, here 28 pixels wide around the center of each patch, and record how much the word's log probability drops. It costs one forward pass for each patch; as a batch of 65 images that is a third of a second.


# %% tags=["from:vlm.inside.occlusion.occlusion_map"]
def occlusion_map(
    score: Callable[[list[Image.Image]], np.ndarray],
    image: Image.Image,
    stride: int,
    side: int,
) -> np.ndarray:
    """How much the score drops when a square is covered, for each cell of a grid."""
    width, height = image.size
    grow = (side - stride) // 2
    covered = [
        cover(
            image,
            (max(y - grow, 0), max(x - grow, 0), y - grow + side, x - grow + side),
        )
        for y in range(0, height, stride)
        for x in range(0, width, stride)
    ]
    whole, *others = score([image, *covered])
    return (whole - np.array(others)).reshape(-(-height // stride), -(-width // stride))


# %% [markdown]
# ## Which map points at the toy?
#
# Now let all of them compete. For each word that names a toy, take the map's brightest patch. Is it one of the toy's? (This test is known as the pointing game.) Guess an order before you run this.

# %% mystnb={"image": {"alt": "Horizontal bars: the fraction of words whose brightest patch lies on the toy, by map. Attention of layer 1 0.87, its head 2 0.85, layer 2 0.80, rollout 0.72, occlusion 0.70, layer 0 0.67, layer 3 0.65, rollout without residual 0.53, chance 0.11."}, "figure": {"caption": "A single layer's mean attention points best, and rollout without the residual worst. Each bar is the fraction of words for which the map's brightest patch lies on the toy being named (60 words, so differences of less than a tenth may be chance). Layer 1 and its head 2 were chosen on these same words, which flatters them.", "name": "fig-ch19-pointing"}} tags=["hide-input"]
hits = {}
for one, text, index, patches in words[:60]:
    layers, _ = read(one.image, text)
    tokens = len(processor.encode_suffix(text))
    query = layers[0].shape[-1] - tokens - 1 + index
    stacked = [layer[None] for layer in layers]
    maps = {f"attention, layer {i}": layer.mean(0)[query] for i, layer in enumerate(layers)}
    maps["attention, layer 1, head 2"] = layers[1][2, query]
    maps["rollout"] = attention_rollout(stacked)[0, query]
    maps["rollout without residual"] = rollout_without_residual(stacked)[0, query]
    for name, values in maps.items():
        hits.setdefault(name, []).append(patches[int(values[:NUM_PATCHES].argmax())])
    score = score_word(one.image, text, index)
    occluded = occlusion_map(score, one.image, stride=14, side=28)
    hits.setdefault("occlusion", []).append(patches[int(occluded.argmax())])
fractions = {name: float(np.mean(values)) for name, values in hits.items()}
fractions["chance"] = float(np.mean([patches.mean() for *_, patches in words[:60]]))
ordered = sorted(fractions, key=fractions.get)
fig, ax = plt.subplots(figsize=(6.8, 3.4), layout="constrained")
bars = ax.barh(
    ordered,
    [fractions[name] for name in ordered],
    color=["#999999" if n == "chance" else "#0072B2" for n in ordered],
)
ax.bar_label(bars, fmt="%.2f", padding=3)
ax.set(xlabel="words whose brightest patch is on the toy", xlim=(0, 1.08), ylabel="map")
plt.show()

# %% [markdown]
# The plain mean of the heads in the right layer wins, and you could find that layer only because you had the ground truth to score it with. Rollout mixes in what the patches took from each other. It does about as well as a layer picked at random; without the residual it does worse than any of them. Occlusion, the only intervention of the four, does not win. It answers another question: with two cats in the image, the token `cats` needs both, and covering the grass beside one may hurt as much as covering its ear, since a gray square in the grass is a new object. Gray is a choice. So is the size of the square.
#
# What can you say, then? "While the model predicts `turtle`, most of layer 1's image attention goes to the turtle's patches": that is a measurement. "The model says `turtle` because of these pixels": covering them is the experiment. "It says `turtle` because layer 1 attends to them": for that you have to change the attention, by knocking out heads or patching activations. "It knows what a turtle is": nothing here says so.
#
# ## What the real model does
#
# The same code runs on Google's weights: 18 layers of 8 heads, 256 to 4,096 patches. `attend_word_by_word` keeps the attention weights of all layers. At 896 pixels that is 18 · 8 · 4,100², or 2.4 billion numbers, so record one layer at a time there. We could not measure which layers and heads attend to the object being named, since we had no real weights. Two artifacts are known from large models. Many heads of language models give most of their attention to the first token, whatever it is: an {term}`attention sink` {cite}`xiao2023efficient`, which says nothing about that token. And large vision transformers use some background patches as scratch space; these have vectors of large norm and light up in attention maps where there is nothing to see. Extra tokens, called *registers*, remove this artifact {cite}`darcet2023vision`. Finally, in PaliGemma as in the Toybox, image positions attend to the prompt, so the hidden state of a patch may depend on the question.
#
# ## Exercises
#
# Open `exercises/ch19_inside.py`, write what is missing, and grade it, below or in a terminal:
#
# ```text
# pytest exercises/test_ch19_inside.py
# ```
#
# ### `attention_map` (2 points, 10 minutes)
#
# ```{literalinclude} ../exercises/ch19_inside.py
# :pyobject: attention_map
# ```
#
# ```{admonition} Hint 1: which position
# :class: dropdown
# The newline at the end of the prompt predicts the first token of the answer. What is its position?
# ```
# ```{admonition} Hint 2: softmax
# :class: dropdown
# First take the softmax over all key positions, then select the patches.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch19_inside.py
# :pyobject: attention_map
# ```
# ````
#
# ### `rollout` (2 points, 15 minutes)
#
# ```{literalinclude} ../exercises/ch19_inside.py
# :pyobject: rollout
# ```
#
# ```{admonition} Hint
# :class: dropdown
# Begin with the identity. A layer reads the output of the layers before it, so its matrix goes on the left of the product.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch19_inside.py
# :pyobject: rollout
# ```
# ````
#
# ### `logit_lens` (2 points, 10 minutes)
#
# ```{literalinclude} ../exercises/ch19_inside.py
# :pyobject: logit_lens
# ```
#
# ```{admonition} Hint
# :class: dropdown
# Norm, then head, then softmax. Gemma's norm multiplies by 1 + weight.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch19_inside.py
# :pyobject: logit_lens
# ```
# ````
#
# ### `occlusion` (2 points, 15 minutes)
#
# ```{literalinclude} ../exercises/ch19_inside.py
# :pyobject: occlusion
# ```
#
# ```{admonition} Hint
# :class: dropdown
# Copy the image for each square. The map shows how much is *lost*: the score of the whole image minus that of the covered one.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch19_inside.py
# :pyobject: occlusion
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch19_inside")

# %% [markdown]
# ## Summary
#
# Each token is predicted at the position before it, and the attention of that position, after the softmax, is a map over the patches. In this model, layer 1 attends to what is being named. Rollout multiplies the layers' attention matrices and needs the residual. The logit lens reads hidden states with the model's own final norm and head: it works on the answer's tokens, and on patches it is right one time in four, though a linear probe reads nearly all of them. Occlusion is an experiment, and shows which pixels the answer depends on. All of these were scored, and the simplest won.
#
# You have scored maps. Next you score the model itself, and learn how far such a score can be trusted.
