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
# # How does a picture get into a sentence? One sequence from two worlds
#
# You have a tower that looks, and a language model that reads vectors. Between them there is very little: one linear layer, a rule for where the picture goes, and
# a mask that says who may look at whom. In this chapter you put them together, and have a PaliGemma.
#
# Little as it is, it is where most public re-implementations went wrong. A wrong matrix makes noise, and somebody notices. A wrong mask, or a picture that is one place off, makes a model that still
# talks, a little worse.
#
# At the end you will be able to
#
# - say at what size words and pictures meet, and which of the two is scaled;
# - {term}`merge` a batch of pictures into a batch of texts, and refuse to when the numbers don't match;
# - draw the {term}`prefix-LM mask` for any row, with padding and with a cache, and say what each mistake in it does;
# - write `PaliGemmaForConditionalGeneration.forward` and compare it with the reference, logit by logit.
#
# It takes about 50 minutes. This is the mask for a batch of two rows. You will be able to say of every cell why it is light or dark.

# %% mystnb={"image": {"alt": "Two square grids. In the left one the columns of picture and prompt are light for all rows, and the answer's columns form a staircase. In the right one, which begins with two places of padding, the columns of the padding are dark for all rows."}, "figure": {"caption": "The mask lab: who may look (row) at whom (column), light means yes. Left, a row with 4 image tokens, 3 of prompt and 4 of answer. Right, a shorter row in the same batch, with two places of padding in front. Letters: p padding, i image, q prompt, a answer.", "name": "fig-ch09-goal"}} tags=["hide-input"]
import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image
from vlm import gemma, paligemma
from vlm.attention_mask import make_position_ids
from vlm.attention_mask import make_prefix_lm_mask as finished_mask
from vlm.config import Gemma2Config, PaliGemmaConfig
from vlm.gemma import GemmaForCausalLM
from vlm.gemma2 import Gemma2ForCausalLM
from vlm.generate import generate
from vlm.kv_cache import KVCache
from vlm.loader import load_hf_model
from vlm.paligemma import PaliGemmaOutput, next_token_loss
from vlm.processor import PaliGemmaProcessor
from vlm.siglip import SiglipVisionModel

torch.set_grad_enabled(False)  # nothing is trained in this chapter


def draw_mask(ax, pads: int, pictures: int, prompt: int, answer: int, cached: int = 0):
    """One row's mask; `cached` is how many tokens of the answer were read before."""
    names = ["p"] * pads + ["i"] * pictures + ["q"] * prompt + ["a"] * answer
    attention_mask = torch.tensor([[int(name != "p") for name in names]])  # [B, T]
    types = torch.tensor([[int(name == "a") for name in names]])
    read_before = pads + pictures + prompt + cached if cached else 0
    mask = finished_mask(attention_mask, types[:, read_before:], torch.float32)  # [B, 1, S, T]
    ax.imshow(mask[0, 0] == 0, cmap="cividis", vmin=0, vmax=1)
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(names) - read_before), names[read_before:])
    for edge in (pads, pads + pictures, pads + pictures + prompt):
        ax.axvline(edge - 0.5, color="#D55E00", linewidth=1)
        if not read_before:
            ax.axhline(edge - 0.5, color="#D55E00", linewidth=1)
    ax.set(xlabel="looked at", ylabel="looking")


fig, axes = plt.subplots(1, 2, figsize=(7.8, 3.9), layout="constrained")
draw_mask(axes[0], pads=0, pictures=4, prompt=3, answer=4)
draw_mask(axes[1], pads=2, pictures=4, prompt=2, answer=3)
plt.show()

# %% [markdown]
# ## Words at the right size
#
# The language model begins with a table, the {term}`embedding`: one row of D numbers for each token. Gemma multiplies what it looks up by √D. The reason lies at the other end: the same
# table is used as the head, where its rows are compared with the last vectors, and for that they had better be small. So small rows are stored, and made larger at the entrance.

# %%
model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
config = model.config
N, D = config.vision_config.num_image_tokens, config.text_config.hidden_size
processor = PaliGemmaProcessor.for_model(model, tokenizer)
image = example_image(0)
inputs = processor(["detect cat ; bird"], [image])
table = model.language_model.model.embed_tokens.weight  # [V, D]
words = model.language_model.model.embed(inputs["input_ids"])  # [B, S, D]
assert torch.equal(words, table[inputs["input_ids"]] * D**0.5)


def size(vectors: Tensor) -> float:
    """Mean root mean square."""
    return vectors.square().mean(-1).sqrt().mean().item()


image_features = model.get_image_features(inputs["pixel_values"])  # [B, N, D]
print(
    f"a row of the table {size(table):.2f}, a word at the entrance {size(words[0, N:]):.2f}, a patch at the entrance {size(image_features):.2f}"
)

# %% [markdown]
# The picture's vectors come from the projector, and are *not* scaled: the projector is a trained layer and makes them as large as they have to be. For some years the reference implementation divided them by √D first and then multiplied everything by √D. That is the same on paper, and
# not quite the same in 16 bits.
#
# There is a second subtlety in 16 bits. √D is 45.2548 for D = 2,048, and bfloat16 knows only 45.25. The published code rounds the root to the dtype of the table first, and multiplies then; whoever multiplies by the exact root gets other last digits.
#
# Scaling by the wrong D is easily done. A published config has a `hidden_size` for the tower, one for the language model, and a third at the top, which is wrong for PaliGemma 2. What happens if you take none, or the tower's, or scale the picture as well? Guess which of the three the model forgives.

# %%
original_embed, original_merge = gemma.GemmaModel.embed, paligemma.merge_image_features


def caption_with(embed=original_embed, merge=original_merge) -> str:
    gemma.GemmaModel.embed, paligemma.merge_image_features = embed, merge
    [text] = generate(model, processor, "caption en", image, max_new_tokens=10)
    gemma.GemmaModel.embed, paligemma.merge_image_features = original_embed, original_merge
    return text


print("as it should be:      ", caption_with())
print("words not scaled:     ", caption_with(embed=lambda gemma, ids: gemma.embed_tokens(ids)))
print(
    "words by √192:        ",
    caption_with(embed=lambda gemma, ids: gemma.embed_tokens(ids) * 192**0.5),
)
print(
    "picture scaled by √D: ",
    caption_with(
        merge=lambda words, features, mask: original_merge(words, features * D**0.5, mask)
    ),
)

# %% [markdown]
# The tower's size is near enough for this caption. That is the dangerous kind: it works in the demonstration, and costs a few points in an evaluation.
#
# ## The bridge
#
# The {term}`projector` takes the tower's 192 numbers to the language model's 128. A linear layer with a bias, nothing more.


# %% tags=["from:vlm.paligemma.PaliGemmaMultiModalProjector"]
class PaliGemmaMultiModalProjector(nn.Module):
    """The only bridge between the two worlds: one linear layer from the tower's width to Gemma's."""

    def __init__(self, config: PaliGemmaConfig):
        super().__init__()
        self.linear = nn.Linear(
            config.vision_config.hidden_size, config.text_config.hidden_size
        )

    def forward(self, image_features: Tensor) -> Tensor:
        return self.linear(image_features)  # [I, N, D]


# %% [markdown]
# Does it translate patches into words? One could imagine that the vector of a patch of cat comes out near the word "cat". Look up the nearest word for each of a few patches.

# %%
patches = nn.functional.normalize(image_features[0], dim=-1)  # [N, D]
cosines = patches @ nn.functional.normalize(table, dim=-1).T  # [N, V]
for name, patch in (("cat's face", 4 * 8 + 2), ("bird", 5 * 8 + 5), ("grass", 7)):
    nearest = cosines[patch].argmax()
    print(
        f"{name:10} nearest word {tokenizer.convert_ids_to_tokens(int(nearest))!r}, cosine {cosines[patch, nearest]:.2f}"
    )

# %% [markdown]
# No. The nearest words mean nothing, and they are not near. An image token is not a word. It is a vector that the layers above have learned to read, and the only thing that it has in common with a word is that it has D numbers.
#
# ## The merge
#
# The processor has kept N places free, each filled with the token `<image>`. Now the picture takes them. The tempting way is one line: `masked_scatter` writes vectors into the places where a mask is True, in order.

# %%
is_image = inputs["input_ids"] == config.image_token_index  # [B, S]
merged = words.masked_scatter(is_image[..., None], image_features)  # [B, S, D]
assert torch.equal(merged[0, :N], image_features[0])
too_many = torch.cat([torch.zeros(1, 1, D), image_features], dim=1)  # N + 1 vectors
print(
    "with a vector too many it says:",
    list(words.masked_scatter(is_image[..., None], too_many).shape),
)

# %% [markdown]
# It says nothing: the surplus vector at the end is dropped, and all others stand one place too late. What does the model make of a picture that is off by one place?

# %%
from vlm.regions.boxes import box_iou, parse_detections

[right] = generate(model, processor, "detect cat ; bird", image)
paligemma.merge_image_features = lambda words, features, mask: original_merge(
    words, features.roll(1, dims=1), mask
)
[shifted] = generate(model, processor, "detect cat ; bird", image)
paligemma.merge_image_features = original_merge
for before, after in zip(
    parse_detections(right, 112, 112), parse_detections(shifted, 112, 112)
):
    print(
        f"{before.label:5} {after.label:5} IoU of the two boxes {box_iou(before.box, after.box):.2f}"
    )

# %% [markdown]
# The boxes are still found, some of them a little worse: you would never see it in a picture, and it costs you in every evaluation. So the package counts before it writes, and refuses.


# %% tags=["from:vlm.paligemma.merge_image_features", "hide-input"]
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
try:
    merge_image_features(words, too_many, is_image)
except ValueError as error:
    print(str(error).split(":")[0])

# %% [markdown]
# ## Two rules in one mask
#
# Most language models read with a {term}`causal mask`: each token sees itself and what came before, because that is all there is when it is written. But a picture and a question are not written by the model. They are there, whole, from the beginning, and nothing is
# gained by hiding the end of the question from its beginning. PaliGemma {cite}`beyer2024paligemma` (section 3.1) has two rules, like the prefix language models of the T5 paper {cite}`raffel2019exploring`. The prefix, picture and prompt, sees itself in full. The suffix, the answer, sees the prefix and what came before.
#
# How do you write that down, for a batch of rows with different lengths? With a trick that makes both rules one. Give each token a *block* number: the whole prefix is block 0, and each token of the suffix opens a block of its own: 1, 2, 3 … Then the rule is:
# a token may look at every block that is not later than its own. The block numbers are a running sum over `token_type_ids`.

# %%
token_type_ids = torch.tensor(
    [[0, 0, 0, 1, 1]]
)  # a place of padding, two of prefix, two of suffix
attention_mask = torch.tensor([[0, 1, 1, 1, 1]])
blocks = token_type_ids.cumsum(-1)
visible = (blocks[:, None, :] <= blocks[:, :, None]) & attention_mask[:, None, :].bool()
print("blocks", blocks[0].tolist())
print(visible[0].int())
assert visible[0].int().tolist() == [[0, 1, 1, 0, 0]] * 3 + [[0, 1, 1, 1, 0], [0, 1, 1, 1, 1]]

# %% [markdown]
# The first column is dark for everyone: nobody looks at padding. The first *row*, the padding's own, is not empty. It sees the prefix, which does no harm, because nobody looks at what comes of it. An empty row could become a nan, as you know.
#
# When the model writes with a cache, only the new token is read, and all that came before is in the cache. Then the mask has one row and T columns: it sees everything but the padding.


# %% tags=["from:vlm.attention_mask.make_prefix_lm_mask"]
def make_prefix_lm_mask(
    attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype
) -> Tensor:
    """Picture and prompt see each other in full; each token of the answer sees them and the answer before it."""
    query_blocks = token_type_ids.cumsum(-1)  # [B, S]
    num_cached = attention_mask.shape[1] - token_type_ids.shape[1]
    key_blocks = torch.nn.functional.pad(
        query_blocks, (num_cached, 0)
    )  # [B, T]: what is cached is seen by all
    visible = (key_blocks[:, None, :] <= query_blocks[:, :, None]) & attention_mask[
        :, None, :
    ].bool()  # [B, S, T]
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill(~visible, torch.finfo(dtype).min)[:, None]  # [B, 1, S, T]


# %% [markdown]
# Here is a row of two pads, four image tokens, a prompt of three and an answer of five tokens, three of which were read before and are in the cache.

# %% mystnb={"image": {"alt": "A wide grid with two rows, the last two tokens of an answer. Both see picture, prompt and the earlier answer, not the padding; the first of them does not see the second."}, "figure": {"caption": "With a cache: two new tokens of the answer look at everything that was read before, but not at the padding, and the first not at the second.", "name": "fig-ch09-cached"}} tags=["hide-input"]


def show_mask(
    padding: int = 2, pictures: int = 4, prompt: int = 3, answer: int = 5, cached: int = 3
):
    """A mask of one row."""
    _fig, ax = plt.subplots(figsize=(5, 3.6), layout="constrained")
    draw_mask(ax, padding, pictures, prompt, answer, min(cached, answer - 1))
    plt.show()


show_mask()

# %% [markdown]
# In the mask lab you set the numbers. It has the rule of the function above. Predict before you move a slider. (1) One more pad: does it change a column, a row, or both? (2) Three answer tokens move into the cache: what disappears from the grid, and what stays? (3) The rule becomes *plain causal*: are cells lost in the rows of the answer?
#
# <div class="live-figure" data-figure="mask-lab" data-offers="padding image answer cached rules">
# <p>This figure needs JavaScript. The figure above shows one mask, and the exercises ask you to write the rule. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("mask-lab", offers="padding image answer cached rules")

# %% [markdown]
# (1) Both, but only the column matters. No token attends to it. The pad's own row is there, and what comes of it is never read. The position ids, beside the words, don't count the pad. (2) All rows but those of the new tokens are gone, the image and the prompt among them, and all columns stay: a cached token is never a query again, and remains a key for all that follow. (3) Not one. In the answer both rules are the same, and everything that *plain causal* takes away is in the image and the prompt. So a wrong mask of this kind can't be found by looking at the answer's rows.

# %% [markdown]
# Three wrong masks have been shipped. *Plain causal*: the prefix sees only backwards. *Everything*: no staircase, so the suffix sees its own future. *Padding visible*: it takes two rows to see that one, and chapter 14 does. We ask two things of the other two: what the model writes, and, {term}`fed the right answer <teacher forcing>`, how many of its 27 tokens it
# foresees. Before you run it: the second mask shows the model what it is to foresee. Will that help it?

# %%
training_row = processor(["detect cat ; bird"], [image], suffix=[right])
S = inputs["input_ids"].shape[1]
target = training_row["input_ids"][0, S:]


def causal(attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype) -> Tensor:
    return finished_mask(attention_mask, torch.ones_like(token_type_ids), dtype)


def everything(attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype) -> Tensor:
    return finished_mask(attention_mask, torch.zeros_like(token_type_ids), dtype)


for name, wrong_mask in (
    ("prefix", finished_mask),
    ("causal", causal),
    ("everything", everything),
):
    paligemma.make_prefix_lm_mask = wrong_mask
    [text] = generate(model, processor, "caption en", image, max_new_tokens=10)
    foreseen = model(**training_row).logits[0, S - 1 : -1].argmax(-1) == target
    print(f"{name:11} {int(foreseen.sum()):2} of {len(target)} foreseen   {text!r}")
paligemma.make_prefix_lm_mask = finished_mask

# %% [markdown]
# The causal mask ruins it: this model's image tokens have learned to see the prompt, as you saw in the gates of chapter 6. Seeing the future does not help, it confuses: the model was trained without, and meets vectors that it has never met. A model that is *trained* with that
# mask would do brilliantly in training, and fail when it writes, since then there is no future to copy from. And note the caption in the last line: when a model writes token by token with a cache, the wrong mask is never used on an answer, and the mistake does not show.
#
# What do image tokens look for in the prompt? Choose a patch in the figure. The image shows where it attends among the patches, the stripes below the tokens what it gives to the prompt. Before you choose one: how much of a patch's attention goes to the prompt, and in which of the four layers most? And what will be left of it with a causal prefix?
#
# <div class="live-figure" data-figure="attention-lab" data-view="merge" data-tasks="caption detect count">
# <p>This figure needs JavaScript. Chapter 6 shows gates that open for a patch with one prompt and stay shut with another. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("attention-lab", view="merge", tasks="caption detect count")

# %% [markdown]
# In this model it is layer 0: there the patches give about half of their attention to the prompt, and much less from layer 2 on. First they find out what is asked, then they look at each other. Go through the heads of layer 0. Does one of them give nearly everything to the prompt, and was it among those that you could not knock out in chapter 8? With a causal prefix the patches come before the prompt, so none of them sees a word of it. Every stripe is empty, and the answer is lost.
#
# The figure below has three mistakes of this chapter: text that is not scaled, features that are shifted by one, and the causal prefix. For each, guess where its bars begin: at the merged embeddings or after them? And is the bug with the largest first bar also the one that does most damage?
#
# <div class="live-figure" data-figure="break-it" data-bugs="text-not-scaled image-shifted causal-prefix" data-tasks="caption detect">
# <p>This figure needs JavaScript. The cells of this chapter make the same mistakes in Python. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("break-it", bugs="text-not-scaled image-shifted causal-prefix", tasks="caption detect")

# %% [markdown]
# The mask is used for the first time in layer 0, so the causal prefix begins there; the other two begin at the merged embeddings. The largest first bar is that of the shifted features, since 64 of the prefix's vectors are in the wrong place, and with unscaled text only the few text tokens are wrong. And yet the shift leaves captions alone (all of 16 scenes) and only moves boxes, while the model without scaled text says nothing that makes sense. An error by layer tells you where to look, and nothing about how much the answer suffers.
#
# ## All of it
#
# Now the class. (`Gemma2ForCausalLM` and `make_layer_masks` are for PaliGemma 2, chapter 15; in this model `make_layer_masks` returns the mask unchanged.) Its parts have the names of the published checkpoint. `forward` is long in words and short in steps: fill in what was not given, look, embed, merge, mask, read, and compare with labels if there are any.


# %% tags=["from:vlm.paligemma.PaliGemmaForConditionalGeneration"]
class PaliGemmaForConditionalGeneration(nn.Module):
    """The whole model. Its submodules are named as in the published checkpoints."""

    def __init__(self, config: PaliGemmaConfig):
        super().__init__()
        self.config = config
        self.vision_tower = SiglipVisionModel(config.vision_config)
        self.multi_modal_projector = PaliGemmaMultiModalProjector(config)
        language_model_class = (
            Gemma2ForCausalLM
            if isinstance(config.text_config, Gemma2Config)
            else GemmaForCausalLM
        )
        self.language_model = language_model_class(config.text_config)

    @property
    def device(self) -> torch.device:
        return self.language_model.lm_head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.language_model.lm_head.weight.dtype

    def tie_weights(self):
        """Let the head share the embedding's matrix, as in every published PaliGemma."""
        self.language_model.tie_weights()

    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        """Pictures [I, C, H, W] -> [I, N, D], ready to stand between word embeddings (and not scaled by sqrt(D))."""
        return self.multi_modal_projector(self.vision_tower(pixel_values))

    def embed_inputs(self, input_ids: Tensor, image_features: Tensor | None) -> Tensor:
        """Word embeddings [B, S, D], with the image features in the places of the image tokens."""
        inputs_embeds = self.language_model.model.embed(input_ids)
        if image_features is None:
            return inputs_embeds
        image_mask = input_ids == self.config.image_token_index
        if not image_mask.any():
            raise ValueError(
                f"images were given, and no image token is among the {input_ids.shape[1]} input_ids of each row: "
                "pixel_values belong to the first pass, which reads the prompt; give None in later passes"
            )
        return merge_image_features(inputs_embeds, image_features, image_mask)

    def forward(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        kv_cache: KVCache | None = None,
        logits_to_keep: int = 0,
        image_features: Tensor | None = None,
    ) -> PaliGemmaOutput:
        """Predict the token after each position.

        Args:
            input_ids: [B, S], the tokens that are not in the cache yet; pictures stand as runs of image tokens.
            pixel_values: [I, C, H, W], the pictures in the order of their image tokens; None once they are cached.
            attention_mask: [B, T], 1 for real tokens, 0 for padding, the cached ones included. None: no padding.
            token_type_ids: [B, S], 0 for prefix, 1 for suffix. None: all prefix without a cache (or with an
                empty one); all suffix once the cache holds something.
            position_ids: [B, S]. None: real tokens are counted from 1.
            labels: [B, S], the input ids again, with -100 where no loss is wanted; shifted here, not by you.
            kv_cache: read and filled.
            logits_to_keep: compute logits for this many last positions only; 0 for all.
            image_features: [I, N, D], what `get_image_features` made of the pictures, in place of pixel_values:
                several prompts about one picture then share one pass of the tower.

        Raises:
            ValueError: image tokens and pictures do not match in number, or the mask's length is off.
        """
        num_cached = kv_cache.length if kv_cache is not None else 0
        batch_size, num_new = input_ids.shape
        if attention_mask is None:
            attention_mask = torch.ones(
                batch_size, num_cached + num_new, dtype=torch.long, device=input_ids.device
            )
        if attention_mask.shape != (batch_size, num_cached + num_new):
            raise ValueError(
                f"attention_mask has shape {list(attention_mask.shape)}: expected "
                f"[{batch_size}, {num_cached + num_new}], for {num_cached} cached and {num_new} new tokens"
            )
        if token_type_ids is None:
            token_type_ids = torch.full_like(input_ids, 1 if num_cached else 0)
        if position_ids is None:
            position_ids = make_position_ids(attention_mask, num_new)

        if pixel_values is not None:
            image_features = self.get_image_features(pixel_values)
        elif (
            image_features is None
            and not num_cached
            and (input_ids == self.config.image_token_index).any()
        ):
            raise ValueError(
                "the text has image tokens and there is no picture: give pixel_values or image_features"
            )
        inputs_embeds = self.embed_inputs(input_ids, image_features)  # [B, S, D]
        mask = make_prefix_lm_mask(
            attention_mask, token_type_ids, inputs_embeds.dtype
        )  # [B, 1, S, T]
        mask = self.language_model.make_layer_masks(mask, token_type_ids)
        logits = self.language_model(
            inputs_embeds, position_ids, mask, kv_cache, logits_to_keep
        )  # [B, S, V]
        return PaliGemmaOutput(
            logits, None if labels is None else next_token_loss(logits, labels)
        )


# %% [markdown]
# The loss compares each label with the scores one place to its left, and leaves out labels of −100: the prefix and the padding. It is the mean over all labels of the batch.[^ch09-1]
#
# Two details are the package's own. `labels` come unshifted, and the shift is done inside, as in *transformers*. And without `token_type_ids` everything new counts as prefix if nothing is cached, and as suffix if something is. The reference has changed its mind on
# this more than once: its version 5.23 then reads the prompt causally, its older ones did not.
#
# The proof. The shipped weights go into our class and into the reference, with a batch of two rows of different lengths, answers included. All logits at real tokens are compared, and the loss.
#
# [^ch09-1]: Google's code takes the mean of each row first. With rows of different lengths that is not the same.

# %%
from transformers import PaliGemmaForConditionalGeneration as Reference
from transformers import logging

logging.disable_progress_bar()
reference = Reference.from_pretrained(CHECKPOINT_DIRECTORY, attn_implementation="eager").eval()
ours = PaliGemmaForConditionalGeneration(config)
ours.load_state_dict(model.state_dict())
batch = processor(
    ["caption en", "detect cat ; bird"], [example_image(1), image], suffix=["two dogs", right]
)
mine, theirs = ours(**batch), reference(**batch)
is_real = batch["attention_mask"].bool()  # [B, S]
difference = (mine.logits - theirs.logits)[is_real].abs().max().item()
print(
    f"largest difference below 1e-4: {difference < 1e-4}, of logits up to {mine.logits.abs().max():.0f}"
)
print(f"loss: ours {mine.loss:.4f}, theirs {theirs.loss:.4f}")
assert difference < 1e-4 and abs(mine.loss - theirs.loss) < 1e-5

# %% [markdown]
# ## Exercises
#
# Open `exercises/ch09_merge.py`, write what is missing, and grade it, below or in a terminal:
#
# ```text
# pytest exercises/test_ch09_merge.py
# ```
#
# ### `embed_tokens` (1 point, 5 minutes)
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Indexing a table of rows with a tensor of numbers gives a tensor of rows. Which of the config's two hidden sizes has the table?
# ```
# ```{admonition} Hint 2: a detail
# :class: dropdown
# A Python number is not rounded before it is multiplied. `torch.tensor(number, dtype=weight.dtype)` is.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch09_merge.py
# :pyobject: embed_tokens
# ```
# ````
#
# ### `merge_image_features` (2 points, 10 minutes)
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Two counts must agree. And the argument must not be changed: what do you write into?
# ```
# ```{admonition} Hint 2: which step
# :class: dropdown
# `copy[mask] = rows` writes rows in order where the mask is True. The features are [I, N, D]: make one list of rows of them first.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch09_merge.py
# :pyobject: merge_image_features
# ```
# ````
#
# ### `may_look` (3 points, 20 minutes)
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Draw the matrix of the example in the file, and number the blocks. When is a look allowed, in terms of two block numbers?
# ```
# ```{admonition} Hint 2: which tensors
# :class: dropdown
# `blocks[:, :, None]` belongs to who looks, [B, S, 1]; `blocks[:, None, :]` to who is looked at. The cached places have block 0, since everyone sees them: put them in front.
# ```
# ```{admonition} Hint 3: almost the line
# :class: dropdown
# `(all_blocks[:, None, :] <= blocks[:, :, None])` is [B, S, T]. Padding is still in it: combine it with `attention_mask[:, None, :].bool()`.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch09_merge.py
# :pyobject: may_look
# ```
# ````
#
# ### `run_paligemma` (3 points, 15 minutes)
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Six steps: look, project, embed, merge, positions and mask, read. Which of them have you written above?
# ```
# ```{admonition} Hint 2: a detail
# :class: dropdown
# A running sum over `attention_mask` counts the real tokens of each row.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch09_merge.py
# :pyobject: run_paligemma
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch09_merge")

# %% [markdown]
# ## Summary
#
# A picture becomes N vectors, and they take the places of N tokens in the text. Words are scaled by √D, picture vectors are not. The merge counts before it writes. The mask gives every token a block, and lets it see every block that is not later: the prefix sees itself, the suffix sees backwards, nobody sees padding.
#
# You have written a PaliGemma. For each position it returns 1,921 logits. How does a list of logits become a sentence? That is next.
