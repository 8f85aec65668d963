"""The names of a PaliGemma's tensors in a checkpoint.

This package uses the names of the checkpoints that Google published, layout A. transformers has written four others
since. A name has a prefix, which depends on the part of the model and on the layout, and a rest, which is the same in
all layouts.
"""

from collections.abc import Iterable
from dataclasses import dataclass

HEAD = "language_model.lm_head.weight"
EMBEDDING = "language_model.model.embed_tokens.weight"


@dataclass(frozen=True)
class Layout:
    """The prefix of each part of the model, the full name of the head, and whether a tied head is written too."""

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


# Wrappers of a model in training, by the prefix that each adds to all names.
WRAPPERS = {
    "base_model.model.": "it contains peft adapters: call `merge_and_unload()` in peft and save the result",
    "_orig_mod.": "the model was compiled: save `model._orig_mod` instead",
    "module.": "the model was data-parallel: save `model.module` instead",
}


def canonical_name(name: str) -> str | None:
    """A tensor's name in this package, whichever release wrote the file; None if PaliGemma does not use it.

    Example: "model.vision_tower.post_layernorm.bias" -> "vision_tower.vision_model.post_layernorm.bias".
    """
    name = name.removeprefix("model.")
    if name.endswith(".position_ids") or (name.startswith("vision_tower.") and ".head." in name):
        return None  # a buffer with the values 0, 1, 2 …, and SigLIP's pooling head
    if name in ("lm_head.weight", HEAD):
        return HEAD
    if name.startswith("language_model."):
        return "language_model.model." + name.removeprefix("language_model.").removeprefix("model.")
    if name.startswith("vision_tower."):
        return "vision_tower.vision_model." + name.removeprefix("vision_tower.").removeprefix("vision_model.")
    return name


def name_in_layout(name: str, layout: str) -> str:
    """The inverse of `canonical_name`: a tensor's name in a layout. Other names are not changed."""
    ours, theirs = LAYOUTS["A"], LAYOUTS[layout]
    if name == HEAD:
        return theirs.head
    for part in ("language_model", "vision_tower", "projector"):
        prefix = getattr(ours, part)
        if name.startswith(prefix):
            return getattr(theirs, part) + name.removeprefix(prefix)
    return name


def find_layout(names: Iterable[str]) -> str | None:
    """The letter of the layout that all these names follow, or None. Names that PaliGemma does not use are ignored."""
    renamed = {name: new for name in names if (new := canonical_name(name)) is not None}
    fitting = [
        letter for letter in LAYOUTS if all(name_in_layout(new, letter) == name for name, new in renamed.items())
    ]
    # A and E differ only in the head.
    fitting.sort(key=lambda letter: LAYOUTS[letter].writes_tied_head != (HEAD in renamed.values()))
    return fitting[0] if fitting else None
