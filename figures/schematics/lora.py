"""A frozen matrix W, and the trained pair A and B beside it."""

from figures.drawing import SMALL, Drawing


def draw_lora(in_features: int, out_features: int, rank: int) -> Drawing:
    """Sides are drawn to scale but for the rank, which is drawn at least 14 units wide."""
    scale = 150 / max(in_features, out_features)
    height, width, thin = out_features * scale, in_features * scale, max(rank * scale, 14)
    full, small = in_features * out_features, rank * (in_features + out_features)
    alt = (
        f"The input goes two ways. Left: the frozen matrix W of {out_features} by {in_features}. Right: A of {rank}"
        f" by {in_features}, then B of {out_features} by {rank}, scaled. The two results are added."
    )
    drawing = Drawing(alt, 420)
    drawing.text(270, 14, f"x [B, S, {in_features}]", is_strong=True)
    drawing.arrow((270, 26), (270, 44), (30 + width / 2, 44), (30 + width / 2, 96))
    drawing.arrow((270, 26), (270, 44), (400, 44), (400, 96))
    W = drawing.strip(30, 98, width, height, 0.3)
    drawing.text(W.x + width / 2, 98 + height / 2 - 10, "W", is_strong=True)
    drawing.text(W.x + width / 2, 98 + height / 2 + 10, f"[{out_features}, {in_features}]", is_shape=True)
    drawing.text(W.x + width + 10, 110, "frozen", "start")
    drawing.text(W.x + width + 10, 130, f"{full:,}", "start", is_shape=True, is_faint=True)
    A = drawing.strip(400 - width / 2, 98, width, thin, 0.5, "accent")
    drawing.text(400, 98 + thin + 14, f"A [{rank}, {in_features}]", is_shape=True)
    B = drawing.strip(400 - thin / 2, 166, thin, height, 0.5, "accent")
    drawing.arrow((400, 98 + thin + 26), B.top)
    drawing.text(B.x + thin + 10, 166 + height / 2, f"B [{out_features}, {rank}]", "start", is_shape=True)
    drawing.text(532, 66, "trained", "end")
    drawing.text(532, 84, f"{small:,} = {small / full:.1%}", "end", is_shape=True, is_faint=True)
    del A
    added = drawing.circle(270, 370, 13, "+")
    drawing.arrow(W.bottom, (W.bottom[0], 370), added.left)
    drawing.arrow(B.bottom, (400, 370), added.right, role="accent")
    drawing.text(336, 356, "α / G", size=SMALL)
    drawing.arrow(added.bottom, (270, 414))
    drawing.text(284, 404, f"y [B, S, {out_features}]", "start", is_strong=True)
    return drawing
