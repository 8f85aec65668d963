"""Chapters whose outputs are saved are not executed again when the pages are built; changed ones are."""

import nbformat
import pytest
from build_book import ROOT, fill_cache
from jupyter_cache import get_cache

CHAPTERS = sorted((ROOT / "book").glob("*.ipynb"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    fill_cache(folder)
    return get_cache(folder)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_finds_its_saved_outputs_until_its_code_changes(cache, path):
    saved = nbformat.read(path, as_version=4)
    unexecuted = nbformat.read(path, as_version=4)
    code = [cell for cell in unexecuted.cells if cell.cell_type == "code"]
    for cell in code:
        cell.outputs, cell.execution_count = [], None
    _, found = cache.merge_match_into_notebook(unexecuted)
    assert [cell.get("outputs") for cell in found.cells] == [cell.get("outputs") for cell in saved.cells]
    unexecuted.cells[0].source += " More text changes nothing."
    cache.match_cache_notebook(unexecuted)
    code[-1].source += "\nprint(1)"
    with pytest.raises(KeyError):
        cache.match_cache_notebook(unexecuted)
