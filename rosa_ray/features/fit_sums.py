"""What blocks of user rows add to the fit of the features.

Fitting is fold and merge over blocks, so that it runs as one pass over partitions of any number.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rosa_ray.arrays import Columns, Floats
from rosa_ray.features.config import FeatureConfig
from rosa_ray.features.fields import field_keys
from rosa_ray.features.own import ColumnConfig, is_frozen, number_matrix, set_names, shared_names, vector_names
from rosa_ray.features.rows import Split, UserRows
from rosa_ray.features.vocabulary import KeyCounts

TABLES = ("item", "category", "campaign", "device", "region")
TOTALS = (
    *("impressions", "clicks", "conversions", "revenue", "cost"),
    *("cost_of_clicks", "expected_cost", "expected_cost_of_clicks", "final_clicks", "final_cost"),
)
"""Sums of the training period. Conversions after a click, revenue and the last two are of impressions whose conversions
are known, see `conversion_weight`. Features of earlier versions have the first five alone."""


@dataclass(frozen=True)
class Moments:
    """Weight, sum and sum of squares per column; they merge by addition. Missing values (NaN) are left out."""

    count: np.ndarray
    total: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, weight: np.ndarray) -> "Moments":
        """Fold an (n, F) block of rows that stand for `weight` (n,) rows each."""
        present, each = np.isfinite(values), weight[:, None]
        filled = np.where(present, values, 0).astype(np.float64)
        return cls((present * each).sum(0), (filled * each).sum(0), (filled**2 * each).sum(0))

    def merge(self, other: "Moments") -> "Moments":
        return Moments(self.count + other.count, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> np.ndarray:
        """Mean per column, 0 where nothing was seen."""
        return self.total / self._divisor

    @property
    def scale(self) -> np.ndarray:
        """Standard deviation per column, 1 where it is 0 or nothing was seen."""
        variance = self.squares / self._divisor - self.mean**2
        return np.where(variance > 1e-12, np.sqrt(np.maximum(variance, 1e-12)), 1.0)

    @property
    def _divisor(self) -> np.ndarray:
        return np.where(self.count > 0, self.count, 1.0)


@dataclass(frozen=True)
class FitSums:
    """What one block of user rows adds to the fit; blocks are merged in the order of their partitions."""

    keys: dict[str, KeyCounts]
    dense: Moments
    log_money: Moments
    totals: np.ndarray
    numbers: Moments
    vectors: Moments

    @classmethod
    def of(cls, rows: UserRows, train_until_us: int, config: FeatureConfig | None = None) -> "FitSums":
        """Fold the training period of a block: events and impressions before `train_until_us`.

        Sums, moments and rates are of what the rows stand for. How often an id was seen is a number of rows.

        Args:
            config: says which token fields, numbers and vectors there are; none where it is left out.
        """
        past = rows.events["time_us"] < train_until_us
        train = rows.impressions["split"] == Split.TRAIN
        shown = {name: values[train] for name, values in rows.impressions.items()}
        keys = {name: KeyCounts.of(shown[f"{name}_key"]) for name in TABLES}
        for name in ("item", "category"):
            keys[name] = keys[name].merge(KeyCounts.of(rows.events[f"{name}_key"][past]))
        config = config or FeatureConfig()
        declared = config.columns
        keys |= {name: KeyCounts.of(tokens) for name, tokens in field_keys(shown, config).items()}
        keys |= {name: KeyCounts.of(shown[name].reshape(-1)) for name in set_names(declared)}
        for name in shared_names(declared):
            keys[name] = keys[name].merge(KeyCounts.of(rows.events[name][past]))
        weight, click, cost, expected = (shown[name] for name in ("weight", "click", "cost", "expected_cost"))
        numbers = Moments.of(number_matrix(shown, declared, len(weight)), weight)
        known = weight * shown["conversion_weight"]
        sums = [
            *(weight, weight * click, known * (click * shown["conversion"]), known * shown["revenue"], weight * cost),
            *(weight * values for values in (cost * click, expected, expected * click)),
            *(known * values for values in (click, cost)),
        ]
        money = np.log(np.stack([shown["bid"], shown["price"]], axis=1))
        dense = rows.dense[train] if len(rows.dense) else np.empty((len(weight), 0), np.float32)
        totals = np.array([np.sum(s, dtype=np.float64) for s in sums])
        vectors = Moments.of(_mean_squares(shown, declared, len(weight)), weight)
        return cls(keys, Moments.of(dense, weight), Moments.of(money, weight), totals, numbers, vectors)

    def merge(self, other: "FitSums") -> "FitSums":
        keys = {name: counts.merge(other.keys[name]) for name, counts in self.keys.items()}
        if self.totals[0] == 0 or other.totals[0] == 0:
            full = other if self.totals[0] == 0 else self
            return FitSums(keys, full.dense, full.log_money, full.totals, full.numbers, full.vectors)
        return FitSums(
            keys,
            self.dense.merge(other.dense),
            self.log_money.merge(other.log_money),
            self.totals + other.totals,
            self.numbers.merge(other.numbers),
            self.vectors.merge(other.vectors),
        )


def _mean_squares(shown: Columns, own: Mapping[str, ColumnConfig], count: int) -> Floats:
    """Mean square of each vector that rows hold, float64 (count, Kv), NaN where missing."""
    names = [name for name in vector_names(own) if not is_frozen(name, own[name])]
    squares = [np.mean(shown[name].astype(np.float64) ** 2, axis=1) for name in names]
    return np.stack(squares, axis=1) if squares else np.empty((count, 0))
