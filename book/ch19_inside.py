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
# # What is it looking at? Inside a model that sees
#
# You can read every number in this model, and that alone tells you nothing. In this chapter you ask it four kinds of questions: where does it look, what reaches the top, what do its vectors already say halfway, and what would it miss? The answers are pictures, and pictures persuade. So each of them is also scored against the truth, and some of them lose.
#
# At the end you will be able to
#
# - draw the attention of a word to the patches, of the right place, and say which head looks where;
# - follow attention through several layers, and say why the residual belongs in it;
# - read vectors in the middle of the model with its own vocabulary;
# - cover parts of a picture and measure what that changes;
# - tell which of these is evidence and which is a suggestion.
#
# It takes about 60 minutes, and 50 for the exercises. Here are the four answers for one word of one caption. Not all of them are right.

# %% mystnb={"image": {"alt": "Four panels of one toy scene with a house and a turtle. Attention of the word turtle in layer 2: bright on the turtle alone. Rollout: bright on the turtle, less on the house. Lens: patches labelled with toys; on the turtle it reads house and boat, on the house tree and rocket. Occlusion: bright on the turtle alone."}, "figure": {"caption": "The word `turtle` in the caption `a house and a turtle on sand`, asked in four ways: attention (layer 2, mean of the heads), rollout, lens (after layer 3: the toy that each patch's vector names, if it names one), occlusion. Three point at the turtle. The lens reads a boat.", "name": "fig-ch19-goal"}} tags=["hide-input"]
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

# Every toy has one token, alone and in the plural: which toy does a token name?
TOY_OF = {
    tokenizer.tokenize(f" {word}")[0]: toy for toy in LABELS for word in (toy, plural(toy))
}
TOY_IDS = torch.tensor([tokenizer.convert_tokens_to_ids(token) for token in TOY_OF])
NAMES = list(TOY_OF.values())


def read(image: Image.Image, answer: str) -> tuple[list[Tensor], list[Tensor]]:
    """Attention [A, S, S] and hidden states [S, D] of each layer, for prompt and answer."""
    inputs = processor([PROMPT], [image], [answer])
    del inputs["labels"]
    language_model = model.language_model
    with (
        record_attention(language_model) as weights,
        record_hidden_states(language_model) as states,
    ):
        model(**inputs)
    return [one[0] for [one] in weights.values()], [one[0] for [one] in states.values()]


def score_word(image: Image.Image, answer: str, place: int) -> Callable[[list], np.ndarray]:
    """For occlusion: from pictures to the log probability of one word of the answer."""

    def score(pictures: list[Image.Image]) -> np.ndarray:
        rows = score_answers(
            model, processor, [PROMPT] * len(pictures), pictures, [answer] * len(pictures)
        )
        return np.array([row[place].item() for row in rows])

    return score


def draw_names(ax, image: Image.Image, names: list[str]):
    """The picture in grey, with a short word on each patch; toys in the picture stand out."""
    ax.imshow(image.convert("L"), cmap="gray", vmin=0, vmax=510, extent=(0, 112, 112, 0))
    for place, name in enumerate(names):
        y, x = divmod(place, 8)
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


def draw_occlusion(ax, image: Image.Image, fall: np.ndarray):
    """Where covering does nothing, nothing is bright: below 0.1 it is not scaled up."""
    fall = fall.clip(min=0).flatten()
    draw_patch_values(image, fall.tolist(), ax, vmax=max(fall.max(), 0.1))


house_and_turtle = example_image(4)
[answer] = generate(model, processor, [PROMPT], [house_and_turtle])
attention = attend_word_by_word(model, processor, PROMPT, house_and_turtle, answer)
place = attention.tokens.index("▁turtle")
weights, states = read(house_and_turtle, answer)
writer = weights[0].shape[-1] - len(attention.tokens) - 1 + place  # the place before the word
rollout = finished_attention_rollout([layer[None] for layer in weights])[0]  # [S, S]
lens = finished_logit_lens(model.language_model, states[-2][:NUM_PATCHES])  # [N, V]
lens_tokens = tokenizer.convert_ids_to_tokens(lens.argmax(-1).tolist())
score = score_word(house_and_turtle, answer, place)

fig, axes = plt.subplots(1, 4, figsize=(9.2, 2.6), layout="constrained")
draw_patch_values(house_and_turtle, attention.weights[place, 1].mean(0).tolist(), axes[0])
draw_patch_values(house_and_turtle, rollout[writer, :NUM_PATCHES].tolist(), axes[1])
draw_names(axes[2], house_and_turtle, [TOY_OF.get(token, "") for token in lens_tokens])
fall = finished_occlusion_map(score, house_and_turtle, stride=14, side=28)
draw_occlusion(axes[3], house_and_turtle, fall)
for ax, title in zip(axes, ("attention", "rollout", "lens", "occlusion")):
    ax.set_title(title)
plt.show()
print(answer)

# %% [markdown]
# ## From a word to the patches
#
# You know what {term}`attention map <attention map>` means: in each layer and head a place gives its attention, 1 in all, to the places that it may see. Some of these are the 64 patches. So the attention of a place to the patches is a picture of 8 × 8. There are three ways to draw it wrongly.
#
# **The wrong place.** Take a scene with two birds and two cats. Which place wrote `cats`? Not the place where `cats` stands. The vector that became the word `cats` is that of the place *before* it, where `two` stands: a place foretells the next token. The place of `cats` itself, one further, was busy with `on`. The two maps differ.
#
# **Before softmax.** The scores q · k look like a map too. But their zero means nothing. A head may have all its scores between 20 and 30, and what counts is only how they differ. Softmax makes shares of them.
#
# **What is left out.** The patches do not get everything. What the prompt and the earlier words got is not in the picture, and a map that is scaled to its own largest value does not show it.

# %% mystnb={"image": {"alt": "Three maps over the same scene. At the place before the word cats: bright on the upper cat, less on the lower one and on the bird beside it. At the place of the word itself: bright where the lower cat meets the bird. The scores before softmax: all toys and much of the ground between them are bright."}, "figure": {"caption": "Layer 2, head 3. Left: the place that writes `cats`. Middle: the place where `cats` stands; it is writing `on`. Right: the left one again, before softmax, which makes a little more look like nearly the same.", "name": "fig-ch19-places"}} tags=["hide-input"]
image, scene = example_image(0), example_scene(0)
[answer] = generate(model, processor, [PROMPT], [image])
attention = attend_word_by_word(model, processor, PROMPT, image, answer)
WORD = attention.tokens.index("▁cats")
weights, states = read(image, answer)
writer = weights[0].shape[-1] - len(attention.tokens) - 1 + WORD

LAYER, HEAD = 1, 2
row = weights[LAYER][HEAD]  # [S, S]
scores = row[
    writer, :NUM_PATCHES
].log()  # what softmax got, but for a constant that all of them share
fig, axes = plt.subplots(1, 3, figsize=(8, 2.9), layout="constrained")
draw_patch_values(image, row[writer, :NUM_PATCHES].tolist(), axes[0], "the place before cats")
draw_patch_values(image, row[writer + 1, :NUM_PATCHES].tolist(), axes[1], "the place of cats")
draw_patch_values(image, (scores - scores.min()).tolist(), axes[2], "before softmax")
plt.show()
print(f"to the patches: {row[writer, :NUM_PATCHES].sum():.2f} of the attention")

# %% [markdown]
# Now all layers and heads. The model has 4 × 4. Before you look: in which layer would you expect a word to look at its object, the first or the last?

# %% mystnb={"image": {"alt": "Sixteen small maps, four layers by four heads. In layer 1 the attention is scattered. In layer 2 all four heads are bright on the cats. In layer 3 heads 2 and 4 are, and give little to the picture. In layer 4 it is scattered again."}, "figure": {"caption": "The place that writes `cats`, in every layer (row) and head. Each map is scaled to its own maximum; the number says which part of the attention goes to the picture at all.", "name": "fig-ch19-heads"}} tags=["hide-input"]
fig, axes = plt.subplots(4, 4, figsize=(7, 7.6), layout="constrained")
for layer in range(NUM_LAYERS):
    for head in range(NUM_HEADS):
        values = attention.weights[WORD, layer, head]
        draw_patch_values(image, values.tolist(), axes[layer, head])
        axes[layer, head].set_title(
            f"layer {layer + 1}, head {head + 1}: {values.sum():.2f}", fontsize=8
        )
plt.show()

# %% [markdown]
# One picture is a story. Take 80 scenes, and every word in their captions that names a toy that is there, 160 of them. For each layer and head: of the attention that goes to the picture, which part goes to the patches of that toy (those that it covers to a quarter or more)? If attention were spread evenly it would be the part of the picture that these patches are.


# %% tags=["nbval-ignore-output"]
def patches_of(scene, toy: str) -> np.ndarray:
    """bool [N]: the patches that the toys of a kind cover to a quarter or more."""
    indices = [i for i, thing in enumerate(scene.objects) if thing.label == toy]
    covered = np.isin(scene.owner, indices).reshape(8, 14, 8, 14).mean((1, 3))
    return covered.flatten() >= 0.25


scenes = [draw_scene(seed, "test") for seed in range(80)]
captions = generate(model, processor, [PROMPT] * 80, [scene.image for scene in scenes], 26)
words = []  # scene, caption, place of the word in it, bool [N]
for one, text in zip(scenes, captions):
    for place, token in enumerate(
        tokenizer.convert_ids_to_tokens(processor.encode_suffix(text))
    ):
        if token in TOY_OF and (patches := patches_of(one, TOY_OF[token])).any():
            words.append((one, text, place, patches))

on_the_toy, even = np.zeros((NUM_LAYERS, NUM_HEADS)), 0.0
for one, text, place, patches in words:
    values = (
        attend_word_by_word(model, processor, PROMPT, one.image, text).weights[place].numpy()
    )
    on_the_toy += values[..., patches].sum(-1) / values.sum(-1) / len(words)
    even += patches.mean() / len(words)
print(f"{len(words)} words; spread evenly it would be {even:.2f}")
for layer, parts in enumerate(on_the_toy):
    print(f"layer {layer + 1}:", " ".join(f"{part:.2f}" for part in parts))
assert on_the_toy[1].min() > 0.5

# %% [markdown]
# Layer 2 it is: of what it takes from the picture, 62 to 74 % comes from the toy that is being named, six times its share. In the layers before and after it is less than half. (One may guess why; nothing here shows it.)
#
# ## Explore
#
# Here are three pictures with all words, layers and heads. Choose a word, then click on a head. Try `two` against `cats`: which heads count? Try `grass`: where do you look to see that the ground is grass? And the last picture's answer has boxes: which part of the picture do the four location tokens of a box look at? (`space` is the token for a space, `▁`.)

# %% tags=["nbval-ignore-output", "hide-input"]
frames = []
for index, prompt in ((0, "caption en"), (2, "caption en"), (4, "detect turtle ; house")):
    picture = example_image(index)
    [text] = generate(model, processor, [prompt], [picture])
    seen = attend_word_by_word(model, processor, prompt, picture, text)
    frames.append(Frame(picture, prompt, seen.tokens, seen.weights))
HTML(explorer_html(frames))

# %% [markdown]
# All frames of the explorer are in the page, so it works without Python. In JupyterLab the next cell does the same with any picture and any prompt: put in your own.
#
# A map says where a head reads. Does the answer need what it has read there? Take a head away, and see. Ask, choose the position that predicts the name of a toy, and find a head in layer 1 (the second row, since the figure counts from 0) whose map lies on that toy. Knock it out. Guess first: will the model name another toy, name none, or not mind?
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
# For most heads it does not mind, however bright the map was: the other heads of the layer look at the same toy, and they are enough. Knock out the whole row, and the answer breaks. And if you find a head whose loss ends the caption early, or changes a number, look at its map again: nothing there said so. Knocking out a head is an *intervention*, as covering a part of the image is, further below. A map is a measurement. It says what a head reads, and not what for.


# %% [markdown]
# ## Through several layers
#
# A map of one layer has a gap. What a patch's place holds in layer 3 is no longer that patch alone: in layers 1 and 2 it has taken in others. To say how much of the *input* arrives at a place on top, you have to multiply the layers: what I took from you, times what you had taken from her.
#
# Multiply what? Attention is only a part of what happens. Each layer *adds* to what was there, and the old vector stays in the sum: the residual. {term}`Attention rollout <attention rollout>` {cite}`abnar2020quantifying` counts both alike, half for staying and half for attention.


# %% tags=["from:vlm.inside.rollout.attention_rollout"]
def attention_rollout(weights: Sequence[Tensor]) -> Tensor:
    """How much of each place at the top came from each at the bottom, by attention alone."""
    rollout = torch.eye(weights[0].shape[-1], device=weights[0].device)  # [S, S]
    for layer_weights in weights:
        mixed = layer_weights.float().mean(1)  # [B, S, S]
        identity = torch.eye(mixed.shape[-1], device=mixed.device)  # [S, S]
        rollout = (identity + mixed) / 2 @ rollout  # [B, S, S]
    return rollout


# %%
# By hand, two places and two layers.
# In the first both look at place 0, in the second they look at each other.
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


# %% mystnb={"image": {"alt": "Two maps for the word cats. In both the brightest patch is on the left bird, and the right bird is bright. With the residual the upper cat's face is half as bright, and the lower cat a little; without it both cats are nearly dark."}, "figure": {"caption": "Rollout for `cats`, with the residual and without. Both are drawn to the birds. Without the residual little is left of the cats.", "name": "fig-ch19-rollout"}} tags=["hide-input"]
batched = [layer[None] for layer in weights]
fig, axes = plt.subplots(1, 2, figsize=(6, 3.2), layout="constrained")
for ax, function, title in (
    (axes[0], attention_rollout, "with the residual"),
    (axes[1], rollout_without_residual, "without it"),
):
    draw_patch_values(image, function(batched)[0, writer, :NUM_PATCHES].tolist(), ax, title)
plt.show()

# %% [markdown]
# Is "half" true? Nobody says so. A layer may add much or little, and the MLPs are left out. Rollout is a rough sketch of what can have come from where. You will see below how it does against simpler maps.
#
# ## What do the vectors already say?
#
# At the top the last norm and the head turn a vector into scores for all words. Nothing keeps you from doing the same with a vector from the middle. This is the {term}`logit lens <logit lens>` {cite}`nostalgebraist2020interpreting`: what would the model say, if it stopped here?


# %% tags=["from:vlm.inside.logit_lens.logit_lens"]
@torch.inference_mode()
def logit_lens(language_model: GemmaForCausalLM, hidden_states: Tensor) -> Tensor:
    """What the model would say if it stopped here: norm, then head. [B, S, D] -> [B, S, V]."""
    return language_model.lm_head(language_model.model.norm(hidden_states))


# %% tags=["nbval-ignore-output"]
table = []
for layer, hidden_states in enumerate(states):
    logits = logit_lens(model.language_model, hidden_states[None])[0]  # [S, V]
    writers = logits[-len(attention.tokens) - 1 : -1]  # the places that write the answer
    table.append(tokenizer.convert_ids_to_tokens(writers.argmax(-1).tolist()))
    print(
        f"after layer {layer + 1}:",
        " ".join(token.strip("▁").replace("\n", "\\n") for token in table[-1]),
    )
print("the answer:   ", " ".join(token.replace("▁", "") for token in attention.tokens))
assert table[-1] == attention.tokens  # after the last layer the lens is the model itself

# %% [markdown]
# After layer 1 each vector still says the token that it has *read* (the first is the newline), not the one that comes. Then the words become right, and after layer 3 the model could nearly stop. Do you need the norm for that? The likeliest word would often be the same without it: a norm divides a vector by one number, and its weights, by which it multiplies each entry, are much alike in this model. What changes is how *sure* the lens is. Vectors in the middle have other lengths than the head is used to. Take the log probability of the word that does come next, over all captions, with the norm and without.


# %% tags=["nbval-ignore-output"]
def sureness(lens_function: Callable[[Tensor], Tensor]) -> list[float]:
    """Mean log probability of the caption's next token, after each layer."""
    totals, count = np.zeros(NUM_LAYERS), 0
    for one, text in zip(scenes[:60], captions):
        suffix = torch.tensor(processor.encode_suffix(text))
        count += len(suffix)
        for layer, hidden_states in enumerate(read(one.image, text)[1]):
            logits = lens_function(hidden_states[None, -len(suffix) - 1 : -1])[0]
            totals[layer] += logits.log_softmax(-1).gather(-1, suffix[:, None]).sum().item()
    return (totals / count).tolist()


def with_norm(hidden_states: Tensor) -> Tensor:
    return logit_lens(model.language_model, hidden_states)


print("after layer        1      2      3      4")
print("with the norm", " ".join(f"{value:6.2f}" for value in sureness(with_norm)))
print(
    "without it   ",
    " ".join(f"{value:6.2f}" for value in sureness(model.language_model.lm_head)),
)

# %% [markdown]
# After layer 2 the right token has e⁻⁶ with the norm, one in 400, and e⁻⁹·⁶ without, one in 14,000. After layer 4 both are certain. Leave the norm out, and you will say that the model knows its words later than it does.
#
# Read it off yourself. Each column of the table is a token of the answer, each row a layer; the top row is what goes into layer 0, and the bottom row is the answer. Before you ask: what will the lens read in the top row, where no layer has done anything yet? And which tokens are there first on the way down, the names of toys, the numbers, or words like `and` and `on`?
#
# <div class="live-figure" data-figure="attention-lab" data-view="lens" data-tasks="caption detect count">
# <p>This figure needs JavaScript. The numbers above are means over many tokens. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("attention-lab", view="lens", tasks="caption detect count")

# %% [markdown]
# In the top row each position says the token that it *holds*, with a probability near 1: the embedding is also the head, so a vector that has just been looked up is closest to itself. In the bottom row it says the token that *comes next*. The layers in between turn one into the other, and halfway you find both, or words that are neither. So a lens reads in coordinates, those of the vocabulary, and a vector has to be turned into them before anything can be read. Move the toys, and find out which tokens settle early in every scene.
#
# Now the part that surprises people. Put the lens on the *patches*. In the language model no loss was ever taken there: what a patch's place foretells was never compared with anything.[^ch19-1] And still the language model turns it into its own words:
#
# [^ch19-1]: The tower is another matter. It began by learning to name the toy under each of its patches, with a linear layer that was thrown away; {doc}`chapter 22 <ch22_pretraining>`. So it is no wonder that the knowledge goes in.

# %% mystnb={"image": {"alt": "Four panels, one for each layer, of the scene with birds and cats. On each patch stands the toy that the lens reads there, or a dot. After layer 1 two wrong names, after layer 3 cat on the cats and bird on the birds, after layer 4 bird on some patches of the cats as well."}, "figure": {"caption": "The logit lens on the patches: the toy that a patch's vector names, where its likeliest word is a toy; else a dot. No loss asked the language model for these words.", "name": "fig-ch19-lens"}} tags=["hide-input"]
fig, axes = plt.subplots(1, 4, figsize=(9.2, 2.6), layout="constrained")
for layer, (ax, hidden_states) in enumerate(zip(axes, states)):
    logits = logit_lens(model.language_model, hidden_states[None, :NUM_PATCHES])[0]
    tokens = tokenizer.convert_ids_to_tokens(logits.argmax(-1).tolist())
    draw_names(ax, image, [TOY_OF.get(token, "") for token in tokens])
    ax.set_title(f"after layer {layer + 1}")
plt.show()

# %% [markdown]
# A pretty picture, and most articles stop here. How reliable is it? Take all patches that one toy covers to a half or more, in 60 scenes, and look for the likeliest among the 20 toys. Guess first: which part of the patches will be read rightly? By chance it would be 0.05.


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
    """Vectors [5, M, D] of M patches, as they go in and after each layer; and their owners."""
    vectors, owners = [], []
    for one, text in zip(some_scenes, texts):
        pixel_values = processor([PROMPT], [one.image])["pixel_values"]
        layers = [model.get_image_features(pixel_values)[0], *read(one.image, text)[1]]
        kept = [place for place, toy in enumerate(owners_of_patches(one)) if toy]
        vectors.append(torch.stack([layer[kept] for layer in layers]))
        owners += [toy for toy in owners_of_patches(one) if toy]
    return torch.cat(vectors, dim=1), owners


vectors, owners = patch_vectors(scenes[:60], captions)
toys = [with_norm(layer[None])[0][:, TOY_IDS].argmax(-1) for layer in vectors]
read_by_lens = [[NAMES[i] == owner for i, owner in zip(layer, owners)] for layer in toys]
print("after layer   0 (input)   1     2     3     4")
print("the lens:    ", " ".join(f"{np.mean(right):5.2f}" for right in read_by_lens))
by_toy = {
    toy: np.mean([right for right, owner in zip(read_by_lens[3], owners) if owner == toy])
    for toy in sorted(set(owners))
}
print("after layer 3:")
listed = [f"{toy} {part:.1f}" for toy, part in by_toy.items()]
for start in range(0, len(listed), 7):
    print("   ", ", ".join(listed[start : start + 7]))

# %% [markdown]
# One in four. Birds are read always, bananas and dogs mostly, turtles one time in five (the one above was a boat), and nine kinds never or one time in ten. The picture with the cats was a lucky one. (It is a good habit to ask this of any such picture, in papers too.)
#
# Does the model not know what is on these patches, then? It does, since it writes the right captions. The lens can read only what is written in the coordinates of words. To ask whether something is there *at all*, in whatever coordinates, train a reader: a {term}`linear probe` {cite}`alain2016understanding`, one matrix from the vector to the 20 toys, fitted on other scenes.


# %% tags=["nbval-ignore-output"]
probe_scenes = [draw_scene(seed, "train") for seed in range(200)]
probe_texts = generate(
    model, processor, [PROMPT] * 200, [one.image for one in probe_scenes], 26
)
train_vectors, train_owners = patch_vectors(probe_scenes, probe_texts)
targets = torch.eye(len(LABELS))[[LABELS.index(owner) for owner in train_owners]]  # [M, 20]
probed = []
for train_layer, test_layer in zip(train_vectors, vectors):
    matrix = torch.linalg.lstsq(train_layer.double(), targets.double()).solution  # [D, 20]
    guesses = (test_layer.double() @ matrix).argmax(-1)
    probed.append(np.mean([LABELS[i] == owner for i, owner in zip(guesses, owners)]))
print("after layer   0 (input)   1     2     3     4")
print("a probe:     ", " ".join(f"{part:5.2f}" for part in probed))
assert min(probed) > 0.7 > 2 * np.mean(read_by_lens[3])

# %% [markdown]
# Everything is there, in each layer. That it is there at the input is no discovery: the tower was trained to have it there, for a reader like this one. That it stays there through four layers is what the probe finds, and what the lens missed, because most of these vectors point elsewhere than the words do. So a lens that reads nothing proves nothing, and one that reads something has to be scored before you believe it.[^ch19-2]
#
# ## What would it miss?
#
# Maps of attention and lenses show what is there. They do not show what matters: a model may look at something and ignore it {cite}`jain2019attention`, and whether one may call such maps an explanation is disputed {cite}`wiegreffe2019attention`. One thing is not disputed: change the input, and see what changes. *Cover* a part of the picture. This is {term}`occlusion <occlusion>` {cite}`zeiler2013visualizing`.
#
# [^ch19-2]: A probe has its own trap, the opposite one: that it *can* read something does not mean that the model uses it.


# %% tags=["from:vlm.inside.occlusion.cover"]
def cover(image: Image.Image, box: tuple[int, int, int, int], value: int = GREY) -> Image.Image:
    """A copy of the picture with a rectangle painted over."""
    y_min, x_min, y_max, x_max = box
    pixels = np.array(image.convert("RGB"))  # [H, W, 3]
    pixels[y_min:y_max, x_min:x_max] = value
    return Image.fromarray(pixels)


# %% [markdown]
# What happens when you cover the cat? There are two. Say what the caption will be, before you run this, when one cat is covered, and when both are.

# %% mystnb={"image": {"alt": "Three versions of the scene with the caption above each. Whole: two birds and two cats on grass. With the lower cat covered by a grey rectangle: two birds, a cat and a tree on grass. With both cats covered: two birds, a cake and two rockets on grass."}, "figure": {"caption": "The same scene, whole, with one cat covered, and with both. Above each its caption.", "name": "fig-ch19-cover"}} tags=["hide-input"]
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
# The covered cats are gone from the captions. But a grey square is something too, and the model, which has no word for it, sees a tree, then a cake and rockets. Whenever you cover, you also add.
#
# Cover something yourself: drag over the image in the figure. For each token of the answer the bar shows how probable it is now, and the line how probable it was. Guess first: is there a single patch of the turtle without which its name is gone? And if you cover as many patches of sand as the turtle has, what falls, and what stays?
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
# We found no such patch: the name stands until most of the toy is gray. Cover all of it, and the name is gone, while the other toy keeps its own. Cover sand, and both names stay. But look at the short tokens before them: `a` may fall to nothing, because the model takes your gray for one more toy and says `two`. So covering is evidence about the name, and a poor experiment about the number.
#
# Count over many scenes: cover the only toy of its kind, and ask whether the caption still names it; as a control, cover a rectangle of the same size where no toy is.


# %% tags=["nbval-ignore-output"]
def free_place(scene, height: int, width: int) -> tuple[int, int, int, int] | None:
    """A rectangle of that size without any toy in it."""
    for y in range(0, 113 - height, 4):
        for x in range(0, 113 - width, 4):
            if (scene.owner[y : y + height, x : x + width] < 0).all():
                return y, x, y + height, x + width
    return None


pairs = []
for one in scenes:
    kinds = [thing.label for thing in one.objects]
    thing = next((thing for thing in one.objects if kinds.count(thing.label) == 1), None)
    if thing is not None:
        y_min, x_min, y_max, x_max = thing.box
        place = free_place(one, y_max - y_min, x_max - x_min)
        if place is not None:
            pairs.append((thing.label, cover(one.image, thing.box), cover(one.image, place)))
prompts = [PROMPT] * len(pairs)
toy_covered = generate(model, processor, prompts, [pair[1] for pair in pairs], 26)
ground_covered = generate(model, processor, prompts, [pair[2] for pair in pairs], 26)
still_named = [label in text for (label, *_), text in zip(pairs, toy_covered)]
control = [label in text for (label, *_), text in zip(pairs, ground_covered)]
print(
    f"{len(pairs)} scenes; the toy is still named when it is covered: {np.mean(still_named):.2f}"
)
print(
    f"                    and when ground of the same size is covered: {np.mean(control):.2f}"
)
assert np.mean(still_named) < 0.2 < 0.8 < np.mean(control)

# %% [markdown]
# That is evidence: the model names what is there because it is there. A map comes from doing it for every square of a grid, here of 28 pixels around the middle of each patch, and looking by how much the word's log probability falls. It costs a pass for each patch; as a batch of 65 pictures that is a third of a second.


# %% tags=["from:vlm.inside.occlusion.occlusion_map"]
def occlusion_map(
    score: Callable[[list[Image.Image]], np.ndarray], image: Image.Image, stride: int, side: int
) -> np.ndarray:
    """By how much the score falls when a square is covered, for each cell of a grid."""
    width, height = image.size
    grow = (side - stride) // 2
    covered = [
        cover(image, (max(y - grow, 0), max(x - grow, 0), y - grow + side, x - grow + side))
        for y in range(0, height, stride)
        for x in range(0, width, stride)
    ]
    whole, *others = score([image, *covered])
    return (whole - np.array(others)).reshape(-(-height // stride), -(-width // stride))


# %% [markdown]
# ## Which map points at the toy?
#
# Now let all of them compete. For each word that names a toy, take the map's brightest patch. Is it one of the toy's? Guess an order before you run this.

# %% mystnb={"image": {"alt": "Horizontal bars: the share of words whose brightest patch lies on the toy, by map. Attention of layer 2 0.87, its head 3 0.85, layer 3 0.80, rollout 0.72, occlusion 0.70, layer 1 0.67, layer 4 0.65, rollout without residual 0.53, chance 0.11."}, "figure": {"caption": "How often the brightest patch of a map lies on the toy that is being named (60 words, so differences of less than a tenth may be chance). Layer 2 and its head 3 had been found on these words before, which flatters them. Rollout without the residual is the worst.", "name": "fig-ch19-pointing"}} tags=["hide-input"]
hits = {}
for one, text, place, patches in words[:60]:
    layers, _ = read(one.image, text)
    tokens = len(processor.encode_suffix(text))
    at = layers[0].shape[-1] - tokens - 1 + place
    stacked = [layer[None] for layer in layers]
    maps = {f"attention, layer {i + 1}": layer.mean(0)[at] for i, layer in enumerate(layers)}
    maps["attention, layer 2, head 3"] = layers[1][2, at]
    maps["rollout"] = attention_rollout(stacked)[0, at]
    maps["rollout without residual"] = rollout_without_residual(stacked)[0, at]
    for name, values in maps.items():
        hits.setdefault(name, []).append(patches[int(values[:NUM_PATCHES].argmax())])
    occluded = occlusion_map(score_word(one.image, text, place), one.image, stride=14, side=28)
    hits.setdefault("occlusion", []).append(patches[int(occluded.argmax())])
shares = {name: float(np.mean(values)) for name, values in hits.items()}
shares["chance"] = float(np.mean([patches.mean() for *_, patches in words[:60]]))
ordered = sorted(shares, key=shares.get)
fig, ax = plt.subplots(figsize=(6.8, 3.4), layout="constrained")
bars = ax.barh(
    ordered,
    [shares[name] for name in ordered],
    color=["#999999" if n == "chance" else "#0072B2" for n in ordered],
)
ax.bar_label(bars, fmt="%.2f", padding=3)
ax.set(xlabel="brightest patch on the toy", xlim=(0, 1.08), ylabel="map")
plt.show()

# %% [markdown]
# The plain mean of the heads in the right layer wins, and you could find that layer only because you had the truth to score it with. Rollout mixes in what the patches took from each other. It does about as well as a layer picked at random, and without the residual worse than any. Occlusion, the only one that is evidence, does not win. It answers another question: with two cats in the picture the word `cats` needs both, and to cover the grass beside one may hurt as much as to cover its ear, since a grey square
# in the grass is a new thing. Grey is a choice. So is the size of the square.
#
# What can you say, then? "While writing `turtle`, layer 2 takes most of what it takes from the turtle's patches": that is a measurement. "The model says `turtle` because it looks there": that needs an experiment, and covering is one. "It knows what a turtle is": nothing here says so.
#
# ## What the real model does
#
# The same code runs on Google's weights: 18 layers of 8 heads, 256 to 4,096 patches. `attend_word_by_word` keeps all weights of all layers. At 896 pixels that is 18 · 8 · 4,100², 2.4 billion numbers, so look at one layer at a time there. Which layers and heads look at their object we could not measure; no real weights were at hand. In large models you will also meet heads that give nearly everything to the first token and mean nothing by it. And in PaliGemma, as in the Toybox, the patches see the prompt, so a patch's vector may depend on the question.
#
# ## Exercises
#
# Open `exercises/ch19_inside.py`, write what is missing, and grade it, below or in a terminal:
#
# ```text
# pytest exercises/test_ch19_inside.py
# ```
#
# ### `word_map` (2 points, 10 minutes)
#
# ```{admonition} Hint 1: which place
# :class: dropdown
# The newline at the end of the prompt writes the first token of the answer. Which place is it?
# ```
# ```{admonition} Hint 2: softmax
# :class: dropdown
# Over all places that there are, first; the patches are cut out afterwards.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch19_inside.py
# :pyobject: word_map
# ```
# ````
#
# ### `rollout` (2 points, 15 minutes)
#
# ```{admonition} Hint
# :class: dropdown
# Begin with the identity. The next layer reads what the layers before it have made, so it stands on the left of the product.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch19_inside.py
# :pyobject: rollout
# ```
# ````
#
# ### `lens` (2 points, 10 minutes)
#
# ```{admonition} Hint
# :class: dropdown
# Norm, then head, then softmax. The norm of this course multiplies by 1 + weight.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch19_inside.py
# :pyobject: lens
# ```
# ````
#
# ### `occlusion` (2 points, 15 minutes)
#
# ```{admonition} Hint
# :class: dropdown
# Copy the picture for each square. What is drawn is how much is *lost*: the whole picture's score minus the covered one's.
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
# A word is written by the place before it, and that place's attention, after softmax, is a map over the patches. In this model layer 2 looks at what is being named. Rollout multiplies the layers and needs the residual. The lens reads vectors with the model's own last norm and head: it works on words, and on patches it is right one time in four, though a probe reads nearly all of them. Covering is an experiment, and shows what the answer rests on. All of these were scored, and the simplest won.
#
# You have scored maps. Next you score the model itself, and learn how far such a score can be believed.
