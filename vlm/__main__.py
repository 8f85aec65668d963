"""Asks a model about a picture: `python -m vlm --image my.png --prompt "detect cat" --output boxes.png`."""

import argparse
import sys
from pathlib import Path

import torch
from PIL import Image

from vlm.boxes import parse_detections
from vlm.generate import check_sampling, stream
from vlm.image_processing import to_rgb
from vlm.loader import load_hf_model
from vlm.mask_vqvae import MaskDecoder, load_mask_decoder
from vlm.processor import PaliGemmaProcessor
from vlm.segmentation import decode_masks
from vlm.toybox import CHECKPOINT_DIRECTORY, MASK_VQVAE_FILE

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
EXAMPLES = """\
examples:
  python -m vlm --image my.png --prompt "caption en"
  python -m vlm --image my.png --prompt "answer en is there a cat?"
  python -m vlm --image my.png --prompt "detect cat ; dog" --output boxes.png
  python -m vlm --image my.png --prompt "segment cat" --output mask.png
"""


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m vlm",
        description=__doc__.splitlines()[0],
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--image", type=Path, required=True, help="the picture, in any format that PIL reads")
    parser.add_argument("--prompt", required=True, help='such as "caption en" or "detect cat ; dog"')
    parser.add_argument("--output", type=Path, help="draw the answer's boxes and masks into this file")
    parser.add_argument("--model", type=Path, default=CHECKPOINT_DIRECTORY, help="checkpoint (default: the Toybox)")
    parser.add_argument(
        "--mask-decoder",
        type=Path,
        help="draws the masks; for the published models vae-oid.npz (default: the Toybox's)",
    )
    parser.add_argument("--temperature", type=float, default=0.0, help="0: always the likeliest token (default)")
    parser.add_argument("--top-p", type=float, default=1.0, help="draw from the likeliest tokens that reach this")
    parser.add_argument("--max-new-tokens", type=int, default=100)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=DTYPES, help="of the weights in memory (default: as in the file)")
    parser.add_argument("--seed", type=int, help="makes drawing at random repeatable")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace):
    """Print the answer as it comes, and draw its boxes."""
    check_sampling(options.max_new_tokens, options.temperature, options.top_p)
    if options.output and not options.output.suffix:
        raise ValueError(f"--output {options.output} has no ending that names a format: try {options.output}.png")
    image = open_image(options.image)
    mask_decoder = open_mask_decoder(options.mask_decoder, options.model)
    model, tokenizer = load_hf_model(options.model, options.device, DTYPES.get(options.dtype))
    vision_config = model.config.vision_config
    processor = PaliGemmaProcessor(tokenizer, vision_config.num_image_tokens, vision_config.image_size)
    sampling = (options.max_new_tokens, options.temperature, options.top_p, options.seed)
    answer = ""
    for piece in stream(model, processor, options.prompt, image, *sampling):
        print(piece, end="", flush=True)
        answer += piece
    print()
    if options.output:
        draw(image, answer, mask_decoder, options.output)


def open_mask_decoder(path: Path | None, model: Path) -> MaskDecoder | None:
    """The one asked for, or the Toybox's for the Toybox: its codes mean nothing to another model's."""
    if path is None and model == CHECKPOINT_DIRECTORY:
        path = MASK_VQVAE_FILE
    return None if path is None else load_mask_decoder(path)


def open_image(path: Path) -> Image.Image:
    """The picture as the model sees it, upright and RGB, so that boxes are drawn on that."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file")
    try:
        with Image.open(path) as image:
            return to_rgb(image)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # PIL's words for a damaged file
        raise ValueError(f"{path} is not a picture that PIL can read: {error}") from None


def draw(image: Image.Image, answer: str, mask_decoder: MaskDecoder | None, output: Path):
    from vlm.draw import draw_detections  # matplotlib is slow to import, and most calls draw nothing

    detections, masks = parse_detections(answer, image.height, image.width), None
    if mask_decoder is not None:
        masks = decode_masks(detections, mask_decoder, image.height, image.width)
    elif any(detection.mask_codes for detection in detections):
        print("the masks are not drawn: name their decoder with --mask-decoder", file=sys.stderr)
    draw_detections(image, detections, masks=masks).figure.savefig(output, dpi=200)
    boxes = f"{len(detections)} box{'' if len(detections) == 1 else 'es'}"
    print(f"{boxes} drawn into {output}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    options = parse_options(arguments)
    try:
        run(options)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"python -m vlm: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
