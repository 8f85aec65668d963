"""What the pages do in a real browser, without a network: `make browser`. Skipped where there is no chromium."""

import json

import pytest
from book_pages import ROOT

pytestmark = pytest.mark.browser

BOOK = ROOT / "book"
WITH_FILMSTRIP = [path for path in sorted(BOOK.glob("*.py")) if "filmstrip_html(" in path.read_text(encoding="utf-8")]


def test_the_first_tab_stop_skips_to_the_text(visit):
    tab = visit.open("book/ch07_rope")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent.trim()") == "Skip to main content"
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.closest('main') !== null")


def test_every_tab_stop_can_be_seen(visit):
    """Whoever goes by keyboard must see where the focus is: an outline, a shadow or another background."""
    tab = visit.open("book/ch07_rope")
    unseen = []
    for _ in range(60):
        tab.keyboard.press("Tab")
        unseen += tab.evaluate(
            """() => {
                const focused = document.activeElement;
                const look = () => {
                    const style = getComputedStyle(focused);
                    return [style.outline, style.boxShadow, style.backgroundColor, style.textDecoration].join();
                };
                const with_focus = look();
                focused.blur();
                const without = look();
                focused.focus({focusVisible: true});
                return with_focus === without ? [focused.outerHTML.slice(0, 80)] : [];
            }"""
        )
    assert unseen == []


def test_search_opens_by_keyboard_and_finds_a_chapter(visit):
    tab = visit.open("book/intro")
    tab.keyboard.press("Control+k")
    tab.keyboard.type("rotary")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#search-results li a")
    assert any(
        "ch07_rope" in link for link in tab.eval_on_selector_all("#search-results li a", "a => a.map(x => x.href)")
    )
    assert visit.problems == []


@pytest.mark.parametrize("word", ["rotary", "attention mask", "temperature"])
def test_a_search_shows_each_word_where_it_stands_in_the_text(visit, word):
    """Sphinx looks for stems, "rotari", and would begin with whatever stands on top of the page."""
    visit.tab.goto(f"{visit.server.address}search.html?q={word.replace(' ', '+')}")
    visit.tab.wait_for_selector("#search-results li p.context")
    visit.tab.wait_for_timeout(500)  # the others' texts come one after another
    for text in visit.tab.locator("#search-results li p.context").all_text_contents():
        assert any(part[:4] in text.lower() for part in word.split()), text
        assert "projector and merge" not in text and "vision towerPatches" not in text
    assert visit.problems == []


def test_a_chapter_marked_as_finished_stays_so_and_shows_in_the_sidebar_and_on_the_map(visit):
    tab = visit.open("book/ch07_rope")
    tab.get_by_label("I have finished this chapter").check()
    tab.reload()
    assert tab.get_by_label("I have finished this chapter").is_checked()
    tab = visit.open("book/ch08_gqa")
    assert not tab.get_by_label("I have finished this chapter").is_checked()
    assert "(finished)" in tab.locator(".bd-sidebar-primary a[href='ch07_rope.html']").text_content()
    assert "(finished)" in tab.locator(".model-map a[href='ch07_rope.html']").text_content()
    assert "(finished)" not in tab.locator(".bd-sidebar-primary a[href='ch06_norms_mlp.html']").text_content()


def test_damaged_marks_do_no_harm(visit):
    tab = visit.open("book/ch07_rope")
    for damage in ("not json", '{"a": 1}', "null", "[1, 2]"):
        tab.evaluate("text => localStorage.setItem('finished-chapters', text)", damage)
        tab.reload()
        tab.get_by_label("I have finished this chapter").check()
        assert "ch07_rope" in json.loads(tab.evaluate("localStorage.getItem('finished-chapters')"))
    assert visit.problems == []


def test_a_copy_button_copies_the_code(visit):
    tab = visit.open("book/ch07_rope")
    cell = tab.locator("div.cell:not(.tag_hide-input) div.cell_input").first
    cell.hover()
    cell.locator("button.copybtn").click()
    copied = tab.evaluate("navigator.clipboard.readText()")
    assert copied.strip() == cell.locator("pre").text_content().strip()


def test_the_theme_can_be_changed_and_is_remembered(visit):
    tab = visit.open("book/ch07_rope")
    button = tab.locator(".theme-switch-button:visible").first
    modes = set()
    for _ in range(3):
        button.click()
        modes.add(tab.evaluate("document.documentElement.dataset.theme"))
    assert modes == {"light", "dark"}
    chosen = tab.evaluate("document.documentElement.dataset.mode")
    tab.reload()
    assert tab.evaluate("document.documentElement.dataset.mode") == chosen


def test_folded_code_and_hints_open_by_keyboard(visit):
    tab = visit.open("book/ch07_rope")
    fold = tab.locator("details.hide summary").first
    fold.focus()
    tab.keyboard.press("Enter")
    assert tab.locator("details.hide").first.evaluate("e => e.open")
    hint = tab.locator(".admonition.dropdown, details.sd-dropdown").first
    assert hint.count() == 1


def test_the_attention_explorer_answers_mouse_and_keyboard(visit):
    tab = visit.open("book/ch19_inside")
    explorer = tab.locator(".attention-explorer")
    says = explorer.locator(".says")
    told = [says.text_content()]
    explorer.locator(".words button").nth(1).click()
    told.append(says.text_content())
    layer = explorer.get_by_role("combobox", name="layer")
    layer.focus()
    tab.keyboard.press("ArrowDown")
    told.append(says.text_content())
    explorer.locator(".heads canvas").nth(5).click()
    told.append(says.text_content())
    paint = "canvas => canvas.toDataURL()"
    with_map = explorer.locator("canvas").first.evaluate(paint)
    explorer.get_by_label("show the map").uncheck()
    assert explorer.locator("canvas").first.evaluate(paint) != with_map
    explorer.get_by_role("combobox", name="image").select_option(index=1)
    told.append(says.text_content())
    assert len(set(told)) == len(told), told
    assert visit.problems == []


@pytest.mark.parametrize("name", [f"book/{path.stem}" for path in WITH_FILMSTRIP])
def test_a_filmstrip_answers_drag_and_keyboard(visit, name):
    tab = visit.open(name)
    for strip in tab.locator("figure.filmstrip").all():
        for slider in strip.locator("input").all():
            picture, words = strip.locator("img"), set()
            slider.scroll_into_view_if_needed()
            box = slider.bounding_box()
            middle = box["y"] + box["height"] / 2
            tab.mouse.move(box["x"] + box["width"] / 2, middle)
            tab.mouse.down()
            for part in (0.5, 0.02, 0.98):
                tab.mouse.move(box["x"] + part * box["width"], middle, steps=5)
                words.add((picture.get_attribute("alt"), picture.get_attribute("src")))
            tab.mouse.up()
            slider.press("ArrowLeft")
            words.add((picture.get_attribute("alt"), picture.get_attribute("src")))
            assert len({alt for alt, _ in words}) >= min(3, int(slider.get_attribute("max")) + 1)
            assert len({src for _, src in words}) >= 2
            shown = slider.locator("xpath=following-sibling::output")
            assert slider.get_attribute("aria-valuetext") == shown.text_content()
    assert visit.problems == []


def test_pages_are_quick_on_loopback(visit, record_property):
    """Not a promise for slow networks: it finds a page that blocks, or jumps while it loads."""
    script = """() => new Promise(done => {
        let shift = 0;
        new PerformanceObserver(list => list.getEntries().forEach(e => { if (!e.hadRecentInput) shift += e.value }))
            .observe({type: "layout-shift", buffered: true});
        let paint = 0;
        new PerformanceObserver(list => list.getEntries().forEach(e => { paint = e.startTime }))
            .observe({type: "largest-contentful-paint", buffered: true});
        const {domContentLoadedEventEnd, loadEventEnd} = performance.getEntriesByType("navigation")[0];
        setTimeout(() => done({dom: domContentLoadedEventEnd, load: loadEventEnd, paint, shift}), 500);
    })"""
    for name in ("book/intro", "book/ch07_rope", "book/ch19_inside"):
        timing = visit.open(name).evaluate(script)
        record_property(name, {key: round(value, 3) for key, value in timing.items()})
        assert timing["shift"] < 0.1, (name, timing)  # "good" by the Core Web Vitals
        assert timing["paint"] < 10_000, (name, timing)
