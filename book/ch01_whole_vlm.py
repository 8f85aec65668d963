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
# # A whole vision language model (VLM) in one sitting: how does an image become an answer?
#
# A {term}`vision language model` (VLM) takes an image and a text, and returns a text. In this chapter you follow
# one image and one prompt through a complete VLM, from the bytes of the image to the boxes drawn on it. Nothing
# is trained, and no step is skipped, though some remain black boxes until their own chapter. The model is small: 2.7 million parameters, where Google's PaliGemma has
# 2.9 billion. But it has the same parts under the same names, and the same code runs both.
#
# At the end you will be able to
#
# - name the main tensors between an image and an answer, and explain their shapes;
# - write the loop that turns logits into tokens, first the slow way, then with a cache;
# - read boxes and outlines from the answer, and draw them;
# - look inside the model, and see which patches it attended to when it generated a token.
#
# Time: about 45 minutes to read and run, and 35 for the three exercises. You should know what a neural network is, and a little PyTorch.
#
# Here is where we are going. The cell loads a model, gives it one image and one prompt, and draws its answer.

# %% mystnb={"image": {"alt": "A toy scene with two birds and two cats on grass, each with a labeled box."}, "figure": {"caption": "The answer to \"detect cat ; bird\", drawn. The model never saw this image in training. Its answer is text, in which four tokens for each toy give the edges of a box. All four toys are found; some edges are a few pixels off.", "name": "fig-ch01-goal"}}
import matplotlib.pyplot as plt
import torch
from torch import Tensor
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image, example_scene
from vlm import KVCache, PaliGemmaProcessor, generate, load_hf_model, parse_detections
from vlm.regions.draw import draw_detections, draw_patch_values

torch.set_grad_enabled(False)  # nothing is trained in this chapter

model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY, device="cpu")
vision_config, text_config = model.config.vision_config, model.config.text_config
processor = PaliGemmaProcessor.for_model(model, tokenizer)

image, prompt = example_image(0), "detect cat ; bird"
[answer] = generate(model, processor, text=[prompt], images=[image])

fig, ax = plt.subplots(figsize=(3.6, 3.6), layout="constrained")
draw_detections(image, parse_detections(answer, image.height, image.width), ax)
plt.show()

# %% [markdown]
# We call it the {term}`Toybox` model. Its world consists of images with up to six toys of 20 kinds, on many kinds of ground, and small signs to read. That is small enough to be learned on a laptop, and yet the model takes every step that the real one takes.
#
# ## Three parts: vision tower, projector, language model
#
# A PaliGemma has three parts (arXiv 2407.07726 {cite}`beyer2024paligemma`, section 3). A {term}`vision tower`, SigLIP {cite}`zhai2023sigmoid`, turns the image into
# vectors. A {term}`projector`, one linear layer, brings those vectors to the width of the language model. The
# *language model*, Gemma {cite}`gemma2024open`, reads them together with the tokens of the prompt, and predicts the next token.

# %% tags=["hide-input"]
from figures.schematics.whole_model import draw_whole_model
from IPython.display import HTML
from vlm.checkpoints.published import published_config

drawing = draw_whole_model(model.config, published_config("paligemma-3b-224"))
HTML(
    drawing.html(
        "The whole course in one drawing: boxes compute, arrows carry tensors. Image "
        "parts are blue, text parts orange. Beside each arrow is the tensor's shape "
        "in the book's letters, then its sizes in the Toybox model and in PaliGemma 3B, "
        "for a prompt of 8 tokens."
    )
)

# %%
for name, part in model.named_children():
    num_parameters = sum(parameter.numel() for parameter in part.parameters())
    print(f"{name:24}{num_parameters:>10,} parameters")

# %% [markdown]
# We name the sizes once, and use the same letters throughout the book; {doc}`notation` lists them all on one page.
# The comment at the end of a line gives the shape of that line's result.

# %%
B = 1  # batch: one image with one prompt
P = vision_config.patch_size  # a patch is P x P pixels
N = vision_config.num_image_tokens  # image tokens: one for each patch
D = text_config.hidden_size  # hidden size of the language model
V = text_config.vocab_size  # vocabulary: tokens that it knows
print(f"B = {B}, P = {P}, N = {N}, D = {D}, V = {V}")

# %% [markdown]
# ## From an image to pixel values
#
# The *processor* prepares both inputs. Let it run, and look at what comes out.

# %%
inputs = processor(text=[prompt], images=[image])
for name, tensor in inputs.items():
    print(f"{name:16}{list(tensor.shape)!s:18}{tensor.dtype}")

# %% [markdown]
# `pixel_values` is the image: 3 color channels, 112 rows, 112 columns. This image was already 112 pixels wide and high; the processor resizes
# any other image to that. It also maps bytes from 0 to 255 to numbers from -1 to 1. You can compute that by hand
# for one pixel, and the processor must agree.

# %%
row, column = 60, 40
byte = torch.tensor(image.getpixel((column, row)))  # PIL counts columns first
by_hand = (byte / 255 - 0.5) / 0.5  # [3]
assert torch.allclose(inputs["pixel_values"][0, :, row, column], by_hand)
print("red, green, blue:", byte.tolist(), "->", [round(x, 3) for x in by_hand.tolist()])

# %% [markdown]
# A model that compares every pixel with every other would have to handle 12,544² pairs, 157 million. So the tower first cuts the
# image into patches of 14 by 14 pixels. 112 / 14 = 8, so there are 8 rows of 8 patches: N = 64.

# %% mystnb={"image": {"alt": "The scene with white lines that divide it into 8 by 8 patches, numbered from 0 to 63 in reading order."}, "figure": {"caption": "What the model gets: 64 patches in reading order. A cat covers about a dozen of them, and no patch contains a whole cat. Putting the pieces together is the tower's job.", "name": "fig-ch01-patches"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(4.2, 4.2), layout="constrained")
ax.imshow(image, extent=(0, 112, 112, 0))
ax.set_xticks(range(0, 113, P))
ax.set_yticks(range(0, 113, P))
ax.grid(color="white", linewidth=1)
for patch in range(N):
    y, x = divmod(patch, 8)
    ax.text(x * P + 1.5, y * P + 5.5, patch, color="white", fontsize=6.5)
ax.set(xlabel="pixel column", ylabel="pixel row")
plt.show()

# %% [markdown]
# ## From a text to tokens
#
# `input_ids` is the text, cut into pieces from a fixed vocabulary. Each piece, a {term}`token`, has a number, its id. A token may be a whole
# word, a part of one, or a symbol with a meaning of its own. The *position* of a token is its index in the
# sequence, counted from 0. Here is the sequence in full. The first 64 positions are reserved for the image.

# %%
ids = inputs["input_ids"][0].tolist()
tokens = tokenizer.convert_ids_to_tokens(ids)
print(f"{N} x {tokens[0]!r} (id {ids[0]}), then")
for token_id, token in list(zip(ids, tokens))[N:]:
    print(f"{token_id:6}  {token!r}")

# %% [markdown]
# "▁" represents a space. `<bos>` marks the beginning of the text. The newline at the end says that the prompt is
# over, and that the answer comes next. Count them: the whole sequence has S = 64 + 6 = 70 positions, the same
# number as in the shape of `input_ids` above. How long would the sequence be with an empty prompt? Think first; then run the cell.

# %%
S = inputs["input_ids"].shape[1]
prompt_tokens = tokenizer.encode(prompt, add_special_tokens=False)
assert N + len(["<bos>", *prompt_tokens, "\n"]) == S
empty = processor(text=[""], images=[image])
print(f"{S} positions with the prompt, {empty['input_ids'].shape[1]} with an empty one")

# %% [markdown]
# ## The vision tower: patches become vectors
#
# The vision tower turns each patch into a vector. It starts from the patch's own pixels. Then, in each of its four layers, every patch *attends* to all patches: it decides how much each of them matters, and takes in information accordingly.

# %%
pixel_values = inputs["pixel_values"]  # [B, 3, 112, 112]
embeddings = model.vision_tower.vision_model.embeddings(pixel_values)  # [B, N, 192]
patch_vectors = model.vision_tower(pixel_values)  # [B, N, 192]
print(list(embeddings.shape), "->", list(patch_vectors.shape))

# %% [markdown]
# The shape is the same before and after. What has changed is the content of the vectors. Take one patch in the middle
# of the large cat, and ask how similar the other patches' vectors are to its vector. The measure is the {term}`cosine similarity`, the cosine of
# the angle between two vectors: 1 for the same direction, 0 for perpendicular vectors.
#
# Before you look at the figure: the two cats do not touch, and both are orange. Which patches will be similar to the
# cat's patch *before* the tower's four layers? What will the layers change?

# %% mystnb={"image": {"alt": "Two maps of the scene. Before the layers, patches that contain orange are similar to the chosen one, and the grass is moderately similar. After the layers, both cats stand out, a rim around the toys is moderately similar, and the rest of the grass is dark."}, "figure": {"caption": "The tower separates toys from ground. The maps show the cosine similarity to the patch marked in white. Before the layers, similarity follows color, and the grass is moderately similar too. After them, the grass is dissimilar, and both cats stand out, with a rim of patches around all four toys.", "name": "fig-ch01-similarity"}} tags=["hide-input"]
scene = example_scene(0)
largest_cat = max(
    (thing for thing in scene.objects if thing.label == "cat"),
    key=lambda thing: thing.box[2] - thing.box[0],
)
y, x = (int(value // P) for value in largest_cat.center)


def show_similarity(patch: int):
    """How similar all patches are to one, before and after the tower's layers."""
    y, x = divmod(patch, 8)
    fig, axes = plt.subplots(1, 2, figsize=(7.2, 3.7), layout="constrained")
    for ax, vectors, title in zip(
        axes, (embeddings, patch_vectors), ("before the layers", "after the layers")
    ):
        similarity = torch.cosine_similarity(vectors[0], vectors[0, patch], dim=-1)  # [N]
        layer = draw_patch_values(image, similarity.clamp(min=0), ax, title, vmax=1)
        ax.add_patch(
            plt.Rectangle((x * P, y * P), P, P, fill=False, edgecolor="white", linewidth=2.5)
        )
    fig.colorbar(layer, ax=axes, label="cosine similarity", shrink=0.85)
    plt.show()


show_similarity(y * 8 + x)

# %% [markdown]
# The next figure computes such maps in your browser: at the start, after each of the tower's four layers, and after the projector, which comes below. Predict before you click. Suppose you choose a patch inside a *bird* (birds are red here, cats are orange). At the start, is it more similar to the other patches of birds or to those of cats? And at the end?
#
# <div class="live-figure" data-figure="similarity">
# <p>This figure needs JavaScript. The maps above show one patch, before and after the layers. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("similarity")

# %% [markdown]
# Choose a patch inside a toy: at its edge a patch is part toy, part ground. Read the table from left to right. At the start a vector encodes little more than the colors in its patch. So a red bird can be close to an orange cat, and an eye far from the face around it. At the end, patches of one kind are alike, and the gap between their row of the table and the row of the other toys is at its widest. Now open “Change the scene” and drag a toy elsewhere. The gap moves with it: these vectors say more about what a toy is than about where it is.
#
# One caveat: our tower was also trained to name what is under each patch, which Google's was not, so do not expect maps this clean from the real one ({doc}`chapter 4 <ch04_contrastive>`).
#
# ## One sequence from two modalities: projector and merge
#
# The tower's vectors have 192 numbers, Gemma's have 128. The projector, a single linear layer, maps one to the
# other. It is the only bridge between seeing and speaking.

# %%
image_features = model.multi_modal_projector(patch_vectors)  # [B, N, D]
token_embeddings = model.language_model.model.embed(inputs["input_ids"])  # [B, S, D]
print("image", list(image_features.shape), " text", list(token_embeddings.shape))

# %% [markdown]
# The text has a vector, an {term}`embedding`, for each of its 70 positions. The first 64 are only placeholders, the embedding of the token
# `<image>`. The merge overwrites them with the image features. Below is the package's own function in full. It raises an
# error if the counts don't match: if the image features were shifted by one position, the answers would be wrong
# but look fine.


# %% tags=["from:vlm.paligemma.merge_image_features"]
def merge_image_features(
    inputs_embeds: Tensor, image_features: Tensor, image_mask: Tensor
) -> Tensor:
    """Write the image features, in order, to the positions of the image tokens.

    Args:
        inputs_embeds: [B, S, D].
        image_features: [I, N, D].
        image_mask: [B, S], True at the image tokens.

    Raises:
        ValueError: more or fewer image tokens than image features.
    """
    num_tokens, num_features = int(image_mask.sum()), image_features.shape[:2].numel()
    if num_tokens != num_features:
        raise ValueError(
            f"the text has {num_tokens} image tokens and the images give {num_features} features: "
            "each image needs exactly its own run of image tokens, as PaliGemmaProcessor writes it"
        )
    return inputs_embeds.masked_scatter(
        image_mask[..., None], image_features.to(inputs_embeds.dtype)
    )


# %%
is_image = inputs["input_ids"] == model.config.image_token_index  # [B, S]
sequence = merge_image_features(token_embeddings, image_features, is_image)  # [B, S, D]
assert torch.equal(sequence[0, :N], image_features[0])  # the image comes first
assert torch.equal(sequence[0, N:], token_embeddings[0, N:])  # the text is unchanged
print(list(sequence.shape))

# %% [markdown]
# From here on nothing tells the language model which vectors were pixels and which were text.
#
# ## The attention mask: who may attend to whom?
#
# A model that generates text must not see what it has not generated yet. But the image and the prompt are there from the beginning, so all their positions may see each other. PaliGemma therefore has two rules in one mask: everything in the
# {term}`prefix` (image and prompt) sees the whole prefix; each token of the {term}`suffix` (the answer) sees the prefix, and
# the answer up to and including itself.
#
# Positions exchange information by *attention*: each position scores every position it may attend to, itself included; a softmax turns
# the scores into weights, and the position takes in the weighted mean. It does this several times in parallel, in several *heads* (chapter 3 builds all of it). The mask is added to the scores:
# 0 where attention is allowed, a huge negative number where it is not. The 1 in its shape means that all heads share it. Here is the mask for our prompt and the first ten tokens of an answer.

# %% mystnb={"image": {"alt": "A square grid with one row for each query position and one column for each key position. The 70 columns of the prefix are visible to all rows. The last ten columns, the answer, are visible only to the answer's own rows, in a staircase."}, "figure": {"caption": "The prefix-LM mask: the prefix is one full block, the answer a staircase. Rows are queries, columns are keys; where the square is light, the query may attend to the key.", "name": "fig-ch01-mask"}}
from vlm.attention_mask import make_prefix_lm_mask

attention_mask = torch.ones(B, S + 10, dtype=torch.long)  # no padding
token_type_ids = torch.tensor([[0] * S + [1] * 10])  # 0: prefix, 1: suffix
mask = make_prefix_lm_mask(attention_mask, token_type_ids, torch.float32)
# The mask is [B, 1, S + 10, S + 10].

fig, ax = plt.subplots(figsize=(4.6, 4.6), layout="constrained")
ax.imshow(mask[0, 0] == 0, cmap="cividis", interpolation="nearest")
for edge in (N, S):
    ax.axhline(edge - 0.5, color="#D55E00", linewidth=1.2)
    ax.axvline(edge - 0.5, color="#D55E00", linewidth=1.2)
ticks, names = [N / 2, (N + S) / 2, S + 5], ["image", "prompt", "answer"]
ax.set_xticks(ticks, names, rotation=90)
ax.set_yticks(ticks, names)
ax.set(xlabel="key position", ylabel="query position")
plt.show()

# %% [markdown]
# ## Logits: the first token
#
# Now Gemma runs. In four layers each position takes in what it needs from the positions it may attend to. At the end each
# position has one number for each token of the vocabulary. These numbers are called
# {term}`logits`; a softmax turns them into each token's probability of coming next. For the first token of the answer, we need only the last position.

# %%
outputs = model(**inputs)
print(list(outputs.logits.shape))  # [B, S, V]

probabilities = outputs.logits[0, -1].softmax(-1)  # [V]
for probability, token_id in zip(*probabilities.topk(5)):
    print(f"{probability:6.1%}  {tokenizer.convert_ids_to_tokens(int(token_id))}")

# %% [markdown]
# The most likely tokens are not words at all. PaliGemma's vocabulary has 1,024 {term}`location tokens <location token>`, `<loc0000>` to `<loc1023>`. They stand for 1,024 bins
# from the image's top edge to its bottom edge, or from left to right. A {term}`box` is four of them: top, left, bottom,
# right. So the first token of the answer says how far down the first toy begins. No token has more than 3.7 %:
# neighboring bins mean nearly the same, and share the probability among them. That is partly because of how the Toybox was trained: its {term}`soft targets <soft target>` give credit
# for neighboring bins, where Google's recipe counts a single bin as right. Let us look at all 1,024 bins, and at where
# the cats in this image really begin.

# %% mystnb={"image": {"alt": "Probability over the 1,024 location tokens: a single peak near the first of two dashed lines, which mark the true top edges of the two cats."}, "figure": {"caption": "The model has settled on the upper cat. The curve is the distribution of the first token: one peak, a few pixels wide, at the upper cat's top edge, and nothing at the lower cat's. The dashed lines are the true edges; 9 bins are one pixel. The model was trained to begin with the topmost toy.", "name": "fig-ch01-first-word"}} tags=["hide-input"]
from vlm.regions.boxes import NUM_LOCATION_BINS

first_location = tokenizer.convert_tokens_to_ids("<loc0000>")
location_probabilities = probabilities[
    first_location : first_location + NUM_LOCATION_BINS
]  # [1024]
fig, ax = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
ax.fill_between(range(NUM_LOCATION_BINS), location_probabilities, color="#0072B2")
for thing in scene.objects:
    if thing.label == "cat":
        ax.axvline(thing.box[0] / image.height * 1023, color="#D55E00", linestyle="--")
ax.set(
    xlabel="location token, 0 (top edge) to 1023 (bottom edge)",
    ylabel="probability",
    xlim=(0, 1023),
    ylim=(0, None),
)
plt.show()

# %% [markdown]
# ## The generation loop: greedy decoding
#
# One run of the model gives one token. To get an answer, take the most likely token, append it to the sequence, and run the model
# again, until it generates `<eos>`: end of sequence. Taking the most likely token each time is called {term}`greedy decoding`. We
# count how many positions the model has to process.

# %%
input_ids, token_type_ids = inputs["input_ids"], torch.zeros_like(inputs["input_ids"])
one = torch.ones(B, 1, dtype=torch.long)
new_tokens, positions = [], 0
while not new_tokens or new_tokens[-1] != tokenizer.eos_token_id:
    # logits: [B, length so far, V]
    logits = model(input_ids, pixel_values, token_type_ids=token_type_ids).logits
    positions += input_ids.shape[1]
    new_tokens.append(int(logits[0, -1].argmax()))
    input_ids = torch.cat([input_ids, one * new_tokens[-1]], dim=1)
    token_type_ids = torch.cat([token_type_ids, one], dim=1)  # new tokens are suffix

print(processor.decode(new_tokens))
print(f"{len(new_tokens)} new tokens, {positions:,} positions processed")
print(f"the tower ran {len(new_tokens)} times")

# %% [markdown]
# The 27 tokens are 16 location tokens, 4 names, three separators of two tokens each, "▁;" and a space (a space joins the word after it, and here a location token comes after it), and `<eos>`, which is not printed: 16 + 4 + 6 + 1.
#
# But the loop is wasteful. Each run processes the image and the prompt again, although nothing about them has
# changed: no position attends to later tokens of the answer, so what was computed for the earlier positions stays the same. A {term}`KV cache` keeps what later positions need from the earlier ones: their *keys* and *values*. Then the first run, called {term}`prefill`, processes the image and the prompt, and each
# further run processes one new token. These runs need no mask: a new token may attend to everything in the cache. `logits_to_keep=1` computes
# only the last position's logits, and `max_length` is how many positions the cache can hold.

# %%
kv_cache = KVCache(text_config, batch_size=B, max_length=S + 100)
logits = model(**inputs, kv_cache=kv_cache, logits_to_keep=1).logits  # [B, 1, V]
token = logits[:, -1].argmax(-1)  # [B]
cached_tokens, positions = [int(token)], S
while cached_tokens[-1] != tokenizer.eos_token_id:
    logits = model(token[:, None], kv_cache=kv_cache).logits  # [B, 1, V]
    positions += 1
    token = logits[:, -1].argmax(-1)  # [B]
    cached_tokens.append(int(token))

assert cached_tokens == new_tokens
print(f"the same {len(cached_tokens)} tokens, {positions} positions processed")
print("the tower ran once")

# %% [markdown]
# `generate`, which produced the answer in the first figure of this chapter, is this second loop, for many rows at once and with more ways to choose a token. Its answer must equal ours.

# %%
assert answer == processor.decode(new_tokens)

# %% [markdown]
# ## From location tokens to boxes
#
# The answer is text. To read boxes from it, look for four location tokens and a name. To turn a bin into a pixel coordinate, divide its number by 1023 and multiply by the height or width. How good are the boxes? The usual measure is
# {term}`intersection over union` (IoU): the area that two boxes share, divided by the area they cover together. It is 1
# for equal boxes and 0 for boxes that do not overlap. We drew the scene ourselves, so we know the true boxes.
#
# For each predicted box, we take the best match among the toys of that name. So a second box on the same cat would look good here,
# and a missed bird would not show. {doc}`Chapter 17 <ch17_boxes>` measures detection properly. Over 1,000 scenes like this one, the
# shipped model finds 97 % of the objects it is asked for, and 98 % of its boxes match such an object with an IoU of 0.5 or more.

# %%
from vlm.regions.boxes import box_iou

for detection in parse_detections(answer, image.height, image.width):
    truths = [thing.box for thing in scene.objects if thing.label == detection.label]
    best = max(box_iou(detection.box, truth) for truth in truths)
    edges = [round(edge) for edge in detection.box]
    print(f"{detection.label:6}{edges!s:22}IoU with the true box {best:.2f}")

# %% [markdown]
# ## From mask tokens to outlines
#
# A box says where a toy is. If you ask the model to `segment`, it also describes the toy's shape. After the four
# location tokens come 16 {term}`mask tokens <mask token>`, of the 128 from `<seg000>` to `<seg127>`. Each of them stands for a learned piece of
# outline; together, in a 4 by 4 grid, they describe the shape inside the box. A second, small network, the *mask decoder*, turns
# the 16 tokens into a mask of 64 by 64 pixels, and we resize that to the box. {doc}`Chapter 18 <ch18_masks>` builds that network.

# %%
from toybox import MASK_VQVAE_FILE
from vlm import decode_masks, load_mask_decoder

[outline] = generate(model, processor, ["segment cat"], [image])
shapes = parse_detections(outline, image.height, image.width)
for detection in shapes:
    edges = [round(edge) for edge in detection.box]
    print(detection.label, edges, "mask tokens", detection.mask_codes)

mask_decoder = load_mask_decoder(MASK_VQVAE_FILE)
masks = decode_masks(shapes, mask_decoder, image.height, image.width)  # each [112, 112]

# %% mystnb={"image": {"alt": "The scene with a box and a tinted outline on each of the two cats."}, "figure": {"caption": "The answer to \"segment cat\", drawn. Each outline was decoded from 16 mask tokens.", "name": "fig-ch01-masks"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(3.6, 3.6), layout="constrained")
draw_detections(image, shapes, ax, masks=masks)
plt.show()

# %% [markdown]
# ## What does the model attend to?
#
# While Gemma generated the answer, each new token attended to the image in its own way, and these attention weights can be
# recorded from the running model. For each toy in the answer we take the moment at which the model is about to
# name it: it has generated four location tokens and is choosing the name. Which patches does it attend to?

# %% mystnb={"image": {"alt": "Four copies of the scene, one for each toy that was found. Bright patches show what the model attended to when it chose the toy's name; a white frame shows the box it had just generated."}, "figure": {"caption": "To name a toy, the model attends to the patches of that toy: in all four maps the brightest patches lie in the box that it has just generated, or at its edge. Each map shows how the last position attends to the 64 patches at the moment before the name, averaged over heads and layers, on its own color scale. Attention weights show where information was read, not how it was used.", "name": "fig-ch01-attention"}} tags=["hide-input"]
from vlm.inside.recording import record_attention

kv_cache.reset()
with record_attention(model.language_model) as weights:
    model(**inputs, kv_cache=kv_cache)
    for token_id in new_tokens[:-1]:
        model(one * token_id, kv_cache=kv_cache)

detections = parse_detections(answer, image.height, image.width)
is_location = [
    first_location <= token_id < first_location + NUM_LOCATION_BINS for token_id in new_tokens
]
moments = [
    step + 1 for step in range(3, len(new_tokens)) if all(is_location[step - 3 : step + 1])
]
fig, axes = plt.subplots(
    1, len(detections), figsize=(2.1 * len(detections), 2.6), layout="constrained"
)
for ax, moment, detection in zip(axes, moments, detections):
    attention = torch.stack(
        [layer[moment][0, :, -1, :N].mean(0) for layer in weights.values()]
    ).mean(0)  # [N]
    draw_patch_values(image, attention, ax)
    y_min, x_min, y_max, x_max = detection.box
    ax.add_patch(
        plt.Rectangle(
            (x_min, y_min),
            x_max - x_min,
            y_max - y_min,
            fill=False,
            edgecolor="white",
            linewidth=2,
        )
    )
    ax.set_title(f"before “{detection.label}”")
plt.show()

# %% [markdown]
# ## Other prompts
#
# The same model answers other prompts. As in the published PaliGemma, the first word of a prompt names the task: `caption`, `answer`,
# `detect`, `segment`, `ocr` (reading text). For captions and answers, the language comes next: `en`.

# %%
questions = [
    (0, "caption en"),
    (1, "caption en"),
    (1, "answer en how many dogs are there?"),
    (1, "answer en where is the car?"),
    (2, "answer en is there a fish?"),
    (2, "answer en which is further left, the flower or the clock?"),
    (7, "answer en what color is the rocket?"),
    (7, "ocr"),
]
texts = [text for _, text in questions]
images = [example_image(index) for index, _ in questions]
answers = generate(model, processor, texts, images)
for (index, text), reply in zip(questions, answers):
    print(f"image {index}: {text:60}{reply}")

# %% mystnb={"image": {"alt": "Four toy scenes: birds and cats on grass; two dogs and a car at night; a flower, a clock and two apples on water; a blue rocket, two trees and a sign with the word ART on sand."}, "figure": {"caption": "Images 0, 1, 2 and 7, to which the prompts above refer. Check the answers.", "name": "fig-ch01-pictures"}} tags=["hide-input"]
fig, axes = plt.subplots(1, 4, figsize=(8.6, 2.5), layout="constrained")
for index, ax in zip((0, 1, 2, 7), axes):
    ax.imshow(example_image(index))
    ax.set(xticks=[], yticks=[], title=f"image {index}")
plt.show()

# %% [markdown]
# The model answers in the words that it was trained on. What happens outside its world? Here is an image of nothing: plain gray.

# %%
from PIL import Image

nothing = Image.new("RGB", (112, 112), (128, 128, 128))
for text in (
    "caption en",
    "answer en is there a zebra?",
    "detect cat",
    "answer en who are you?",
):
    [reply] = generate(model, processor, [text], [nothing])
    print(f"{text:32}{reply!r}")

# %% [markdown]
# The first three answers are right, and that is a result of training: some training scenes are empty, and some questions ask for things that are not toys. (Asked about a zebra, a first version of this
# model answered "0".) The last question is of a kind that it has never met, and it answers all the same. Real models make things up too; {doc}`chapter 20 <ch20_evaluation>` shows how to measure that.
#
# ## Your own scene, your own questions
#
# The figure below runs the same model with the same weights in your browser. Before you touch it, write down what you expect from three experiments.
#
# 1. Drag the dog to the left and to the right. Which of its four location tokens change: the first and the third, or the second and the fourth?
# 2. Push the dog slowly over the cat. Does the box of the cat shrink to its visible part, or does it stay the size of a whole cat?
# 3. Ask for a toy that is not there: `detect turtle`. What can a model that only continues text generate when there is nothing to report?
#
# <div class="live-figure" data-figure="playground">
# <p>This figure needs JavaScript. The cells of this chapter ask the same model the same questions. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("playground")

# %% [markdown]
# A box is (*y*<sub>min</sub>, *x*<sub>min</sub>, *y*<sub>max</sub>, *x*<sub>max</sub>), so a move to the side changes the second and the fourth token. The box follows what is visible, because the boxes in the training data did. And for a toy that is not there the answer is empty: the first token is `<eos>`. Click a token of an answer to light up the patches that the model attended to when it generated that token. Look for the token of a left edge, and compare it with the token of the label.
#
# ## Is this really PaliGemma? Comparing with transformers
#
# The strongest check we have: load the same files into the implementation of Hugging Face's *transformers* library {cite}`wolf2019transformers`, feed it the same inputs,
# and compare all logits. Two programs, written independently, must agree up to the rounding of their arithmetic. (The
# reference has to be told that all positions are prefix; our model assumes it.)

# %%
from transformers import PaliGemmaForConditionalGeneration, logging

logging.disable_progress_bar()
reference = PaliGemmaForConditionalGeneration.from_pretrained(CHECKPOINT_DIRECTORY)
reference_logits = reference(
    **inputs, token_type_ids=torch.zeros_like(inputs["input_ids"])
).logits  # [B, S, V]
difference = (outputs.logits - reference_logits).abs().max().item()
print(f"the largest logit: {outputs.logits.abs().max():.0f}")
print("largest difference below 1e-4:", difference < 1e-4)
assert difference < 1e-4

# %% [markdown]
# ## Exercises
#
# Open `exercises/ch01_whole_vlm.py`, write the three functions, and grade them here or in a terminal:
#
# ```text
# pytest exercises/test_ch01_whole_vlm.py
# ```
#
# ### `trace_shapes` (2 points, 10 minutes)
#
# Return the shape of every tensor from the image to the logits, for a PaliGemma of any size. Google's PaliGemma comes in three image sizes, 224, 448 and 896 pixels, all with patches of
# 14: how many image tokens does each have?
#
# ```{literalinclude} ../exercises/ch01_whole_vlm.py
# :pyobject: trace_shapes
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Count the patches along one side first. Then count the tokens of the empty prompt, as above: what is there besides the image?
# ```
# ```{admonition} Hint 2: which tensor
# :class: dropdown
# Only the patch vectors have the tower's width. From the projector on, every vector has the language model's.
# ```
# ```{admonition} Hint 3: almost the line
# :class: dropdown
# `num_image_tokens = (image_size // patch_size) ** 2`, and the sequence has `num_image_tokens + 1 + prompt_tokens + 1` positions. (There are 256 image tokens at 224 pixels, 1,024 at 448, 4,096 at 896.)
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch01_whole_vlm.py
# :pyobject: trace_shapes
# ```
# ````
#
# ### `positions_processed` (1 point, 10 minutes)
#
# The slow loop and the fast one above printed how many positions they processed. Compute both numbers for any length of the prefix and of the answer.
#
# ```{literalinclude} ../exercises/ch01_whole_vlm.py
# :pyobject: positions_processed
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Write down the lengths of the first three runs of each loop. Does the model ever process the last token of the answer?
# ```
# ```{admonition} Hint 2: almost the line
# :class: dropdown
# Write S for `prefix_length` and n for `new_tokens`. Slow: S + (S + 1) + … + (S + n − 1). Fast: S, and then 1 for each token except the last.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch01_whole_vlm.py
# :pyobject: positions_processed
# ```
# ````
#
# ### `read_boxes` (2 points, 15 minutes)
#
# Parse the boxes from an answer, without the package.
#
# ```{literalinclude} ../exercises/ch01_whole_vlm.py
# :pyobject: read_boxes
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Split the answer into objects first, then each object into four tokens and a name. Which of the four belong to the height?
# ```
# ```{admonition} Hint 2: which function
# :class: dropdown
# `re.findall` with one pattern for a whole object gives all numbers and names at once: four times `<loc(\d{4})>`, a space, and then anything but `;` and `<`. Strip the name: there may be a space between it and the `;`.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch01_whole_vlm.py
# :pyobject: read_boxes
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch01_whole_vlm")

# %% [markdown]
# Two things to try, without a grade. Change `prompt` in the first cell to `detect bird` and run the chapter again: what changes in the answer, and in the distribution of the first token? And what if you ask for `detect bird ; cat`?
#
# ```{admonition} What happens
# :class: dropdown
# Only the birds are found, and the peak moves to the upper bird's top edge. With `detect bird ; cat` almost nothing changes: the model was trained to go from top to bottom, whatever the
# order of the kinds in the prompt.
# ```
#
# ## Summary
#
# An image of 3 × 112 × 112 numbers became 64 vectors, one for each patch. The layers of the vision tower let the patches attend to each other, the projector
# brought the vectors to Gemma's width, and they took the positions of the image tokens in the sequence. Gemma processed the sequence under a prefix-LM mask:
# full attention in the prefix, causal attention in the answer. It generated one token at a time, and a KV cache made that cheap. Four location tokens make a box; sixteen mask tokens add a shape.
#
# Each part has a chapter of its own, in which you build it. The next one begins where the image does: how a patch
# of pixels becomes a vector.
