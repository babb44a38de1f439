"""The two versions in one file: slot tables with suffix a and b, of which one is active."""

import sqlite3
from dataclasses import dataclass

from rosa_ray.errors import StoreError
from rosa_ray.store.backends.sqlite.database import CONTENT_TABLES
from rosa_ray.store.protocol import StoreVersion


@dataclass(frozen=True)
class Slot:
    """One of the two versions.

    Attributes:
        name: suffix of its tables.
        max_events: events kept per user, one more for the first gap.
        newest_us: newest event time, at least the end of the loaded log.
        covered_us: up to here all ids are those of the loaded log, remembered by the days of the records.
    """

    name: str
    version: StoreVersion
    max_events: int
    newest_us: int
    late: int
    covered_us: int


def read_slot(connection: sqlite3.Connection, *, active: bool) -> Slot:
    """The active slot, or the one beside it."""
    name, model, fingerprint, as_of_us, source, max_events, newest_us, late, covered_us = connection.execute(
        "SELECT name, model_version, feature_fingerprint, as_of_us, source, max_events, newest_us, late, covered_us "
        "FROM slots WHERE active = ?",
        (int(active),),
    ).fetchone()
    return Slot(name, StoreVersion(model, fingerprint, as_of_us, source), max_events, newest_us, late, covered_us)


def stamp_slot(connection: sqlite3.Connection, name: str, version: StoreVersion, max_events: int) -> None:
    """Say what a slot holds, and start its clock at the end of the log."""
    connection.execute(
        "UPDATE slots SET model_version = ?, feature_fingerprint = ?, as_of_us = ?, source = ?, max_events = ?, "
        "newest_us = ?, covered_us = ?, late = 0 WHERE name = ?",
        (
            version.model_version,
            version.feature_fingerprint,
            version.as_of_us,
            version.source,
            max_events,
            version.as_of_us,
            version.as_of_us,
            name,
        ),
    )


def advance_slot(connection: sqlite3.Connection, name: str, newest_us: int, late: int) -> None:
    """Move the newest time forward and count late events."""
    connection.execute(
        "UPDATE slots SET newest_us = max(newest_us, ?), late = late + ? WHERE name = ?", (newest_us, late, name)
    )


def cover_slot(connection: sqlite3.Connection, name: str, loaded_us: int) -> None:
    """Note the newest time of a loaded log."""
    query = "UPDATE slots SET newest_us = max(newest_us, ?1), covered_us = max(covered_us, ?1) WHERE name = ?2"
    connection.execute(query, (loaded_us, name))


def clear_slot(connection: sqlite3.Connection, name: str) -> None:
    """Empty a slot's tables and take its stamp away."""
    for table in CONTENT_TABLES:
        connection.execute(f"DELETE FROM {table}_{name}")
    stamp_slot(connection, name, StoreVersion("", "", 0), 0)


def swap_slots(connection: sqlite3.Connection) -> None:
    """Make the slot beside the active one the active one."""
    connection.execute("UPDATE slots SET active = 1 - active")


def loading_slot(connection: sqlite3.Connection, version: StoreVersion, path: str) -> Slot:
    """The slot that a load of this version fills.

    Raises:
        StoreError: another load took its place, or none began.
    """
    slot = read_slot(connection, active=False)
    if slot.version != version:
        raise StoreError(
            f"store {path}: the load of model '{version.model_version}' was replaced by one of model "
            f"'{slot.version.model_version}' or never began; run `rosa materialize` again"
        )
    return slot
