"""Tensor names: round trips in each layout."""

import pytest

from toybox.recipe import toybox_config
from vlm.checkpoints.layouts import HEAD, LAYOUTS, canonical_name, find_layout, name_in_layout


@pytest.fixture(scope="module")
def names() -> list[str]:
    import torch

    from vlm.paligemma import PaliGemmaForConditionalGeneration

    with torch.device("meta"):
        return list(PaliGemmaForConditionalGeneration(toybox_config(1921, 1920)).state_dict())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_name_survives_a_round_trip(names, layout):
    there = [name_in_layout(name, layout) for name in names]
    assert len(set(there)) == len(names)
    assert [canonical_name(name) for name in there] == names


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_recognized_by_its_names(names, layout):
    kept = [name for name in names if name != HEAD or LAYOUTS[layout].writes_tied_head]
    there = [name_in_layout(name, layout) for name in kept]
    assert find_layout([*there, "vision_tower.vision_model.head.probe"]) == layout


def test_mixed_names_have_no_layout(names):
    mixed = [name_in_layout(name, "AB"[i % 2]) for i, name in enumerate(names)]
    assert find_layout(mixed) is None
