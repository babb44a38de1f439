"""The journal: live records that no loaded log holds yet, and their replay into a generation that is loaded."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.features import RECORD_COLUMNS
from rosa_ray.features.records import take_records
from rosa_ray.store.backends.sqlite import generations
from rosa_ray.store.backends.sqlite.database import Step, decoding
from rosa_ray.store.backends.sqlite.fold import fold_into
from rosa_ray.store.backends.sqlite.schema import count_figures
from rosa_ray.store.config import StoreConfig
from rosa_ray.store.packing import part_texts, parts_of_texts, recoded
from rosa_ray.store.protocol import NEVER_US, ApplyResult

_PRUNE_ROWS = 100
_REPLAY_ROWS = 25


def write_journal(connection: sqlite3.Connection, records: Columns, rows: np.ndarray, behaviors: Sequence[str]) -> None:
    """Remember live records until a loaded log holds them; behaviours go by the store's own codes."""
    accepted = take_records(records, rows)
    names = behavior_names(connection, behaviors)
    if names[: len(behaviors)] != tuple(behaviors):
        accepted["behavior"] = recoded(accepted["behavior"], behaviors, names)
    columns = [*(accepted[name].tolist() for name in RECORD_COLUMNS), part_texts(accepted)]
    marks = ", ".join("?" * len(columns))
    query = f"INSERT INTO journal ({', '.join(RECORD_COLUMNS)}, parts) VALUES ({marks})"
    connection.executemany(query, zip(*columns, strict=True))
    count_figures(connection, [("journal_records", len(rows))])


def behavior_names(connection: sqlite3.Connection, more: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of behaviours by the codes of the journal; of new ones codes are given behind them."""
    held = tuple(name for (name,) in connection.execute("SELECT name FROM behaviors ORDER BY code"))
    new = [name for name in more if name not in held]
    rows = [(len(held) + place, name) for place, name in enumerate(new)]
    connection.executemany("INSERT INTO behaviors VALUES (?, ?)", rows)
    return (*held, *new)


def prune_journal(connection: sqlite3.Connection, newest_us: int, written: int, config: StoreConfig) -> None:
    """Let go of some records that are too old, more than an update can add, and note up to when they were."""
    limit = _PRUNE_ROWS + 2 * written
    old = connection.execute(
        "SELECT number, time_us FROM journal WHERE time_us < ? ORDER BY time_us LIMIT ?",
        (newest_us - config.journal_us, limit),
    ).fetchall()
    if not old:
        return
    connection.executemany("DELETE FROM journal WHERE number = ?", [(number,) for number, _ in old])
    count_figures(connection, [("journal_records", -len(old)), ("journal_dropped", len(old))])
    connection.execute(
        "INSERT INTO figures VALUES ('journal_from_us', ?) "
        "ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
        (old[-1][1] + 1,),
    )


def journal_figures(connection: sqlite3.Connection) -> dict[str, int]:
    """How many records there are, how many fell out, and from when on none did."""
    found = dict(connection.execute("SELECT name, value FROM figures"))
    unset = {"journal_records": 0, "journal_dropped": 0, "journal_from_us": NEVER_US}
    return {name: found.get(name, default) for name, default in unset.items()}


@dataclass
class Replay:
    """The replay of the journal into one generation, in turns; records that come meanwhile are replayed too.

    Attributes:
        generation: number of the one that is loaded.
        keeps: the journal keeps what the generation holds already: it is no new log.
        results: what became of the records so far.
    """

    generation: int
    config: StoreConfig
    keeps: bool = False
    results: list[ApplyResult] = field(default_factory=list)
    _done: int = 0

    def steps(self, connection: sqlite3.Connection) -> Iterator[Step]:
        """Steps for all records of now, in order of time; the connection reads what there is."""
        query = "SELECT number FROM journal WHERE number > ? ORDER BY time_us, record_id"
        numbers = [number for (number,) in connection.execute(query, (self._done,))]
        if not self._done:
            before = f"SELECT number FROM replayed_{self.generation} WHERE told = 0"
            behind = {number for (number,) in connection.execute(before)}
            numbers = [number for number in numbers if number not in behind]
        self._done = max(numbers, default=self._done)
        for start in range(0, len(numbers), _REPLAY_ROWS):
            yield self._step(numbers[start : start + _REPLAY_ROWS])

    def rest(self, connection: sqlite3.Connection) -> int:
        """How many records came since."""
        (count,) = connection.execute("SELECT count(*) FROM journal WHERE number > ?", (self._done,)).fetchone()
        return int(count)

    def _step(self, numbers: list[int]) -> Step:
        def replay(connection: sqlite3.Connection) -> None:
            with decoding():
                held, records = _read_journal(connection, numbers)
            generation = generations.numbered(connection, self.generation)
            fold = fold_into(connection, generation, records, behavior_names(connection), self.config)
            self.results.append(fold.result)
            query = f"INSERT OR IGNORE INTO replayed_{self.generation} VALUES (0, ?)"
            connection.executemany(query, [(number,) for number in held])
            if not self.keeps:
                dropped = np.delete(np.array(held), fold.accepted_rows).tolist()
                connection.executemany("DELETE FROM journal WHERE number = ?", [(number,) for number in dropped])
                count_figures(connection, [("journal_records", -len(dropped))])

        return replay


def _read_journal(connection: sqlite3.Connection, numbers: list[int]) -> tuple[list[int], dict[str, np.ndarray]]:
    """Records of these numbers that are still there, in this order."""
    names = ", ".join([*RECORD_COLUMNS, "parts"])
    query = f"SELECT number, {names} FROM json_each(?) JOIN journal ON number = value ORDER BY json_each.key"
    rows = connection.execute(query, (json.dumps(numbers),)).fetchall()
    if not rows:
        return [], {name: np.empty(0, dtype) for name, dtype in RECORD_COLUMNS.items()}
    held, *columns, parts = zip(*rows, strict=True)
    records = {
        name: np.array(values, RECORD_COLUMNS[name]) for name, values in zip(RECORD_COLUMNS, columns, strict=True)
    }
    return list(held), records | parts_of_texts(parts)
