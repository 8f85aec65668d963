"""`vlm`: it answers, draws, inspects and converts, and reports errors in one line."""

import errno
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from checkpoints import save_random_checkpoint
from PIL import Image

from toybox import CHECKPOINT_DIRECTORY, MASK_VQVAE_FILE
from toybox.examples import example_image, example_path
from vlm.__main__ import main
from vlm.commands import options as common
from vlm.commands import run as command
from vlm.fast.linear import LINEARS
from vlm.generate import generate
from vlm.image_processing import to_rgb
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor
from vlm.training.lora import LoraConfig, add_lora, find_lora, save_lora

BOXES = "<loc0100><loc0100><loc0600><loc0700> cat ; <loc0000><loc0000><loc0200><loc0200> dog"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_random_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def ask(checkpoint, capsys):
    """Call the command with these changes to the usual options; return exit code, stdout and stderr."""

    def ask(**changes) -> tuple[int, str, str]:
        options = {"model": checkpoint, "image": example_path(0), "prompt": "caption en", "device": "cpu"}
        options |= {"max_new_tokens": 6} | changes
        pairs = [(f"--{name.replace('_', '-')}", str(value)) for name, value in options.items()]
        code = main(["run", *[argument for pair in pairs for argument in pair]])
        out, err = capsys.readouterr()
        return code, out, err

    return ask


@pytest.fixture
def ask_about(checkpoint, capsys):
    """Call the command with several images."""

    def ask_about(images: list[Path], *options: str) -> tuple[int, str, str]:
        words = ["run", "--model", str(checkpoint), "--device", "cpu", "--max-new-tokens", "6"]
        code = main([*words, "--prompt", "caption en", *options, "--image", *map(str, images)])
        out, err = capsys.readouterr()
        return code, out, err

    return ask_about


def assert_one_line(result: tuple[int, str, str], *words: str):
    """Exit code 1, no output, and one line that says what is wrong."""
    code, out, err = result
    assert (code, out) == (1, "")
    assert err.startswith("vlm run: ") and err.endswith("\n")
    assert err.count("\n") == 1, err
    assert [word for word in words if word not in err] == []


def test_the_answer_is_printed_and_is_that_of_generate(ask, checkpoint):
    code, out, err = ask(prompt="answer en is there a cat?")
    model, tokenizer = load_hf_model(checkpoint)
    processor = PaliGemmaProcessor.for_model(model, tokenizer)
    expected = generate(model, processor, "answer en is there a cat?", example_image(0), max_new_tokens=6)[0]
    assert (code, out, err) == (0, f"{expected}\n", "")
    assert len(expected) > 0


def test_the_boxes_of_the_answer_are_drawn(ask, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "stream", lambda *_: iter([BOXES[:40], BOXES[40:]]))
    code, out, err = ask(output=tmp_path / "two.png")
    assert (code, out) == (0, f"{BOXES}\n")
    assert err == f"2 boxes drawn into {tmp_path / 'two.png'}\n"
    with Image.open(tmp_path / "two.png") as drawn:
        assert drawn.format == "PNG" and min(drawn.size) > 400


@pytest.mark.parametrize(("answer", "words"), [("nothing", "0 boxes drawn"), (BOXES[:40], "1 box drawn")])
def test_the_number_of_boxes_is_reported(ask, tmp_path, monkeypatch, answer, words):
    monkeypatch.setattr(command, "stream", lambda *_: iter([answer]))
    assert ask(output=tmp_path / "boxes.png")[2].startswith(words)
    assert (tmp_path / "boxes.png").is_file()


MASK = "".join(f"<seg{code:03d}>" for code in range(40, 56))


def test_masks_of_the_answer_are_drawn_with_the_given_decoder(ask, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "stream", lambda *_: iter([BOXES.replace(" cat", MASK + " cat")]))
    with_masks, without = tmp_path / "masks.png", tmp_path / "boxes.png"
    code, _, err = ask(output=with_masks, mask_decoder=MASK_VQVAE_FILE)
    assert (code, err) == (0, f"2 boxes drawn into {with_masks}\n")
    code, _, err = ask(output=without)  # not the Toybox: the decoder of these codes is unknown
    assert (code, err) == (
        0,
        f"the masks are not drawn: pass their decoder with --mask-decoder\n2 boxes drawn into {without}\n",
    )
    assert with_masks.read_bytes() != without.read_bytes()


def test_the_toybox_has_a_mask_decoder_of_its_own(ask, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "stream", lambda *_: iter([BOXES.replace(" cat", MASK + " cat")]))
    for model in (CHECKPOINT_DIRECTORY, os.path.relpath(CHECKPOINT_DIRECTORY)):
        assert ask(output=tmp_path / "masks.png", model=model)[2].startswith("2 boxes drawn")


def test_a_missing_mask_decoder_is_reported_before_the_model_runs(ask, tmp_path):
    assert_one_line(ask(mask_decoder=tmp_path / "vae-oid.npz"), "vae-oid.npz is not a file")


def test_the_file_reported_as_written_exists(ask, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "stream", lambda *_: iter([BOXES]))
    code, _, err = ask(output=tmp_path / "boxes")  # without ".png"
    assert code == 1 or Path(err.rstrip("\n").split(" drawn into ")[1]).is_file()


def test_greedy_answers_are_reproducible(ask):
    assert ask() == ask()


def test_a_seed_makes_sampling_reproducible(ask):
    first, again, other = (ask(temperature=1, seed=seed, max_new_tokens=12) for seed in (5, 5, 6))
    assert first[0] == 0
    assert first == again
    assert first[1] != other[1]


def test_weights_can_be_loaded_in_bfloat16(ask):
    assert ask(dtype="bfloat16")[0] == 0


def test_a_missing_image_is_reported(ask, tmp_path):
    assert_one_line(ask(image=tmp_path / "nowhere.png"), str(tmp_path / "nowhere.png"))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n"], ids=["empty", "text", "png_head"])
def test_what_is_not_an_image_is_reported(ask, tmp_path, content):
    path = tmp_path / "notes.png"
    path.write_bytes(content)
    assert_one_line(ask(image=path), str(path), "not an image")


def test_a_directory_is_not_an_image(ask, tmp_path):
    assert_one_line(ask(image=tmp_path), str(tmp_path))


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("damage", ["cut", "broken_chunk"])
def test_a_damaged_image_is_reported(ask, tmp_path, damage):
    path = tmp_path / "damaged.png"
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    second_chunk = content.index(b"IDAT", content.index(b"IDAT") + 4)
    broken = content[:second_chunk] + b"\x01\x02\x03\x04" + content[second_chunk + 4 :]
    path.write_bytes(content[:9000] if damage == "cut" else broken)
    assert_one_line(ask(image=path), str(path))


def test_an_image_far_too_large_is_refused_in_one_line(ask, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # of 12544
    assert_one_line(ask(), "12544 pixels")


@pytest.mark.parametrize("mode", ["I;16", "RGBA", "LA"])
def test_boxes_are_drawn_on_what_the_model_saw(tmp_path, mode):
    """Otherwise 16-bit gray would become white, and transparent pixels would show hidden colors."""
    path = tmp_path / "image.png"
    Image.new(mode, (20, 10), {"I;16": 30000, "RGBA": (9, 9, 9, 0), "LA": (9, 0)}[mode]).save(path)
    with Image.open(path) as image:
        seen = to_rgb(image).getpixel((0, 0))
    assert command.open_image(path).convert("RGB").getpixel((0, 0)) == seen


def test_an_image_taken_sideways_is_rotated_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was rotated by 90 degrees
    Image.new("RGB", (20, 10)).save(tmp_path / "photo.jpg", exif=exif)
    assert command.open_image(tmp_path / "photo.jpg").size == (10, 20)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("temperature", -1, "temperature is -1.0"),
        ("temperature", "nan", "temperature is nan"),
        ("temperature", "inf", "temperature is inf"),
        ("seed", 2**64, f"seed is {2**64}"),
        ("top_p", 0, "top_p is 0.0"),
        ("top_p", 1.5, "top_p is 1.5"),
        ("max_new_tokens", 0, "max_new_tokens is 0"),
        ("prompt", "<image> caption en", "<image>"),
    ],
)
def test_an_invalid_value_is_reported(ask, option, value, words):
    assert_one_line(ask(**{option: value}), words)


def test_an_unknown_model_directory_is_reported(ask, tmp_path):
    assert_one_line(ask(model=tmp_path / "nowhere"), str(tmp_path / "nowhere"))
    assert_one_line(ask(model=tmp_path), str(tmp_path), "config.json")


def test_a_model_without_weights_or_tokenizer_is_reported(ask, checkpoint, tmp_path):
    shutil.copy(checkpoint / "config.json", tmp_path)
    assert_one_line(ask(model=tmp_path), str(tmp_path), "safetensors")
    shutil.copy(checkpoint / "model.safetensors", tmp_path)
    assert_one_line(ask(model=tmp_path), str(tmp_path), "tokenizer")


NO_MPS = pytest.param("mps", marks=pytest.mark.skipif(torch.backends.mps.is_available(), reason="MPS is available"))


@pytest.mark.parametrize("device", ["cuda:99", "xpu", "hpu", NO_MPS, "cpu:1", "nonsense"])
def test_an_unavailable_device_is_reported_in_one_sentence(ask, device):
    result = ask(device=device)
    assert_one_line(result, device, "device")
    assert "copy or download" not in result[2]  # the file is not to blame
    assert ". " not in result[2]


def test_a_paligemma_2_answers_as_transformers_does(ask, tmp_path):
    from transformers import PaliGemmaForConditionalGeneration as ReferenceModel

    save_random_checkpoint(tmp_path, generation=2)
    code, out, _ = ask(model=tmp_path, max_new_tokens=12)
    model, tokenizer = load_hf_model(tmp_path)
    processor = PaliGemmaProcessor.for_model(model, tokenizer)
    inputs = processor("caption en", example_image(0))
    inputs["token_type_ids"] = torch.zeros_like(inputs["input_ids"])
    reference = ReferenceModel.from_pretrained(tmp_path)
    written = reference.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert model.config.text_config.model_type == "gemma2"
    assert (code, out) == (0, f"{processor.decode(written)}\n")


def test_several_images_are_answered_one_after_another(ask_about, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "stream", lambda *_: iter(["a ", "cat"]))
    code, out, err = ask_about([example_path(0), tmp_path / "nowhere.png", example_path(1)])
    assert out == f"{example_path(0)}: a cat\n{example_path(1)}: a cat\n"
    assert code == 1 and err == f"vlm run: {tmp_path / 'nowhere.png'} is not a file\n"  # the others are answered


def test_json_is_a_line_for_each_image_with_boxes_in_pixels(ask_about, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "stream", lambda *_: iter([BOXES[:40], BOXES[40:]]))
    code, out, _ = ask_about([example_path(0), example_path(1)], "--json", "--output", str(tmp_path / "drawn"))
    records = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [record["image"] for record in records] == [str(example_path(0)), str(example_path(1))]
    first = records[0]
    assert first["prompt"] == "caption en" and first["answer"] == BOXES
    edges = {"y_min": 10.95, "x_min": 10.95, "y_max": 65.69, "x_max": 76.64}  # 100, 600 and 700 of 1023, in 112 pixels
    assert first["detections"][0] == {"label": "cat", "box": edges}
    assert [Path(record["drawn"]).is_file() for record in records] == [True, True]


def test_two_images_that_would_be_drawn_into_one_file_are_refused(ask_about, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(example_path(0), tmp_path / folder / "x.png")
    code, out, err = ask_about([tmp_path / "a/x.png", tmp_path / "b/x.png"], "--output", str(tmp_path / "drawn"))
    assert (code, out) == (1, "") and "would both be drawn into" in err and not (tmp_path / "drawn").exists()


def test_no_image_is_overwritten(ask_about, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "stream", lambda *_: iter([BOXES]))
    for name in ("x.png", "y.png"):
        shutil.copy(example_path(0), tmp_path / name)
    before = (tmp_path / "x.png").read_bytes()
    for images, output in (
        ([tmp_path / "x.png"], tmp_path / "x.png"),
        ([tmp_path / "x.png"], tmp_path / "../" / tmp_path.name / "x.png"),
        ([tmp_path / "y.png", tmp_path / "x.png"], tmp_path),
        ([tmp_path / "x.png"], tmp_path),
    ):
        code, out, err = ask_about(images, "--output", str(output))
        assert (code, out) == (1, "") and "would be overwritten: choose another --output" in err
        assert (tmp_path / "x.png").read_bytes() == before


def test_images_may_be_given_one_by_one(ask_about, monkeypatch):
    monkeypatch.setattr(command, "stream", lambda *_: iter(["a cat"]))
    code, out, _ = ask_about([example_path(0)], "--image", str(example_path(1)))
    assert code == 0 and out == f"{example_path(1)}: a cat\n{example_path(0)}: a cat\n"


def test_a_directory_may_have_a_dot_in_its_name(ask_about, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "stream", lambda *_: iter([BOXES]))
    (tmp_path / "drawn.v2").mkdir()
    code, _, _ = ask_about([example_path(0), example_path(1)], "--output", str(tmp_path / "drawn.v2"))
    assert code == 0 and len(list((tmp_path / "drawn.v2").iterdir())) == 2


def test_several_images_need_a_directory(ask_about, tmp_path):
    code, out, err = ask_about([example_path(0), example_path(1)], "--output", str(tmp_path / "x.png"))
    assert (code, out) == (1, "") and "is not a directory: several images need one" in err


@pytest.fixture
def no_model(monkeypatch):
    """Fail if a model is loaded."""
    monkeypatch.setattr(command, "load_model", lambda *_: pytest.fail("the model was loaded before the check"))


@pytest.mark.usefixtures("no_model")
def test_an_output_that_cannot_be_written_is_found_before_the_model_is_loaded(ask, ask_about, tmp_path, monkeypatch):
    for output in (tmp_path / "nowhere" / "x.png", tmp_path / "x.xyz", tmp_path / "x"):
        assert_one_line(ask(output=output), str(output))
    (tmp_path / "scene_1.png").mkdir()
    result = ask_about([example_path(0), example_path(1)], "--output", str(tmp_path))
    assert_one_line(result, f"{tmp_path / 'scene_1.png'} cannot be written: it is not a file")

    def fail(dir):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(common, "TemporaryFile", fail)  # not by file permissions: root may write everywhere
    assert_one_line(ask(output=tmp_path / "x.png"), "x.png cannot be written: Read-only file system")


@pytest.mark.usefixtures("no_model")
def test_a_url_is_reported_as_it_was_given(ask):
    assert_one_line(ask(image="https://example.com/cat.png"), "https://example.com/cat.png is a URL")


def test_an_image_is_read_from_stdin(ask, monkeypatch):
    def pipe(content: bytes):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))

    expected = ask()
    pipe(example_path(0).read_bytes())
    assert ask(image="-") == expected
    pipe(b"")
    assert_one_line(ask(image="-"), "stdin is not an image that PIL can read")


def test_an_image_from_stdin_is_drawn_under_its_name(tmp_path):
    assert command.output_files(tmp_path, ["-", "cat.jpg"]) == [tmp_path / "stdin.png", tmp_path / "cat.png"]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory) -> Path:
    """A LoRA adapter of the shipped model that changes its answers."""
    directory = tmp_path_factory.mktemp("adapter")
    model, _ = load_hf_model(CHECKPOINT_DIRECTORY)
    torch.manual_seed(0)
    add_lora(model, LoraConfig(rank=4))
    for layer in find_lora(model).values():
        torch.nn.init.normal_(layer.lora_B, std=0.3)
    save_lora(model, directory)
    return directory


def test_an_adapter_is_added_to_the_model_and_merged_into_the_fast_one(ask, adapter):
    options = {"model": CHECKPOINT_DIRECTORY, "max_new_tokens": 12}
    with_adapter = ask(**options, adapter=adapter)
    assert with_adapter[0] == 0 and with_adapter != ask(**options)
    assert ask(**options, adapter=adapter, fast="plain") == with_adapter


def test_an_adapter_that_does_not_exist_is_reported(ask, tmp_path, monkeypatch):
    monkeypatch.setattr(common, "load_hf_model", lambda *_: pytest.fail("the model was loaded before the check"))
    assert_one_line(ask(adapter=tmp_path), f"--adapter {tmp_path}", "adapter_config.json")


def test_an_image_that_fails_has_a_line_of_json(ask_about, tmp_path):
    code, out, _ = ask_about([tmp_path / "nowhere.png", example_path(0)], "--json")
    first, second = (json.loads(line) for line in out.splitlines())
    assert code == 1 and first == {"image": str(tmp_path / "nowhere.png"), "error": f"{first['image']} is not a file"}
    assert second["image"] == str(example_path(0))


def test_an_empty_answer_is_reported(ask, monkeypatch):
    monkeypatch.setattr(command, "stream", lambda *_: iter([""]))
    assert ask() == (0, "\n", "no answer to 'caption en'\n")


@pytest.mark.parametrize("option", [{"top_p": 0.5}, {"seed": 3}])
def test_sampling_options_without_a_temperature_are_refused(ask, option):
    assert_one_line(ask(**option), "also give a --temperature above 0")


def test_a_revision_of_a_directory_is_refused(ask):
    assert_one_line(ask(revision="main"), "a revision works only with a name on the hub")


def test_a_closed_pipe_is_no_error(checkpoint):
    words = [sys.executable, "-m", "vlm", "inspect", str(checkpoint), "--tensors"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()  # long before anything is printed
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 0


def run_in_shell(words: str, **environment: str) -> subprocess.CompletedProcess:
    command = ["sh", "-c", f"exec {shlex.quote(sys.executable)} -m vlm {words}"]
    return subprocess.run(command, capture_output=True, env=os.environ | environment, timeout=120, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no sh")
@pytest.mark.parametrize(("closed", "code"), [(">&-", 0), ("2>&-", 1), ("<&- >&- 2>&-", 1)])
def test_a_closed_stream_works_like_an_empty_one(checkpoint, tmp_path, closed, code):
    model = checkpoint if code == 0 else tmp_path
    ended = run_in_shell(f"inspect '{model}' {closed}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, b"", b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_an_answer_that_cannot_be_written_is_an_error(checkpoint):
    ended = run_in_shell(f"inspect '{checkpoint}' > /dev/full")
    assert ended.returncode == 1 and ended.stderr == b"vlm inspect: [Errno 28] No space left on device\n"


def test_a_character_that_the_terminal_cannot_encode_is_replaced(checkpoint, tmp_path):
    path = Path(shutil.copy(example_path(0), tmp_path / "é.png"))
    words = f"run --model '{checkpoint}' --image '{path}' '{path}' --prompt 'caption en' --max-new-tokens 2"
    ended = run_in_shell(words, PYTHONIOENCODING="ascii")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout.count(f"{tmp_path}/?.png: ".encode()) == 2


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit) as end:
        main(["run", "--help"])
    out = capsys.readouterr().out
    assert end.value.code == 0
    assert 'vlm run --image my.png --prompt "detect cat ; dog" --output boxes.png' in out
    assert "examples:" in out and "--temperature" in out


def test_image_and_prompt_are_required(capsys):
    with pytest.raises(SystemExit) as end:
        main(["run"])
    assert end.value.code == 2
    assert "--image, --prompt" in capsys.readouterr().err


def test_as_a_program_it_ends_with_the_exit_code_and_no_traceback(tmp_path):
    words = [sys.executable, "-m", "vlm", "run", "--image", str(tmp_path / "nowhere.png"), "--prompt", "caption en"]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert_one_line((ended.returncode, ended.stdout, ended.stderr), "nowhere.png")


def test_inspect_shows_shapes_parts_and_the_head(checkpoint, capsys):
    assert main(["inspect", str(checkpoint), "--tensors"]) == 0
    out = capsys.readouterr().out
    assert "PaliGemma, 112 px, 64 image tokens" in out and "1 file, layout A" in out
    assert "head: the embedding, tied" in out and "tokenizer: tokenizer.json" in out
    (checkpoint / "tokenizer.json").rename(checkpoint / "aside")
    assert main(["inspect", str(checkpoint)]) == 1
    assert "has no tokenizer" in capsys.readouterr().err
    (checkpoint / "aside").rename(checkpoint / "tokenizer.json")
    assert "language_model.model.layers.0.self_attn.q_proj.weight" in out


def test_inspect_lists_what_does_not_fit_and_ends_with_1(checkpoint, tmp_path, capsys):
    shutil.copytree(checkpoint, tmp_path / "bad")
    values = json.loads((tmp_path / "bad/config.json").read_text())
    values["text_config"]["num_hidden_layers"] = 2
    (tmp_path / "bad/config.json").write_text(json.dumps(values))
    assert main(["inspect", str(tmp_path / "bad")]) == 1
    out, err = capsys.readouterr()
    assert "language_model" in out and "missing keys (9):" in err and "layers.1.mlp.up_proj.weight" in err


def test_convert_writes_another_dtype_and_layout_and_says_where(checkpoint, tmp_path, capsys):
    target = tmp_path / "half"
    assert main(["convert", str(checkpoint), str(target), "--dtype", "bfloat16", "--layout", "C"]) == 0
    assert str(target) in capsys.readouterr().out
    assert main(["inspect", str(target)]) == 0
    out = capsys.readouterr().out
    assert "layout C" in out and "bfloat16" in out and "float32" not in out
    assert main(["convert", str(checkpoint), str(target)]) == 1
    assert f"{target} already exists" in capsys.readouterr().err


@pytest.mark.parametrize("command_name", ["run", "inspect", "convert"])
def test_every_command_has_help_with_examples(command_name, capsys):
    with pytest.raises(SystemExit) as end:
        main([command_name, "--help"])
    assert end.value.code == 0
    assert f"  vlm {command_name} " in capsys.readouterr().out.partition("examples:")[2]


@pytest.mark.parametrize("words", [[], ["dance"], ["inspect"], ["run", "--dtype", "int3"]])
def test_invalid_options_end_with_2(words, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2 and "usage: vlm" in capsys.readouterr().err


@pytest.mark.parametrize("weights", LINEARS)
def test_a_fast_model_answers_too(ask, weights):
    _, readable, _ = ask(model=CHECKPOINT_DIRECTORY)
    code, out, _ = ask(model=CHECKPOINT_DIRECTORY, fast=weights)
    assert code == 0 and out.strip()
    assert out == readable
