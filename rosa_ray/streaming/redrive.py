"""Dead letters sent again: what is taken now leaves them, the rest stays with today's reason.

A file of letters is put aside first, so that writers go on with a new one. Ids make it harmless to be killed and to
begin again: a record that was counted already is known, and its letter goes.
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np

from rosa_ray.records import Parsed, RecordParser, late_refusals
from rosa_ray.records.dead_letters import one_at_a_time
from rosa_ray.storage import full_path, is_remote, open_file, readable, remove_tree, write_bytes
from rosa_ray.streaming.consumer import RecordStore

BATCH_LETTERS = 5000
_ASIDE = ".again-"

logger = logging.getLogger(__name__)


@dataclass
class Redriven:
    """What became of letters.

    Attributes:
        letters: looked at; the sum of accepted, known, refused and unreadable.
        accepted: records that the store took.
        known: records that the store held already.
        refused: by today's reason; they stay among the letters.
        unreadable: letters without a whole record, such as those of users under pseudonyms; they stay too.
        passed_over: letters of other reasons than were asked for.
    """

    letters: int = 0
    accepted: int = 0
    known: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    passed_over: int = 0


def redrive(
    directory: str, store: RecordStore, parser: RecordParser, reasons: Sequence[str] = (), *, dry_run: bool = False
) -> Redriven:
    """Send the records of dead letters to the store again.

    Args:
        directory: of the letters, or a URL; a missing one holds none.
        reasons: of the letters to send; empty sends all.
        dry_run: change nothing; then `accepted` are the records that parse.

    Raises:
        InputError: a file cannot be read or written.
        StoreError: the store failed. Letters of files that were not finished stay.
    """
    result = Redriven()
    for path in letter_files(directory):
        _redrive_file(path if dry_run else _set_aside(path), store, parser, set(reasons), dry_run, result)
    return result


def letter_files(directory: str) -> list[str]:
    """Files of letters in a directory or below a URL, oldest name first."""
    with readable(directory):
        fs, root = fsspec.core.url_to_fs(directory)
        found = fs.ls(root, detail=False) if fs.exists(root) else []
        return sorted(full_path(fs, path) for path in found if path.endswith(".jsonl"))


def _set_aside(path: str) -> str:
    """Rename a file that writers append to; returns its name from now on."""
    if is_remote(path) or _ASIDE in path:
        return path
    place = Path(path)
    aside = place.with_name(f"{place.stem}{_ASIDE}{time.time_ns()}.jsonl")
    with one_at_a_time(place.parent):
        return str(place.rename(aside))


def _redrive_file(
    path: str, store: RecordStore, parser: RecordParser, reasons: set[str], dry_run: bool, result: Redriven
) -> None:
    with open_file(path) as handle:
        lines = [line for line in handle.read().splitlines() if line.strip()]
    kept: list[bytes] = []
    for start in range(0, len(lines), BATCH_LETTERS):
        kept += _redrive_lines(lines[start : start + BATCH_LETTERS], store, parser, reasons, dry_run, result)
    if dry_run or kept == lines:
        return
    if kept:
        write_bytes(b"".join(line + b"\n" for line in kept), path)
    else:
        remove_tree(path)


def _redrive_lines(
    lines: list[bytes], store: RecordStore, parser: RecordParser, reasons: set[str], dry_run: bool, result: Redriven
) -> Iterator[bytes]:
    """Send the records of some letters; gives the letters that stay."""
    letters = [_letter_of(line) for line in lines]
    asked = [not reasons or letter.get("reason") in reasons for letter in letters]
    records = [_record_of(letter) if chosen else None for letter, chosen in zip(letters, asked, strict=True)]
    rows = [row for row, record in enumerate(records) if record is not None]
    parsed = parser.parse_lines([record for record in records if record is not None])
    refusals, accepted, known = _apply(parsed, store, dry_run)
    result.passed_over += asked.count(False)
    result.unreadable += asked.count(True) - len(rows)
    result.letters += asked.count(True)
    result.accepted += accepted
    result.known += known + len(rows) - len(parsed.rows) - parsed.changed - len(parsed.refusals)
    result.refused.update(refusal.reason for refusal in refusals)
    today = {rows[refusal.index]: {"reason": refusal.reason, "detail": refusal.detail} for refusal in refusals}
    for row, (line, letter) in enumerate(zip(lines, letters, strict=True)):
        if row in today:
            yield (
                json.dumps({**letter, **today[row]}, ensure_ascii=False).encode()
                if letter | today[row] != letter
                else line
            )
        elif records[row] is None:
            yield line


def _apply(parsed: Parsed, store: RecordStore, dry_run: bool) -> tuple[list[Any], int, int]:
    """Count the records in the order of their times; returns refusals, how many were taken and how many were known."""
    if dry_run or parsed.asks_nothing:
        return [*parsed.refusals], len(parsed.rows) + parsed.changed, 0
    order = np.argsort(parsed.columns["time_us"], kind="stable")
    columns = {name: values[order] for name, values in parsed.columns.items()}
    parsed = replace(parsed, columns=columns, rows=parsed.rows[order])
    applied = store.apply(parsed.columns, (), parsed.changes)
    refusals = [*parsed.refusals, *late_refusals(parsed, applied.late_rows)]
    return refusals, applied.accepted + parsed.changed, applied.duplicates


def _letter_of(line: bytes) -> dict[str, Any]:
    try:
        letter = json.loads(line)
    except ValueError:
        return {}
    return letter if isinstance(letter, dict) else {}


def _record_of(letter: dict[str, Any]) -> bytes | None:
    """The record of a letter; None where there is none, or not the whole of it."""
    record = letter.get("record")
    content = record.encode("utf-8", "replace") if isinstance(record, str) else b""
    return content if content and len(content) == letter.get("bytes") else None
