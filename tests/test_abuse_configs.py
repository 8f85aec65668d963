"""config.json with missing or impossible fields, or fields of another type: one ValueError names the field."""

import copy
import json
from pathlib import Path

import pytest
from checkpoints import save_random_checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import tiny_config

from toybox.examples import example_path
from vlm.__main__ import main
from vlm.checkpoints.skeleton import empty_model
from vlm.config import Gemma2Config, PaliGemmaConfig, SiglipVisionConfig

pytestmark = pytest.mark.abuse
FUZZ = settings(derandomize=True, deadline=None, database=None, max_examples=150)
VALUES = tiny_config(generation=2)
PARTS = {"vision_config": SiglipVisionConfig, "text_config": Gemma2Config}
FIELDS = [(part, name) for part, kind in PARTS.items() for name in kind.__dataclass_fields__]
WHOLE = [(part, name) for part, name in FIELDS if PARTS[part].__dataclass_fields__[name].type in (int, int | None)]
IDS = ("image_token_index", "pad_token_id", "eos_token_id", "bos_token_id")


def changed(part: str, name: str, value) -> dict:
    values = copy.deepcopy(VALUES)
    (values[part] if part else values)[name] = value
    return values


def assert_refused(values: dict, name: str):
    with pytest.raises(ValueError, match=name):
        PaliGemmaConfig.from_dict(values)


def complaint(values: dict) -> str:
    """The error message, or "" if the values are accepted."""
    try:
        PaliGemmaConfig.from_dict(values)
    except ValueError as error:
        return str(error)
    return ""


IMPOSSIBLE = [-1, 0, "24", True, [], {}, [3], float("nan"), float("inf"), 10**30, 10**400, 1e300]


def test_an_impossible_number_is_reported():
    cases = [(part, name, value) for part, name in FIELDS for value in IMPOSSIBLE]
    assert [case for case in cases if f"{case[0]}.{case[1]} is " not in complaint(changed(*case))] == []


def test_a_fraction_instead_of_a_whole_number_is_reported():
    cases = [(part, name, value) for part, name in WHOLE for value in (1.5, 2.0)]
    expected = "{}.{} is {}: expected a whole number"
    assert [case for case in cases if expected.format(*case) not in complaint(changed(*case))] == []


@pytest.mark.parametrize("part", PARTS)
def test_an_excessive_number_of_layers_is_refused_before_they_are_built(part):
    assert_refused(changed(part, "num_hidden_layers", 10**6), "num_hidden_layers is 1000000: expected at most 1,000")


def test_an_invalid_id_is_reported():
    values = [-1, 1.5, 2.0, "24", True, [], [1, -1], ["1"], {}, float("nan"), 10**30]
    cases = [("", name, value) for name in IDS for value in values]
    assert [case for case in cases if f"{case[1]} is " not in complaint(changed(*case))] == []


@pytest.mark.parametrize("part", ["vision_config", "text_config"])
@pytest.mark.parametrize("value", [None, 3, "x", [], True])
def test_a_part_that_is_no_object_is_reported(part, value):
    assert_refused(VALUES | {part: value}, f"config has no '{part}'")


@pytest.mark.parametrize("value", [3, "default", [1], True])
def test_rope_parameters_that_are_no_object_are_reported(value):
    assert_refused(changed("text_config", "rope_parameters", value), "rope_parameters is .* an object")


def test_a_missing_field_is_reported_or_has_the_default_of_its_class():
    wrong = []
    for part, name in FIELDS:
        if name == "model_type":
            continue  # its absence means the first Gemma
        values = copy.deepcopy(VALUES)
        values[part].pop(name, None)
        message = complaint(values)
        if message:
            wrong += [] if name in message else [(name, message)]
        else:
            default = PARTS[part].__dataclass_fields__[name].default
            read_value = getattr(getattr(PaliGemmaConfig.from_dict(values), part), name)
            wrong += [] if read_value == default else [(name, read_value)]
    assert wrong == []
    without_type = {name: value for name, value in VALUES["text_config"].items() if name != "model_type"}
    assert PaliGemmaConfig.from_dict(VALUES | {"text_config": without_type}).text_config.model_type == "gemma"
    assert "image_token_index" in complaint({name: VALUES[name] for name in VALUES if name != "image_token_index"})


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[" * 10**5, b'{"a":' * 10**5, b'{"a": "\xe9"}', json.dumps(VALUES).encode("utf-16"), b"\0" * 9]
    + [b'{"image_token_index": ' + b"9" * 5000 + b"}", b"[]", b"3", b"null", b'"paligemma"'],
)
def test_a_file_that_is_no_config_is_reported_with_its_path(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"config\.json (is not valid JSON|contains a)"):
        PaliGemmaConfig.from_json(path)


def test_tensors_that_64_bits_cannot_count_are_refused(tmp_path):
    values = changed("vision_config", "hidden_size", 3 * 10**8) | {"text_config": VALUES["text_config"]}
    values["vision_config"] |= {"intermediate_size": 10**9, "num_channels": 10**9, "patch_size": 7}
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match=r"config\.json asks for tensors of impossible size"):
        empty_model(tmp_path)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_random_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.mark.parametrize("hidden_size", ["24", -3, None, 10**30, 2.5])
def test_every_command_reports_it_in_one_line_with_the_file_s_name(checkpoint, capsys, hidden_size):
    path = checkpoint / "config.json"
    values = json.loads(path.read_text())
    values["text_config"]["hidden_size"] = hidden_size
    path.write_text(json.dumps(values))
    for words in (
        ["run", "--image", str(example_path(0)), "--prompt", "caption en", "--model", str(checkpoint)],
        ["inspect", str(checkpoint)],
        ["convert", str(checkpoint), str(checkpoint / "target")],
    ):
        assert main(words) == 1
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and err.startswith(f"vlm {words[0]}: {path}: text_config")
        assert "hidden_size" in err


def read(values) -> PaliGemmaConfig | None:
    """The config, or None if it raises a ValueError; no other error may occur."""
    try:
        return PaliGemmaConfig.from_dict(values)
    except ValueError:
        return None


KEYS = sorted({*VALUES, *VALUES["vision_config"], *VALUES["text_config"], "rope_parameters", "rope_scaling"})
NUMBERS = st.integers() | st.sampled_from([0, 1, 2, 14, 10**9, 10**10, 10**30]) | st.floats()
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5) | st.sampled_from(["paligemma", "gemma", "gemma2"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner),
    max_leaves=20,
)


@FUZZ
@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=8))
def test_objects_of_any_kind_are_a_config_or_refused(values):
    assert read(values) is None or isinstance(read(values), PaliGemmaConfig)


@FUZZ
@given(st.binary(max_size=100) | st.text().map(str.encode) | JSON.map(lambda value: json.dumps(value).encode()))
def test_files_of_any_kind_are_a_config_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "config.json"
    path.write_bytes(content)
    with pytest.raises(ValueError):  # random input never makes a complete config
        PaliGemmaConfig.from_json(path)


@FUZZ
@given(st.data())
def test_a_whole_config_with_some_fields_changed_is_one_that_can_be_built_or_refused(tmp_path_factory, data):
    values = tiny_config(generation=data.draw(st.sampled_from([1, 2])))
    for _ in range(data.draw(st.integers(1, 3))):
        part = data.draw(st.sampled_from(["vision_config", "text_config", ""]))
        changed_part = values[part] if part else values
        if isinstance(changed_part, dict):
            changed_part[data.draw(st.sampled_from(sorted(changed_part)))] = data.draw(st.integers(1, 60) | JSON)
    config = read(values)
    if config is None:
        return
    assert PaliGemmaConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    if max(config.text_config.num_hidden_layers, config.vision_config.num_hidden_layers) < 50:
        folder = tmp_path_factory.getbasetemp()
        (folder / "config.json").write_text(json.dumps(config.to_dict()))
        try:
            empty_model(folder)  # on the meta device, however large it is
        except ValueError as error:
            assert "impossible size" in str(error)
