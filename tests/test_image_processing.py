"""Image processing, with images of every kind that people have."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from vlm.image_processing import process_images, to_rgb


def random_image(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(112, 112), (37, 250), (301, 64), (1, 1)])
def test_pixels_equal_those_of_the_reference(size):
    from transformers import SiglipImageProcessor

    image = random_image(*size)
    reference = SiglipImageProcessor(
        size={"height": 56, "width": 56}, resample=3, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    expected = torch.as_tensor(np.array(reference(image)["pixel_values"]))
    torch.testing.assert_close(process_images([image], 56), expected, atol=1e-6, rtol=0)


def test_black_is_minus_one_and_white_is_one():
    pixels = process_images([Image.new("RGB", (4, 4), "black"), Image.new("RGB", (4, 4), "white")], 4)
    assert pixels.shape == (2, 3, 4, 4) and pixels.dtype == torch.float32
    assert pixels[0].unique().tolist() == [-1] and pixels[1].unique().tolist() == [1]


def test_transparent_pixels_become_white():
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (255, 0, 0, 0))
    assert np.asarray(to_rgb(image)).tolist() == [[[255, 0, 0], [255, 255, 255]]]


def test_a_transparent_palette_color_becomes_white():
    image = Image.new("P", (2, 1), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    image.info["transparency"] = 1
    assert np.asarray(to_rgb(image)).tolist() == [[[255, 0, 0], [255, 255, 255]]]


def test_sixteen_bits_are_scaled_down_not_clipped():
    file = io.BytesIO()
    Image.fromarray(np.array([[0, 257 * 100, 65535]], dtype=np.uint16)).save(file, format="PNG")
    assert np.asarray(to_rgb(Image.open(file)))[..., 0].tolist() == [[0, 100, 255]]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr", "F", "I"])
def test_every_mode_becomes_rgb(mode):
    image = to_rgb(
        random_image(5, 3).convert(mode) if mode not in "LAF" else random_image(5, 3).convert("L").convert(mode)
    )
    assert image.mode == "RGB" and image.size == (5, 3)


def test_exif_rotation_is_applied():
    image = Image.new("RGB", (2, 1), "red")
    image.putpixel((1, 0), (0, 0, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: rotate by 90 degrees
    file = io.BytesIO()
    image.save(file, format="PNG", exif=exif)
    assert to_rgb(Image.open(file)).size == (1, 2)


def test_what_is_not_an_image_is_refused():
    with pytest.raises(TypeError, match=r"got ndarray; open a file with PIL\.Image\.open"):
        to_rgb(np.zeros((2, 2, 3)))


def test_values_beyond_sixteen_bits_are_clipped_to_black_and_white():
    image = Image.fromarray(np.array([[-5, 0, 257, 65535, 70000]], dtype=np.int32))
    assert image.mode == "I"
    assert [pixel[0] for pixel in to_rgb(image).get_flattened_data()] == [0, 0, 1, 255, 255]


def test_an_image_without_pixels_is_refused_with_its_size():
    with pytest.raises(ValueError, match=r"image is 3x0 pixels: expected at least 1x1"):
        to_rgb(Image.new("RGB", (3, 0)))
