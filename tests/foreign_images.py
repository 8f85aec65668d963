"""Pictures that are no scenes of the Toybox, and prompts of all kinds: does the model still end its answers?

`python tests/foreign_images.py` asks 2,000 times and prints the answers that run in circles or do not end.
Nobody knows the right answers; a wrong one is no fault here.

Shapes: H W height and width of a picture.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from outside import ask
from outside_scenes import ROWS, draw_outside_scene
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from toybox.colors import COLORS
from toybox.prompts import ADJECTIVES, number_phrase
from toybox.questions import MAX_NEW_TOKENS, Answer
from toybox.sprites import LABELS, load_sprite, plural
from toybox.strangers import HEARD, UNHEARD
from vlm.commands.options import add_model_options, load_model
from vlm.commands.program import finish, run_as_program
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor

MASK_NEW_TOKENS = 220  # nine masks of a "smallest butterfly", as many as a picture has of one kind, have 207
NUM_PAIRS = 2000
_PAGE = "The quick brown fox jumps over the lazy dog; nobody saw it, and 4,096 others slept. 日本 Ärger @#%& "


@dataclass(frozen=True)
class Pair:
    """A picture and a prompt; `picture` and `question` are their kinds, keys of PICTURES and QUESTIONS."""

    picture: str
    question: str
    image: Image.Image
    prompt: str


def make_pairs(number: int) -> list[Pair]:
    """Every kind of picture with every kind of question, again and again, each time drawn anew."""
    pairs = []
    for index in range(number):
        rng = np.random.Generator(np.random.MT19937([99, index]))
        picture = list(PICTURES)[index % len(PICTURES)]
        question = list(QUESTIONS)[index // len(PICTURES) % len(QUESTIONS)]
        pairs.append(Pair(picture, question, PICTURES[picture](rng), QUESTIONS[question](rng)))
    return pairs


def find_degenerate(
    model: PaliGemmaForConditionalGeneration, processor: PaliGemmaProcessor, pairs: list[Pair]
) -> list[tuple[Pair, Answer]]:
    """The pairs whose answer runs in circles or does not end within 60 tokens, or 220 where masks are asked for."""
    found = []
    for limit in (MAX_NEW_TOKENS, MASK_NEW_TOKENS):
        asked = [pair for pair in pairs if limit == (MASK_NEW_TOKENS if is_for_masks(pair) else MAX_NEW_TOKENS)]
        prompts, images = [pair.prompt for pair in asked], [pair.image for pair in asked]
        answers = ask(model, processor, prompts, images, limit)
        found += [(pair, answer) for pair, answer in zip(asked, answers, strict=True) if answer.is_degenerate]
    return found


def is_for_masks(pair: Pair) -> bool:
    return pair.prompt.startswith("segment ")


def _white_noise(rng: np.random.Generator) -> Image.Image:
    channels = 1 if rng.random() < 0.5 else 3
    return _to_image(np.broadcast_to(rng.integers(0, 256, (112, 112, channels)), (112, 112, 3)))


def _pink_noise(rng: np.random.Generator) -> Image.Image:
    return _to_image(np.stack([255 * _hills(rng, 160, 1.0) for _ in range(3)], axis=-1))


def _blocks(rng: np.random.Generator) -> Image.Image:
    grid = rng.integers(0, 256, (*rng.integers(2, 30, 2), 3), np.uint8)
    return Image.fromarray(grid).resize((200, 200), Image.Resampling.NEAREST)


def _photograph(rng: np.random.Generator) -> Image.Image:
    """Land under a sky, light from one side, in three colors."""
    land, light = _hills(rng, 256, 1.8), _hills(rng, 256, 1.2)[..., None]
    colors = rng.uniform(0, 255, (3, 3))
    horizon = (np.mgrid[:256, :256][0] / 256 + 0.5 * land > rng.uniform(0.5, 1.0))[..., None]  # [H, W, 1]
    pixels = np.where(horizon, colors[0] * light + colors[1] * (1 - light), colors[2] * (0.6 + 0.4 * light))
    return _to_image(pixels).filter(ImageFilter.GaussianBlur(rng.uniform(0, 2)))


def _hills(rng: np.random.Generator, side: int, power: float) -> np.ndarray:
    """float [side, side], 0..1: noise whose waves are the higher, the longer they are."""
    waves = np.fft.rfft2(rng.normal(size=(side, side)))
    y, x = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)
    hills = np.fft.irfft2(waves / np.maximum(np.hypot(y, x), 1 / side) ** power, (side, side))
    return (hills - hills.min()) / (hills.max() - hills.min())


def _gradient(rng: np.random.Generator) -> Image.Image:
    corners = Image.fromarray(rng.integers(0, 256, (2, 3, 3), np.uint8))
    return corners.resize((300, 200), Image.Resampling.BICUBIC)


def _fractal(rng: np.random.Generator) -> Image.Image:
    """A Julia set."""
    y, x = np.mgrid[-1.4:1.4:160j, -1.4:1.4:160j]
    point, steps = x + 1j * y, np.zeros(x.shape)
    shift = 0.7885 * np.exp(1j * rng.uniform(0, 2 * np.pi))
    for _ in range(40):
        inside = abs(point) < 2
        point = np.where(inside, point**2 + shift, point)
        steps += inside
    return _to_image(steps[..., None] / 40 * rng.uniform(60, 255, 3))


def _page(rng: np.random.Generator) -> Image.Image:
    """Lines of text, dark on light or light on dark."""
    paper, ink = (255, 20) if rng.random() < 0.7 else (20, 240)
    image = Image.new("L", (400, 400), paper)
    draw, size = ImageDraw.Draw(image), int(rng.integers(12, 60))
    for y in range(10, 400, round(1.3 * size)):
        start = int(rng.integers(len(_PAGE)))
        draw.text((10, y), (_PAGE[start:] + _PAGE)[:60], fill=ink, font=ImageFont.load_default(size))
    return image


def _word(rng: np.random.Generator) -> Image.Image:
    """One word in large letters that no sign has."""
    image = Image.new("RGB", (220, 120), tuple(rng.integers(0, 256, 3).tolist()))
    word = str(rng.choice(["HELLO", "hunde", "42", "paligemma", "???", "HALT", "zoo zoo zoo"]))
    draw = ImageDraw.Draw(image)
    draw.text((10, 30), word, fill=tuple(rng.integers(0, 256, 3).tolist()), font=ImageFont.load_default(44))
    return image


def _faces(rng: np.random.Generator) -> Image.Image:
    """Emoji that are not in the Toybox: one to nine faces, happy or sad."""
    image = Image.new("RGB", (240, 240), tuple(rng.integers(0, 256, 3).tolist()))
    draw, columns = ImageDraw.Draw(image), int(rng.integers(1, 4))
    side = 240 // columns
    for cell in range(columns**2):
        x, y, r = (cell % columns + 0.5) * side, (cell // columns + 0.5) * side, 0.45 * side
        draw.ellipse((x - r, y - r, x + r, y + r), fill=tuple(rng.integers(80, 256, 3).tolist()))
        for eye in (x - 0.4 * r, x + 0.4 * r):
            draw.ellipse((eye - 0.12 * r, y - 0.4 * r, eye + 0.12 * r, y - 0.1 * r), fill="black")
        start = 20 if rng.random() < 0.5 else 200
        draw.arc((x - 0.5 * r, y - 0.1 * r, x + 0.5 * r, y + 0.7 * r), start, start + 140, fill="black", width=4)
    return image


def _shapes(rng: np.random.Generator) -> Image.Image:
    """Stars, polygons and lines of any color, on one another."""
    image = Image.new("RGB", (200, 200), tuple(rng.integers(0, 256, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(1, 30))):
        x, y, r, turn = rng.uniform((0, 0, 5, 0), (200, 200, 70, 6.3))
        corners = 2 * int(rng.integers(2, 8))
        radii = np.where(np.arange(corners) % 2, rng.uniform(0.3, 1) * r, r)
        angles = turn + 2 * np.pi * np.arange(corners) / corners
        points = np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)], axis=-1)  # [corners, 2]
        draw.polygon([tuple(point) for point in points.tolist()], fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image


def _penguins(rng: np.random.Generator) -> Image.Image:
    """A toy that the model has never seen."""
    image = Image.new("RGB", (224, 224), tuple(rng.integers(0, 256, 3).tolist()))
    for _ in range(int(rng.integers(1, 5))):
        x, y, size = rng.integers((0, 0, 30), (180, 180, 120)).tolist()
        sprite = load_sprite("penguin").resize((size, size))
        image.paste(sprite, (x, y), sprite)
    return image


def _crowd(rng: np.random.Generator) -> Image.Image:
    """A dozen toys on one another."""
    image = Image.new("RGB", (224, 224), tuple(rng.integers(0, 256, 3).tolist()))
    for label in rng.choice(LABELS, 12):
        x, y, size = rng.integers((-20, -20, 30), (190, 190, 110)).tolist()
        sprite = load_sprite(str(label)).resize((size, size))
        image.paste(sprite, (x, y), sprite)
    return image


def _twins(rng: np.random.Generator) -> Image.Image:
    """Four to nine toys of one kind, in rows."""
    image, (rows, columns) = Image.new("RGB", (240, 240), (200, 210, 190)), rng.integers(2, 4, 2).tolist()
    sprite = load_sprite(str(rng.choice(LABELS))).resize((70, 70))
    for cell in range(rows * columns):
        image.paste(sprite, (80 * (cell % columns), 80 * (cell // columns)), sprite)
    return image


def _flat(rng: np.random.Generator) -> Image.Image:
    """All black, all white, all of one color; in several modes."""
    color = tuple(((0, 0, 0), (255, 255, 255), rng.integers(0, 256, 3).tolist())[rng.integers(3)])
    return Image.new("RGB", (112, 112), color).convert(str(rng.choice(["RGB", "L", "1", "RGBA", "P"])))


def _turned(rng: np.random.Generator) -> Image.Image:
    """A scene upside down, on its side, or at any angle."""
    angle = rng.choice([90, 180, 270, rng.uniform(0, 360)])
    return _scene(rng).rotate(angle, Image.Resampling.BICUBIC)


def _changed(rng: np.random.Generator) -> Image.Image:
    """A scene in false colors, blurred, or in a few."""
    changes = (ImageOps.invert, ImageOps.solarize, ImageOps.grayscale, _posterize, _blur)
    return changes[rng.integers(len(changes))](_scene(rng))


def _sized(rng: np.random.Generator) -> Image.Image:
    """A scene of a pixel, of a million, or far wider than high."""
    sizes = ((1, 1), (2, 3), (9, 9), (40, 30), (1200, 900), (600, 12), (7, 500))
    return _scene(rng).resize(sizes[rng.integers(len(sizes))])


def _scene(rng: np.random.Generator) -> Image.Image:
    return draw_outside_scene(str(rng.choice(list(ROWS))), int(rng.integers(10**6, 10**9))).image


def _posterize(image: Image.Image) -> Image.Image:
    return ImageOps.posterize(image, 1)


def _blur(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(5))


def _to_image(pixels: np.ndarray) -> Image.Image:
    """[H, W, 3] in 0..255."""
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _label(rng: np.random.Generator) -> str:
    return str(rng.choice(LABELS))


def _stranger(rng: np.random.Generator) -> str:
    return str(rng.choice(HEARD + UNHEARD))


def _phrase(rng: np.random.Generator) -> str:
    return f"{rng.choice([*ADJECTIVES, *COLORS])} {_label(rng)}"


def _labels(rng: np.random.Generator) -> str:
    return " ; ".join(rng.choice(LABELS, int(rng.integers(1, 6)), replace=False))


def _about_strangers(rng: np.random.Generator) -> str:
    name = _stranger(rng)
    prompts = (
        f"answer en is there a {name}?",
        f"answer en how many {name}s are there?",
        f"answer en where is the {name}?",
        f"answer en what color is the {name}?",
        f"detect {name}",
        f"detect {name} ; {_label(rng)}",
        f"segment {name}",
        f"answer en which is further left, the {name} or the {_label(rng)}?",
    )
    return prompts[rng.integers(len(prompts))]


def _nonsense(rng: np.random.Generator) -> str:
    prompts = (
        "",
        "?",
        "caption",
        "caption en caption en caption en",
        "segment",
        "detect",
        "detect ;",
        "four four four",
        "asdf jkl qwertz",
        "1 2 3 4 5 6 7 8 9",
        "<loc0100><loc0200><loc0300><loc0400>",
        "<seg001><seg001><seg001>",
        "answer en",
        "answer en why?",
        "What do you see in this picture? Please describe it in detail.",
        "ignore the picture and count to a hundred",
        "🙂🙃🙂",
        "ocr ocr ocr",
        f"detect all {plural(_label(rng))} and everything else",
        f"{_label(rng)} {_label(rng)} {_label(rng)}",
    )
    return prompts[rng.integers(len(prompts))]


def _german(rng: np.random.Generator) -> str:
    prompts = (
        "caption de",
        "answer de wie viele Katzen gibt es?",
        "answer de gibt es einen Apfel?",
        "answer de wo steht der Hund?",
        "Was siehst du auf dem Bild?",
        "detect Katze ; Hund",
        "segment Schildkröte",
        "answer de welche Farbe hat das Auto?",
        f"answer de wo liegt {_label(rng)}?",
    )
    return prompts[rng.integers(len(prompts))]


PICTURES: dict[str, Callable[[np.random.Generator], Image.Image]] = {
    "white noise": _white_noise,
    "pink noise": _pink_noise,
    "blocks": _blocks,
    "photograph": _photograph,
    "gradient": _gradient,
    "fractal": _fractal,
    "page": _page,
    "word": _word,
    "faces": _faces,
    "shapes": _shapes,
    "penguins": _penguins,
    "crowd": _crowd,
    "twins": _twins,
    "flat": _flat,
    "turned": _turned,
    "changed": _changed,
    "sized": _sized,
}
QUESTIONS: dict[str, Callable[[np.random.Generator], str]] = {
    "caption": lambda rng: "caption en",
    "count": lambda rng: f"answer en how many {plural(_label(rng))} are there?",
    "presence": lambda rng: f"answer en is there {number_phrase(1, _label(rng))}?",
    "where": lambda rng: f"answer en where is the {_label(rng)}?",
    "left": lambda rng: f"answer en which is further left, the {_label(rng)} or the {_label(rng)}?",
    "color": lambda rng: f"answer en what color is the {_label(rng)}?",
    "detect": lambda rng: f"detect {_labels(rng)}",
    "refer": lambda rng: f"detect {_phrase(rng)}",
    "segment": lambda rng: f"segment {_label(rng)}",
    "segment referred": lambda rng: f"segment {_phrase(rng)}",
    "ocr": lambda rng: "ocr",
    "strangers": _about_strangers,
    "nonsense": _nonsense,
    "German": _german,
}


def run(options: argparse.Namespace) -> int:
    model, processor = load_model(options)
    found = find_degenerate(model, processor, make_pairs(options.pairs))
    for pair, answer in found:
        print(f"{pair.picture:12} {pair.prompt[:60]!r} -> {answer.text[:80]!r}")
    print(f"\n{len(found)} of {options.pairs} answers run in circles or do not end")
    for kinds in (Counter(pair.picture for pair, _ in found), Counter(pair.question for pair, _ in found)):
        print(", ".join(f"{kind} {number}" for kind, number in kinds.most_common()))
    return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=NUM_PAIRS, help="how many (default: %(default)s)")
    add_model_options(parser)
    options = parser.parse_args(arguments)
    return finish("foreign_images", lambda: run(options))


if __name__ == "__main__":
    run_as_program("foreign_images", main)
