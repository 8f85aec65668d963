"""The benchmark: both sides do the same work, and the arithmetic of the ratios is right."""

import json
import shutil

import pytest
import torch
from checkpoints import save_random_checkpoint

from vlm import bench
from vlm.processor import PaliGemmaProcessor
from vlm.toybox.examples import example_image


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_random_checkpoint(tmp_path_factory.mktemp("checkpoint"))


def test_the_command_prints_a_table_and_writes_the_figures(checkpoint, tmp_path, monkeypatch, capsys):
    output = tmp_path / "bench.json"
    options = ["--model", str(checkpoint), "--new-tokens", "5", "--repeats", "2", "--output", str(output)]
    monkeypatch.setattr("sys.argv", ["bench", *options])
    bench.main()
    report = json.loads(output.read_text(encoding="utf-8"))
    assert report["same_tokens"] is True
    assert (report["new_tokens"], report["repeats"]) == (5, 2)
    assert report["threads"] == torch.get_num_threads()
    for name, unit in (("load", "s"), ("prefill", "s"), ("decode", "tokens/s")):
        row = report[name]
        middle, least, most = row["ratio"]
        assert row["unit"] == unit
        assert row["ours"] > 0 and row["transformers"] > 0
        assert 0 < least <= middle <= most
    out = capsys.readouterr().out
    assert [line.split(",")[0] for line in out.splitlines()[1:4]] == ["load", "prefill", "decode"]
    assert "the same by both: True" in out


@pytest.mark.parametrize("side", [bench.Ours(), bench.Theirs()], ids=["ours", "transformers"])
def test_no_side_stops_at_eos(checkpoint, side):
    """A model whose likeliest token is always <eos> still writes as many tokens as it was told to."""
    _, tokenizer = bench.load_hf_model(checkpoint)
    inputs = PaliGemmaProcessor(tokenizer, 64, 112)("caption en", example_image(0))
    inputs["token_type_ids"] = torch.zeros_like(inputs["input_ids"])
    side.load(checkpoint, torch.float32)
    prefer_eos(side.model)
    tokens, times = zip(*side.decode(inputs, 6), strict=True)
    assert tokens == (tokenizer.eos_token_id,) * 6
    assert list(times) == sorted(times)


def prefer_eos(model: torch.nn.Module):
    """Let the head say <eos>, whatever it reads."""
    (head,) = [module for name, module in model.named_modules() if name.endswith("lm_head")]
    eos = torch.nn.functional.one_hot(torch.tensor(1), head.out_features)
    head.register_forward_hook(lambda _module, _arguments, logits: logits + 1000 * eos)


def test_turns_apart_measure_memory_too_and_need_no_tokenizer(checkpoint, tmp_path, monkeypatch):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(checkpoint / name, tmp_path / name)
    options = ["--model", str(tmp_path), "--dtype", "bfloat16", "--separate", "--new-tokens", "4", "--repeats", "1"]
    monkeypatch.setattr("sys.argv", ["bench", *options, "--output", str(tmp_path / "bench.json")])
    bench.main()
    report = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert report["dtype"] == "bfloat16" and report["prompt_tokens"] == 64 + bench.NUM_WORDS
    assert 0.1 < report["memory"]["ours"] < 4 and 0.1 < report["memory"]["transformers"] < 4


def test_the_ratio_is_above_one_where_we_are_better():
    turns = [
        [{"load": 1.0, "decode": 60.0}, {"load": 2.0, "decode": 20.0}],
        [{"load": 2.0, "decode": 10.0}, {"load": 1.0, "decode": 20.0}],
        [{"load": 1.0, "decode": 40.0}, {"load": 4.0, "decode": 20.0}],
    ]
    load, decode = bench.summarize("load", turns), bench.summarize("decode", turns)
    assert load == {"unit": "s", "ours": 1.0, "transformers": 2.0, "ratio": [2.0, 0.5, 4.0]}
    assert decode == {"unit": "tokens/s", "ours": 40.0, "transformers": 20.0, "ratio": [2.0, 0.5, 3.0]}


@pytest.mark.parametrize("option", ["--new-tokens=1", "--repeats=0"])
def test_too_little_to_measure_is_refused(option, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["bench", option])
    with pytest.raises(SystemExit) as end:
        bench.main()
    assert end.value.code == 2
    assert "nothing to measure" in capsys.readouterr().err
