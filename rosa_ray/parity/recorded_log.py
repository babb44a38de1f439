"""A recorded log as the live records it would have been: one line of JSON each, by their own times."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.data.label_join import join_labels
from rosa_ray.data.own_join import ID_COLUMNS
from rosa_ray.data.same_id import RULES, unique_rows
from rosa_ray.errors import InputError
from rosa_ray.features import RecordKind
from rosa_ray.features.own import ColumnConfigs, of_prefix, own_columns
from rosa_ray.features.own_counters import said_name
from rosa_ray.labels import LabelsConfig
from rosa_ray.parity.told_columns import with_told
from rosa_ray.schema import ADS, BEHAVIORS, CLICKS, CONVERSIONS, EVENTS, IMPRESSIONS, MISSING_KEY, hash_ids
from rosa_ray.schema.own_columns import AD, ITEM, TABLES_OF, USER, contract_with, prefix_of
from rosa_ray.sources import Source

_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_READ = (EVENTS.name, IMPRESSIONS.name, CLICKS.name, CONVERSIONS.name, ADS.name)
DEFAULT_LABELS = LabelsConfig()
_ISO = "%Y-%m-%dT%H:%M:%SZ"
_SHOWN = ("impression_id", "user_id", "ad_id", "request_time")
_FIELDS = {
    RecordKind.EVENT: tuple(EVENTS.schema.names),
    RecordKind.IMPRESSION: (*_SHOWN, "request_id", "device", "region", "position", "propensity", "bid", "cost"),
    RecordKind.CLICK: (*_SHOWN, "click_time", "click_cost"),
    RecordKind.CONVERSION: (*_SHOWN, "conversion_time", "revenue"),
}

_TOLD = {4: ("profile", USER), 5: ("item", ITEM), 6: ("ad", AD)}
"""Codes beyond those of `RecordKind` -> the type of a record that tells of a thing, and the prefix of its columns."""

_RENAMED = {"click_cost": "cost"}
"""Columns of impressions that a record of its kind says by another name."""


@dataclass(frozen=True)
class RecordedLog:
    """R live records of a log, by their own times; a click or conversion without one has that of its request.

    What is known of users, items and ads comes just before the time from which it holds, and what held before the log
    at its begin. Columns with a static clock are known at once, whenever their rows begin.

    Attributes:
        events, impressions: contract rows with times as text.
        kind: int8 (R,), codes of `RecordKind`, or of what tells of users, items and ads.
        row: int64 (R,), in `events`, `impressions` or a table of `things`.
        time_us: int64 (R,), rising.
        things: by the prefix of their columns, contract rows with times as text.
        told_us: the newest time of what is told before it holds.
        counted: columns of impressions that own counters need of every impression, click and conversion.
    """

    events: pa.Table
    impressions: pa.Table
    kind: np.ndarray
    row: np.ndarray
    time_us: np.ndarray
    things: Mapping[str, pa.Table] = field(default_factory=dict)
    told_us: int = 0
    counted: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        events: pa.Table,
        impressions: pa.Table,
        things: Mapping[str, pa.Table] | None = None,
        columns: ColumnConfigs | None = None,
        counted: Sequence[str] = (),
    ) -> "RecordedLog":
        """From rows of the contracts, whatever their order.

        Args:
            things: what is known of users, items and ads, by the prefix of their columns; one row per id and time.
            columns: all declared columns.
            counted: columns of impressions that own counters need of feedback, from `said_columns`.
        """
        shown_us = _us(impressions["request_time"])
        clicked = np.flatnonzero(impressions["click"].to_numpy())
        bought = np.flatnonzero(impressions["conversion"].to_numpy())
        clicked_us = _us(pc.coalesce(impressions["click_time"], impressions["request_time"]))[clicked]
        bought_us = _us(pc.coalesce(impressions["conversion_time"], impressions["request_time"]))[bought]
        parts: tuple[tuple[int, np.ndarray, np.ndarray], ...] = (
            (RecordKind.EVENT, np.arange(events.num_rows), _us(events["event_time"])),
            (RecordKind.IMPRESSION, np.arange(impressions.num_rows), shown_us),
            (RecordKind.CLICK, clicked, clicked_us),
            (RecordKind.CONVERSION, bought, bought_us),
        )
        all_us = np.concatenate([times for _, _, times in parts])
        told = _Told.of(things or {}, columns or {}, int(all_us.min(initial=0)), int(all_us.max(initial=0)))
        parts = (*told.parts, *parts)
        time_us = np.concatenate([times for _, _, times in parts])
        order = np.argsort(time_us, kind="stable")
        return cls(
            _with_text(events, ("event_time",)),
            _with_text(_without_clicks(impressions), ("request_time", "click_time", "conversion_time")),
            np.repeat(np.array([kind for kind, _, _ in parts], np.int8), [len(rows) for _, rows, _ in parts])[order],
            np.concatenate([rows for _, rows, _ in parts])[order],
            time_us[order],
            {prefix: _told_of(table, prefix, columns or {}) for prefix, table in (things or {}).items()},
            told.newest_us,
            tuple(counted),
        )

    @classmethod
    def read(
        cls,
        source: Source,
        labels: LabelsConfig = DEFAULT_LABELS,
        columns: ColumnConfigs | None = None,
        counted: Sequence[str] = (),
        behaviors: Sequence[str] = BEHAVIORS,
    ) -> "RecordedLog":
        """Read the events and impressions of a source; rows that break their contract are left out.

        Args:
            columns: declared columns; those of users, items and ads are records too.
            labels: how clicks and conversions of logs of their own are joined.
            counted: what own counters need of feedback, from `said_columns`.
            behaviors: that an event may have.

        Raises:
            InputError: a file is missing, unreadable, or of another contract; there are no impressions.
        """
        declared = {prefix: names for prefix in ID_COLUMNS if (names := of_prefix(prefix, columns or {}))}
        told = {prefix: TABLES_OF[prefix][0] for prefix in declared}
        contracts = {
            name: contract_with(name, own_columns(columns or {}), behaviors) for name in {*_READ, *told.values()}
        }
        tables = {name: [contract.schema.empty_table()] for name, contract in contracts.items()}
        for file in source.files():
            if file.contract_name in tables:
                contract = contracts[file.contract_name]
                tables[file.contract_name] += [contract.check(b.table, file.path)[0] for b in source.read(file)]
        events, impressions, clicks, conversions, ads = (pa.concat_tables(tables[name]) for name in _READ)
        impressions, _, _ = join_labels(impressions, clicks, conversions, ads, labels)
        if not impressions.num_rows:
            raise InputError("the log has no impressions to replay; give one with impressions, or run `rosa simulate`")
        things = {prefix: unique_rows(pa.concat_tables(tables[name]), RULES[name])[0] for prefix, name in told.items()}
        impressions = with_told(impressions, ads, things, columns or {}, counted)
        return cls.of(events, impressions, things, columns, counted)

    def __len__(self) -> int:
        return len(self.time_us)

    def between(self, from_us: int, to_us: int) -> "RecordedLog":
        """The records from one time until before another."""
        low, high = np.searchsorted(self.time_us, [from_us, to_us])
        kept = slice(int(low), int(high))
        return replace(self, kind=self.kind[kept], row=self.row[kept], time_us=self.time_us[kept])

    def lines(self, start: int, stop: int) -> list[bytes]:
        """JSON lines of some records, in order."""
        kind, row = self.kind[start:stop], self.row[start:stop]
        lines: list[bytes] = [b""] * len(kind)
        for code, names in _FIELDS.items():
            places = np.flatnonzero(kind == code)
            if not len(places):
                continue
            table = self.events if code == RecordKind.EVENT else self.impressions
            counted = () if code == RecordKind.EVENT else self.counted
            own = [name for name in counted if prefix_of(name)]
            plain = dict.fromkeys((*names, *(name for name in counted if name not in own)))
            said = [_RENAMED.get(name, name) for name in plain]
            rows = table.select([*plain, *own]).rename_columns([*said, *own]).take(pa.array(row[places])).to_pylist()
            for place, values in zip(places.tolist(), rows, strict=True):
                lines[place] = _ENCODE(_as_said(code, values, own)).encode()
        for told_code, (label, prefix) in _TOLD.items():
            places = np.flatnonzero(kind == told_code)
            rows = self.things[prefix].take(pa.array(row[places])).to_pylist() if len(places) else []
            for place, values in zip(places.tolist(), rows, strict=True):
                told = {name: values.pop(name) for name in [*values] if name.startswith(prefix)}
                named = {name.removeprefix(prefix): value for name, value in told.items()}
                lines[place] = _ENCODE({"type": label, **values, "columns": named}).encode()
        return lines

    def ids(self, start: int, stop: int) -> list[str]:
        """Users of some records, in order, and the items and ads of those that tell of these; empty for nobody."""
        kind, row = self.kind[start:stop], self.row[start:stop]
        ids = np.empty(len(kind), object)
        columns = dict.fromkeys(map(int, RecordKind), self.impressions["user_id"])
        columns[int(RecordKind.EVENT)] = self.events["user_id"]
        for code, (_, prefix) in _TOLD.items():
            if prefix in self.things:
                columns[code] = self.things[prefix][ID_COLUMNS[prefix]]
        for code, column in columns.items():
            chosen = kind == code
            ids[chosen] = column.take(pa.array(row[chosen])).fill_null("").to_pylist()
        return ids.tolist()

    def user_keys(self) -> np.ndarray:
        """Whose event, impression, click or conversion each record is, int64 (R,)."""
        of_events, of_impressions = (hash_ids(table["user_id"]) for table in (self.events, self.impressions))
        is_event, is_shown = self.kind == RecordKind.EVENT, np.isin(self.kind, [*RecordKind][1:])
        keys = np.full(len(self), MISSING_KEY, np.int64)
        keys[is_event], keys[is_shown] = of_events[self.row[is_event]], of_impressions[self.row[is_shown]]
        return keys

    def chunks(self, records: int, span_us: int) -> Iterator[tuple[int, int]]:
        """Cut the log into pieces of at most so many records and so long a time; yields (start, stop)."""
        start = 0
        while start < len(self):
            in_span = int(np.searchsorted(self.time_us, self.time_us[start] + span_us, side="right"))
            stop = max(min(start + records, in_span), start + 1)
            yield start, stop
            start = stop


def _as_said(kind: RecordKind, values: dict[str, Any], own: Sequence[str]) -> dict[str, Any]:
    """The fields of a record; declared columns stand together in `columns`."""
    told = {said_name(name): values.pop(name) for name in own}
    return {"type": kind.name.lower(), **values, **({"columns": told} if told else {})}


@dataclass(frozen=True)
class _Told:
    """When records tell of users, items and ads: code, rows and times of parts; and the newest that is told ahead."""

    parts: tuple[tuple[int, np.ndarray, np.ndarray], ...]
    newest_us: int

    @classmethod
    def of(cls, things: Mapping[str, pa.Table], columns: ColumnConfigs, first_us: int, last_us: int) -> "_Told":
        parts, newest_us = [], 0
        for code, (_, prefix) in _TOLD.items():
            if prefix not in things:
                continue
            since_us = things[prefix]["valid_from"].cast(pa.int64()).fill_null(first_us).to_numpy()
            if any(config.clock == "static" for config in of_prefix(prefix, columns).values()):
                newest_us = max(newest_us, int(since_us.max(initial=0)))
                parts.append((code, np.arange(len(since_us)), np.full(len(since_us), first_us - 1)))
            else:
                rows = np.flatnonzero(since_us <= last_us)
                parts.append((code, rows, np.maximum(since_us[rows], first_us) - 1))
        return cls(tuple(parts), newest_us)


def iso(time_us: int) -> str:
    """A time for people.

    >>> iso(1_500_000)
    '1970-01-01T00:00:01.500000+00:00'
    """
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat()


def _us(times: pa.ChunkedArray) -> np.ndarray:
    return times.cast(pa.int64()).to_numpy()


def _without_clicks(impressions: pa.Table) -> pa.Table:
    """Impressions whose cost is what was paid when they were shown."""
    if impressions["click_cost"].null_count == len(impressions):
        return impressions
    cost = pc.subtract(impressions["cost"], pc.fill_null(impressions["click_cost"], 0.0))
    return impressions.set_column(impressions.column_names.index("cost"), "cost", cost)


def _told_of(table: pa.Table, prefix: str, columns: ColumnConfigs) -> pa.Table:
    """What records say of the rows of a table."""
    return _with_text(table.select([ID_COLUMNS[prefix], "valid_from", *of_prefix(prefix, columns)]), ("valid_from",))


def _with_text(table: pa.Table, names: tuple[str, ...]) -> pa.Table:
    for name in names:
        text = pc.strftime(table[name], format=_ISO)
        table = table.set_column(table.column_names.index(name), name, text)
    return table.combine_chunks()
