"""The catalogue as it was at any time: the rows of an ad are its versions, from snapshots or from changes.

Daily snapshots repeat most ads unchanged, so that a version is kept only where it differs from the one before it.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from rosa_ray.data.same_id import RULES, Repeats, unique_rows
from rosa_ray.features import AdTable
from rosa_ray.schema import ADS, hash_ids

_DATES = ("valid_from", "valid_until")
_CONTENT = tuple(name for name in ADS.schema.names if name not in ("ad_id", *_DATES))


@dataclass(frozen=True)
class Catalogue:
    """Versions of ads, and what became of the rows that they were made of.

    Attributes:
        table: ads contract. Where a row is dated, one row per version, by ad and time; else one row per ad, without
            `valid_from` and `valid_until`.
        repeats: rows of one ad and one `valid_from`.
        unchanged: rows left out that say what the version before them says.
    """

    table: pa.Table
    repeats: Repeats
    unchanged: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """Rows by what became of them, as the data report names them."""
        return {
            "duplicate_ads": self.repeats.copies,
            "versions_of_ads": self.table.num_rows - _count_ads(self.table),
            "unchanged_ads": self.unchanged,
            "conflicting_ads": self.repeats.conflicts,
        }


@dataclass(frozen=True)
class CatalogueSpan:
    """How the catalogue changed while the log ran.

    Attributes:
        ads, versions: how many there are.
        begin, end: ads that begin, or end, after the log's first request and not after its last.
    """

    ads: int
    versions: int
    begin: int
    end: int

    @classmethod
    def of(cls, ads: pa.Table, start_us: int, end_us: int) -> "CatalogueSpan":
        """Count over the versions of ads, given the log's first and last request, microseconds UTC."""
        table = AdTable.from_table(ads)
        first = table.first_rows
        last = np.r_[first[1:], len(table.ad_key)] - 1
        begin_us, ends_us = table.from_us[first], table.until_us[last]
        return cls(
            ads=len(first),
            versions=ads.num_rows,
            begin=int(((begin_us > start_us) & (begin_us <= end_us)).sum()),
            end=int(((ends_us > start_us) & (ends_us <= end_us)).sum()),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for JSON."""
        return asdict(self)


def read_versions(rows: pa.Table) -> Catalogue:
    """Make versions of all rows of the ads contract, whatever their order."""
    unique, repeats = unique_rows(rows, RULES[ADS.name])
    if all(unique[name].null_count == unique.num_rows for name in _DATES):
        return Catalogue(_with_nulls(unique.drop_columns([*_DATES])), repeats)
    versions, unchanged = _changes(unique.take(pa.array(AdTable.order(unique))))
    return Catalogue(_with_nulls(versions), repeats, unchanged)


def ads_at(versions: pa.Table, time_us: int) -> pa.Table:
    """One row per ad that can be ranked at a moment, in the order of the versions.

    An ad that ended is left out, and so is one that begins later.
    """
    if not set(_DATES) <= set(versions.column_names):
        return versions
    order = AdTable.order(versions)
    rows = AdTable.from_table(versions).active(time_us)
    return versions.take(pa.array(np.sort(order[rows])))


def _differ(column: pa.ChunkedArray) -> np.ndarray:
    """Whether each value is another than the one before it; true for the first. Nulls are equal."""
    codes = column.dictionary_encode().unify_dictionaries().combine_chunks().indices.fill_null(-1).to_numpy()
    return np.r_[True, codes[1:] != codes[:-1]] if len(codes) else np.zeros(0, bool)


def _changes(ordered: pa.Table) -> tuple[pa.Table, int]:
    """Leave out rows that only go on with the row before them, which then holds as long as they do."""
    differ = np.logical_or.reduce([_differ(ordered[name]) for name in ("ad_id", *_CONTENT)])
    since_us, until_us = (ordered[name].cast(pa.int64()).to_numpy(zero_copy_only=False) for name in _DATES)
    # Null becomes NaN, which is before nothing: a row without an end goes on.
    paused = np.r_[False, until_us[:-1] < since_us[1:]]
    kept = differ | paused
    last = np.r_[np.flatnonzero(kept)[1:], len(kept)] - 1
    versions = ordered.filter(pa.array(kept))
    place = versions.column_names.index("valid_until")
    versions = versions.set_column(
        place, versions.schema.field(place), ordered["valid_until"].take(pa.array(last)).combine_chunks()
    )
    return versions, int((~kept).sum())


def _with_nulls(ads: pa.Table) -> pa.Table:
    """The same rows in one chunk a column; only the id is known of every ad."""
    fields = [pa.field(field.name, field.type, nullable=field.name != "ad_id") for field in ads.schema]
    return pa.table([ads[field.name].combine_chunks() for field in fields], schema=pa.schema(fields))


def _count_ads(table: pa.Table) -> int:
    return len(np.unique(hash_ids(table["ad_id"])))
