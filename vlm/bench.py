"""Times this package against transformers, side by side, on the CPU: `python -m vlm.bench`.

Both read the same picture and prompt, decode greedily, never stop early, and take turns. Without options that is the
Toybox in float32. For a model of real size, which needs no tokenizer:

    python -m vlm.random_checkpoint paligemma-3b-224 big
    python -m vlm.bench --model big --dtype bfloat16 --separate --repeats 3 --new-tokens 16

With `--separate` each turn has a process of its own, so its memory is measured too.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import torch
import transformers
from torch import Tensor

from vlm.commands.options import DTYPES
from vlm.config import PaliGemmaConfig
from vlm.generate import generate_tokens
from vlm.kv_cache import KVCache
from vlm.loader import TOKENIZER_FILES, load_hf_model, load_model
from vlm.processor import PaliGemmaProcessor
from vlm.toybox import CHECKPOINT_DIRECTORY
from vlm.toybox.examples import example_image

PROMPT = "detect cat ; bird"
NO_TOKEN = 2**31  # an <eos> that no vocabulary reaches
NUM_WORDS = 12  # of a random prompt
UNITS = {"load": "s", "prefill": "s", "decode": "tokens/s", "memory": "GB"}


class Ours:
    def load(self, directory: Path, dtype: torch.dtype):
        self.model = load_model(directory, dtype=dtype)
        self.model.config = dataclasses.replace(self.model.config, eos_token_id=NO_TOKEN)

    def prefill(self, inputs: dict[str, Tensor]):
        length = inputs["input_ids"].shape[1]
        kv_cache = KVCache(self.model.config.text_config, 1, length, self.model.dtype)
        self.model(**inputs, kv_cache=kv_cache, logits_to_keep=1)

    def decode(self, inputs: dict[str, Tensor], num_tokens: int) -> list[tuple[int, float]]:
        """Each token, with the time when it came."""
        return [(int(token), time.perf_counter()) for token in generate_tokens(self.model, inputs, num_tokens)]


class Theirs:
    """transformers. Its `generate` calls `put` with the prompt, then with each token, and `end`."""

    def __init__(self):
        self.model_class = transformers.PaliGemmaForConditionalGeneration  # imported here: that is not loading

    def load(self, directory: Path, dtype: torch.dtype):
        self.model = self.model_class.from_pretrained(directory, dtype=dtype)

    def prefill(self, inputs: dict[str, Tensor]):
        self.model(**inputs, use_cache=True, logits_to_keep=1)

    def decode(self, inputs: dict[str, Tensor], num_tokens: int) -> list[tuple[int, float]]:
        self.streamed = []
        options = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0, "max_new_tokens": num_tokens}
        self.model.generate(**inputs, **options, streamer=self)
        return self.streamed[1:]  # without the prompt

    def put(self, tokens: Tensor):
        self.streamed.append((int(tokens.flatten()[-1]), time.perf_counter()))

    def end(self): ...


SIDES = {"ours": Ours, "transformers": Theirs}


@torch.inference_mode()
def measure(
    side: Ours | Theirs, directory: Path, inputs: dict[str, Tensor], num_tokens: int, dtype: torch.dtype
) -> dict:
    """Load, read the picture and the prompt, write `num_tokens`: the time of each, and what was written."""
    inputs = inputs | {"pixel_values": inputs["pixel_values"].to(dtype)}
    start = time.perf_counter()
    side.load(directory, dtype)
    load_seconds = time.perf_counter() - start
    side.prefill(inputs)  # the first pass also brings the weights into memory: it does not count
    start = time.perf_counter()
    side.prefill(inputs)
    prefill_seconds = time.perf_counter() - start
    tokens, times = zip(*side.decode(inputs, num_tokens), strict=True)
    speed = (num_tokens - 1) / (times[-1] - times[0])  # the first token is the prefill's
    return {"load": load_seconds, "prefill": prefill_seconds, "decode": speed, "tokens": tokens}


def make_inputs(directory: Path) -> dict[str, Tensor]:
    """A picture and a prompt; for a model without a tokenizer a random one."""
    if any((directory / name).is_file() for name in TOKENIZER_FILES):
        model, tokenizer = load_hf_model(directory)
        vision = model.config.vision_config
        inputs = PaliGemmaProcessor(tokenizer, vision.num_image_tokens, vision.image_size)(PROMPT, example_image(0))
    else:
        config, generator = PaliGemmaConfig.from_json(directory / "config.json"), torch.Generator().manual_seed(0)
        vision = config.vision_config
        picture = torch.full((1, vision.num_image_tokens), config.image_token_index)
        words = torch.randint(5, 1000, (1, NUM_WORDS), generator=generator)
        pixel_values = torch.randn(1, 3, vision.image_size, vision.image_size, generator=generator)
        inputs = {"input_ids": torch.cat([picture, words], dim=1), "pixel_values": pixel_values}
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    # All is prefix, and says so: without types transformers reads the prompt causally.
    return inputs | {"token_type_ids": torch.zeros_like(inputs["input_ids"])}


def measure_apart(side: str, options: argparse.Namespace) -> dict:
    """One turn in a process of its own, and the most memory that it had."""
    words = [sys.executable, "-m", "vlm.bench", "--turn", side, "--model", str(options.model)]
    words += ["--dtype", options.dtype, "--new-tokens", str(options.new_tokens)]
    ended = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ended.stdout.splitlines()[-1])


def print_turn(options: argparse.Namespace):
    """What `measure_apart` reads."""
    import resource  # not on Windows

    inputs = make_inputs(options.model)
    turn = measure(SIDES[options.turn](), options.model, inputs, options.new_tokens, DTYPES[options.dtype])
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(turn | {"memory": kilobytes * 1024 / 1e9}))


def compare(options: argparse.Namespace) -> dict:
    """Let both take turns `repeats` times, after one turn each that does not count."""
    inputs, dtype = make_inputs(options.model), DTYPES[options.dtype]

    def turn(side: str) -> dict:
        if options.separate:
            return measure_apart(side, options)
        return measure(SIDES[side](), options.model, inputs, options.new_tokens, dtype)

    turns = [[turn(side) for side in SIDES] for _ in range(options.repeats + 1)]
    report = {"model": str(options.model), "dtype": options.dtype, "repeats": options.repeats}
    report |= {"torch": torch.__version__, "transformers": transformers.__version__}
    report |= {"threads": torch.get_num_threads(), "prompt_tokens": inputs["input_ids"].shape[1]}
    same_tokens = all(list(ours["tokens"]) == list(theirs["tokens"]) for ours, theirs in turns)
    report |= {"new_tokens": options.new_tokens, "same_tokens": same_tokens}
    return report | {name: summarize(name, turns[1:]) for name in UNITS if name in turns[0][0]}


def summarize(name: str, turns: list[list[dict]]) -> dict:
    """The medians of both, and how many times better we were: turn by turn, [median, least, most]."""
    ours, theirs = ([turn[side][name] for turn in turns] for side in (0, 1))
    better = [a / b if UNITS[name] == "tokens/s" else b / a for a, b in zip(ours, theirs, strict=True)]
    medians = {"ours": median(ours), "transformers": median(theirs)}
    return {"unit": UNITS[name], **medians, "ratio": [median(better), min(better), max(better)]}


def print_table(report: dict):
    print(f"{'':18}{'this package':>14}{'transformers':>14}   times better (min..max)")
    for name in [name for name in UNITS if name in report]:
        row, (middle, least, most) = report[name], report[name]["ratio"]
        print(f"{name + ', ' + UNITS[name]:18}{row['ours']:14.4g}{row['transformers']:14.4g}", end="   ")
        print(f"{middle:.2f} ({least:.2f}..{most:.2f})")
    work = "{prompt_tokens} tokens read, {new_tokens} written (the same by both: {same_tokens})"
    print((work + "; medians of {repeats} turns; {threads} threads, {dtype}").format(**report))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=CHECKPOINT_DIRECTORY, help="checkpoint directory")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of both (default: %(default)s)")
    parser.add_argument("--separate", action="store_true", help="each turn in a process of its own; measures memory")
    parser.add_argument("--turn", choices=SIDES, help=argparse.SUPPRESS)  # what --separate starts
    parser.add_argument("--new-tokens", type=int, default=64, help="at least 2")
    parser.add_argument("--repeats", type=int, default=9, help="turns that count")
    parser.add_argument("--output", type=Path, help="write the figures to this JSON file too")
    options = parser.parse_args()
    if options.new_tokens < 2 or options.repeats < 1:
        parser.error("nothing to measure: give at least 2 new tokens and 1 repeat")
    transformers.utils.logging.disable_progress_bar()
    if options.turn:
        return print_turn(options)
    report = compare(options)
    print_table(report)
    if options.output:
        options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
