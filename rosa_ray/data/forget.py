"""Remove users from the files of a run: tables are written anew, lines of logs are blanked, quoted examples emptied.

A table takes the place of the old one at once. A line of a log becomes blanks of the same length, in place, so that
offsets of readers stay true and whoever appends meanwhile is not disturbed.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from rosa_ray.features.views import OF_USERS
from rosa_ray.schema import hash_id, hash_ids
from rosa_ray.storage import full_path, readable, write_bytes, write_row_groups

_USER_COLUMNS, _COUNTER_COLUMNS = ("user_id", "user_key"), ("view", "entity_key")
_OWNER = "owner_key"
_SHOWN_COLUMNS = ("impression_id", "impression_key", "impression_impression_key")

_QUOTING = ("example", "examples", "hint", "warnings", "users_shown", "users_of_events")
"""Keys of reports below which rows of a log are quoted."""

Mask = Callable[[pa.Table], np.ndarray]


@dataclass(frozen=True)
class Removal:
    """What was, or would be, removed from one file: so many rows of a table, lines of a log, or quoted examples."""

    path: str
    count: int
    unit: str


def forget_in_files(root: str, user_ids: Sequence[str], *, dry_run: bool = False) -> list[Removal]:
    """Remove users from every Parquet file, every `.jsonl` log and the examples of every report below a directory.

    Rows that name no user but an impression of one go too. Sums over all users stay. A run that is broken off is
    repeated: tables that name the users themselves are written last.

    Args:
        user_ids: ids as they stand in the files.
        dry_run: change nothing.

    Returns:
        The files that held the users, by path; none when the directory is missing.

    Raises:
        InputError: a file is damaged, or cannot be written.
    """
    tables, logs = _files(root, ".parquet"), _files(root, (".jsonl", ".ndjson"))
    users = _Users(user_ids)
    of_users = [_Table(path, *found) for path in tables if (found := users.find(path))]
    shown = np.unique(np.concatenate([np.empty(0, np.int64), *(table.shown for table in of_users)]))
    of_shown = [_Table(path, *found) for path in tables if (found := _find_shown(path, shown))]
    if not dry_run:
        for table in (*of_shown, *of_users):
            _rewrite(table.path, table.mask)
    removals = [Removal(table.path, table.rows, "rows") for table in (*of_users, *of_shown)]
    blanked = {path: _blank_lines(path, user_ids, dry_run) for path in logs}
    removals += [Removal(path, count, "lines") for path, count in blanked.items() if count]
    quoted = {path: _drop_quotes(path, user_ids, dry_run) for path in _files(root, ".json")}
    removals += [Removal(path, count, "quoted examples") for path, count in quoted.items() if count]
    return sorted(removals, key=lambda removal: removal.path)


@dataclass(frozen=True)
class _Table:
    """A table with rows to remove, and the impressions that these name."""

    path: str
    rows: int
    mask: Mask
    shown: np.ndarray


class _Users:
    def __init__(self, user_ids: Sequence[str]) -> None:
        self._ids = pa.array(user_ids, pa.string())
        self._keys = np.array([hash_id(user_id) for user_id in user_ids], np.int64)

    def find(self, path: str) -> tuple[int, Mask, np.ndarray] | None:
        """Rows of the users in a table: how many, which, and their impressions."""
        names = _columns_of(path)
        mask = self._counters if set(_COUNTER_COLUMNS) <= names else self._rows
        columns = _COUNTER_COLUMNS if set(_COUNTER_COLUMNS) <= names else _USER_COLUMNS
        chosen = [name for name in (*columns, _OWNER) if name in names]
        if not chosen:
            return None
        count, shown = 0, [np.empty(0, np.int64)]
        more = [name for name in _SHOWN_COLUMNS if name in names]
        for table in _groups(path, chosen):
            count += int(mask(table).sum())
        if not count:
            return None
        for table in _groups(path, [*chosen, *more]) if more else ():
            shown += _impressions(table.filter(pa.array(mask(table))))
        return count, mask, np.concatenate(shown)

    def _rows(self, table: pa.Table) -> np.ndarray:
        found = np.zeros(table.num_rows, bool)
        if "user_id" in table.column_names:
            found |= pc.is_in(table["user_id"].cast(pa.string()), self._ids).to_numpy()
        if "user_key" in table.column_names:
            found |= np.isin(table["user_key"].to_numpy(), self._keys)
        return found

    def _counters(self, table: pa.Table) -> np.ndarray:
        of_users: np.ndarray = pc.is_in(table["view"], pa.array(OF_USERS)).to_numpy()
        found = of_users & np.isin(table["entity_key"].to_numpy(), self._keys)
        if _OWNER in table.column_names:
            found |= pc.fill_null(pc.is_in(table[_OWNER], pa.array(self._keys)), False).to_numpy()
        return found


def _find_shown(path: str, shown: np.ndarray) -> tuple[int, Mask, np.ndarray] | None:
    """Rows of impressions in a table that names no user."""
    names = _columns_of(path)
    column = next((name for name in _SHOWN_COLUMNS[:2] if name in names), None)
    if column is None or names & set(_USER_COLUMNS) or not len(shown):
        return None

    def mask(table: pa.Table) -> np.ndarray:
        keys = hash_ids(table[column]) if column == "impression_id" else table[column].to_numpy()
        return np.isin(keys, shown)

    count = sum(int(mask(table).sum()) for table in _groups(path, [column]))
    return (count, mask, np.empty(0, np.int64)) if count else None


def _impressions(table: pa.Table) -> list[np.ndarray]:
    found = []
    if "impression_id" in table.column_names:
        found.append(hash_ids(table["impression_id"]))
    if "impression_key" in table.column_names:
        found.append(table["impression_key"].to_numpy())
    if "impression_impression_key" in table.column_names:
        found.append(pc.list_flatten(table["impression_impression_key"]).to_numpy())
    return found


def _files(root: str, suffix: str | tuple[str, ...]) -> list[str]:
    with readable(root):
        fs, folder = fsspec.core.url_to_fs(root)
        fs.invalidate_cache()
        return [full_path(fs, path) for path in sorted(fs.find(folder)) if path.endswith(suffix)]


def _columns_of(path: str) -> set[str]:
    with readable(path, "a Parquet file"), fsspec.open(path, "rb") as handle:
        return set(pq.read_schema(handle).names)


def _groups(path: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    with readable(path, "a Parquet file"), fsspec.open(path, "rb") as handle:
        parquet = pq.ParquetFile(handle, page_checksum_verification=True)
        for group in range(parquet.num_row_groups):
            yield parquet.read_row_group(group, columns=columns)


def _rewrite(path: str, mask: Mask) -> None:
    """Write a table without the rows of a mask, row group by row group."""
    with readable(path, "a Parquet file"):
        with fsspec.open(path, "rb") as handle:
            schema = pq.read_schema(handle)
        write_row_groups((table.filter(pa.array(~mask(table))) for table in _groups(path)), schema, path)


def _drop_quotes(path: str, user_ids: Sequence[str], dry_run: bool) -> int:
    """Empty the texts of a report that quote a user; returns how many."""
    with readable(path, "a JSON file"), fsspec.open(path, "rb") as handle:
        document = json.load(handle)
    names_user = re.compile("|".join(rf"(?<!\w){re.escape(user_id)}(?!\w)" for user_id in user_ids))
    kept, dropped = _without_quotes(document, names_user, quoting=False)
    if dropped and not dry_run:
        write_bytes((json.dumps(kept, indent=2) + "\n").encode(), path)
    return dropped


def _without_quotes(value: Any, names_user: re.Pattern[str], quoting: bool) -> tuple[Any, int]:
    if isinstance(value, str):
        return ("", 1) if quoting and names_user.search(value) else (value, 0)
    if isinstance(value, dict):
        inside = {key: _without_quotes(one, names_user, quoting or key in _QUOTING) for key, one in value.items()}
        return {key: kept for key, (kept, _) in inside.items()}, sum(dropped for _, dropped in inside.values())
    if isinstance(value, list):
        found = [_without_quotes(one, names_user, quoting) for one in value]
        return [kept for kept, _ in found], sum(dropped for _, dropped in found)
    return value, 0


def _blank_lines(path: str, user_ids: Sequence[str], dry_run: bool) -> int:
    """Turn the lines that hold a user into blanks; returns how many."""
    with readable(path, "a log of JSON lines"):
        spans = _lines_of(path, user_ids)
        if dry_run or not spans:
            return len(spans)
        fs, target = fsspec.core.url_to_fs(path)
        if isinstance(fs, LocalFileSystem):
            with open(target, "r+b") as handle:
                for start, end in spans:
                    handle.seek(start)
                    handle.write(b" " * (end - start))
        else:
            content = bytearray(fs.cat_file(target))
            for start, end in spans:
                content[start:end] = b" " * (end - start)
            write_bytes(bytes(content), path)
    return len(spans)


def _lines_of(path: str, user_ids: Sequence[str]) -> list[tuple[int, int]]:
    """First byte and end of every line that holds a user, without its line break."""
    holds, found, at = _LineOf(user_ids), [], 0
    with fsspec.open(path, "rb") as handle:
        for line in iter(handle.readline, b""):
            if holds(line):
                found.append((at, at + len(line.rstrip(b"\n"))))
            at += len(line)
    return found


_EXPONENT = re.compile(rb'"user_id"\s*:\s*-?[\d.]+[eE]')


def _id_text(user_id: object) -> str | None:
    """The id that a live record is taken to have: integers and whole floats are text."""
    if user_id is None or isinstance(user_id, bool):
        return None
    return str(int(user_id)) if isinstance(user_id, float) and user_id.is_integer() else str(user_id)


class _LineOf:
    """Tells whether a line of JSON holds one of some users, also inside the copy of a refused record."""

    def __init__(self, user_ids: Sequence[str]) -> None:
        self._ids = set(user_ids)
        forms = {json.dumps(user_id, ensure_ascii=escaped) for user_id in user_ids for escaped in (True, False)}
        numbers = [rf'"user_id"\s*:\s*{user_id}(?:\.0*)?(?![\d.])' for user_id in user_ids if user_id.isdigit()]
        self._quoted = re.compile("|".join([*sorted(map(re.escape, forms)), *numbers]))
        self._words = [user_id.encode() for user_id in user_ids] + [form[1:-1].encode() for form in sorted(forms)]

    def __call__(self, line: bytes) -> bool:
        plain = b"\\" not in line and not _EXPONENT.search(line)
        if plain and not any(word in line for word in self._words):
            return False
        return self._in_text(line.decode("utf-8", "replace"))

    def _in_text(self, text: str) -> bool:
        """A text that is no JSON, such as a record that was cut, holds a user when it holds the quoted id."""
        try:
            return self._in_value(json.loads(text))
        except ValueError:
            return bool(self._quoted.search(text))

    def _in_value(self, value: Any) -> bool:
        if isinstance(value, list):
            return any(self._in_value(element) for element in value)
        if not isinstance(value, dict):
            return False
        refused = value.get("record")
        return (
            _id_text(value.get("user_id")) in self._ids
            or (isinstance(refused, str) and self._in_text(refused))
            or any(self._in_value(element) for element in value.values())
        )
