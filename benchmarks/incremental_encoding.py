"""A served encoding after some new events: the new events on cached keys and values, against the whole timeline.

Both are the encoder of the service with all it does for a request: compare the timeline with the cached one, encode
features, run the model, keep the result. They take turns on the same timelines of `(layers + 1) · window` events, and
their states must agree. Weights are random: they change no time.

    python benchmarks/incremental_encoding.py --out benchmarks/results/incremental_encoding.json
"""

import argparse
import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from record import record, save
from rich.console import Console
from rich.table import Table

from rosa_ray.arrays import Columns
from rosa_ray.bundle import Bundle
from rosa_ray.calibration import Calibration
from rosa_ray.features import FeatureConfig, FeatureState, event_columns, no_events
from rosa_ray.features.fit_sums import TABLES
from rosa_ray.features.live_catalogue import LiveCatalogue
from rosa_ray.features.vocabulary import Vocabulary
from rosa_ray.models import build_ranker
from rosa_ray.models.rankers.rosa import Ranker
from rosa_ray.serving.encoder import Encoder
from rosa_ray.serving.messages import EncodeQuery
from rosa_ray.serving.model import ServedModel
from rosa_ray.units import MINUTE_US

SIZES: dict[str, dict[str, Any]] = {
    "laptop": {"width": 64, "layers": 2, "heads": 4, "window": 50},
    "paper": {"width": 128, "layers": 4, "heads": 8, "window": 50, "hidden": [256, 128]},
}
NEW_EVENTS = (0, 1, 2, 5, 10, 20, 50)
ITEMS, CATEGORIES = 5000, 200
MEGABYTE = 1_000_000
WARM_UP = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    document = record(
        "incremental_encoding",
        weights="random",
        rounds=arguments.rounds,
        sizes=[measure(name, settings, arguments.rounds) for name, settings in SIZES.items()],
    )
    show(document)
    save(document, arguments.out)


def measure(name: str, settings: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Times of one model size, and what a cached user takes."""
    model, rng = random_model(settings), np.random.default_rng(0)
    cached, whole = Encoder(model, cache_mb=64), Encoder(model)
    took_ms: dict[int, list[tuple[float, float]]] = {new: [] for new in NEW_EVENTS}
    differences = []
    for turn in range(-WARM_UP, rounds):
        for new in NEW_EVENTS:
            before, after = timelines(rng, model.context_events, new)
            cached.encode_now(EncodeQuery(1, before))
            incremental_ms, found = timed(cached, EncodeQuery(1, after))
            whole_ms, expected = timed(whole, EncodeQuery(1, after))
            user_bytes = asyncio.run(cached.describe())["cache"]["bytes"]
            cached.encode_now(EncodeQuery(1, no_events()))
            differences.append(float(np.abs(found - expected).max()))
            if turn >= 0:
                took_ms[new].append((incremental_ms, whole_ms))
    if max(differences) > 1e-5:
        raise SystemExit(f"{name}: states of the two ways differ by {max(differences)}")
    return {
        "name": name,
        "model": settings,
        "timeline_events": model.context_events,
        "bytes_per_user": user_bytes,
        "users_per_64_mb": 64 * MEGABYTE // user_bytes,
        "largest_difference": max(differences),
        "rows": [row(new, np.array(pairs)) for new, pairs in took_ms.items()],
    }


def timelines(rng: np.random.Generator, context: int, new: int) -> tuple[Columns, Columns]:
    """The last `context` events of a user before and after `new` more."""
    count = context + new
    events = event_columns(
        time_us=np.cumsum(rng.integers(1, 600, count)) * MINUTE_US,
        item_key=rng.integers(1, ITEMS, count),
        category_key=rng.integers(1, CATEGORIES, count),
        behavior=rng.integers(0, 4, count),
        price=rng.uniform(1, 100, count),
    )
    return {key: values[:context] for key, values in events.items()}, {
        key: values[-context:] for key, values in events.items()
    }


def timed(encoder: Encoder, query: EncodeQuery) -> tuple[float, np.ndarray]:
    began_s = time.perf_counter()
    states = encoder.encode_now(query).states
    return (time.perf_counter() - began_s) * 1e3, states


def row(new: int, took_ms: np.ndarray) -> dict[str, float]:
    incremental_ms, whole_ms = np.quantile(took_ms, 0.5, axis=0)
    p99_ms = np.quantile(took_ms, 0.99, axis=0)
    return {
        "new_events": new,
        "incremental_p50_ms": round(float(incremental_ms), 3),
        "incremental_p99_ms": round(float(p99_ms[0]), 3),
        "whole_p50_ms": round(float(whole_ms), 3),
        "whole_p99_ms": round(float(p99_ms[1]), 3),
        "ratio": round(float(whole_ms / incremental_ms), 2),
    }


def random_model(settings: dict[str, Any]) -> ServedModel:
    """A model with random weights, as the service would have loaded it."""
    torch.manual_seed(0)
    counts = {"item": ITEMS, "category": CATEGORIES}
    vocabularies = {name: Vocabulary(np.arange(1, counts.get(name, 10)), oov_buckets=16) for name in TABLES}
    features = FeatureState(
        FeatureConfig(), vocabularies, np.zeros(1), np.ones(1), np.zeros(2), np.ones(2), {"impressions": 1.0}
    )
    ranker = build_ranker("rosa", settings, features.table_sizes, {"ctr": 0.05, "cvr": 0.1, "value": 20.0})
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    bundle = cast(Bundle, SimpleNamespace(model_version="random"))
    return ServedModel(bundle, features, cast(LiveCatalogue, None), cast(Ranker, ranker.eval()), "cpu", Calibration())


def show(document: dict[str, Any]) -> None:
    for size in document["sizes"]:
        table = Table(
            "new events",
            "incremental p50 ms",
            "whole p50 ms",
            "times faster",
            title=f"{size['name']}: {size['timeline_events']} events, {size['bytes_per_user']} bytes per user, "
            f"{size['users_per_64_mb']} users in 64 MB",
        )
        for entry in size["rows"]:
            table.add_row(
                str(entry["new_events"]),
                f"{entry['incremental_p50_ms']:.2f}",
                f"{entry['whole_p50_ms']:.2f}",
                f"{entry['ratio']:.1f}",
            )
        Console().print(table)


if __name__ == "__main__":
    main()
