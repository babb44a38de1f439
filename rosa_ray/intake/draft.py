"""A config for a log, as commented YAML: what was guessed, from what, and what a person has to choose."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import yaml

from rosa_ray.intake.guesses import TABLE_DOUBT, TableGuess, behavior_map, confidence_word, own_behaviors
from rosa_ray.intake.leftovers import Leftover, leftovers
from rosa_ray.intake.profiles import Profile
from rosa_ray.intake.samples import Unread
from rosa_ray.labels import LabelsConfig
from rosa_ray.schema import BEHAVIORS, CONTRACTS, Column
from rosa_ray.schema.contracts import lacking_in_words
from rosa_ray.sources import SourceConfig
from rosa_ray.sources.columns import labels_elsewhere

_STAND_INS = {
    "event_id": ("#row", "the file has no id; rows are numbered"),
    "impression_id": ("#row", "the file has no id; rows are numbered"),
    "behavior": ("=view", "choose: the file names no behaviour; one of view, click, cart, purchase for all rows"),
    "ad_id": ("=ad", "choose: the file names no ad; all rows are then of one"),
    "request_time": (
        "#row",
        "choose: the file says no time; rows are a second apart, in an order that has to be theirs",
    ),
}
"""Column to the value that stands in for it where a file lacks it, and what to say of it."""

_LEFTOVERS = (
    "Columns that no table takes, and that may be features. Remove the # of those that are known at the request.",
    "One that is known only afterwards gives the label away.",
)


_DATED = ("ads", "users", "items")
_DATED_BY = {"#file": "names", "#folder": "folders"}


@dataclass(frozen=True)
class Draft:
    """A config to write.

    Attributes:
        text: YAML with comments.
        choices: what a person has to decide, one line each; they stand in the text too, after `choose:`.
    """

    text: str
    choices: tuple[str, ...]


def draft_config(
    tables: Sequence[TableGuess], name: str, command: str, left: Sequence[Unread] = (), kind: str = ""
) -> Draft:
    """Write the config of guessed tables.

    Args:
        name: of the run.
        command: what checks the config, for the first line.
        left: locations that are no table, which the text names.
    """
    text = _Text()
    text.head(name, command)
    kinds = [table.sample.kind for table in tables]
    text.add("source:")
    text.add(f"  kind: {kind or kinds[0]}")
    for table in tables:
        _location(text, table, any(other.sample is table.sample for other in tables if other is not table))
    _absent_tables(text, tables)
    for unread in left:
        text.add(f"  # not used: {unread.location} {unread.reason}")
    text.add("  columns:")
    left_over = leftovers(tables)
    for table in tables:
        _columns(text, table, tables, [one.found.name for one in left_over if one.table == table.table])
    _headers(text, tables)
    _values(text, tables)
    _times(text, tables)
    _numbers(text, tables, left_over)
    _windows(text, tables)
    _features(text, left_over, tables, _behaviors(text, tables))
    return Draft(text.written(), tuple(text.choices))


def draft_known(config: SourceConfig, name: str, command: str) -> Draft:
    """Write the config of a public log that a source knows by name."""
    text = _Text()
    text.head(name, command)
    text.add("source:")
    text.add(f"  kind: {config.kind}", "a public log: its columns, units and zones are known")
    text.add(f"  path: {_scalar(config.path)}")
    return Draft(text.written(), ())


class _Text:
    """Lines of YAML with comments in one column."""

    def __init__(self) -> None:
        self._lines: list[tuple[str, str]] = []
        self.choices: list[str] = []

    def head(self, name: str, command: str) -> None:
        self.add(f"# `{command}` says what is read, what is lost and what is odd.")
        self.add('# A line with "choose:" needs a person\'s decision.')
        self.add(f"run_dir: runs/{name}")

    def add(self, line: str, comment: str = "", key: str = "") -> None:
        if comment.startswith("choose:"):
            self.choices.append(f"{key or line.strip()}: {comment.removeprefix('choose:').strip()}")
        self._lines.append((line, " ".join(comment.split())))

    def choose(self, what: str, indent: int = 2) -> None:
        self.choices.append(what)
        self._lines.append((f"{' ' * indent}# choose: {what}", ""))

    def written(self) -> str:
        width = min(48, max((len(line) for line, comment in self._lines if comment), default=0))
        return "".join(f"{line:<{width}}  # {comment}\n" if comment else f"{line}\n" for line, comment in self._lines)


def _location(text: _Text, guess: TableGuess, shared: bool) -> None:
    if shared and guess.table == "ads":
        text.add(f"  ads: {_scalar(guess.sample.location)}", "no table of ads was given; these are the ads shown")
        return
    sample = guess.sample
    files = f"{sample.files} files, " if sample.files > 1 else ""
    doubt = "" if guess.confidence >= TABLE_DOUBT else "choose: is this the right table? "
    text.add(f"  {guess.table}: {_scalar(sample.location)}", f"{doubt}{files}{len(sample.names)} columns")


def _absent_tables(text: _Text, tables: Sequence[TableGuess]) -> None:
    present = {table.table for table in tables}
    if "impressions" not in present:
        text.add("  # no impressions: `rosa simulate` can show ads on these timelines")
    elif "ads" in CONTRACTS and "ads" not in present:
        text.choose(
            "ads: no file of ads was given; name the catalogue, with ad_id, campaign_id, category, bid and price"
        )
    if "events" not in present:
        text.add("  # no events: users have no timelines, and models read the impression alone")


def _windows(text: _Text, tables: Sequence[TableGuess]) -> None:
    """How clicks and conversions of their own logs are joined."""
    if not {"clicks", "conversions"} & {table.table for table in tables}:
        return
    known, windows = LabelsConfig(), "labels.click_through_hours and view_through_hours"
    text.add("labels:")
    text.add(
        f"  click_hours: {known.click_hours:g}", "a click without impression_id follows an impression so long before"
    )
    text.add(
        f"  click_through_hours: {known.click_through_hours:g}",
        "choose: how long before a conversion its click or view may lie; these are the defaults",
        windows,
    )
    text.add(f"  view_through_hours: {known.view_through_hours:g}", "0 counts no conversion without a click")


def _columns(text: _Text, guess: TableGuess, tables: Sequence[TableGuess], proposed: Sequence[str]) -> None:
    text.add(f"    {guess.table}:")
    absent = {entry.name: entry for entry in guess.missing}
    elsewhere = _elsewhere(guess, tables)
    for entry in CONTRACTS[guess.table].columns:
        if entry.name in guess.columns:
            found = guess.columns[entry.name]
            word = confidence_word(found.confidence)
            doubt = "choose: " if word == "unsure" else ""
            examples = ", ".join(found.found.examples[:2])
            key = f"columns.{guess.table}.{entry.name}: {found.file_column}"
            written = _scalar(_written(guess, found.file_column))
            text.add(f"      {entry.name}: {written}", f"{doubt}{word}, {found.why}; {_short(examples)}", key)
        elif entry.name == "valid_from" and _dated_files(guess):
            text.add(
                f"      valid_from: {_scalar(guess.sample.dated_by)}",
                f"likely, the {_DATED_BY[guess.sample.dated_by]} of the {guess.sample.files} files are days: snapshots",
            )
        elif entry.name in elsewhere:
            text.add(f"      # {entry.name}: joined from the {elsewhere[entry.name]}")
        elif entry.name in absent:
            _stand_in(text, guess, entry, tables)
    others = [name or repr(name) for name in guess.others if name not in proposed]
    if others:
        text.add(f"      # not used: {_short(', '.join(others), 90)}")


def _dated_files(guess: TableGuess) -> bool:
    """Whether the files are snapshots of ads, users or items, whose day only their names say."""
    sample = guess.sample
    return guess.table in _DATED and sample.files > 1 and bool(sample.dated_by) and "valid_from" not in guess.columns


def _elsewhere(guess: TableGuess, tables: Sequence[TableGuess]) -> dict[str, str]:
    """Labels of impressions that a table of their own brings, with that table."""
    present = {table.table for table in tables}
    logs = {"clicks": SourceConfig(clicks="clicks"), "conversions": SourceConfig(conversions="conversions")}
    return {
        column: name
        for name, config in logs.items()
        if name in present
        for column in labels_elsewhere(config, guess.table)
    }


def _stand_in(text: _Text, guess: TableGuess, entry: Column, tables: Sequence[TableGuess]) -> None:
    value, why = _mean_bid(tables) if (guess.table, entry.name) == ("ads", "bid") else ("", "")
    value, why = (value, why) if value else _STAND_INS.get(entry.name, ("", ""))
    if value:
        text.add(f"      {entry.name}: {_scalar(value)}", why, f"columns.{guess.table}.{entry.name}: {value}")
    elif entry.may_lack:
        text.add(f"      # no column is left for {lacking_in_words(guess.table, [entry.name])}")
    else:
        text.choose(f"columns.{guess.table}.{entry.name}: no column seems to be '{entry.meaning}'; name it here", 6)


def _mean_bid(tables: Sequence[TableGuess]) -> tuple[str, str]:
    """The bid of ads whose catalogue has none: the mean of the impressions' bids. Empty where these have none."""
    shown = [table.columns for table in tables if table.table == "impressions"]
    bids = [columns["bid"].found.mean for columns in shown if "bid" in columns]
    if not bids or bids[0] <= 0:
        return "", ""
    return f"={bids[0]:.4g}", "choose: ads have no bid of their own; this is the mean bid of the impressions looked at"


def _written(guess: TableGuess, file_column: str) -> str:
    """The name of a file's column; one of a file without header is called as in the contract."""
    if not guess.sample.headerless:
        return file_column
    return next((name for name, found in guess.columns.items() if found.file_column == file_column), file_column)


def _headers(text: _Text, tables: Sequence[TableGuess]) -> None:
    headerless = [table for table in tables if table.sample.headerless]
    if not headerless:
        return
    text.add("  header:", "the files have no header line; these are their columns in order")
    for table in headerless:
        text.add(f"    {table.table}: [{', '.join(_written(table, name) for name in table.sample.names)}]")


def _values(text: _Text, tables: Sequence[TableGuess]) -> None:
    for table in tables:
        if "behavior" not in table.columns:
            continue
        meanings, unknown = behavior_map(table.columns["behavior"].found)
        if meanings:
            text.add("  behaviors:")
        for value, behavior in meanings.items():
            text.add(f"    {_scalar(value)}: {behavior}", _share(table.columns["behavior"].found, value))
        if unknown and not own_behaviors(table.columns["behavior"].found):
            words = ", ".join(unknown[:8])
            text.choose(f"behaviors: {words} are none of {', '.join(BEHAVIORS)}; map them, or their rows are set aside")
    mapped = [(t.table, c.column, c.found.meanings) for t in tables for c in t.columns.values() if c.found.meanings]
    if mapped:
        text.add("  values:")
    for name in dict.fromkeys(name for name, _, _ in mapped):
        text.add(f"    {name}:")
        for _, column, labels in (entry for entry in mapped if entry[0] == name):
            pairs = ", ".join(f"{_scalar(value)}: {str(yes).lower()}" for value, yes in labels.items())
            text.add(f"      {column}: {{{pairs}}}")


def _share(found: Profile, value: str) -> str:
    return f"{100 * found.words.get(value, 0) / max(1, sum(found.words.values())):.2g} % of the rows"


def _found(tables: Sequence[TableGuess], kind: str, is_type: Callable[[pa.DataType], bool]) -> dict[str, Profile]:
    """What was found of the columns of one kind that a contract has under a type, by `table.column`."""
    return {
        f"{table.table}.{name}": guess.found
        for table in tables
        for name, guess in table.columns.items()
        if guess.found.kind == kind and is_type(CONTRACTS[table.table].schema.field(name).type)
    }


def _times(text: _Text, tables: Sequence[TableGuess]) -> None:
    found = _found(tables, "time", pa.types.is_timestamp)
    snapshots = {f"{table.table}.valid_from": table.sample.day_format for table in tables if _dated_files(table)}
    formats = {key: one.time_format for key, one in found.items() if one.time_format} | snapshots
    _setting(text, "time_unit", {key: one.unit for key, one in found.items() if one.unit}, len(found) + len(snapshots))
    _setting(text, "time_format", formats, len(found) + len(snapshots))
    exchanged = next((one for one in found.values() if one.either_order), None)
    if exchanged is not None:
        read, other = exchanged.time_format, exchanged.either_order
        text.choose(f"time_format: {exchanged.examples[0]} was read as {read}; {other} would do too")
    naive = {key: "UTC" for key, one in found.items() if one.naive} | dict.fromkeys(snapshots, "UTC")
    if naive:
        text.choose(f"time_zone: {', '.join(naive)} say no zone; UTC was taken")
        _setting(text, "time_zone", naive, len(naive))


def _numbers(text: _Text, tables: Sequence[TableGuess], left: Sequence[Leftover]) -> None:
    found = _found(tables, "number", pa.types.is_floating)
    found |= {f"{one.table}.{one.name}": one.found for one in left if one.active and one.found.kind == "number"}
    _setting(text, "decimal", {key: one.decimal for key, one in found.items() if one.decimal != "."}, len(found))
    _setting(text, "thousands", {key: one.thousands for key, one in found.items() if one.thousands}, len(found))
    _setting(text, "strip", {key: one.strip for key, one in found.items() if one.strip}, len(found))
    encodings = {table.table: table.sample.encoding for table in tables if table.sample.encoding}
    if encodings:
        text.choose(f"encoding: the text is not UTF-8; {', '.join(set(encodings.values()))} was taken")
        _setting(text, "encoding", encodings, len(encodings))


def _behaviors(text: _Text, tables: Sequence[TableGuess]) -> bool:
    """Behaviours of the log's own, where the words of a column are not all known; tells whether there are any."""
    found = next((table.columns["behavior"].found for table in tables if "behavior" in table.columns), None)
    _, unknown = behavior_map(found) if found else ({}, [])
    ordered = own_behaviors(found) if found and unknown else []
    if not found or not ordered:
        return False
    text.add("features:")
    text.add(
        "  behaviors:",
        f"choose: is this the order of strength? {', '.join(unknown[:8])} were put into it by how often they are",
        "features.behaviors",
    )
    for strength, name in enumerate(ordered):
        text.add(f"    {_scalar(name)}: {strength}", _share(found, name) if name in unknown else "")
    return True


def _features(text: _Text, left: Sequence[Leftover], tables: Sequence[TableGuess], begun: bool) -> None:
    """Columns that may be declared: those of impressions as comments, since a person has to know when each is known.

    Args:
        begun: whether the text has a section of features, which they then go on.
    """
    active, others = [one for one in left if one.active], [one for one in left if not one.active]
    if active and not begun:
        text.add("features:")
    if active:
        text.add("  columns:", "of tables of users, items and ads; remove what should be no feature")
        _undated(text, [one.table for one in active], tables)
    for one in active:
        _feature(text, one, "    ")
    if not others:
        return
    for line in _LEFTOVERS:
        text.add(f"{'    ' if active else ''}# {line}")
    if not active and not begun:
        text.add("# features:")
    if not active:
        text.add("#   columns:")
    for one in others:
        _feature(text, one, "    # " if active else "#     ")


def _undated(text: _Text, declared: Sequence[str], tables: Sequence[TableGuess]) -> None:
    """Tables whose rows say no time hold since ever, also before what they tell came about."""
    dated = {one.table for one in tables if "valid_from" in one.columns or _dated_files(one)}
    undated = [table for table in dict.fromkeys(declared) if table not in dated]
    if undated:
        text.choose(
            f"features.columns: rows of {' and '.join(undated)} say no valid_from, and hold since ever; remove columns "
            "that tell what happened later",
            4,
        )


def _feature(text: _Text, one: Leftover, indent: str) -> None:
    size = f", size: {one.size}" if one.size else ""
    examples = _short(", ".join(one.found.examples[:2]))
    told = f"{one.describe()}; {examples}" if examples else one.describe()
    text.add(f"{indent}{one.name}: {{type: {one.kind}{size}}}", told)


def _setting(text: _Text, name: str, values: Mapping[str, str], total: int) -> None:
    """One value for all where all agree, else a mapping of tables or columns."""
    if not values:
        return
    if len(set(values.values())) == 1 and len(values) == total:
        text.add(f"  {name}: {_scalar(next(iter(values.values())))}")
        return
    text.add(f"  {name}:")
    for key, value in values.items():
        text.add(f"    {key}: {_scalar(value)}")


def _scalar(value: str) -> str:
    """A string as YAML has it, quoted where it has to be.

    >>> _scalar("uid"), _scalar("#row"), _scalar("=0.1"), _scalar("1"), _scalar("no"), _scalar("")
    ('uid', '"#row"', '"=0.1"', '"1"', '"no"', '""')
    """
    if re.fullmatch(r"[A-Za-z_./][\w./*-]*", value) and isinstance(yaml.safe_load(value), str):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t") + '"'


def _short(text: str, most: int = 60) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"
