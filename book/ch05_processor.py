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
# # The processor: how do an image and a prompt become tensors?
#
# A model takes tensors. People have photographs with transparent corners, phone pictures that lie on their side, and questions. The {term}`processor` sits
# between them: it turns the image into normalized pixel values and the text into tokens. It has no weights and nothing to learn, and it is where many uses
# of a good model go wrong: pixel values in the wrong range, a missing newline. Nothing crashes then. The model only gets worse, and you will measure by how much.
#
# At the end you will be able to
#
# - turn any image into pixel values of the kind that PaliGemma was trained on, and say what the common mistakes cost;
# - train a {term}`tokenizer` by byte-pair encoding (BPE), and split words with it;
# - build the sequence that PaliGemma reads, token by token;
# - put rows of different lengths into one batch, with padding, masks and labels.
#
# Time: about 50 minutes to read and run, and 60 for the six exercises. Here is the goal: the sequence that the model sees in training, for one prompt and its answer.

# %% mystnb={"image": {"alt": "A strip of colored boxes, one per token: the 64 image tokens, drawn as one box, then bos, detect, car, a newline, four location tokens, car, eos."}, "figure": {"caption": "Anatomy of a training sequence. The image tokens, the prompt and the newline are the prefix; the answer and the eos token are the suffix, the only part that the model is trained to predict.", "name": "fig-ch05-anatomy"}} tags=["hide-input"]
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image, example_scene
from toybox.prompts import all_examples, caption, detect
from toybox.scenes import draw_scene
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor

torch.set_grad_enabled(False)  # nothing is trained by gradients in this chapter

model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY, device="cpu")
N, image_size = (
    model.config.vision_config.num_image_tokens,
    model.config.vision_config.image_size,
)
processor = PaliGemmaProcessor(tokenizer, N, image_size)

COLORS = {
    "image": "#56B4E9",
    "prompt": "#E69F00",
    "answer": "#009E73",
    "control": "#BBBBBB",
    "padding": "#EEEEEE",
}


def draw_strip(tokens: list[tuple[str, str]], ax, row: int = 0, per_line: int = 12):
    """Draw tokens as boxes. Each comes with its kind, a key of COLORS."""
    for i, (text, kind) in enumerate(tokens):
        line, column = divmod(i, per_line)
        ax.add_patch(
            plt.Rectangle(
                (column, -row - line), 0.94, 0.8, facecolor=COLORS[kind], edgecolor="none"
            )
        )
        ax.text(
            column + 0.47,
            -row - line + 0.4,
            text.replace("\n", "\\n"),
            ha="center",
            va="center",
            fontsize=7.5 if len(text) < 11 else 6,
            color="black",
        )
    ax.set(
        xlim=(0, min(per_line, len(tokens))),
        ylim=(-row - (len(tokens) - 1) // per_line - 0.1, 1),
    )
    ax.axis("off")


example = detect(example_scene(1), ["car"])
suffix = [tokenizer.convert_ids_to_tokens(i) for i in processor.encode_suffix(example.suffix)]
prompt = [
    tokenizer.convert_ids_to_tokens(i) for i in processor.encode_text(example.prompt, "prompt")
]
strip = [(f"<image>\n× {N}".replace("\n", " "), "image"), ("<bos>", "control")]
strip += [(token, "prompt") for token in prompt] + [("\n", "control")]
strip += [(token, "answer") for token in suffix[:-1]] + [("<eos>", "control")]
fig, ax = plt.subplots(figsize=(8.6, 0.9), layout="constrained")
draw_strip(strip, ax)
fig.legend(
    handles=[
        plt.Rectangle((0, 0), 1, 1, color=COLORS[k], label=k)
        for k in ("image", "prompt", "answer", "control")
    ],
    ncols=4,
    loc="outside lower center",
    frameon=False,
    fontsize=8,
)
plt.show()

# %% [markdown]
# ## From an image to pixel values
#
# The first version is one line: read the pixels and divide by 255.


# %%
def to_pixels_v1(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)) / 255


image = example_image(0)
print(list(to_pixels_v1(image).shape))

# %% [markdown]
# It works for this image. Now give it what people have: a grayscale scan, an image with a palette, an icon with a transparent background, a wide photograph. Before you run the cell:
# which shape will each have?

# %%
icon = Image.new("RGBA", (40, 30), (255, 0, 0, 0))  # red, but fully transparent
images = {
    "gray": image.convert("L"),
    "palette": image.quantize(16),
    "transparent": icon,
    "wide": image.resize((300, 100)),
}
for name, one in images.items():
    pixels = to_pixels_v1(one)
    print(f"{name:12}{list(pixels.shape)!s:16} largest {pixels.max():.2f}")

# %% [markdown]
# A grayscale image has no channel axis. A palette image has none either, and its values are not even brightnesses: they are indices into a table of colors. The
# icon has four channels, and under its transparency it is bright red, which nobody was ever meant to see. The model always wants three channels, and a square.
#
# `to_rgb` is the package's answer. It also puts a phone picture upright: the camera records its orientation in the EXIF data, and PIL does not apply that rotation for you.


# %%
from PIL import ImageOps


# %% tags=["from:vlm.image_processing.to_rgb"]
def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any PIL image to 8-bit RGB, upright.

    The camera's EXIF rotation is applied. Transparent pixels are blended with white.
    16-bit grayscale (0..65535) is scaled to 8 bits, where PIL would clip it.
    """
    if not isinstance(image, Image.Image):
        raise TypeError(
            f"images must be PIL images: got {type(image).__name__}; open a file with PIL.Image.open"
        )
    if min(image.size) < 1:
        raise ValueError(f"image is {image.width}x{image.height} pixels: expected at least 1x1")
    image = ImageOps.exif_transpose(image)
    # "I;16" and its variants, and "I", the mode in which PIL opens some 16-bit files
    if image.mode.startswith("I"):
        gray = np.asarray(image).astype(np.float64) / 257  # 65535 / 257 = 255
        image = Image.fromarray(gray.round().clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


# %%
for name, one in images.items():
    rgb = to_rgb(one)
    print(f"{name:12}{rgb.mode}, top left pixel: {rgb.getpixel((0, 0))}")
assert to_rgb(icon).getpixel((0, 0)) == (255, 255, 255)

# %% [markdown]
# The square comes next. You could crop the image, or pad it with bars. PaliGemma does neither: it resizes every image to a square, whatever its aspect ratio was. A wide image looks squeezed to the model, as every wide image did in training. Nothing is cut off at the edges, and a box is easy to map back, because its coordinates are fractions of height and width.
# How the new pixels are computed matters as well. The published processor's resampling is *bicubic* (each new pixel is a weighted sum of the 4 × 4 old ones around its position) with *antialiasing* (when the image shrinks, the window of old pixels grows), as PIL does it.
#
# Last comes the *normalization*. Bytes divided by 255 lie between 0 and 1, and (x − 0.5) / 0.5 maps this range to −1 to 1. Many tutorials use other constants here, the mean and standard deviation of ImageNet's {cite}`russakovsky2014imagenet`
# pixels, since many models need those. SigLIP does not.


# %% tags=["from:vlm.image_processing.resize"]
def resize(image: Image.Image, image_size: int) -> Image.Image:
    """Resize to a square, ignoring the aspect ratio: bicubic with antialiasing."""
    return image.resize((image_size, image_size), Image.Resampling.BICUBIC)


# %%
IMAGE_MEAN = 0.5
IMAGE_STD = 0.5


# %% tags=["from:vlm.image_processing.normalize"]
def normalize(pixels: np.ndarray) -> Tensor:
    """Bytes [..., H, W, C] in 0..255 -> float32 [..., C, H, W] in -1..1."""
    # [..., H, W, C]
    values = torch.from_numpy(np.array(pixels, dtype=np.float32)) / 255
    return ((values - IMAGE_MEAN) / IMAGE_STD).movedim(-1, -3)  # [..., C, H, W]


# %% tags=["from:vlm.image_processing.process_images"]
def process_images(images: list[Image.Image], image_size: int) -> Tensor:
    """Any PIL images -> pixel_values [B, C, image_size, image_size], in -1..1."""
    return torch.stack(
        [normalize(np.asarray(resize(to_rgb(image), image_size))) for image in images]
    )


# %%
by_hand = normalize(np.array([[[0, 127, 255]]], dtype=np.uint8))  # one pixel, [3, 1, 1]
print([round(value, 3) for value in by_hand.flatten().tolist()])
assert torch.allclose(by_hand.flatten(), torch.tensor([-1.0, 127 / 127.5 - 1, 1.0]))

# [6, 3, 112, 112]
batch = process_images([example_image(i) for i in range(6)], image_size)
print(list(batch.shape), f"from {batch.min():.1f} to {batch.max():.1f}")

# %% [markdown]
# Compare with the reference, on the wide image, which has to be squeezed:

# %%
from transformers import SiglipImageProcessorPil

reference_images = SiglipImageProcessorPil(
    size={"height": image_size, "width": image_size},
    image_mean=[0.5] * 3,
    image_std=[0.5] * 3,
)
theirs = reference_images(images["wide"], return_tensors="pt")["pixel_values"]
ours = process_images([images["wide"]], image_size)
assert torch.allclose(ours, theirs, atol=1e-6)
print("the reference gives the same pixels")

# %% [markdown]
# ## What small preprocessing mistakes cost
#
# Here are six mistakes that people make. All shapes fit, so no error is raised. Which of them do you expect to hurt most? We let the shipped model caption 60
# test images, and count the captions that are exactly right.


# %% tags=["hide-input"]
from vlm.generate import generate_tokens

test_scenes = [draw_scene(seed, "test") for seed in range(60)]
true_captions = [caption(scene).suffix for scene in test_scenes]
right = processor(["caption en"] * 60, [scene.image for scene in test_scenes])
mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
unit = right["pixel_values"] / 2 + 0.5  # 0..1
bos, ids = tokenizer.bos_token_id, right["input_ids"]
bos_first = torch.cat([torch.full((60, 1), bos), ids[:, :N], ids[:, N + 1 :]], dim=1)
changes = {
    "correct input": {},
    "range 0 to 1": {"pixel_values": unit},
    "ImageNet mean and std": {
        "pixel_values": (unit - mean[:, None, None]) / std[:, None, None]
    },
    "BGR, not RGB": {"pixel_values": right["pixel_values"].flip(1)},
    "upside down": {"pixel_values": right["pixel_values"].flip(2)},
    "no newline": {
        "input_ids": ids[:, :-1],
        "attention_mask": right["attention_mask"][:, :-1],
    },
    "<bos> before the image": {"input_ids": bos_first},
}
exactly_right = {}
for name, change in changes.items():
    steps = list(generate_tokens(model, right | change, max_new_tokens=30))
    answers = [processor.decode(row) for row in torch.stack(steps, dim=1)]
    exactly_right[name] = sum(a == b for a, b in zip(answers, true_captions)) / 60

# %% mystnb={"image": {"alt": "Horizontal bars: the fraction of 60 captions that are exactly right. Five of the six mistakes are far below the correct input, three of them near zero; with the bos token before the image nothing changes."}, "figure": {"caption": "Five mistakes are costly, one costs nothing: the fraction of 60 test captions that the shipped model gets exactly right. Only the inputs differ. Our model does not care where the bos token is.", "name": "fig-ch05-mistakes"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
names = list(exactly_right)[::-1]
ax.barh(names, [exactly_right[name] for name in names], color=["#D55E00"] * 6 + ["#0072B2"])
ax.set(xlabel="fraction of captions exactly right", xlim=(0, 1))
plt.show()
assert exactly_right["correct input"] > 0.8
costly = [name for name in exactly_right if exactly_right[name] < 0.5]
print(costly)
assert len(costly) == 5

# %% [markdown]
# Did you guess the last one? The image tokens attend to `<bos>` wherever it is, since attention within the prefix goes both ways, and a shift by one position probably means little to them. That is luck, and you learn it only by measuring.
# Without the newline the model is lost, because the newline was its signal to begin the answer. The real model, trained on more kinds of images, may tolerate more. We have not measured that.
#
# The pixel values themselves show best why the wrong constants hurt. The tower's filters were trained on values between −1 and 1.

# %% mystnb={"image": {"alt": "Two histograms of the same six images. With 0.5 and 0.5 all values lie between -1 and 1. With ImageNet's constants they reach from -2.1 to 2.6, differently for each channel."}, "figure": {"caption": "ImageNet's constants give a range more than twice as wide, shifted differently in each channel. Left: six images, normalized as in the model's training. Right: the same images with ImageNet's mean and standard deviation. The gray band marks −1 to 1.", "name": "fig-ch05-histogram"}} tags=["hide-input"]
fig, axes = plt.subplots(
    1, 2, figsize=(7.4, 2.6), sharex=True, sharey=True, layout="constrained"
)
with_imagenet = (batch / 2 + 0.5 - mean[:, None, None]) / std[:, None, None]
for ax, values, title in zip(
    axes, (batch, with_imagenet), ("0.5 and 0.5", "ImageNet's mean and std")
):
    for channel, (name, color, style) in enumerate(
        [("red", "#D55E00", "-"), ("green", "#009E73", "--"), ("blue", "#0072B2", ":")]
    ):
        counts, edges = np.histogram(values[:, channel].numpy(), bins=48, range=(-2.4, 2.8))
        ax.step(
            edges[:-1], counts / 1000, where="post", color=color, linestyle=style, label=name
        )
    ax.axvspan(-1, 1, color="#999999", alpha=0.2)
    ax.set(title=title, xlabel="pixel value")
axes[0].set_ylabel("thousands of pixels")
axes[1].legend(frameon=False)
plt.show()

# %% [markdown]
# ## Byte-pair encoding: a vocabulary that is learned
#
# Now the text. A {term}`vocabulary` of whole words can never hold all words, and one of letters makes long sequences. {term}`Byte-pair encoding` (BPE, arXiv 1508.07909 {cite}`sennrich2015neural`) lies in between: it starts from letters and joins pairs that often occur side by side, until the vocabulary has its planned size. Frequent words become one token, rare ones stay in several pieces.
#
# We need text to learn from: the prompts and answers of 300 scenes. As in Gemma, a space becomes "▁" and belongs to the word after it.

# %%
import itertools
import re

rng = np.random.default_rng(0)
words = Counter()
for seed in range(300):
    for line in all_examples(draw_scene(seed), rng):
        for text in (line.prompt, line.suffix):
            text = re.sub("<loc[0-9]+>", "", text).replace(" ", "▁")
            words.update(re.findall(r"▁?[A-Za-z]+|▁?[?;,]", text))
print(len(words), "different words;", words.most_common(4))

# %% [markdown]
# One training step counts all pairs of neighbors and joins the most frequent pair. Here is the first count.

# %%
split = {word: list(word) for word in words}  # at first, single letters
pairs = Counter()
for word, pieces in split.items():
    for pair in itertools.pairwise(pieces):
        pairs[pair] += words[word]
print(pairs.most_common(3))

# %% [markdown]
# In the exercises you write the whole algorithm, `merge`, `train_bpe` and `encode_word`: about twenty lines. For vocabularies of realistic size you use a library, here Hugging Face's *tokenizers*, as we did for the shipped model. These are its first merges for our words; the first must be the pair that you see above.

# %%
import json

from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

learner = Tokenizer(BPE())
letters = {letter for word in words for letter in word}
learner.train_from_iterator(
    (word for word, count in words.items() for _ in range(count)),
    BpeTrainer(vocab_size=len(letters) + 120, show_progress=False),
)
merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
for left, right_piece in merges[:10]:
    print(f"{left} + {right_piece}")
assert merges[0] == pairs.most_common(1)[0][0]

# %% [markdown]
# Watch "answer" grow. Nobody told the algorithm which letters belong together: it only counts pairs inside words. What does it do with words that it has never seen? To split a word, start from its letters and
# apply the merges in the order in which they were learned.

# %%
for word in ("▁answer", "▁turtle", "▁butter", "▁turtleneck"):
    print(word, "->", learner.encode(word).tokens)

# %% [markdown]
# "▁answer" stays in two pieces, although "answer" is one: in our texts it only occurs at the beginning, with no space before it, so the two pieces were never neighbors.

# %% mystnb={"image": {"alt": "A falling curve: with more merges, the number of pieces per word falls from about four to one."}, "figure": {"caption": "The first merges save most. Mean number of pieces per word of the training text, by number of merges: after 200, almost every word of our small world is one piece.", "name": "fig-ch05-merges"}} tags=["hide-input"]


def pieces_per_word(num_merges: int) -> float:
    shorter = Tokenizer(BPE())
    shorter.train_from_iterator(
        (word for word, count in words.items() for _ in range(count)),
        BpeTrainer(vocab_size=len(letters) + num_merges, show_progress=False),
    )
    return sum(len(shorter.encode(w).tokens) * n for w, n in words.items()) / words.total()


numbers = [0, 5, 10, 20, 40, 60, 80, 100, 150, 200, 250]
fig, ax = plt.subplots(figsize=(5.6, 2.7), layout="constrained")
ax.plot(numbers, [pieces_per_word(n) for n in numbers], color="#0072B2", marker="o")
ax.axhline(1, color="#666666", linewidth=1)
ax.set(xlabel="merges", ylabel="pieces per word", ylim=(0, None))
plt.show()

# %% [markdown]
# The shipped tokenizer was made this way: 5 control tokens, {term}`256 byte tokens <byte fallback>`, which spell every character that has no piece, 507 characters and learned pieces, and then, as in PaliGemma, 1,024 location tokens, 128 mask tokens, and `<image>`.
# Gemma's tokenizer, made with SentencePiece {cite}`kudo2018sentencepiece`, has 256,000 entries, learned from far more text; PaliGemma's tokens follow them in the same order as here.


# %% mystnb={"image": {"alt": "A strip of boxes, one per token of a sentence. Known words are one box, others are several."}, "figure": {"caption": "A sentence split by the shipped tokenizer. Words of the Toybox are one token; “kangaroos”, “jumps” and “over” take several.", "name": "fig-ch05-strip"}}
def show_pieces(text: str = "detect cat ; two kangaroos jumps over <loc0512>"):
    """Draw the tokens of a text as a strip."""
    ids = tokenizer.encode(text, add_special_tokens=False)
    tokens = tokenizer.convert_ids_to_tokens(ids)
    _fig, ax = plt.subplots(
        figsize=(8, 0.35 + 0.4 * ((len(tokens) - 1) // 12 + 1)), layout="constrained"
    )
    draw_strip([(token, "prompt") for token in tokens], ax)
    plt.show()


show_pieces()

# %% [markdown]
# Here is the shipped tokenizer, for a text of your own. First guess how many tokens these are: `two turtles`, `Turtleneck`, `café`, and an emoji. Then type them in, and move the slider back to 0 merges: what does the tokenizer start from, and in which order does it merge?
#
# <div class="live-figure" data-figure="tokenizer">
# <p>This figure needs JavaScript. The figure above shows the tokens of one sentence. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("tokenizer")

# %% [markdown]
# Merges are not applied from left to right. The pair that was learned first is joined first, wherever it is in the text. A word that is frequent in the Toybox is one token, together with the space before it; with a capital letter it is a different string, and splits into several tokens. No text is out of vocabulary: a character without a token becomes its UTF-8 bytes, and all 256 bytes have tokens. The price is length: four tokens for most emoji. And `<loc0512>` is matched before any merge, so it can't be joined with its neighbors.

# %% [markdown]
# ## One sequence: image tokens, prompt, answer
#
# The model reads one sequence. It begins with N {term}`image tokens <image token>`, placeholders for the vectors of the image. Then come `<bos>`, the prompt and a newline. This order is fixed by training alone: PaliGemma was trained with `<bos>` after the image. You saw above that the other order happens to do no harm here; use the trained one all the same.
#
# The newline is more than a convention. It separates the prompt from the answer, and it must always be the same token. So prompt and answer are
# tokenized separately. If they were one text, a tokenizer with a token for "newline and a space" could join the two, and the model would meet a token that it has never seen in this position. In Gemma's vocabulary the danger
# is real: two newlines are one token, 109, and 31 of them are another. So a prompt that already ends in a newline gets the wrong separator.
#
# The prompt must not contain `<image>`, or vectors of the image would land in the middle of the text. `<loc0100>` is allowed: a prompt may refer to a location.
#
# ## A batch: padding, attention mask and labels
#
# All rows of a batch must have the same length, but prompts differ in length. Short rows are filled up with `<pad>`, and a mask says which tokens to ignore. On which side? When the model answers, the next token of *every* row is appended at the
# right end. So {term}`padding` goes on the left. Before you look at the figure: will `<bos>` have the same index in both rows?

# %% mystnb={"image": {"alt": "Two strips of tokens, one above the other. The upper, shorter one begins with light boxes of padding; both end in the same column."}, "figure": {"caption": "Padding goes on the left, so that both rows end at the same index: two training rows of one batch. The image tokens are drawn as one box.", "name": "fig-ch05-padding"}} tags=["hide-input"]
rows = processor(
    ["caption en", "detect cat ; dog"],
    [example_image(0), example_image(1)],
    suffix=["two cats", "<loc0100><loc0200><loc0300><loc0400> dog"],
)
fig, ax = plt.subplots(figsize=(8.6, 1.3), layout="constrained")
for row in range(2):
    boxes, in_image = [], False
    for token_id, kind, used in zip(
        rows["input_ids"][row].tolist(),
        rows["token_type_ids"][row].tolist(),
        rows["attention_mask"][row].tolist(),
    ):
        token = tokenizer.convert_ids_to_tokens(token_id)
        if token == "<image>":
            if not in_image:
                boxes.append((f"<image> × {N}", "image"))
            in_image = True
        elif not used:
            boxes.append(("<pad>", "padding"))
        elif token in ("<bos>", "\n", "<eos>"):
            boxes.append((token, "control"))
        else:
            boxes.append((token, "answer" if kind else "prompt"))
    draw_strip(boxes, ax, row, per_line=len(boxes))
ax.set_ylim(-1.1, 1)
plt.show()

# %% [markdown]
# It will not: only the right ends line up.
#
# Four tensors describe such a batch, each `[B, S]`. `input_ids` holds the tokens. {term}`attention_mask <attention mask>` is 0 at the padding. {term}`token_type_ids <token types>` is 0 in the prefix and 1 in the suffix. From these two the model builds its prefix-LM mask: a prefix token attends to the whole prefix, a suffix token to the prefix and to the suffix up to itself. `labels` is what the model should generate: the suffix's own tokens, and −100, which PyTorch's cross-entropy ignores, wherever there is nothing to learn. Each label is stored at the index of its own token. The loss compares it with the logits one position to the left, where the model had to
# predict it.

# %%
last = slice(-8, None)
for name in ("input_ids", "attention_mask", "token_type_ids", "labels"):
    print(f"{name:15}", rows[name][0, last].tolist())

# %% [markdown]
# Now the whole processor, as in the package. The cell is folded, because two of the methods are close to your exercises.

# %%
from collections.abc import Sequence

from vlm.paligemma import IGNORE_INDEX, PaliGemmaForConditionalGeneration
from vlm.processor import IMAGE_TOKEN, as_list, check_unicode, keep_regions_whole


# %% tags=["from:vlm.processor.PaliGemmaProcessor", "hide-input"]
class PaliGemmaProcessor:
    """Builds the sequence that PaliGemma was trained on.

    For each row: the image token N times, `<bos>`, the prompt, a newline; for training also the suffix
    and `<eos>`. The newline ends the prompt. It never merges with the suffix, which is tokenized
    separately.

    Source: PaliGemma (arXiv 2407.07726), section 3.1.

    Args:
        tokenizer: a tokenizer of transformers that has `<image>`, `<bos>`, `<eos>`, `<pad>`, and the location and
            segmentation tokens.
        num_image_tokens: N, from the model's vision config.
        image_size: side of the square to which images are resized.
    """

    def __init__(self, tokenizer, num_image_tokens: int, image_size: int):
        self.tokenizer = tokenizer
        self.num_image_tokens = num_image_tokens
        self.image_size = image_size
        # Ask the tokenizer for the id, never assume it: it differs between tokenizers.
        self.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        if self.image_token_id in (None, tokenizer.unk_token_id):
            raise ValueError(
                f"the tokenizer does not know {IMAGE_TOKEN}: is it a PaliGemma tokenizer?"
            )
        keep_regions_whole(tokenizer)

    @classmethod
    def for_model(
        cls, model: PaliGemmaForConditionalGeneration, tokenizer
    ) -> "PaliGemmaProcessor":
        """A processor with the number of image tokens and the image size that `model` expects."""
        vision_config = model.config.vision_config
        return cls(tokenizer, vision_config.num_image_tokens, vision_config.image_size)

    def __call__(
        self,
        text: str | Sequence[str],
        images: Image.Image | Sequence[Image.Image],
        suffix: str | Sequence[str] | None = None,
    ) -> dict[str, Tensor]:
        """Prepare a batch: one image for each text, padded on the left.

        Args:
            text: the prompts, such as "caption en" or "detect cat ; dog". `<loc0000>` and `<seg000>` in them
                are read as those tokens.
            images: PIL images of any size and mode.
            suffix: the answers, for training.

        Returns:
            input_ids and attention_mask [B, S], pixel_values [B, C, H, W]; with a suffix also token_type_ids
            [B, S] (0 prefix and padding, 1 suffix) and labels [B, S] (-100 everywhere except in the suffix).

        Raises:
            ValueError: the numbers of texts, images and suffixes differ, or a text contains `<image>`, `<bos>`,
                `<eos>` or `<pad>`, which only the processor may insert, or is not valid Unicode.
            TypeError: a text is not a string, or an image is not a PIL image.
        """
        prompts, image_list = as_list(text, str), as_list(images, Image.Image)
        suffixes = None if suffix is None else as_list(suffix, str)
        if len(prompts) != len(image_list):
            raise ValueError(
                f"{len(prompts)} texts and {len(image_list)} images: each text needs one image"
            )
        if suffixes is not None and len(suffixes) != len(prompts):
            raise ValueError(
                f"{len(prompts)} texts and {len(suffixes)} suffixes: each text needs one suffix"
            )

        prefix_ids = [self.encode_prefix(prompt) for prompt in prompts]
        suffix_ids = (
            [[]] * len(prompts)
            if suffixes is None
            else [self.encode_suffix(answer) for answer in suffixes]
        )
        batch = self.pad(prefix_ids, suffix_ids)
        batch["pixel_values"] = process_images(image_list, self.image_size)
        if suffixes is None:
            del batch["token_type_ids"], batch["labels"]
        return batch

    def encode_prefix(self, prompt: str) -> list[int]:
        """N image tokens, `<bos>`, the prompt, a newline."""
        ids = self.encode_text(f"{prompt}\n", "prompt")
        return (
            [self.image_token_id] * self.num_image_tokens + [self.tokenizer.bos_token_id] + ids
        )

    def encode_suffix(self, suffix: str) -> list[int]:
        """The answer and `<eos>`."""
        return self.encode_text(suffix, "suffix") + [self.tokenizer.eos_token_id]

    def encode_text(self, text: str, what: str) -> list[int]:
        check_unicode(text, what)
        tokenizer = self.tokenizer
        ids = tokenizer.encode(text, add_special_tokens=False)
        own = {
            self.image_token_id,
            tokenizer.bos_token_id,
            tokenizer.eos_token_id,
            tokenizer.pad_token_id,
        }
        forged = [tokenizer.convert_ids_to_tokens(index) for index in ids if index in own]
        if forged:
            raise ValueError(
                f"the {what} contains {forged[0]!r}: remove it, the processor inserts it: {text[:80]!r}"
            )
        return ids

    def pad(
        self, prefix_ids: list[list[int]], suffix_ids: list[list[int]]
    ) -> dict[str, Tensor]:
        """Pad on the left, so that the next token of every row comes at the same index."""
        length = max(
            len(prefix) + len(suffix) for prefix, suffix in zip(prefix_ids, suffix_ids)
        )
        rows = {"input_ids": [], "attention_mask": [], "token_type_ids": [], "labels": []}
        for prefix, suffix in zip(prefix_ids, suffix_ids):
            num_pads = length - len(prefix) - len(suffix)
            rows["input_ids"].append([self.tokenizer.pad_token_id] * num_pads + prefix + suffix)
            rows["attention_mask"].append([0] * num_pads + [1] * (len(prefix) + len(suffix)))
            rows["token_type_ids"].append([0] * (num_pads + len(prefix)) + [1] * len(suffix))
            rows["labels"].append([IGNORE_INDEX] * (num_pads + len(prefix)) + suffix)
        return {name: torch.tensor(values) for name, values in rows.items()}

    def decode(self, ids: Sequence[int] | Tensor) -> str:
        """Token ids -> text. `<loc>` and `<seg>` tokens are kept, control tokens such as `<eos>` are not."""
        return self.tokenizer.decode(ids, skip_special_tokens=True)


# %% [markdown]
# And the reference: the processor of *transformers*, with the same tokenizer, must build the same batch.

# %%
from transformers import PaliGemmaProcessor as ReferenceProcessor

ours = PaliGemmaProcessor(tokenizer, N, image_size)
reference_images.image_seq_length = N
reference = ReferenceProcessor(reference_images, tokenizer)
texts = ["caption en", "detect cat ; dog"]
suffixes = ["two cats", "<loc0100><loc0200><loc0300><loc0400> dog"]
two_images = [example_image(0), example_image(1)]
mine = ours(texts, two_images, suffix=suffixes)
theirs = reference(
    text=["<image>" + text for text in texts],
    images=two_images,
    suffix=suffixes,
    return_tensors="pt",
    padding="longest",
)
for name in ("input_ids", "attention_mask", "token_type_ids", "labels"):
    assert torch.equal(mine[name], theirs[name]), name
assert torch.allclose(mine["pixel_values"], theirs["pixel_values"], atol=1e-6)
print("all five tensors agree")

# %% [markdown]
# Two things may surprise you in practice. The processor of *transformers* can truncate the text to a maximum length, and truncation at the end loses the newline: your version in the exercise will keep it. And PaliGemma's vocabulary extends Gemma's, so the same prompt has different ids there. Ask the tokenizer for the id of `<image>`: it is 257,152 in PaliGemma's vocabulary and 1,920 in ours, and the default of the library's configuration class, 256,000, is the id of `<loc0000>`.
#
# ## Exercises
#
# Open `exercises/ch05_processor.py`, write the six functions, and grade them here or in a terminal:
#
# ```text
# pytest exercises/test_ch05_processor.py
# ```
#
# ### `to_pixel_values` (2 points, 10 minutes)
#
# Turn a PIL image of any mode into pixel values for the vision tower.
#
# ```{literalinclude} ../exercises/ch05_processor.py
# :pyobject: to_pixel_values
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Follow the order of the docstring. Convert to RGBA first: then every image has an alpha channel, and there is one case instead of five.
# ```
# ```{admonition} Hint 2: which function
# :class: dropdown
# `Image.alpha_composite(ground, image)` lays one RGBA image over another of the same size.
# ```
# ```{admonition} Hint 3: almost the line
# :class: dropdown
# `np.array(image, dtype=np.float32)` is [H, W, C]. Divide, subtract, divide, and move the last axis to the front.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch05_processor.py
# :pyobject: to_pixel_values
# ```
# ````
#
# ### `encode_prefix` (2 points, 10 minutes)
#
# Build the sequence that comes before the answer. If the text is too long, shorten the prompt, and keep `<bos>` and the newline.
#
# ```{literalinclude} ../exercises/ch05_processor.py
# :pyobject: encode_prefix
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Which tokens must be there, whatever the prompt is? How many does that leave for the prompt?
# ```
# ```{admonition} Hint 2: almost the line
# :class: dropdown
# Cut `encode(prompt)` to `max_text_tokens - 2` tokens, then join the lists.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch05_processor.py
# :pyobject: encode_prefix
# ```
# ````
#
# ### `pad_batch` (2 points, 15 minutes)
#
# Turn rows of different lengths into the four tensors of a batch, padded on the left.
#
# ```{literalinclude} ../exercises/ch05_processor.py
# :pyobject: pad_batch
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Each row has three parts: padding, prefix, suffix. Write down how long each part is, and what each of the four tensors holds there.
# ```
# ```{admonition} Hint 2: almost the line
# :class: dropdown
# `[pad_id] * pads + prefix + suffix` is a row of `input_ids`. Build the other three in the same way; `torch.tensor` turns a list of rows into a tensor.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch05_processor.py
# :pyobject: pad_batch
# ```
# ````
#
# ### `merge` (1 point, 5 minutes)
#
# Join a pair of pieces wherever the two occur side by side.
#
# ```{literalinclude} ../exercises/ch05_processor.py
# :pyobject: merge
# ```
#
# ```{admonition} Hint
# :class: dropdown
# Walk through the list with an index. If the next two pieces are the pair, advance by two, otherwise by one.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch05_processor.py
# :pyobject: merge
# ```
# ````
#
# ### `train_bpe` (2 points, 15 minutes)
#
# Learn merges from word counts: again and again, join the most frequent pair.
#
# ```{literalinclude} ../exercises/ch05_processor.py
# :pyobject: train_bpe
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Three things change as you go: how each word is currently split, the vocabulary with its ids, and the merges so far.
# ```
# ```{admonition} Hint 2: which function
# :class: dropdown
# `min(counts, key=...)` with a tuple as key: minus the count, the id of the left piece, the id of the right piece.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch05_processor.py
# :pyobject: train_bpe
# ```
# ````
#
# ### `encode_word` (1 point, 5 minutes)
#
# Split a new word into pieces with the learned merges.
#
# ```{literalinclude} ../exercises/ch05_processor.py
# :pyobject: encode_word
# ```
#
# ```{admonition} Hint
# :class: dropdown
# A merge only uses letters and pieces made by earlier merges. So one pass per merge, in order, is enough.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch05_processor.py
# :pyobject: encode_word
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch05_processor")

# %% [markdown]
# ## Summary
#
# An image becomes RGB, upright, with white where it was transparent; it is resized to a square, and its bytes are normalized to values from −1 to 1. A text is split into learned tokens. The sequence is: image tokens, `<bos>`, prompt, newline, and in training the answer
# and `<eos>`. Rows are padded on the left. None of this is hard. But five of six small mistakes, none of which raises an error, push the fraction of exactly right captions below one half.
#
# This ends the first part: everything from the image to its vectors, and from the text to its tokens. The next part is about the language model that reads them.
