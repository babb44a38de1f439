"""A clock that stands still, and a background that waits for the test."""

from collections.abc import Callable, Hashable


class Clock:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Postponed:
    """Keeps what is to be done later, by name."""

    def __init__(self) -> None:
        self.work: dict[Hashable, Callable[[], object]] = {}

    def __call__(self, name: Hashable, work: Callable[[], object]) -> None:
        self.work.setdefault(name, work)

    def do(self) -> None:
        while self.work:
            self.work.pop(next(iter(self.work)))()
