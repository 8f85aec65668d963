"""Writes the files of the live model in a web page: `python -m live.export FOLDER [--checkpoint DIRECTORY]`.

`weights.bin` contains the model, the mask decoder and the tokenizer. `weights_data.js` contains the same bytes as a
script, for pages opened from disk: these may not fetch a file, but they may load a script.

The file is a zlib stream, which the browser decompresses. Its contents:

    4 bytes              the length of the header, little endian
    header               JSON: the checkpoint's config, the tokenizer, and each tensor's name and shape
    float32              one tensor after another: a vector as it is; for a matrix, the scale of each row
    int8                 one matrix after another, row by row; an integer times the scale of its row is the weight

zlib encodes frequent numbers with fewer bits, so the largest integer of a row (the number of levels) decides the size
of the file. On 500 test scenes (the mask decoder with 15, which changes no mean IoU by more than 0.0005):

    largest integer  caption   count   left    detect: precision, recall, mean IoU   segment: mean IoU   megabytes
    none: float32     0.954    0.996   1.000          0.983    0.973    0.877              0.747           15.4
    127               0.956    0.996   1.000          0.983    0.977    0.876              0.751            3.2
    63                0.952    0.996   1.000          0.982    0.974    0.877              0.751            2.9
    47                0.956    0.996   1.000          0.985    0.974    0.875              0.748            2.7
    31                0.952    0.996   0.994          0.982    0.971    0.875              0.746            2.5
"""

import argparse
import base64
import json
import sys
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from toybox import CHECKPOINT_DIRECTORY, MASK_VQVAE_FILE
from vlm.checkpoints.layouts import HEAD
from vlm.config import Gemma2Config
from vlm.loader import load_hf_model
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.regions.mask_vqvae import MaskDecoder, load_mask_decoder

# The largest integer of a row, in the model and in the mask decoder.
MODEL_LEVELS = 63
MASK_LEVELS = 15
MASK_PREFIX = "mask_decoder."
Quantized = tuple[Tensor, Tensor | None]  # a vector and None, or int8 [R, W] and the scale of each row [R]
_TOKENIZER = {
    "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    "pre_tokenizer": None,
    "decoder": {
        "type": "Sequence",
        "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
        ],
    },
}


def export(folder: Path, checkpoint: Path = CHECKPOINT_DIRECTORY, masks: Path = MASK_VQVAE_FILE):
    """Write `weights.bin` and `weights_data.js` to a folder.

    Args:
        checkpoint: a directory with config.json, weights and tokenizer.json, of a PaliGemma with the first Gemma.
        masks: the file of the mask decoder.

    Raises:
        ValueError: the page cannot run such a model or such a tokenizer.
    """
    model, _ = load_hf_model(checkpoint, dtype=torch.float32)
    if isinstance(model.config.text_config, Gemma2Config):
        raise ValueError(f"{checkpoint} is a Gemma 2 model: live/model.js supports only the first Gemma")
    header = {
        "config": model.config.to_dict(),
        "tokenizer": read_tokenizer(checkpoint / "tokenizer.json"),
    }
    packed = pack(header, quantize_all(model, load_mask_decoder(masks)))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.bin").write_bytes(packed)
    text = base64.b64encode(packed).decode()
    (folder / "weights_data.js").write_text(f'globalThis.VLM.weightsData = "{text}"\n', encoding="utf-8")


def read_tokenizer(path: Path) -> dict:
    """What live/tokenizer.js needs from a tokenizer.json: the tokens by id, the merges, the added tokens."""
    values = json.loads(path.read_text(encoding="utf-8"))
    unknown = [name for name, expected in _TOKENIZER.items() if values[name] != expected]
    if unknown or not values["model"]["byte_fallback"] or any(token["normalized"] for token in values["added_tokens"]):
        raise ValueError(f"{path} is not built like the Toybox's tokenizer ({', '.join(unknown)}): extend tokenizer.js")
    added = {token["id"]: token["content"] for token in values["added_tokens"]}
    tokens = added | {index: token for token, index in values["model"]["vocab"].items()}
    return {
        "tokens": [tokens[index] for index in range(len(tokens))],
        "merges": values["model"]["merges"],
        "added": list(added.values()),
        "special": [token["id"] for token in values["added_tokens"] if token["special"]],
    }


def quantize_all(model: PaliGemmaForConditionalGeneration, masks: MaskDecoder) -> dict[str, Quantized]:
    """All tensors of the file, the matrices quantized."""
    state = model.state_dict()
    if torch.equal(state[HEAD], model.language_model.model.embed_tokens.weight):
        del state[HEAD]
    quantized = {name: quantize(tensor, MODEL_LEVELS) for name, tensor in state.items()}
    for name, tensor in masks.state_dict().items():
        quantized[MASK_PREFIX + name] = quantize(tensor, MASK_LEVELS)
    return quantized


def quantize(tensor: Tensor, levels: int) -> Quantized:
    """Vectors stay; tensors with more axes become integers in -levels..levels, with a scale for each row."""
    if tensor.dim() < 2:
        return tensor, None
    rows = tensor.flatten(1)  # [R, W]
    scales = rows.abs().amax(1) / levels  # [R]
    scales[scales == 0] = 1  # a row of zeros
    return (rows / scales[:, None]).round().to(torch.int8), scales


def dequantize(values: Tensor, scales: Tensor | None) -> Tensor:
    """The float32 values that the page computes with: a vector, or [R, W]."""
    return values if scales is None else values * scales[:, None]


def pack(header: dict, quantized: dict[str, Quantized]) -> bytes:
    """The bytes of the file."""
    header["tensors"] = [[name, *values.shape] for name, (values, _) in quantized.items()]
    text = json.dumps(header, separators=(",", ":")).encode()
    floats = [values if scales is None else scales for values, scales in quantized.values()]
    matrices = [values for values, scales in quantized.values() if scales is not None]
    parts = [np.array(len(text), "<u4").tobytes(), text]
    parts += [tensor.numpy().astype("<f4").tobytes() for tensor in floats]
    parts += [tensor.numpy().tobytes() for tensor in matrices]
    compressor = zlib.compressobj(level=9, strategy=zlib.Z_HUFFMAN_ONLY)  # weights have no repeated sequences
    return compressor.compress(b"".join(parts)) + compressor.flush()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m live.export", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the folder to write to")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT_DIRECTORY, help="default: the shipped model")
    options = parser.parse_args(arguments)
    export(options.folder, options.checkpoint)
    for name in ("weights.bin", "weights_data.js"):
        print(f"{options.folder / name}: {(options.folder / name).stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
