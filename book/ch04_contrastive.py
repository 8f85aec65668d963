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
# # Contrastive learning with CLIP and SigLIP: how does a vision tower learn what words mean?
#
# The tower that you built in the last chapter makes vectors of patches. What those vectors *encode* depends on training. PaliGemma's
# tower was trained on billions of images from the web, each with the text that appeared beside it. No person labeled anything. The only
# thing to learn from was this: an image and its own text belong together, the image and any other text do not. In this chapter you
# {term}`train on such pairs <contrastive learning>` yourself, with the two losses that made this work.
#
# At the end you will be able to
#
# - write CLIP's softmax loss and SigLIP's sigmoid loss, and work out what each should be before any training;
# - say what the logit scale (an inverse temperature) and the logit bias are for;
# - train a text tower on 2,000 pairs in well under a minute;
# - turn sentences into a classifier, and measure it.
#
# Time: about 45 minutes to read and run, and 35 for the four exercises. Here is the task: eight images and eight sentences. We know which sentence goes with which image, and
# nothing else.

# %% mystnb={"image": {"alt": "A matrix of eight rows and eight columns. Each row begins with a toy scene, each column is a caption. The cells on the diagonal have a plus, all others a minus."}, "figure": {"caption": "All there is to learn from: each image belongs to its own sentence (+) and to none of the others (−). At the end of the chapter a model fills in this matrix by itself.", "name": "fig-ch04-goal"}} tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor, nn
from toybox import CHECKPOINT_DIRECTORY
from toybox.prompts import caption
from toybox.scenes import BACKGROUNDS, Scene, draw_scene
from toybox.sprites import LABELS
from vlm.config import SiglipVisionConfig
from vlm.image_processing import normalize
from vlm.loader import load_hf_model
from vlm.siglip import SiglipEncoder
from vlm.training.contrastive import initial_logit_scale_and_bias


def draw_table(values, scenes, captions, ax, vmin=-1.0, vmax=1.0):
    """A row for each image, a column for each sentence; the images are drawn at the left."""
    layer = ax.imshow(values, cmap="RdBu_r", vmin=vmin, vmax=vmax)
    ax.set_xticks(
        range(len(captions)),
        captions,
        rotation=40,
        ha="right",
        rotation_mode="anchor",
        fontsize=7,
    )
    ax.set_yticks([])
    ax.set_xlabel("sentence")
    for row, scene in enumerate(scenes):
        inset = ax.inset_axes([-0.9 - 0.55, row - 0.46, 0.92, 0.92], transform=ax.transData)
        inset.imshow(scene.image)
        inset.axis("off")
    return layer


def draw_pairs(
    split: str, number: int, wanted=lambda scene: True
) -> tuple[list[Scene], list[str]]:
    """The first scenes of a split that are wanted, with their captions. No caption repeats."""
    scenes, captions, seed = [], [], 0
    while len(scenes) < number:
        scene = draw_scene(seed, split)
        text = caption(scene).suffix
        if text not in captions and wanted(scene):
            scenes.append(scene)
            captions.append(text)
        seed += 1
    return scenes, captions


def is_simple(scene: Scene) -> bool:
    """One to three toys, none of them tiny, on one of the six grounds that have a name."""
    areas = [thing.area for thing in scene.objects]  # of their boxes, in pixels
    return scene.background is not None and 1 <= len(areas) <= 3 and min(areas) >= 400


eight, eight_captions = draw_pairs(
    "test", 8, lambda scene: is_simple(scene) and len(scene.objects) <= 2
)
fig, ax = plt.subplots(figsize=(6.4, 5.6), layout="constrained")
draw_table(2 * np.eye(8) - 1, eight, eight_captions, ax, vmin=-2, vmax=2)
for row in range(8):
    for column in range(8):
        ax.text(column, row, "+" if row == column else "−", ha="center", va="center")
plt.show()

# %% [markdown]
# ## Two vectors, one space: cosine similarity and the logit scale
#
# To fill in the matrix, a model needs one vector for each image and one for each sentence, both of the same width. Then it can
# compare them. The measure is the {term}`cosine similarity <cosine similarity>`, as in chapter 1: the dot product, after each vector is divided by its length. So
# the whole matrix of cosines is one matrix product.
#
# A cosine is at most 1, and that is too little. A loss that turns cosines into probabilities could never become confident: even if the right sentence had a cosine of 1 and all others −1, a softmax over 8 would give it no more than 51 %. So the cosine is multiplied by a learned number, the *logit scale*
# (dividing by a {term}`temperature` would do the same), and SigLIP adds a second learned number, the *logit bias* (in CLIP's softmax it would cancel). We store the logarithm of the scale (CLIP's `logit_scale`), so the scale stays
# positive whatever the optimizer does.
#
# The matrix of logits, both losses and a classifier are the exercises of this chapter. The cells with the first three are folded: try each exercise before you unfold its cell.

# %%
cosines = torch.full((8,), -1.0)
cosines[0] = 1.0  # as good as it can be
for scale in (1, 10):
    print(f"scale {scale:2}: the right one gets {(scale * cosines).softmax(0)[0]:.1%}")


# %% tags=["from:vlm.training.contrastive.pair_logits", "hide-input"]
def pair_logits(
    image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor, logit_bias: Tensor
) -> Tensor:
    """Logits of each image with each text of a batch: cosine similarity times a scale, plus a bias.

    Args:
        image_embeds: [B, D], normalized here.
        text_embeds: [B, D], normalized here.
        logit_scale: the logarithm of the scale, so that the scale stays positive whatever the optimizer does.
        logit_bias: negative, since most pairs of a batch do not match.

    Returns:
        [B, B], a row for each image, a column for each text.

    Source: SigLIP (arXiv 2303.15343), Algorithm 1.
    """
    image_embeds = nn.functional.normalize(image_embeds, dim=-1)
    text_embeds = nn.functional.normalize(text_embeds, dim=-1)
    return image_embeds @ text_embeds.T * logit_scale.exp() + logit_bias


# %% [markdown]
# ## CLIP's softmax loss: pick your partner
#
# {term}`CLIP` (arXiv 2103.00020 {cite}`radford2021learning`) treats each row of the matrix as a question with B possible answers: which of these texts belongs to this image? You know the loss for that: {term}`cross-entropy`, with the index of the row as the right answer. Each column is a question too, asked by the text.
# The loss is the mean of both.
#
# Before you run the cell: what should the loss be when a model knows nothing, and all its cosines are the same?


# %% tags=["from:vlm.training.contrastive.softmax_loss", "hide-input"]
def softmax_loss(logits: Tensor) -> Tensor:
    """CLIP's loss: cross-entropy of each image over the texts of the batch, and of each text over the images.

    Args:
        logits: [B, B]; pair i is at row i, column i.

    Source: CLIP (arXiv 2103.00020), Figure 3.
    """
    own = torch.arange(len(logits), device=logits.device)  # [B]
    return (
        nn.functional.cross_entropy(logits, own) + nn.functional.cross_entropy(logits.T, own)
    ) / 2


# %%
for B in (8, 128):
    print(f"B = {B:3}: {softmax_loss(torch.zeros(B, B)):.3f}")
random_guess = torch.tensor(128.0).log()  # one of 128, at random
assert torch.allclose(softmax_loss(torch.zeros(128, 128)), random_guess)

# %% [markdown]
# It is log B, the loss of a random guess among B. So the loss depends on the batch: with 128 texts to choose from, the task is harder than with 8. And the softmax of a row needs
# the whole row. If the batch is spread over many devices, they all have to exchange all their vectors, and together they
# hold a B × B matrix. CLIP's B was 32,768.
#
# ## SigLIP's sigmoid loss: yes or no, pair by pair
#
# {term}`SigLIP` (arXiv 2303.15343 {cite}`zhai2023sigmoid`) asks a simpler question about each cell of the matrix, independently of the others: do these two belong together, yes or no? The probability
# of "yes" is the sigmoid of the logit, sigmoid(x) = 1 / (1 + e^−x), and that of "no" is the sigmoid of minus the logit. With a label z that is 1 for yes and −1 for no, both are
# sigmoid(z · logit), and −log of that is log(1 + e^(−z · logit)). {term}`The loss <sigmoid loss>` sums this over all B² cells, and divides by B: there is one yes for each image, so this is a loss per image. With $\ell_{ij}$ for the logit of image i and text j:
#
# $$L = \frac{1}{B} \sum_{i=1}^{B} \sum_{j=1}^{B} \log\!\left(1 + e^{-z_{ij}\, \ell_{ij}}\right), \qquad z_{ij} = \begin{cases} 1 & i = j \\ -1 & i \ne j \end{cases}$$
#
# The drawing sets the two losses side by side.

# %% tags=["hide-input"]
from figures.schematics.contrastive import draw_contrastive
from IPython.display import HTML

drawing = draw_contrastive()
HTML(
    drawing.html(
        "CLIP chooses within a row and within a column, so each cell competes with all "
        "cells of its row and column. SigLIP decides on each cell by itself, so any part "
        "of the matrix can be computed alone, on any machine."
    )
)


# %% tags=["from:vlm.training.contrastive.sigmoid_loss", "hide-input"]
def sigmoid_loss(logits: Tensor) -> Tensor:
    """SigLIP's loss: a binary decision for each of the B * B pairs, summed over all pairs and divided by B.

    Args:
        logits: [B, B]; pair i is at row i, column i.

    Source: SigLIP (arXiv 2303.15343), section 3.2 and Algorithm 1 (from which the sign of the bias is taken).
    """
    # [B, B], 1 for matching pairs, else -1
    labels = 2 * torch.eye(len(logits), device=logits.device) - 1
    return -nn.functional.logsigmoid(labels * logits).sum() / len(logits)


# %%
logits = torch.tensor([[2.0, -1.0], [0.0, 3.0]])  # two pairs, by hand
cells = [-2.0, -1.0, 0.0, -3.0]  # -z times the logit, cell by cell
by_hand = sum(np.log(1 + np.exp(cell)) for cell in cells) / 2
print(f"by hand {by_hand:.4f}, by the function {sigmoid_loss(logits):.4f}")
assert abs(sigmoid_loss(logits).item() - by_hand) < 1e-6

# %% [markdown]
# Of the B² cells, only B have the answer "yes". With B = 128, a model that knows nothing and gives every cell a logit of 0 has a loss of log 2 in each,
# 128² · 0.693 / 128 = 88.7 in total, and nearly all of it comes from cells whose answer is "no". Its first steps would be spent on learning "no". So SigLIP starts with
# a bias of −10: "no" to everything, which is right in 127 of 128 cells. What is the loss then? Each of the B matching pairs costs about 10, the others
# cost almost nothing, and the sum divided by B is about 10.

# %%
for bias in (0.0, -10.0):
    loss = sigmoid_loss(torch.full((128, 128), bias))
    print(f"bias {bias:5.1f}: loss {loss:6.2f} before training")

# %% [markdown]
# There is a numerical trap in this loss. If you compute it literally, as the logarithm of a sigmoid, it breaks where z · logit is far below 0: the sigmoid rounds to 0,
# and its logarithm is minus infinity. `logsigmoid` computes both steps at once and stays accurate.

# %%
large = torch.tensor(-200.0)
print("in two steps:", torch.sigmoid(large).log().item())
print("in one:      ", nn.functional.logsigmoid(large).item())

# %% [markdown]
# Since each cell is independent, the matrix can be cut into blocks, and the blocks can be computed one after another or on different devices.
# No device ever needs a whole row. This made large batches cheap (section 3.3 of the paper).

# %%
torch.manual_seed(0)
table = torch.randn(128, 128)
signs = 2 * torch.eye(128) - 1
in_blocks = sum(
    -nn.functional.logsigmoid(
        signs[i : i + 32, j : j + 32] * table[i : i + 32, j : j + 32]
    ).sum()
    for i in range(0, 128, 32)
    for j in range(0, 128, 32)
)
assert torch.allclose(in_blocks / 128, sigmoid_loss(table))
print("sixteen blocks of 32 x 32 give the same loss")

# %% [markdown]
# And the reference? A tiny SigLIP model of *transformers*, with random weights, must give our logits and our loss.

# %%
from transformers import SiglipConfig, SiglipModel

shape = {"hidden_size": 16, "intermediate_size": 40}
shape |= {"num_hidden_layers": 2, "num_attention_heads": 2}
text_shape = {"vocab_size": 30, "max_position_embeddings": 6, "projection_size": 16}
text_shape |= {"bos_token_id": 0, "eos_token_id": 1}
vision_shape = {"patch_size": 4, "image_size": 12}
tiny = SiglipConfig(text_config=shape | text_shape, vision_config=shape | vision_shape)
torch.manual_seed(0)
reference = SiglipModel(tiny).eval()
with torch.no_grad():
    token_ids, pixels = torch.randint(30, (5, 6)), torch.randn(5, 3, 12, 12)
    outputs = reference(token_ids, pixels, return_loss=True)
    scale_and_bias = reference.logit_scale, reference.logit_bias
    ours = pair_logits(outputs.image_embeds, outputs.text_embeds, *scale_and_bias)
    assert torch.allclose(ours, outputs.logits_per_image, atol=1e-5)
    assert torch.allclose(sigmoid_loss(ours), outputs.loss, atol=1e-5)
print("logits and loss agree with the reference")

# %% [markdown]
# ## A tower for texts
#
# Now the other half, the texts. SigLIP's text tower has the architecture of the vision tower, with a different input layer: instead of patches it embeds tokens, and its blocks are
# the same `SiglipEncoder` that you know from the last chapter. A sentence is padded to a fixed length with the end-of-sequence
# token, and the vector at the last position represents the whole text. There is no mask; in training the model learns to ignore the padding.


# %% tags=["from:vlm.training.contrastive.SiglipTextModel"]
class SiglipTextModel(nn.Module):
    """Text tower: token embeddings, encoder, and a projection of the last position.

    Every text is padded at its end to the same length. There is no mask: padding is
    attended to like any token.
    """

    def __init__(self, config: SiglipVisionConfig, vocab_size: int, max_length: int):
        super().__init__()
        self.embeddings = nn.ModuleDict(
            {
                "token_embedding": nn.Embedding(vocab_size, config.hidden_size),
                "position_embedding": nn.Embedding(max_length, config.hidden_size),
            }
        )
        self.encoder = SiglipEncoder(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.head = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, input_ids: Tensor) -> Tensor:
        """[B, T] -> [B, D]; T is `max_length`."""
        words = self.embeddings["token_embedding"](input_ids)  # [B, T, D]
        # [B, T, D]
        hidden_states = self.encoder(words + self.embeddings["position_embedding"].weight)
        return self.head(self.final_layer_norm(hidden_states)[:, -1])


# %% [markdown]
# ## Training a text tower on a locked vision tower
#
# Training a vision tower from scratch on pairs takes far longer than you want to wait. (We tried: two layers, width 96, 30,720 pairs. The result got the ground right in every test image, and the toy in 18 of 100.) So we keep the shipped tower as it is, {term}`locked <locked tower>`, and train two parts: a linear layer on top of it, and the text tower. The SigLIP paper does the same under the name SigLiT (after LiT {cite}`zhai2021lit`): in two days on
# four chips, it trains a text tower for a locked vision tower.
#
# A locked tower has a great advantage: it always gives the same vectors, so each image has to pass through it only once. We draw 2,000 scenes of up to three toys on the six grounds that captions name, each with a different caption.[^ch04-1]
#
# [^ch04-1]: The captions must differ: if two images of a batch had the same caption, the label "no" would be wrong for two of the pairs.

# %%
model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY, device="cpu")
T = 12  # the longest caption has 11 tokens


def tokenize(captions: list[str]) -> Tensor:
    """Token ids [B, T], padded with <eos>."""
    rows = [tokenizer.encode(text, add_special_tokens=False) for text in captions]
    eos = tokenizer.eos_token_id
    return torch.tensor([row + [eos] * (T - len(row)) for row in rows])


@torch.no_grad()
def encode_images(scenes: list[Scene]) -> Tensor:
    """The locked tower's output for each scene: [B, N, D]."""
    pixels = np.stack([scene.pixels for scene in scenes])
    pixel_values = normalize(pixels)  # [B, C, H, W]
    return torch.cat([model.vision_tower(part) for part in pixel_values.split(100)])


scenes, captions = draw_pairs("train", 2000, is_simple)
patch_vectors = encode_images(scenes)  # [2000, N, D]
input_ids = tokenize(captions)  # [2000, T]
print("images", list(patch_vectors.shape), " texts", list(input_ids.shape))
print("the first caption:", captions[0])

# %% [markdown]
# To get one vector per image, we average its patch vectors and apply a linear layer. (SigLIP pools with a learned query that attends to the patches; checkpoints call that part `head`. PaliGemma
# drops it, because it wants the vectors of all patches.) Our text tower is as wide as the vision tower, and has a single block.

# %%
from dataclasses import replace

width = model.config.vision_config.hidden_size
text_config = replace(
    model.config.vision_config, num_hidden_layers=1, intermediate_size=2 * width
)


class PairModel(nn.Module):
    """A layer on top of the locked tower, a text tower, logit scale and logit bias."""

    def __init__(self):
        super().__init__()
        self.image_head = nn.Linear(width, width)
        self.text_tower = SiglipTextModel(text_config, len(tokenizer), T)
        for embedding in self.text_tower.embeddings.values():
            nn.init.normal_(embedding.weight, std=0.3)
        self.logit_scale, self.logit_bias = initial_logit_scale_and_bias()

    def forward(self, patch_vectors: Tensor, input_ids: Tensor) -> Tensor:
        """Logits [B, B] from patch vectors [B, N, D] and token ids [B, T]."""
        images = self.image_head(patch_vectors.mean(dim=1))  # [B, D]
        texts = self.text_tower(input_ids)  # [B, D]
        return pair_logits(images, texts, self.logit_scale, self.logit_bias)


# %% [markdown]
# The training loop is the same for both losses. Every 20 steps it measures the model with the function `accuracy`, which comes next.


# %%
def train(loss_function, learning_rate: float, steps: int = 200, batch: int = 128):
    """A trained model, and its history: [(step, loss, accuracy)]."""
    torch.manual_seed(0)
    pairs = PairModel()
    optimizer = torch.optim.AdamW(pairs.parameters(), learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=steps, pct_start=0.1
    )
    history = []
    for step in range(steps):
        chosen = torch.randperm(len(captions))[:batch]
        loss = loss_function(pairs(patch_vectors[chosen], input_ids[chosen]))
        if step % 20 == 0 or step == steps - 1:
            history.append((step, loss.item(), accuracy(pairs)))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(pairs.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return pairs.eval(), history


# %% [markdown]
# ## Zero-shot classification
#
# How do we measure the model? With a task that it was not trained for: take 200 test images with a single toy, write down all 20 · 6 = 120 sentences that could be
# true of such an image, and let the model choose. CLIP's authors call this {term}`zero-shot`: a classifier made of sentences, without a single training step for the classes. Random guessing would be right in 1 of 120.

# %%
sentences = [
    f"{'an' if label[0] in 'aeiou' else 'a'} {label} {where}"
    for label in LABELS
    for where in BACKGROUNDS.values()
]
sentence_ids = tokenize(sentences)  # [120, T]
test_scenes = [
    scene
    for scene in (draw_scene(seed, "test") for seed in range(2400))
    if is_simple(scene) and len(scene.objects) == 1
][:200]
test_vectors = encode_images(test_scenes)  # [200, N, D]
right_sentences = [sentences.index(caption(scene).suffix) for scene in test_scenes]
truth = torch.tensor(right_sentences)  # [200]


@torch.no_grad()
def accuracy(pairs: PairModel) -> float:
    """The fraction of test images for which the model chooses the right sentence."""
    chosen = pairs(test_vectors, sentence_ids).argmax(dim=1)  # [200]
    return (chosen == truth).float().mean().item()


# %%
with_sigmoid, sigmoid_history = train(sigmoid_loss, learning_rate=3e-3)
with_softmax, softmax_history = train(softmax_loss, learning_rate=3e-3)
for name, history in (("sigmoid", sigmoid_history), ("softmax", softmax_history)):
    first, last = history[0], history[-1]
    print(
        f"{name}: first loss {first[1]:.1f}; at the end right in more than 9 of 10:",
        last[2] > 0.9,
    )
    assert last[2] > 0.9

# %% mystnb={"image": {"alt": "Two curves over 200 training steps: the fraction of 200 images for which the model chose the right one of 120 sentences. Both rise from near 0 to near 1, the softmax curve sooner."}, "figure": {"caption": "Both losses work; in this small world, with 128 pairs in a step, CLIP's loss gets there first. The curves show the zero-shot accuracy during training. The SigLIP paper finds the sigmoid loss ahead at batch sizes below 16 thousand, after far longer training: a race over 200 steps does not decide that.", "name": "fig-ch04-training"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(5.6, 3), layout="constrained")
for name, history, color, style in (
    ("sigmoid (SigLIP)", sigmoid_history, "#0072B2", "-"),
    ("softmax (CLIP)", softmax_history, "#D55E00", "--"),
):
    ax.plot(
        [h[0] for h in history],
        [h[2] for h in history],
        color=color,
        linestyle=style,
        marker="o",
        label=name,
    )
ax.axhline(1 / 120, color="#666666", linewidth=1)
ax.text(200, 1 / 120 + 0.02, "chance", ha="right", color="#666666")
ax.set(xlabel="training step", ylabel="zero-shot accuracy", ylim=(-0.02, 1.05))
ax.legend()
plt.show()

# %% [markdown]
# Both losses began where you had worked out that they would: the sigmoid loss near 10, the softmax loss near log 128 = 4.9. Now the matrix from the beginning of the chapter, before
# and after training. "Before" is the same model with random weights in the parts that we trained.

# %% mystnb={"image": {"alt": "Two matrices of cosines between eight images and eight captions. Before training all cells are nearly the same. After training the diagonal is dark red and all other cells are lighter, some of them about half as red."}, "figure": {"caption": "After training each image is closest to its own caption: the diagonal stands out. The cells are the cosines between eight test images and their captions. Off the diagonal no cosine is far below 0, and none needs to be: the learned bias shifts them all, and the logit scale, printed below, turns a difference of 0.4 into a clear one.", "name": "fig-ch04-table"}} tags=["hide-input"]
torch.manual_seed(0)
untrained = PairModel().eval()
eight_vectors, eight_ids = encode_images(eight), tokenize(eight_captions)
fig, axes = plt.subplots(1, 2, figsize=(8.6, 4.6), layout="constrained")
for ax, pairs, title in zip(axes, (untrained, with_sigmoid), ("before", "after")):
    with torch.no_grad():
        logits = pairs(eight_vectors, eight_ids)  # [8, 8]
        cosines = (logits - pairs.logit_bias) / pairs.logit_scale.exp()
    layer = draw_table(cosines, eight, eight_captions, ax)
    ax.set_title(title)
fig.colorbar(layer, ax=axes, label="cosine", shrink=0.7)
plt.show()

# %%
with torch.no_grad():
    own = with_sigmoid(eight_vectors, eight_ids).argmax(dim=1)
scale, bias = with_sigmoid.logit_scale.exp().item(), with_sigmoid.logit_bias.item()
print(f"scale {scale:.0f}, bias {bias:.0f}")
print("each image's best sentence:", own.tolist())
assert own.tolist() == list(range(8))

# %% [markdown]
# ## A classifier for free: prompt ensembles
#
# You have seen the 120 sentences compete. If only the toy matters and not the ground, combine the six sentences of each toy: bring each
# sentence's vector to length 1, take the mean of the six, and let the 20 means compete by cosine. CLIP's paper calls this a prompt ensemble; it is the last exercise below.
#
# Which patches contribute to the match? Our pooling is a mean followed by a linear layer, so the image's vector is also the mean of what the layer makes of each patch. Its dot product with a sentence's vector is then a mean over patches, and we can draw the terms of this mean. The ground is in both sentences below, so we draw the difference: which of the two does each
# patch support?

# %% tags=["hide-input", "nbval-ignore-output"]
from figures.filmstrip import filmstrip_html
from IPython.display import HTML


@torch.no_grad()
def show_match(image: int):
    """A test scene with two kinds of toys; red patches support the first, blue ones the second."""
    scene = two_kinds[image - 1]
    labels = sorted({thing.label for thing in scene.objects})
    where = BACKGROUNDS[scene.background]
    texts = [
        sentence
        for label in labels
        for sentence in sentences
        if f" {label} {where}" in sentence
    ]
    directions = nn.functional.normalize(
        with_sigmoid.text_tower(tokenize(texts)), dim=-1
    )  # [2, D]
    terms = with_sigmoid.image_head(encode_images([scene])[0]) @ directions.T  # [N, 2]
    support = (terms[:, 0] - terms[:, 1]).reshape(8, 8)  # [H/P, W/P]
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.1), layout="constrained")
    axes[0].imshow(scene.image)
    axes[0].set(xticks=[], yticks=[], title="image")
    largest = support.abs().max()
    layer = axes[1].imshow(support, cmap="RdBu_r", vmin=-largest, vmax=largest)
    axes[1].set(xticks=[], yticks=[], title=f"“{texts[0]}” − “{texts[1]}”")
    fig.colorbar(layer, ax=axes, label="difference of the terms", shrink=0.8)
    plt.show()


two_kinds = [
    scene
    for scene in (draw_scene(seed, "test") for seed in range(600))
    if is_simple(scene)
    and len({thing.label for thing in scene.objects}) == 2 == len(scene.objects)
][:20]
HTML(
    filmstrip_html(
        show_match,
        "Which of two sentences each patch supports: red the first, blue the second. Nothing told "
        "the text tower where anything is: it learned from pairs which patches its words are about. "
        "(The locked vision tower had been trained with patch labels.)",
        image=range(1, 21),
    )
)

# %% [markdown]
# ## What PaliGemma keeps
#
# After all this training, PaliGemma throws away nearly everything in this chapter: the text tower, the pooling, logit scale and bias. It keeps the
# vision tower, with its 412 million parameters, because pairs have taught it to encode in its patch vectors what people write about images. A
# language model can then quickly learn to read them.
#
# Our shipped tower, you should know, did not learn that way. In our small world we know what is under each patch, so a linear layer on top of the tower (a {term}`linear probe`, trained together with it) had to
# name it, patch by patch, which is far stronger supervision than a caption. For images of the web there are no such labels, but there are billions of pairs.
#
# ## Exercises
#
# Open `exercises/ch04_contrastive.py`, write the four functions, and grade them here or in a terminal:
#
# ```text
# pytest exercises/test_ch04_contrastive.py
# ```
#
# ### `pair_logits` (1 point, 5 minutes)
#
# Compute the matrix of logits from the vectors of the images and of the texts.
#
# ```{literalinclude} ../exercises/ch04_contrastive.py
# :pyobject: pair_logits
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Three steps: lengths, products, then scale and bias. Along which axis do you take a vector's length?
# ```
# ```{admonition} Hint 2: almost the line
# :class: dropdown
# `x / x.norm(dim=-1, keepdim=True)` brings each row to length 1. The product of `[B, D]` with the transpose of `[B, D]` is `[B, B]`.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch04_contrastive.py
# :pyobject: pair_logits
# ```
# ````
#
# ### `softmax_loss` (2 points, 10 minutes)
#
# Compute CLIP's loss, in both directions. It must stay finite for logits in the hundreds.
#
# ```{literalinclude} ../exercises/ch04_contrastive.py
# :pyobject: softmax_loss
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# In row i, the right answer is column i. What is the same statement for column i?
# ```
# ```{admonition} Hint 2: which function
# :class: dropdown
# `log_softmax` along the right axis, then the diagonal, then the mean. Once for each axis.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch04_contrastive.py
# :pyobject: softmax_loss
# ```
# ````
#
# ### `sigmoid_loss` (2 points, 10 minutes)
#
# Compute SigLIP's loss. It must stay finite for logits in the hundreds, too.
#
# ```{literalinclude} ../exercises/ch04_contrastive.py
# :pyobject: sigmoid_loss
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Write down the matrix of z for B = 3. How do you get it from the identity matrix?
# ```
# ```{admonition} Hint 2: which function
# :class: dropdown
# `torch.nn.functional.logsigmoid`, of z times the logits. Think again about what to divide by.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch04_contrastive.py
# :pyobject: sigmoid_loss
# ```
# ````
#
# ### `classify_zero_shot` (2 points, 10 minutes)
#
# Find the kind of toy in each image with a prompt ensemble, from the vectors of the images and of several sentences for each kind.
#
# ```{literalinclude} ../exercises/ch04_contrastive.py
# :pyobject: classify_zero_shot
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Which of the vectors have to be brought to length 1, and how often? Does the length of an *image's* vector change which class wins?
# ```
# ```{admonition} Hint 2: almost the line
# :class: dropdown
# Normalize the sentences, take the mean over M, normalize again: `[G, D]`. Then one matrix product and an `argmax`.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch04_contrastive.py
# :pyobject: classify_zero_shot
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch04_contrastive")

# %% [markdown]
# ## Summary
#
# Pairs are enough to learn from. Each of the two towers produces a vector; their cosine similarity, scaled and shifted, is the logit of "these belong together". CLIP's softmax loss lets the texts of a batch
# compete for each image, and the images for each text; it starts at log B. SigLIP's sigmoid loss decides about each pair independently; with a bias of −10 it
# starts at 10, and the matrix can be cut into blocks. The result is a space in which an image lies near the sentences that are true of it, and sentences
# become classifiers.
#
# So much for seeing. The next chapter is about the model's input: how a photograph and a question become the tensors that the model takes.
