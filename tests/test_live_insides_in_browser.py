""" "Break it" and the attention lab in a real browser. Skipped without chromium."""

import json
import re

import pytest
from test_live_in_browser import PATIENCE
from test_pages_in_browser import ALL_BUT_COLORS, AXE, COLORS, NARROW, TOO_WIDE, find_violations

from toybox import CHECKPOINT_DIRECTORY

pytestmark = pytest.mark.browser

LAYERS = HEADS = 4
TOWER_HEADS = 6
SAYS = "([figure, part]) => document.querySelector(`${figure} .vlm-status`).textContent.includes(part)"


@pytest.fixture
def open_figure(visit):
    """Open a page, and return the place of one of its live figures."""

    def open_figure(page: str, selector: str):
        tab = visit.open(f"book/{page}")
        tab.set_default_timeout(PATIENCE)
        figure = tab.locator(f".live-figure{selector}")
        figure.scroll_into_view_if_needed()
        figure.locator(".vlm-stage").first.wait_for()
        return figure

    yield open_figure
    assert visit.problems == []


def wait_until_it_says(figure, selector: str, part: str):
    figure.page.wait_for_function(SAYS, arg=[f".live-figure{selector}", part])


def check_looks(figure):
    """Nothing that axe finds, in light and dark; nothing wider than a small screen."""
    tab = figure.page
    tab.add_style_tag(content="* { transition: none !important }")
    tab.evaluate(AXE)
    assert find_violations(tab, ALL_BUT_COLORS) == []
    for color_scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=color_scheme)
        tab.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=color_scheme)
        assert find_violations(tab, COLORS) == []
    tab.set_viewport_size(NARROW)
    assert tab.evaluate(TOO_WIDE, NARROW["width"]) == []


# ---- break it ----

BREAK_IT = "[data-figure=break-it]"


def answers(figure) -> list[str]:
    return figure.locator(".vlm-words").all_text_contents()


def bar_widths(figure) -> dict[str, float]:
    rows = figure.locator(".vlm-errors li").all()
    width = "row => row.querySelector('.vlm-error-bar').offsetWidth / row.querySelector('.vlm-error-track').offsetWidth"
    return {row.get_attribute("title"): row.evaluate(width) for row in rows}


def test_a_bug_changes_the_answer_and_the_bars_from_the_module_on_where_it_acts(open_figure):
    figure = open_figure("ch14_proving", BREAK_IT)
    figure.locator("[data-bug=norm-without-1]").click()
    wait_until_it_says(figure, BREAK_IT, "first module that differs: layer 0")
    right, wrong = answers(figure)
    assert right != wrong
    loud = bar_widths(figure)
    names = list(loud)
    first = names.index("language_model.layers.0")
    assert all((width > 0) == (index >= first) for index, width in enumerate(loud.values()))
    assert figure.locator(".vlm-errors .is-first").get_attribute("title") == names[first]

    figure.locator("[data-bug=norm-without-1]").click()
    wait_until_it_says(figure, BREAK_IT, "No module differs")
    assert answers(figure) == [right, right] and set(bar_widths(figure).values()) == {0}

    figure.locator("[data-bug=exact-gelu]").click()
    wait_until_it_says(figure, BREAK_IT, "first module that differs: layer 0")
    quiet = bar_widths(figure)
    assert 0 < quiet[names[first]] < 0.6 * loud[names[first]]  # on the same axis


def test_bugs_of_one_piece_are_not_on_together_and_others_are(open_figure):
    figure = open_figure("ch14_proving", BREAK_IT)
    for bug in ("causal-prefix", "exact-gelu", "padding-visible"):
        figure.locator(f"[data-bug={bug}]").click()
    on = "buttons => buttons.filter(one => one.ariaPressed === 'true').map(one => one.dataset.bug)"
    assert figure.locator("[data-bug]").evaluate_all(on) == ["padding-visible", "exact-gelu"]
    assert figure.locator(".vlm-says li").count() == 2


def test_padding_can_be_seen_only_where_there_is_some(open_figure):
    figure = open_figure("ch14_proving", BREAK_IT)
    figure.locator("[data-bug=padding-visible]").click()
    wait_until_it_says(figure, BREAK_IT, "No module differs")
    figure.get_by_label("pads before the image").check()
    wait_until_it_says(figure, BREAK_IT, "first module that differs: layer 0")


def test_both_models_draw_their_boxes_and_follow_the_scene(open_figure):
    figure = open_figure("bugs_in_the_wild", BREAK_IT)
    figure.get_by_role("button", name="detect").click()
    wait_until_it_says(figure, BREAK_IT, "No module differs")
    right, wrong = (figure.locator(".vlm-stage").nth(index) for index in (0, 1))
    boxes = "stage => [...stage.querySelectorAll('.vlm-box')].map(box => box.style.cssText)"
    before = right.evaluate(boxes)
    assert len(before) > 0 and wrong.evaluate(boxes) == before
    toy = right.locator(".vlm-toy").last
    toy.focus()
    toy.press("ArrowDown")
    toy.press("ArrowDown")
    figure.page.wait_for_function(
        "([text, old]) => document.querySelector('.live-figure .vlm-words').textContent !== text",
        arg=[answers(figure)[0], None],
    )
    wait_until_it_says(figure, BREAK_IT, "No module differs")
    assert right.evaluate(boxes) != before


def test_a_chapter_offers_its_own_bug_and_an_empty_prompt_is_an_error(open_figure):
    figure = open_figure("ch08_gqa", BREAK_IT)
    assert figure.locator("[data-bug]").count() == 1
    figure.get_by_label("Prompt", exact=True).fill(" ")
    figure.get_by_role("button", name="Compare").click()
    wait_until_it_says(figure, BREAK_IT, "The prompt is empty")
    assert figure.get_by_label("Prompt", exact=True).get_attribute("aria-invalid") == "true"
    figure.get_by_role("button", name="caption en").click()
    wait_until_it_says(figure, BREAK_IT, "No module differs")


def test_break_it_is_accessible_and_fits_a_narrow_screen(open_figure):
    figure = open_figure("ch14_proving", BREAK_IT)
    figure.get_by_role("button", name="detect").click()
    figure.locator("[data-bug=heads-tiled]").click()
    wait_until_it_says(figure, BREAK_IT, "first module that differs: layer 0")
    figure.locator("summary").click()
    spoken = figure.locator("[aria-live=polite]")
    figure.page.wait_for_function("node => node.textContent.includes('With bugs')", arg=spoken.element_handle())
    check_looks(figure)


# ---- the attention lab ----


def view(name: str) -> str:
    return f"[data-view={name}]"


def opacities(figure) -> list[int]:
    """Of the patches of the large image."""
    return figure.locator(".vlm-lab-image .vlm-patches").evaluate(
        """canvas => {
            const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
            copy.drawImage(canvas, 0, 0);
            return [...copy.getImageData(0, 0, canvas.width, canvas.height).data].filter((_, i) => i % 4 === 3);
        }"""
    )


def test_zero_is_transparent_and_the_scale_is_fixed(open_figure):
    figure = open_figure("ch03_attention", view("tower"))
    colors = figure.page.evaluate(
        "[0, 0.1, 0.2, 1].map(value => VLM.overlay.patchColor(value, VLM.attentionMaps.MOST))"
    )
    zero, half, most, more = (opacity for *_, opacity in colors)
    assert zero == 0 and 0 < half < most == more <= 1
    assert "20 % or more" in figure.locator(".vlm-legend").text_content()


def test_a_patch_shows_where_it_attends_in_the_tower(open_figure):
    figure = open_figure("ch03_attention", view("tower"))
    figure.get_by_label("Patch in row 4, column 2").click()
    wait_until_it_says(figure, view("tower"), "Layer 0, head 0: the patch in row 4, column 2")
    assert figure.locator(".vlm-head").count() == LAYERS * TOWER_HEADS
    first = opacities(figure)
    assert len(first) == 64 and min(first) < max(first)
    figure.locator(".vlm-head").nth(TOWER_HEADS + 1).click()
    wait_until_it_says(figure, view("tower"), "Layer 1, head 1")
    assert opacities(figure) != first
    figure.page.keyboard.press("ArrowDown")
    wait_until_it_says(figure, view("tower"), "Layer 2, head 1")
    figure.get_by_label("Patch in row 4, column 2").press("ArrowRight")
    wait_until_it_says(figure, view("tower"), "the patch in row 4, column 3")
    check_looks(figure)


def test_the_patches_of_the_page_are_those_of_the_model(open_figure):
    figure = open_figure("ch03_attention", view("tower"))
    vision = json.loads((CHECKPOINT_DIRECTORY / "config.json").read_text(encoding="utf-8"))["vision_config"]
    assert figure.page.evaluate("VLM.patchBoard.SIDE") == vision["image_size"] / vision["patch_size"]


def test_heads_are_knocked_out_by_click_and_by_key_and_come_back(open_figure):
    figure = open_figure("ch08_gqa", view("heads"))
    figure.get_by_role("button", name="Ask").click()
    wait_until_it_says(figure, view("heads"), "Layer 0, head 0: position")
    assert figure.locator(".vlm-head").count() == LAYERS * HEADS
    answer, now = figure.locator(".vlm-changes code").all_text_contents(), figure.locator(".vlm-words")
    whole = now.text_content()
    for head in range(3):
        figure.locator(".vlm-knock").nth(head).click()
    last = figure.locator(".vlm-head").nth(3)
    last.click()
    last.press("Delete")
    wait_until_it_says(figure, view("heads"), "Layer 0, head 3 is knocked out")
    figure.page.wait_for_function("document.querySelectorAll('.is-out').length === 4")
    assert now.text_content() != whole
    assert figure.locator(".vlm-changes code").all_text_contents() == answer  # bars are those of the same tokens
    assert "now" in figure.locator(".vlm-change-view p").first.text_content()
    figure.get_by_role("button", name="All heads back").click()
    wait_until_it_says(figure, view("heads"), "Layer 0, head 3: position")
    assert now.text_content() == whole and figure.locator(".is-out").count() == 0
    check_looks(figure)


def test_a_position_is_a_token_or_a_patch_and_says_what_it_predicts(open_figure):
    figure = open_figure("ch08_gqa", view("heads"))
    figure.get_by_role("button", name="Ask").click()
    wait_until_it_says(figure, view("heads"), "Layer 0, head 0: position")
    answer = figure.locator(".vlm-changes code").all_text_contents()
    tokens = figure.locator(".vlm-positions button")
    predicted = [text.removeprefix("→ ") for text in tokens.locator("small").all_text_contents() if text.strip()]
    assert predicted == answer
    shown = opacities(figure)
    tokens.nth(-2).click()
    assert tokens.nth(-2).get_attribute("aria-pressed") == "true"
    assert opacities(figure) != shown
    figure.get_by_label("Patch in row 2, column 3").click()
    wait_until_it_says(figure, view("heads"), "the patch in row 2, column 3")
    assert "0.1 % to the answer" in figure.locator(".vlm-status").text_content()  # a patch sees no answer
    figure.get_by_role("button", name="detect").click()
    figure.locator(".vlm-changes code", has_text="<loc").first.wait_for()
    figure.get_by_label("all positions 1").check()
    figure.locator(".vlm-words mark").first.wait_for()  # without positions it cannot count the edges of a box


def prompt_share(figure) -> float:
    return float(re.search(r"([\d.]+) % to the prompt", figure.locator(".vlm-status").text_content())[1])


def test_patches_see_the_prompt_unless_the_prefix_is_causal(open_figure):
    figure = open_figure("ch09_merge", view("merge"))
    figure.get_by_label("Patch in row 4, column 2").click()
    wait_until_it_says(figure, view("merge"), "Layer 0, head 0: the patch in row 4, column 2")
    shares = []
    for head in range(HEADS):
        figure.locator(".vlm-head").nth(head).click()
        shares.append(prompt_share(figure))
    assert max(shares) > 10
    figure.get_by_label("causal prefix").check()
    wait_until_it_says(figure, view("merge"), "< 0.1 % to the prompt")
    for head in range(HEADS):
        figure.locator(".vlm-head").nth(head).click()
        assert "< 0.1 % to the prompt" in figure.locator(".vlm-status").text_content()
    check_looks(figure)


def test_the_lens_reads_what_is_held_at_the_input_and_the_answer_at_the_end(open_figure):
    figure = open_figure("ch19_inside", view("lens"))
    figure.get_by_role("button", name="Ask").click()
    figure.locator(".vlm-lens button").first.wait_for()
    answer = figure.locator(".vlm-lens thead th").all_text_contents()
    rows = [row.locator("button").all_text_contents() for row in figure.locator(".vlm-lens tbody tr").all()]
    assert len(rows) == LAYERS + 1
    assert rows[-1] == answer and rows[0] == ["⏎", *answer[:-1]]
    figure.locator(".vlm-lens button").first.click()
    figure.page.keyboard.press("ArrowDown")
    figure.page.keyboard.press("ArrowRight")
    detail = figure.locator(".vlm-token-detail")
    assert "After layer 0" in detail.text_content() and f"“{answer[1]}”" in detail.text_content()
    assert detail.locator("li").count() == 5
    check_looks(figure)


def test_the_brush_covers_patches_and_moves_the_probabilities(open_figure):
    figure = open_figure("ch19_inside", view("brush"))
    figure.get_by_role("button", name="Ask").click()
    figure.locator(".vlm-changes li").first.wait_for()
    numbers = figure.locator(".vlm-changes small")
    before = numbers.all_text_contents()
    box = figure.locator(".vlm-brush").bounding_box()
    mouse, side = figure.page.mouse, box["width"] / 8
    mouse.move(box["x"] + 4.5 * side, box["y"] + 5.5 * side)
    mouse.down()
    for column, row in ((6.5, 5.5), (6.5, 6.5), (4.5, 6.5)):
        mouse.move(box["x"] + column * side, box["y"] + row * side, steps=6)
    mouse.up()
    wait_until_it_says(figure, view("brush"), "6 of 64 patches are covered")
    assert numbers.all_text_contents() != before
    patch = figure.get_by_label("Cover the patch in row 5, column 4")
    patch.focus()
    patch.press("ArrowLeft")
    figure.page.keyboard.press("Space")
    wait_until_it_says(figure, view("brush"), "7 of 64 patches are covered")
    figure.get_by_role("button", name="Uncover all").click()
    wait_until_it_says(figure, view("brush"), "Drag over the image")
    assert numbers.all_text_contents() == before
    check_looks(figure)


def test_the_brush_and_the_switches_work_by_touch_from_a_folder(browser, site):
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    tab = context.new_page()
    tab.set_default_timeout(PATIENCE)
    tab.goto((site / "book" / "ch19_inside.html").as_uri())
    brush = tab.locator(f".live-figure{view('brush')}")
    brush.scroll_into_view_if_needed()
    brush.get_by_label("Cover the patch in row 5, column 5").tap()
    wait_until_it_says(brush, view("brush"), "1 of 64 patches are covered")
    tab.goto((site / "book" / "ch08_gqa.html").as_uri())
    bugs = tab.locator(f".live-figure{BREAK_IT}")
    bugs.scroll_into_view_if_needed()
    bugs.locator("[data-bug=heads-tiled]").tap()
    wait_until_it_says(bugs, BREAK_IT, "first module that differs: layer 0")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    context.close()


def test_without_a_cache_each_token_costs_as_much_as_the_prompt(open_figure):
    figure = open_figure("ch11_kv_cache", view("cache"))
    figure.get_by_role("button", name="caption en").click()
    wait_until_it_says(figure, view("cache"), "The answers are the same")
    assert re.search(r"takes \d\d times the multiplications", figure.locator(".vlm-status").text_content())
    heights = {
        kind: figure.locator(f".vlm-plot circle{kind}").evaluate_all("dots => dots.map(dot => dot.cy.baseVal.value)")
        for kind in (":not(.is-warm)", ".is-warm")
    }
    with_cache, without = heights.values()
    assert len(with_cache) == len(without) > 4
    assert with_cache[0] == without[0]  # both read the prompt; y goes down
    assert all(low > high + 50 for low, high in zip(with_cache[1:], without[1:]))
    assert without == sorted(without, reverse=True) and len(set(without)) == len(without)
    check_looks(figure)
