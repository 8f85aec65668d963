"""What the live figures draw and offer, run in Node, against the Toybox in Python."""

import base64
import json
import subprocess

import numpy as np
import pytest
from PIL import Image
from test_live import NODE, ROOT, needs_node, pack_value

from live.toys import draw_letters
from toybox.colors import _MAIN_HUES, COLORS, NATURAL_COLORS, colored_sprite
from toybox.examples import read_truths
from toybox.grounds import BACKGROUNDS, has_shades_of_a_named_ground, paint_ground
from toybox.placement import _MAX_TILT, _TILT_CHANCE, LARGEST, MIN_VISIBLE, OPAQUE, SMALLEST, draw_layout, make_sprite
from toybox.prompts import ADJECTIVES, find_referred
from toybox.scenes import (
    _LARGEST_WITH_SIGN,
    _NATURAL_CHANCE,
    _NUMBERS,
    _REPEAT_CHANCE,
    _SIGN_CHANCE,
    MAX_OBJECTS,
    Scene,
    SceneObject,
)
from toybox.signs import _MAX_TILT as MAX_TILT_OF_SIGNS
from toybox.signs import _PAINTS, LARGEST_SIGN, SMALLEST_SIGN, WORDS, draw_sign
from toybox.sprites import LABELS, NEW_TOYS, load_sprite, plural
from toybox.strangers import HEARD, UNHEARD

pytestmark = needs_node


def as_image(picture: Image.Image) -> dict:
    return {"data": np.asarray(picture), "width": picture.width, "height": picture.height, "channels": 4}


@pytest.fixture(scope="module")
def compute():
    """The results of some calls, each a name of tests/live_scene_runner.js and its arguments."""
    sheet, places = draw_letters()
    pictures = {label: as_image(load_sprite(label)) for label in (*LABELS, *NEW_TOYS)} | {"signs": as_image(sheet)}
    command = [NODE, str(ROOT / "tests" / "live_scene_runner.js")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8") as node:

        def send(message):
            node.stdin.write(json.dumps(message, default=pack_value) + "\n")
            node.stdin.flush()

        def compute(*calls) -> list:
            send(calls)
            return json.loads(node.stdout.readline(), object_hook=unpack)

        send({"signs": places, "pictures": pictures})
        yield compute
        node.stdin.close()


def unpack(value: dict):
    for dtype in ("float32", "int8", "uint8"):
        if dtype in value:
            return np.frombuffer(base64.b64decode(value[dtype]), dtype)
    if value.keys() == {"data", "width", "height", "channels"}:
        return value["data"].reshape(value["height"], value["width"], 4)
    return value


def check_seen(found: np.ndarray, expected: np.ndarray):
    """Two sprites, uint8 [h, w, 4], are the same where there is something to be seen."""
    seen = expected[..., 3:] > 0
    np.testing.assert_array_equal(found * seen, expected * seen)


# ---- sprites ----


def test_toys_of_all_colors_are_those_of_python(compute):
    cases = [(label, color) for label in NATURAL_COLORS for color in COLORS]
    for case, found in zip(cases, compute(*[("recolor", *case) for case in cases]), strict=True):
        check_seen(found, np.asarray(colored_sprite(*case)))


def test_toys_of_any_size_and_tilt_are_those_of_python(compute):
    rng, cases = np.random.default_rng(0), []
    for label in LABELS:
        color = str(rng.choice(list(COLORS))) if label in NATURAL_COLORS else None
        size, tilt = int(rng.integers(SMALLEST, LARGEST + 1)), int(rng.integers(-20, 21)) * int(rng.integers(2))
        cases.append({"label": label, "color": color, "size": size, "mirrored": bool(rng.integers(2)), "tilt": tilt})
    for toy, found in zip(cases, compute(*[("toy", toy) for toy in cases]), strict=True):
        check_seen(found, make_sprite(toy["label"], toy["color"], toy["size"], toy["mirrored"], toy["tilt"]))


def test_signs_are_those_of_python(compute):
    paints = list(compute(("tables",))[0]["PAINTS"])
    cases = []
    for index, word in enumerate(WORDS):
        for size in range(SMALLEST_SIGN, LARGEST_SIGN + 1):
            cases.append({"word": word, "size": size, "paint": paints[(index + size) % 5], "tilt": index % 3 * -3})
    for sign, found in zip(cases, compute(*[("sign", sign) for sign in cases]), strict=True):
        check_seen(found, draw_sign(sign["word"], sign["size"], paints.index(sign["paint"]), sign["tilt"]))


# ---- tables ----


def test_the_page_knows_what_the_model_was_trained_on(compute):
    [tables] = compute(("tables",))
    learned = tables["LEARNED"]
    assert learned["toys"] == list(LABELS) and tables["OFFERED"]["toys"] == [*LABELS, *NEW_TOYS]
    assert tables["NAMED"] == list(BACKGROUNDS) and learned["words"] == list(WORDS)
    assert tables["COLORS"] == COLORS and tables["NATURAL_COLORS"] == NATURAL_COLORS
    assert tables["MAIN_HUES"] == _MAIN_HUES
    assert list(tables["PAINTS"].values()) == [[list(board), list(letters)] for board, letters in _PAINTS]
    assert learned["signSizes"] == [SMALLEST_SIGN, LARGEST_SIGN] and learned["signTilt"] == MAX_TILT_OF_SIGNS
    assert (learned["count"], learned["smallest"], learned["tilt"]) == (MAX_OBJECTS, SMALLEST, _MAX_TILT)
    assert learned["visibleElse"] == MIN_VISIBLE
    assert tables["ADJECTIVES"] == list(ADJECTIVES)
    assert tables["NUMBERS"] == list(_NUMBERS)
    chances = {"repeat": _REPEAT_CHANCE, "natural": _NATURAL_CHANCE, "tilt": _TILT_CHANCE, "sign": _SIGN_CHANCE}
    assert tables["CHANCES"].items() >= chances.items()


def test_the_page_knows_the_layouts_of_the_training(compute):
    learned, rng = compute(("tables",))[0]["LEARNED"], np.random.default_rng(0)
    layouts = {number: [draw_layout(rng, number) for _ in range(500)] for number in range(1, MAX_OBJECTS + 1)}
    flat = [layout for some in layouts.values() for layout in some]
    assert learned["largest"] == [max(layout.sizes[1] for layout in some) for some in layouts.values()]
    assert learned["visible"] == min(layout.visible[0] for layout in flat if layout.visible)
    assert learned["outside"] == max(layout.outside[1] for layout in flat if layout.outside)
    beside_a_sign = [layout.sizes[1] for layout in layouts[1] if layout.sizes[0] < _LARGEST_WITH_SIGN]
    assert learned["largestWithSign"] == max(beside_a_sign)


def test_plurals_and_strangers_are_those_of_python(compute):
    plurals, tables = compute(("plurals", LABELS), ("tables",))
    assert plurals == [plural(label) for label in LABELS]
    assert set(tables["STRANGERS"]) <= set(UNHEARD) - set(HEARD)


# ---- scenes ----

SCENES = [
    "sand.3_sign-STOP.90.60.20.-4.red_cat.56.40.48.0_blue-car.64.60.40.-15.m_penguin.3.100.30.0",
    "plain.a0b1c2_fish.56.56.60.0_red-fish.60.70.41.33",
    "checks.12",
]


def test_a_scene_is_put_together_as_in_python(compute):
    scene, found = compute(("fromText", SCENES[0]), ("render", SCENES[0]))
    ground = compute(("render", "sand.3"))[0]["pixels"]
    pixels, owner = ground.reshape(112, 112, 3).astype(np.float32), np.full((112, 112), -1)
    things = [(draw_sign("STOP", 20, 2, -4), scene["sign"])]
    for toy in scene["toys"]:
        things.append((make_sprite(*(toy[key] for key in ("label", "color", "size", "mirrored", "tilt"))), toy))
    for index, (sprite, thing) in enumerate(things, start=-1):
        height, width = sprite.shape[:2]
        top, left = (int(np.floor(thing[at] - side / 2 + 0.5)) for at, side in (("y", height), ("x", width)))
        rows, columns = (slice(max(start, 0), start + side) for start, side in ((top, height), (left, width)))
        part = sprite[rows.start - top :, columns.start - left :]
        window = pixels[rows, columns]
        part = part[: window.shape[0], : window.shape[1]]
        window += part[..., 3:] / np.float32(255) * (part[..., :3] - window)
        if index >= 0:
            owner[rows, columns][part[..., 3] >= OPAQUE] = index
    np.testing.assert_array_equal(found["owner"].reshape(112, 112), owner)
    assert np.abs(found["pixels"].reshape(112, 112, 3) - pixels).max() <= 1.01  # the ground was rounded before
    for index, box in enumerate(found["boxes"]):
        rows, columns = np.nonzero(owner == index)
        assert box == [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    visible, inside = found["visible"], found["inside"]
    assert 0.6 < visible[0] < 1 == visible[1] and inside[:2] == [1, 1] and 0.6 < inside[2] < 0.9


def test_a_text_gives_the_scene_and_the_scene_the_text(compute):
    read = compute(*[("fromText", text) for text in SCENES])
    assert compute(*[("toText", scene) for scene in read]) == SCENES
    assert read[0]["sign"] == {"word": "STOP", "paint": "red", "y": 90, "x": 60, "size": 20, "tilt": -4}
    assert read[0]["toys"][1] == {
        "label": "car",
        "color": "blue",
        "y": 64,
        "x": 60,
        "size": 40,
        "tilt": -15,
        "mirrored": True,
    }
    assert [toy["color"] for toy in read[1]["toys"]] == ["blue", "red"]


DAMAGED = [
    *["", "sand", "moon.3", "sand.8_zebra.40.34.52.0", "sand.8_dog.40.34", "sand.x_dog.1.2.3.4", "plain.red"],
    *["sand.8_blue-dog.40.34.52.0", "sand.8_pink-car.40.34.52.0", "sand.8_sign-HELLO.40.34.20.0.red"],
    *[
        "sand.8_sign-STOP.40.34.20.0",
        "sand.8_sign-ZOO.9.9.20.0.red_sign-ZOO.80.80.20.0.red",
        "sand.8_constructor.1.2.3.4",
    ],
]


def test_a_damaged_text_gives_no_scene(compute):
    assert compute(*[("fromText", text) for text in DAMAGED]) == [None] * len(DAMAGED)


STRANGE = {
    "sand.1_cat.56.56.105.20": [],
    "sand.1_cat.30.30.40.0_cat.80.80.66.0": ["toys larger than 64 pixels, 2 of them"],
    "sand.1_cat.56.56.110.0": ["toys larger than 105 pixels"],
    "sand.1_penguin.56.56.40.25": ["a penguin", "toys tilted by more than 20 degrees"],
    "sand.1_cat.56.56.10.0": ["toys smaller than 14 pixels"],
    "sand.1_turtle.62.46.52.0_house.58.72.50.0": [],
    "sand.1_cat.56.56.40.0_house.56.56.50.0": ["toys covered by more than 64 %"],
    "sand.1_cat.56.106.40.0": [],
    "sand.1_cat.56.111.40.0": ["toys more than 38 % outside"],
    "sand.1_cat.56.106.40.0_dog.56.6.40.0": ["several toys cut off by the edge"],
    "sand.1_sign-ZOO.56.56.20.8.red_cat.50.50.30.0": ["a sign tilted by more than 6 degrees", "a sign behind a toy"],
    "sand.1_sign-ZOO.5.56.20.0.red": ["a sign cut off by the edge"],
}


def test_a_scene_unlike_the_training_is_said_to_be_so(compute):
    assert dict(zip(STRANGE, compute(*[("strangeness", text) for text in STRANGE]))) == STRANGE
    crowd = "sand.1_" + "_".join(f"cat.{20 + 35 * (i // 3)}.{20 + 35 * (i % 3)}.30.0" for i in range(7))
    [many] = compute(("strangeness", crowd + "_sign-ZOO.100.80.18.0.red"))
    assert {"more than 6 toys", "a sign with more than 3 toys"} <= set(many)


def test_random_scenes_are_of_the_kinds_of_the_training(compute):
    texts = compute(*[("randomScene", seed) for seed in range(300)])
    scenes = compute(*[("fromText", text) for text in texts])
    counts = np.bincount([len(scene["toys"]) for scene in scenes], minlength=7) / 300
    np.testing.assert_allclose(counts, _NUMBERS, atol=0.08)
    toys = [toy for scene in scenes for toy in scene["toys"]]
    assert {toy["label"] for toy in toys} == set(LABELS) and {toy["color"] for toy in toys} == {None, *COLORS}
    words = [scene["sign"]["word"] for scene in scenes if scene["sign"]]
    assert (
        set(words) <= set(WORDS) and len(set(words)) > 8 and all(len(one["toys"]) <= 3 for one in scenes if one["sign"])
    )
    strange = compute(*[("strangeness", text) for text in texts[:80]])
    assert np.mean([found != [] for found in strange]) < 0.1  # now and then there is no room


def test_ready_scenes_and_examples_are_like_the_training(compute):
    [tables] = compute(("tables",))
    texts = tables["READY"] + [example["scene"] for example in tables["EXAMPLES"]]
    assert compute(*[("strangeness", text) for text in texts]) == [[]] * len(texts)
    assert compute(*[("toText", scene) for scene in compute(*[("fromText", text) for text in texts])]) == texts


def test_the_toys_of_ready_scenes_lie_as_in_the_example_images(compute):
    truths = {
        (truth["background"], *sorted(thing["label"] for thing in truth["objects"])): truth for truth in read_truths()
    }
    ready = compute(("tables",))[0]["READY"]
    for text, scene, found in zip(
        ready, *(compute(*[(name, text) for text in ready]) for name in ("fromText", "render"))
    ):
        truth = truths[(scene["ground"]["name"], *sorted(toy["label"] for toy in scene["toys"]))]
        for toy, box in zip(scene["toys"], found["boxes"], strict=True):
            near = [
                np.abs(np.subtract(box, one["box"])).max() for one in truth["objects"] if one["label"] == toy["label"]
            ]
            assert min(near) <= 10, text
        assert (scene["sign"] or {"word": None})["word"] == truth["sign"]


# ---- grounds ----


def test_grounds_differ_by_their_seed_alone_and_those_without_a_name_look_like_none_with_one(compute):
    names = [name for name in compute(("tables",))[0]["OFFERED"]["grounds"] if name != "plain"]
    for name in names:
        first, same, *others = compute(*[("paintGround", name, seed) for seed in (0, 0, 1, 2, 3, 4, 5)])
        np.testing.assert_array_equal(first, same)
        assert all(np.abs(first - other).mean() > 1 for other in others)
        for pixels in (first, *others):
            assert pixels.min() >= 0 and pixels.max() <= 255
            may_look_named = name in (*BACKGROUNDS, "gradient")
            assert may_look_named or not has_shades_of_a_named_ground(pixels.reshape(112, 112, 3)), name


def test_what_passes_for_a_ground_with_a_name_does_so_in_python(compute):
    grounds = [paint_ground(np.random.default_rng(seed))[0].astype(np.float32) for seed in range(40)]
    found = compute(*[("hasShadesOfNamed", ground.ravel()) for ground in grounds])
    expected = [has_shades_of_a_named_ground(ground) for ground in grounds]
    assert found == expected and len(set(expected)) == 2


# ---- prompts ----


def test_phrases_mean_what_they_mean_in_python(compute):
    rng, cases = np.random.default_rng(1), []
    for _ in range(40):
        boxes = np.sort(rng.integers(0, 113, (4, 2, 2)), axis=2).transpose(0, 2, 1).reshape(4, 4).tolist()
        things = [SceneObject(str(rng.choice(["cat", "dog"])), tuple(box)) for box in boxes]
        scene = Scene(np.zeros((112, 112, 3), np.uint8), tuple(things), np.zeros((112, 112), np.int8), None)
        cases += [(scene, adjective, label) for adjective in ADJECTIVES for label in ("cat", "dog")]
    calls = [
        ("findReferred", [{"label": thing.label, "box": thing.box} for thing in scene.objects], *phrase)
        for scene, *phrase in cases
    ]
    expected = [find_referred(*case) for case in cases]
    assert compute(*calls) == expected and None in expected


def test_what_is_offered_suits_the_scene(compute):
    scene = "sand.1_sign-ZOO.100.60.20.0.red_cat.40.30.40.0_cat.40.80.30.0_blue-car.80.30.30.0"
    first, cat, second_cat, nothing = compute(
        ("offer", scene), ("offer", scene, 0), ("offer", scene, 1), ("offer", "sand.1")
    )
    assert first == cat and [*first[:2]] == ["caption en", "detect cat ; car"]
    assert {"detect left cat", "detect blue car", "segment cat", "answer en how many cats are there?"} < set(first)
    assert {"answer en what color is the car?", "answer en where is the car?", "ocr"} < set(first)
    assert not any("further left" in prompt for prompt in first)  # there is one single toy
    assert "detect right cat" in second_cat
    assert "ocr" not in nothing and not any("color" in prompt or "where" in prompt for prompt in nothing)
    assert nothing[1] == "detect apple"


def test_examples_have_a_clear_answer(compute):
    examples = compute(("tables",))[0]["EXAMPLES"]
    for example, offered in zip(examples, compute(*[("offer", example["scene"]) for example in examples])):
        _, _, phrase = example["prompt"].partition("detect ")
        assert not phrase or " ; " in phrase or example["prompt"] in offered
