"""CLIP's loss and SigLIP's on the same matrix of cosines."""

from figures.drawing import SMALL, Drawing


def draw_contrastive(num_pairs: int = 4) -> Drawing:
    """Left: a softmax over each row (and each column). Right: a yes-or-no question in each cell."""
    alt = (
        f"Two matrices of {num_pairs} images by {num_pairs} texts. Left, CLIP: one row and one column are framed,"
        " and a softmax chooses among their cells. Right, SigLIP: each cell alone is a yes (on the diagonal) or a"
        " no."
    )
    drawing = Drawing(alt, 316)
    side = 46
    for left, title, remark in (
        (40, "CLIP: softmax", "one of the row, one of the column"),
        (316, "SigLIP: sigmoid", "each cell by itself"),
    ):
        width = num_pairs * side
        drawing.text(left + width / 2, 14, title, is_strong=True)
        is_clip = left == 40
        for row in range(num_pairs):
            drawing.text(left - 8, 62 + side * (row + 0.5), f"i{row}", "end", is_shape=True)
            drawing.text(left + side * (row + 0.5), 48, f"t{row}", is_shape=True)
        labels = [["+" if row == column else "-" for column in range(num_pairs)] for row in range(num_pairs)]
        values = [[0.75 if row == column else 0.12 for column in range(num_pairs)] for row in range(num_pairs)]
        drawing.cells(left, 62, values, side, "accent", None if is_clip else labels)
        if is_clip:
            drawing.outline(left - 3, 62 + side - 3, width + 6, side + 6, "image")
            drawing.outline(left + 2 * side - 3, 62 - 3, side + 6, width + 6, "text")
        drawing.text(left + width / 2, 268, remark, size=SMALL)
    drawing.text(132, 292, "B softmaxes of B, twice", is_faint=True)
    drawing.text(408, 292, f"B · B sigmoids: {num_pairs} yes, {num_pairs * (num_pairs - 1)} no", is_faint=True)
    return drawing
