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
# # How do a picture and a question become tensors? The processor
#
# A model takes tensors. People have photographs with transparent corners, phone pictures that lie on their side, and questions. The {term}`processor` stands
# between them. It has no weights and nothing to learn, and it is where most broken uses of a good model go wrong: a picture in the wrong range, a
# newline that is missing. Nothing fails then. The model only gets worse, and you will measure by how much.
#
# At the end you will be able to
#
# - turn any picture into the numbers that PaliGemma was trained on, and say what each wrong way costs;
# - train a {term}`tokenizer` on a text by byte-pair encoding, and cut words with it;
# - write the sequence that PaliGemma reads, token by token;
# - put rows of different lengths into one batch, with masks and labels.
#
# It takes about 50 minutes. Here is what comes out for one prompt with its answer: the sequence that the model sees in training.

# %% mystnb={"image": {"alt": "A strip of coloured boxes, one for each token: 64 image tokens, shown as one box, then bos, detect, car, a newline, four location tokens, car, eos."}, "figure": {"caption": "Anatomy of a training sequence. The picture's places and the prompt are the prefix; the answer is the suffix, and the only part that the model is taught to write.", "name": "fig-ch05-anatomy"}} tags=["hide-input"]
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
    "picture": "#56B4E9",
    "prompt": "#E69F00",
    "answer": "#009E73",
    "control": "#BBBBBB",
    "padding": "#EEEEEE",
}


def draw_strip(tokens: list[tuple[str, str]], ax, row: int = 0, per_line: int = 12):
    """Boxes for tokens, each given with its kind, a key of COLORS."""
    for i, (text, kind) in enumerate(tokens):
        line, place = divmod(i, per_line)
        ax.add_patch(
            plt.Rectangle(
                (place, -row - line), 0.94, 0.8, facecolor=COLORS[kind], edgecolor="none"
            )
        )
        ax.text(
            place + 0.47,
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
strip = [(f"<image>\n× {N}".replace("\n", " "), "picture"), ("<bos>", "control")]
strip += [(token, "prompt") for token in prompt] + [("\n", "control")]
strip += [(token, "answer") for token in suffix[:-1]] + [("<eos>", "control")]
fig, ax = plt.subplots(figsize=(8.6, 0.9), layout="constrained")
draw_strip(strip, ax)
fig.legend(
    handles=[
        plt.Rectangle((0, 0), 1, 1, color=COLORS[k], label=k)
        for k in ("picture", "prompt", "answer", "control")
    ],
    ncols=4,
    loc="outside lower center",
    frameon=False,
    fontsize=8,
)
plt.show()

# %% [markdown]
# ## From a picture to numbers
#
# The first version is one line: read the pixels, divide by 255.


# %%
def to_numbers_v1(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)) / 255


image = example_image(0)
print(list(to_numbers_v1(image).shape))

# %% [markdown]
# It works for this picture. Now give it what people have: a grey scan, a picture with a palette, an icon with a transparent ground. Before you run the cell:
# which shape will each have?

# %%
icon = Image.new("RGBA", (40, 30), (255, 0, 0, 0))  # red, and wholly transparent
pictures = {
    "grey": image.convert("L"),
    "palette": image.quantize(16),
    "transparent": icon,
    "wide": image.resize((300, 100)),
}
for name, picture in pictures.items():
    numbers = to_numbers_v1(picture)
    print(f"{name:12}{list(numbers.shape)!s:16} largest {numbers.max():.2f}")

# %% [markdown]
# A grey picture has no channels. A palette picture has none either, and its numbers are not even brightnesses: they are line numbers in a table of colours. The
# icon has four channels, and under its transparency it is bright red, which nobody was ever meant to see. The model wants three channels, always, and a square.
#
# `to_rgb` is the package's answer. It also turns a phone's picture upright: the camera stores how it was held, and PIL leaves the turning to you.


# %%
from PIL import ImageOps


# %% tags=["from:vlm.image_processing.to_rgb"]
def to_rgb(image: Image.Image) -> Image.Image:
    """Any PIL picture as 8-bit RGB, upright.

    A camera's EXIF turn is applied. Transparent pixels show white behind them. 16-bit grey (0..65535) is
    scaled down to 8 bit, where PIL's own conversion would clip it. Palette, grey and CMYK are converted.

    Raises:
        TypeError: not a PIL picture.
        ValueError: a picture without pixels.
    """
    if not isinstance(image, Image.Image):
        raise TypeError(
            f"images must hold PIL pictures, got {type(image).__name__}: open a file with PIL.Image.open"
        )
    if min(image.size) < 1:
        raise ValueError(
            f"image is {image.width}x{image.height} pixels: a picture needs at least 1x1"
        )
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(
        "I"
    ):  # "I;16" and its kin, and "I", which is what PIL makes of some 16-bit files
        grey = np.asarray(image).astype(np.float64) / 257  # 65535 / 257 = 255
        image = Image.fromarray(grey.round().clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


# %%
for name, picture in pictures.items():
    rgb = to_rgb(picture)
    print(f"{name:12}{rgb.mode}, the pixel at the top left: {rgb.getpixel((0, 0))}")
assert to_rgb(icon).getpixel((0, 0)) == (255, 255, 255)

# %% [markdown]
# The square comes next. You could cut the picture, or put bars beside it. PaliGemma does neither: it squeezes every picture to a square, whatever its sides were. A wide
# picture looks narrow to the model, as every wide picture did in training. Nothing is lost at the edges, and a box is easily brought back: its numbers are fractions of height and width.
# How to compute the new pixels matters as well. The published processor is *bicubic* (each new pixel is a weighted mean of the 4 × 4 around its place) with *antialiasing* (of more, when the picture shrinks), as PIL does it.
#
# Last, the range. Bytes are divided by 255, which gives 0 to 1, and then (x − 0.5) / 0.5 gives −1 to 1. Many texts have other constants here, the mean and spread of ImageNet's {cite}`russakovsky2014imagenet`
# pixels, since many models want those. SigLIP does not.


# %% tags=["from:vlm.image_processing.resize"]
def resize(image: Image.Image, image_size: int) -> Image.Image:
    """Squeeze to a square, whatever the aspect ratio; bicubic, with antialiasing, as the published processor does."""
    return image.resize((image_size, image_size), Image.Resampling.BICUBIC)


# %%
IMAGE_MEAN = 0.5
IMAGE_STD = 0.5


# %% tags=["from:vlm.image_processing.normalize"]
def normalize(pixels: np.ndarray) -> Tensor:
    """Bytes [..., H, W, C] in 0..255 -> float32 [..., C, H, W] in -1..1."""
    values = torch.from_numpy(np.array(pixels, dtype=np.float32)) / 255  # [..., H, W, C]
    return ((values - IMAGE_MEAN) / IMAGE_STD).movedim(-1, -3)  # [..., C, H, W]


# %% tags=["from:vlm.image_processing.process_images"]
def process_images(images: list[Image.Image], image_size: int) -> Tensor:
    """PIL pictures of any size and mode -> pixel_values [B, C, image_size, image_size], float32 in -1..1."""
    return torch.stack(
        [normalize(np.asarray(resize(to_rgb(image), image_size))) for image in images]
    )


# %%
by_hand = normalize(np.array([[[0, 127, 255]]], dtype=np.uint8))  # one pixel, [3, 1, 1]
print([round(value, 3) for value in by_hand.flatten().tolist()])
assert torch.allclose(by_hand.flatten(), torch.tensor([-1.0, 127 / 127.5 - 1, 1.0]))

batch = process_images([example_image(i) for i in range(6)], image_size)  # [6, 3, 112, 112]
print(list(batch.shape), f"from {batch.min():.1f} to {batch.max():.1f}")

# %% [markdown]
# Against the reference, on a picture that has to be squeezed:

# %%
from transformers import SiglipImageProcessorPil

reference_images = SiglipImageProcessorPil(
    size={"height": image_size, "width": image_size}, image_mean=[0.5] * 3, image_std=[0.5] * 3
)
theirs = reference_images(pictures["wide"], return_tensors="pt")["pixel_values"]
ours = process_images([pictures["wide"]], image_size)
assert torch.allclose(ours, theirs, atol=1e-6)
print("the reference gives the same pixels")

# %% [markdown]
# ## What a small mistake costs
#
# These are mistakes that people make. The sizes of the tensors are right, so nothing complains. Which of them do you expect to hurt most? We let the shipped model write a caption for 60
# test pictures, and count the captions that are right to the last word.


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
    "as it should be": {},
    "colours from 0 to 1": {"pixel_values": unit},
    "ImageNet's constants": {"pixel_values": (unit - mean[:, None, None]) / std[:, None, None]},
    "blue, green, red": {"pixel_values": right["pixel_values"].flip(1)},
    "upside down": {"pixel_values": right["pixel_values"].flip(2)},
    "no newline": {
        "input_ids": ids[:, :-1],
        "attention_mask": right["attention_mask"][:, :-1],
    },
    "<bos> before the picture": {"input_ids": bos_first},
}
scores = {}
for name, change in changes.items():
    steps = list(generate_tokens(model, right | change, max_new_tokens=30))
    answers = [processor.decode(row) for row in torch.stack(steps, dim=1)]
    scores[name] = sum(a == b for a, b in zip(answers, true_captions)) / 60

# %% mystnb={"image": {"alt": "Horizontal bars: the share of 60 captions that are right. Five of the six mistakes are far lower, three of them near zero; with the bos token before the picture nothing changes."}, "figure": {"caption": "Captions of 60 test pictures that are exactly right, by the shipped model. Only the inputs differ. Five mistakes are costly, one costs nothing: our model does not mind where the bos token stands.", "name": "fig-ch05-mistakes"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
names = list(scores)[::-1]
ax.barh(names, [scores[name] for name in names], color=["#D55E00"] * 6 + ["#0072B2"])
ax.set(xlabel="captions exactly right", xlim=(0, 1))
plt.show()
assert scores["as it should be"] > 0.8
costly = [name for name in scores if scores[name] < 0.5]
print(costly)
assert len(costly) == 5

# %% [markdown]
# Did you guess the last one? The image tokens see `<bos>` wherever it stands, since the prefix sees itself in full, and a shift by one place probably means little to them. That is luck, and you learn it only by measuring.
# Without the newline the model is lost, because the newline was the sign to begin. The real model, trained on more kinds of pictures, may bend further before it breaks. We have not measured that.
#
# Why the wrong constants hurt is seen best in the numbers themselves. The tower's filters were trained on numbers that lie in −1 to 1.

# %% mystnb={"image": {"alt": "Two histograms of the same six pictures. With 0.5 and 0.5 all values lie between -1 and 1. With ImageNet's constants they reach from -2.1 to 2.6, differently for each channel."}, "figure": {"caption": "The same six pictures in the range that the model was trained on, and with ImageNet's constants: twice as wide, and shifted differently in each channel.", "name": "fig-ch05-histogram"}} tags=["hide-input"]
fig, axes = plt.subplots(
    1, 2, figsize=(7.4, 2.6), sharex=True, sharey=True, layout="constrained"
)
with_imagenet = (batch / 2 + 0.5 - mean[:, None, None]) / std[:, None, None]
for ax, values, title in zip(
    axes, (batch, with_imagenet), ("0.5 and 0.5", "ImageNet's mean and spread")
):
    for channel, (name, color, style) in enumerate(
        [("red", "#D55E00", "-"), ("green", "#009E73", "--"), ("blue", "#0072B2", ":")]
    ):
        counts, edges = np.histogram(values[:, channel].numpy(), bins=48, range=(-2.4, 2.8))
        ax.step(
            edges[:-1], counts / 1000, where="post", color=color, linestyle=style, label=name
        )
    ax.axvspan(-1, 1, color="#999999", alpha=0.2)
    ax.set(title=title, xlabel="value")
axes[0].set_ylabel("thousands of pixels")
axes[1].legend(frameon=False)
plt.show()

# %% [markdown]
# ## Pieces that are learned
#
# Now the words. A {term}`vocabulary` of whole words cannot hold all words, and one of letters makes long sequences. {term}`Byte-pair encoding` (arXiv 1508.07909 {cite}`sennrich2015neural`) goes between: it starts from letters, and joins what often stands
# together, until the vocabulary is full. Frequent words become one piece, rare ones stay in several.
#
# We need words to learn from. These are the prompts and answers of 300 scenes. As in Gemma, a space becomes "▁" and belongs to the word behind it.

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
# One step of the training counts all pairs of neighbours and joins the most frequent pair. Here is the first, by hand.

# %%
split = {word: list(word) for word in words}  # at first, letters
pairs = Counter()
for word, pieces in split.items():
    for pair in itertools.pairwise(pieces):
        pairs[pair] += words[word]
print(pairs.most_common(3))

# %% [markdown]
# In the exercises you write the whole of it, `merge`, `train_bpe` and `encode_word`. It is some twenty lines. To make vocabularies of real size one uses a library, here Hugging Face's *tokenizers*, and so does
# the package. These are its first merges for our words; the first must be the pair that you see above.

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
# Look at how "answer" grows. No one told the algorithm what a word is. What does it do with words that it has never seen? Cutting a word means to start from its letters and to
# join by the merges, in the order in which they were learned.

# %%
for word in ("▁answer", "▁turtle", "▁butter", "▁turtleneck"):
    print(word, "->", learner.encode(word).tokens)

# %% [markdown]
# "▁answer" stays in two pieces, although "answer" is one: in our texts it only ever stood at the beginning, with no space before it, so the two never met.

# %% mystnb={"image": {"alt": "A falling curve: with more merges, the number of pieces for the same text falls from about four to one for each word."}, "figure": {"caption": "Pieces per word of the same text, by the number of merges. The first merges save most. After 200 almost every word of our small world is one piece.", "name": "fig-ch05-merges"}} tags=["hide-input"]


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
# The shipped tokenizer was made in this way: 5 control tokens, {term}`256 bytes <byte fallback>`, of which every character that has no piece can be written, 507 letters and learned pieces, and then, as in PaliGemma, 1,024 location tokens, 128 for masks, and `<image>`.
# Gemma's, made with SentencePiece {cite}`kudo2018sentencepiece`, has 256,000 pieces, learned from much of the web, and the order is the same.


# %% mystnb={"image": {"alt": "A strip of boxes: the pieces of a sentence. Known words are one box, others are several."}, "figure": {"caption": "A sentence in the shipped vocabulary. Words of the Toybox are one piece; “kangaroos”, “jumps” and “over” are put together from several.", "name": "fig-ch05-strip"}}
def show_pieces(text: str = "detect cat ; two kangaroos jumps over <loc0512>"):
    """The tokens of a text as a strip."""
    tokens = tokenizer.convert_ids_to_tokens(tokenizer.encode(text, add_special_tokens=False))
    _fig, ax = plt.subplots(
        figsize=(8, 0.35 + 0.4 * ((len(tokens) - 1) // 12 + 1)), layout="constrained"
    )
    draw_strip([(token, "prompt") for token in tokens], ax)
    plt.show()


show_pieces()

# %% [markdown]
# Here is the shipped tokenizer, for a text of your own. First guess how many tokens these are: `two turtles`, `Turtleneck`, `café`, and an emoji. Then cut them, and move the slider back to 0: what does the tokenizer start from, and in which order does it join?
#
# <div class="live-figure" data-figure="tokenizer">
# <p>This figure needs JavaScript. The figure above shows the tokens of one sentence. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("tokenizer")

# %% [markdown]
# The merges don't run from left to right. The pair that was learned first is joined first, wherever it is in the text. A word that is frequent in the Toybox is one token, together with the space before it; with a capital letter it is another string, and falls apart. No text is unknown: a character without a token becomes its bytes of UTF-8, and all 256 bytes have tokens. The price is length, four tokens for one emoji. And `<loc0512>` is found before anything is merged, so it can't be joined with its neighbors.

# %% [markdown]
# ## One sequence
#
# The model reads one sequence. In front are N {term}`image tokens <image token>`, which keep the places for the picture. Then `<bos>`, the prompt and a newline. The order is a matter of training and nothing else: PaliGemma was trained with `<bos>` behind the picture. You
# saw above that the other order happens to do no harm here; keep to the trained one all the same.
#
# The newline is more than a habit. It separates the question from the answer, and it must always be the same token. So prompt and answer are
# tokenised apart. If they were one text, a tokenizer with a piece for "newline and a space" could join the two, and the model would meet a token that it has never seen there. In Gemma's vocabulary that is
# no mere idea: two newlines are one token, 109, and 31 of them are another. A prompt that ends in a newline of its own therefore ends in a wrong token.
#
# The user's text must not contain `<image>`, or a place for the picture would stand in the middle of the question. `<loc0100>` may stand in it: you can ask what is at some place.
#
# ## A batch
#
# Rows of a batch must have one length, but questions do not. Short rows are filled up with `<pad>`, and a mask says which places to leave out. On which side? When the model answers, the next token of *every* row comes at the
# right end. So {term}`padding` goes to the left. Before you look at the figure: will `<bos>` stand at the same place in both rows?

# %% mystnb={"image": {"alt": "Two strips of tokens, one above the other. The upper, shorter one begins with light boxes of padding; both end at the same place."}, "figure": {"caption": "Two training rows in one batch. The image tokens are folded into one box. Padding stands on the left, so that both rows end at the same place.", "name": "fig-ch05-padding"}} tags=["hide-input"]
rows = processor(
    ["caption en", "detect cat ; dog"],
    [example_image(0), example_image(1)],
    suffix=["two cats", "<loc0100><loc0200><loc0300><loc0400> dog"],
)
fig, ax = plt.subplots(figsize=(8.6, 1.3), layout="constrained")
for row in range(2):
    boxes, in_picture = [], False
    for token_id, kind, used in zip(
        rows["input_ids"][row].tolist(),
        rows["token_type_ids"][row].tolist(),
        rows["attention_mask"][row].tolist(),
    ):
        token = tokenizer.convert_ids_to_tokens(token_id)
        if token == "<image>":
            if not in_picture:
                boxes.append((f"<image> × {N}", "picture"))
            in_picture = True
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
# It does not: only the right ends meet.
#
# Four tensors describe such a batch, each `[B, S]`. `input_ids` holds the tokens. {term}`attention_mask <attention mask>` is 0 at the padding. {term}`token_type_ids <token types>` is 0 in the prefix and 1 in the suffix; the model's mask is
# made of it, since the prefix sees itself in full and the suffix only backwards. `labels` is what the model should have written: the suffix's own tokens, and −100 wherever nothing is to
# be learned, which PyTorch's cross-entropy skips. Each label stands under its own token. The loss compares it with the scores one place to its left, where the model had to
# foresee it.

# %%
last = slice(-8, None)
for name in ("input_ids", "attention_mask", "token_type_ids", "labels"):
    print(f"{name:15}", rows[name][0, last].tolist())

# %% [markdown]
# Now the whole of it, as the package has it. It is folded, because two of its methods are close to your exercises.

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
        """The processor with the number of image tokens and the image size that `model` expects."""
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
            [B, S] (0 prefix and padding, 1 suffix) and labels [B, S] (-100 everywhere but in the suffix).

        Raises:
            ValueError: the numbers of texts, images and suffixes differ, or a text contains `<image>`, `<bos>`,
                `<eos>` or `<pad>`, which only the processor may insert, or is not valid Unicode.
            TypeError: a text is not a string, or an image is not a PIL image.
        """
        prompts, pictures = as_list(text, str), as_list(images, Image.Image)
        suffixes = None if suffix is None else as_list(suffix, str)
        if len(prompts) != len(pictures):
            raise ValueError(
                f"{len(prompts)} texts and {len(pictures)} images: each text needs one image"
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
        batch["pixel_values"] = process_images(pictures, self.image_size)
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
                f"the {what} contains {forged[0]!r}: take it out, the processor puts it where it belongs: {text[:80]!r}"
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
# And the reference: the processor of *transformers*, with the same tokenizer, must make the same batch.

# %%
from transformers import PaliGemmaProcessor as ReferenceProcessor

ours = PaliGemmaProcessor(tokenizer, N, image_size)
reference_images.image_seq_length = N
reference = ReferenceProcessor(reference_images, tokenizer)
texts, suffixes = (
    ["caption en", "detect cat ; dog"],
    ["two cats", "<loc0100><loc0200><loc0300><loc0400> dog"],
)
both = [example_image(0), example_image(1)]
mine = ours(texts, both, suffix=suffixes)
theirs = reference(
    text=["<image>" + text for text in texts],
    images=both,
    suffix=suffixes,
    return_tensors="pt",
    padding="longest",
)
for name in ("input_ids", "attention_mask", "token_type_ids", "labels"):
    assert torch.equal(mine[name], theirs[name]), name
assert torch.allclose(mine["pixel_values"], theirs["pixel_values"], atol=1e-6)
print("all five tensors agree")

# %% [markdown]
# The real one differs in two ways that you may meet. Its text part may be cut to a maximal length, and if it is cut at the end, the newline goes first: you will do better in the exercise. And its vocabulary is Gemma's, so the same prompt
# has other ids. Ask the tokenizer for the id of `<image>`: it is 257,152 in PaliGemma's, 1,920 in ours, and the default in the library's configuration, 256,000, is the id of `<loc0000>`.
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
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Do it in the order of the docstring. Convert to RGBA first: then every picture has a transparency, and there is one case and not five.
# ```
# ```{admonition} Hint 2: which function
# :class: dropdown
# `Image.alpha_composite(ground, image)` lays one RGBA picture on another of the same size.
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
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Which tokens must be there whatever the prompt is? How many are left for the prompt?
# ```
# ```{admonition} Hint 2: almost the line
# :class: dropdown
# Cut `encode(prompt)` to `max_text_tokens - 2`, then put everything together from lists.
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
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Each row has three parts: padding, prefix, suffix. Write down how many places each has, and what each of the four tensors holds there.
# ```
# ```{admonition} Hint 2: almost the line
# :class: dropdown
# `[pad_id] * pads + prefix + suffix` is a row of `input_ids`. The other three are made in the same way; `torch.tensor` turns a list of rows into a tensor.
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
# ```{admonition} Hint
# :class: dropdown
# Walk along with an index. If the two pieces at it are the pair, go on by two, else by one.
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
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# You need three things that change: how each word is cut at the moment, the vocabulary with its numbers, and the merges so far.
# ```
# ```{admonition} Hint 2: which function
# :class: dropdown
# `min(counts, key=...)` with a tuple as key: minus the count, the number of the left piece, the number of the right.
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
# ```{admonition} Hint
# :class: dropdown
# A merge can only use pieces that earlier merges have made. So one pass for each merge, in order, is enough.
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
# A picture becomes RGB, upright, with white behind what is transparent; it is squeezed to a square, and its bytes become numbers from −1 to 1. A text is cut into learned pieces. The sequence is: image tokens, `<bos>`, prompt, newline, and in training the answer
# and `<eos>`. Rows are filled up on the left. None of this is hard. But five of six small mistakes, none of which raises an error, cost the model more than half of its right answers.
#
# This ends the first part: everything from a picture to the vectors and the tokens. The next part is about the language model that reads them.
