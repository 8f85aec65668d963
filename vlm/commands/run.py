"""Ask a model about one image or many.

The answer is printed token by token. With --output, its boxes and masks are drawn and saved.
"""

import argparse
import io
import json
import sys
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from vlm.commands.options import SHIPPED_MASK_DECODER, SHIPPED_MODEL, add_model_options, check_output, load_model
from vlm.generate import check_sampling, stream
from vlm.image_processing import to_rgb
from vlm.regions.boxes import Detection, parse_detections
from vlm.regions.mask_vqvae import MaskDecoder, load_mask_decoder
from vlm.regions.segmentation import decode_masks

FORMATS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".pdf", ".svg")
EDGES = ("y_min", "x_min", "y_max", "x_max")
STDIN = "-"
EXAMPLES = """\
examples:
  vlm run --image my.png --prompt "caption en"
  vlm run --image my.png --prompt "detect cat ; dog" --output boxes.png
  vlm run --image my.png --prompt "segment cat" --output mask.png
  curl -L https://example.com/cat.jpg | vlm run --image - --prompt "caption en"
  vlm run --image photos/*.jpg --prompt "caption en" --json > captions.jsonl
  vlm run --image photos/*.jpg --prompt "detect cat" --output drawn/
  vlm run --model google/paligemma-3b-mix-224 --revision bfloat16 --image my.png --prompt "caption en"
  vlm run --model path/to/a/3b --adapter my-lora --image my.png --prompt "caption en"
  vlm run --model path/to/a/3b --device cpu --fast packed --image my.png --prompt "caption en"
"""


def add_options(parser: argparse.ArgumentParser):
    parser.add_argument(
        "--image", nargs="+", action="extend", required=True, help="image files; - reads one image from stdin"
    )
    parser.add_argument("--prompt", required=True, help='such as "caption en" or "detect cat ; dog"')
    parser.add_argument(
        "--output",
        type=Path,
        help="draw the answer's boxes and masks into this file; with several images, into this directory",
    )
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each image")
    add_model_options(parser)
    parser.add_argument(
        "--mask-decoder",
        type=Path,
        help="mask decoder: vae-oid.npz for the published models (default: the Toybox's, for the Toybox)",
    )
    parser.add_argument("--temperature", type=float, default=0.0, help="0 always picks the most likely token (default)")
    parser.add_argument(
        "--top-p",
        type=float,
        default=1.0,
        help="sample from the most likely tokens that together reach this probability (default: 1)",
    )
    parser.add_argument(
        "--max-new-tokens", type=int, default=100, help="length limit of an answer (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, help="makes sampling reproducible")


def run(options: argparse.Namespace) -> int:
    """Answer for each image. An image that cannot be read is reported and skipped."""
    sampling = (options.max_new_tokens, options.temperature, options.top_p, options.seed)
    check_sampling(*sampling)
    if options.temperature == 0 and (options.top_p < 1 or options.seed is not None):
        raise ValueError("--top-p and --seed apply only to sampling: also give a --temperature above 0")
    outputs = output_files(options.output, options.image)
    # A single image is opened before the model is loaded, which can be slow.
    only_image = open_image(options.image[0]) if len(options.image) == 1 else None
    mask_decoder = open_mask_decoder(options.mask_decoder, options.model)
    model, processor = load_model(options)
    failures = 0
    for source, output in zip(options.image, outputs, strict=True):
        try:
            image = only_image or open_image(source)
        except (OSError, ValueError) as error:
            print(f"vlm run: {error}", file=sys.stderr)
            if options.json:
                print(json.dumps({"image": source, "error": str(error)}), flush=True)
            failures += 1
            continue
        pieces = stream(model, processor, options.prompt, image, *sampling)
        answer = collect(pieces, None if options.json else (f"{source}: " if len(options.image) > 1 else ""))
        if not answer:
            print(f"no answer to {options.prompt!r}", file=sys.stderr)
        detections = parse_detections(answer, image.height, image.width)
        if output:
            draw(image, detections, mask_decoder, output)
        if options.json:
            print(json.dumps(as_record(source, options.prompt, answer, detections, output)), flush=True)
    return int(failures > 0)


def output_files(output: Path | None, images: list[str]) -> list[Path | None]:
    """The file to draw into, for each image, checked before the model is loaded.

    Raises:
        OSError: a file cannot be written.
        ValueError: the format is unknown, several images need a directory, or an image would be overwritten.
    """
    if output is None:
        return [None] * len(images)
    if len(images) == 1 and not output.is_dir():
        if output.suffix.lower() not in FORMATS:
            known = ", ".join(FORMATS)
            raise ValueError(f"--output {output} has an unknown format: try {output}.png ({known})")
        files = [output]
    else:
        if not output.is_dir() and (output.suffix or output.exists()):
            raise ValueError(f"--output {output} is not a directory: several images need one")
        files = [output / f"{'stdin' if image == STDIN else Path(image).stem}.png" for image in images]
    sources = {Path(image).resolve() for image in images}
    for i, file in enumerate(files):
        if file in files[:i]:
            first = images[files.index(file)]
            raise ValueError(f"{first} and {images[i]} would both be drawn into {file}: rename one of them")
        if file.resolve() in sources:
            raise ValueError(f"{file} is one of the images and would be overwritten: choose another --output")
    if len(images) > 1:
        output.mkdir(parents=True, exist_ok=True)
    for file in files:
        check_output(file)
    return files


def collect(pieces, label: str | None) -> str:
    """Join the pieces of an answer; with a label, print it, then each piece as it arrives."""
    answer = ""
    if label is not None:
        print(label, end="", flush=True)
    for piece in pieces:
        answer += piece
        if label is not None:
            print(piece, end="", flush=True)
    if label is not None:
        print()
    return answer


def as_record(source: str, prompt: str, answer: str, detections: list[Detection], output: Path | None) -> dict:
    """One record of `--json`. Box edges are in pixels, from the upper left corner of the image."""
    record = {"image": source, "prompt": prompt, "answer": answer}
    record["detections"] = [
        {"label": found.label, "box": {name: round(float(edge), 2) for name, edge in zip(EDGES, found.box)}}
        | ({"mask_codes": list(found.mask_codes)} if found.mask_codes else {})
        for found in detections
    ]
    return record | ({"drawn": str(output)} if output else {})


def open_mask_decoder(path: Path | None, model: str) -> MaskDecoder | None:
    """The decoder in this file, or the Toybox's for the Toybox: mask tokens need the decoder of their model."""
    if path is None and Path(model).resolve() == SHIPPED_MODEL.resolve():
        path = SHIPPED_MASK_DECODER
    return None if path is None else load_mask_decoder(path)


def open_image(source: str | Path) -> Image.Image:
    """The image as the model sees it, upright and RGB; boxes are drawn on it. "-" is stdin."""
    if source == STDIN:
        name, file = "stdin", io.BytesIO(sys.stdin.buffer.read())
    elif Path(source).is_file():
        name = file = source
    elif "://" in str(source):
        raise FileNotFoundError(f"{source} is a URL, which is not fetched: download the image, or pipe it to --image -")
    else:
        raise FileNotFoundError(f"{source} is not a file")
    try:
        with Image.open(file) as image:
            return to_rgb(image)
    except UnidentifiedImageError:
        raise ValueError(f"{name} is not an image that PIL can read: cannot identify its format") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # raised by PIL for damaged files
        raise ValueError(f"{name} is not an image that PIL can read: {error}") from None


def draw(image: Image.Image, detections: list[Detection], mask_decoder: MaskDecoder | None, output: Path):
    from vlm.regions.draw import draw_detections  # matplotlib is slow to import, and most calls draw nothing

    masks = None
    if mask_decoder is not None:
        masks = decode_masks(detections, mask_decoder, image.height, image.width)
    elif any(detection.mask_codes for detection in detections):
        print("the masks are not drawn: pass their decoder with --mask-decoder", file=sys.stderr)
    draw_detections(image, detections, masks=masks).figure.savefig(output, dpi=200)
    boxes = f"{len(detections)} box{'' if len(detections) == 1 else 'es'}"
    print(f"{boxes} drawn into {output}", file=sys.stderr)
