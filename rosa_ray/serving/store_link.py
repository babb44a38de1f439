"""One way to the store: a connection and a breaker of its own, so that what fails here fails nowhere else."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from rosa_ray.errors import RosaError, StoreDamagedError, StoreError, StoreLockedError
from rosa_ray.store import OnlineStore

Answer = TypeVar("Answer")


@dataclass
class _Opened:
    """A store, with how many questions are put to it now; one that is `retired` is closed after the last of them."""

    store: OnlineStore
    asking: int = 0
    retired: bool = False


class StoreLink:
    """Asks the store from any number of threads. After a failure it fails at once for a while, then connects again.

    A lock of another process leaves the connection open, and closes the link only where `locked_breaks`. Content that
    cannot be read may be one user's, so that it never closes the link; the connection is made anew.

    Args:
        open_store: connects to the store.
        retry_s: after a failure the store is left alone this long.
        slow_s: a question that takes longer counts as a failure; its answer is given all the same.
        locked_breaks: whether a lock closes the link for `retry_s`.
    """

    def __init__(
        self,
        open_store: Callable[[], OnlineStore],
        retry_s: float,
        slow_s: float = float("inf"),
        locked_breaks: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_store, self._retry_s, self._slow_s = open_store, retry_s, slow_s
        self._locked_breaks, self._clock = locked_breaks, clock
        self._lock, self._opening = threading.Lock(), threading.Lock()
        self._opened: _Opened | None = None
        self._asked_at_s: dict[int, float] = {}
        self._down_until_s, self._failure = float("-inf"), StoreError("store: not opened")

    @property
    def broken(self) -> bool:
        """Whether questions fail at once."""
        return self._clock() < self._down_until_s

    def hangs(self) -> bool:
        """Whether the store has owed an answer for longer than `slow_s`."""
        with self._lock:
            return any(self._clock() - asked_s > self._slow_s for asked_s in self._asked_at_s.values())

    def ask(self, question: Callable[[OnlineStore], Answer]) -> Answer:
        """Put a question to the store.

        Raises:
            StoreError: the store is down, locked, or holds something that cannot be read.
        """
        if self.broken:
            raise self._failure
        opened = self._take()
        thread, started_s = threading.get_ident(), self._clock()
        self._asked_at_s[thread] = started_s
        try:
            answer = question(opened.store)
        except StoreLockedError as error:
            if self._locked_breaks:
                self._break(error)
            raise
        except StoreDamagedError:
            self._retire(opened)
            raise
        except StoreError as error:
            self._break(error)
            self._retire(opened)
            raise
        except RosaError:
            raise
        except Exception as error:
            self._retire(opened)
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise StoreDamagedError(f"store: holds something that cannot be read ({reason})") from error
        finally:
            self._asked_at_s.pop(thread, None)
            self._give_back(opened)
        if (took_s := self._clock() - started_s) > self._slow_s:
            self._break(StoreError(f"store: took {took_s * 1000:.0f} ms for an answer"))
        return answer

    def close(self) -> None:
        """Close the connection; the next question connects again."""
        with self._lock:
            opened = self._opened
        if opened is not None:
            self._retire(opened)

    def _take(self) -> _Opened:
        with self._opening:
            opened = self._opened or self._open()
            with self._lock:
                if not opened.retired:
                    self._opened = opened
                opened.asking += 1
                return opened

    def _open(self) -> _Opened:
        try:
            return _Opened(self._open_store())
        except StoreLockedError as error:
            if self._locked_breaks:
                self._break(error)
            raise
        except StoreError as error:
            self._break(error)
            raise

    def _give_back(self, opened: _Opened) -> None:
        with self._lock:
            opened.asking -= 1
            close = opened.retired and not opened.asking
        if close:
            opened.store.close()

    def _retire(self, opened: _Opened) -> None:
        with self._lock:
            if self._opened is opened:
                self._opened = None
            close = not opened.retired and not opened.asking
            opened.retired = True
        if close:
            opened.store.close()

    def _break(self, error: StoreError) -> None:
        self._failure, self._down_until_s = error, self._clock() + self._retry_s
