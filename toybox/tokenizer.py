"""The Toybox's tokenizer: built like Gemma's, with 768 pieces instead of 256,000.

Everything except the size is as in the published PaliGemma: the order of the ids, spaces written as "▁", bytes
for characters that are not in the vocabulary, and the same three kinds of added tokens at the end.

    id      0 ..    4   <pad> <eos> <bos> <unk> <mask>
    id      5 ..  260   <0x00> ... <0xFF>, the 256 bytes
    id    261 ..  767   characters, and the pieces learned from the Toybox's texts
    id    768 .. 1791   <loc0000> ... <loc1023>
    id   1792 .. 1919   <seg000> ... <seg127>
    id   1920           <image>

Run `python -m toybox.tokenizer` to write its two files to toybox/checkpoint/.
"""

import json
import re
import string
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, normalizers, trainers
from tokenizers.models import BPE

from toybox import CHECKPOINT_DIRECTORY
from toybox.prompts import all_prompt_texts
from vlm.regions.boxes import NUM_LOCATION_BINS, NUM_MASK_CODES

BASE_VOCABULARY_SIZE = 768

CONTROL_TOKENS = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]
LOCATION_TOKENS = [f"<loc{index:04d}>" for index in range(NUM_LOCATION_BINS)]
MASK_TOKENS = [f"<seg{index:03d}>" for index in range(NUM_MASK_CODES)]
IMAGE_TOKEN = "<image>"

_SPACE = "▁"
_CHARACTERS = sorted(set(string.digits + string.ascii_letters + string.punctuation) | {"\n", _SPACE})
# What may become one piece: a word or a punctuation mark, with the space before it. Everything else (digits,
# newlines, a second space) stays single characters, so "\n" is the same token wherever it appears.
_WORD = re.compile(rf"{_SPACE}?[A-Za-z]+|{_SPACE}?[^\w\s{_SPACE}]|.", re.DOTALL)
_ADDED = re.compile(r"<loc[0-9]{4}>|<seg[0-9]{3}>")

# Learned after the words of the prompts, so that other questions are not split into single letters. Any edit of this
# text, its spelling included, changes the tokenizer.
ENGLISH = """\
When you look at a picture, you first see the whole of it, and then the things that are in it. There is a
large one on the left and a small one on the right; another stands behind them, near the top, and there may
be more below. What is this? Where is it? How many are there, and which colour do they have? Is anything
between the two, or in front of them? A good answer is short and says only what can be seen in the image.

A model does not look the way people do. It cuts the picture into small squares, turns each square into a
list of numbers, and reads them together with the words of the question. Then it writes its answer, one word
after another. To show where something is, it gives the place of the box around it: the top and the left
side, then the bottom and the right side. If you ask about something that is not there, it should say so,
but it will often make a mistake. Please describe what you would see here: animals, people, houses, trees,
cars, toys, some light and some shadow.
"""


def build_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Learn the pieces from texts, and assemble the vocabulary in the published order.

    Every word of `texts` becomes a single token, as it appears there: with a space before it, without one, or
    both. Any other text can be encoded too, in smaller pieces or in bytes, and is decoded to itself. (One character
    is an exception: "▁", U+2581, is decoded to a space, as in Gemma.) Nothing is added at the start or end.

    Example, with "detect cat" among the texts: "detect cat\\n" -> ["detect", "▁cat", "\\n"].

    Args:
        texts: prompts and answers; location and mask tokens in them are skipped.

    Raises:
        ValueError: `texts` have more words than fit in the vocabulary, or too few to fill it.

    Source: the tokenizer.json of google/paligemma-3b-pt-224, and big_vision's paligemma README for the order of
    the added tokens.
    """
    words = sorted({word for text in texts for part in _ADDED.split(text) for word in _split_words(part)})
    # BPE merges the most frequent pairs first: repeated a hundred times, the words of the prompts all come first.
    pieces, merges = _learn_pieces(words * 100 + _split_words(ENGLISH))
    vocabulary = {token: index for index, token in enumerate(CONTROL_TOKENS + BYTE_TOKENS + pieces)}
    missing = [word for word in words if word not in vocabulary]
    if missing or len(vocabulary) != BASE_VOCABULARY_SIZE:
        raise ValueError(
            f"{len(vocabulary)} of {BASE_VOCABULARY_SIZE} tokens learned, {len(missing)} words of the "
            f"prompts are not among them ({missing[:5]}): change BASE_VOCABULARY_SIZE or the texts"
        )

    tokenizer = Tokenizer(BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", _SPACE)
    steps = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in CONTROL_TOKENS])
    # Not special: `skip_special_tokens=True` must keep the boxes in the answer.
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in LOCATION_TOKENS + MASK_TOKENS])
    tokenizer.add_special_tokens([AddedToken(IMAGE_TOKEN, normalized=False)])
    return tokenizer


def save_tokenizer(directory: Path) -> None:
    """Build the Toybox's tokenizer; write tokenizer.json and tokenizer_config.json, the same bytes each time.

    `transformers.AutoTokenizer.from_pretrained(directory)` reads them.
    """
    config = {
        "add_bos_token": False,  # the processor adds <bos>: it belongs after the image tokens, not first
        "add_eos_token": False,
        "bos_token": "<bos>",
        "clean_up_tokenization_spaces": False,
        "eos_token": "<eos>",
        "extra_special_tokens": {"image_token": IMAGE_TOKEN},
        "mask_token": "<mask>",
        "pad_token": "<pad>",
        "padding_side": "left",
        "tokenizer_class": "PreTrainedTokenizerFast",  # reads tokenizer.json, adds nothing of its own
        "unk_token": "<unk>",
    }
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer(all_prompt_texts())
    (directory / "tokenizer.json").write_text(tokenizer.to_str(pretty=True) + "\n", encoding="utf-8")
    (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _split_words(text: str) -> list[str]:
    return _WORD.findall(text.replace(" ", _SPACE))


def _learn_pieces(words: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Train BPE on single words, so that no piece crosses a word boundary. Returns pieces and merges."""
    learner = Tokenizer(BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=BASE_VOCABULARY_SIZE - len(CONTROL_TOKENS) - len(BYTE_TOKENS),
        initial_alphabet=_CHARACTERS,
        show_progress=False,
    )
    learner.train_from_iterator(words, trainer)
    model = json.loads(learner.to_str())["model"]
    pieces = sorted(model["vocab"], key=model["vocab"].get)
    return pieces, [tuple(merge) for merge in model["merges"]]


if __name__ == "__main__":
    save_tokenizer(CHECKPOINT_DIRECTORY)
