"""The times of many records at once, read as those of a log are, and what is wrong with those that cannot be read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.features.versions import ALWAYS_US
from rosa_ray.records.fields import bounds_us
from rosa_ray.records.record_types import ChangeModel, ClickIn, ConversionIn, CountedRecord, EventIn
from rosa_ray.sources.times import TimeForm, Times, read_times
from rosa_ray.sources.values import mask_of

UNREADABLE = "is no time that exists, such as 2026-01-31T09:30:00Z"
NAIVE = "says no zone; send an offset such as Z, or set records.time_zone"
NUMBER = "is a number of no known unit; send ISO 8601, or set records.time_unit"
OUTSIDE = "lies outside 1990 to 2100"

_OWN = {EventIn: "event_time", ClickIn: "click_time", ConversionIn: "conversion_time"}


Moments = dict[int, int]
"""Position of a record to a time that it says, microseconds UTC."""


@dataclass(frozen=True)
class RecordTimes:
    """Times of n records.

    Attributes:
        own_us: int64 (n,), when each itself happened: what it is late or early by.
        shown_us: int64 (n,), the request time of its impression; 0 for events.
        faults: position of a record to what is wrong with a time of it, in one line without its content.
    """

    own_us: np.ndarray
    shown_us: np.ndarray
    faults: dict[int, str]

    def take(self, rows: list[int]) -> "RecordTimes":
        """Times of some records, which have no faults."""
        return RecordTimes(self.own_us[rows], self.shown_us[rows], {})


def record_times(records: Sequence[CountedRecord], form: TimeForm) -> RecordTimes:
    """Read the times of records.

    Args:
        form: of numbers and of times without a zone.
    """
    own = [_own(record) for record in records]
    shown = [row for row, record in enumerate(records) if not isinstance(record, EventIn)]
    requests = [record.request_time for record in records if not isinstance(record, EventIn)]
    column = _Column([*own, *requests], form)
    own_us, shown_us = column.micros[: len(own)], np.zeros(len(own), np.int64)
    shown_us[shown] = column.micros[len(own) :]
    early = np.flatnonzero(own_us < shown_us).tolist()
    faults = {row: f"{_own_name(records[row])} lies before request_time" for row in early}
    for place, fault in sorted(column.faults.items(), reverse=True):
        row = place if place < len(own) else shown[place - len(own)]
        name = _own_name(records[row]) if place < len(own) else "request_time"
        faults[row] = f"{name}: {fault}"
    return RecordTimes(own_us, shown_us, faults)


def change_times(records: Sequence[ChangeModel], form: TimeForm) -> tuple[np.ndarray, dict[int, str]]:
    """Since when n changes hold, int64 (n,), `ALWAYS_US` where they do not say; and faults as of `RecordTimes`."""
    said = {row: record.valid_from for row, record in enumerate(records) if record.valid_from is not None}
    moments, faults = read_moments(said, form)
    time_us = np.full(len(records), ALWAYS_US)
    time_us[list(moments)] = list(moments.values())
    return time_us, {row: f"valid_from: {fault}" for row, fault in faults.items()}


def read_moments(said: Mapping[int, str | int | float], form: TimeForm) -> tuple[Moments, dict[int, str]]:
    """Read one time of some records, by their positions: microseconds UTC, and what is wrong with the others."""
    rows, column = [*said], _Column([*said.values()], form)
    faults = {rows[place]: fault for place, fault in column.faults.items()}
    return dict(zip(rows, column.micros.tolist(), strict=True)), faults


class _Column:
    """One time of each record: microseconds, and the faults of those that have none."""

    def __init__(self, values: list[str | int | float], form: TimeForm) -> None:
        self.micros = np.zeros(len(values), np.int64)
        self.faults: dict[int, str] = {}
        for kind in (str, int, float):
            rows = [row for row, value in enumerate(values) if type(value) is kind]
            if rows:
                self._read([values[row] for row in rows], np.array(rows), kind, form)
        low, high = bounds_us()
        outside = np.flatnonzero((self.micros < low) | (self.micros >= high)).tolist()
        self.faults = dict.fromkeys(outside, OUTSIDE) | self.faults

    def _read(self, values: list[str | int | float], rows: np.ndarray, kind: type, form: TimeForm) -> None:
        times = _read_column(values, kind, form)
        known = mask_of(pc.is_valid(times.values))
        self.micros[rows[known]] = times.values.drop_null().cast(pa.int64()).to_numpy()
        for at in np.flatnonzero(~known).tolist():
            is_number = kind is not str or str(values[at]).strip().isdigit()
            self.faults[int(rows[at])] = NUMBER if is_number and not form.unit else UNREADABLE
        if times.naive is not None:
            self.faults |= dict.fromkeys(rows[times.naive].tolist(), NAIVE)


def _read_column(values: list[str | int | float], kind: type, form: TimeForm) -> Times:
    if kind is str:
        return read_times(pa.chunked_array([pa.array(values, pa.string())]), form)
    if kind is float:
        return read_times(pa.chunked_array([pa.array(values, pa.float64())]), form)
    # An integer beyond 64 bits is no time in any unit, nor is the largest of 64 bits.
    inside = [min(max(int(value), -(2**63)), 2**63 - 1) for value in values]
    return read_times(pa.chunked_array([pa.array(inside, pa.int64())]), form)


def _own(record: CountedRecord) -> str | int | float:
    if isinstance(record, EventIn):
        return record.event_time
    if isinstance(record, ConversionIn):
        return record.conversion_time
    if isinstance(record, ClickIn) and record.click_time is not None:
        return record.click_time
    return record.request_time


def _own_name(record: CountedRecord) -> str:
    own = "request_time" if isinstance(record, ClickIn) and record.click_time is None else _OWN.get(type(record))
    return own or "request_time"
