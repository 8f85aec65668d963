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
# # How does a picture learn what words mean? Learning from pairs: CLIP and SigLIP
#
# The tower that you built in the last chapter makes vectors of patches. What those vectors *say* is a matter of training. PaliGemma's
# tower was trained on billions of pictures from the web, each with the text that stood beside it. Nobody labelled anything. The only
# thing to learn from was this: the picture and its own text belong together, the picture and any other text do not. In this chapter you
# {term}`train on such pairs <contrastive learning>` yourself, with the two losses that made this work.
#
# At the end you will be able to
#
# - write CLIP's softmax loss and SigLIP's sigmoid loss, and work out what each should be before any training;
# - say what the stretch and the bias in front of the loss are for;
# - train a text tower on 2,000 pairs in well under a minute;
# - turn sentences into a classifier, and measure it.
#
# It takes about 45 minutes. Here is the task: eight pictures and eight sentences. We know which sentence goes with which picture, and
# nothing else.

# %% mystnb={"image": {"alt": "A table of eight rows and eight columns. Each row begins with a toy scene, each column is a caption. Only the cells on the diagonal are filled with a plus, the others with a minus."}, "figure": {"caption": "All there is to learn from: each picture with its own sentence (+), and that it is not one of the others (−). At the end of the chapter a model fills in this table by itself.", "name": "fig-ch04-goal"}} tags=["hide-input"]
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
    """A row for each picture, a column for each sentence; the pictures stand at the left."""
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
    """The first scenes of a split that are wanted, with their captions. No caption comes twice."""
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
# ## Two vectors, one space
#
# To fill in the table, a model needs one vector for each picture and one for each sentence, both with the same number of numbers. Then it can
# compare them. The measure is the {term}`cosine <cosine similarity>`, as in the first chapter: the scalar product, after each vector is divided by its length. So
# the table of cosines is one matrix product.
#
# A cosine is at most 1, and that is too little. A loss that turns it into probabilities could never be sure: even if the right
# sentence had 1 and all others −1, a softmax over 8 would give it no more than 51 %. So the cosine is stretched by a number that is
# learned, and a second learned number is added. The stretch is kept as its logarithm. The optimiser may move that anywhere, and the stretch stays
# positive.
#
# The table, both losses and a classifier are the exercises of this chapter. The cells of the first three are folded: try each before you unfold it.

# %%
cosines = torch.full((8,), -1.0)
cosines[0] = 1.0  # as good as it can be
for stretch in (1, 10):
    print(f"stretch {stretch:2}: the right one gets {(stretch * cosines).softmax(0)[0]:.1%}")


# %% tags=["from:vlm.training.contrastive.pair_logits", "hide-input"]
def pair_logits(
    image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor, logit_bias: Tensor
) -> Tensor:
    """How well each picture of a batch matches each of its texts: cosine similarity, stretched and shifted.

    Args:
        image_embeds: [B, D], of any length: they are divided by it.
        text_embeds: [B, D], likewise.
        logit_scale: the logarithm of the stretch, so that no training step can make the stretch negative.
        logit_bias: the shift; negative, since most pairs of a batch do not match.

    Returns:
        [B, B], a row for each picture, a column for each text.

    Source: SigLIP (arXiv 2303.15343), Algorithm 1.
    """
    image_embeds = nn.functional.normalize(image_embeds, dim=-1)
    text_embeds = nn.functional.normalize(text_embeds, dim=-1)
    return image_embeds @ text_embeds.T * logit_scale.exp() + logit_bias


# %% [markdown]
# ## CLIP: pick your partner
#
# {term}`CLIP` (arXiv 2103.00020 {cite}`radford2021learning`) reads each row of the table as a question with B possible answers: which of these texts belongs to this picture?
# You know the loss for that: {term}`cross-entropy`, with the number of the row as the right answer. Each column is a question too, asked by the text.
# The loss is the mean of both.
#
# Before you run the cell: what should the loss be when a model knows nothing, and all its cosines are the same?


# %% tags=["from:vlm.training.contrastive.softmax_loss", "hide-input"]
def softmax_loss(logits: Tensor) -> Tensor:
    """CLIP's loss: each picture should pick its own text out of the batch's texts, and each text its picture.

    Args:
        logits: [B, B]; pair i stands at row i, column i.

    Source: CLIP (arXiv 2103.00020), Figure 3.
    """
    own = torch.arange(len(logits), device=logits.device)  # [B]
    return (
        nn.functional.cross_entropy(logits, own) + nn.functional.cross_entropy(logits.T, own)
    ) / 2


# %%
for B in (8, 128):
    print(f"B = {B:3}: {softmax_loss(torch.zeros(B, B)):.3f}")
assert torch.allclose(
    softmax_loss(torch.zeros(128, 128)), torch.tensor(128.0).log()
)  # one of 128, at random

# %% [markdown]
# It is log B, a guess among B. So the loss depends on the batch: with 128 texts to choose from the task is harder than with 8. And no row can be
# worked out before all of it is there. If the batch is spread over many machines, they all have to exchange all their vectors, and each
# holds a table of B × B. CLIP's B was 32,768.
#
# ## SigLIP: yes or no, pair by pair
#
# {term}`SigLIP` (arXiv 2303.15343 {cite}`zhai2023sigmoid`) asks a simpler question, of each cell of the table by itself: do these two belong together, yes or no? The probability
# of "yes" is the sigmoid of the logit, sigmoid(x) = 1 / (1 + e^−x), and of "no" the sigmoid of minus the logit. With a label z that is 1 for yes and −1 for no, both are
# sigmoid(z · logit), and −log of that is log(1 + e^(−z · logit)). {term}`The loss <sigmoid loss>` sums it over all B² cells, and divides by B: each picture brings one yes, so this is a loss for each picture. With $\ell_{ij}$ for the logit of picture i and text j:
#
# $$L = \frac{1}{B} \sum_{i=1}^{B} \sum_{j=1}^{B} \log\!\left(1 + e^{-z_{ij}\, \ell_{ij}}\right), \qquad z_{ij} = \begin{cases} 1 & i = j \\ -1 & i \ne j \end{cases}$$


# %% tags=["from:vlm.training.contrastive.sigmoid_loss", "hide-input"]
def sigmoid_loss(logits: Tensor) -> Tensor:
    """SigLIP's loss: each of the B * B pairs by itself, yes or no. The sum over all pairs, divided by B.

    Args:
        logits: [B, B]; pair i stands at row i, column i.

    Source: SigLIP (arXiv 2303.15343), section 3.2 and Algorithm 1 (whose sign of the bias this is).
    """
    labels = (
        2 * torch.eye(len(logits), device=logits.device) - 1
    )  # [B, B], 1 where they belong together, else -1
    return -nn.functional.logsigmoid(labels * logits).sum() / len(logits)


# %%
logits = torch.tensor([[2.0, -1.0], [0.0, 3.0]])  # two pairs, by hand
cells = [-2.0, -1.0, 0.0, -3.0]  # minus z times the logit, cell by cell
by_hand = sum(np.log(1 + np.exp(cell)) for cell in cells) / 2
print(f"by hand {by_hand:.4f}, by the function {sigmoid_loss(logits):.4f}")
assert abs(sigmoid_loss(logits).item() - by_hand) < 1e-6

# %% [markdown]
# Of the B² cells only B are a yes. With B = 128, a model that knows nothing and gives every cell a logit of 0 pays log 2 in each,
# 128² · 0.693 / 128 = 88.7, and nearly all of it for cells that say no. Its first steps would go into learning "no". So SigLIP starts with
# a bias of −10: "no" to everything, which is right in 127 of 128 cells. What is the loss then? Each of the B cells with a yes costs about 10, the others
# next to nothing, and divided by B that is 10.

# %%
for bias in (0.0, -10.0):
    print(
        f"bias {bias:5.1f}: loss {sigmoid_loss(torch.full((128, 128), bias)):6.2f} before training"
    )

# %% [markdown]
# There is a trap in this loss. Write it down as it is said, the logarithm of a sigmoid, and it breaks on large logits: the sigmoid rounds to 0,
# and its logarithm is minus infinity. `logsigmoid` takes both steps at once and stays exact.

# %%
large = torch.tensor(-200.0)
print("in two steps:", torch.sigmoid(large).log().item())
print("in one:      ", nn.functional.logsigmoid(large).item())

# %% [markdown]
# Since each cell stands for itself, the table may be cut into blocks, and the blocks may be worked out one after another or on different machines.
# Nobody ever needs a whole row. This is what made large batches cheap (section 3.3 of the paper).

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
# And the reference? A tiny SigLIP of *transformers*, with random weights, must give our logits and our loss.

# %%
from transformers import SiglipConfig, SiglipModel

shape = {
    "hidden_size": 16,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
text_shape = {"vocab_size": 30, "max_position_embeddings": 6, "projection_size": 16}
text_shape |= {"bos_token_id": 0, "eos_token_id": 1}
tiny = SiglipConfig(
    text_config=shape | text_shape, vision_config=shape | {"patch_size": 4, "image_size": 12}
)
torch.manual_seed(0)
reference = SiglipModel(tiny).eval()
with torch.no_grad():
    outputs = reference(torch.randint(30, (5, 6)), torch.randn(5, 3, 12, 12), return_loss=True)
    ours = pair_logits(
        outputs.image_embeds, outputs.text_embeds, reference.logit_scale, reference.logit_bias
    )
    assert torch.allclose(ours, outputs.logits_per_image, atol=1e-5)
    assert torch.allclose(sigmoid_loss(ours), outputs.loss, atol=1e-5)
print("logits and loss agree with the reference")

# %% [markdown]
# ## A tower for texts
#
# Now the other half. SigLIP's tower for texts is the tower for pictures with another front: instead of patches it embeds tokens, and its blocks are
# the same `SiglipEncoder` that you know from the last chapter. A sentence is filled up to a fixed length with the token that marks its
# end, and the vector at the last place speaks for the whole. There is no mask; in training the model learns to ignore the filling.


# %% tags=["from:vlm.training.contrastive.SiglipTextModel"]
class SiglipTextModel(nn.Module):
    """The tower for texts: embeddings, the same blocks as for pictures, and the last place speaks for the text.

    Every text has the same length, filled up at its end. There is no mask: the filling is read like words.
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
        """[B, T], T as long as the model was made for -> [B, D]."""
        words = self.embeddings["token_embedding"](input_ids)  # [B, T, D]
        hidden_states = self.encoder(
            words + self.embeddings["position_embedding"].weight
        )  # [B, T, D]
        return self.head(self.final_layer_norm(hidden_states)[:, -1])


# %% [markdown]
# ## Training, live
#
# Training a tower for pictures from nothing on pairs takes far longer than you want to wait. (We tried: two layers, width 96, 30,720 pairs. It then named the ground
# in every test picture, and the toy in 18 of 100.) So we take the shipped tower as it is, keep it {term}`locked <locked tower>`, and train what is on top
# of it and the whole text tower. The SigLIP paper does the same under the name SigLiT (after LiT {cite}`zhai2021lit`), where a locked tower is joined by a text tower in two days on
# four chips.
#
# A locked tower has a great advantage: it gives the same vectors each time, so it need see each picture only once. We draw 2,000 scenes with
# 2,000 different captions, of up to three toys on the six grounds that captions name.[^ch04-1]
#
# [^ch04-1]: In our small world two pictures of a batch may well have the same caption, and then a "no" would be a lie.

# %%
model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY, device="cpu")
T = 12  # the longest caption has 11 tokens


def encode(captions: list[str]) -> Tensor:
    """Token ids [B, T], filled up with <eos>."""
    rows = [tokenizer.encode(text, add_special_tokens=False) for text in captions]
    return torch.tensor([row + [tokenizer.eos_token_id] * (T - len(row)) for row in rows])


@torch.no_grad()
def look(scenes: list[Scene]) -> Tensor:
    """What the locked tower sees in each scene: [B, N, D]."""
    pixel_values = normalize(np.stack([scene.pixels for scene in scenes]))  # [B, C, H, W]
    return torch.cat([model.vision_tower(part) for part in pixel_values.split(100)])


scenes, captions = draw_pairs("train", 2000, is_simple)
patch_vectors = look(scenes)  # [2000, N, D]
input_ids = encode(captions)  # [2000, T]
print("pictures", list(patch_vectors.shape), " texts", list(input_ids.shape))
print("the first caption:", captions[0])

# %% [markdown]
# One vector for the whole picture: we take the mean over its patches, and a linear layer. (SigLIP has a learned query here that attends to the patches. PaliGemma
# drops it, because it wants all patches; checkpoints call it `head`.)
#
# The loop is the same for both losses.

# %%
from dataclasses import replace

width = model.config.vision_config.hidden_size
text_config = replace(
    model.config.vision_config, num_hidden_layers=1, intermediate_size=2 * width
)


class PairModel(nn.Module):
    """A layer on top of the locked tower, a text tower, and the two numbers in front of the loss."""

    def __init__(self):
        super().__init__()
        self.image_head = nn.Linear(width, width)
        self.text_tower = SiglipTextModel(text_config, len(tokenizer), T)
        for embedding in self.text_tower.embeddings.values():
            nn.init.normal_(embedding.weight, std=0.3)
        self.logit_scale, self.logit_bias = initial_logit_scale_and_bias()

    def embed_images(self, patch_vectors: Tensor) -> Tensor:
        """[B, N, D] -> [B, D]."""
        return self.image_head(patch_vectors.mean(dim=1))

    def forward(self, patch_vectors: Tensor, input_ids: Tensor) -> Tensor:
        """The table [B, B]."""
        images, texts = self.embed_images(patch_vectors), self.text_tower(input_ids)
        return pair_logits(images, texts, self.logit_scale, self.logit_bias)


def train(loss_function, learning_rate: float, steps: int = 200, batch: int = 128):
    """A trained model, and how it did on the way: [(step, loss, accuracy)]."""
    torch.manual_seed(0)
    pairs = PairModel()
    optimizer = torch.optim.AdamW(pairs.parameters(), lr=learning_rate, weight_decay=0.01)
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
# How do we measure it? With a task that nobody trained: take 200 test pictures with a single toy, write down all 20 · 6 = 120 sentences that could be
# true of such a picture, and let the model choose. CLIP's authors called this {term}`zero-shot`: a classifier made of sentences, without one training step for the
# classes. By chance it would be right in 1 of 120.

# %%
sentences = [
    f"{'an' if label[0] in 'aeiou' else 'a'} {label} {where}"
    for label in LABELS
    for where in BACKGROUNDS.values()
]
sentence_ids = encode(sentences)  # [120, T]
test_scenes = [
    scene
    for scene in (draw_scene(seed, "test") for seed in range(2400))
    if is_simple(scene) and len(scene.objects) == 1
][:200]
test_vectors = look(test_scenes)  # [200, N, D]
truth = torch.tensor([sentences.index(caption(scene).suffix) for scene in test_scenes])  # [200]


@torch.no_grad()
def choose(pairs: PairModel, patch_vectors: Tensor) -> Tensor:
    """The best of the 120 sentences for each picture: [B]."""
    return pairs(patch_vectors, sentence_ids).argmax(dim=1)


def accuracy(pairs: PairModel) -> float:
    return (choose(pairs, test_vectors) == truth).float().mean().item()


with_sigmoid, sigmoid_history = train(sigmoid_loss, learning_rate=3e-3)
with_softmax, softmax_history = train(softmax_loss, learning_rate=3e-3)
for name, history in (("sigmoid", sigmoid_history), ("softmax", softmax_history)):
    first, last = history[0], history[-1]
    print(
        f"{name}: first loss {first[1]:.1f}; at the end right in more than 9 of 10:",
        last[2] > 0.9,
    )
    assert last[2] > 0.9

# %% mystnb={"image": {"alt": "Two curves over 200 training steps: the share of 200 pictures for which the model chose the right of 120 sentences. Both rise from near 0 to near 1, the softmax curve sooner."}, "figure": {"caption": "Zero-shot accuracy during training, for both losses. In this small world, with 128 pairs in a step, CLIP's loss gets there first. The SigLIP paper finds the sigmoid ahead at batches below 16 thousand, after very much longer training: a race over 200 steps does not decide that.", "name": "fig-ch04-training"}} tags=["hide-input"]
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
ax.set(xlabel="training step", ylabel="right sentence chosen", ylim=(-0.02, 1.05))
ax.legend()
plt.show()

# %% [markdown]
# Both losses began where you worked out that they would: the sigmoid's near 10, the softmax's near log 128 = 4.9. Now the table from the beginning of the chapter, before
# and after. "Before" is the same model with random weights in what we trained.

# %% mystnb={"image": {"alt": "Two tables of cosines between eight pictures and eight captions. Before training all cells are nearly the same. After training the diagonal is dark red and all other cells are lighter, some of them half as red."}, "figure": {"caption": "Cosines between eight test pictures and their captions, before and after training. The diagonal stands out. Off it no cosine is far below 0, and none needs to be: the learned bias moves them all, and the stretch, printed below, makes a difference of 0.4 a clear one.", "name": "fig-ch04-table"}} tags=["hide-input"]
torch.manual_seed(0)
untrained = PairModel().eval()
eight_vectors, eight_ids = look(eight), encode(eight_captions)
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
print(
    f"stretch {with_sigmoid.logit_scale.exp().item():.0f}, bias {with_sigmoid.logit_bias.item():.0f}"
)
print("each picture's best sentence:", own.tolist())
assert own.tolist() == list(range(8))

# %% [markdown]
# ## A classifier for free
#
# You have seen the 120 sentences compete. If only the toy matters and not the ground, take the six sentences of each toy together: bring each
# sentence's vector to length 1, take the mean of the six, and let the 20 means compete. That is the last exercise below.
#
# What did the picture's vector take from where? Our pooling is a mean followed by a linear layer, so the vector is the mean of what each patch gives. Its scalar
# product with a sentence is then a mean over patches, and we can draw the terms. The ground is in both sentences below, so we draw the difference: for which of the two does each
# patch speak?


# %% tags=["hide-input", "nbval-ignore-output"]
from figures.filmstrip import filmstrip_html
from IPython.display import HTML


@torch.no_grad()
def show_match(picture: int):
    """A test scene with two kinds of toys; red patches speak for the first, blue ones for the second."""
    scene = two_kinds[picture - 1]
    labels = sorted({thing.label for thing in scene.objects})
    where = BACKGROUNDS[scene.background]
    texts = [
        sentence
        for label in labels
        for sentence in sentences
        if f" {label} {where}" in sentence
    ]
    directions = nn.functional.normalize(
        with_sigmoid.text_tower(encode(texts)), dim=-1
    )  # [2, D]
    terms = with_sigmoid.image_head(look([scene])[0]) @ directions.T  # [N, 2]
    speaks_for = (terms[:, 0] - terms[:, 1]).reshape(8, 8)  # [H/P, W/P]
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.1), layout="constrained")
    axes[0].imshow(scene.image)
    axes[0].set(xticks=[], yticks=[], title="picture")
    largest = speaks_for.abs().max()
    layer = axes[1].imshow(speaks_for, cmap="RdBu_r", vmin=-largest, vmax=largest)
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
        "For which of two sentences each patch speaks: red for the first, blue for the second. Nobody told "
        "the text tower where anything is: from pairs alone it learned which patches its words are about.",
        picture=range(1, 21),
    )
)

# %% [markdown]
# ## What PaliGemma keeps
#
# After all this training, PaliGemma throws nearly everything of this chapter away: the text tower, the pooling, stretch and bias. It keeps the
# tower for pictures, with its 412 million numbers, because pairs have taught it to say in its patch vectors what people write about pictures. A
# language model can then learn in little time to read them.
#
# Our shipped tower did not learn that way, and you should know it. In our small world we know what is under each patch, so {term}`a linear layer on top of the tower <linear probe>` could be
# asked for it, patch by patch, which is a far stronger teacher than a caption. The real world has no such labels, and it has billions of pairs.
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
# The table, from the two lists of vectors.
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Three steps: lengths, products, stretch and bias. Which axis does a length run along?
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
# Both directions, and finite for logits in the hundreds.
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
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Write down the table of z for B = 3. How do you get it from the identity matrix?
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
# ### `choose_kind` (2 points, 10 minutes)
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Which of the vectors have to be brought to length 1, and how often? Does the length of a *picture's* vector change which kind wins?
# ```
# ```{admonition} Hint 2: almost the line
# :class: dropdown
# Normalise the sentences, take the mean over M, normalise again: `[G, D]`. Then one matrix product and an `argmax`.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch04_contrastive.py
# :pyobject: choose_kind
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch04_contrastive")

# %% [markdown]
# ## Summary
#
# Pairs are enough to learn from. Two towers give a vector each; their cosine, stretched and shifted, is the logit of "these belong together". CLIP lets the texts of a batch
# compete for each picture, and the pictures for each text; its loss begins at log B. SigLIP asks of each pair by itself; with a bias of −10 its
# loss begins at 10, and the table can be cut into blocks. What comes out is a space in which a picture lies near the sentences that are true of it, and sentences
# become classifiers.
#
# So much for seeing. The next chapter is about what stands at the entrance: how a photograph and a question become the tensors that the model takes.
