"""What live records say of users, items and ads: versions that tell some columns, and how long they are kept.

A store that reads other columns than the one before it takes from the live changes what it knows. So these are noted
by the names of their columns, `told_texts` and `retold`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.features.ad_changes import AdChange
from rosa_ray.features.own import ColumnConfig, ColumnConfigs, missing_columns
from rosa_ray.features.versions import field_name, layout, merge, unpack
from rosa_ray.schema.own_columns import AD

_ENCODE = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


@dataclass(frozen=True)
class Changes:
    """Versions of n things that live records told, each of some columns.

    Attributes:
        prefix: of the columns, such as `user.`.
        key: int64 (n,), whose they are; a thing may come again.
        rows: (n,) of `rosa_ray.features.versions.layout` of the columns with this prefix; zero where nothing is said.
        ads: what was told of ads beside their columns.
    """

    prefix: str
    key: np.ndarray
    rows: np.ndarray
    ads: tuple[AdChange, ...] = ()

    def __len__(self) -> int:
        return len(self.key)

    def by_key(self) -> dict[int, np.ndarray]:
        """The rows of each thing."""
        order = np.argsort(self.key, kind="stable")
        keys, first = np.unique(self.key[order], return_index=True)
        return dict(zip(keys.tolist(), np.split(self.rows[order], first)[1:], strict=True))


def changes_of_ads(ads: Sequence[AdChange]) -> Changes:
    """Changes that tell of no column, but of ads in the catalogue."""
    return Changes(AD, np.empty(0, np.int64), np.empty(0, layout({})), tuple(ads))


def of_columns(changes: Sequence[Changes]) -> list[Changes]:
    """Those that tell of columns."""
    return [change for change in changes if len(change)]


def with_ads(changes: Sequence[Changes], ads: Sequence[AdChange]) -> tuple[Changes, ...]:
    """The same changes with what was told of ads, beside their columns where these were told too."""
    if not ads:
        return tuple(changes)
    if changes and changes[-1].prefix == AD:
        return (*changes[:-1], replace(changes[-1], ads=tuple(ads)))
    return (*changes, changes_of_ads(ads))


def change_rows(time_us: np.ndarray, columns: Columns, said: np.ndarray, configs: ColumnConfigs) -> np.ndarray:
    """Versions that tell some of their columns, (n,) of `layout`.

    Args:
        time_us: int64 (n,), since when each holds.
        columns: keyed values (n, ...) of all of `configs`.
        said: bool (n, C), which columns each version tells.
        configs: the columns, all of one prefix.
    """
    rows = np.zeros(len(time_us), layout(configs))
    rows["time_us"] = time_us
    rows["said"] = np.packbits(said, axis=1, bitorder="little")
    for place, name in enumerate(configs):
        rows[field_name(place)][said[:, place]] = columns[name][said[:, place]]
    return rows


def said_columns(rows: np.ndarray, configs: ColumnConfigs) -> np.ndarray:
    """Which columns each version tells, bool (n, C)."""
    return np.unpackbits(rows["said"], axis=1, count=len(configs), bitorder="little").astype(bool)


def told_texts(rows: np.ndarray, configs: ColumnConfigs) -> list[str]:
    """What each version tells, by names of columns, as JSON: equal texts tell the same."""
    said, texts = said_columns(rows, configs), []
    values = [rows[field_name(place)].tolist() for place in range(len(configs))]
    for at, tells in enumerate(said.tolist()):
        told = {
            name: [config.type, values[place][at]]
            for place, (name, config) in enumerate(configs.items())
            if tells[place]
        }
        texts.append(_ENCODE(told))
    return texts


def retold(time_us: Sequence[int], texts: Sequence[str], configs: ColumnConfigs) -> np.ndarray:
    """Versions of `told_texts` as a store of other columns reads them, (n,) of `layout`.

    A column that is not declared any more, or of another type or size, is left out.
    """
    columns, said = missing_columns(len(texts), configs), np.zeros((len(texts), len(configs)), bool)
    for at, text in enumerate(texts):
        told = json.loads(text)
        for place, (name, config) in enumerate(configs.items()):
            kind, value = told.get(name, (None, None))
            if kind == config.type and _fits(value, config):
                columns[name][at], said[at, place] = _fitted(value, config), True
    return change_rows(np.array(time_us, np.int64), columns, said, configs)


def merge_changes(packed: bytes, rows: np.ndarray, configs: ColumnConfigs, superseded_us: int | None = None) -> bytes:
    """The versions of one thing with changes, in whatever order they come and however often.

    Args:
        superseded_us: what held before this time and no longer did at it is let go; None keeps all.
    """
    merged = merge(packed, rows, configs) if len(rows) else packed
    return merged if superseded_us is None else _let_go(merged, superseded_us, configs)


@dataclass(frozen=True)
class Replayed:
    """What a loaded thing becomes by the changes that were noted live.

    Attributes:
        packed: its versions with the changes.
        said_already: positions of the changes that it said without them, which need not be noted any more.
    """

    packed: bytes
    said_already: list[int]


def replay_notes(loaded: bytes, rows: np.ndarray, configs: ColumnConfigs, superseded_us: int | None = None) -> Replayed:
    """Merge noted changes (n,) into a loaded thing; those of which it knows no column stay noted."""
    before = merge_changes(loaded, rows[:0], configs, superseded_us)
    said_already = [
        at
        for at in range(len(rows))
        if rows["said"][at].any() and merge_changes(before, rows[at : at + 1], configs, superseded_us) == before
    ]
    return Replayed(merge_changes(before, rows, configs, superseded_us), said_already)


def _let_go(packed: bytes, before_us: int, configs: ColumnConfigs) -> bytes:
    """Versions without what later ones up to a time supersede, column by column."""
    rows = unpack(packed, configs)
    past = int(np.searchsorted(rows["time_us"], before_us, "right"))
    if past < 2:
        return packed
    said = said_columns(rows[:past], configs)
    last = said & (np.cumsum(said[::-1], axis=0)[::-1] == 1)
    if (last == said).all():
        return packed
    kept = change_rows(
        rows["time_us"][:past],
        {name: rows[field_name(place)][:past] for place, name in enumerate(configs)},
        last,
        configs,
    )
    return kept[last.any(axis=1)].tobytes() + rows[past:].tobytes()


def _fits(value: object, config: ColumnConfig) -> bool:
    return config.type != "vector" or (isinstance(value, list) and len(value) == config.size)


def _fitted(value: object, config: ColumnConfig) -> object:
    if config.type != "categories":
        return value
    keys = list(value)[: config.most]  # type: ignore[call-overload]
    return keys + [0] * (config.most - len(keys))
