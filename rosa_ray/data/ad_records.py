"""Records of ads folded into a table of the ads contract, so that training reads ads as of each request.

The versions are those that a running service has from the same records: both come from `fold_changes`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from rosa_ray.features.ad_changes import AdChange, Terms, fold_changes, is_complete, until_us
from rosa_ray.features.catalogue import ALWAYS_US, NEVER_US
from rosa_ray.features.own import ColumnConfigs, column_type, of_prefix
from rosa_ray.schema import ADS
from rosa_ray.schema.own_columns import AD

_DATES = ("valid_from", "valid_until")
_FIRST_US = 631_152_000_000_001
"""The earliest time that a table may say: an ad that is paused since ever has ended then."""


@dataclass(frozen=True)
class FoldedAds:
    """Versions of ads.

    Attributes:
        table: of the ads contract with declared columns, by ad id and time.
        incomplete: ids of ads that are left out: nothing told one of `REQUIRED_TERMS`.
    """

    table: pa.Table
    incomplete: tuple[str, ...]


def fold_ads(
    changes: Iterable[AdChange], ads: pa.Table | None = None, columns: ColumnConfigs | None = None
) -> FoldedAds:
    """Fold records of ads, whatever their order and however often each comes.

    Args:
        changes: terms of ads, and declared columns by their full names.
        ads: rows of the ads contract that hold beside the records; a record of the same moment wins.
        columns: all declared columns; those of ads are taken along.

    >>> told = AdChange.of("a1", 1_700_000_000_000_000, {
    ...     "campaign_id": "k1", "category": "shoes", "bid": 0.1, "price": 5.0,
    ... })
    >>> paused = AdChange.of("a1", 1_700_000_060_000_000, {"paused": True})
    >>> [str(row["valid_until"]) for row in fold_ads([paused, told]).table.to_pylist()]
    ['None', '2023-11-14 22:14:20+00:00']
    """
    own = of_prefix(AD, columns or {})
    told: dict[str, list[AdChange]] = {}
    for change in changes:
        told.setdefault(change.ad_id, []).append(change)
    base = {} if ads is None else _base_of(ads)
    rows: list[dict[str, Any]] = []
    incomplete: list[str] = []
    for ad_id in sorted({*told, *base}):
        versions = [one for one in fold_changes(told.get(ad_id, ()), base.get(ad_id, ())) if is_complete(one[1])]
        rows += [_row(ad_id, from_us, terms) for from_us, terms in versions]
        if not versions:
            incomplete.append(ad_id)
    fields = [*ADS.schema, *(pa.field(name, column_type(config)) for name, config in own.items())]
    return FoldedAds(pa.Table.from_pylist(rows, pa.schema(fields)), tuple(incomplete))


def _base_of(ads: pa.Table) -> dict[str, Sequence[tuple[int, Terms]]]:
    """What a table tells of each ad, by rising time."""
    dates = {
        name: ads[name].cast(pa.int64()).to_pylist() if name in ads.column_names else [None] * ads.num_rows
        for name in _DATES
    }
    names = [name for name in ads.column_names if name not in ("ad_id", *_DATES)]
    base: dict[str, list[tuple[int, Terms]]] = {}
    for at, row in enumerate(ads.select(["ad_id", *names]).to_pylist()):
        from_us, end = (dates[name][at] for name in _DATES)
        ad_id = row.pop("ad_id")
        base.setdefault(ad_id, []).append((ALWAYS_US if from_us is None else from_us, {**row, "valid_until": end}))
    return {ad_id: sorted(versions, key=lambda one: one[0]) for ad_id, versions in base.items()}


def _row(ad_id: str, from_us: int, terms: Terms) -> dict[str, Any]:
    end = until_us(from_us, terms)
    return {
        **terms,
        "ad_id": ad_id,
        "valid_from": None if from_us == ALWAYS_US else from_us,
        "valid_until": None if end == NEVER_US else max(end, _FIRST_US),
    }
