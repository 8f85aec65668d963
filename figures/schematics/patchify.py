"""How an image becomes a sequence: squares become rows, rows become vectors."""

from figures.drawing import Drawing
from vlm.config import SiglipVisionConfig

_HEIGHT, _WIDTH, _SIDE = 4, 6, 2  # of the small image, whose pixels are numbered, and of its patches


def draw_patchify(config: SiglipVisionConfig) -> Drawing:
    """Above, a numbered image of 4 x 6 pixels and its six patches; below, the axes of the real one."""
    alt = (
        "Above: an image of 4 by 6 numbered pixels, in blocks of 2 by 2, and beside it six rows of four pixels; the"
        " first row is 0, 1, 6, 7. Below: the axes C, H, W are split into C, H/P, P, W/P, P, then reordered to H/P,"
        " W/P, C, P, P, then merged into N and C P P; a linear layer makes N vectors of D numbers."
    )
    drawing = Drawing(alt, 476)
    _draw_numbered(drawing)
    _draw_axes(drawing, config)
    return drawing


def _draw_numbered(drawing: Drawing):
    columns = _WIDTH // _SIDE
    pixels = [[row * _WIDTH + column for column in range(_WIDTH)] for row in range(_HEIGHT)]
    patch_of = [[row // _SIDE * columns + column // _SIDE for column in range(_WIDTH)] for row in range(_HEIGHT)]
    number = max(map(max, patch_of)) + 1
    drawing.text(94, 14, "image, P = 2", is_strong=True)
    shade = [[0.1 + 0.12 * patch for patch in line] for line in patch_of]
    labels = [[str(pixel) for pixel in line] for line in pixels]
    image = drawing.cells(10, 34, shade, 28, "image", labels)
    drawing.text(432, 14, "patches, one a row", is_strong=True)
    rows = [
        [str(pixels[y][x]) for y in range(_HEIGHT) for x in range(_WIDTH) if patch_of[y][x] == patch]
        for patch in range(number)
    ]
    shade = [[0.1 + 0.12 * patch] * _SIDE**2 for patch in range(number)]
    table = drawing.cells(376, 34, shade, 28, "image", rows)
    for patch in range(number):
        drawing.text(366, 34 + 28 * (patch + 0.5), f"patch {patch}", "end")
    drawing.arrow((image.right[0] + 12, image.right[1]), (table.x - 76, image.right[1]))


def _draw_axes(drawing: Drawing, config: SiglipVisionConfig):
    patches, side, channels = config.image_size // config.patch_size, config.patch_size, config.num_channels
    sizes = {
        "C": channels,
        "H": config.image_size,
        "W": config.image_size,
        "H/P": patches,
        "W/P": patches,
        "P": side,
        "P'": side,
    }
    sizes |= {"N": config.num_image_tokens, "C·P·P'": channels * side**2, "D": config.hidden_size}
    rows = ["C H W", "C H/P P W/P P'", "H/P W/P C P P'", "N C·P·P'", "N D"]
    places = [[10, 68, 242], [10, 68, 155, 242, 329], [10, 97, 184, 242, 329], [10, 184], [10, 184]]
    widths = {"C": 50, "H": 166, "W": 166, "N": 166, "C·P·P'": 224, "D": 110}
    steps = ["split", "reorder", "merge", "linear, + position"]
    ends = {"C": ["C"], "H": ["H/P", "P"], "W": ["W/P", "P'"], "N": ["H/P", "W/P"], "C·P·P'": ["C", "P", "P'"]}
    boxes: list[dict] = []
    for index, names in enumerate(rows):
        y = 226 + 52 * index
        row = {
            name: drawing.box(x, y, widths.get(name, 79), 26, shape=f"{name}={sizes[name]}", role="image")
            for name, x in zip(names.split(), places[index], strict=True)
        }
        if boxes:
            drawing.text(532, y - 13, steps[index - 1], "end")
            _connect(drawing, boxes[-1], row, ends)
        boxes.append(row)


def _connect(drawing: Drawing, above: dict, below: dict, parts: dict):
    """A line from each axis to what becomes of it."""
    for name, box in above.items():
        for other, under in below.items():
            if name == other or other in parts.get(name, []) or name in parts.get(other, []):
                drawing.line(box.bottom, under.top)
    if "D" in below:
        drawing.line(above["C·P·P'"].bottom, below["D"].top)
