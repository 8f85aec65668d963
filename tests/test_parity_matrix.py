"""The table that `make parity` prints, cell by cell."""

import pytest
from parity_matrix import BAR, MODES, compare


@pytest.fixture(scope="module")
def cells():
    return list(compare())


def test_every_generation_layout_dtype_and_mode_equals_transformers(cells):
    assert len(cells) == 2 * 5 * 3 * len(MODES)
    assert [cell for cell in cells if not cell.is_in_bounds] == [], f"above {BAR}"
