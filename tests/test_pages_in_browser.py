"""Each page in a real browser, without a network: whole, accessible, small. Skipped where there is no chromium."""

from pathlib import Path

import axe_playwright_python
import pytest
from book_pages import ROOT, Visit

BOOK = ROOT / "book"
PAGES = sorted(f"book/{path.stem}" for path in [*BOOK.glob("*.md"), *BOOK.glob("*.ipynb")])
PAGES += ["genindex", "search", "404"]
LARGEST_PAGE = 3_000_000
NARROW = {"width": 360, "height": 740}
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
BROKEN_IMAGES = """async () => {
    for (const image of document.images) image.loading = "eager";
    await Promise.all([...document.images].map(image => image.decode().catch(() => 0)));
    return [...document.images].filter(image => image.naturalWidth === 0).map(image => image.src.slice(0, 200));
}"""
TOO_WIDE = """width => {
    const scrolls = e => e && (getComputedStyle(e).overflowX !== "visible" || scrolls(e.parentElement));
    if (document.documentElement.scrollWidth <= width) return [];
    return [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > width + 1)
        .filter(e => !scrolls(e.parentElement)).map(e => e.outerHTML.slice(0, 100)).slice(0, 8);
}"""
# The rules about colors take axe longer than all others, and a page has thousands of elements that look alike. So these
# rules see the first element of each look.
COLORS = """async () => {
    const looks = new Map();
    for (const element of document.body.querySelectorAll("*")) {
        const has_text = [...element.childNodes].some(child => child.nodeType === 3 && child.textContent.trim());
        if (!has_text || !element.checkVisibility()) continue;
        const {color, fontSize, fontWeight, opacity, textDecorationLine} = getComputedStyle(element);
        const look = [color, fontSize, fontWeight, opacity, textDecorationLine];
        look.push(getComputedStyle(element.parentElement).color);
        for (let behind = element; behind; behind = behind.parentElement) {
            const {backgroundColor, backgroundImage} = getComputedStyle(behind);
            look.push(backgroundColor, backgroundImage);
        }
        if (!looks.has(look.join())) looks.set(look.join(), element);
    }
    const rules = ["color-contrast", "link-in-text-block"];
    return axe.run({include: [...looks.values()]}, {preload: false, runOnly: rules});
}"""
ALL_BUT_COLORS = """axe.run({preload: false,
    rules: {"color-contrast": {enabled: false}, "link-in-text-block": {enabled: false}}})"""

pytestmark = pytest.mark.browser


def find_violations(tab, script: str) -> list[str]:
    results = tab.evaluate(script)
    assert results["passes"]
    return [
        f"{violation['id']}: {node['html'][:150]} {node['failureSummary'][:200]}"
        for violation in results["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"][:3]
    ]


def unset_formulas(tab) -> list[str]:
    formulas, shown = tab.locator("span.math, div.math").count(), tab.locator("mjx-container").count()
    errors = tab.locator("mjx-merror").all_text_contents()
    return errors if formulas == shown else [*errors, f"{shown} of {formulas} formulas are set"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_small_and_accessible_and_fits_a_narrow_screen(visit: Visit, name, record_property):
    tab = visit.open(name)
    problems = {"formulas": unset_formulas(tab), "broken images": tab.evaluate(BROKEN_IMAGES)}
    tab.add_style_tag(content="* { transition: none !important }")  # colors halfway to others are nobody's
    tab.evaluate(AXE)
    problems["axe"] = find_violations(tab, ALL_BUT_COLORS)
    for color_scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=color_scheme)
        tab.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=color_scheme)
        problems[f"axe, {color_scheme} colors"] = find_violations(tab, COLORS)
    tab.set_viewport_size(NARROW)
    problems["wider than the screen"] = tab.evaluate(TOO_WIDE, NARROW["width"])
    problems["complaints"] = visit.problems
    problems["cookies"] = tab.context.cookies()
    assert {kind: found for kind, found in problems.items() if found} == {}
    size = visit.count_bytes()
    record_property("bytes", size)
    assert 0 < size <= LARGEST_PAGE
