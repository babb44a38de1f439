"""Changes of ads in SQLite: each once, numbered as it came, for all versions that the store holds."""

import sqlite3
import uuid
from collections.abc import Sequence

from rosa_ray.features.ad_changes import AdChange, AdLog, let_go
from rosa_ray.features.catalogue import ALWAYS_US
from rosa_ray.features.changes import Changes

_TABLES = (
    "CREATE TABLE IF NOT EXISTS ad_changes (number INTEGER PRIMARY KEY AUTOINCREMENT, ad_id TEXT NOT NULL, "
    "time_us INTEGER NOT NULL, told TEXT NOT NULL, UNIQUE (ad_id, time_us, told))",
    "CREATE TABLE IF NOT EXISTS ad_log (name TEXT NOT NULL)",
)
_PAST_CHANGES = 16
"""Changes of one ad from before the horizon that stay without a look at which can be let go."""


def apply_ads(connection: sqlite3.Connection, changes: Sequence[Changes], horizon_us: int) -> None:
    """Add changes of ads, and let go of what was superseded before the horizon, of the ads that changed."""
    told = [one for change in changes for one in change.ads]
    if not told:
        return
    for statement in _TABLES:
        connection.execute(statement)
    if connection.execute("SELECT count(*) FROM ad_log").fetchone()[0] == 0:
        connection.execute("INSERT INTO ad_log VALUES (?)", (uuid.uuid4().hex,))
    rows = [(one.ad_id, one.time_us, one.told) for one in told]
    connection.executemany("INSERT OR IGNORE INTO ad_changes (ad_id, time_us, told) VALUES (?, ?, ?)", rows)
    kept_us = _kept_us(connection, horizon_us)
    for ad_id in dict.fromkeys(one.ad_id for one in told):
        query = "SELECT ad_id, time_us, told FROM ad_changes WHERE ad_id = ? AND time_us <= ?"
        past = connection.execute(query, (ad_id, kept_us)).fetchall()
        if len(past) > _PAST_CHANGES:
            _, gone = let_go([AdChange(*row) for row in past], kept_us)
            query = "DELETE FROM ad_changes WHERE ad_id = ? AND time_us = ? AND told = ?"
            connection.executemany(query, [(one.ad_id, one.time_us, one.told) for one in gone])


def read_ads(connection: sqlite3.Connection, after: int, limit: int, horizon_us: int) -> AdLog:
    """See `OnlineStore.read_ads`."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'ad_log'").fetchone() is None:
        return AdLog("", (), 0)
    name = connection.execute("SELECT name FROM ad_log").fetchone()[0]
    query = "SELECT number, ad_id, time_us, told FROM ad_changes WHERE number > ? ORDER BY number LIMIT ?"
    rows = connection.execute(query, (after, limit)).fetchall()
    last = rows[-1][0] if rows else after
    return AdLog(name, tuple(AdChange(*row[1:]) for row in rows), last, _kept_us(connection, horizon_us))


def _kept_us(connection: sqlite3.Connection, horizon_us: int) -> int:
    newest_us = connection.execute("SELECT max(newest_us) FROM generations WHERE state = 'live'").fetchone()[0]
    return ALWAYS_US if newest_us is None else int(newest_us) - horizon_us
