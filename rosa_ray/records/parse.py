"""Lines to record columns, and what was refused with its reason: the one gate that all live records pass."""

import codecs
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from rosa_ray.features import FeatureConfig
from rosa_ray.features.ad_changes import AdChange
from rosa_ray.features.catalogue import Ads
from rosa_ray.features.changes import Changes, with_ads
from rosa_ray.features.own_counters import said_name
from rosa_ray.features.records import empty_records
from rosa_ray.records.ad_terms import ad_changes, read_ends
from rosa_ray.records.changes import changes_of, read_told
from rosa_ray.records.clock import NOW_US
from rosa_ray.records.columns import Pseudonym, record_columns, unknown_behaviors
from rosa_ray.records.ignored_fields import add_fields, ignored_fields, undeclared_columns
from rosa_ray.records.money import MoneyGuard
from rosa_ray.records.record_types import AdIn, ChangeModel, CountedRecord, EventIn, LiveRecord, RecordIn
from rosa_ray.records.times import change_times, record_times
from rosa_ray.sources.times import TimeForm
from rosa_ray.units import SECOND_US

MALFORMED, OVERSIZE, FUTURE, LATE, IMPLAUSIBLE = "malformed", "oversize", "future", "late", "implausible"
REASONS = (MALFORMED, OVERSIZE, FUTURE, LATE, IMPLAUSIBLE)
"""Why a record is refused; `late` is the store's judgement, the others are made here."""

LATE_DETAIL = "lies further back than the store remembers ids, at a time of which it holds records"

_ANY = TypeAdapter(RecordIn).validator
_EVENT = TypeAdapter(EventIn).validator
_TYPED = TypeAdapter(Annotated[LiveRecord, Field(discriminator="type")]).validator


@dataclass(frozen=True)
class Refusal:
    """A record that was not taken: its position, a reason of `REASONS`, and one line without its content."""

    index: int
    reason: str
    detail: str


@dataclass(frozen=True)
class Parsed:
    """What became of n values.

    Attributes:
        columns: `RECORD_COLUMNS` of the k records to count, and the keys that own counters need, each (k,).
        rows: int64 (k,), their positions among the n, rising.
        refusals: of those that are refused, by position.
        unknown_ads: of the k, those whose ad the catalogue lacks; they count for the user and for the ad.
        ignored_fields: fields that records have and no contract knows, and in how many records each stood.
        changes: what the others say of users, items and ads.
        changed: how many these others are.
    """

    columns: dict[str, np.ndarray]
    rows: np.ndarray
    refusals: tuple[Refusal, ...]
    ignored_fields: Mapping[str, int] = field(default_factory=dict)
    unknown_ads: int = 0
    changes: tuple[Changes, ...] = ()
    changed: int = 0

    @property
    def ads(self) -> tuple[AdChange, ...]:
        """What the others say of ads in the catalogue."""
        return tuple(one for change in self.changes for one in change.ads)

    @property
    def only_changes(self) -> "Parsed":
        """What the others say, without the records to count."""
        return replace(self, columns=empty_records(0), rows=self.rows[:0])

    @property
    def asks_nothing(self) -> bool:
        """Whether a store has nothing to apply."""
        return not len(self.rows) and not self.changes


@dataclass(frozen=True)
class RecordParser:
    """Checks live records and turns them into columns.

    Attributes:
        ads: the catalogue; records of other ads count without a campaign, as preprocessing counts them.
        max_future_s: a record further ahead of the clock is refused, since it would move the horizon of late ones.
        max_line_bytes: a longer line is refused unread.
        pseudonym: what a user id becomes before it is hashed; the id itself when absent.
        now_us: the clock, microseconds UTC.
        time_form: of times that are numbers or say no zone.
        features: its declared columns are those that records may tell; its own counters say which keys are taken;
            an event of none of its behaviours is refused.
        money: judges bids, costs and revenues by those of the ad; None, as for a log of one's own, takes them all.
    """

    ads: Ads
    max_future_s: int = 300
    max_line_bytes: int = 16_384
    pseudonym: Pseudonym | None = None
    now_us: Callable[[], int] = NOW_US
    time_form: TimeForm = field(default_factory=TimeForm)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    money: MoneyGuard | None = None

    def parse_lines(self, lines: Sequence[bytes]) -> Parsed:
        """Parse one JSON value per line; each stands or falls alone. Lines of blanks, such as `rosa forget` leaves,
        are nothing.
        """  # noqa: D205
        return self._parse(lines, self._read_line)

    def parse_values(self, values: Sequence[object]) -> Parsed:
        """Parse values that JSON was read into; each stands or falls alone."""
        return self._parse(values, _ANY.validate_python)

    def _parse(self, given: Sequence[Any], read: Callable[[Any], LiveRecord | Refusal | None]) -> Parsed:
        refusals: list[Refusal] = []
        records, rows = [], []
        for index, one in enumerate(given):
            try:
                record = read(one)
            except ValidationError as error:
                refusals.append(Refusal(index, MALFORMED, first_fault(error)))
                continue
            if isinstance(record, Refusal):
                refusals.append(replace(record, index=index))
            elif record is not None:
                records.append(record)
                rows.append(index)
        return self._admit(records, np.array(rows, np.int64), refusals)

    def _read_line(self, line: bytes) -> LiveRecord | Refusal | None:
        """One record; nothing of a blank line. Most lines pass the adapter of their likely type; `_ANY` has the last
        word.
        """  # noqa: D205
        if len(line) > self.max_line_bytes:
            return Refusal(0, OVERSIZE, f"is {len(line)} bytes long, more than {self.max_line_bytes}")
        line = line.removeprefix(codecs.BOM_UTF8)
        try:
            record: LiveRecord = (_TYPED if b'"type"' in line else _EVENT).validate_json(line)
        except ValidationError:
            if line.isspace():
                return None
            record = _ANY.validate_json(line)
        return record

    def _admit(self, records: list[LiveRecord], rows: np.ndarray, refusals: list[Refusal]) -> Parsed:
        ignored = ignored_fields(records)
        counted, changed = _apart(records)
        said = {said_name(name) for name in self.features.columns}
        add_fields(ignored, undeclared_columns((records[at] for at in counted), said))
        parsed = self._count([records[at] for at in counted], rows[counted])  # type: ignore[misc]
        refused = [*refusals, *parsed.refusals]
        if changed:
            told = self._tell([records[at] for at in changed], rows[changed])  # type: ignore[misc]
            add_fields(ignored, told.ignored_fields)
            refused += told.refusals
            parsed = replace(parsed, changes=told.changes, changed=told.changed)
        ordered = tuple(sorted(refused, key=lambda refusal: refusal.index))
        return replace(parsed, refusals=ordered, ignored_fields=ignored)

    def _count(self, records: list[CountedRecord], rows: np.ndarray) -> Parsed:
        """What becomes of records that are counted."""
        times, refused = record_times(records, self.time_form), list[Refusal]()
        if faults := times.faults | unknown_behaviors(records, self.features.behavior_names):
            refused = _malformed(rows, faults)
            sound = [at for at in range(len(records)) if at not in faults]
            records, rows, times = [records[at] for at in sound], rows[sound], times.take(sound)
        columns, known = record_columns(records, times, self.ads, self.pseudonym, self.features)
        ahead = self._is_ahead(columns["time_us"])
        refused += _refusals(rows[ahead], FUTURE, self._future)
        out = ahead.copy()
        if self.money is not None:
            kept = np.flatnonzero(~ahead)
            chosen = [records[at] for at in kept.tolist()]
            misfits = self.money.misfits(chosen, {name: values[kept] for name, values in columns.items()}, self.ads)
            refused += [Refusal(int(rows[kept[at]]), IMPLAUSIBLE, why) for at, why in misfits.items()]
            out[kept[list(misfits)]] = True
        if out.any():
            columns, rows = {name: values[~out] for name, values in columns.items()}, rows[~out]
        return Parsed(columns, rows, tuple(refused), unknown_ads=int((~known & ~out).sum()))

    def _tell(self, records: list[ChangeModel], rows: np.ndarray) -> Parsed:
        """What becomes of records of users, items and ads. What an ad will be may be told ahead."""
        (time_us, faults), told = change_times(records, self.time_form), read_told(records, self.features.columns)
        ends_us, wrong_ends = read_ends(records, time_us, self.time_form)
        faults = wrong_ends | told.faults | faults
        ahead = self._is_ahead(time_us)
        ahead[[at for at, record in enumerate(records) if at in faults or isinstance(record, AdIn)]] = False
        refused = [*_malformed(rows, faults), *_refusals(rows[ahead], FUTURE, self._future)]
        sound = [at for at in np.flatnonzero(~ahead).tolist() if at not in faults]
        chosen, values = [records[at] for at in sound], [told.values[at] for at in sound]
        changes = changes_of(chosen, values, time_us[sound], self.features.columns, self.pseudonym)
        changes = with_ads(changes, ad_changes(records, time_us, ends_us, told.values, sound))
        nothing = empty_records(0)
        return Parsed(nothing, rows[:0], tuple(refused), told.ignored, changes=changes, changed=len(sound))

    def _is_ahead(self, time_us: np.ndarray) -> np.ndarray:
        ahead: np.ndarray = time_us > self.now_us() + self.max_future_s * SECOND_US
        return ahead

    @property
    def _future(self) -> str:
        return f"is more than {self.max_future_s} s ahead of the clock"


def late_refusals(parsed: Parsed, late_rows: np.ndarray) -> list[Refusal]:
    """Refusals of the records that the store set aside.

    Args:
        late_rows: positions in `parsed.columns`.
    """
    return _refusals(parsed.rows[late_rows], LATE, LATE_DETAIL)


def first_fault(error: ValidationError) -> str:
    """The first fault of a record in one line: where and why, without what was sent."""
    fault: Any = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if fault["type"] == "json_invalid":
        return "is not JSON"
    if fault["type"] in ("model_type", "model_attributes_type", "dataclass_type"):
        return "is no JSON object"
    path = [str(part) for part in fault["loc"][1:]]
    return f"{'/'.join(path)}: {fault['msg']}" if path else str(fault["msg"])


def _apart(records: list[LiveRecord]) -> tuple[list[int], list[int]]:
    """Positions of the records that are counted, and of those that tell of users, items and ads."""
    changed = [at for at, record in enumerate(records) if isinstance(record, ChangeModel)]
    others = set(changed)
    return [at for at in range(len(records)) if at not in others] if changed else [*range(len(records))], changed


def _malformed(rows: np.ndarray, faults: Mapping[int, str]) -> list[Refusal]:
    return [Refusal(int(rows[at]), MALFORMED, fault) for at, fault in faults.items()]


def _refusals(rows: np.ndarray, reason: str, detail: str) -> list[Refusal]:
    return [Refusal(row, reason, detail) for row in rows.tolist()]
