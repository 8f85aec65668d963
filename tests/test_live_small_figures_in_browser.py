"""The small live figures in a real browser, on the pages and in a notebook. Skipped without chromium."""

import re

import pytest
from test_live_in_browser import PATIENCE
from test_pages_in_browser import ALL_BUT_COLORS, AXE, COLORS, NARROW, TOO_WIDE, find_violations

from live.jupyter import show
from toybox import CHECKPOINT_DIRECTORY
from vlm.loader import load_tokenizer

pytestmark = pytest.mark.browser

ON_A_CAT = 42  # a patch of the first ready scene


@pytest.fixture
def open_figure(visit):
    """Open a page, and return the place of one of its live figures."""

    def open_figure(page: str, name: str):
        tab = visit.open(f"book/{page}")
        tab.set_default_timeout(PATIENCE)
        figure = tab.locator(f".live-figure[data-figure={name}]").first
        figure.scroll_into_view_if_needed()
        figure.locator(".vlm-body").wait_for()
        return figure

    yield open_figure
    assert visit.problems == []


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


def slide(figure, label: str, value: float):
    figure.get_by_label(label, exact=False).first.fill(str(value))


def wait_for(figure, selector: str, part: str):
    figure.locator(selector, has_text=part).first.wait_for()


def numbers_of(row) -> list[float]:
    return [float(text.replace("−", "-")) for text in row.locator("td").all_text_contents()]


def test_the_mask_lab_says_why_and_outlines_what_a_wrong_rule_changes(open_figure):
    figure = open_figure("ch09_merge", "mask-lab")
    cells = figure.locator("td[data-query]")
    assert cells.count() == 15 * 15
    slide(figure, "Padding", 3)
    assert cells.count() == 16 * 16
    cells.first.focus()
    figure.page.keyboard.press("ArrowRight")
    assert "it is padding, which no token attends to" in figure.locator(".vlm-says-why").text_content()
    slide(figure, "Of them in the cache", 3)
    assert figure.locator("tbody tr").count() == 2
    slide(figure, "Of them in the cache", 0)
    assert figure.locator(".is-wrong").count() == 0
    figure.get_by_label("Rule").select_option("causal")
    rows = figure.locator("tbody tr", has=figure.page.locator(".is-wrong"))
    assert rows.count() == 3 + 4 + 4 - 1  # of padding, image and prompt; the last of them sees what it should
    check_looks(figure)


def test_the_rotation_keeps_its_score_when_both_move(open_figure):
    figure = open_figure("ch07_rope", "rotation")
    says = figure.locator(".vlm-says-why")
    slide(figure, "Position of the query", 12)
    before = says.text_content()
    assert before.startswith("Distance 5: score 0.")
    figure.get_by_label("move both together").check()
    slide(figure, "Position of the query", 80)
    assert says.text_content() == before
    assert figure.get_by_label("Position of the key").input_value() == "75"
    slide(figure, "The head looks back by", 5)
    assert says.text_content() == "Distance 5: score 1.0000."
    check_looks(figure)


def test_patches_of_one_kind_are_alike_in_the_end(open_figure):
    figure = open_figure("ch01_whole_vlm", "similarity")
    figure.locator(".vlm-grid button").nth(ON_A_CAT).click()
    wait_for(figure, "caption", "Mean similarity")
    assert figure.locator(".vlm-map").count() == 6
    rows = figure.locator(".vlm-numbers tr")
    assert rows.nth(1).locator("th").text_content() == "cat"
    cats, others, ground = (numbers_of(rows.nth(i)) for i in (1, 2, 3))
    assert cats[-1] > max(others[-1], ground[-1]) and cats[-1] - others[-1] > cats[0] - others[0]
    figure.page.keyboard.press("ArrowUp")
    assert figure.locator(".vlm-grid button[aria-pressed=true]").get_attribute("aria-label").endswith("row 4, column 2")
    check_looks(figure)


def test_gates_can_be_chosen_and_shut(open_figure):
    figure = open_figure("ch06_norms_mlp", "gates")
    figure.locator(".vlm-grid button").nth(ON_A_CAT).click()
    wait_for(figure, "caption", "let most through")
    rows = figure.locator(".vlm-numbers tr")
    assert rows.count() == 1 + 8
    through = [abs(numbers[3]) for numbers in map(numbers_of_gate, rows.all()[1:])]
    assert through == sorted(through, reverse=True)
    slide(figure, "Gate", 7)
    assert "gate 7 is" in figure.locator("p:not(.vlm-spoken)", has_text="how open gate").text_content()
    figure.locator(".vlm-numbers input[type=checkbox]").first.check()
    wait_for(figure, ".vlm-row button", "(1 shut)")
    assert figure.page.evaluate("document.activeElement.type") == "checkbox"
    wait_for(figure, ".vlm-change-view", "Probability of this whole answer")
    figure.get_by_role("button", name="Shut the first 64").click()
    wait_for(figure, ".vlm-row button", "(64 shut)")
    figure.get_by_role("button", name="cats", exact=True).click()
    assert figure.locator(".vlm-grid button[aria-pressed=true]").count() == 0
    check_looks(figure)


def numbers_of_gate(row) -> list[float]:
    return [float(text.replace("−", "-")) for text in row.locator("td").all_text_contents()[:4]]


def test_a_text_is_cut_into_the_tokens_that_python_finds(open_figure):
    figure = open_figure("ch05_processor", "tokenizer")
    text = "two kangaroos <loc0512> caf\u00e9"
    figure.get_by_label("Text", exact=True).fill(text)
    wait_for(figure, ".vlm-says-why", "tokens")
    tokenizer = load_tokenizer(CHECKPOINT_DIRECTORY)
    expected = tokenizer.encode(text, add_special_tokens=False)
    ids = figure.locator(".vlm-pieces small")
    assert [int(one) for one in ids.all_text_contents()] == expected
    slide(figure, "Merges", 0)
    assert ids.count() > len(expected)
    slide(figure, "Merges", 1)
    assert figure.locator(".is-newest").count() == 1
    check_looks(figure)


def test_temperature_and_top_p_act_on_the_logits_of_the_scene(open_figure):
    figure = open_figure("ch10_sampling", "sampling")
    axis = "figure => [...figure.querySelectorAll('.vlm-plot text')].map(text => text.textContent).join()"
    ticks = figure.evaluate(axis)
    figure.get_by_role("button", name="Ask", exact=True).click()
    says = figure.locator(".vlm-says-why")
    wait_for(figure, ".vlm-says-why", "can be drawn")

    def count() -> int:
        return int(re.search(r"(\d+) of", says.text_content())[1])

    assert count() > 1000
    slide(figure, "Top-p", 0.9)
    assert count() < 50
    slide(figure, "Temperature", 0)
    assert count() == 1
    assert figure.evaluate(axis) == ticks
    figure.get_by_role("button", name="Draw 20 tokens").click()
    assert "20 ×" in figure.locator(".vlm-drawn").text_content()
    figure.get_by_role("button", name="Draw 20 answers").click()
    wait_for(figure, ".vlm-drawn", "20 answers, 1 different")
    check_looks(figure)


def test_weights_of_fewer_bits_are_smaller_and_change_the_logits_more(open_figure):
    figure = open_figure("ch23_fast", "eight-bits")
    figure.get_by_role("button", name="Ask", exact=True).click()
    rows = figure.locator(".vlm-numbers tr")
    figure.page.wait_for_function("document.querySelectorAll('.vlm-numbers tr').length === 7")
    table = [[float(text) for text in row.locator("td").all_text_contents()[:2]] for row in rows.all()[1:]]
    sizes, changes = zip(*table)
    assert sizes == tuple(sorted(sizes, reverse=True)) and sizes[0] < 3
    assert changes == tuple(sorted(changes)) and changes[0] == 0 < changes[-1]
    figure.get_by_label("Prompt").select_option(index=1)
    wait_for(figure, "td", "mean IoU 1.00")
    check_looks(figure)


@pytest.mark.parametrize(("name", "data"), [("rotation", {}), ("tokenizer", {"text": "two cats"})])
def test_a_notebook_has_the_same_figure_without_any_other_file(browser, name, data):
    context = browser.new_context()
    tab = context.new_page()
    tab.set_default_timeout(PATIENCE)
    asked, problems = [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.set_content(f"<main>{show(name, **data).data}</main>")
    frame = tab.frame_locator("iframe")
    frame.locator(".vlm-body").wait_for()
    if name == "tokenizer":
        frame.get_by_role("button", name="Cut").click()
        assert frame.locator(".vlm-pieces li").first.text_content().startswith("two")
    height = tab.locator("iframe").bounding_box()["height"]
    assert abs(height - frame.locator("html").evaluate("html => html.offsetHeight")) < 10
    assert problems == [] and [url for url in asked if not url.startswith(("data:", "blob:"))] == []
    context.close()
