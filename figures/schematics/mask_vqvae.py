"""The VQ-VAE of the masks: encoder, codebook, decoder, and the gradient that skips the codebook."""

from figures.drawing import SMALL, Drawing


def draw_mask_vqvae(mask_size: int, grid_size: int, num_codes: int, code_width: int) -> Drawing:
    """A mask goes down the left side, becomes numbers at the bottom, and comes up again on the right."""
    K = grid_size**2
    alt = (
        f"A mask of {mask_size} by {mask_size} goes through the encoder to {K} vectors of {code_width} numbers. Each"
        f" is replaced by the nearest of {num_codes} codebook vectors; its index is the token. The decoder draws a"
        f" mask from the {K} codebook vectors. A dashed arrow leads back from the decoder's input to the encoder's"
        " output: the straight-through gradient."
    )
    drawing = Drawing(alt, 400)
    square = [[float((row - 3.5) ** 2 + (column - 3.2) ** 2 < 9) for column in range(8)] for row in range(8)]
    soft = [
        [max(0.0, min(1.0, 1.6 - ((row - 3.5) ** 2 + (column - 3.4) ** 2) / 8)) for column in range(8)]
        for row in range(8)
    ]
    drawing.text(74, 14, "mask", is_strong=True)
    mask = drawing.cells(26, 30, square, 12, "image")
    drawing.text(466, 14, "mask again", is_strong=True)
    drawn = drawing.cells(418, 30, soft, 12, "image")
    encoder = drawing.box(
        10, 164, 128, 46, "encoder", f"{mask_size}x{mask_size} to {grid_size}x{grid_size}", role="image"
    )
    decoder = drawing.box(
        402, 164, 128, 46, "decoder", f"{grid_size}x{grid_size} to {mask_size}x{mask_size}", role="image"
    )
    drawing.arrow(mask.bottom, encoder.top, role="image")
    drawing.arrow(decoder.top, drawn.bottom, role="image")
    found = drawing.box(10, 262, 128, 46, "vectors", f"[M, {K}, {code_width}]", role="image")
    chosen = drawing.box(402, 262, 128, 46, "nearest codes", f"[M, {K}, {code_width}]", role="accent")
    drawing.arrow(encoder.bottom, found.top, role="image")
    drawing.arrow(chosen.top, decoder.bottom, role="accent")
    book = drawing.box(192, 262, 156, 46, "codebook", f"[{num_codes}, {code_width}]", role="accent")
    drawing.arrow(found.right, book.left)
    drawing.arrow(book.right, chosen.left, role="accent")
    tokens = drawing.box(170, 346, 200, 46, f"{K} mask tokens", "<seg012> ... <seg101>", role="text")
    drawing.arrow(book.bottom, tokens.top, role="text")
    drawing.line((402, 240), (138, 240), is_dashed=True)
    drawing.arrow((150, 240), (139, 240))
    drawing.text(270, 226, "gradient: straight through", size=SMALL)
    return drawing
