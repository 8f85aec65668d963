"""Times this package against transformers, side by side, on the Toybox checkpoint: `python -m vlm.bench`.

Both read the same picture and prompt in float32 on the CPU, decode greedily, never stop early, and take turns.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path
from statistics import median

import torch
import transformers
from torch import Tensor

from vlm.generate import generate_tokens
from vlm.kv_cache import KVCache
from vlm.loader import load_hf_model, load_model
from vlm.processor import PaliGemmaProcessor
from vlm.toybox import CHECKPOINT_DIRECTORY
from vlm.toybox.examples import example_image

PROMPT = "detect cat ; bird"
NO_TOKEN = 2**31  # an <eos> that no vocabulary reaches
UNITS = {"load": "s", "prefill": "s", "decode": "tokens/s"}


class Ours:
    def load(self, directory: Path):
        self.model = load_model(directory, dtype=torch.float32)
        self.model.config = dataclasses.replace(self.model.config, eos_token_id=NO_TOKEN)

    def prefill(self, inputs: dict[str, Tensor]):
        kv_cache = KVCache(self.model.config.text_config, batch_size=1, max_length=inputs["input_ids"].shape[1])
        self.model(**inputs, kv_cache=kv_cache, logits_to_keep=1)

    def decode(self, inputs: dict[str, Tensor], num_tokens: int) -> list[tuple[int, float]]:
        """Each token, with the time when it came."""
        return [(int(token), time.perf_counter()) for token in generate_tokens(self.model, inputs, num_tokens)]


class Theirs:
    """transformers. Its `generate` calls `put` with the prompt, then with each token, and `end`."""

    def load(self, directory: Path):
        self.model = transformers.PaliGemmaForConditionalGeneration.from_pretrained(directory, dtype=torch.float32)

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


@torch.inference_mode()
def measure(side: Ours | Theirs, directory: Path, inputs: dict[str, Tensor], num_tokens: int) -> dict:
    """Load, read the picture and the prompt, write `num_tokens`: the time of each, and what was written."""
    start = time.perf_counter()
    side.load(directory)
    load_seconds = time.perf_counter() - start
    side.prefill(inputs)  # the first pass also brings the weights into memory: it does not count
    start = time.perf_counter()
    side.prefill(inputs)
    prefill_seconds = time.perf_counter() - start
    tokens, times = zip(*side.decode(inputs, num_tokens), strict=True)
    speed = (num_tokens - 1) / (times[-1] - times[0])  # the first token is the prefill's
    return {"load": load_seconds, "prefill": prefill_seconds, "decode": speed, "tokens": tokens}


def compare(directory: Path, num_tokens: int, repeats: int) -> dict:
    """Let both take turns `repeats` times, after one turn each that does not count."""
    model, tokenizer = load_hf_model(directory)
    vision = model.config.vision_config
    inputs = PaliGemmaProcessor(tokenizer, vision.num_image_tokens, vision.image_size)(PROMPT, example_image(0))
    # All is prefix, and says so: without types transformers reads the prompt causally.
    inputs["token_type_ids"] = torch.zeros_like(inputs["input_ids"])
    turns = [[measure(side, directory, inputs, num_tokens) for side in (Ours(), Theirs())] for _ in range(repeats + 1)]
    report = {"model": str(directory), "threads": torch.get_num_threads(), "repeats": repeats}
    report |= {"torch": torch.__version__, "transformers": transformers.__version__}
    same_tokens = all(ours["tokens"] == theirs["tokens"] for ours, theirs in turns)
    report |= {"prompt_tokens": inputs["input_ids"].shape[1], "new_tokens": num_tokens, "same_tokens": same_tokens}
    return report | {name: summarize(name, turns[1:]) for name in UNITS}


def summarize(name: str, turns: list[list[dict]]) -> dict:
    """The medians of both, and how many times faster we were: turn by turn, [median, least, most]."""
    ours, theirs = ([turn[side][name] for turn in turns] for side in (0, 1))
    faster = [a / b if UNITS[name] == "tokens/s" else b / a for a, b in zip(ours, theirs, strict=True)]
    medians = {"ours": median(ours), "transformers": median(theirs)}
    return {"unit": UNITS[name], **medians, "speedup": [median(faster), min(faster), max(faster)]}


def print_table(report: dict):
    print(f"{'':18}{'this package':>14}{'transformers':>14}   times faster (min..max)")
    for name, unit in UNITS.items():
        row, (middle, least, most) = report[name], report[name]["speedup"]
        print(f"{name + ', ' + unit:18}{row['ours']:14.4g}{row['transformers']:14.4g}", end="   ")
        print(f"{middle:.2f} ({least:.2f}..{most:.2f})")
    work = "{prompt_tokens} tokens read, {new_tokens} written (the same by both: {same_tokens})"
    print((work + "; medians of {repeats} turns; {threads} threads, float32").format(**report))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=CHECKPOINT_DIRECTORY, help="checkpoint directory")
    parser.add_argument("--new-tokens", type=int, default=64, help="at least 2")
    parser.add_argument("--repeats", type=int, default=9, help="turns that count")
    parser.add_argument("--output", type=Path, help="write the figures to this JSON file too")
    options = parser.parse_args()
    if options.new_tokens < 2 or options.repeats < 1:
        parser.error("nothing to measure: give at least 2 new tokens and 1 repeat")
    transformers.utils.logging.disable_progress_bar()
    report = compare(options.model, options.new_tokens, options.repeats)
    print_table(report)
    if options.output:
        options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
