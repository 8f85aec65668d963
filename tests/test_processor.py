"""PaliGemma's input sequence, id by id."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer

from toybox import CHECKPOINT_DIRECTORY
from vlm.processor import PaliGemmaProcessor

IMAGE = Image.new("RGB", (30, 20), "orange")


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(CHECKPOINT_DIRECTORY)


@pytest.fixture(scope="module")
def processor(tokenizer):
    return PaliGemmaProcessor(tokenizer, num_image_tokens=4, image_size=28)


def pieces(processor, ids) -> list[str]:
    return processor.tokenizer.convert_ids_to_tokens(ids.tolist())


def test_a_prompt_is_image_bos_text_newline(processor):
    inputs = processor("detect cat", IMAGE)
    assert sorted(inputs) == ["attention_mask", "input_ids", "pixel_values"]
    assert pieces(processor, inputs["input_ids"][0]) == ["<image>"] * 4 + ["<bos>", "detect", "▁cat", "\n"]
    assert inputs["attention_mask"].tolist() == [[1] * 8]
    assert inputs["pixel_values"].shape == (1, 3, 28, 28)


def test_a_batch_is_padded_on_the_left(processor):
    inputs = processor(["detect cat ; dog", ""], [IMAGE, IMAGE])
    assert pieces(processor, inputs["input_ids"][1]) == ["<pad>"] * 4 + ["<image>"] * 4 + ["<bos>", "\n"]
    assert inputs["attention_mask"].tolist() == [[1] * 10, [0] * 4 + [1] * 6]


def test_only_the_suffix_has_labels(processor):
    inputs = processor(["detect cat", "caption en"], [IMAGE] * 2, suffix=["<loc0007> cat", "a"])
    first = pieces(processor, inputs["input_ids"][0])
    assert first[-4:] == ["\n", "<loc0007>", "▁cat", "<eos>"]
    assert inputs["token_type_ids"][0].tolist() == [0] * 8 + [1] * 3
    assert inputs["labels"][0].tolist() == [-100] * 8 + inputs["input_ids"][0, -3:].tolist()
    assert inputs["token_type_ids"][1].sum() == 2 and (inputs["labels"][1] != -100).sum() == 2


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # transformers' own, under numpy 2
def test_the_reference_makes_the_same_batch(processor, tokenizer):
    from transformers import PaliGemmaProcessor as ReferenceProcessor
    from transformers import SiglipImageProcessor

    images = SiglipImageProcessor(size={"height": 28, "width": 28}, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    images.image_seq_length = 4
    reference = ReferenceProcessor(images, AutoTokenizer.from_pretrained(CHECKPOINT_DIRECTORY))
    text, suffix = ["caption en", "detect cat ; dog"], ["a cat", "<loc0001><loc0002><loc0003><loc0004> cat"]
    ours = processor(text, [IMAGE, IMAGE], suffix=suffix)
    with_image_token = ["<image>" + line for line in text]
    theirs = reference(
        text=with_image_token, images=[IMAGE, IMAGE], suffix=suffix, return_tensors="pt", padding="longest"
    )
    for name in ("input_ids", "attention_mask", "token_type_ids", "labels"):
        assert torch.equal(ours[name], theirs[name]), name


def test_location_text_in_a_prompt_becomes_a_token(processor):
    inputs = processor("caption <loc0123>", IMAGE)
    assert "<loc0123>" in pieces(processor, inputs["input_ids"][0])


def test_an_image_token_in_a_text_is_refused(processor):
    with pytest.raises(ValueError, match="the prompt contains '<image>'"):
        processor("<image> caption en", IMAGE)
    with pytest.raises(ValueError, match="the suffix contains '<image>'"):
        processor("caption en", IMAGE, suffix="<image>")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["a", "b"], [IMAGE]), "2 texts and 1 images"),
        ((["a"], [IMAGE], ["b", "c"]), "1 texts and 2 suffixes"),
        (([], []), "the batch is empty"),
    ],
)
def test_numbers_that_do_not_match_are_reported(processor, arguments, message):
    with pytest.raises(ValueError, match=message):
        processor(*arguments)


def test_a_tokenizer_without_the_image_token_is_refused():
    class Tokenizer:
        unk_token_id = 3

        def convert_tokens_to_ids(self, token):
            return 3

    with pytest.raises(ValueError, match="does not know <image>"):
        PaliGemmaProcessor(Tokenizer(), 4, 28)


def without_added_regions(directory: Path, in_vocabulary: bool) -> Path:
    """A copy of the Toybox's tokenizer whose `<loc>` and `<seg>` are only in the vocabulary, or nowhere."""
    values = json.loads((CHECKPOINT_DIRECTORY / "tokenizer.json").read_text(encoding="utf-8"))
    regions = [token for token in values["added_tokens"] if token["content"][:4] in ("<loc", "<seg")]
    values["added_tokens"] = [token for token in values["added_tokens"] if token not in regions]
    if in_vocabulary:
        values["model"]["vocab"] |= {token["content"]: token["id"] for token in regions}
    (directory / "tokenizer.json").write_text(json.dumps(values), encoding="utf-8")
    shutil.copy(CHECKPOINT_DIRECTORY / "tokenizer_config.json", directory)
    return directory


def test_location_tokens_that_are_only_in_the_vocabulary_are_not_split(processor, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(without_added_regions(tmp_path, in_vocabulary=True))
    assert len(tokenizer.encode("<loc0100>", add_special_tokens=False)) == 8  # what goes wrong without the processor
    repaired = PaliGemmaProcessor(tokenizer, num_image_tokens=4, image_size=28)
    text = "<loc0100><loc1023><seg000><seg127> cat ; <loc0000> dog"
    assert repaired.encode_suffix(text) == processor.encode_suffix(text)
    assert repaired.encode_prefix(text) == processor.encode_prefix(text)
    assert repaired.decode(repaired.encode_suffix(text)) == text
    assert len(tokenizer) == 1921


def test_a_tokenizer_that_keeps_location_tokens_whole_is_not_changed():
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT_DIRECTORY)
    before = tokenizer.backend_tokenizer.to_str()
    PaliGemmaProcessor(tokenizer, 4, 28)
    assert tokenizer.backend_tokenizer.to_str() == before


def test_a_tokenizer_without_location_tokens_is_refused(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(without_added_regions(tmp_path, in_vocabulary=False))
    with pytest.raises(ValueError, match=r"has no <loc0000> \(1152 location and segmentation tokens are missing\)"):
        PaliGemmaProcessor(tokenizer, 4, 28)


def test_a_tokenizer_that_would_move_location_tokens_is_refused():
    class Tokenizer:
        unk_token_id, first = 3, 100

        def convert_tokens_to_ids(self, tokens):
            return 9 if tokens == "<image>" else list(range(self.first, self.first + len(tokens)))

        def get_added_vocab(self):
            return {}

        def add_tokens(self, tokens):
            self.first = 5000

    with pytest.raises(ValueError, match="adding the <loc> and <seg> tokens to the tokenizer changes their ids"):
        PaliGemmaProcessor(Tokenizer(), 4, 28)


def test_decoding_keeps_boxes_and_drops_control_tokens(processor):
    ids = processor.encode_suffix("<loc0001><loc0002><loc0003><loc0004> cat") + [0, 0]
    assert processor.decode(ids) == "<loc0001><loc0002><loc0003><loc0004> cat"
