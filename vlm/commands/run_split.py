"""Ask a model that is split across several processes:

    torchrun --nproc-per-node 2 -m vlm.commands.run_split --image my.png --prompt "caption en"

With `--logits FILE` the first process writes the logits of the prompt's last position.
"""

import argparse
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.distributed.device_mesh import init_device_mesh

from vlm.checkpoints.devices import DTYPES
from vlm.commands.options import SHIPPED_MODEL
from vlm.commands.run import open_image
from vlm.generate import generate_tokens
from vlm.loader import load_tokenizer
from vlm.parallel.processes import join, leave
from vlm.parallel.tensor_parallel import load_split_model
from vlm.parallel.traffic import TrafficCounter
from vlm.processor import PaliGemmaProcessor


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=SHIPPED_MODEL, help="checkpoint directory")
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--prompt", required=True, help='such as "caption en"')
    parser.add_argument("--dtype", choices=DTYPES, help="of the weights in memory (default: as in the file)")
    parser.add_argument("--max-new-tokens", type=int, default=100)
    parser.add_argument("--logits", type=Path, help="a safetensors file to write")
    options = parser.parse_args()
    process = join()
    mesh = init_device_mesh("cuda" if torch.cuda.is_available() else "cpu", (process.world_size,))
    model = load_split_model(options.model, mesh, DTYPES.get(options.dtype))
    tokenizer = load_tokenizer(options.model)
    processor = PaliGemmaProcessor.for_model(model, tokenizer)
    inputs = processor(options.prompt, open_image(options.image))
    inputs = {name: tensor.to(model.device) for name, tensor in inputs.items()}
    with torch.inference_mode():
        logits = model(**inputs, logits_to_keep=1).logits[:, -1]  # [1, V]
        start = time.perf_counter()
        with TrafficCounter() as traffic:
            tokens = torch.cat(list(generate_tokens(model, inputs, options.max_new_tokens)))
        seconds = time.perf_counter() - start
    held = sum(p.to_local().nbytes if hasattr(p, "to_local") else p.nbytes for p in model.parameters())
    if process.is_first:
        print(processor.decode(tokens))
        print(f"{process.world_size} processes; this one holds {held / 1e6:.1f} MB of weights")
        print(f"{len(tokens)} tokens in {seconds:.2f} s; calls {dict(traffic.calls)}, bytes {dict(traffic.bytes)}")
        if options.logits:
            save_file({"logits": logits}, options.logits)
    leave(process)


if __name__ == "__main__":
    main()
