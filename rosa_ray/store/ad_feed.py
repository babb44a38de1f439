"""Keeps a catalogue up with the changes of ads that a store holds; a call costs what changed since the one before."""

from typing import Protocol

from rosa_ray.features.ad_changes import AdLog
from rosa_ray.features.live_catalogue import LiveCatalogue

CHUNK = 200
"""Changes that are applied at once, between which others may read the catalogue."""


class AdStore(Protocol):
    """What a feed needs of an `OnlineStore`."""

    def read_ads(self, after: int, limit: int) -> AdLog: ...


class AdFeed:
    """The place in a store's list of changes up to which a catalogue has them; by one thread at a time."""

    def __init__(self, catalogue: LiveCatalogue) -> None:
        self.catalogue = catalogue
        self._log, self._last = "", 0

    def catch_up(self, store: AdStore) -> int:
        """Apply what is new. Where the store's list is another one than before, the changes of that are forgotten.

        Returns:
            How many changes were applied.

        Raises:
            StoreError: the store cannot be read; what was applied stays.
        """
        applied = 0
        while True:
            read = self._read(store)
            applied += self.catalogue.apply(read.changes, read.kept_us)
            self._log, self._last = read.log, read.last
            if len(read.changes) < CHUNK:
                return applied

    def _read(self, store: AdStore) -> AdLog:
        read = store.read_ads(self._last, CHUNK)
        if self._log in ("", read.log):
            return read
        self.catalogue.forget_changes()
        return store.read_ads(0, CHUNK)
