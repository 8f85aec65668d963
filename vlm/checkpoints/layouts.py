"""Under which names the tensors of a PaliGemma stand in a checkpoint.

The names in this package are those of the checkpoints that Google published, layout A. transformers has written four
others since. A name is a prefix, which tells the part of the model and differs, and a rest, which is the same in all.
"""

from collections.abc import Iterable
from dataclasses import dataclass

HEAD = "language_model.lm_head.weight"
EMBEDDING = "language_model.model.embed_tokens.weight"


@dataclass(frozen=True)
class Layout:
    """What the names of each part begin with, the head's whole name, and whether a tied head is written too."""

    written_by: str
    language_model: str
    vision_tower: str
    projector: str
    head: str
    writes_tied_head: bool


_SHORT, _LONG = "vision_tower.", "vision_tower.vision_model."
_PROJECTOR = "multi_modal_projector."
LAYOUTS = {
    "A": Layout("Google, and this package", "language_model.model.", _LONG, _PROJECTOR, HEAD, False),
    "B": Layout("save_pretrained of transformers 5", "language_model.model.", _SHORT, _PROJECTOR, HEAD, False),
    "C": Layout(
        "state_dict of transformers 5.23",
        "model.language_model.",
        f"model.{_SHORT}",
        f"model.{_PROJECTOR}",
        "lm_head.weight",
        True,
    ),
    "D": Layout(
        "state_dict of transformers 4.52 to 5.0",
        "model.language_model.",
        f"model.{_LONG}",
        f"model.{_PROJECTOR}",
        "lm_head.weight",
        True,
    ),
    "E": Layout("merged fine-tunes, transformers to 4.51", "language_model.model.", _LONG, _PROJECTOR, HEAD, True),
}


def canonical_name(name: str) -> str | None:
    """A tensor's name in this package, whichever release wrote the file; None for what PaliGemma does not use.

    Example: "model.vision_tower.post_layernorm.bias" -> "vision_tower.vision_model.post_layernorm.bias".
    """
    name = name.removeprefix("model.")
    if name.endswith(".position_ids") or (name.startswith("vision_tower.") and ".head." in name):
        return None  # a buffer that counts 0, 1, 2 …, and SigLIP's pooling head
    if name in ("lm_head.weight", HEAD):
        return HEAD
    if name.startswith("language_model."):
        return "language_model.model." + name.removeprefix("language_model.").removeprefix("model.")
    if name.startswith("vision_tower."):
        return "vision_tower.vision_model." + name.removeprefix("vision_tower.").removeprefix("vision_model.")
    return name


def name_in_layout(name: str, layout: str) -> str:
    """The way back, from a tensor's name in this package to its name in a layout. A name of no part stays as it is."""
    ours, theirs = LAYOUTS["A"], LAYOUTS[layout]
    if name == HEAD:
        return theirs.head
    for part in ("language_model", "vision_tower", "projector"):
        prefix = getattr(ours, part)
        if name.startswith(prefix):
            return getattr(theirs, part) + name.removeprefix(prefix)
    return name


def find_layout(names: Iterable[str]) -> str | None:
    """The letter of the layout in which all of these names are, or None. What PaliGemma does not use is passed over."""
    renamed = {name: new for name in names if (new := canonical_name(name)) is not None}
    fitting = [
        letter for letter in LAYOUTS if all(name_in_layout(new, letter) == name for name, new in renamed.items())
    ]
    # A and E differ in nothing but the head.
    fitting.sort(key=lambda letter: LAYOUTS[letter].writes_tied_head != (HEAD in renamed.values()))
    return fitting[0] if fitting else None
