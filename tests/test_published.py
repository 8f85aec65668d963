"""The published sizes: parameter counts on the meta device, and the names of transformers."""

import pytest
import torch

from vlm.checkpoints.layouts import HEAD, canonical_name
from vlm.checkpoints.published import NAMES, published_config
from vlm.config import PaliGemmaConfig
from vlm.paligemma import PaliGemmaForConditionalGeneration

# Parameters (a tied head counts once) and tensors.
SIZES = {
    "paligemma-3b-224": (2_923_466_480, 603),
    "paligemma-3b-448": (2_924_351_216, 603),
    "paligemma-3b-896": (2_927_890_160, 603),
    "paligemma2-3b-224": (3_032_242_416, 727),
    "paligemma2-3b-448": (3_033_127_152, 727),
    "paligemma2-3b-896": (3_036_666_096, 727),
    "paligemma2-10b-224": (9_662_638_832, 903),
    "paligemma2-10b-448": (9_663_523_568, 903),
    "paligemma2-10b-896": (9_667_062_512, 903),
    "paligemma2-28b-224": (27_650_487_024, 947),
    "paligemma2-28b-448": (27_651_371_760, 947),
    "paligemma2-28b-896": (27_654_910_704, 947),
}


def on_meta(config: PaliGemmaConfig) -> PaliGemmaForConditionalGeneration:
    with torch.device("meta"):
        return PaliGemmaForConditionalGeneration(config)


def test_every_published_size_is_listed():
    assert set(NAMES) == set(SIZES)


@pytest.mark.parametrize("name", SIZES)
def test_parameters_and_tensors_are_counted_as_published(name):
    model = on_meta(published_config(name))
    names = model.state_dict().keys() - {HEAD}
    assert (sum(parameter.numel() for parameter in model.parameters()), len(names)) == SIZES[name]


@pytest.mark.parametrize("name", [name for name in SIZES if name.endswith("-224")])
def test_names_and_shapes_are_those_of_transformers(name):
    from transformers import PaliGemmaConfig as ReferenceConfig
    from transformers import PaliGemmaForConditionalGeneration as ReferenceModel

    config = published_config(name)
    with torch.device("meta"):
        reference = ReferenceModel(ReferenceConfig(**config.to_dict()))
    theirs = {canonical_name(name): tensor.shape for name, tensor in reference.state_dict().items()}
    assert theirs == {name: tensor.shape for name, tensor in on_meta(config).state_dict().items()}


def test_the_28b_divides_its_scores_by_the_root_of_144_and_the_others_by_that_of_head_dim():
    scales = {}
    for name in NAMES:
        attention = on_meta(published_config(name)).language_model.model.layers[0].self_attn
        scales[name.rpartition("-")[0]] = (attention.scaling, attention.head_dim)
    assert scales["paligemma2-28b"] == (144**-0.5, 128)
    assert all(scales[name] == (256**-0.5, 256) for name in scales if name != "paligemma2-28b")


def test_the_error_for_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="no published model is called 'paligemma-4b-224': expected one of"):
        published_config("paligemma-4b-224")
