"""What a catalogue that changes costs a replica: to ask the store, to take a change in, and to choose candidates.

Prices of ads change one after the other. No counters were read, as in the first minute.

python benchmarks/live_ads.py --out benchmarks/results/live_ads.json
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from record import record, save
from rich.console import Console
from rich.table import Table

from rosa_ray.features import FeatureConfig, empty_records
from rosa_ray.features.ad_changes import AdChange
from rosa_ray.features.changes import changes_of_ads
from rosa_ray.features.live_catalogue import LiveCatalogue
from rosa_ray.metrics import Ranking
from rosa_ray.schema import ADS
from rosa_ray.serving.api import Context, RankRequest
from rosa_ray.serving.candidates import choose
from rosa_ray.serving.first_pass import FirstPass
from rosa_ray.store import StoreConfig, open_store
from rosa_ray.store.ad_feed import AdFeed

NOW_US = 1_790_000_000_000_000
MOST = 5000
ROUNDS = 50


def main() -> None:
    """Measure catalogues of several sizes and print one row each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ads", type=int, nargs="+", default=[5_000, 100_000])
    parser.add_argument("--out", default="")
    options = parser.parse_args()
    rows = [measure(count) for count in options.ads]
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    save(record("live_ads", most=MOST, rows=rows), options.out)


def measure(count: int) -> dict[str, Any]:
    """Medians of one size, milliseconds."""
    catalogue = LiveCatalogue(ads_of(count))
    first_pass = FirstPass(catalogue, FeatureConfig(), Ranking("roi"), MOST)
    everything = RankRequest(user_id="u", context=Context(device="mobile", time=None))
    named = RankRequest(user_id="u", candidates=[f"ad{at * 7}" for at in range(100)])
    numbers = itertools.count(1)

    def change() -> AdChange:
        number = next(numbers)
        return AdChange.of(f"ad{number % count}", NOW_US - 5, {"price": float(number)})

    def change_and_choose() -> None:
        catalogue.apply([change()])
        choose(catalogue, first_pass, everything, NOW_US, MOST)

    choose(catalogue, first_pass, everything, NOW_US, MOST)
    figures: dict[str, Any] = {"ads": count}
    figures["take one change in"] = median_ms(lambda: catalogue.apply([change()]))
    figures["choose 100 named"] = median_ms(lambda: choose(catalogue, first_pass, named, NOW_US, MOST))
    choose(catalogue, first_pass, everything, NOW_US, MOST)
    figures["choose among all"] = median_ms(lambda: choose(catalogue, first_pass, everything, NOW_US, MOST))
    figures["choose among all after a change"] = median_ms(change_and_choose)
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(StoreConfig(path=f"{folder}/store.db"), FeatureConfig(), create=True)
        feed = AdFeed(catalogue)
        store.apply(empty_records(0), (), [changes_of_ads([change() for _ in range(1000)])])
        began_s = time.perf_counter()
        feed.catch_up(store)
        figures["catch up, a change"] = round((time.perf_counter() - began_s), 3)
        figures["ask, nothing new"] = median_ms(lambda: feed.catch_up(store))
        store.close()
    return figures


def ads_of(count: int) -> pa.Table:
    """A catalogue of 2,000 campaigns."""
    rng, numbers = np.random.default_rng(0), range(count)
    columns = {
        "ad_id": [f"ad{at}" for at in numbers],
        "item_id": [f"i{at % 3000}" for at in numbers],
        "campaign_id": [f"k{at % 2000}" for at in numbers],
        "category": [f"c{at % 50}" for at in numbers],
        "bid": rng.uniform(0.01, 1, count),
        "price": rng.uniform(1, 100, count),
    }
    table, _ = ADS.check(pa.table(columns), "benchmark")
    return table


def median_ms(call: Callable[[], object]) -> float:
    """Median of some calls, milliseconds."""
    took = []
    for _ in range(ROUNDS):
        began_s = time.perf_counter()
        call()
        took.append((time.perf_counter() - began_s) * 1000)
    return round(float(np.median(took)), 3)


if __name__ == "__main__":
    main()
