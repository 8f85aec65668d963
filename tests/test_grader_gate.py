"""Side by side, or alone."""

import time
from concurrent.futures import ThreadPoolExecutor

from grader.gate import Gate


def test_one_that_asks_to_be_alone_is_alone_and_those_who_share_are_not_kept_apart():
    gate, inside, most = Gate(), [], []

    def share(_):
        with gate.together():
            inside.append("shares")
            time.sleep(0.002)
            most.append(len(inside))
            inside.remove("shares")

    def be_alone(_):
        with gate.alone():
            assert inside == []
            inside.append("alone")
            time.sleep(0.005)
            assert inside == ["alone"]
            inside.clear()

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(be_alone if number % 9 == 5 else share, number) for number in range(100)]:
            future.result(timeout=30)
    assert max(most) > 1


def test_one_that_waits_to_be_alone_comes_before_those_who_ask_to_share_later():
    gate, order = Gate(), []

    def enter(way, name):
        with way():
            order.append(name)

    with ThreadPoolExecutor(2) as pool, gate.together():
        pool.submit(enter, gate.alone, "alone")
        while not gate.waiting and not order:
            time.sleep(0.001)
        pool.submit(enter, gate.together, "later")
        time.sleep(0.1)
        assert order == []
    assert order == ["alone", "later"]


def test_it_opens_again_after_an_error():
    gate = Gate()
    for way in (gate.together, gate.alone):
        try:
            with way():
                raise ValueError
        except ValueError:
            pass
    with gate.alone():
        pass
    with gate.together():
        pass
