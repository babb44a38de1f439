"""Fields of live records that no contract knows: ignored, and so named and counted."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pydantic import BaseModel

MAX_NAMES = 20
"""Names that are told apart. Producers that put values into names would otherwise fill the memory."""

MAX_CHARACTERS = 64
"""Of a name that is shown."""

OTHERS = "(others)"
"""Stands for all further names."""


def ignored_fields(records: Iterable[BaseModel]) -> dict[str, int]:
    """Count in how many records each unknown field stands.

    >>> from rosa_ray.records import EventIn
    >>> event = dict(event_id="e", user_id="u", item_id="i", behavior="view", event_time="2026-01-31T09:30:00Z")
    >>> ignored_fields([EventIn(**event, utm="x"), EventIn(**event)])
    {'utm': 1}
    """
    total: dict[str, int] = {}
    for record in records:
        extra: dict[str, Any] | None = record.model_extra
        if extra:
            add_fields(total, {name[:MAX_CHARACTERS]: 1 for name in extra})
    return total


def undeclared_columns(records: Iterable[BaseModel], declared: Collection[str]) -> dict[str, int]:
    """Count in how many records each column stands that no setting declares.

    >>> from rosa_ray.records.record_types import EXAMPLES, ImpressionIn
    >>> shown = ImpressionIn(**EXAMPLES["impression"], columns={"placement": "top"})
    >>> undeclared_columns([shown], []), undeclared_columns([shown], ["placement"])
    ({'columns.placement': 1}, {})
    """
    total: dict[str, int] = {}
    for record in records:
        said = getattr(record, "columns", None) if "columns" in type(record).model_fields else None
        if said and (odd := [name for name in said if name not in declared]):
            add_fields(total, {f"columns.{name}"[:MAX_CHARACTERS]: 1 for name in odd})
    return total


def add_fields(total: dict[str, int], more: Mapping[str, int]) -> None:
    """Add counts to a total of at most `MAX_NAMES` names."""
    for name, count in more.items():
        known = name if name in total or len(total) < MAX_NAMES else OTHERS
        total[known] = total.get(known, 0) + count


def in_words(total: Mapping[str, int]) -> str:
    """The names and counts for people, the most frequent first.

    >>> in_words({"utm": 2, "referrer": 7})
    'referrer (7), utm (2)'
    """
    by_count = sorted(total.items(), key=lambda entry: (-entry[1], entry[0]))
    return ", ".join(f"{name} ({count})" for name, count in by_count)
