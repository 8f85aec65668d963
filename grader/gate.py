"""Lets threads run something together, or one thread run alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Gate:
    """Any number of threads may be inside together; one that asks to be alone waits until the others have left."""

    def __init__(self):
        self.changed = Condition()
        self.inside = 0
        self.waiting = 0

    @contextmanager
    def together(self) -> Iterator[None]:
        with self.changed:
            self.changed.wait_for(lambda: self.waiting == 0)  # otherwise one that wants to be alone may wait forever
            self.inside += 1
        try:
            yield
        finally:
            with self.changed:
                self.inside -= 1
                self.changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self.changed:
            self.waiting += 1
            try:
                self.changed.wait_for(lambda: self.inside == 0)
                yield  # with the lock held, so that no other thread enters
            finally:
                self.waiting -= 1
                self.changed.notify_all()
