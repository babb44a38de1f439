"""Joins clicks and conversions of logs of their own to the impressions that were read, as preprocessing will."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rosa_ray.intake.columns_kept import KeptColumns
from rosa_ray.intake.scan import TableScan
from rosa_ray.labels import LabelsConfig, attribute, forget_late
from rosa_ray.labels.outcomes import OUTCOMES, OVERDRAWN, Outcome
from rosa_ray.labels.pairing import NEVER
from rosa_ray.schema import CLICKS, CONVERSIONS, IMPRESSIONS


@dataclass(frozen=True)
class Unjoined:
    """Rows of one table that did not join for one reason, and how many the table has."""

    table: str
    outcome: Outcome
    rows: int
    of: int


def join_read(scans: Mapping[str, TableScan], config: LabelsConfig) -> list[Unjoined]:
    """Give the impressions that were read the labels that clicks and conversions bring; returns what did not join.

    Without such tables nothing is done.
    """
    shown = scans.get(IMPRESSIONS.name)
    logs = [scans[name].kept if name in scans else None for name in (CLICKS.name, CONVERSIONS.name)]
    if shown is None or not any(logs):
        return []
    clicks, conversions = logs
    kept = shown.kept
    joined = attribute(
        _impressions(kept, scans["ads"].kept if "ads" in scans else None),
        _clicks(clicks),
        _conversions(conversions),
        config,
    )
    kept.put("click", joined.click)
    kept.put("click_time", np.where(joined.click_us < NEVER, joined.click_us, 0))
    kept.put("conversion", joined.conversion)
    kept.put("conversion_time", np.where(joined.conversion_us < NEVER, joined.conversion_us, 0))
    kept.put("revenue", np.where(joined.conversion, joined.revenue, 0.0))
    kept.put("cost", joined.cost)
    found = []
    for name, log, fates in (
        (CLICKS.name, clicks, joined.click_fate),
        (CONVERSIONS.name, conversions, joined.conversion_fate),
    ):
        of = log.rows if log else 0
        rows = {outcome: int((fates == fate).sum()) for fate, outcome in OUTCOMES[name].items()}
        rows |= {OVERDRAWN: int(joined.overdrawn.sum())} if name == CONVERSIONS.name else {}
        found += [Unjoined(name, outcome, count, of) for outcome, count in rows.items() if count]
    return found


def forget_unknown(shown: KeptColumns, config: LabelsConfig) -> dict[str, int]:
    """Take back labels that came after the window or after the moment of the log; returns how many, by reason."""
    names = {"time_us": "request_time", "click_time_us": "click_time", "conversion_time_us": "conversion_time"}
    names |= {name: name for name in ("click", "conversion", "revenue")}
    rows = {name: shown.column(column) for name, column in names.items()}
    known, counts = forget_late(rows, config.as_of_us, config.window_us)
    for name, column in names.items():
        shown.put(column, known[name])
    return counts


def _impressions(kept: KeptColumns, ads: KeptColumns | None) -> dict[str, np.ndarray]:
    time_us = kept.column("request_time")
    item_key, price = _advertised(_key(kept, "ad_id"), ads)
    known = {name: kept.column(name) for name in ("click", "conversion", "click_time", "conversion_time")}
    return {
        **{f"{name}_key": _key(kept, f"{name}_id") for name in ("impression", "user", "ad")},
        "item_key": item_key,
        "time_us": time_us,
        **{name: known[name] for name in ("click", "conversion")},
        **{
            f"{name}_us": np.where(known[f"{name}_time"] > 0, known[f"{name}_time"], time_us)
            for name in ("click", "conversion")
        },
        **{name: np.nan_to_num(kept.column(name)) for name in ("revenue", "cost")},
        "price": price,
    }


def _clicks(kept: KeptColumns | None) -> dict[str, np.ndarray]:
    log = kept or KeptColumns(CLICKS.schema, "click_id")
    keys = {f"{name}_key": _key(log, f"{name}_id") for name in ("click", "impression", "user", "ad")}
    return keys | {"time_us": _numbers(log, "click_time", np.int64), "cost": _numbers(log, "cost", np.float64)}


def _conversions(kept: KeptColumns | None) -> dict[str, np.ndarray]:
    log = kept or KeptColumns(CONVERSIONS.schema, "conversion_id")
    names = ("conversion", "impression", "click", "user", "ad", "item")
    keys = {f"{name}_key": _key(log, f"{name}_id") for name in names}
    return keys | {
        "time_us": _numbers(log, "conversion_time", np.int64),
        "revenue": _numbers(log, "revenue", np.float64),
    }


def _key(kept: KeptColumns, name: str) -> np.ndarray:
    return np.asarray(kept.column(name), np.uint64).view(np.int64)


def _numbers(kept: KeptColumns, name: str, kind: type) -> np.ndarray:
    return np.asarray(kept.column(name), kind)


def _advertised(ad_key: np.ndarray, ads: KeptColumns | None) -> tuple[np.ndarray, np.ndarray]:
    """Item and price of each ad, 0 where they are not known."""
    if ads is None or not ads.rows:
        return np.zeros(len(ad_key), np.int64), np.zeros(len(ad_key))
    keys = _key(ads, "ad_id")
    order = np.argsort(keys, kind="stable")
    place = order[np.minimum(np.searchsorted(keys[order], ad_key), len(order) - 1)]
    known = keys[place] == ad_key
    item, price = _key(ads, "item_id")[place], np.nan_to_num(ads.column("price"))[place]
    return np.where(known, item, 0), np.where(known, price, 0.0)
