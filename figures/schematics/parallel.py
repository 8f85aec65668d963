"""An MLP on several processes: column-parallel, then row-parallel, one all-reduce; and the ring that computes it."""

from figures.drawing import SMALL, Drawing


def draw_tensor_parallel(hidden_size: int, intermediate_size: int, world_size: int = 2) -> Drawing:
    """Each process has some columns of the first matrix and the same rows of the second."""
    part = intermediate_size // world_size
    alt = (
        f"{world_size} processes. Each gets the whole input, multiplies it with its columns of the first matrix,"
        " applies the activation, multiplies with its rows of the second, and has a partial sum. One all-reduce adds"
        " the partial sums."
    )
    drawing = Drawing(alt, 436)
    drawing.text(270, 14, f"x [B, S, {hidden_size}], the same in each process", is_strong=True)
    drawing.line((270, 26), (270, 40))
    width = 520 / world_size
    reduced = drawing.box(110, 340, 320, 36, "all-reduce: add the partial sums", role="accent")
    for rank in range(world_size):
        x = 10 + rank * width + width / 2
        drawing.line((270, 40), (x, 40))
        first = drawing.box(x - 105, 84, 210, 50, "column-parallel", f"[{part}, {hidden_size}]", role="text")
        drawing.arrow((x, 40), first.top)
        drawing.text(x - 4, 62, f"process {rank}", "end", size=SMALL)
        active = drawing.box(x - 105, 174, 210, 50, "GELU, gate", f"[B, S, {part}]", role="plain")
        drawing.arrow(first.bottom, active.top)
        second = drawing.box(x - 105, 264, 210, 50, "row-parallel", f"[{hidden_size}, {part}]", role="text")
        drawing.arrow(active.bottom, second.top)
        drawing.arrow(second.bottom, (min(max(x, 130), 410), 340))
    drawing.arrow(reduced.bottom, (270, 404))
    drawing.text(270, 420, f"y [B, S, {hidden_size}], the same in each process", is_strong=True)
    return drawing


def draw_ring(world_size: int = 4) -> Drawing:
    """A ring all-reduce in two rounds: each process sends one chunk to its neighbor at each step."""
    steps = world_size - 1
    alt = (
        f"{world_size} processes in a ring, each with {world_size} chunks. In {steps} steps the chunks are added up"
        f" on their way around (reduce-scatter); in {steps} more the sums go around (all-gather)."
    )
    drawing = Drawing(alt, 330)
    places = [(270, 36), (466, 160), (270, 284), (74, 160)]
    for rank, (x, y) in enumerate(places[:world_size]):
        drawing.text(x, y - 24, f"process {rank}", size=SMALL)
        for chunk in range(world_size):
            drawing.strip(
                x - 48 + 24 * chunk, y - 12, 24, 24, 0.9 if chunk == (rank + 1) % world_size else 0.15, "accent"
            )
    joins = [((326, 44), (430, 124)), ((430, 196), (326, 276)), ((214, 276), (110, 196)), ((110, 124), (214, 44))]
    for start, end in joins:
        drawing.arrow(start, end, role="accent")
    drawing.text(270, 132, f"{steps} steps: reduce-scatter", is_strong=True)
    drawing.text(270, 152, "each chunk is added up", size=SMALL)
    drawing.text(270, 178, f"{steps} steps: all-gather", is_strong=True)
    drawing.text(270, 198, "each sum goes around", size=SMALL)
    drawing.text(8, 318, f"each process sends 2 · {steps}/{world_size} of the data", "start", size=SMALL)
    return drawing
