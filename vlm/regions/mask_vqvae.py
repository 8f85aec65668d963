"""The VQ-VAE (vector-quantized autoencoder) behind PaliGemma's mask tokens: a mask becomes 16 codes out of 128.

The encoder compresses a 64 x 64 mask into a 4 x 4 grid of vectors. Each is replaced by the nearest of 128 learned
vectors (the codebook), whose index is the token. The decoder draws a mask from the 16 indices. The language model
never sees a mask, only these indices.

Shapes: M masks, S side of a mask (64), G side of the grid (4), K codes of a mask (G * G = 16), V codes in the
codebook (128), D numbers in each code (512).

Sources: van den Oord et al., "Neural Discrete Representation Learning" (arXiv 1711.00937); Ning et al., "All in
Tokens" (arXiv 2301.02229), whose mask tokens PaliGemma uses (arXiv 2407.07726, section 3.2). The layers are those of
the published `vae-oid.npz`, as big_vision's evaluators/proj/paligemma/transfers/segmentation.py reads it.
"""

import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vlm.regions.boxes import CODES_PER_MASK, NUM_MASK_CODES

MASK_SIZE = 64

_CODE_WIDTH = 512
_CHANNELS = 128
_CODEBOOK_NAME = "_vq_vae._embedding"  # in the published file; its other names are those of the modules here


class ResidualBlock(nn.Module):
    """Residual block: two 3 x 3 convolutions and a 1 x 1 convolution, added to the input."""

    def __init__(self, channels: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel_size=1),
        )

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[M, C, H, W] -> the same shape."""
        return hidden_states + self.net(hidden_states)


class MaskEncoder(nn.Module):
    """A mask -> one vector for each cell of a 4 x 4 grid; four strided convolutions each halve the side."""

    def __init__(self):
        super().__init__()
        layers: list[nn.Module] = []
        for channels_in, channels_out in [(1, 16), (16, 32), (32, 64), (64, _CHANNELS)]:
            layers += [nn.Conv2d(channels_in, channels_out, kernel_size=4, stride=2, padding=1), nn.ReLU()]
        layers += [ResidualBlock(_CHANNELS), ResidualBlock(_CHANNELS)]
        layers += [nn.Conv2d(_CHANNELS, _CODE_WIDTH, kernel_size=1)]
        self.encoder = nn.Sequential(*layers)

    def forward(self, masks: Tensor) -> Tensor:
        """[M, S, S], 0 outside the object and 1 inside -> [M, K, D]."""
        grid = self.encoder(2 * masks[:, None] - 1)  # [M, D, G, G]
        return grid.flatten(2).transpose(1, 2)  # [M, K, D], row by row


class MaskDecoder(nn.Module):
    """The codebook, and a network from 16 of its codes to a mask; four transposed convolutions each double the side."""

    def __init__(self):
        super().__init__()
        self.codebook = nn.Parameter(torch.randn(NUM_MASK_CODES, _CODE_WIDTH))  # [V, D]
        layers: list[nn.Module] = [nn.Conv2d(_CODE_WIDTH, _CHANNELS, kernel_size=1), nn.ReLU()]
        layers += [ResidualBlock(_CHANNELS), ResidualBlock(_CHANNELS)]
        for channels_in, channels_out in [(_CHANNELS, 128), (128, 64), (64, 32), (32, 16)]:
            layers += [nn.ConvTranspose2d(channels_in, channels_out, kernel_size=4, stride=2, padding=1), nn.ReLU()]
        layers += [nn.Conv2d(16, 1, kernel_size=1)]
        self.decoder = nn.Sequential(*layers)

    def forward(self, codes: Tensor) -> Tensor:
        """Codes [M, K], 0..127 -> masks [M, S, S], about -1 outside the object and 1 inside."""
        return self.decode_vectors(self.codebook[codes])

    def decode_vectors(self, vectors: Tensor) -> Tensor:
        """[M, K, D] -> [M, S, S]."""
        side = int(CODES_PER_MASK**0.5)
        grid = vectors.transpose(1, 2).unflatten(-1, (side, side))  # [M, D, G, G]
        return self.decoder(grid)[:, 0]  # [M, S, S]


def nearest_codes(vectors: Tensor, codebook: Tensor) -> Tensor:
    """The index of each vector's nearest code: [M, K, D], [V, D] -> [M, K]."""
    return torch.cdist(vectors, codebook[None]).argmin(-1)


def load_mask_decoder(path: str | Path) -> MaskDecoder:
    """Load the codebook and the decoder, in eval mode and float32.

    Args:
        path: a `.safetensors` file, such as the Toybox's, or the published `vae-oid.npz`. Its other
            tensors (the encoder, the running averages behind the codebook) are ignored.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or tensors are missing or have the wrong shape; the message lists them.
    """
    decoder = MaskDecoder()
    _fill(decoder, Path(path))
    return decoder.eval()


def load_mask_encoder(path: str | Path) -> MaskEncoder:
    """Load the encoder from the same file. Only training needs it: to draw an answer, the decoder is enough.

    Raises:
        As `load_mask_decoder`.
    """
    encoder = MaskEncoder()
    _fill(encoder, Path(path))
    return encoder.eval()


def to_file_names(*parts: nn.Module) -> dict[str, Tensor]:
    """The tensors of an encoder, a decoder or both, under the names of the published file."""
    tensors = {name: tensor for part in parts for name, tensor in part.state_dict().items()}
    return {_CODEBOOK_NAME if name == "codebook" else name: tensor for name, tensor in tensors.items()}


def _fill(part: nn.Module, path: Path):
    tensors = _read_tensors(path)
    problems, state = [], {}
    for name, expected in part.state_dict().items():
        file_name = _CODEBOOK_NAME if name == "codebook" else name
        tensor = tensors.get(file_name)
        if tensor is None:
            problems.append(f"missing: {file_name} {list(expected.shape)}")
        elif tensor.shape != expected.shape:
            problems.append(f"wrong shape: {file_name} is {list(tensor.shape)}, expected {list(expected.shape)}")
        else:
            state[name] = tensor.float()
    if problems:
        raise ValueError(f"{path} does not contain a {type(part).__name__}:\n  " + "\n  ".join(problems))
    part.load_state_dict(state)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file")
    try:
        if path.suffix == ".npz":
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
                return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        return load_file(path)
    except (SafetensorError, zipfile.BadZipFile, ValueError, TypeError, EOFError, OSError) as error:
        raise ValueError(f"{path} is neither a safetensors file nor an .npz of plain numbers: {error}") from None
