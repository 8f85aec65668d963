"""The mask VQ-VAE: the published layers, files that do not fit, and the Toybox's own weights."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vlm.regions.mask_vqvae import (
    MaskDecoder,
    MaskEncoder,
    load_mask_decoder,
    load_mask_encoder,
    nearest_codes,
    to_file_names,
)

# Every array that the published decoder reads, with its shape: big_vision, transfers/segmentation.py.
PUBLISHED = {
    "_vq_vae._embedding": (128, 512),
    "decoder.0.weight": (128, 512, 1, 1),
    "decoder.0.bias": (128,),
    **{
        f"decoder.{block}.net.{layer}.{name}": shape
        for block in (2, 3)
        for layer, side in ((0, 3), (2, 3), (4, 1))
        for name, shape in (("weight", (128, 128, side, side)), ("bias", (128,)))
    },
    "decoder.4.weight": (128, 128, 4, 4),
    "decoder.4.bias": (128,),
    "decoder.6.weight": (128, 64, 4, 4),
    "decoder.6.bias": (64,),
    "decoder.8.weight": (64, 32, 4, 4),
    "decoder.8.bias": (32,),
    "decoder.10.weight": (32, 16, 4, 4),
    "decoder.10.bias": (16,),
    "decoder.12.weight": (1, 16, 1, 1),
    "decoder.12.bias": (1,),
}


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(0, 0.05, shape).astype(np.float32) for name, shape in PUBLISHED.items()}


def draw_by_hand(arrays: dict[str, np.ndarray], codes: list[int]) -> torch.Tensor:
    """The published decoder, written as one calculation on its arrays."""
    get = {name: torch.from_numpy(array) for name, array in arrays.items()}

    def layer(function, x, name, **options):
        return function(x, get[f"{name}.weight"], get[f"{name}.bias"], **options)

    conv, up, relu = torch.nn.functional.conv2d, torch.nn.functional.conv_transpose2d, torch.relu
    x = torch.stack([get["_vq_vae._embedding"][code] for code in codes])  # [16, 512]
    x = x.reshape(1, 4, 4, 512).permute(0, 3, 1, 2)
    x = relu(layer(conv, x, "decoder.0"))
    for block in (2, 3):
        y = relu(layer(conv, x, f"decoder.{block}.net.0", padding=1))
        y = relu(layer(conv, y, f"decoder.{block}.net.2", padding=1))
        x = x + layer(conv, y, f"decoder.{block}.net.4")
    for index in (4, 6, 8, 10):
        x = relu(layer(up, x, f"decoder.{index}", stride=2, padding=1))
    return layer(conv, x, "decoder.12")[0, 0]


def test_names_and_shapes_are_the_published_ones():
    tensors = to_file_names(MaskDecoder())
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == PUBLISHED


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
@torch.inference_mode()
def test_a_file_of_the_published_form_draws_what_its_arrays_say(tmp_path, arrays, ending):
    path = tmp_path / f"masks.{ending}"
    extra = {"encoder.0.weight": np.zeros((3, 1, 4, 4), np.float32), "_vq_vae._ema_cluster_size": np.ones(128)}
    if ending == "npz":
        np.savez(path, **arrays, **extra)
    else:
        save_file({name: torch.from_numpy(array) for name, array in (arrays | extra).items()}, path)
    codes = torch.randint(128, (2, 16), generator=torch.Generator().manual_seed(0))
    masks = load_mask_decoder(path)(codes)
    assert masks.shape == (2, 64, 64)
    for mask, row in zip(masks, codes.tolist(), strict=True):
        torch.testing.assert_close(mask, draw_by_hand(arrays, row), atol=1e-5, rtol=1e-5)


def test_everything_missing_and_misshapen_is_named(tmp_path, arrays):
    del arrays["decoder.8.bias"]
    arrays["decoder.12.weight"] = np.zeros((3, 16, 1, 1), np.float32)
    np.savez(tmp_path / "masks.npz", **arrays)
    with pytest.raises(ValueError) as error:
        load_mask_decoder(tmp_path / "masks.npz")
    assert "missing: decoder.8.bias [32]" in str(error.value)
    assert "wrong shape: decoder.12.weight is [3, 16, 1, 1], expected [1, 16, 1, 1]" in str(error.value)


def test_a_file_without_an_encoder_has_none(tmp_path, arrays):
    np.savez(tmp_path / "masks.npz", **arrays)
    with pytest.raises(ValueError, match=r"MaskEncoder:\n  missing: encoder\.0\.weight"):
        load_mask_encoder(tmp_path / "masks.npz")


class Trap:
    """What unpickling this would run."""

    def __reduce__(self):
        return print, ("executed",)


def test_pickled_objects_in_an_npz_are_refused_and_not_executed(tmp_path, arrays, capsys):
    arrays["decoder.0.bias"] = np.array([Trap()], dtype=object)
    np.savez(tmp_path / "masks.npz", **arrays)
    with pytest.raises(ValueError, match="plain numbers"):
        load_mask_decoder(tmp_path / "masks.npz")
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["masks.npz", "masks.safetensors"])
def test_a_broken_file_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\x03\x04 and then nothing of use")
    with pytest.raises(ValueError, match="is neither a safetensors file nor an"):
        load_mask_decoder(tmp_path / name)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a file"):
        load_mask_decoder(tmp_path / "none.npz")


def test_the_nearest_code_wins():
    codebook = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    vectors = torch.tensor([[[0.4, 0.0], [0.6, 0.1]], [[0.0, 1.1], [0.0, 0.9]]])
    assert nearest_codes(vectors, codebook).tolist() == [[0, 1], [2, 0]]


def test_codes_are_in_reading_order():
    torch.manual_seed(0)
    encoder = MaskEncoder().eval()
    for block in (8, 9):  # these look at their neighbours; without them each vector sees only its own surroundings
        torch.nn.init.zeros_(encoder.encoder[block].net[4].weight)
        torch.nn.init.zeros_(encoder.encoder[block].net[4].bias)
    empty, corner = torch.zeros(1, 64, 64), torch.zeros(1, 64, 64)
    corner[0, 2:6, 58:62] = 1  # top right
    with torch.inference_mode():
        moved = (encoder(corner) - encoder(empty)).abs().sum(-1)[0]  # [16]
    assert moved.argmax() == 3
