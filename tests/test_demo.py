"""The demo: it asks its questions, prints the answers, and draws one picture."""

import re
from functools import partial

import pytest
from checkpoints import save_random_checkpoint
from PIL import Image

from toybox import demo
from toybox.examples import example_image
from vlm.generate import generate, stream
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor

PROMPTS = [prompt for prompts in demo.PROMPTS.values() for prompt in prompts]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run with a random model: where the checkpoint is, what was drawn, what was printed."""
    directory = save_random_checkpoint(tmp_path_factory.mktemp("checkpoint"))
    output = tmp_path_factory.mktemp("output") / "demo.png"
    with pytest.MonkeyPatch.context() as patch:
        printed = []
        patch.setattr(demo, "CHECKPOINT_DIRECTORY", directory)
        patch.setattr(demo, "OUTPUT", output)
        patch.setattr(demo, "stream", partial(stream, max_new_tokens=6))  # nothing learned: it would not stop
        patch.setattr("builtins.print", lambda *words, end="\n", **_: printed.append(" ".join(map(str, words)) + end))
        demo.main()
    return directory, output, "".join(printed)


def test_one_picture_is_drawn_and_its_place_is_said(run):
    _, output, printed = run
    with Image.open(output) as picture:
        assert (picture.format, picture.size) == ("PNG", (1092, 1170))
    assert printed.endswith(f"The images with their boxes and masks: {output}\n")


def test_each_prompt_is_printed_once_in_order_with_its_time(run):
    _, _, printed = run
    places = [printed.index(f"  {prompt}  ->  ") for prompt in PROMPTS[:5]]
    assert places == sorted(places)
    assert [printed.count(f"  {prompt}  ->  ") for prompt in PROMPTS] == [PROMPTS.count(prompt) for prompt in PROMPTS]
    assert len(re.findall(r"   \[\d+\.\d\d s\]\n", printed)) == len(PROMPTS) == 10


def test_the_first_line_says_how_large_the_model_is(run):
    directory, _, printed = run
    model, _ = load_hf_model(directory)
    size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert printed.startswith(f"The Toybox model: {size:.1f} M parameters, loaded in ")


def test_the_answer_printed_is_the_answer_of_the_model(run):
    directory, _, printed = run
    model, tokenizer = load_hf_model(directory)
    processor = PaliGemmaProcessor.for_model(model, tokenizer)
    prompt = demo.PROMPTS[0][1]
    expected = generate(model, processor, prompt, example_image(0), max_new_tokens=6)[0]
    assert f"  {prompt}  ->  {expected}   [" in printed


def test_each_picture_is_captioned_and_then_boxed_and_masked():
    for prompts in demo.PROMPTS.values():
        assert prompts[0] == "caption en"
        assert prompts[-2].startswith("detect ") and prompts[-1].startswith("segment ")
