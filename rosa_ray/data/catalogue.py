"""What is known of ads, users and items as of any time: their rows are versions, from snapshots or from changes.

Daily snapshots repeat most rows unchanged, so that a version is kept only where it differs from the one before it.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from rosa_ray.data.same_id import RULES, Repeats, content_names, unique_rows, value_codes
from rosa_ray.features import AdTable
from rosa_ray.schema import ADS, Contract, hash_ids

_DATES = ("valid_from", "valid_until")


@dataclass(frozen=True)
class Catalogue:
    """Versions of ads, users or items, and what became of the rows that they were made of.

    Attributes:
        table: of the contract. Where a row is dated, one row per version, by id and time; else one row per id, without
            `valid_from` and `valid_until`.
        repeats: rows of one id and one `valid_from`.
        unchanged: rows left out that say what the version before them says.
        contract: of ads, users or items.
    """

    table: pa.Table
    repeats: Repeats
    unchanged: int = 0
    contract: Contract = ADS

    @property
    def counts(self) -> dict[str, int]:
        """Rows by what became of them, as the data report names them."""
        name = self.contract.name
        things = len(np.unique(hash_ids(self.table[RULES[name].id])))
        return {
            f"duplicate_{name}": self.repeats.copies,
            f"versions_of_{name}": self.table.num_rows - things,
            f"unchanged_{name}": self.unchanged,
            f"conflicting_{name}": self.repeats.conflicts,
        }

    @property
    def examples(self) -> dict[str, str]:
        """An example of each kind of loss, by the same names."""
        return {f"conflicting_{self.contract.name}": self.repeats.conflict} if self.repeats.conflict else {}


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
        last = np.r_[first[1:], len(table.ad_key)][: len(first)] - 1
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


def read_versions(rows: pa.Table, contract: Contract = ADS) -> Catalogue:
    """Make versions of all rows of a contract, whatever their order.

    Args:
        contract: of ads, users or items.
    """
    unique, repeats = unique_rows(rows, RULES[contract.name])
    dates = [name for name in _DATES if name in unique.column_names]
    if all(unique[name].null_count == unique.num_rows for name in dates):
        return Catalogue(_with_nulls(unique.drop_columns(dates), contract), repeats, contract=contract)
    versions, unchanged = _changes(unique.take(pa.array(_order(unique, contract))), contract)
    return Catalogue(_with_nulls(versions, contract), repeats, unchanged, contract)


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
    codes = value_codes(column)
    return np.r_[True, codes[1:] != codes[:-1]] if len(codes) else np.zeros(0, bool)


def _order(rows: pa.Table, contract: Contract) -> np.ndarray:
    """Rows by id and since when they hold."""
    if contract.name == ADS.name:
        return AdTable.order(rows)
    since_us = rows["valid_from"].cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy()
    return np.lexsort((since_us, hash_ids(rows[RULES[contract.name].id])))


def _changes(ordered: pa.Table, contract: Contract) -> tuple[pa.Table, int]:
    """Leave out rows that only go on with the row before them, which then holds as long as they do."""
    content = [name for name in content_names(ordered, contract) if name not in _DATES]
    differ = np.logical_or.reduce([_differ(ordered[name]) for name in content])
    if "valid_until" not in ordered.column_names:
        return ordered.filter(pa.array(differ)), int((~differ).sum())
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


def _with_nulls(rows: pa.Table, contract: Contract) -> pa.Table:
    """The same rows in one chunk a column; only the id is known of every thing."""
    optional = [name for name in content_names(rows, contract) if name != RULES[contract.name].id]
    fields = [field.with_nullable(field.name in optional) for field in rows.schema]
    return pa.table([rows[field.name].combine_chunks() for field in fields], schema=pa.schema(fields))
