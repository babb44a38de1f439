"""Reads again in the background what has aged, so that no request waits for it."""

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor

from rosa_ray.errors import StoreError

Later = Callable[[Hashable, Callable[[], object]], None]
"""Does some work later; work of a name that still waits is not done twice."""


class NotHeldError(Exception):
    """Something was never read, or too long ago, and the caller does not want to wait for it."""


class Refresher:
    """One thread for what can wait. Work that fails is left undone: whoever needs it asks again.

    Args:
        failed: told of each failure.

    >>> import queue
    >>> done = queue.Queue()
    >>> Refresher(print).later("a", lambda: done.put("read again"))
    >>> done.get(timeout=5)
    'read again'
    """

    def __init__(self, failed: Callable[[StoreError], None]) -> None:
        self._failed = failed
        self._lock, self._waiting = threading.Lock(), set[Hashable]()
        self._executor = ThreadPoolExecutor(1, "refresh")

    def later(self, name: Hashable, work: Callable[[], object]) -> None:
        """See `Later`."""
        with self._lock:
            if name in self._waiting:
                return
            self._waiting.add(name)
        self._executor.submit(self._do, name, work)

    def _do(self, name: Hashable, work: Callable[[], object]) -> None:
        try:
            work()
        except StoreError as error:
            self._failed(error)
        finally:
            with self._lock:
                self._waiting.discard(name)
