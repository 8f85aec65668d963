"""The stages of training: Google's four, and the Toybox's two."""

from figures.drawing import SMALL, Drawing


def draw_stages(look_steps: int, speak_steps: int, scenes_per_step: int) -> Drawing:
    """Published numbers are those of section 3.1 of the PaliGemma paper (arXiv 2407.07726)."""
    published = [
        ("0", "unimodal", "SigLIP on pairs, Gemma on text", "taken as they are"),
        ("1", "multimodal", "1 billion examples, 224 px", "nothing is frozen"),
        ("2", "resolution", "448 px: 50 million, 896 px: 10 million", "longer sequences"),
        ("3", "transfer", "each task's own data", "fine-tuning"),
    ]
    own = [
        ("look", f"{look_steps:,} steps", "patch labels, no words"),
        ("speak", f"{speak_steps:,} steps", "all tasks, from prompts"),
    ]
    alt = (
        "Two columns of boxes from top to bottom. PaliGemma: stage 0 unimodal, stage 1 multimodal at 224 pixels,"
        " stage 2 at higher resolution, stage 3 transfer. Toybox: first the tower learns to look, then the whole"
        " model learns to speak."
    )
    drawing = Drawing(alt, 424)
    drawing.text(150, 14, "PaliGemma", is_strong=True)
    drawing.text(436, 14, "Toybox", is_strong=True)
    boxes = []
    for row, (number, name, what, how) in enumerate(published):
        role = "image" if row == 0 else "text" if row < 3 else "accent"
        box = drawing.box(8, 34 + 98 * row, 290, 72, f"stage {number}: {name}\n{what}\n{how}", role=role)
        if boxes:
            drawing.arrow(boxes[-1].bottom, box.top)
        boxes.append(box)
    look, speak = (
        drawing.box(338, 34 + 98 * row, 194, 72, f"{name}: {steps}\n{what}", role=role)
        for row, ((name, steps, what), role) in enumerate(zip(own, ("image", "text"), strict=True))
    )
    drawing.arrow(look.bottom, speak.top)
    drawing.text(435, 232, f"{scenes_per_step} scenes a step", size=SMALL)
    return drawing
