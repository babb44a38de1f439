"""How much is known of declared columns: counted over the impressions of a partition, summed on the driver.

A table of users whose ids are written otherwise than the log's fails silently: every column is missing. So impressions
are counted whose user, item or ad the table does not have, and for each column those with a value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from rosa_ray.arrays import Columns
from rosa_ray.data.coverage import Share
from rosa_ray.features.own import ColumnConfig, ColumnConfigs
from rosa_ray.schema import MISSING_KEY, hash_ids
from rosa_ray.schema.own_columns import ENTITIES, prefix_of

_NO_KEYS = np.empty(0, np.int64)


@dataclass(frozen=True)
class OwnCoverage:
    """What is known of declared columns.

    Attributes:
        of: impressions.
        unknown: of each entity that columns are declared of, `user`, `item` or `ad`: the impressions whose one no row
            of its table is of.
        known: of each column, the impressions with a value.
    """

    of: int = 0
    unknown: Mapping[str, int] = field(default_factory=dict)
    known: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for JSON."""
        return {"impressions": self.of, "unknown": dict(self.unknown), "known": dict(self.known)}

    @property
    def shares(self) -> list[Share]:
        """For each entity, how many impressions have one that its table knows.

        >>> str(OwnCoverage(4, {"user": 3}).shares[0])
        '1 of 4 impressions have a user of the table users'
        """
        return [
            Share(
                f"impressions have {_article(entity)} of the table {entity}s",
                self.of - count,
                self.of,
                f"are ids written alike in {entity}s and impressions?" if self.of and count == self.of else "",
            )
            for entity, count in self.unknown.items()
        ]

    @property
    def warnings(self) -> list[str]:
        """Columns of which nothing is known, though their users, items or ads are.

        >>> OwnCoverage(4, {"user": 3}, {"user.age_band": 0, "user.city": 1}).warnings
        ['user.age_band: no impression has a value; do its rows hold before the requests, by valid_from?']
        """
        return [
            f"{name}: no impression has a value; do its rows hold before the requests, by valid_from?"
            for name, count in self.known.items()
            if self.of and not count and self.unknown.get(name.partition(".")[0], 0) < self.of
        ]


def coverage_of(
    impressions: Columns,
    configs: ColumnConfigs,
    things: Mapping[str, np.ndarray],
    frozen: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Any]:
    """What one partition knows of declared columns, ready for JSON.

    Args:
        impressions: keyed rows with the columns that user rows hold. Where a column says what a missing value reads,
            rows that read that are taken to have none.
        configs: all declared columns.
        things: prefix of each entity that columns are declared of -> keys in its table, int64.
        frozen: name of each vector that is not in the rows -> keys of those that have one, int64.
    """
    there = {prefix: np.isin(impressions[ENTITIES[prefix]], keys) for prefix, keys in things.items()}
    known = {}
    for name, config in configs.items():
        if name in impressions:
            known[name] = int(_has_value(impressions[name], config).sum())
        else:
            keys = (frozen or {}).get(name, _NO_KEYS)
            known[name] = int(np.isin(impressions[ENTITIES[prefix_of(name)]], keys).sum())
    unknown = {prefix.rstrip("."): int((~met).sum()) for prefix, met in there.items()}
    return OwnCoverage(len(impressions["time_us"]), unknown, known).to_dict()


def sum_coverage(parts: Sequence[Mapping[str, Any]]) -> OwnCoverage:
    """What all partitions know."""

    def total(key: str) -> dict[str, int]:
        return {name: sum(part[key][name] for part in parts) for name in (parts[0][key] if parts else ())}

    return OwnCoverage(sum(part["impressions"] for part in parts), total("unknown"), total("known"))


def _has_value(values: np.ndarray, config: ColumnConfig) -> np.ndarray:
    """Whether rows of a column as user rows hold it say more than that nothing is known, bool (n,)."""
    has: np.ndarray
    if config.type == "vector":
        has = np.isfinite(values).all(axis=1)
    elif config.type == "number":
        has = np.isfinite(values) & (values != (np.nan if config.fill is None else config.fill))
    else:
        first = values[:, 0] if config.type == "categories" else values
        missing = [MISSING_KEY] if config.fill is None else [MISSING_KEY, *hash_ids(pa.array([str(config.fill)]))]
        has = np.isin(first, missing, invert=True)
    return has


def _article(entity: str) -> str:
    """An entity with its article.

    >>> _article("user"), _article("item")
    ('a user', 'an item')
    """
    return f"{'a' if entity == 'user' else 'an'} {entity}"
