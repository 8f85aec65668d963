"""Shows what the shipped model can do: `python -m toybox.demo` asks it about two images and draws demo.png."""

import time
from pathlib import Path

from matplotlib.figure import Figure

from toybox import CHECKPOINT_DIRECTORY, MASK_VQVAE_FILE
from toybox.examples import example_image, example_path
from vlm.commands.options import check_output
from vlm.commands.program import run_as_program
from vlm.generate import stream
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor
from vlm.regions.boxes import parse_detections
from vlm.regions.draw import draw_detections
from vlm.regions.mask_vqvae import load_mask_decoder
from vlm.regions.segmentation import decode_masks

OUTPUT = Path("demo.png")
# Two images of the test split, and the prompts of each row of panels. No toy is a zebra.
PROMPTS = {
    6: [
        "caption en",
        "answer en how many fish are there?",
        "detect red fish",
        "segment fish",
    ],
    7: [
        "answer en what color is the rocket?",
        "detect rocket ; tree",
        "ocr",
        "answer en is there a zebra?",
    ],
}


def main():
    check_output(OUTPUT)
    started = time.perf_counter()
    model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
    processor = PaliGemmaProcessor.for_model(model, tokenizer)
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"The Toybox model: {num_parameters / 1e6:.1f} M parameters, loaded in {time.perf_counter() - started:.1f} s")
    mask_decoder = load_mask_decoder(MASK_VQVAE_FILE)
    panels = Figure(figsize=(12, 7), layout="constrained").subplots(2, 4)
    for row, (index, prompts) in zip(panels, PROMPTS.items(), strict=True):
        image = example_image(index)
        print(f"\n{example_path(index).name}")
        for ax, prompt in zip(row, prompts, strict=True):
            text = answer(model, processor, prompt, image)
            detections = parse_detections(text, image.height, image.width)
            masks = decode_masks(detections, mask_decoder, image.height, image.width)
            draw_detections(image, detections, ax, masks=masks)
            ax.set_title(prompt if detections else f"{prompt}\n{text}", fontsize=10, wrap=True)
    panels[0, 0].figure.savefig(OUTPUT, dpi=130)
    print(f"\nThe images with the answers: {OUTPUT.resolve()}")


def answer(model, processor, prompt: str, image) -> str:
    """Print the prompt, the answer as it is generated, and the time it took; return the answer."""
    print(f"  {prompt}  ->  ", end="", flush=True)
    started, pieces = time.perf_counter(), []
    for piece in stream(model, processor, prompt, image):
        print(piece, end="", flush=True)
        pieces.append(piece)
    print(f"   [{time.perf_counter() - started:.2f} s]")
    return "".join(pieces)


if __name__ == "__main__":
    run_as_program("toybox.demo", main)
