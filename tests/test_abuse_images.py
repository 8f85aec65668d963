"""Images that are damaged, empty, enormous or in a rare format: read as expected, or refused in one line."""

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from checkpoints import save_random_checkpoint
from PIL import Image

from vlm.__main__ import main
from vlm.commands import run as command
from vlm.commands.run import open_image
from vlm.image_processing import process_images
from vlm.training.examples import read_examples, write_examples
from vlm.training.finetune import TrainingExample

pytestmark = pytest.mark.abuse
IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP")
RED, BLUE = Image.new("RGB", (9, 9), "red"), Image.new("RGB", (9, 9), "blue")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_random_checkpoint(tmp_path_factory.mktemp("checkpoint"))


def encode(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format=format, **options)
    return file.getvalue()


def png_of_size(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A PNG with any size in its header."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def example_line(path: Path) -> Path:
    lines = path.parent / "train.jsonl"
    lines.write_text(json.dumps({"image": path.name, "prompt": "caption en", "suffix": "a cat"}) + "\n")
    return lines


def assert_refused(path: Path, checkpoint: Path, capsys, words: str):
    """Refused by the command line in one line, and as a training example with its line number."""
    command_line = ["run", "--model", str(checkpoint), "--image", str(path), "--prompt", "caption en"]
    assert main(command_line) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith(f"vlm run: {path} is not an image that PIL can read: ") and words in err
    with pytest.raises(ValueError, match=rf"train\.jsonl, line 1: .*{words}"):
        read_examples(example_line(path))


# PIL leaves an iterator open if a GIF or PNG ends in the middle.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("fraction", [0.02, 0.5, 0.9])
def test_a_truncated_image_is_refused(tmp_path, checkpoint, capsys, format, fraction):
    content = encode(IMAGE, format)
    path = tmp_path / "image"
    path.write_bytes(content[: int(fraction * len(content))])
    assert_refused(path, checkpoint, capsys, "")


@pytest.mark.parametrize(
    "content",
    [
        png_of_size(0, 0),
        png_of_size(0, 5),
        b"GIF89a" + struct.pack("<HHBBB", 0, 0, 0, 0, 0) + b";",
        b"P6 0 0 255\n",
        b"BM" + struct.pack("<IHHIIIIHHIIIIII", 54, 0, 0, 54, 40, 0, 0, 1, 24, 0, 0, 0, 0, 0, 0),
    ],
    ids=["png", "png without width", "gif", "ppm", "bmp"],
)
def test_an_image_without_pixels_is_refused(tmp_path, checkpoint, capsys, content):
    path = tmp_path / "image"
    path.write_bytes(content)
    assert_refused(path, checkpoint, capsys, "cannot identify ")


def test_an_image_in_memory_without_pixels_is_refused():
    with pytest.raises(ValueError, match="image is 0x5 pixels: expected at least 1x1"):
        process_images([Image.new("RGB", (0, 5))], 28)


@pytest.mark.parametrize(("width", "height"), [(60000, 60000), (2**31 - 1, 1), (1, 2**31 - 1)])
def test_a_decompression_bomb_is_refused_before_memory_is_allocated(tmp_path, checkpoint, capsys, width, height):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of_size(width, height))
    assert_refused(path, checkpoint, capsys, "exceeds limit of 178956970 pixels")


@pytest.mark.parametrize("size", [(1, 10000), (10000, 1)])
def test_an_image_one_pixel_wide_is_answered_and_drawn(tmp_path, checkpoint, capsys, monkeypatch, size):
    monkeypatch.setattr(command, "stream", lambda *_: iter(["<loc0100><loc0000><loc0600><loc1023> cat"]))
    path, drawn = tmp_path / "thread.png", tmp_path / "drawn.png"
    Image.new("RGB", size, "red").save(path)
    words = ["run", "--model", str(checkpoint), "--image", str(path), "--prompt", "detect cat"]
    assert main([*words, "--output", str(drawn)]) == 0
    assert capsys.readouterr().err == f"1 box drawn into {drawn}\n"
    with Image.open(drawn) as image:
        assert min(image.size) > 0
    assert process_images([open_image(path)], 28).unique().tolist() == [-1, 1]  # red and nothing else


def seen(tmp_path: Path, content: bytes) -> tuple[tuple[int, int], tuple[int, int, int]]:
    """Size and first pixel of an image, which must be the same for inference and training."""
    path = tmp_path / "image"
    path.write_bytes(content)
    [example] = read_examples(example_line(path))
    image = open_image(path)
    assert image.mode == example.image.mode == "RGB" and image.tobytes() == example.image.tobytes()
    return image.size, image.getpixel((0, 0))


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_of_an_animation_is_used(tmp_path, format):
    options = {"lossless": True} if format == "WEBP" else {}
    content = encode(RED, format, save_all=True, append_images=[BLUE], **options)
    assert seen(tmp_path, content) == ((9, 9), (255, 0, 0))


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_is_converted(tmp_path, format):
    assert seen(tmp_path, encode(Image.new("CMYK", (9, 9), (0, 255, 255, 0)), format)) == ((9, 9), (255, 0, 0))


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_16_bit_grayscale_is_scaled_and_not_clipped_to_white(tmp_path, format, mode):
    pixels = np.full((3, 3), 30000, dtype="<u2" if mode == "I;16" else ">u2")
    image = Image.frombytes(mode, (3, 3), pixels.tobytes())
    if format == "PNG" and mode == "I;16B":
        image = Image.frombytes("I;16", (3, 3), pixels.astype("<u2").tobytes())  # PNG has only one byte order
    assert seen(tmp_path, encode(image, format)) == ((3, 3), (117, 117, 117))


@pytest.mark.parametrize(("orientation", "size"), [(1, (60, 40)), (3, (60, 40)), (6, (40, 60)), (8, (40, 60))])
def test_exif_rotation_is_applied_in_inference_and_training(tmp_path, orientation, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert seen(tmp_path, encode(IMAGE, "JPEG", exif=exif))[0] == size


@pytest.mark.parametrize("orientation", [0, 9, 2**16 - 1])
def test_an_invalid_orientation_is_ignored(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert seen(tmp_path, encode(IMAGE, "JPEG", exif=exif))[0] == (60, 40)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # PIL warns and continues
def test_damaged_exif_data_is_ignored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encode(IMAGE, "JPEG", exif=exif)
    start = content.index(b"Exif")
    for offset in range(start + 6, start + 32):
        damaged = content[:offset] + b"\xff" + content[offset + 1 :]
        assert seen(tmp_path, damaged)[0] in [(60, 40), (40, 60)]


def test_examples_are_written_as_they_are_read(tmp_path):
    gray = Image.fromarray(np.full((3, 3), 30000, dtype=np.uint16))
    write_examples(tmp_path / "train.jsonl", [TrainingExample(gray, "caption en", "gray")])
    [example] = read_examples(tmp_path / "train.jsonl")
    assert example.image.getpixel((0, 0)) == (117, 117, 117)
