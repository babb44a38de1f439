"""An event loop with a core of its own: its clock is CPU time, and what it would wait for is skipped."""

import asyncio
import selectors
import time
from collections.abc import Callable
from typing import Any


class OneCore(asyncio.SelectorEventLoop):
    """An event loop on a core of its own: its clock is the thread's CPU time, and what it would wait for is skipped.

    Work for executors takes its turn in the loop, first come first served.
    """

    def __init__(self) -> None:
        self.skipped_s = 0.0
        super().__init__(Skipping(self))

    def time(self) -> float:
        return time.thread_time() + self.skipped_s

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future = self.create_future()
        self.call_soon(self._work, future, func, args)
        return future

    def _work(self, future: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            result = func(*args)
        except Exception as error:
            if not future.cancelled():
                future.set_exception(error)
            return
        if not future.cancelled():
            future.set_result(result)


class Skipping(selectors.DefaultSelector):
    """Moves the clock of its loop instead of waiting."""

    def __init__(self, loop: OneCore) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events and timeout:
            self._loop.skipped_s += timeout
        return events
