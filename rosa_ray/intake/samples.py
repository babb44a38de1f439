"""Heads of files, grouped into tables: what a person would look at first."""

import posixpath
import re
from collections import defaultdict
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import cast

import pyarrow as pa

from rosa_ray.errors import InputError
from rosa_ray.intake.vocabulary import is_known_name
from rosa_ray.sources import RawBatch, SourceFile
from rosa_ray.sources.column_forms import FILE_NAME, FOLDER_NAME
from rosa_ray.sources.columns import folder_values
from rosa_ray.sources.paths import find_files
from rosa_ray.sources.table_files import ParquetFile, begins_as_parquet
from rosa_ray.sources.text_files import TextFile, TextForm

SAMPLE_ROWS = 20_000
"""Rows that are looked at of each file."""
SAMPLE_FILES = 3
"""Files that are looked at of each table: first, middle and last."""
FALLBACK_ENCODING = "cp1252"
_TABLE_SIGNS = re.compile(r"\.(csv|tsv|txt|tab|log|parquet|pq|dat)(\.|$)", re.IGNORECASE)
_DAY = re.compile(r"(\D*)((?:19|20)\d\d)([-_.]?)((?:0[1-9]|1[0-2])\3(?:0[1-9]|[12]\d|3[01]))(\D*)")
_VALUE = re.compile(r"^[-+]?\d+([.,]\d+)?$|^\d{4}[-/]\d\d[-/]\d\d|^[0-9a-f]{16,}$", re.IGNORECASE)


@dataclass(frozen=True)
class Sample:
    """The first rows of a table's files.

    Attributes:
        location: the file, directory or glob that a config would name.
        kind: the `source.kind` that reads it, `csv` or `parquet`.
        names: its columns, those of hive folders last; `column_1`, … of a text file without a header line.
        table: rows of the first, a middle and the last file, one after another.
        files: how many files the location has.
        headerless: whether a text file begins with a row.
        delimiter: what separates fields of text; empty of Parquet.
        encoding: of text, where it is neither UTF-8 nor said by the file.
        dated_by: `#file` or `#folder`, where the names of all files or of their folders hold a day; else empty.
        day_format: how these names are written, in the directives of `strptime`.
    """

    location: str
    kind: str
    names: tuple[str, ...]
    table: pa.Table
    files: int = 1
    headerless: bool = False
    delimiter: str = ""
    encoding: str = ""
    dated_by: str = ""
    day_format: str = ""

    @property
    def words(self) -> list[str]:
        """Words of the location's last two parts, in lower case.

        >>> Sample("logs/ad_clicks/day=1", "csv", (), pa.table({})).words
        ['ad', 'clicks', 'day', '1']
        """
        tail = "/".join(self.location.rstrip("/").split("/")[-2:])
        return [word for word in re.split(r"[^a-z0-9]+", split_words(tail).lower()) if word and word != "logs"]


@dataclass(frozen=True)
class Unread:
    """A location that is no table."""

    location: str
    reason: str


def split_words(text: str) -> str:
    """Part the words of camel case.

    >>> split_words("userId_adClicks")
    'user Id_ad Clicks'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)


def read_samples(locations: Sequence[str]) -> tuple[list[Sample], list[Unread]]:
    """Look at files, folders and globs.

    A folder becomes one table for each sub-folder or header that is in it; folders of a day, such as `2026-01-01`, and
    hive folders, such as `day=2026-01-01`, are parts of one table.

    Returns:
        Tables in the order given, and what could not be read.

    Raises:
        InputError: a location does not exist or holds no files.
    """
    samples: list[Sample] = []
    unread: list[Unread] = []
    for location in locations:
        for place, paths in _tables_below(location).items():
            try:
                samples.append(_sample(place, paths))
            except InputError as error:
                unread.append(Unread(place, str(error).removeprefix(f"{paths[0]}: ")))
    return _merged(samples), unread


def _tables_below(location: str) -> dict[str, list[str]]:
    """Files by the location of their table."""
    files = [(file.path, file.name) for file in find_files(location, "table")]
    if len(files) == 1:
        return {location: [files[0][0]]}
    looked_at = [file for file in files if _TABLE_SIGNS.search(file[1])] or files
    root = location.rstrip("/") if not re.search(r"[*?\[]", location) else ""
    folders: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for path, name in looked_at:
        parts = [part for part in name.split("/")[:-1] if "=" not in part and not day_format_of(part)]
        folders["/".join(parts)].append((path, name))
    tables: dict[str, list[str]] = {}
    for folder, entries in folders.items():
        heads = {path: _head_of(path) for path, _ in entries}
        alike = len(set(heads.values())) == 1
        place = posixpath.join(root, folder) if root else location
        if alike:
            tables[place if root or len(folders) == 1 else entries[0][0]] = [path for path, _ in entries]
        else:
            tables |= {posixpath.join(root, name) if root else path: [path] for path, name in entries}
    return tables


def _head_of(path: str) -> tuple[str, ...]:
    """The columns of a file, or how many it has where no header line says them."""
    try:
        opened, headerless, _ = _open(path)
    except InputError:
        return (path,)
    return (str(len(opened.names)),) if headerless else opened.names


def _sample(location: str, paths: list[str]) -> Sample:
    chosen = [paths[at] for at in sorted({0, len(paths) // 2, len(paths) - 1})][:SAMPLE_FILES]
    tables, opened, headerless, encoding = [], None, False, ""
    for path in chosen:
        opened, headerless, encoding = _open(path)
        table = _first_rows(opened)
        for key, value in folder_values(path).items():
            if key not in table.column_names and f"{key}=" in path:
                table = table.append_column(key, pa.array([value] * table.num_rows, pa.string()))
        tables.append(table)
    assert opened is not None
    joined = pa.concat_tables(tables, promote_options="permissive")
    if not joined.num_rows:
        raise InputError(f"{paths[0]}: has columns {', '.join(opened.names)} and no rows")
    kind = "csv" if isinstance(opened, TextFile) else "parquet"
    delimiter = opened.delimiter if isinstance(opened, TextFile) else ""
    names = tuple(joined.column_names)
    dated_by, day_format = _days_in(paths)
    return Sample(location, kind, names, joined, len(paths), headerless, delimiter, encoding, dated_by, day_format)


def _days_in(paths: Sequence[str]) -> tuple[str, str]:
    """What of the paths holds a day, and how it is written; empty where not all of them do, in one form."""
    for place, names in (
        (FILE_NAME, [SourceFile(path, "", path).stem.rpartition("/")[2] for path in paths]),
        (FOLDER_NAME, [path.rpartition("/")[0].rpartition("/")[2] for path in paths]),
    ):
        forms = {day_format_of(name) for name in names}
        if len(forms) == 1 and (form := forms.pop()):
            return place, form
    return "", ""


def day_format_of(name: str) -> str:
    """Return how a name with a day in it is written; empty where it has none.

    >>> day_format_of("ads_2026-10-01"), day_format_of("20261001"), day_format_of("part-00000")
    ('ads_%Y-%m-%d', '%Y%m%d', '')
    """
    found = _DAY.fullmatch(name)
    if not found or "%" in name:
        return ""
    before, _, sign, _, after = found.groups()
    return f"{before}%Y{sign}%m{sign}%d{after}"


def _first_rows(opened: ParquetFile | TextFile) -> pa.Table:
    tables, rows = [], 0
    with closing(cast(Generator[RawBatch], opened.stream())) as batches:
        for batch in batches:
            tables.append(batch.table.slice(0, SAMPLE_ROWS - rows))
            rows += tables[-1].num_rows
            if rows >= SAMPLE_ROWS:
                break
    return pa.concat_tables(tables)


def _open(path: str) -> tuple[ParquetFile | TextFile, bool, str]:
    """Open a file, and say whether it lacks a header line and which encoding had to be stated.

    Raises:
        InputError: it is neither Parquet nor text.
    """
    if begins_as_parquet(path):
        return ParquetFile(path), False, ""
    encoding = ""
    try:
        opened = TextFile(path)
        if opened.names[0].lstrip()[:1] in ("{", "["):
            raise InputError(f"{path}: is JSON; give CSV or Parquet")
        _first_rows(opened)
    except InputError as error:
        if "source.encoding" not in str(error):
            raise
        encoding = FALLBACK_ENCODING
        opened = TextFile(path, TextForm(encoding=encoding))
    if not _lacks_header(opened.names):
        return opened, False, encoding
    header = tuple(f"column_{at}" for at in range(1, len(opened.names) + 1))
    return TextFile(path, TextForm(opened.delimiter, encoding, header)), True, encoding


def _lacks_header(names: Sequence[str]) -> bool:
    """Tell a row from a line of names: it has values that are numbers, dates or hashes, and no name that is known.

    >>> _lacks_header(["1", "2268318", "pv"]), _lacks_header(["", "item_id", "2"]), _lacks_header(["a", "b"])
    (True, False, False)
    """
    values = [name for name in names if _VALUE.match(name.partition(" (column ")[0].strip())]
    return bool(values) and not any(is_known_name(name) for name in names)


def _merged(samples: list[Sample]) -> list[Sample]:
    """Join files that were given one by one and have one header, such as `clicks_1.csv` and `clicks_2.csv`."""
    merged: list[Sample] = []
    for sample in samples:
        twin = next((at for at, other in enumerate(merged) if _one_table(other, sample)), None)
        if twin is None:
            merged.append(sample)
        else:
            merged[twin] = _joined(merged[twin], sample)
    return merged


def _one_table(left: Sample, right: Sample) -> bool:
    glob = common_glob(left.location, right.location)
    alike = (left.names, left.kind, left.headerless) == (right.names, right.kind, right.headerless)
    return alike and not left.headerless and bool(glob)


def _joined(left: Sample, right: Sample) -> Sample:
    table = pa.concat_tables([left.table, right.table], promote_options="permissive")
    location = common_glob(left.location, right.location)
    alike = (left.dated_by, left.day_format) == (right.dated_by, right.day_format)
    dated_by, day_format = (left.dated_by, left.day_format) if alike else ("", "")
    files = left.files + right.files
    return replace(left, location=location, table=table, files=files, dated_by=dated_by, day_format=day_format)


def common_glob(left: str, right: str) -> str:
    """Return a glob of two paths that differ by digits only, empty where there is none.

    >>> common_glob("log/clicks_1.csv", "log/clicks_02.csv"), common_glob("clicks.csv", "events.csv")
    ('log/clicks_*.csv', '')
    >>> common_glob("log/clicks_*.csv", "log/clicks_3.csv")
    'log/clicks_*.csv'
    """
    parts = list(zip_longest(left.split("/"), right.split("/"), fillvalue=""))
    globs = [one if one == other else _glob_of(one, other) for one, other in parts]
    return (
        "/".join(globs)
        if left != right and all(glob or not one for glob, (one, _) in zip(globs, parts, strict=True))
        else ""
    )


def _glob_of(left: str, right: str) -> str:
    """A pattern of two names that differ by digits, empty where there is none."""
    plain = re.sub(r"\d[\d-]*|\*", "*", left), re.sub(r"\d[\d-]*|\*", "*", right)
    return plain[0] if plain[0] == plain[1] else ""
