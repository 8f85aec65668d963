"""config.json: what is read and what is refused."""

import json

import pytest
from reference import tiny_config

from vlm.checkpoints.published import published_config
from vlm.config import Gemma2Config, PaliGemmaConfig


def changed(generation: int = 1, **changes) -> dict:
    values = tiny_config(generation=generation)
    for path, value in changes.items():
        part, _, name = path.rpartition("__")
        (values[part] if part else values)[name] = value
    return values


@pytest.mark.parametrize("generation", [1, 2])
def test_a_round_trip_keeps_everything(generation):
    config = PaliGemmaConfig.from_dict(tiny_config(generation=generation))
    assert PaliGemmaConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize("generation", [1, 2])
def test_transformers_reads_what_is_written(generation):
    from transformers import PaliGemmaConfig as ReferenceConfig

    config = PaliGemmaConfig.from_dict(tiny_config(generation=generation))
    reference = ReferenceConfig(**config.to_dict())
    assert reference.image_token_id == config.image_token_index
    for part in ("vision_config", "text_config"):
        for name, value in vars(getattr(config, part)).items():
            if name != "rope_theta":  # transformers keeps it inside rope_parameters
                assert getattr(getattr(reference, part), name) == value, name


def test_what_the_published_files_leave_out_has_the_published_value():
    values = tiny_config()
    del values["text_config"]["head_dim"], values["vision_config"]["image_size"]
    config = PaliGemmaConfig.from_dict(values)
    text = config.text_config
    assert (text.head_dim, text.rms_norm_eps, text.rope_theta) == (256, 1e-6, 10000.0)
    assert config.vision_config.num_image_tokens == 256


def test_a_stale_hidden_size_at_the_top_is_ignored():
    assert PaliGemmaConfig.from_dict(changed(hidden_size=2048)).text_config.hidden_size == 32


def test_answers_end_at_one_token_or_several_and_gemma_2_it_s_leftover_is_ignored():
    for value, expected in [(1, 1), ([1], 1), ([1, 107], (1, 107)), (None, 1)]:
        config = PaliGemmaConfig.from_dict(changed(eos_token_id=value, text_config__eos_token_id=[1, 107]))
        assert config.eos_token_id == expected
        assert PaliGemmaConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_rope_theta_is_found_in_rope_parameters():
    values = changed(text_config__rope_parameters={"rope_type": "default", "rope_theta": 500.0})
    assert PaliGemmaConfig.from_dict(values).text_config.rope_theta == 500.0


@pytest.mark.parametrize("name", ["paligemma-3b-224", "paligemma2-10b-448"])
def test_what_a_file_leaves_out_means_what_it_means_to_transformers_or_is_an_error(name):
    from transformers import PaliGemmaConfig as ReferenceConfig

    published = json.dumps(published_config(name).to_dict())
    compared = 0
    for part in ("vision_config", "text_config"):
        for field in vars(getattr(published_config(name), part)):
            values = json.loads(published)
            del values[part][field]
            theirs = getattr(ReferenceConfig(**json.loads(json.dumps(values))), part)
            expected = theirs.rope_parameters["rope_theta"] if field == "rope_theta" else getattr(theirs, field)
            try:
                config = PaliGemmaConfig.from_dict(values)
            except ValueError as error:
                assert field in str(error)
                continue
            assert getattr(getattr(config, part), field) == expected, field
            compared += 1
    assert compared >= 8


def test_a_gemma2_config_has_fields_of_its_own():
    text = PaliGemmaConfig.from_dict(tiny_config(generation=2)).text_config
    assert isinstance(text, Gemma2Config)
    assert (text.query_pre_attn_scalar, text.attn_logit_softcapping, text.final_logit_softcapping) == (7, 2.0, 3.0)
    assert [text.is_sliding(i) for i in range(3)] == [True, False, True]


def test_a_cap_or_window_of_null_is_none_not_the_default():
    values = tiny_config(generation=2)
    values["text_config"] |= {"sliding_window": None, "attn_logit_softcapping": None}
    text = PaliGemmaConfig.from_dict(values).text_config
    assert (text.sliding_window, text.attn_logit_softcapping, text.final_logit_softcapping) == (None, None, 3.0)
    assert not any(text.is_sliding(i) for i in range(3))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (changed(model_type="llava"), "model_type is 'llava': expected 'paligemma'"),
        (changed(text_config__model_type="gemma3"), "text_config.model_type is 'gemma3'"),
        (changed(text_config__hidden_activation="silu"), "hidden_activation is 'silu'"),
        (changed(2, text_config__hidden_activation="gelu"), "hidden_activation is 'gelu'"),  # the exact GELU in Gemma 2
        (changed(text_config__hidden_size=None), "text_config is missing hidden_size"),
        (changed(text_config__hidden_size=-3), "text_config.hidden_size is -3: expected a number above 0"),
        (changed(vision_config__hidden_size="24"), "vision_config.hidden_size is '24'"),
        (changed(vision_config__image_size=30), "image_size is 30: it must be a multiple of patch_size"),
        (changed(text_config__num_key_value_heads=3), "must be a multiple of num_key_value_heads, which is 3"),
        (changed(text_config__head_dim=9), "head_dim is 9"),
        (changed(image_token_index=128), "image_token_index is 128, but text_config.vocab_size is 128"),
        (changed(vision_config=None), "config has no 'vision_config'"),
        (changed(text_config__rope_scaling={"type": "linear", "factor": 2.0}), "text_config.rope_scaling is"),
        (changed(text_config__attention_bias=True), "text_config.attention_bias is True: expected False"),
        (changed(2, text_config__layer_types=["full_attention"] * 3), "text_config.layer_types is"),
        (changed(2, text_config__final_logit_softcapping=-1.0), "final_logit_softcapping is -1.0"),
    ],
)
def test_an_impossible_value_is_reported(values, message):
    with pytest.raises(ValueError, match=message):
        PaliGemmaConfig.from_dict(values)


@pytest.mark.parametrize(("text", "message"), [("{", "is not valid JSON"), ("[]", "contains a list")])
def test_a_file_that_is_no_config_is_reported(tmp_path, text, message):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        PaliGemmaConfig.from_json(path)
