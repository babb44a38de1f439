"""What a service answered as taken, against a clean store that is fed the same records: features bit for bit."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rosa_ray.chaos.run_copy import RunCopy, copy_store
from rosa_ray.features.views import CATALOGUE_KEYS
from rosa_ray.records import RecordParser
from rosa_ray.schema import hash_id
from rosa_ray.serving.assembly import ServiceSettings, build_lookup
from rosa_ray.serving.lookup import FeatureLookup
from rosa_ray.serving.messages import FeatureQuery, Features
from rosa_ray.units import DAY_US, HOUR_US

BATCH = 500
COMPARED_USERS = 40
"""Users whose features are compared who have no records, beside all those who have."""

PATIENCE_MS = 10_000


class Ledger:
    """A clean store beside the service's own.

    Args:
        copy: what both started from.
        clean: the service's settings, on a store that nothing else writes to.
    """

    def __init__(self, copy: RunCopy, clean: ServiceSettings) -> None:
        self._copy, self._clean = copy, clean
        self.records = 0
        self._touched: set[str] = set()

    def add(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Apply records that a service has taken."""
        parser, lookup = parser_of(self._copy), open_lookup(self._copy, self._clean)
        for start in range(0, len(records), BATCH):
            some = records[start : start + BATCH]
            parsed = parser.parse_values(some)
            if parsed.refusals:
                raise AssertionError(f"a record of the test itself is refused: {parsed.refusals[0]}")
            lookup.write_now(parsed.columns, parsed.changes)
        lookup.close()
        self.records += len(records)
        self._touched |= {str(one["user_id"]) for one in records if one.get("user_id")}

    def differences(self, settings: ServiceSettings, first: int = 3) -> list[str]:
        """Compare features of all users with records, and of some without; names the first that differ.

        Args:
            settings: of the store of the service.
        """
        found = []
        clean, live = open_lookup(self._copy, self._clean), open_lookup(self._copy, settings)
        compared = 0
        for user_id, query in self._queries():
            compared += 1
            name = first_difference(clean.read_now(query), live.read_now(query))
            if name:
                found.append(f"user {user_id}: {name} differs from a clean store fed the same records")
        clean.close()
        live.close()
        shown = found[:first]
        return shown + ([f"{len(found) - first} of {compared} users more differ"] if len(found) > first else [])

    def _queries(self) -> Iterator[tuple[str, FeatureQuery]]:
        draw = np.random.default_rng(len(self._touched))
        others = draw.choice(self._copy.user_ids, min(COMPARED_USERS, len(self._copy.user_ids)), replace=False).tolist()
        now_us = time.time_ns() // 1000
        rows = self._copy.ad_table.first_rows
        for user_id in [*sorted(self._touched), *others]:
            chosen = np.sort(draw.choice(rows, min(100, len(rows)), replace=False))
            at_us = now_us + int(draw.choice([2 * HOUR_US, DAY_US, 2 * DAY_US]))
            yield user_id, query_of(self._copy, user_id, at_us, chosen)


def not_held(copy: RunCopy, store: Path, records: Sequence[Mapping[str, Any]]) -> int:
    """How many records a SQLite store does not hold; asked of a copy, which takes them if they are new.

    Args:
        store: of a service, which goes on with it.
    """
    place = store.with_name("asked.db")
    lookup = open_lookup(copy, copy.served(copy_store(store, place)))
    parsed = parser_of(copy).parse_values(records)
    accepted = lookup.write_now(parsed.columns, parsed.changes).accepted
    lookup.close()
    return accepted


def query_of(copy: RunCopy, user_id: str, time_us: int, rows: np.ndarray) -> FeatureQuery:
    """A request for ads with their own bids.

    Args:
        rows: of `RunCopy.ad_table`.
    """
    ads, fingerprint = copy.ad_table, copy.model.features.fingerprint
    keys = {name: getattr(ads, name)[rows] for name in CATALOGUE_KEYS}
    return FeatureQuery(hash_id(user_id), time_us, ads.ad_key[rows], copy.ad_bids[rows], fingerprint, {}, keys)


def open_lookup(copy: RunCopy, settings: ServiceSettings) -> FeatureLookup:
    """A lookup of this process that waits longer for a busy store than a service does."""
    patient = replace(settings.serving, lookup_deadline_ms=2 * PATIENCE_MS, counter_ttl_s=0.0, store_retry_s=0.0)
    store = replace(settings.store, busy_timeout_ms=PATIENCE_MS, timeout_ms=PATIENCE_MS)
    return build_lookup(replace(settings, serving=patient, store=store), copy.model)


def parser_of(copy: RunCopy) -> RecordParser:
    """Reads records as the service does."""
    return RecordParser(copy.ad_table, features=copy.model.features.config, time_form=copy.settings.records.time_form)


def first_difference(expected: Features, found: Features) -> str:
    """Name of the first feature that differs in a bit; empty where all are equal."""
    if found.degraded or expected.degraded:
        return "the answer of a store that cannot be read"
    if expected.user_known != found.user_known:
        return "user_known"
    pairs = [(f"timeline.{name}", values, found.events[name]) for name, values in expected.events.items()]
    pairs += [(name, values, found.own[name]) for name, values in expected.own.items()]
    pairs += [("dense", expected.dense, found.dense), ("expected_cost", expected.expected_cost, found.expected_cost)]
    return next((name for name, one, other in pairs if not _same(one, other)), "")


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    if one.dtype == object or other.dtype == object:
        return bool(np.array_equal(one, other))
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
