"""How well each input alone predicts each label: a single one that nearly does is a leak, not a feature."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.data.leakage.findings import ANYWAY, KNOWN_THEN, FeaturePower, LeakFinding
from rosa_ray.data.leakage.ranks import rank_correlation
from rosa_ray.features import FeatureConfig, Split, UserRows, dense_names
from rosa_ray.features.encoding import owners
from rosa_ray.features.own import number_names, row_columns
from rosa_ray.metrics import tied_auc
from rosa_ray.schema import MISSING_KEY
from rosa_ray.schema.own_columns import prefix_of
from rosa_ray.units import DAY_US, HOUR_US, SECOND_US

IDS = ("ad", "item", "campaign", "category", "device", "region", "user")
OUTCOMES = ("click", "conversion given click", "click and conversion")
AMOUNTS = ("revenue", "cost")
CORRELATED_ROWS = 20_000
MEAN_BY = "mean of the label by "
_MISLEADING = 0.1
_ODD = np.uint64(0x9E3779B97F4A7C15)
MOST_COORDINATES = 256
"""Numbers of a vector that are looked at one by one."""

TIMELINE = ("seconds since the last event", "seconds since the last event on the ad's item")


@dataclass(frozen=True)
class Limits:
    """When a single input is a leak: an AUC above `auc`, with at least `positives` rows of either class."""

    auc: float
    positives: int

    @property
    def correlation(self) -> float:
        """The rank correlation that is as much: twice the AUC less one (Somers' D)."""
        return 2 * self.auc - 1


def labelled_columns(rows: UserRows, config: FeatureConfig) -> dict[str, np.ndarray]:
    """What the model is given and what it should predict, of the training and validation impressions of a block.

    Returns:
        `dense` (n, F), every input under its own name and every label, (n,).
    """
    shown = rows.impressions
    kept = np.flatnonzero(shown["split"] <= Split.VALID)
    owner = owners(rows.impression_offsets)[kept]
    local_us = config.local_us(shown["time_us"][kept])
    names = (*(f"{name}_key" for name in IDS[:-1]), "bid", "price", "split", "click", "conversion", *AMOUNTS)
    return {
        **{name: shown[name][kept] for name in names},
        "user_key": rows.user_key[owner],
        "hour_key": local_us % DAY_US // HOUR_US + 1,
        "weekday_key": local_us // DAY_US % 7 + 1,
        **{name: shown[name][kept] for name in row_columns(config.columns)},
        "dense": rows.dense.reshape(len(shown["time_us"]), len(dense_names(config)))[kept],
        **_last_event(rows, owner, kept),
    }


def check_powers(powers: list[FeaturePower], limits: Limits) -> Iterator[LeakFinding]:
    """Findings on single inputs that predict a label too well."""
    for power in powers:
        if power.power > limits.auc:
            yield LeakFinding(
                "single feature",
                "leak",
                power.feature,
                f"alone predicts '{power.label}' with AUC {power.auc:.4f} ({power.positives} positives of {power.rows} "
                f"rows, limit {limits.auc:g})",
                f"{_remedy(power.feature)}, {ANYWAY}",
            )


def check_reversals(powers: list[FeaturePower]) -> Iterator[LeakFinding]:
    """Findings on ids whose rates in training rank the validation period backwards, far beyond chance.

    Honest ids say something or nothing. They mislead where both periods draw on one pool: negatives sampled from the
    events of a whole day, say, of which validation is the end.
    """
    for power in powers:
        chance = 1 / np.sqrt(12 * min(power.positives, power.rows - power.positives))
        if power.feature.startswith(MEAN_BY) and power.auc < 0.5 - max(_MISLEADING, 4 * chance):
            yield LeakFinding(
                "validation unlike training",
                "warning",
                power.feature,
                f"ranks '{power.label}' of the validation period backwards, AUC {power.auc:.4f} ({power.positives} "
                f"positives of {power.rows} rows); the best epoch is chosen on rows that share a sample with training",
                "begin it where a day or the sampling of negatives does (preprocess.valid_from) and preprocess again",
            )


def feature_powers(sample: Columns, config: FeatureConfig, limits: Limits) -> list[FeaturePower]:
    """AUC of every input alone against every label, strongest first; those with too few rows of a class left out."""
    powers = [
        power
        for name, values in _single_inputs(sample, config)
        for power in _against_labels(name, values, sample, np.isfinite(values), limits)
    ]
    for name in (*IDS, "hour", "weekday"):
        powers += _target_means(name, sample[f"{name}_key"], sample, limits)
    for name, column in row_columns(config.columns).items():
        if column.type in ("category", "categories"):
            powers += _target_means(name, sample[name], sample, limits)
    return sorted(powers, key=lambda power: -power.power)


def check_correlations(sample: Columns, config: FeatureConfig, limits: Limits) -> Iterator[LeakFinding]:
    """Findings on dense features that rank impressions as their revenue or cost does."""
    for amount in AMOUNTS:
        paid = np.flatnonzero(sample[amount] > 0)[:CORRELATED_ROWS]
        numbers = [(name, sample["dense"][:, place]) for place, name in enumerate(dense_names(config))]
        numbers += [(name, sample[name]) for name in number_names(config.columns)]
        for name, values in numbers:
            found = rank_correlation(values[paid], sample[amount][paid], limits.positives)
            if abs(found) > limits.correlation:
                yield LeakFinding(
                    "label among the inputs",
                    "leak",
                    name,
                    f"ranks impressions as their {amount} does, which is known only later (rank correlation "
                    f"{found:.4f})",
                    f"{_remedy(name)}, {ANYWAY}",
                )


def _last_event(rows: UserRows, owner: np.ndarray, kept: np.ndarray) -> dict[str, np.ndarray]:
    """Whether the timeline gives the label away: a click that is logged just before the impression it belongs to."""
    time_us, event_us = rows.impressions["time_us"][kept], rows.events["time_us"]
    event_owner = owners(rows.event_offsets).astype(np.uint64)
    items = rows.events["item_key"].view(np.uint64), rows.impressions["item_key"][kept].view(np.uint64)
    # User and item as one key: a product with an odd number, which wraps at 2^64, is another one for every user.
    pairs = (event_owner * _ODD + items[0], owner.astype(np.uint64) * _ODD + items[1])
    found = (
        _seconds_since(event_owner, event_us, owner.astype(np.uint64), time_us),
        _seconds_since(pairs[0], event_us, pairs[1], time_us),
    )
    return dict(zip(TIMELINE, found, strict=True))


def _seconds_since(event_group: np.ndarray, event_us: np.ndarray, group: np.ndarray, time_us: np.ndarray) -> np.ndarray:
    """Seconds from the last event of its group strictly before each impression; NaN where there is none."""
    # Events and impressions in one order of group and time, an impression before events of its own moment. A running
    # maximum of the events' places then gives every impression the last event before it.
    order = np.lexsort((np.r_[np.ones(len(event_us)), np.zeros(len(time_us))], np.r_[event_us, time_us]))
    order = order[np.argsort(np.r_[event_group, group][order], kind="stable")]
    is_event = order < len(event_us)
    last = np.maximum.accumulate(np.where(is_event, np.arange(len(order)), -1))
    place, before = order[~is_event] - len(event_us), order[last[~is_event]]
    same = (last[~is_event] >= 0) & (np.r_[event_group, group][before] == group[place])
    since = np.full(len(time_us), np.nan)
    since[place[same]] = (time_us[place[same]] - np.r_[event_us, time_us][before[same]]) / SECOND_US
    return since


def _single_inputs(sample: Columns, config: FeatureConfig) -> Iterator[tuple[str, np.ndarray]]:
    columns = [(name, sample["dense"][:, place]) for place, name in enumerate(dense_names(config))]
    columns += [(name, sample[name].astype(np.float64)) for name in ("bid", "price", *TIMELINE)]
    columns += [(name, np.where(sample[f"{name}_key"] == MISSING_KEY, np.nan, 0.0)) for name in IDS]
    columns += _own_inputs(sample, config)
    for name, values in columns:
        present = np.isfinite(values)
        if len(values) and values[present].any():
            yield name, values
        if not present.all():
            yield f"{name} is present", present.astype(np.float64)


def _own_inputs(sample: Columns, config: FeatureConfig) -> Iterator[tuple[str, np.ndarray]]:
    """Declared columns as numbers: those of categories tell by themselves only whether they are there."""
    for name, column in row_columns(config.columns).items():
        values = sample[name]
        if column.type == "vector":
            yield from ((f"{name}[{place}]", values[:, place]) for place in range(min(column.size, MOST_COORDINATES)))
        elif column.type == "number":
            yield name, values
        else:
            first = values[:, 0] if values.ndim > 1 else values
            yield name, np.where(first == MISSING_KEY, np.nan, 0.0)


def _target_means(name: str, keys: np.ndarray, sample: Columns, limits: Limits) -> Iterator[FeaturePower]:
    """The mean label per key, of the training period, against the labels of the validation period.

    Args:
        keys: (n,), or (n, M) of lists, which are as telling as the most telling of their values.
    """
    known, place = np.unique(keys, return_inverse=True)
    place = place.reshape(len(keys), -1)
    train, valid = sample["split"] == Split.TRAIN, sample["split"] == Split.VALID
    for label in OUTCOMES:
        values, chosen = _label(label, sample)
        rows = place[train & chosen]
        counts = np.bincount(rows.ravel(), minlength=len(known))
        sums = np.bincount(rows.ravel(), np.repeat(values[train & chosen], rows.shape[1]), minlength=len(known))
        overall = sums.sum() / max(counts.sum(), 1)
        means = np.where(counts > 0, sums / np.maximum(counts, 1), overall)[place].max(axis=1)
        title = f"{MEAN_BY}{name}"
        yield from _against_labels(title, means, sample, valid, limits, only=label)


def _against_labels(
    name: str, values: np.ndarray, sample: Columns, usable: np.ndarray, limits: Limits, only: str = ""
) -> Iterator[FeaturePower]:
    levels, level = np.unique(values[usable], return_inverse=True)
    for label in (only,) if only else OUTCOMES:
        found, chosen = _label(label, sample)
        positive, counted = found[usable] > 0, chosen[usable]
        positives = np.bincount(level[counted & positive], minlength=len(levels))
        negatives = np.bincount(level[counted & ~positive], minlength=len(levels))
        if min(positives.sum(), negatives.sum()) < limits.positives:
            continue
        auc = tied_auc(positives, negatives)
        if auc is not None:
            yield FeaturePower(name, label, auc, int(positives.sum()), int(counted.sum()))


def _label(name: str, sample: Columns) -> tuple[np.ndarray, np.ndarray]:
    """A label and the rows it is defined on."""
    click, conversion = sample["click"] > 0, sample["conversion"] > 0
    if name == "click":
        return click.astype(float), np.ones(len(click), bool)
    return (click & conversion).astype(float), click if name == "conversion given click" else np.ones(len(click), bool)


def _remedy(feature: str) -> str:
    name = feature.removesuffix(" is present").removeprefix(MEAN_BY).partition("[")[0]
    if prefix_of(name):
        return KNOWN_THEN.format(name=name)
    if "." in name:
        view = name.rsplit(".", 2)[0]
        return f"drop '{view}' from features.{'counters' if '(' in view else 'views'} and preprocess again"
    if name in TIMELINE:
        return "stamp events with the time they happened, after the impression they answer"
    column = _SOURCE_COLUMNS.get(name, f"impressions.{name}")
    return f"see which column of the log is read as {column} (source.columns)"


_SOURCE_COLUMNS = {
    "ad": "impressions.ad_id",
    "user": "impressions.user_id",
    "hour": "impressions.request_time",
    "weekday": "impressions.request_time",
    "item": "ads.item_id",
    "campaign": "ads.campaign_id",
    "category": "ads.category",
    "price": "ads.price",
}
