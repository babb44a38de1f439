"""Check a configured log: read it once, compute figures, and say what they mean."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from rosa_ray.features.config import FeatureConfig
from rosa_ray.intake import figures
from rosa_ray.intake.declared import Declared, declared
from rosa_ray.intake.figures import Bulk, Meeting, Periods, Repeats
from rosa_ray.intake.heads import Head, heads
from rosa_ray.intake.label_joins import Unjoined, forget_unknown, join_read
from rosa_ray.intake.remarks import Level, Remark, exit_code, gravest_first
from rosa_ray.intake.scan import TableScan, row_id_of, scan_log
from rosa_ray.intake.slots import slot_remarks
from rosa_ray.labels import LabelsConfig
from rosa_ray.labels.outcomes import NOT_KNOWN
from rosa_ray.schema.contract import LACKING_REMEDY
from rosa_ray.schema.contracts import lacking_in_words
from rosa_ray.schema.overlap import LITTLE
from rosa_ray.schema.own_columns import TABLES_OF, OwnColumn
from rosa_ray.schema.spans import ANY_TIME, STRAY, STRAY_REMEDY, TimeBounds
from rosa_ray.sources import Source
from rosa_ray.units import DAY_US

DEFAULT_LABELS = LabelsConfig()
HIGH_CTR = 0.3
"""A click rate above this looks selected or mistaken."""
_MUCH_OF_ONE_USER, _MANY_ROWS = 0.1, 1_000
_MANY_REPEATS = 0.001
_SOME_CLICKS = 5
_FEW_WITHOUT_CLICK = 0.001
_THINGS = {"ads": "ad", "users": "user", "items": "item"}
_VERSIONS = {**dict.fromkeys(_THINGS, "valid_from"), "impressions": "updated_time"}


@dataclass(frozen=True)
class LogCheck:
    """What a check found.

    Attributes:
        tables: what was read of each table.
        spans: the bulk of each table in time.
        daily: rows of each day, by table.
        rates: of the impressions; empty without any.
        label_age: None where no conversion has a time.
        repeats: rows whose id is there already, by table.
        meetings: coverage between tables.
        columns: what declared columns hold, by table and name.
        periods: that preprocessing would cut; empty without impressions.
        heads: parts of the model, and whether the log teaches them.
        remarks: the gravest first.
        seconds: how long it took.
    """

    tables: Mapping[str, TableScan]
    spans: Mapping[str, Bulk]
    daily: Mapping[str, list[dict[str, Any]]]
    rates: Mapping[str, Any]
    label_age: Mapping[str, Any] | None
    repeats: Mapping[str, Repeats]
    meetings: tuple[Meeting, ...]
    columns: tuple[Declared, ...]
    periods: Mapping[str, Any]
    heads: tuple[Head, ...]
    remarks: tuple[Remark, ...]
    seconds: float

    @property
    def exit_code(self) -> int:
        """0, 3 or 4, as `rosa check` ends."""
        return exit_code(self.remarks)

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for JSON."""
        return {
            "exit_code": self.exit_code,
            "remarks": [asdict(remark) for remark in self.remarks],
            "tables": {name: _table_dict(scan, self.spans.get(name)) for name, scan in self.tables.items()},
            "daily": {name: list(rows) for name, rows in self.daily.items()},
            "rates": dict(self.rates),
            "label_age": self.label_age,
            "repeats": {name: asdict(one) for name, one in self.repeats.items()},
            "coverage": [asdict(meeting) for meeting in self.meetings],
            "columns": [asdict(one) for one in self.columns],
            "periods": dict(self.periods),
            "heads": [asdict(head) for head in self.heads],
            "seconds": self.seconds,
        }


def check_log(
    source: Source,
    cut: Periods,
    rows: int = 2_000_000,
    period: TimeBounds = ANY_TIME,
    keep_outliers: bool = False,
    labels: LabelsConfig = DEFAULT_LABELS,
    negative_keep_rate: float = 1.0,
    own: Sequence[OwnColumn] = (),
    unused: Sequence[str] = (),
    features: FeatureConfig | None = None,
) -> LogCheck:
    """Read a log and say what it holds.

    Args:
        cut: the periods that preprocessing would cut.
        rows: to read of each table at most; 0 reads all.
        period: the time that preprocessing would take rows of.
        keep_outliers: whether it would take rows far outside of the log's time.
        labels: how it would join clicks and conversions of logs of their own.
        negative_keep_rate: share of the impressions without a click that the log kept.
        own: declared columns, which the source brings too.
        unused: tables that are given and not read, since nobody declares a column of theirs.
        features: what would be read; the default features where it is left out.

    Raises:
        InputError: a location does not exist or holds no files.
    """
    since = time.perf_counter()
    scans = scan_log(source, rows, own, (features or FeatureConfig()).behavior_names)
    good = {name: scan for name, scan in scans.items() if scan.kept.rows}
    unjoined = join_read(good, labels)
    spans = figures.bulks(good, period, keep_outliers)
    shown = good.get("impressions") if "impressions" in spans else None
    unknown = forget_unknown(shown.kept, labels) if shown else {}
    parts: dict[str, Any] = {
        "tables": scans,
        "spans": spans,
        "daily": {name: figures.days(good[name], bulk) for name, bulk in spans.items()},
        "rates": figures.rates(shown, negative_keep_rate) if shown else {},
        "label_age": figures.label_age(shown, spans["impressions"]) if shown else None,
        "repeats": {name: figures.repeats(scan) for name, scan in good.items()},
        "meetings": tuple(figures.meetings(good)),
        "columns": tuple(declared(good)),
        "periods": figures.periods(shown, spans["impressions"], cut) if shown else {},
        "heads": tuple(heads(good, set(scans) - set(good))),
    }
    draft = LogCheck(**parts, remarks=(), seconds=0.0)
    remarks = [*_reading(draft), *_moments(draft), *_ids(draft), *_coverage(draft), *_labels(draft, good)]
    remarks += [*_of_columns(draft), *_unread(unused)]
    remarks += [*_joins(scans, unjoined), *_unripe(draft, shown, unknown, labels)]
    remarks += slot_remarks(shown, features or FeatureConfig()) if shown else []
    remarks += [Remark("off", head.name, head.why, head.remedy) for head in draft.heads if not head.on]
    return LogCheck(**parts, remarks=tuple(gravest_first(remarks)), seconds=round(time.perf_counter() - since, 2))


def _of_columns(check: LogCheck) -> Iterator[Remark]:
    """Declared columns that say nothing."""
    for one in check.columns:
        if not one.known_share:
            yield Remark("odd", one.table, f"{one.name} has no value in any row", "name its column in source.columns")
        elif one.distinct == 1:
            text = f"{one.name} is the same in every row that has it: {one.examples[0]}"
            yield Remark("note", one.table, text, "it tells a model only which rows have it")


def _unread(unused: Sequence[str]) -> Iterator[Remark]:
    for table in unused:
        prefix = next(prefix for prefix, tables in TABLES_OF.items() if table in tables)
        text = "the table is given, and not read: nobody declares a column of it"
        yield Remark("note", table, text, f"features.columns: {{{prefix}NAME: {{type: category}}}} declares one")


def _unripe(
    check: LogCheck, shown: TableScan | None, unknown: Mapping[str, int], labels: LabelsConfig
) -> Iterator[Remark]:
    """Labels that came too late to count, and rows too young for their conversions to be known."""
    for name, rows in unknown.items():
        if rows:
            yield Remark("note", "impressions", f"{counted(rows, 'row')} {NOT_KNOWN[name]}")
    if shown is None or labels.window_us is None:
        return
    newest_us = max(span.end_us for name, span in check.spans.items() if name in ("events", "impressions"))
    as_of_us = newest_us if labels.as_of_us is None else labels.as_of_us
    time_us, span = shown.kept.column("request_time"), check.spans["impressions"]
    young = int(((as_of_us - time_us < labels.window_us) & (time_us <= span.end_us)).sum())
    if young:
        text = f"{young:,} of {shown.kept.rows:,} rows {NOT_KNOWN['young_impressions']}"
        yield Remark("note", "impressions", text, "their conversions are not known yet")


def _reading(check: LogCheck) -> Iterator[Remark]:
    """What could not be read, and which rows were set aside."""
    for name, scan in check.tables.items():
        for path, reason in scan.unreadable:
            yield Remark("unreadable", name, f"{path}: {reason}")
        if not scan.kept.rows and not scan.unreadable:
            yield Remark("unreadable", name, f"none of {scan.rows_read:,} rows is usable")
        for one in scan.set_aside:
            share = one.rows / scan.rows_read
            text = (
                f"{one.rows:,} of {scan.rows_read:,} rows ({share:.1%}) would be set aside: '{one.column}' {one.reason}"
            )
            yield Remark("lost", name, f"{text}{f', the first is {one.example} in {one.where}' if one.example else ''}")
        for one in scan.noted:
            example = f", the first is {one.example}" if one.example else ""
            yield Remark("odd", name, f"{counted(one.rows, 'row')}: '{one.column}' {one.reason}{example}")
        if scan.lacking:
            yield Remark("note", name, f"there is no column {lacking_in_words(name, scan.lacking)}", LACKING_REMEDY)
        if not scan.whole:
            said = f"{scan.rows_read:,} rows were read, of {scan.files_read} of {scan.files} files"
            yield Remark("note", name, f"only a part was read: {said}", "--rows 0 reads everything")


def _moments(check: LogCheck) -> Iterator[Remark]:
    """Rows far from the others in time, and tables that do not lie at the same time."""
    for name, bulk in check.spans.items():
        if bulk.outside:
            such = " and ".join(day(one) for one in bulk.examples)
            rows = f"{bulk.outside:,} of {check.tables[name].kept.rows:,} rows"
            text = f"{rows} {STRAY} ({day(bulk.start_us)} to {day(bulk.end_us)}), such as {such}"
            yield Remark("lost", name, text, f"are these dates right? {STRAY_REMEDY}")
    events, shown = check.spans.get("events"), check.spans.get("impressions")
    if events and shown:
        if shown.end_us <= events.start_us:
            text = f"all impressions lie before the first event, {day(events.start_us)}"
            yield Remark("odd", "impressions, events", text, "no impression has a timeline; give earlier events")
        elif shown.start_us >= events.end_us and shown.start_us - events.end_us > DAY_US:
            text = f"all events end on {day(events.end_us)}, the first impression is of {day(shown.start_us)}"
            yield Remark("odd", "impressions, events", text, "timelines are old at every request; is a day missing?")


def _ids(check: LogCheck) -> Iterator[Remark]:
    """Rows whose id is there already."""
    for name, found in check.repeats.items():
        column, rows = row_id_of(name), check.tables[name].kept.rows
        version = _VERSIONS.get(name, "")
        if found.other and version in check.tables[name].kept.names and check.tables[name].kept.known_share(version):
            yield _of_versions(check, name, found.other)
        elif found.other:
            labels = f", {found.other_labels:,} of them with other labels" if found.other_labels else ""
            text = f"{counted(found.other, 'row')} whose {column} another row has too, with other content{labels}"
            yield Remark("odd", name, f"{text}: {found.example}", _of_conflicts(name))
        if found.same:
            level: Level = "odd" if found.same > _MANY_REPEATS * rows and name not in _THINGS else "note"
            text = f"{counted(found.same, 'row')} repeated, equal in every column"
            yield Remark(level, name, text, "they count once")


def _of_versions(check: LogCheck, table: str, others: int) -> Remark:
    """Rows that the log itself says are versions."""
    if table not in _THINGS:
        return Remark("note", table, f"{counted(others, 'other version')} of rows", "the newest counts")
    kept = check.tables[table].kept
    text = (
        f"{counted(kept.distinct(row_id_of(table)), _THINGS[table])} in {counted(kept.rows, 'row')} of different times"
    )
    return Remark("note", table, text, "a request takes the row of its time")


def _of_conflicts(table: str) -> str:
    if table in _THINGS:
        day_of = f"source.columns.{table}.valid_from"
        return f"are these daily snapshots? Name their day in {day_of}: a request takes its day's"
    later = "" if table != "impressions" else "are these versions? Name updated_time in source.columns.impressions. "
    return f'{later}If ids restart in every file, name {row_id_of(table)}: "#row" in source.columns.{table}'


def _coverage(check: LogCheck) -> Iterator[Remark]:
    """Ids of one table that another should know."""
    for one in check.meetings:
        share = one.overlap.share or 0.0
        where = f"{one.left}, {one.right}"
        told = one.overlap.told(one.left, one.right)
        text = f"{one.overlap.known:,} of {one.overlap.ids:,} {one.meaning}{f'; {told}' if told else ''}"
        if one.right == "ads.ad_id" and one.rows_known < one.rows:
            lost = one.rows - one.rows_known
            text = f"{text}; {lost:,} of {one.rows:,} rows name unknown ads"
            yield Remark("lost", where, text, "add these ads to the catalogue; until then nothing is learned")
        elif share <= LITTLE:
            sampled = not all(check.tables[side.partition(".")[0]].whole for side in (one.left, one.right))
            note = "only a part of the log was read" if sampled else "are the ids written alike in both tables?"
            yield Remark("note" if sampled and share else "odd", where, text, note)
        elif share < 0.999:
            yield Remark("note", where, text)
    history = figures.with_history({name: scan for name, scan in check.tables.items() if scan.kept.rows})
    if history and history[0] and history[0] < 0.5 * history[1]:
        before, known = history
        text = f"{before:,} of {known:,} impressions of users with events come after one of these"
        yield Remark(
            "odd" if before < LITTLE * known else "note", "impressions, events", text, "is the time zone right?"
        )


def _joins(scans: Mapping[str, TableScan], unjoined: list[Unjoined]) -> Iterator[Remark]:
    """Clicks and conversions of logs of their own that found no impression; a part of a log does not tell."""
    whole = all(scans[name].whole for name in ("impressions", "clicks", "conversions") if name in scans)
    for one in unjoined:
        level: Level = "note" if not (whole and one.outcome.lost) else "lost"
        text = f"{one.rows:,} of {one.of:,} rows ({one.rows / one.of:.1%}) {one.outcome.text}"
        yield Remark(level, one.table, text, one.outcome.remedy if whole else "only a part of the log was read")


def _labels(check: LogCheck, good: Mapping[str, TableScan]) -> Iterator[Remark]:
    """Rates that look wrong, periods without labels, labels too young to know."""
    for name in ("events", "impressions"):
        share, rows = figures.busiest(good[name]) if name in good else (0.0, 0)
        if share > _MUCH_OF_ONE_USER and rows > _MANY_ROWS:
            yield Remark(
                "odd", name, f"one user has {rows:,} rows, {share:.0%} of all", "is it a robot, or a default id?"
            )
    if not check.rates:
        return
    clicks, shown = check.rates["clicks"], check.rates["impressions"]
    if not clicks:
        yield Remark("odd", "impressions", f"none of {shown:,} impressions has a click", "no ranker can be trained")
    elif check.rates["ctr"] > HIGH_CTR:
        text = f"{check.rates['ctr']:.0%} of the impressions have a click"
        remedy = "were impressions without clicks left out? Say in preprocess.negative_keep_rate which share was kept"
        yield Remark("odd", "impressions", text, remedy)
    without = int((good["impressions"].kept.column("conversion") & ~good["impressions"].kept.column("click")).sum())
    if without:
        level: Level = "odd" if without > _FEW_WITHOUT_CLICK * shown else "note"
        text = f"{counted(without, 'conversion')} of {shown:,} impressions came without a click"
        yield Remark(level, "impressions", text, "they are no labels of a model")
    yield from _of_periods(check)
    age = check.label_age
    if age and age["clicks"]:
        late = age["delay_hours"]
        text = (
            f"half of the conversions take {hours(late['p50'])}, 99 % take {hours(late['p99'])}; "
            f"{age['young_clicks']:,} of {age['clicks']:,} clicks are younger than 90 % need"
        )
        yield Remark(
            "note",
            "conversions",
            text,
            f"labels are complete after about {counted(age['days_to_know_99_percent'], 'day')}",
        )


def _of_periods(check: LogCheck) -> Iterator[Remark]:
    problem = check.periods.get("problem")
    if problem:
        yield Remark("odd", "periods", problem)
        return
    for name, words in (("train", "training"), ("valid", "validation"), ("test", "test")):
        part = check.periods[name]
        if not part["impressions"]:
            yield Remark(
                "odd", "periods", f"the {words} period has no impression", "set preprocess.valid_from and test_from"
            )
        elif not part["clicks"] and check.rates["clicks"]:
            text = f"none of the {part['impressions']:,} impressions of the {words} period has a click"
            expected = part["impressions"] * check.rates["ctr"]
            yield Remark(
                "odd" if expected > _SOME_CLICKS else "note",
                "periods",
                text,
                "its metrics are undefined; give a longer log, or other periods",
            )


def _table_dict(scan: TableScan, bulk: Bulk | None) -> dict[str, Any]:
    kept = scan.kept
    ids = [name for name in ("user_id", "item_id", "ad_id", "campaign_id", "category") if name in kept.names]
    return {
        "files": scan.files,
        "files_read": scan.files_read,
        "whole": scan.whole,
        "rows_read": scan.rows_read,
        "rows_kept": kept.rows,
        "set_aside": [asdict(one) for one in scan.set_aside],
        "noted": [asdict(one) for one in scan.noted],
        "unreadable": [{"path": path, "reason": reason} for path, reason in scan.unreadable],
        "from": day(bulk.start_us) if bulk else None,
        "to": day(bulk.end_us) if bulk else None,
        "rows_far_away": bulk.outside if bulk else 0,
        "distinct": {name: kept.distinct(name) for name in ids},
        "known_share": {name: kept.known_share(name) for name in kept.names},
    }


def counted(count: int, what: str) -> str:
    """Return a number of things.

    >>> counted(1, "row"), counted(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{count:,} {what}{'s' * (count != 1)}"


def day(time_us: int) -> str:
    """Return a time to the minute.

    >>> day(1_767_571_266_361_682)
    '2026-01-05 00:01'
    """
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M")


def hours(value: float) -> str:
    """Return a duration given in hours.

    >>> hours(0.5), hours(7), hours(72)
    ('30 minutes', '7.0 hours', '3.0 days')
    """
    if value < 1:
        return f"{60 * value:.0f} minutes"
    return f"{value:.1f} hours" if value < 48 else f"{value / 24:.1f} days"
