"""config.json: what is read, what is refused."""

import pytest
from reference import tiny_config

from vlm.config import PaliGemmaConfig


def changed(**changes) -> dict:
    values = tiny_config()
    for path, value in changes.items():
        part, _, name = path.rpartition("__")
        (values[part] if part else values)[name] = value
    return values


def test_a_round_trip_keeps_everything():
    config = PaliGemmaConfig.from_dict(tiny_config())
    assert PaliGemmaConfig.from_dict(config.to_dict()) == config


def test_transformers_reads_what_is_written():
    from transformers import PaliGemmaConfig as ReferenceConfig

    config = PaliGemmaConfig.from_dict(tiny_config())
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


def test_rope_theta_is_found_in_its_newer_place():
    values = changed(text_config__rope_parameters={"rope_type": "default", "rope_theta": 500.0})
    assert PaliGemmaConfig.from_dict(values).text_config.rope_theta == 500.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (changed(model_type="llava"), "model_type is 'llava': expected 'paligemma'"),
        (changed(text_config__model_type="gemma3"), "text_config.model_type is 'gemma3'"),
        (changed(text_config__hidden_activation="silu"), "hidden_activation is 'silu'"),
        (changed(text_config__hidden_size=None), "text_config lacks hidden_size"),
        (changed(text_config__hidden_size=-3), "text_config.hidden_size is -3: expected a number above 0"),
        (changed(vision_config__hidden_size="24"), "vision_config.hidden_size is '24'"),
        (changed(vision_config__image_size=30), "image_size is 30: it must be a multiple of patch_size"),
        (changed(text_config__num_key_value_heads=3), "must be a multiple of num_key_value_heads, which is 3"),
        (changed(text_config__head_dim=9), "head_dim is 9"),
        (changed(image_token_index=128), "image_token_index is 128, but text_config.vocab_size is 128"),
        (changed(vision_config=None), "config has no 'vision_config'"),
    ],
)
def test_an_impossible_value_is_named(values, message):
    with pytest.raises(ValueError, match=message):
        PaliGemmaConfig.from_dict(values)


@pytest.mark.parametrize(("text", "message"), [("{", "is not valid JSON"), ("[]", "holds a list")])
def test_a_file_that_is_no_config_is_named(tmp_path, text, message):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        PaliGemmaConfig.from_json(path)
