"""Shows what the shipped model can do: `python -m vlm.demo` answers about two pictures and draws demo.png."""

import time
from pathlib import Path

from matplotlib.figure import Figure

from vlm.boxes import parse_detections
from vlm.draw import draw_detections
from vlm.generate import stream
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor
from vlm.toybox import CHECKPOINT_DIRECTORY
from vlm.toybox.examples import example_image, example_path

OUTPUT = Path("demo.png")
# Two pictures of the test split, each with a caption, two answers and a detection (always the last prompt).
PROMPTS = {
    0: ["caption en", "answer en how many birds are there?", "answer en is there a dog?", "detect cat ; bird"],
    1: ["caption en", "answer en where is the car?", "answer en how many dogs are there?", "detect dog ; car"],
}


def main():
    started = time.perf_counter()
    model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
    vision_config = model.config.vision_config
    processor = PaliGemmaProcessor(tokenizer, vision_config.num_image_tokens, vision_config.image_size)
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"The Toybox model: {num_parameters / 1e6:.1f} M parameters, loaded in {time.perf_counter() - started:.1f} s")
    panels = Figure(figsize=(9, 4.8), layout="constrained").subplots(1, len(PROMPTS))
    for ax, (index, prompts) in zip(panels, PROMPTS.items(), strict=True):
        image = example_image(index)
        print(f"\n{example_path(index).name}")
        answers = [answer(model, processor, prompt, image) for prompt in prompts]
        draw_detections(image, parse_detections(answers[-1], image.height, image.width), ax, title=answers[0])
    panels[0].figure.savefig(OUTPUT, dpi=150)
    print(f"\nThe pictures with their boxes: {OUTPUT.resolve()}")


def answer(model, processor, prompt: str, image) -> str:
    """Print the prompt, the answer as it comes, and the time it took; return the answer."""
    print(f"  {prompt}  ->  ", end="", flush=True)
    started, pieces = time.perf_counter(), []
    for piece in stream(model, processor, prompt, image):
        print(piece, end="", flush=True)
        pieces.append(piece)
    print(f"   [{time.perf_counter() - started:.2f} s]")
    return "".join(pieces)


if __name__ == "__main__":
    main()
