"""The data report: what all passes of preprocessing counted, summed, with losses, coverage and warnings."""

from collections.abc import Mapping, Sequence
from typing import Any

from rosa_ray.data.catalogue import Catalogue, CatalogueSpan
from rosa_ray.data.coverage import Share, coverage
from rosa_ray.data.losses import Loss, list_losses, lost_shares, told_always
from rosa_ray.data.own_coverage import sum_coverage
from rosa_ray.data.own_tables import OwnTables
from rosa_ray.data.stage_report import OK
from rosa_ray.data.time_bounds import iso
from rosa_ray.errors import InputError

PARTIAL = "partial"
NO_TABLES = OwnTables()


def time_span(folded: Sequence[dict[str, Any]], without_impressions: bool = False) -> tuple[int, int]:
    """First and last request of all partitions, microseconds UTC; first and last event where there are no impressions.

    Args:
        without_impressions: whether the log may have none.

    Raises:
        InputError: no impression is left, or nothing at all.
    """
    if without_impressions and all(part["start_us"] is None for part in folded):
        first = [part["first_event_us"] for part in folded if part["first_event_us"] is not None]
        if not first:
            raise InputError("no event is left; look at what was set aside")
        return min(first), max(part["newest_us"] for part in folded)
    starts = [part["start_us"] for part in folded if part["start_us"] is not None]
    ends = [part["end_us"] for part in folded if part["end_us"] is not None]
    if not starts:
        raise InputError("no impression is left: none of their ads is in the catalogue; check ad_id in both tables")
    return min(starts), max(ends)


def merge_reports(
    folded: Sequence[dict[str, Any]],
    joined: Sequence[dict[str, Any]],
    files: Sequence[dict[str, Any]],
    catalogue: Catalogue,
    max_lost_share: float,
    tables: OwnTables = NO_TABLES,
    without_impressions: bool = False,
) -> dict[str, Any]:
    """Sum what the partitions counted.

    Args:
        folded, joined: figures of `fold_partition` and `join_partition`, of every partition.
        files: `FileReport` of every input file as a dictionary.
        catalogue: versions of the ads, and what became of rows that are none.
        max_lost_share: above this share of a table the run is partial.
        tables: what became of the rows of users and items.
        without_impressions: see `time_span`.

    Returns:
        The report, ready for JSON; `partial` says that somebody should look at it.
    """
    start_us, end_us = time_span(folded, without_impressions)
    splits = {name: sum_each([part["splits"][name] for part in joined]) for name in joined[0]["splits"]}
    for figures in splits.values():
        meant = figures["stands_for"]
        figures["ctr"] = meant["clicks"] / meant["impressions"] if meant["impressions"] else None
        figures["cvr"] = meant["conversions"] / meant["final_clicks"] if meant["final_clicks"] else None
    told = dict.fromkeys(name for part in folded for name in part["counts"])
    counts = {name: sum(part["counts"].get(name, 0) for part in folded) for name in told}
    counts |= catalogue.counts | tables.counts
    counts |= {"young_impressions": sum(splits[name]["young"] for name in ("train", "valid", "test"))}
    examples = catalogue.examples | tables.examples
    for part in folded:
        examples = part["examples"] | examples
    losses = list_losses(files, counts, examples)
    shares = coverage([part["coverage"] for part in folded], catalogue.table)
    own = sum_coverage([part["own"] for part in folded if "own" in part])
    shares += own.shares
    warnings = [*_warnings(losses, shares, max_lost_share), *own.warnings]
    return {
        "users": sum(part["users"] for part in joined),
        "users_with_events": sum(part["users_with_events"] for part in joined),
        **counts,
        "catalogue": CatalogueSpan.of(catalogue.table, start_us, end_us).to_dict(),
        "start": iso(start_us),
        "end": iso(end_us),
        "splits": splits,
        "stands_for": sum(splits[name]["stands_for"]["impressions"] for name in ("train", "valid", "test")),
        "leakage": sum_each([part["leakage"] for part in joined]),
        **({"own_tables": tables.versions} if tables.versions else {}),
        **({"own": own.to_dict()} if own.of else {}),
        "lacking": lacking_columns(files),
        "losses": [loss.to_dict() for loss in losses],
        "lost_share": lost_shares(losses),
        "coverage": [{"what": share.what, "have": share.have, "of": share.of, "hint": share.hint} for share in shares],
        "warnings": warnings,
        PARTIAL: bool(warnings) or told_always(counts),
    }


def lacking_columns(files: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Required columns that usable files of each table do without.

    >>> lacking_columns([{"contract": "ads", "status": "ok", "lacking": ["price"]}])
    {'ads': ['price']}
    """
    found: dict[str, dict[str, None]] = {}
    for file in files:
        if file["status"] == OK and file.get("lacking"):
            found.setdefault(file["contract"], {}).update(dict.fromkeys(file["lacking"]))
    return {table: list(names) for table, names in found.items()}


def sum_each(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Sum dictionaries of the same names, and those within them.

    >>> sum_each([{"a": 1, "b": {"c": 1}}, {"a": 2, "b": {"c": 4}}])
    {'a': 3, 'b': {'c': 5}}
    """
    return {
        name: sum_each([row[name] for row in rows]) if isinstance(first, dict) else sum(row[name] for row in rows)
        for name, first in rows[0].items()
    }


def _warnings(losses: Sequence[Loss], shares: Sequence[Share], max_lost_share: float) -> list[str]:
    """Lines that `rosa train` repeats."""
    lost = [
        f"{table}: {share:.1%} of the rows were lost, more than preprocess.max_lost_share={max_lost_share:g}"
        for table, share in lost_shares(losses).items()
        if share > max_lost_share
    ]
    return [*lost, *(str(share) for share in shares if share.hint)]
