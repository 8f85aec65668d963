"""The learning-rate schedule: up in a straight line, down along half a cosine."""

import pytest

from vlm.training.schedule import schedule


def test_it_rises_over_the_warm_up_and_falls_to_nearly_nothing():
    rates = [schedule(step, 100, 10) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert rates[10] == 1 and rates[55] == pytest.approx(0.5) and 0 < rates[99] < 0.001


def test_it_falls_to_the_final_multiplier():
    rates = [schedule(step, 100, 20, final=0.2) for step in range(100)]
    assert rates[19] == rates[20] == 1 and rates[60] == pytest.approx(0.6)
    assert 0.2 < rates[99] < 0.201 and min(rates[20:]) == rates[99]


def test_a_training_as_short_as_its_warm_up_only_rises():
    assert [schedule(step, 2, 2) for step in range(2)] == [0.5, 1.0]
    assert schedule(0, 1, 1) == 1.0
