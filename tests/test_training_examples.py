"""Examples written and read back, and lines that are none."""

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


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("not json", "line 2: "),
        ('["a"]', "line 2: expected an object with the texts image, prompt, suffix"),
        ('{"image": "x.png", "prompt": "caption en"}', "line 2: expected an object"),
        ('{"image": "x.png", "prompt": "caption en", "suffix": 3}', "line 2: expected an object"),
        ('{"image": "images/none.png", "prompt": "a", "suffix": "b"}', "line 2: .*none.png"),
        ('{"image": "../secret.png", "prompt": "a", "suffix": "b"}', "line 2: .*outside the folder"),
        ('{"image": "train.jsonl", "prompt": "a", "suffix": "b"}', "line 2: cannot identify image"),
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
