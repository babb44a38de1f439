"""A replica's view of the ads: a thread that asks the store what changed, some times a second."""

import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from rosa_ray.errors import StoreError
from rosa_ray.features.live_catalogue import LiveCatalogue
from rosa_ray.records.clock import NOW_US
from rosa_ray.serving.first_pass import FirstPass
from rosa_ray.serving.store_link import StoreLink
from rosa_ray.store import OnlineStore
from rosa_ray.store.ad_feed import AdFeed

STALE_S = 5.0
"""Answers say that ads may have changed when the store told nothing for this long."""

_BUSY_SHARE = 0.5
"""Of the time between two questions that the first pass may read counters."""

Watch = Callable[[OnlineStore, int], None]

logger = logging.getLogger(__name__)


class LiveAds:
    """Keeps a catalogue and the first pass up with the store.

    Args:
        open_store: connects to the store; called again after a failure.
        poll_ms: time between two questions.
        retry_s: after a failure the store is left alone this long.
        now_us: the clock, microseconds UTC.
    """

    def __init__(
        self,
        open_store: Callable[[], OnlineStore],
        catalogue: LiveCatalogue,
        first_pass: FirstPass,
        poll_ms: int,
        retry_s: float = 1.0,
        now_us: Callable[[], int] = NOW_US,
    ) -> None:
        self.catalogue, self.first_pass, self.now_us = catalogue, first_pass, now_us
        self._link, self._poll_s, self._retry_s = StoreLink(open_store, retry_s), poll_ms / 1000, retry_s
        self._feed = AdFeed(catalogue)
        self._asking, self._stopped = threading.Lock(), threading.Event()
        self._heard_s, self._failure = time.monotonic(), "the store was not asked yet"
        self._watching: tuple[Watch, ...] = ()

    def start(self) -> None:
        """Ask from now on, until `close` or until nobody holds this any more."""
        threading.Thread(target=_ask_on, args=(weakref.ref(self), self._stopped), name="live-ads", daemon=True).start()

    def watch(self, one: Watch) -> None:
        """Hand the store to another reader at every question, with the time, microseconds UTC."""
        self._watching = (*self._watching, one)

    def close(self) -> None:
        """Ask no more."""
        self._stopped.set()

    @property
    def stale(self) -> bool:
        """Whether the store has told nothing for long."""
        return time.monotonic() - self._heard_s > STALE_S

    def catch_up(self) -> int:
        """Apply what changed; returns how many changes there were.

        Raises:
            StoreError: the store cannot be read.
        """
        with self._asking:
            applied = self._link.ask(self._feed.catch_up)
            self._heard_s, self._failure = time.monotonic(), ""
            return applied

    def ask(self) -> float:
        """Catch up and read counters for the first pass; returns how long to wait before the next time, seconds."""
        try:
            self.catch_up()
            with self._asking:
                self._link.ask(self._step)
        except StoreError as error:
            if str(error) != self._failure:
                logger.warning("ads are not followed: %s", error)
            self._failure = str(error)
            return self._retry_s
        return self._poll_s

    def describe(self) -> dict[str, Any]:
        """How the catalogue stands."""
        catalogue = self.catalogue
        with catalogue.lock:
            figures = {"ads": len(catalogue), "incomplete": catalogue.incomplete, "changes": catalogue.changed}
        heard = {"heard_s": round(time.monotonic() - self._heard_s, 1)}
        return {**figures, **heard, **({"failure": self._failure} if self._failure else {})}

    def _step(self, store: OnlineStore) -> None:
        self.first_pass.step(store.read_counters, self.now_us(), _BUSY_SHARE * self._poll_s)
        for one in self._watching:
            one(store, self.now_us())


def _ask_on(one: "weakref.ref[LiveAds]", stopped: threading.Event) -> None:
    """Ask until stopped; the thread keeps nothing alive."""
    wait_s = 0.0
    while not stopped.wait(wait_s):
        live = one()
        if live is None:
            return
        wait_s = live.ask()
        del live
