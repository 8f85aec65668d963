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
# # Image tokens and the prefix-LM mask: how does an image get into a sentence?
#
# You have a vision tower that turns an image into vectors, and a language model that reads vectors. Between them there is very little: one linear layer, a rule for where the image goes in the sequence, and a mask that says which position may attend to which. In this chapter you put them together, and have a PaliGemma.
#
# Little as it is, many public re-implementations got it wrong. A wrong weight matrix produces noise, and somebody notices. With some wrong masks, or with image features that are off by one position, the model still answers, only a little worse.
#
# At the end you will be able to
#
# - say how large text and image vectors are when they are merged, and which of the two are scaled;
# - {term}`merge` a batch of images into a batch of texts, and raise an error when the counts don't match;
# - draw the {term}`prefix-LM mask` for any row, with padding and with a cache, and say what each mistake in it does;
# - write `PaliGemmaForConditionalGeneration.forward` and compare it with the reference, logit by logit.
#
# Time: about 50 minutes to read and run, and 50 for the four exercises. The figure shows the mask for a batch of two rows. By the end you will be able to explain why each cell is light or dark.

# %% mystnb={"image": {"alt": "Two square grids. In the left one, the columns of the image and the prompt are light in all rows, and the columns of the answer form a staircase. The right one begins with two padding columns, which are dark in all rows; the rest has the same pattern."}, "figure": {"caption": "The prefix-LM mask of a batch of two rows: image and prompt attend to each other in full, the answer attends causally, and no token attends to padding. A row of the grid is a query, a column a key, and light means that the query may attend to the key. Letters: p padding, i image, q prompt, a answer. The second row of the batch is shorter, so it begins with two pads.", "name": "fig-ch09-goal"}} tags=["hide-input"]
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


def draw_mask(ax, pads: int, image: int, prompt: int, answer: int, cached: int = 0):
    """Draw the mask of one row; `cached` is how many answer tokens are in the cache."""
    names = ["p"] * pads + ["i"] * image + ["q"] * prompt + ["a"] * answer
    attention_mask = torch.tensor([[int(name != "p") for name in names]])  # [B, T]
    types = torch.tensor([[int(name == "a") for name in names]])
    num_cached = pads + image + prompt + cached if cached else 0
    # [B, 1, S, T]
    mask = finished_mask(attention_mask, types[:, num_cached:], torch.float32)
    ax.imshow(mask[0, 0] == 0, cmap="cividis", vmin=0, vmax=1)
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(names) - num_cached), names[num_cached:])
    for edge in (pads, pads + image, pads + image + prompt):
        ax.axvline(edge - 0.5, color="#D55E00", linewidth=1)
        if not num_cached:
            ax.axhline(edge - 0.5, color="#D55E00", linewidth=1)
    ax.set(xlabel="key position", ylabel="query position")


fig, axes = plt.subplots(1, 2, figsize=(7.8, 3.9), layout="constrained")
draw_mask(axes[0], pads=0, image=4, prompt=3, answer=4)
draw_mask(axes[1], pads=2, image=4, prompt=2, answer=3)
plt.show()

# %% [markdown]
# ## Embedding scale: Gemma multiplies text by √D
#
# The language model begins with the {term}`embedding` matrix: one row of D numbers for each token. Gemma's code multiplies each row that it looks up by √D, as the original Transformer did {cite}`vaswani2017attention` (section 3.4). The papers don't say why. A likely reason is at the other end of the model: the same matrix is the head, where the {term}`dot product` of a row with the last hidden state is that token's logit, and small rows give logits of moderate size. So small rows are stored, and scaled up at the input.

# %%
model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
config = model.config
N, D = config.vision_config.num_image_tokens, config.text_config.hidden_size
processor = PaliGemmaProcessor.for_model(model, tokenizer)
image = example_image(0)
inputs = processor(["detect cat ; bird"], [image])
embedding = model.language_model.model.embed_tokens.weight  # [V, D]
text_embeds = model.language_model.model.embed(inputs["input_ids"])  # [B, S, D]
assert torch.equal(text_embeds, embedding[inputs["input_ids"]] * D**0.5)


def size(vectors: Tensor) -> float:
    """The root mean square of each vector, averaged over all vectors."""
    return vectors.square().mean(-1).sqrt().mean().item()


image_features = model.get_image_features(inputs["pixel_values"])  # [B, N, D]
print(f"row of the embedding matrix   {size(embedding):.2f}")
print(f"token at the model's input    {size(text_embeds[0, N:]):.2f}")
print(f"patch at the model's input    {size(image_features):.2f}")

# %% [markdown]
# The image features come from the projector, and are *not* scaled: the projector is trained, and makes them as large as they have to be. Until early 2026 the reference implementation divided them by √D, and then multiplied the whole sequence by √D. On paper that is the same; in 16 bits it is not quite.
#
# There is a second subtlety in 16 bits. For D = 2,048, √D is 45.2548, and the nearest bfloat16 number is 45.25. The published code first rounds the root to the dtype of the embedding matrix, and then multiplies. If you multiply by the exact root, results differ in the last digits.
#
# It is easy to scale by the wrong D. A published config has a `hidden_size` for the tower, one for the language model, and a third one at the top level, which is wrong for PaliGemma 2. What happens if you don't scale at all, or use the tower's size, or scale the image as well? Guess which of the three mistakes the model forgives.

# %%
original_embed, original_merge = gemma.GemmaModel.embed, paligemma.merge_image_features


def caption_with(embed=original_embed, merge=original_merge) -> str:
    gemma.GemmaModel.embed, paligemma.merge_image_features = embed, merge
    [text] = generate(model, processor, "caption en", image, max_new_tokens=10)
    gemma.GemmaModel.embed = original_embed
    paligemma.merge_image_features = original_merge
    return text


def scale_by(factor: float):
    return lambda gemma, ids: gemma.embed_tokens(ids) * factor


def scale_image_too(embeds: Tensor, features: Tensor, mask: Tensor) -> Tensor:
    return original_merge(embeds, features * D**0.5, mask)


print("correct:           ", caption_with())
print("text not scaled:   ", caption_with(embed=scale_by(1)))
print("text times √192:   ", caption_with(embed=scale_by(192**0.5)))
print("image times √128:  ", caption_with(merge=scale_image_too))

# %% [markdown]
# √192 is close enough to √128 for this caption. That is the dangerous kind of mistake: the demo works, and an evaluation may lose a few points.
#
# ## The projector: one linear layer
#
# The {term}`projector` maps each patch from the tower's 192 numbers to the language model's 128. It is a linear layer with a bias, nothing more.


# %% tags=["from:vlm.paligemma.PaliGemmaMultiModalProjector"]
class PaliGemmaMultiModalProjector(nn.Module):
    """One linear layer that maps image features from the tower's width to Gemma's."""

    def __init__(self, config: PaliGemmaConfig):
        super().__init__()
        self.linear = nn.Linear(
            config.vision_config.hidden_size, config.text_config.hidden_size
        )

    def forward(self, image_features: Tensor) -> Tensor:
        return self.linear(image_features)  # [I, N, D]


# %% [markdown]
# Does it translate patches into words? One could imagine that the vector of a patch of cat comes out near the embedding of `cat`. Look up the nearest token embedding for each of a few patches.

# %%
patches = nn.functional.normalize(image_features[0], dim=-1)  # [N, D]
cosines = patches @ nn.functional.normalize(embedding, dim=-1).T  # [N, V]
for name, patch in (("cat's face", 4 * 8 + 2), ("bird", 5 * 8 + 5), ("grass", 7)):
    nearest = cosines[patch].argmax()
    token = tokenizer.convert_ids_to_tokens(int(nearest))
    print(f"{name:10} nearest token {token!r}, cosine {cosines[patch, nearest]:.2f}")

# %% [markdown]
# No. The nearest tokens have nothing to do with the patches, and they are not near. An image token is not a word. The language model's layers have learned to read its vector, and all that this vector has in common with a token embedding is its size, D.
#
# ## Merging image features into the text
#
# The processor has reserved N positions for the image, each filled with the token `<image>`. Now the image features go there. The obvious way takes one line: `masked_scatter` writes vectors, in order, to the positions where a mask is True.

# %% tags=["hide-input"]
from figures.schematics.merge import draw_merge
from IPython.display import HTML

drawing = draw_merge(config, ["<bos>", "detect", "cat", "\\n"])
HTML(
    drawing.html(
        "Image vectors replace the image tokens, which reserve their positions; text "
        "tokens get rows of the embedding matrix. The result is one sequence, and "
        "nothing marks where a vector came from."
    )
)

# %%
is_image = inputs["input_ids"] == config.image_token_index  # [B, S]
merged = text_embeds.masked_scatter(is_image[..., None], image_features)  # [B, S, D]
assert torch.equal(merged[0, :N], image_features[0])
too_many = torch.cat([torch.zeros(1, 1, D), image_features], dim=1)  # [1, N + 1, D]
merged = text_embeds.masked_scatter(is_image[..., None], too_many)
print("with one vector too many, no error:", list(merged.shape))

# %% [markdown]
# There is no error: the last vector is dropped, and each of the others is one position late. What does the model make of an image that is off by one position?

# %%
from vlm.regions.boxes import box_iou, parse_detections

[right] = generate(model, processor, "detect cat ; bird", image)
paligemma.merge_image_features = lambda embeds, features, mask: original_merge(
    embeds, features.roll(1, dims=1), mask
)
[shifted] = generate(model, processor, "detect cat ; bird", image)
paligemma.merge_image_features = original_merge
for before, after in zip(
    parse_detections(right, 112, 112), parse_detections(shifted, 112, 112)
):
    iou = box_iou(before.box, after.box)
    print(f"{before.label:5} {after.label:5} IoU of the two boxes {iou:.2f}")

# %% [markdown]
# The model still finds the boxes, some of them a little worse. You would not notice it in a single image, but every evaluation gets worse. So the package counts before it writes, and raises an error if the counts differ.


# %% tags=["from:vlm.paligemma.merge_image_features", "hide-input"]
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
            f"the text has {num_tokens} image tokens and the images give "
            f"{num_features} features: each image needs exactly its own run of "
            "image tokens, as PaliGemmaProcessor writes it"
        )
    return inputs_embeds.masked_scatter(
        image_mask[..., None], image_features.to(inputs_embeds.dtype)
    )


# %%
try:
    merge_image_features(text_embeds, too_many, is_image)
except ValueError as error:
    print(str(error).split(":")[0])

# %% [markdown]
# ## The prefix-LM mask: two rules in one
#
# Most language models use a {term}`causal mask`: each token attends to itself and to what came before, because nothing else exists when it is generated. But the image and the prompt are not generated by the model. They are complete from the beginning, and nothing is gained by hiding the end of the question from its beginning. So PaliGemma {cite}`beyer2024paligemma` (section 3.1) has two rules, like the prefix language models in the T5 paper {cite}`raffel2019exploring`. The prefix (image and prompt) attends to itself in full. A token of the suffix (the answer) attends to the prefix, to the suffix before it, and to itself.
#
# How do you write that for a batch of rows with different lengths? One trick turns both rules into one. Give each token a *block* number: the whole prefix is block 0, and each token of the suffix opens a block of its own: 1, 2, 3 … Then the rule is: a token may attend to every block that is not later than its own. The block numbers are the cumulative sum of `token_type_ids`.

# %%
# One pad, two tokens of prefix, two of suffix.
token_type_ids = torch.tensor([[0, 0, 0, 1, 1]])
attention_mask = torch.tensor([[0, 1, 1, 1, 1]])
blocks = token_type_ids.cumsum(-1)
visible = (blocks[:, None, :] <= blocks[:, :, None]) & attention_mask[:, None, :].bool()
print("blocks", blocks[0].tolist())
print(visible[0].int())
expected = [[0, 1, 1, 0, 0]] * 3 + [[0, 1, 1, 1, 0], [0, 1, 1, 1, 1]]
assert visible[0].int().tolist() == expected

# %% [markdown]
# The first column is 0 in every row: no token attends to padding. The first *row*, that of the pad itself, is not empty. The pad attends to the prefix, which does no harm, because nothing uses its output. An empty row could become NaN, as chapter 8 showed.
#
# During generation with a KV cache (chapter 11), only the new token goes through the model; the keys and values of everything before it are in the cache. Then the mask has one row and T columns, one for each cached or new token, and the new token may attend to everything except the padding.


# %% tags=["from:vlm.attention_mask.make_prefix_lm_mask"]
def make_prefix_lm_mask(
    attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype
) -> Tensor:
    """Bidirectional in the prefix; the suffix attends to the prefix, and causally to itself."""
    query_blocks = token_type_ids.cumsum(-1)  # [B, S]
    num_cached = attention_mask.shape[1] - token_type_ids.shape[1]
    # [B, T]: every query may attend to what is cached
    key_blocks = torch.nn.functional.pad(query_blocks, (num_cached, 0))
    visible = (  # [B, S, T]
        (key_blocks[:, None, :] <= query_blocks[:, :, None])
        # and the key is not padding
        & attention_mask[:, None, :].bool()
    )
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill(~visible, torch.finfo(dtype).min)[:, None]  # [B, 1, S, T]


# %% [markdown]
# Here is a row of two pads, four image tokens, a prompt of three tokens and an answer of five. The first three tokens of the answer are in the cache, and so is everything before them.

# %% mystnb={"image": {"alt": "A wide grid with two rows, the last two tokens of an answer. Both rows are light for the image, the prompt and the earlier answer, and dark for the padding; the first row is dark for the second new token."}, "figure": {"caption": "With a cache, the mask has rows for the new tokens only. Both attend to the image, the prompt and the earlier answer, and neither attends to the padding. The second new token attends to the first, but not the other way around.", "name": "fig-ch09-cached"}} tags=["hide-input"]


_fig, ax = plt.subplots(figsize=(5, 3.6), layout="constrained")
draw_mask(ax, pads=2, image=4, prompt=3, answer=5, cached=3)
plt.show()

# %% [markdown]
# In the mask lab you set these numbers; it follows the rule of the function above. Predict before you move a slider. (1) One more pad: does it change a column, a row, or both? (2) Three answer tokens move into the cache: what disappears from the grid, and what stays? (3) The rule becomes *plain causal*: do the answer's rows lose any cells?
#
# <div class="live-figure" data-figure="mask-lab" data-offers="padding image answer cached rules">
# <p>This figure needs JavaScript. The figure above shows one mask, and the exercises ask you to write the rule. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("mask-lab", offers="padding image answer cached rules")

# %% [markdown]
# (1) Both, but only the column matters: no token attends to the pad. The pad has a row of its own, and nothing uses the output of that row. The position ids, beside the tokens, don't count the pad. (2) Only the rows of the new tokens are left, so even the rows of the image and the prompt are gone, and all columns stay: a cached token is never a query again, and remains a key for every later token. (3) None. In the answer's rows the two rules are the same, and all the cells that *plain causal* removes are in the rows of the image and the prompt. So you can't find a wrong mask of this kind by looking at the answer's rows.

# %% [markdown]
# Three wrong masks have been shipped. *Plain causal*: each token of the prefix attends only to itself and to what came before it. *Everything*: there is no staircase, so the suffix attends to its own future. *Padding visible*: you need rows of different lengths to notice that one, and chapter 14 has them. For the other two we check two things: what the model generates, and how many of the answer's 27 tokens it predicts correctly when it is fed the right answer ({term}`teacher forcing`). Before you run it: the second mask shows the model the tokens that it has to predict. Will that help it?

# %%
training_row = processor(["detect cat ; bird"], [image], suffix=[right])
S = inputs["input_ids"].shape[1]
target = training_row["input_ids"][0, S:]


def causal(attention_mask: Tensor, types: Tensor, dtype: torch.dtype) -> Tensor:
    return finished_mask(attention_mask, torch.ones_like(types), dtype)


def everything(attention_mask: Tensor, types: Tensor, dtype: torch.dtype) -> Tensor:
    return finished_mask(attention_mask, torch.zeros_like(types), dtype)


for name, wrong_mask in (
    ("prefix", finished_mask),
    ("causal", causal),
    ("everything", everything),
):
    paligemma.make_prefix_lm_mask = wrong_mask
    [text] = generate(model, processor, "caption en", image, max_new_tokens=10)
    is_right = model(**training_row).logits[0, S - 1 : -1].argmax(-1) == target
    print(f"{name:11} {int(is_right.sum()):2} of {len(target)} predicted   {text!r}")
paligemma.make_prefix_lm_mask = finished_mask

# %% [markdown]
# The causal mask ruins the answer: this model's image tokens have learned to attend to the prompt, as you saw in the gates of chapter 6. Seeing the future does not help; it confuses the model, which was trained without it and now gets hidden states unlike any in training. A model that is *trained* with that mask would do brilliantly in training and fail at generation, where there is no future to copy from. And note the caption in the last line: when a model generates token by token with a cache, its answer has no future to attend to, so the wrong mask does nothing and the mistake does not show.
#
# What do image tokens attend to in the prompt? Choose a patch in the figure. The image shows how this patch attends to the other patches, and the stripes below the tokens show how it attends to the prompt. Before you choose one, guess: how much of a patch's attention goes to the prompt, and in which of the four layers is it most? What will be left of it with a causal prefix?
#
# <div class="live-figure" data-figure="attention-lab" data-view="merge" data-tasks="caption detect count">
# <p>This figure needs JavaScript. Chapter 6 shows gates that open for a patch with one prompt and stay shut with another. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("attention-lab", view="merge", tasks="caption detect count")

# %% [markdown]
# In this model, the patches attend to the prompt most in layer 0: they give it about half of their attention there, and much less from layer 2 on. It looks as if they first find out what is asked, and then attend to each other. Go through the heads of layer 0. Does one of them give nearly everything to the prompt, and was it among those that you could not knock out in chapter 8? With a causal prefix (switch it on) no patch can attend to the prompt, because the prompt comes after the image. Every stripe is empty, and the answer is lost.
#
# The figure below has three mistakes of this chapter: text that is not scaled, image features that are shifted by one position, and the causal prefix. For each, guess where its bars begin: at the merged embeddings or after them? And does the bug with the largest first bar also do the most damage?
#
# <div class="live-figure" data-figure="break-it" data-bugs="text-not-scaled image-shifted causal-prefix" data-tasks="caption detect">
# <p>This figure needs JavaScript. The cells of this chapter make the same mistakes in Python. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show(
    "break-it",
    bugs="text-not-scaled image-shifted causal-prefix",
    tasks="caption detect",
)

# %% [markdown]
# The mask is first used in layer 0, so the error of the causal prefix begins there; the other two begin at the merged embeddings. The shifted features have the largest first bar: 64 of the prefix's vectors are wrong, while without the scale only the few text tokens are wrong. And yet the shift leaves captions alone (in all 16 scenes) and only moves boxes, while the model without scaled text says nothing that makes sense. The error by layer tells you where to look, but not how much the answer suffers.
#
# ## The whole forward pass
#
# Now all parts are in place.

# %% tags=["hide-input"]
from figures.schematics.whole_model import draw_whole_model
from vlm.checkpoints.published import published_config

drawing = draw_whole_model(config, published_config("paligemma-3b-224"))
HTML(
    drawing.html(
        "`forward` in one drawing: two ways in, one sequence, one way out. Shapes in the "
        "book's letters, then the sizes of the Toybox model and of PaliGemma 3B."
    )
)

# %% [markdown]
# Without the arguments that have defaults, this is all:


# %%
def forward_core(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """The forward pass of the whole model, step by step; returns the logits [B, S, V]."""
    input_ids, attention_mask = inputs["input_ids"], inputs["attention_mask"]  # [B, S]
    image_features = model.multi_modal_projector(model.vision_tower(inputs["pixel_values"]))
    text_embeds = model.language_model.model.embed(input_ids)  # [B, S, D]
    is_image = input_ids == model.config.image_token_index  # [B, S]
    inputs_embeds = merge_image_features(text_embeds, image_features, is_image)
    position_ids = make_position_ids(attention_mask, input_ids.shape[1])  # [B, S]
    token_type_ids = torch.zeros_like(input_ids)  # [B, S], all of it is prefix
    mask = make_prefix_lm_mask(attention_mask, token_type_ids, model.dtype)  # [B, 1, S, S]
    return model.language_model(inputs_embeds, position_ids, mask)  # [B, S, V]


assert torch.equal(forward_core(model, inputs), model(**inputs).logits)

# %% [markdown]
# The class of the package (unfold it) has submodules with the names of the published checkpoint, and a `forward` that does these steps and three more: it fills in the arguments that were not given, it may use a cache (chapter 11), and it computes the loss if there are labels. (`Gemma2ForCausalLM` and `make_layer_masks` are for PaliGemma 2, chapter 15; in this model `make_layer_masks` returns the mask unchanged.)


# %% tags=["from:vlm.paligemma.PaliGemmaForConditionalGeneration", "hide-input"]
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
        """Tie the head to the embedding matrix, as in every published PaliGemma."""
        self.language_model.tie_weights()

    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        """Images [I, C, H, W] -> features [I, N, D], not scaled by sqrt(D)."""
        return self.multi_modal_projector(self.vision_tower(pixel_values))

    def embed_inputs(self, input_ids: Tensor, image_features: Tensor | None) -> Tensor:
        """Token embeddings [B, S, D], with the image features at the image tokens."""
        inputs_embeds = self.language_model.model.embed(input_ids)
        if image_features is None:
            return inputs_embeds
        image_mask = input_ids == self.config.image_token_index
        if not image_mask.any():
            raise ValueError(
                "images were given, but no image token is among the "
                f"{input_ids.shape[1]} input_ids of each row: pixel_values belong to "
                "the first pass, which processes the prompt; pass None in later passes"
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
            input_ids: [B, S], the tokens that are not cached yet; each image is a run
                of image tokens.
            pixel_values: [I, C, H, W], in the order of their image tokens; None once
                the images are cached.
            attention_mask: [B, T], 1 for real tokens, 0 for padding; it covers cached
                and new tokens. None: no padding.
            token_type_ids: [B, S], 0 for prefix, 1 for suffix. None: all prefix if
                nothing is cached, else all suffix.
            position_ids: [B, S]. None: real tokens are counted from 1.
            labels: [B, S], the input ids, with -100 where no loss is wanted. Don't
                shift them: the loss does.
            kv_cache: read, and extended by the new tokens.
            logits_to_keep: compute logits for this many last positions only; 0 for all.
            image_features: [I, N, D] from `get_image_features`, instead of
                pixel_values, so that several prompts about one image share one pass of
                the tower.

        Raises:
            ValueError: the numbers of image tokens and image features differ, or the
                mask has the wrong shape.
        """
        num_cached = kv_cache.length if kv_cache is not None else 0
        batch_size, num_new = input_ids.shape
        if attention_mask is None:
            attention_mask = torch.ones(
                batch_size,
                num_cached + num_new,
                dtype=torch.long,
                device=input_ids.device,
            )
        if attention_mask.shape != (batch_size, num_cached + num_new):
            raise ValueError(
                f"attention_mask has shape {list(attention_mask.shape)}: expected "
                f"[{batch_size}, {num_cached + num_new}], for {num_cached} cached and "
                f"{num_new} new tokens"
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
                "the text has image tokens, but there is no image: "
                "pass pixel_values or image_features"
            )
        inputs_embeds = self.embed_inputs(input_ids, image_features)  # [B, S, D]
        # [B, 1, S, T]
        mask = make_prefix_lm_mask(attention_mask, token_type_ids, inputs_embeds.dtype)
        mask = self.language_model.make_layer_masks(mask, token_type_ids)
        logits = self.language_model(
            inputs_embeds, position_ids, mask, kv_cache, logits_to_keep
        )  # [B, S, V]
        return PaliGemmaOutput(
            logits, None if labels is None else next_token_loss(logits, labels)
        )


# %% [markdown]
# The loss compares each label with the logits one position earlier, and ignores labels of −100: the prefix and the padding. It is the mean over the remaining labels of the batch.[^ch09-1]
#
# Two conventions are not obvious. You give `labels` unshifted, as in *transformers*, and the loss shifts them. And without `token_type_ids`, all new tokens count as prefix if nothing is cached, and as suffix otherwise. The reference has changed its behavior here: without `token_type_ids`, version 5.23 reads the prompt causally, and older versions did not.
#
# Now the comparison. Our class and the reference get the shipped weights, and a batch of two rows of different lengths, answers included. We compare all logits at real tokens, and the loss.
#
# [^ch09-1]: Google's code first takes the mean over each row. For rows of different lengths the result differs.

# %%
from transformers import PaliGemmaForConditionalGeneration as Reference
from transformers import logging

logging.disable_progress_bar()
reference = Reference.from_pretrained(CHECKPOINT_DIRECTORY, attn_implementation="eager")
reference.eval()
ours = PaliGemmaForConditionalGeneration(config)
ours.load_state_dict(model.state_dict())
batch = processor(
    ["caption en", "detect cat ; bird"],
    [example_image(1), image],
    suffix=["two dogs", right],
)
mine, theirs = ours(**batch), reference(**batch)
is_real = batch["attention_mask"].bool()  # [B, S]
difference = (mine.logits - theirs.logits)[is_real].abs().max().item()
print("logits up to", round(mine.logits.abs().max().item()))
print("largest difference below 1e-4:", difference < 1e-4)
print(f"loss: ours {mine.loss:.4f}, theirs {theirs.loss:.4f}")
assert difference < 1e-4 and abs(mine.loss - theirs.loss) < 1e-5

# %% [markdown]
# ## Exercises
#
# Open `exercises/ch09_merge.py`, complete the functions, and grade them, below or in a terminal:
#
# ```text
# pytest exercises/test_ch09_merge.py
# ```
#
# ### `embed_tokens` (1 point, 5 minutes)
#
# Look up the token embeddings, and scale them.
#
# ```{literalinclude} ../exercises/ch09_merge.py
# :pyobject: embed_tokens
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Indexing a matrix with a tensor of whole numbers gives a tensor of its rows. Which of the config's two hidden sizes is the width of the embedding matrix?
# ```
# ```{admonition} Hint 2: a detail
# :class: dropdown
# A Python number is not rounded before the multiplication. `torch.tensor(number, dtype=weight.dtype)` is.
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
# Write the image features to the positions of the image tokens, or raise an error.
#
# ```{literalinclude} ../exercises/ch09_merge.py
# :pyobject: merge_image_features
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Two counts must agree. And you must not change the argument: what do you write into?
# ```
# ```{admonition} Hint 2: which step
# :class: dropdown
# `copy[mask] = rows` writes rows, in order, where the mask is True. The features are [I, N, D]: first flatten them into one list of rows.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch09_merge.py
# :pyobject: merge_image_features
# ```
# ````
#
# ### `may_attend` (3 points, 20 minutes)
#
# Build the prefix-LM mask as a boolean matrix, for rows with padding and with a cache.
#
# ```{literalinclude} ../exercises/ch09_merge.py
# :pyobject: may_attend
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Draw the matrix of the example in the file, and number the blocks. When may a query attend to a key, in terms of their block numbers?
# ```
# ```{admonition} Hint 2: which tensors
# :class: dropdown
# `blocks[:, :, None]`, [B, S, 1], belongs to the queries, and `blocks[:, None, :]` to the keys. The cached positions have block 0, since every query may attend to them: put them first.
# ```
# ```{admonition} Hint 3: almost the line
# :class: dropdown
# `(all_blocks[:, None, :] <= blocks[:, :, None])` is [B, S, T]. It still allows padding: combine it with `attention_mask[:, None, :].bool()`.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch09_merge.py
# :pyobject: may_attend
# ```
# ````
#
# ### `run_paligemma` (3 points, 15 minutes)
#
# Put the whole forward pass together from the model's parts.
#
# ```{literalinclude} ../exercises/ch09_merge.py
# :pyobject: run_paligemma
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# There are six steps: vision tower, projector, embedding, merge, positions and mask, language model. Which of them have you written above?
# ```
# ```{admonition} Hint 2: a detail
# :class: dropdown
# A cumulative sum over `attention_mask` counts the real tokens of each row.
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
# An image becomes N vectors, which replace N image tokens in the text. Token embeddings are scaled by √D, image features are not. The merge counts before it writes, because `masked_scatter` silently drops surplus vectors. The prefix-LM mask gives each token a block number, and a token attends to every block that is not later than its own: the prefix is bidirectional, the suffix is causal, and no token attends to padding.
#
# You have written a PaliGemma. For each position it returns 1,921 logits. How does a list of logits become a sentence? That is next.
