"""A filmstrip contains the image and the printed text of every combination, and fetches nothing."""

import base64
import io
import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from figures.filmstrip import filmstrip_html


def show_square(size: int, color: str = "#000000"):
    """One color over the whole image."""
    figure = plt.figure(figsize=(size, size))
    figure.patch.set_facecolor(color)
    print(f"{size} {color}")
    plt.show()


def strip_in(html: str) -> dict:
    return json.loads(re.search(r"const strip = (\{.*\});", html)[1])


@pytest.fixture(autouse=True)
def no_window():
    plt.switch_backend("agg")


def test_every_combination_is_in_the_page_and_the_last_choice_varies_fastest():
    strip = strip_in(filmstrip_html(show_square, "Squares.", size=[1, 2], color=["#ff0000", "#00ff00", "#0000ff"]))
    assert strip["frames"][-1]["words"] == "Squares. Here: size 2, color #0000ff."
    assert strip["controls"] == [
        {"name": "size", "values": ["1", "2"]},
        {"name": "color", "values": ["#ff0000", "#00ff00", "#0000ff"]},
    ]
    assert [frame["printed"] for frame in strip["frames"]] == [
        f"{s} {c}" for s in (1, 2) for c in ("#ff0000", "#00ff00", "#0000ff")
    ]
    for index, (width, channel) in enumerate((w, c) for w in (100, 200) for c in range(3)):
        image = Image.open(io.BytesIO(base64.b64decode(strip["frames"][index]["picture"]))).convert("RGB")
        assert image.size == (width, width)
        assert np.asarray(image)[50, 50].argmax() == channel


@pytest.mark.parametrize("start, index", [(None, 0), ([0, 2], 2), ([1, 0], 3), ([1, 1], 4)])
def test_it_starts_at_the_given_frame_even_without_scripts(start, index):
    html = filmstrip_html(show_square, "Big & small.", start=start, size=[1, 2], color=["red", "green", "blue"])
    strip = strip_in(html)
    assert strip["start"] == (start or [0, 0])
    first = strip["frames"][index]
    before_the_script = html.partition("<script>")[0]
    assert first["picture"] in before_the_script
    assert f'<pre aria-live="polite">{first["printed"]}</pre>' in before_the_script
    assert "<figcaption>Big &amp; small.</figcaption>" in before_the_script
    assert "Big &amp; small. Here: size" in before_the_script


def test_no_figure_stays_open():
    before = plt.get_fignums()
    filmstrip_html(show_square, "", size=[1, 2])
    assert plt.get_fignums() == before


def test_what_is_printed_cannot_end_the_script_and_nothing_is_fetched():
    def show(word: str):
        plt.figure()
        print(word)

    html = filmstrip_html(show, "</script>", word=["</script>"])
    assert html.count("</script>") == 1
    assert "&lt;/script&gt;" in html
    assert not re.search(r"https?://|src=\"(?!data:)|fetch\(|import ", html)
