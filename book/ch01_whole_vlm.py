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
# # How does a picture become an answer? A whole VLM in one sitting
#
# A {term}`vision language model` (VLM) takes a picture and a text, and gives back a text. In this chapter you follow
# one picture and one prompt through a whole one, from the bytes of the picture to the boxes drawn on it. Nothing
# is trained, and no step is skipped, though some stay closed until their own chapter. The model is small: 2.7 million parameters, where Google's PaliGemma has
# 2.9 billion. But it has the same parts under the same names, and the same code runs both.
#
# At the end you will be able to
#
# - name the main tensors between a picture and an answer, and say why they have the shapes they have;
# - write the loop that turns scores into words, first the slow way, then with a cache;
# - read boxes and outlines out of the words, and draw them;
# - look inside, and see which patches the model looked at when it wrote a word.
#
# It takes about 45 minutes. You should have met a neural network and a little PyTorch before.
#
# Here is where we are going. The cell loads a model, gives it one picture and one prompt, and draws what it says.

# %% mystnb={"image": {"alt": "A toy scene with two birds and two cats on grass, each with a labelled box."}, "figure": {"caption": "The prompt was \"detect cat ; bird\". The model never saw this picture in training. It answered in words, and four of the words for each thing were the edges of its box. All four things are found; some edges are a few pixels off.", "name": "fig-ch01-goal"}}
import matplotlib.pyplot as plt
import torch
from torch import Tensor
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image, example_scene
from vlm import KVCache, PaliGemmaProcessor, generate, load_hf_model, parse_detections
from vlm.regions.draw import draw_detections, draw_patch_values

torch.set_grad_enabled(False)  # we only look: nothing is trained in this chapter

model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY, device="cpu")
vision_config, text_config = model.config.vision_config, model.config.text_config
processor = PaliGemmaProcessor.for_model(model, tokenizer)

image, prompt = example_image(0), "detect cat ; bird"
[answer] = generate(model, processor, text=[prompt], images=[image])

fig, ax = plt.subplots(figsize=(3.6, 3.6), layout="constrained")
draw_detections(image, parse_detections(answer, image.height, image.width), ax)
plt.show()

# %% [markdown]
# We call it the {term}`Toybox` model. Its world is images of up to six toys, of 20 kinds, on any ground, and small signs to read. That is small enough
# to be learned on a laptop, and every step in it is a step that the real model takes.
#
# ## Three parts
#
# A PaliGemma has three parts (arXiv 2407.07726 {cite}`beyer2024paligemma`, section 3). A {term}`vision tower`, SigLIP {cite}`zhai2023sigmoid`, turns the picture into
# vectors. A {term}`projector`, one linear layer, gives those vectors the width that the language model wants. A
# *language model*, Gemma {cite}`gemma2024open`, reads them together with the words of the prompt, and predicts the next word.

# %%
for name, part in model.named_children():
    num_parameters = sum(parameter.numel() for parameter in part.parameters())
    print(f"{name:24}{num_parameters:>10,} parameters")

# %% [markdown]
# We name the sizes once, and use the same letters in the whole book; {doc}`notation` has them all on one page.
# The comment at the end of a line gives the shape of what that line makes.

# %%
B = 1  # batch: one picture with one prompt
P = vision_config.patch_size  # a patch is P x P pixels
N = vision_config.num_image_tokens  # image tokens: one for each patch
D = text_config.hidden_size  # numbers in one vector of the language model
V = text_config.vocab_size  # tokens that it knows
print(f"B = {B}, P = {P}, N = {N}, D = {D}, V = {V}")

# %% [markdown]
# ## From a picture to numbers
#
# The *processor* prepares both inputs. Let it work, and look at what comes out.

# %%
inputs = processor(text=[prompt], images=[image])
for name, tensor in inputs.items():
    print(f"{name:16}{list(tensor.shape)!s:18}{tensor.dtype}")

# %% [markdown]
# `pixel_values` is the picture: 3 colours, 112 rows, 112 columns. The picture was already 112 pixels wide; a larger
# one would have been squeezed to that. Bytes from 0 to 255 became numbers from -1 to 1. You can do that by hand
# for one pixel, and the processor must agree.

# %%
row, column = 60, 40
byte = torch.tensor(image.getpixel((column, row)))  # PIL counts columns first
by_hand = (byte / 255 - 0.5) / 0.5  # [3]
assert torch.allclose(inputs["pixel_values"][0, :, row, column], by_hand)
print("red, green, blue:", byte.tolist(), "->", [round(x, 3) for x in by_hand.tolist()])

# %% [markdown]
# A model that compared every pixel with every other would have 12,544 things to compare. So the tower cuts the
# picture into patches of 14 by 14 pixels first. 112 / 14 = 8, so there are 8 rows of 8 patches: N = 64.

# %% mystnb={"image": {"alt": "The scene with white lines that cut it into 8 by 8 patches, numbered 0 to 63 in reading order."}, "figure": {"caption": "What the model gets: 64 patches in reading order. A cat spreads over a dozen of them, and no patch holds a whole one. Putting the parts together is the tower's work.", "name": "fig-ch01-patches"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(4.2, 4.2), layout="constrained")
ax.imshow(image, extent=(0, 112, 112, 0))
ax.set_xticks(range(0, 113, P))
ax.set_yticks(range(0, 113, P))
ax.grid(color="white", linewidth=1)
for patch in range(N):
    y, x = divmod(patch, 8)
    ax.text(x * P + 1.5, y * P + 5.5, patch, color="white", fontsize=6.5)
ax.set(xlabel="column of pixels", ylabel="row of pixels")
plt.show()

# %% [markdown]
# ## From a text to numbers
#
# `input_ids` is the text, cut into pieces of a fixed vocabulary. Each piece, a {term}`token`, has a number. A token may be a whole
# word, a part of one, or a sign with a meaning of its own. We say "word" for it too, where that reads better. A *place* is a position in the
# sequence, counted from 0. Here is the sequence in full. The 64 places in front are kept free for the picture.

# %%
ids = inputs["input_ids"][0].tolist()
tokens = tokenizer.convert_ids_to_tokens(ids)
print(f"{N} x {tokens[0]!r} (id {ids[0]}), then")
for token_id, token in list(zip(ids, tokens))[N:]:
    print(f"{token_id:6}  {token!r}")

# %% [markdown]
# "▁" stands for a space. `<bos>` says that a text begins here. The newline at the end says that the question is
# over, and that it is the model's turn. Count them: the whole sequence has S = 64 + 6 = 70 places, the same
# number as in the shape of `input_ids` above. How many would a prompt with no words at all have? Think first: the cell
# below tells.

# %%
S = inputs["input_ids"].shape[1]
words = tokenizer.encode(prompt, add_special_tokens=False)
assert N + len(["<bos>", *words, "\n"]) == S
empty = processor(text=[""], images=[image])
print(f"{S} places with the prompt, {empty['input_ids'].shape[1]} with an empty one")

# %% [markdown]
# ## The tower looks
#
# The vision tower makes one vector of each patch. It starts from the patch's own pixels. Then, in four rounds,
# each patch looks at all others and takes in what it can use.

# %%
pixel_values = inputs["pixel_values"]  # [B, 3, 112, 112]
embeddings = model.vision_tower.vision_model.embeddings(pixel_values)  # [B, N, 192]
patch_vectors = model.vision_tower(pixel_values)  # [B, N, 192]
print(list(embeddings.shape), "->", list(patch_vectors.shape))

# %% [markdown]
# The shape is the same before and after. What has changed is what the vectors say. Take one patch in the middle
# of the large cat, and ask how similar the other patches' vectors are to its vector. The measure is the cosine of
# the angle between two vectors: 1 for the same direction, 0 for no relation.
#
# Before you look at the picture: the two cats do not touch, and both are orange. Which patches will be similar to the
# cat's patch *before* the tower's four rounds? What will the rounds change?

# %% mystnb={"image": {"alt": "Two maps of the scene. Before the rounds, patches with orange in them are similar to the chosen one, and the grass is half similar. After them, both cats stand out, a rim around the things is half similar, and the grass beyond it is dark."}, "figure": {"caption": "Similarity to the patch marked in white. Before the rounds it goes by colour, and the grass is half similar too. After them the grass has moved away, and both cats stand out, with a rim of patches around all four things.", "name": "fig-ch01-similarity"}} tags=["hide-input"]
scene = example_scene(0)
largest_cat = max(
    (thing for thing in scene.objects if thing.label == "cat"),
    key=lambda thing: thing.box[2] - thing.box[0],
)
y, x = (int(value // P) for value in largest_cat.center)


def show_similarity(patch: int):
    """How similar all patches are to one, before and after the rounds."""
    y, x = divmod(patch, 8)
    fig, axes = plt.subplots(1, 2, figsize=(7.2, 3.7), layout="constrained")
    for ax, vectors, title in zip(
        axes, (embeddings, patch_vectors), ("before the rounds", "after the rounds")
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
# The next figure computes such maps in your browser, at the start, after each of the tower's four layers, and after the projector, which comes below. Predict before you click. You choose a patch inside a *bird*. Birds are red here, cats are orange. At the start, is it more similar to the other patches of birds or to those of cats? And at the end?
#
# <div class="live-figure" data-figure="similarity">
# <p>This figure needs JavaScript. The maps above show one patch, before and after the layers. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("similarity")

# %% [markdown]
# Choose a patch inside a toy: at its edge a patch is part toy, part ground. Read the table from left to right. At the start a vector says little more than which colors are in its patch. So a red bird can be close to an orange cat, and an eye far from the face that it is in. At the end, patches of one kind are alike, and the gap between their row and the row of the other toys is at its widest. Now open “Change the scene” and drag a toy elsewhere. The gap goes along: these vectors say more about what a toy is than about where it is.

# %% [markdown]
# ## One sequence from two worlds
#
# The tower's vectors have 192 numbers, Gemma's have 128. The projector, a single linear layer, takes one to the
# other. It is the only bridge between seeing and speaking.

# %%
image_features = model.multi_modal_projector(patch_vectors)  # [B, N, D]
word_embeddings = model.language_model.model.embed(inputs["input_ids"])  # [B, S, D]
print("picture", list(image_features.shape), " text", list(word_embeddings.shape))

# %% [markdown]
# The text has a vector for each of its 70 places. The 64 in front are only placeholders, the embedding of the token
# `<image>`. The merge overwrites them with the picture. This is the package's own function, all of it. It refuses to
# go on when the numbers don't match, because a picture that is shifted by one place gives answers that are wrong
# but look fine.


# %% tags=["from:vlm.paligemma.merge_image_features"]
def merge_image_features(
    inputs_embeds: Tensor, image_features: Tensor, image_mask: Tensor
) -> Tensor:
    """Put the picture's vectors, in order, where the image tokens stand.

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
            f"the text has {num_tokens} image tokens and the pictures give {num_features} features: "
            "each picture needs exactly its own run of image tokens, as PaliGemmaProcessor writes it"
        )
    return inputs_embeds.masked_scatter(
        image_mask[..., None], image_features.to(inputs_embeds.dtype)
    )


# %%
is_image = inputs["input_ids"] == model.config.image_token_index  # [B, S]
sequence = merge_image_features(word_embeddings, image_features, is_image)  # [B, S, D]
assert torch.equal(sequence[0, :N], image_features[0])  # the picture stands in front
assert torch.equal(sequence[0, N:], word_embeddings[0, N:])  # the words are as they were
print(list(sequence.shape))

# %% [markdown]
# From here on the language model does not know which vectors were pixels and which were words.
#
# ## Who may look at whom
#
# A language model that writes must not see what it has not written yet. But the picture and the question are there
# from the beginning, so they may see each other in full. PaliGemma therefore has two rules in one mask: everything in the
# {term}`prefix` (picture and prompt) sees the whole prefix; each token of the {term}`suffix` (the answer) sees the prefix, and
# the answer up to itself.
#
# Looking is done by *attention*: each place gives every other place a score, and takes in a mean of the others, weighted by the
# scores. It does this several times side by side, each time in another *head* (chapter 3 builds all of it). The mask is added to the scores:
# 0 allows a look, a huge negative number forbids it. The 1 in its shape says that it is the same for all heads. Here is the mask for our prompt and the first ten tokens of an answer.

# %% mystnb={"image": {"alt": "A square grid. The 70 columns of the prefix are visible to all rows. The last ten columns, the answer, are visible only to the answer's own rows, as a staircase."}, "figure": {"caption": "The prefix-LM mask. Rows look, columns are looked at; light means \"may see\". The prefix is one full block, the answer a staircase.", "name": "fig-ch01-mask"}}
from vlm.attention_mask import make_prefix_lm_mask

attention_mask = torch.ones(
    B, S + 10, dtype=torch.long
)  # every place is real: none is there only to fill up a row
token_type_ids = torch.tensor([[0] * S + [1] * 10])  # 0: prefix, 1: suffix
mask = make_prefix_lm_mask(
    attention_mask, token_type_ids, torch.float32
)  # [B, 1, S + 10, S + 10]

fig, ax = plt.subplots(figsize=(4.6, 4.6), layout="constrained")
ax.imshow(mask[0, 0] == 0, cmap="cividis", interpolation="nearest")
for edge in (N, S):
    ax.axhline(edge - 0.5, color="#D55E00", linewidth=1.2)
    ax.axvline(edge - 0.5, color="#D55E00", linewidth=1.2)
ticks, names = [N / 2, (N + S) / 2, S + 5], ["picture", "prompt", "answer"]
ax.set_xticks(ticks, names, rotation=90)
ax.set_yticks(ticks, names)
ax.set(xlabel="looked at", ylabel="looking")
plt.show()

# %% [markdown]
# ## The model speaks its first word
#
# Now Gemma runs. In four layers each place takes in what it needs from the places it may see. At the end each
# place has a score for every word in the vocabulary: how likely that word is to come next. The scores are called
# {term}`logits`. We want the answer's first word, so we need the last place alone.

# %%
outputs = model(**inputs)
print(list(outputs.logits.shape))  # [B, S, V]

probabilities = outputs.logits[0, -1].softmax(-1)  # [V]
for probability, token_id in zip(*probabilities.topk(5)):
    print(f"{probability:6.1%}  {tokenizer.convert_ids_to_tokens(int(token_id))}")

# %% [markdown]
# The likeliest words are not words at all. PaliGemma's vocabulary has 1,024 {term}`tokens <location token>` `<loc0000>` to `<loc1023>`: marks on a ruler
# from the picture's top edge to its bottom edge, or from left to right. A {term}`box` is four of them: top, left, bottom,
# right. So the first word of the answer says how far down the first thing begins. No mark has more than 3.7 %:
# neighbouring marks mean nearly the same, and share the probability among them. Let us look at all 1,024 marks, and at where
# the cats in this picture really begin.

# %% mystnb={"image": {"alt": "Probability over the 1,024 location marks: one hill near the first of two dashed lines, the true top edges of the two cats."}, "figure": {"caption": "The model's first word, before it is chosen: one hill, a few pixels wide, at the upper cat's top edge, and nothing at the lower cat's. The dashed lines are the true edges; 9 marks are one pixel. The model was taught to begin with the topmost thing, and has settled on it.", "name": "fig-ch01-first-word"}} tags=["hide-input"]
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
    xlabel="location mark, 0 (top edge) to 1023 (bottom edge)",
    ylabel="probability",
    xlim=(0, 1023),
    ylim=(0, None),
)
plt.show()

# %% [markdown]
# ## The loop
#
# One run of the model gives one word. To get an answer, take the likeliest word, put it behind the sequence, and run
# again, until the model says `<eos>`: end of sequence. Taking the likeliest each time is called {term}`greedy decoding`. We
# count how many places the model has to work through.

# %%
input_ids, token_type_ids = inputs["input_ids"], torch.zeros_like(inputs["input_ids"])
one = torch.ones(B, 1, dtype=torch.long)
new_tokens, places = [], 0
while not new_tokens or new_tokens[-1] != tokenizer.eos_token_id:
    logits = model(
        input_ids, pixel_values, token_type_ids=token_type_ids
    ).logits  # [B, places so far, V]
    places += input_ids.shape[1]
    new_tokens.append(int(logits[0, -1].argmax()))
    input_ids = torch.cat([input_ids, one * new_tokens[-1]], dim=1)
    token_type_ids = torch.cat([token_type_ids, one], dim=1)  # what the model writes is suffix

print(processor.decode(new_tokens))
print(f"{len(new_tokens)} new tokens, {places:,} places worked through")
print(f"the tower run {len(new_tokens)} times")

# %% [markdown]
# The 27 tokens are 16 locations, 4 names, three times "▁;" and a space that stands alone (between "▁;" and a location there is no word that it
# could belong to), and `<eos>`, which is not printed: 16 + 4 + 6 + 1. But the loop is
# wasteful. Each run reads the picture and the prompt again, although nothing about them has
# changed: no place may see a later one of the answer, so what a place has computed stays as it is. A {term}`KV cache` keeps
# what later places need of the earlier ones. Then the first run reads the picture and the prompt, and each
# further run reads one new token. It needs no mask: a new token may look at everything in the cache. `logits_to_keep=1` asks for
# the last place's scores alone, and `max_length` is how many places the cache has room for.

# %%
kv_cache = KVCache(text_config, batch_size=B, max_length=S + 100)
logits = model(**inputs, kv_cache=kv_cache, logits_to_keep=1).logits  # [B, 1, V]
token = logits[:, -1].argmax(-1)  # [B]
cached_tokens, places = [int(token)], S
while cached_tokens[-1] != tokenizer.eos_token_id:
    logits = model(token[:, None], kv_cache=kv_cache).logits  # [B, 1, V]
    places += 1
    token = logits[:, -1].argmax(-1)  # [B]
    cached_tokens.append(int(token))

assert cached_tokens == new_tokens
print(f"the same {len(cached_tokens)} tokens, {places} places worked through")
print("the tower run once")

# %% [markdown]
# `generate`, which made the first picture of this chapter, is this second loop, for many rows at once and with
# more ways to choose a word. Its answer must be ours.

# %%
assert answer == processor.decode(new_tokens)

# %% [markdown]
# ## From words to boxes
#
# The answer is text. Reading boxes from it is a matter of looking for four locations and a name. A mark becomes
# pixels again when you divide by 1023 and multiply by the height or width. How good are the boxes? The usual measure is
# {term}`intersection over union` (IoU): the area that two boxes share, divided by the area they cover together. It is 1
# for equal boxes and 0 for boxes that do not touch. We drew the scene ourselves, so we know the truth.
#
# For each box, we take the best match among the things of that name. So a second box on the same cat would look good here,
# and a bird without a box would not show. A later chapter measures detection properly. Over 1,000 scenes like this one, the
# shipped model finds 97 % of the things it is asked for, and 98 % of its boxes are on such a thing, with an IoU of 0.5 or more.

# %%
from vlm.regions.boxes import box_iou

for detection in parse_detections(answer, image.height, image.width):
    truths = [thing.box for thing in scene.objects if thing.label == detection.label]
    best = max(box_iou(detection.box, truth) for truth in truths)
    edges = [round(edge) for edge in detection.box]
    print(f"{detection.label:6}{edges!s:22}IoU with the truth {best:.2f}")

# %% [markdown]
# ## From words to shapes
#
# A box says where a thing is. If you ask the model to `segment`, it also says which shape the thing has. After the four
# locations come 16 {term}`tokens <mask token>` more, of the 128 from `<seg000>` to `<seg127>`. Each of them stands for a learned piece of
# outline; together they are the shape inside the box, in a 4 by 4 grid. A second, small network, the *mask decoder*, draws
# a picture of 64 by 64 pixels from the 16 numbers, and we stretch it over the box. A later chapter builds that network.

# %%
from toybox import MASK_VQVAE_FILE
from vlm import decode_masks, load_mask_decoder

[outline] = generate(model, processor, ["segment cat"], [image])
shapes = parse_detections(outline, image.height, image.width)
for detection in shapes:
    print(
        detection.label, [round(edge) for edge in detection.box], "codes", detection.mask_codes
    )

mask_decoder = load_mask_decoder(MASK_VQVAE_FILE)
masks = decode_masks(shapes, mask_decoder, image.height, image.width)  # each [112, 112]

# %% mystnb={"image": {"alt": "The scene with a box and a tinted outline on each of the two cats."}, "figure": {"caption": "The answer to \"segment cat\". Each outline was drawn from 16 words.", "name": "fig-ch01-masks"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(3.6, 3.6), layout="constrained")
draw_detections(image, shapes, ax, masks=masks)
plt.show()

# %% [markdown]
# ## What did it look at?
#
# While Gemma wrote, each new token looked at the picture in its own way: that is what attention weights are. They can be
# recorded from the running model. For each thing in the answer we take the moment at which the model is about to say
# what it is: it has written four locations and is choosing the name. From where does it take that?

# %% mystnb={"image": {"alt": "Four copies of the scene, one for each thing that was found. Each shows bright patches where the model looked when it chose the thing's name, and the box it had just written."}, "figure": {"caption": "Attention from the last place to the 64 patches at the moment before each name is written, as the mean over heads and layers. The model has just written the box shown; each map has its own scale. In all four the brightest patches lie in that box or at its edge. Attention says where numbers came from, not what was made of them.", "name": "fig-ch01-attention"}} tags=["hide-input"]
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
    looks = torch.stack(
        [layer[moment][0, :, -1, :N].mean(0) for layer in weights.values()]
    ).mean(0)  # [N]
    draw_patch_values(image, looks, ax)
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
# ## Other questions
#
# The same model answers other prompts. What it should do is said in words, as in the published PaliGemma: `caption`, `answer`,
# `detect`, `segment`, `ocr` (reading text); and the language, `en`, where the answer is in words.

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
answers = generate(
    model, processor, [text for _, text in questions], [example_image(i) for i, _ in questions]
)
for (index, text), reply in zip(questions, answers):
    print(f"picture {index}: {text:60}{reply}")

# %% mystnb={"image": {"alt": "Four toy scenes: birds and cats on grass; two dogs and a car at night; a flower, a clock and two apples on water; a blue rocket, two trees and a sign with the word ART on sand."}, "figure": {"caption": "Pictures 0, 1, 2 and 7 of the questions above. Check the answers.", "name": "fig-ch01-pictures"}} tags=["hide-input"]
fig, axes = plt.subplots(1, 4, figsize=(8.6, 2.5), layout="constrained")
for index, ax in zip((0, 1, 2, 7), axes):
    ax.imshow(example_image(index))
    ax.set(xticks=[], yticks=[], title=f"picture {index}")
plt.show()

# %% [markdown]
# It answers in the words that it was trained on. What happens outside its world? Here is a picture of nothing: plain grey.

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
# The first three answers are right, and that was taught: some training scenes are empty, and some questions ask for things that are no toys. (Asked about a zebra, a first version of this
# model answered "0".) The last question is of a kind that it has never met, and it answers all the same. The real model invents too, and a later chapter measures it.
#
# ## Your own scene, your own questions
#
# The figure below is the same model with the same weights, in your browser. Before you touch it, write down what you expect of three experiments.
#
# 1. Drag the dog to the left and to the right. Which of its four location tokens change: the first and the third, or the second and the fourth?
# 2. Push the dog slowly over the cat. Does the box of the cat shrink with what you can see of it, or does it stay the size of a whole cat?
# 3. Ask for a toy that is not there: `detect turtle`. What can a model that only continues text write when there is nothing to write?
#
# <div class="live-figure" data-figure="playground">
# <p>This figure needs JavaScript. The cells of this chapter ask the same model the same questions. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("playground")

# %% [markdown]
# A box is (*y*<sub>min</sub>, *x*<sub>min</sub>, *y*<sub>max</sub>, *x*<sub>max</sub>), so a move to the side changes the second and the fourth token. The box follows what is visible, because the boxes it learned from did. And for a toy that is not there the answer is empty: the first token is `<eos>`. Click a token of an answer: the patches light up that the model attended to when it wrote it. Look for the token of a left edge, and compare it with the token of the label.
#
# ## Is this really PaliGemma?
#
# The strongest check we have: give the same files to the implementation in Hugging Face's *transformers* library {cite}`wolf2019transformers`, feed it the same inputs,
# and compare all logits. Two programs, written apart, must agree to the rounding of their arithmetic. (The
# reference wants to be told that all places are prefix; our model takes that for granted.)

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
# Every shape from the picture to the scores, for any PaliGemma. PaliGemma itself comes in three picture sizes, 224, 448 and 896 pixels, all with patches of
# 14: how many image tokens does each have?
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Count the patches along one side first. Then count the tokens of the empty prompt, as above: what is there besides the picture?
# ```
# ```{admonition} Hint 2: which tensor
# :class: dropdown
# Only the patch vectors have the tower's width. From the projector on, every vector has the language model's.
# ```
# ```{admonition} Hint 3: almost the line
# :class: dropdown
# `num_image_tokens = (image_size // patch_size) ** 2`, and the sequence has `num_image_tokens + 1 + prompt_tokens + 1` places. (224 pixels make 256, 448 make 1,024, 896 make 4,096.)
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch01_whole_vlm.py
# :pyobject: trace_shapes
# ```
# ````
#
# ### `places_worked_through` (1 point, 10 minutes)
#
# The slow loop and the fast one above printed how many places they worked through. Find both numbers for any prefix and any answer.
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Write down the lengths of the first three runs of each loop. Is the last token of the answer ever read?
# ```
# ```{admonition} Hint 2: almost the line
# :class: dropdown
# With S for `prefix_length` and n for `new_tokens`. Slow: S + (S + 1) + … + (S + n − 1). Fast: S, and then 1 for each token but the last.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch01_whole_vlm.py
# :pyobject: places_worked_through
# ```
# ````
#
# ### `read_boxes` (2 points, 15 minutes)
#
# From words to boxes, without the package.
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Split the answer into things first, then each thing into four tokens and a name. Which of the four go with the height?
# ```
# ```{admonition} Hint 2: which function
# :class: dropdown
# `re.findall` with one pattern for a whole thing gives all numbers and names at once: four times `<loc(\d{4})>`, a space, and then anything but `;` and `<`. Strip the name: a space may stand between it and the `;`.
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
# Two things to try without a grade. Change `prompt` in the first cell to `detect bird` and run the chapter again: what changes in the answer, and in the figure of the first word? And what if you ask for `detect bird ; cat`?
#
# ```{admonition} What happens
# :class: dropdown
# Only the birds are found, and the hill moves to the upper bird's top edge. With `detect bird ; cat` nearly nothing changes: the model was taught to go from top to bottom, whatever the
# order of the kinds in the prompt.
# ```
#
# ## Summary
#
# A picture of 3 × 112 × 112 numbers became 64 vectors, one for each patch. A tower let them look at each other, a linear layer
# brought them to Gemma's width, and they took the places kept free in a sequence of tokens. Gemma read the sequence under a mask
# that is open in the prefix and a staircase in the answer. It wrote one token at a time; a cache made that cheap. Four of its
# words were the edges of a box, and sixteen more were a shape.
#
# Each part has a chapter of its own, in which you build it. The next one begins where the picture does: how a patch
# of pixels becomes a vector.
