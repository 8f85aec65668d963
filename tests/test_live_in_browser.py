"""The live figures in a real browser: the playground, from a server and from a folder. Skipped without chromium."""

import math
import re

import numpy as np
import pytest
from book_pages import ROOT
from test_pages_in_browser import ALL_BUT_COLORS, AXE, COLORS, NARROW, TOO_WIDE, find_violations

from toybox.grounds import BACKGROUNDS
from toybox.placement import make_sprite
from toybox.signs import draw_sign

pytestmark = pytest.mark.browser

PAGE = "book/intro"
SCENE = "sand.8_cat.74.80.50.0.m_dog.40.34.52.0_apple.30.86.30.0"
ANSWERED = ".vlm-times:not(:empty)"
PATIENCE = 60_000  # milliseconds, for a machine that does much else


@pytest.fixture
def playground(visit):
    tab = visit.open(PAGE)
    tab.wait_for_selector(".vlm-toy", timeout=PATIENCE)
    tab.set_default_timeout(PATIENCE)
    yield tab
    assert visit.problems == []


def open_link(visit, fragment: str):
    visit.tab.goto("about:blank")  # so that the page is loaded, and not only its fragment
    visit.tab.goto(f"{visit.server.address}{PAGE}.html#{fragment}")
    visit.tab.wait_for_selector(".vlm-toy", timeout=PATIENCE)
    visit.tab.set_default_timeout(PATIENCE)
    return visit.tab


def ask(tab, prompt: str) -> str:
    """Ask, wait, and return the answer."""
    tab.get_by_label("Prompt", exact=True).fill(prompt)
    tab.get_by_role("button", name="Ask", exact=True).click()
    tab.wait_for_selector(ANSWERED)
    return "".join(tab.locator(".vlm-token:not(.is-end) span").all_text_contents())


def place_of(toy) -> tuple[float, float]:
    """(y, x) of a toy's middle in pixels of the image, as a screen reader hears it."""
    y, x = re.search(r"(\d+) from the top, (\d+) from the left", toy.get_attribute("aria-label")).groups()
    return int(y), int(x)


def box_of(tab, label: str) -> tuple[float, ...]:
    """(y_min, x_min, y_max, x_max) of the drawn box with a label, in pixels of the image."""
    stage = tab.locator(".vlm-stage").bounding_box()
    box = tab.locator(".vlm-box", has_text=label).first.bounding_box()
    unit = stage["width"] / 112
    top, left = (box["y"] - stage["y"]) / unit, (box["x"] - stage["x"]) / unit
    return top, left, top + box["height"] / unit, left + box["width"] / unit


def middle(box: tuple[float, ...]) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def model_view(tab) -> str:
    """The pixels that the model sees, as the page shows them."""
    tab.get_by_label("pixels that the model sees").check()
    return tab.locator(".vlm-picture").evaluate("canvas => canvas.toDataURL()")


def test_boxes_appear_where_the_toys_are(playground):
    answer = ask(playground, "detect cat ; dog")
    assert len(re.findall(r"<loc\d{4}>", answer)) == 8
    playground.wait_for_timeout(300)  # boxes glide
    for toy in ("dog", "cat"):
        button = playground.locator(f".vlm-toy[aria-label^={toy}]")
        assert math.dist(middle(box_of(playground, toy)), place_of(button)) < 5
    assert playground.locator(".vlm-box", has_text="apple").count() == 0


def test_a_box_follows_a_toy_that_the_mouse_drags(playground):
    ask(playground, "detect dog")
    dog = playground.locator(".vlm-toy[aria-label^=dog]")
    at, before = dog.bounding_box(), place_of(dog)
    x, y = at["x"] + at["width"] / 2, at["y"] + at["height"] / 2
    playground.mouse.move(x, y)
    playground.mouse.down()
    playground.mouse.move(x + 20, y + 60, steps=4)
    playground.mouse.move(x + 10, y + 120, steps=4)
    playground.mouse.up()
    assert math.dist(place_of(dog), before) > 25
    playground.wait_for_function(
        """([y, x]) => {
            const find = name => document.querySelector(name).getBoundingClientRect();
            const [box, stage] = [find(".vlm-box"), find(".vlm-stage")];
            const middle = [box.top + box.height / 2 - stage.top, box.left + box.width / 2 - stage.left];
            const unit = stage.width / 112;
            return Math.hypot(middle[0] / unit - y, middle[1] / unit - x) < 5;
        }""",
        arg=place_of(dog),
    )


def test_keys_move_scale_tilt_order_and_remove_a_toy(playground):
    cat = playground.locator(".vlm-toy[aria-label^=cat]")
    cat.focus()
    y, x = place_of(cat)
    for key, expected in {
        "ArrowUp": f"cat, 50 pixels, {y - 4} from the top, {x} from the left",
        "ArrowLeft": f"cat, 50 pixels, {y - 4} from the top, {x - 4} from the left",
        "Shift+ArrowRight": f"cat, 50 pixels, {y - 4} from the top, {x - 3} from the left",
        "+": f"cat, 54 pixels, {y - 4} from the top, {x - 3} from the left",
        "-": f"cat, 50 pixels, {y - 4} from the top, {x - 3} from the left",
        "[": f"cat, 50 pixels, {y - 4} from the top, {x - 3} from the left, tilted by 4 degrees",
        "]": f"cat, 50 pixels, {y - 4} from the top, {x - 3} from the left",
    }.items():
        playground.keyboard.press(key)
        assert cat.get_attribute("aria-label") == expected, key
    order = "buttons => buttons.sort((a, b) => a.style.zIndex - b.style.zIndex).map(b => b.ariaLabel.split(',')[0])"
    toys = playground.locator(".vlm-toy")
    playground.keyboard.press("PageUp")
    playground.keyboard.press("PageUp")
    assert toys.evaluate_all(order) == ["dog", "apple", "cat"]
    playground.keyboard.press("PageDown")
    assert toys.evaluate_all(order) == ["dog", "cat", "apple"]
    playground.keyboard.press("Delete")
    assert toys.evaluate_all(order) == ["dog", "apple"]
    assert playground.evaluate("document.activeElement.ariaLabel").startswith("dog")


def test_a_toy_comes_from_the_shelf_by_click_and_by_drag(playground):
    shelf = playground.locator(".vlm-shelf")
    shelf.get_by_role("button", name="Add: fish").click()
    assert playground.locator(".vlm-toy[aria-label^=fish]").count() == 1
    stage = playground.locator(".vlm-stage").bounding_box()
    shelf.get_by_role("button", name="Add: bus").hover()
    playground.mouse.down()
    playground.mouse.move(stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] * 0.9, steps=5)
    playground.mouse.move(stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2, steps=5)
    playground.mouse.up()
    assert math.dist(place_of(playground.locator(".vlm-toy[aria-label^=bus]")), (56, 56)) < 2


def test_handles_scale_and_tilt_the_selected_toy(playground):
    dog = playground.locator(".vlm-toy[aria-label^=dog]")
    dog.click()
    tries = ((".is-size", (-15, -15), r"dog, 4\d pixels"), (".is-tilt", (0, 40), r"tilted by -\d\d"))
    for handle, way, pattern in tries:
        box = playground.locator(f".vlm-handle{handle}").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        playground.mouse.move(x, y)
        playground.mouse.down()
        playground.mouse.move(x + way[0], y + way[1], steps=4)
        playground.mouse.up()
        assert re.search(pattern, dog.get_attribute("aria-label")), dog.get_attribute("aria-label")


def test_an_empty_prompt_is_an_error_and_not_a_question(playground):
    field = playground.get_by_label("Prompt", exact=True)
    field.fill("   ")
    playground.get_by_role("button", name="Ask", exact=True).click()
    status = playground.locator(".vlm-status")
    assert "The prompt is empty" in status.text_content()
    assert field.get_attribute("aria-invalid") == "true"
    assert playground.evaluate("document.activeElement.type") == "text"
    assert playground.locator(".vlm-token").count() == 0
    assert ask(playground, "caption en")
    assert status.text_content() == ""


def test_a_link_restores_the_scene_and_asks_its_prompt(playground, visit):
    playground.locator(".vlm-toy[aria-label^=dog]").focus()
    playground.keyboard.press("ArrowDown")
    playground.get_by_role("combobox", name="Ground").select_option("snow")
    playground.get_by_label("Prompt", exact=True).fill("detect dog ; apple")
    playground.get_by_role("button", name="Copy link").click()
    playground.wait_for_function("document.querySelector('.vlm-status').textContent.includes('copied')")
    link = playground.evaluate("navigator.clipboard.readText()")
    toys = [toy.get_attribute("aria-label") for toy in playground.locator(".vlm-toy").all()]
    pixels = model_view(playground)
    tab = open_link(visit, link.split("#")[1])
    assert [toy.get_attribute("aria-label") for toy in tab.locator(".vlm-toy").all()] == toys
    assert tab.get_by_role("combobox", name="Ground").input_value() == "snow"
    assert tab.get_by_label("Prompt", exact=True).input_value() == "detect dog ; apple"
    tab.wait_for_selector(ANSWERED)
    assert tab.locator(".vlm-box").count() == 2
    assert model_view(tab) == pixels


@pytest.mark.parametrize("scene", ["", "moon.3", "sand.8_sign-HELLO.40.34.20.0.red"])
def test_a_damaged_link_is_an_error_that_says_so(visit, scene):
    tab = open_link(visit, f"scene={scene}&ask=caption+en")
    assert "link" in tab.locator(".vlm-status.is-error").text_content()
    assert tab.locator(".vlm-toy").count() == 3
    assert visit.problems == []


def test_a_token_shows_its_runners_up_and_where_it_looked(playground):
    ask(playground, "caption en")
    tokens = playground.locator(".vlm-token")
    tokens.nth(1).click()
    rows = playground.locator(".vlm-token-detail li")
    assert rows.count() == 5
    chances = [float(text.strip("< %")) for text in rows.locator("small").all_text_contents()]
    assert chances == sorted(chances, reverse=True) and sum(chances) < 100.5
    alpha = """canvas => {
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
        copy.drawImage(canvas, 0, 0);
        return [...copy.getImageData(0, 0, canvas.width, canvas.height).data].filter((_, i) => i % 4 === 3);
    }"""
    patches = playground.locator(".vlm-patches")
    opacities = patches.evaluate(alpha)
    assert len(opacities) == 64 and max(opacities) > 0 and min(opacities) < 20
    playground.get_by_role("combobox", name="Layer").select_option("0")
    assert patches.evaluate(alpha) != opacities
    tokens.nth(1).press("ArrowRight")
    assert playground.evaluate("[...document.querySelectorAll('.vlm-token')].indexOf(document.activeElement)") == 2
    tokens.nth(1).click()
    assert patches.is_hidden()


def test_segment_tints_the_toy(playground):
    ask(playground, "segment dog")
    owner = playground.evaluate(
        """async scene => {
            const rendering = VLM.scene.render(VLM.sceneText.fromText(scene), await VLM.pictures.load());
            return [...rendering.owner].map(one => one === 1);
        }""",
        SCENE,
    )
    tinted = playground.locator(".vlm-masks").evaluate(
        """canvas => {
            const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            const step = canvas.width / 112;
            return Array.from({length: 112 * 112}, (_, i) => {
                const [y, x] = [Math.floor(i / 112), i % 112].map(at => Math.floor((at + 0.5) * step));
                return data[4 * (y * canvas.width + x) + 3] > 0;
            });
        }"""
    )
    owner, tinted = np.array(owner), np.array(tinted)
    assert (owner & tinted).sum() / (owner | tinted).sum() > 0.7


def test_answers_are_announced(playground):
    spoken = playground.locator(".vlm-spoken[aria-live=polite]")
    for label, said in (("cat", "found 1: cat"), ("bus", "found nothing")):
        ask(playground, f"detect {label}")
        playground.wait_for_function(
            "said => document.querySelector('.vlm-spoken[aria-live]').textContent.includes(said)", arg=said
        )
    assert spoken.evaluate("node => getComputedStyle(node).display") != "none"


def test_a_picture_of_ones_own_becomes_the_image(playground, visit):
    picture = ROOT / "toybox" / "example_pictures"
    path = sorted(picture.glob("*.png"))[0]
    playground.locator("input[type=file]").set_input_files(path)
    playground.wait_for_selector(".vlm-note:not(:empty)")
    assert "stays in this browser" in playground.locator(".vlm-note").text_content()
    assert playground.locator(".vlm-toy").count() == 0
    assert ask(playground, "caption en")
    playground.get_by_role("button", name="Copy link").click()
    assert "cannot hold your own image" in playground.locator(".vlm-status").text_content()
    text = ROOT / "README.md"
    playground.locator("input[type=file]").set_input_files(text)
    playground.wait_for_selector(".vlm-status.is-error")
    assert "not an image" in playground.locator(".vlm-status").text_content()


def test_an_answer_is_accessible_in_light_and_dark_and_fits_a_narrow_screen(playground):
    ask(playground, "segment dog")
    playground.locator(".vlm-token").nth(3).click()
    playground.get_by_role("button", name="Add: penguin").click()
    playground.wait_for_selector(".vlm-note:not(:empty)")
    playground.add_style_tag(content="* { transition: none !important }")
    playground.evaluate(AXE)
    assert find_violations(playground, ALL_BUT_COLORS) == []
    for color_scheme in ("light", "dark"):
        playground.emulate_media(color_scheme=color_scheme)
        playground.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=color_scheme)
        assert find_violations(playground, COLORS) == []
    playground.set_viewport_size(NARROW)
    assert playground.evaluate(TOO_WIDE, NARROW["width"]) == []


def test_boxes_do_not_glide_for_readers_who_want_less_motion(playground):
    ask(playground, "detect dog")
    duration = "node => getComputedStyle(node).transitionDuration"
    assert playground.locator(".vlm-box").evaluate(duration) == "0.12s"
    playground.emulate_media(reduced_motion="reduce")
    assert playground.locator(".vlm-box").evaluate(duration) == "0s"


def test_a_click_takes_the_toy_that_is_seen_there_and_not_the_square_on_top(visit):
    scene = "sand.8_cat.56.50.50.0_tree.56.76.50.0"
    tab = open_link(visit, f"scene={scene}")
    y, x = tab.evaluate(
        """async scene => {
            const {owner} = VLM.scene.render(VLM.sceneText.fromText(scene), await VLM.pictures.load());
            const inSquareOfTree = at => at % 112 > 53 && at % 112 < 99;
            const at = owner.findIndex((index, at) => index === 0 && inSquareOfTree(at));
            return [Math.floor(at / 112) + 0.5, at % 112 + 0.5];
        }""",
        scene,
    )
    stage = tab.locator(".vlm-stage").bounding_box()
    unit = stage["width"] / 112
    tab.mouse.click(stage["x"] + x * unit, stage["y"] + y * unit)
    assert tab.locator(".vlm-toy[aria-pressed=true]").get_attribute("aria-label").startswith("cat")
    assert tab.evaluate("document.activeElement.ariaLabel").startswith("cat")


def test_handles_stay_inside_the_image(playground):
    playground.locator(".vlm-toy[aria-label^=dog]").focus()
    for _ in range(12):
        playground.keyboard.press("ArrowUp")
    stage = playground.locator(".vlm-stage").bounding_box()
    for handle in playground.locator(".vlm-handle").all():
        box = handle.bounding_box()
        assert abs(box["y"] + box["height"] / 2 - stage["y"] - stage["height"] / 2) <= stage["height"] / 2 + 1


@pytest.mark.parametrize("ground", BACKGROUNDS)
def test_the_model_takes_our_grounds_for_those_of_its_training(playground, ground):
    playground.get_by_role("combobox", name="Ground").select_option(ground)
    assert ask(playground, "caption en").endswith(BACKGROUNDS[ground])


@pytest.mark.parametrize("thing", ["cat.56.56.26.0", "green-butterfly.56.56.56.13.m", "sign-STOP.56.56.24.-4.blue"])
def test_a_thing_is_drawn_as_in_the_training_scenes(playground, thing):
    drawn = playground.evaluate(
        """async text => {
            const scene = VLM.sceneText.fromText(text);
            return [...VLM.scene.render(scene, await VLM.pictures.load()).pixels];
        }""",
        f"plain.ffffff_{thing}",
    )
    sprite = {
        "cat": lambda: make_sprite("cat", None, 26, False, 0),
        "gre": lambda: make_sprite("butterfly", "green", 56, True, 13),
        "sig": lambda: draw_sign("STOP", 24, 4, -4),
    }[thing[:3]]().astype(np.float32)
    expected = np.full((112, 112, 3), 255, np.float32)
    rows, columns = (slice(first := math.floor(56.5 - side / 2), first + side) for side in sprite.shape[:2])
    expected[rows, columns] += sprite[..., 3:] / 255 * (sprite[..., :3] - expected[rows, columns])
    difference = np.abs(np.array(drawn).reshape(112, 112, 3) - expected)
    assert (
        difference.mean() < 0.2 and difference.max() < 20
    )  # a browser stores faint colors coarsely: it shows at the rim


def test_a_sign_and_a_color_are_chosen(playground):
    playground.get_by_role("button", name="Add: sign").click()
    sign = playground.locator(".vlm-toy[aria-label^=sign]")
    playground.get_by_role("combobox", name="Word").select_option("ZOO")
    playground.get_by_role("combobox", name="Board").select_option("green")
    assert sign.get_attribute("aria-label").startswith("sign, ZOO")
    at, before = sign.bounding_box(), place_of(sign)
    x, y = at["x"] + at["width"] / 2, at["y"] + at["height"] / 2
    playground.mouse.move(x, y)
    playground.mouse.down()
    playground.mouse.move(x + 40 * (1 if before[1] < 56 else -1), y, steps=4)
    playground.mouse.up()
    assert abs(place_of(sign)[1] - before[1]) > 5
    playground.get_by_role("button", name="Add: sign").click()
    assert "a scene has one at most" in playground.locator(".vlm-status").text_content()
    assert playground.get_by_role("button", name="ocr").is_visible()
    sign.press("Delete")
    assert sign.count() == 0 and not playground.get_by_role("button", name="ocr").is_visible()
    playground.get_by_role("button", name="Add: car").click()
    playground.get_by_role("combobox", name="Color", exact=True).select_option("blue")
    assert playground.locator(".vlm-toy[aria-label^='car, blue']").count() == 1
    assert playground.get_by_role("button", name="detect blue car").is_visible()
    playground.locator(".vlm-toy[aria-label^=cat]").focus()
    assert playground.get_by_role("combobox", name="Color", exact=True).is_disabled()


def test_an_example_brings_its_scene_and_asks_its_prompt(playground):
    playground.get_by_role("combobox", name="Example").select_option(label="A sign to read")
    playground.wait_for_selector(ANSWERED)
    assert playground.get_by_label("Prompt", exact=True).input_value() == "ocr"
    assert playground.locator(".vlm-toy").count() == 3
    assert playground.locator(".vlm-note").text_content() == ""


def test_a_model_that_does_not_arrive_is_an_error_and_a_second_try_works(visit):
    tab = visit.open(PAGE)
    tab.wait_for_selector(".vlm-toy", timeout=PATIENCE)
    tab.set_default_timeout(PATIENCE)
    visit.context.route("**/weights.bin*", lambda route: route.abort())
    tab.get_by_role("button", name="Ask", exact=True).click()
    tab.wait_for_selector(".vlm-status.is-error")
    assert "try again" in tab.locator(".vlm-status").text_content()
    assert tab.locator("progress").is_hidden()
    visit.context.unroute("**/weights.bin*")
    assert ask(tab, "caption en")
    assert tab.locator(".vlm-status").text_content() == ""


LONGEST_PAUSE = 100  # milliseconds without an answer to the reader, on a machine that does nothing else
# The longest time between two beats of the page's own thread while it works. Other programs on the machine prolong it.
# To know by how much at most, pieces of equal work, of about a tenth of a second, are timed for as long: the longest of
# them divided by the shortest.
PAUSES = """async name => {
    const longestGap = async work => {
        let [longest, last, isDone] = [0, performance.now(), false];
        const beats = new Promise(done => {
            const beat = () => {
                const now = performance.now();
                [longest, last] = [Math.max(longest, now - last), now];
                isDone ? done() : setTimeout(beat);
            };
            setTimeout(beat);
        });
        await work();
        isDone = true;
        await beats;
        return longest;
    };
    const nextFrame = () => new Promise(requestAnimationFrame);
    const press = text => [...document.querySelectorAll("button")].find(one => one.textContent === text).click();
    const works = {
        answer: async () => {
            const engine = await VLM.engine.load();
            const pixels = new Uint8ClampedArray(112 * 112 * 3).map((_, i) => 97 * i);
            for (const prompt of ["caption en", "segment cat"]) await engine.ask({pixels, prompt});
        },
        draw: async () => {
            for (let i = 0; i < 12; i++) {
                press("Random scene");
                for (let frame = 0; frame < 3; frame++) await nextFrame();
            }
        },
    };
    const start = performance.now();
    const longest = await longestGap(works[name]);
    const end = 2 * performance.now() - start;
    const pieces = [];
    for (let sum = 0; pieces.length < 20 || performance.now() < end; await new Promise(done => setTimeout(done))) {
        const before = performance.now();
        for (let i = 0; i < 8e7; i++) sum += i % 7;
        pieces.push(performance.now() - before);
    }
    return {longest, shortest: Math.min(...pieces), slowdown: Math.max(...pieces) / Math.min(...pieces)};
}"""


@pytest.mark.parametrize(("work", "has_worker"), [("answer", True), ("answer", False), ("draw", True)])
def test_the_page_answers_its_reader_while_it_works(visit, record_property, work, has_worker):
    if not has_worker:
        visit.context.add_init_script("delete globalThis.Worker")
    tab = visit.open(PAGE)
    tab.wait_for_selector(".vlm-toy", timeout=PATIENCE)
    if work == "draw":
        tab.get_by_label("answer again when the scene changes").uncheck()
    measured = tab.evaluate(PAUSES, work)
    record_property("milliseconds", measured)
    assert tab.evaluate("VLM.engine.load().then(engine => engine.inWorker)") == has_worker
    assert measured["longest"] <= LONGEST_PAUSE * measured["slowdown"], measured


def test_it_works_from_a_folder(browser, site):
    context = browser.new_context()
    tab = context.new_page()
    problems = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.goto((site / f"{PAGE}.html").as_uri())
    tab.wait_for_selector(".vlm-toy", timeout=PATIENCE)
    tab.set_default_timeout(PATIENCE)
    ask(tab, "detect cat ; dog")
    assert tab.locator(".vlm-box").count() == 2
    assert problems == []
    context.close()


def test_it_works_by_touch_on_a_phone(browser, server):
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    tab = context.new_page()
    tab.goto(f"{server.address}{PAGE}.html")
    tab.wait_for_selector(".vlm-toy", timeout=PATIENCE)
    tab.set_default_timeout(PATIENCE)
    tab.get_by_role("button", name="Add: fish").tap()
    assert tab.locator(".vlm-toy[aria-label^=fish]").count() == 1
    tab.wait_for_selector(ANSWERED)
    tab.get_by_role("button", name="caption en").tap()
    tab.wait_for_function("document.querySelector('.vlm-spoken[aria-live]').textContent.includes('The model answers')")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    context.close()


def test_without_javascript_there_is_a_figure_to_look_at(browser, server):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{server.address}{PAGE}.html")
    assert tab.locator(".live-figure figure img").is_visible()
    context.close()
