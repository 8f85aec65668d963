"""Show what a checkpoint contains, and check that it fits its config. Reads no weights.

Exit code 1 if keys are missing or unexpected or have the wrong shape; an error lists them.
"""

import argparse

from vlm.checkpoints.devices import dtype_name
from vlm.checkpoints.headers import describe, find_weight_files, read_headers
from vlm.checkpoints.hub import find_checkpoint
from vlm.checkpoints.skeleton import check_tensors, empty_model
from vlm.config import PaliGemmaConfig
from vlm.loader import TOKENIZER_FILES

EXAMPLES = """\
examples:
  vlm inspect toybox/checkpoint
  vlm inspect google/paligemma-3b-mix-224 --tensors
"""


def add_options(parser: argparse.ArgumentParser):
    parser.add_argument("model", help="checkpoint directory, or a name on the hub")
    parser.add_argument("--tensors", action="store_true", help="list every tensor")
    parser.add_argument("--revision", help="branch, tag or commit, on the hub")
    parser.add_argument("--token", help="for the hub (default: the one you logged in with)")


def run(options: argparse.Namespace) -> int:
    directory = find_checkpoint(options.model, options.revision, options.token)
    model = empty_model(directory)
    paths = find_weight_files(directory)
    headers = read_headers(paths)
    print(describe_config(model.config))
    print(f"\n{describe(headers, paths)}")
    tokenizer = [name for name in TOKENIZER_FILES if (directory / name).is_file()]
    print(f"tokenizer: {tokenizer[0] if tokenizer else 'missing'}")
    if options.tensors:
        print()
        for name, header in headers.items():
            print(f"{name:80} {dtype_name(header.dtype):9} {list(header.shape)}")
    check_tensors(model, headers)
    if not tokenizer:
        raise FileNotFoundError(f"{directory} has no tokenizer: expected {' or '.join(TOKENIZER_FILES)}")
    return 0


def describe_config(config: PaliGemmaConfig) -> str:
    """The sizes of the model, in three lines."""
    vision, text = config.vision_config, config.text_config
    name = "PaliGemma 2" if text.model_type == "gemma2" else "PaliGemma"
    heads = f"{text.num_attention_heads} heads of {text.head_dim}, {text.num_key_value_heads} key/value heads"
    return (
        f"{name}, {vision.image_size} px, {vision.num_image_tokens} image tokens\n"
        f"vision: {vision.num_hidden_layers} layers, width {vision.hidden_size}, MLP {vision.intermediate_size}, "
        f"{vision.num_attention_heads} heads of {vision.head_dim}\n"
        f"text:   {text.num_hidden_layers} layers, width {text.hidden_size}, MLP {text.intermediate_size}, {heads}, "
        f"vocabulary {text.vocab_size}"
    )
