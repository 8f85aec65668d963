"""Examples written and read back, and lines that are none."""

import json
import os

import pytest
from PIL import Image

from vlm.training.examples import picture_key, read_examples, write_examples
from vlm.training.finetune import TrainingExample

RED, BLUE = Image.new("RGB", (8, 6), "red"), Image.new("RGB", (8, 6), "blue")
EXAMPLES = [
    TrainingExample(RED, "caption en", "a größer cat"),
    TrainingExample(RED, "answer en how many?", "1"),
    TrainingExample(BLUE, "caption en", ""),
]


def test_what_is_written_is_read_back_and_a_picture_is_there_once(tmp_path):
    write_examples(tmp_path / "train.jsonl", EXAMPLES)
    back = read_examples(tmp_path / "train.jsonl")
    assert [(e.prompt, e.suffix) for e in back] == [(e.prompt, e.suffix) for e in EXAMPLES]
    assert [e.image.tobytes() for e in back] == [e.image.tobytes() for e in EXAMPLES]
    assert len(list((tmp_path / "images").iterdir())) == 2


def test_a_key_is_of_the_pixels_and_the_shape():
    assert picture_key(RED) == picture_key(RED.copy()) != picture_key(BLUE)
    assert picture_key(RED) != picture_key(Image.new("RGB", (6, 8), "red"))


def test_lines_end_at_a_line_feed_alone_and_blank_lines_and_a_byte_order_mark_are_passed_over(tmp_path):
    suffixes = ["one\u2028two", "one\u0085two", "one\x1ctwo"]
    write_examples(tmp_path / "train.jsonl", EXAMPLES[:1])
    values = json.loads((tmp_path / "train.jsonl").read_text())
    lines = [json.dumps(values | {"suffix": suffix}, ensure_ascii=False) for suffix in suffixes[:2]]
    lines.append(json.dumps(values | {"suffix": suffixes[2]}))
    (tmp_path / "train.jsonl").write_bytes(b"\xef\xbb\xbf" + "\r\n\n  \n".join(lines).encode() + b"\n\n")
    assert [example.suffix for example in read_examples(tmp_path / "train.jsonl")] == suffixes


def test_the_prompt_may_be_called_prefix_as_in_big_vision(tmp_path):
    write_examples(tmp_path / "train.jsonl", EXAMPLES[:1])
    text = (tmp_path / "train.jsonl").read_text()
    (tmp_path / "train.jsonl").write_text(text.replace('"prompt"', '"prefix"'))
    assert read_examples(tmp_path / "train.jsonl")[0].prompt == "caption en"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("not json", "line 2: "),
        ('["a"]', "line 2: expected an object with the strings image, prompt, suffix"),
        ('{"image": "x.png", "prompt": "caption en"}', "line 2: expected an object"),
        ('{"image": "x.png", "prompt": "caption en", "suffix": 3}', "line 2: expected an object"),
        ('{"image": "images/none.png", "prompt": "a", "suffix": "b"}', "line 2: .*none.png"),
        ('{"image": "../secret.png", "prompt": "a", "suffix": "b"}', "line 2: .*outside the folder"),
        ('{"image": "train.jsonl", "prompt": "a", "suffix": "b"}', "line 2: cannot identify image"),
        ('{"image": "x.png", "prompt": "a", "prefix": "a", "suffix": "b"}', "line 2: prompt and prefix are two names"),
        ('{"image": "../\\u001b[2K", "prompt": "a", "suffix": "b"}', r"line 2: the image '\.\./\\x1b\[2K' is outside"),
        ("[" * 100_000, "line 2: "),
    ],
)
def test_a_line_that_is_no_example_is_named(tmp_path, line, complaint):
    folder = tmp_path / "project"
    write_examples(folder / "train.jsonl", EXAMPLES[:1])
    RED.save(tmp_path / "secret.png")
    with open(folder / "train.jsonl", "a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match=complaint):
        read_examples(folder / "train.jsonl")


@pytest.mark.abuse
def test_what_is_no_file_is_not_opened(tmp_path):
    write_examples(tmp_path / "train.jsonl", EXAMPLES[:1])
    [image] = (tmp_path / "images").iterdir()
    image.unlink()
    os.mkfifo(image)
    with pytest.raises(ValueError, match=r"line 1: there is no image 'images/"):
        read_examples(tmp_path / "train.jsonl")
    for name, make in (("zero", lambda path: path.symlink_to("/dev/zero")), ("pipe", os.mkfifo)):
        make(tmp_path / name)
        with pytest.raises(FileNotFoundError, match=f"there is no file .*{name}"):
            read_examples(tmp_path / name)


@pytest.mark.abuse
def test_images_of_a_stranger_are_refused_before_they_fill_the_memory(tmp_path):
    write_examples(tmp_path / "train.jsonl", EXAMPLES)
    assert len(read_examples(tmp_path / "train.jsonl", max_pixels=3 * 48)) == 3
    with pytest.raises(ValueError, match="line 3: the images have too many pixels together"):
        read_examples(tmp_path / "train.jsonl", max_pixels=3 * 48 - 1)


@pytest.mark.abuse
def test_no_image_makes_another_program_run(tmp_path):
    RED.save(tmp_path / "red.eps")
    line = json.dumps({"image": "red.eps", "prompt": "a", "suffix": "b"})
    (tmp_path / "train.jsonl").write_text(line)
    with pytest.raises(ValueError, match="line 1: cannot identify image file"):
        read_examples(tmp_path / "train.jsonl")
