"""How well the rate of one day tells that of the next: alone, or pulled to the days before.

The days are those of training and validation. The first three are never told.

    rosa preprocess demo
    python benchmarks/day_levels.py runs/demo/data
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from rosa_ray.features import Split, UserRows
from rosa_ray.units import DAY_US

PRIORS = (0.0, 10.0, 25.0, 50.0, 100.0)
SPREADS = (0.0, 0.05, 0.1)
USUAL_SHARE = 0.3
"""Days with fewer rows than this share of the median are cut off by the log's ends."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="data directory of `rosa preprocess`")
    options = parser.parse_args()
    table = Table("rate", "positives a day", "day_spread", *(f"prior {prior:g}" for prior in PRIORS), "all days before")
    rows, clicks, conversions = by_day(options.data)
    for name, shown, positives in (("clicks", rows, clicks), ("conversions", clicks, conversions)):
        for spread in SPREADS:
            errors = [error(shown, positives, prior, spread) for prior in (*PRIORS, np.inf)]
            table.add_row(name, f"{positives.mean():.0f}", f"{spread:g}", *(f"{one:.3f}" for one in errors))
    Console().print(table)


def by_day(data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Impressions, clicks and conversions of each whole day."""
    shown = UserRows.from_table(pq.read_table(data / "users")).impressions
    kept = shown["split"] < Split.TEST
    day = shown["time_us"][kept] // DAY_US
    click = shown["click"][kept]
    converted = click * shown["conversion"][kept]
    rows, clicks, conversions = (np.bincount(day - day.min(), count) for count in (np.ones(len(day)), click, converted))
    whole = rows > USUAL_SHARE * np.median(rows)
    return rows[whole], clicks[whole], conversions[whole]


def error(shown: np.ndarray, positives: np.ndarray, prior: float, spread: float) -> float:
    """Root mean square error of the log rate of the next day."""
    errors = []
    for day in range(3, len(shown)):
        before = positives[:day].sum() / shown[:day].sum()
        expected = shown[day - 1] * before
        evidence = expected / (1 + expected * spread**2)
        share = 0.0 if np.isinf(prior) else evidence / (evidence + prior)
        told = np.log(before) + share * np.log((positives[day - 1] + 0.5) / (expected + 0.5))
        errors.append(np.log(max(positives[day], 0.5) / shown[day]) - told)
    return float(np.sqrt(np.mean(np.square(errors))))


if __name__ == "__main__":
    main()
