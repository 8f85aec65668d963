"""The benchmark: all sides do the same work, the ratios are computed correctly, and a missed bar is reported."""

import json
import sys

import pytest
import torch
from checkpoints import save_random_checkpoint

from benchmark import __main__ as bench
from benchmark.limit import bytes_per_token, measure_bandwidth
from benchmark.models import Subject, make_inputs
from benchmark.report import find_bars, summarize
from benchmark.sides import SIDES, Ours, Theirs
from benchmark.worker import take_turn
from vlm.checkpoints.atomic_write import write_text
from vlm.checkpoints.published import published_config


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_random_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def tiny(checkpoint, monkeypatch) -> Subject:
    subject = Subject("middle", torch.float32, 5, checkpoint)
    monkeypatch.setitem(bench.SUBJECTS, "middle", subject)
    monkeypatch.setitem(bench.SIDES, "middle", {1: ["fast"], 8: ["packed"]})
    return subject


@pytest.mark.slow
def test_the_command_prints_every_bar_and_writes_the_results(tiny, tmp_path, monkeypatch, capsys):
    output, plot = tmp_path / "bench.json", tmp_path / "bench.png"
    words = ["--models", "middle", "--repeats", "2", "--output", str(output), "--plot", str(plot)]
    monkeypatch.setattr(sys, "argv", ["bench", *words])
    bench.main()
    report = json.loads(output.read_text(encoding="utf-8"))
    rows = report["models"]["middle"]["batches"]
    assert list(rows["1"]) == ["fast", "transformers"] and list(rows["8"]) == ["packed", "transformers"]
    for batch in rows.values():
        for row in batch.values():
            assert row["same_tokens"] is True
            assert 0.1 < row["memory"] < 4 and row["load"] > 0
            for name in ("prefill_ratio", "decode_ratio"):
                middle, least, most = row[name]
                assert 0 < least <= middle <= most
    out = capsys.readouterr().out
    for bar in report["bars"]:
        (line,) = [line for line in out.splitlines() if line.startswith(f"middle: {bar['says']}")]
        assert line.endswith("MISSED") != bar["is_reached"]
    assert [bar["says"].partition(",")[0] for bar in report["bars"]] == [
        "decode",
        "prefill",
        "decode",
        "batch of 8",
        "time per token",
    ]
    assert plot.stat().st_size > 1000


@pytest.mark.parametrize("name", [name for name in SIDES if "compiled" not in name])
def test_no_side_stops_at_eos(checkpoint, name):
    """A model whose most likely token is always <eos> still generates the requested number of tokens."""
    side, inputs = SIDES[name], make_inputs(checkpoint, 2)
    side.load(checkpoint, torch.float32, 2)
    prefer_eos(side)
    turn = take_turn(side, inputs, 6, 6)
    assert [list(tokens) for tokens in turn["tokens"]] == [[1, 1]] * 6
    assert turn["prefill"] > 0 and turn["decode"] > 0


def prefer_eos(side: Ours | Theirs):
    """Make the head predict <eos> for every input."""

    def add_to_eos(_module, _arguments, logits: torch.Tensor) -> torch.Tensor:
        return logits + 1000 * torch.nn.functional.one_hot(torch.tensor(1), logits.shape[-1])

    heads = [module for name, module in side.model.named_modules() if name.split(".")[-1] == "lm_head"]
    for head in heads:
        head.register_forward_hook(add_to_eos)


def test_a_turn_generates_the_requested_tokens_with_a_cache_of_any_size(checkpoint):
    side, inputs = SIDES["fast"], make_inputs(checkpoint, 1)
    side.load(checkpoint, torch.float32, 1)
    small, large = take_turn(side, inputs, 4, 4), take_turn(side, inputs, 4, 40)
    assert len(small["tokens"]) == 4 and small["tokens"] == large["tokens"]


def test_the_ratio_is_above_one_where_we_are_faster():
    def turn(prefill: float, decode: float, token: int = 0) -> dict:
        return {"prefill": prefill, "decode": decode, "memory": 1.0, "tokens": [token]}

    turns = [
        (turn(1, 60), turn(2, 20)),
        (turn(2, 10), turn(1, 20)),
        (turn(1, 40, token=1), turn(4, 20)),
    ]
    found = summarize(turns)
    assert found["prefill"] == 1 and found["decode"] == 40
    assert found["prefill_ratio"] == [2, 0.5, 4] and found["decode_ratio"] == [2, 0.5, 3]
    assert found["same_tokens"] is False


def test_a_token_reads_every_matrix_and_the_head_once(tmp_path):
    config = published_config("paligemma-3b-224")
    write_text(tmp_path / "config.json", json.dumps(config.to_dict()))
    text = config.text_config
    layer = 2 * 2048 * 2048 + 2 * 2048 * 256 + 3 * 2048 * 16384
    assert bytes_per_token(tmp_path, 2) == 2 * (text.num_hidden_layers * layer + text.vocab_size * 2048)


def test_the_bandwidth_is_plausible():
    assert 0.1 < measure_bandwidth(40_000_000, torch.float32) < 5000


def test_a_bar_is_missed_only_below_it():
    row = {"decode": 75.0, "prefill": 1.0, "decode_ratio": [1.6, 1, 2], "prefill_ratio": [0.99, 0.9, 1.1]}
    slower = row | {"decode": 50.0}
    eight = {"packed": row | {"decode": 299.0}}
    report = {"batches": {"1": {"fast": row, "packed": slower, "transformers": row}, "8": eight}}
    report |= {"limit": {"tokens_per_second": 100.0}, "flat": 0.96}
    bars = {bar.says: bar for bar in find_bars("middle", report)}
    assert [bar.is_reached for bar in bars.values()] == [True, False, True, False, True, True]
    assert bars["batch of 8, times batch of 1 (packed both)"].figure == 299 / 50


def test_no_repeats_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench", "--repeats=0"])
    with pytest.raises(SystemExit) as end:
        bench.main()
    assert end.value.code == 2
    assert "expected at least 1" in capsys.readouterr().err
