"""Small invented logs, written in the manner of many teams."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

START = 1_790_000_000
"""Seconds since 1970: 21 September 2026."""
USERS, EVENTS, SHOWN, ADS = 30, 400, 300, 12

Columns = dict[str, list]


def events() -> Columns:
    """Events under contract names, times in seconds."""
    random = np.random.default_rng(1)
    item = random.integers(0, 60, EVENTS)
    return {
        "event_id": [f"e{at}" for at in range(EVENTS)],
        "user_id": [f"u{at}" for at in random.integers(0, USERS, EVENTS)],
        "item_id": [f"it{at}" for at in item],
        "behavior": [("view", "click", "cart", "purchase")[at] for at in random.integers(0, 4, EVENTS)],
        "event_time": sorted((START + random.integers(0, 10 * 86_400, EVENTS)).tolist()),
        "category": [f"cat{at % 6}" for at in item],
        "price": (random.integers(100, 9_000, EVENTS) / 100).tolist(),
    }


def impressions() -> Columns:
    """Impressions under contract names, times in seconds, conversions an hour after the request."""
    random = np.random.default_rng(2)
    times = np.sort(START + random.integers(0, 10 * 86_400, SHOWN))
    click = random.random(SHOWN) < 0.2
    conversion = click & (random.random(SHOWN) < 0.4)
    ad = random.integers(0, ADS, SHOWN)
    return {
        "impression_id": [f"i{at}" for at in range(SHOWN)],
        "request_id": [f"r{at // 2}" for at in range(SHOWN)],
        "user_id": [f"u{at}" for at in random.integers(0, USERS, SHOWN)],
        "ad_id": [f"ad{at}" for at in ad],
        "request_time": times.tolist(),
        "position": (np.arange(SHOWN) % 2).tolist(),
        "device": [("ios", "android")[at % 2] for at in range(SHOWN)],
        "bid": ((10 + ad) / 100).tolist(),
        "cost": ((7 + ad) / 100).tolist(),
        "click": click.tolist(),
        "conversion": conversion.tolist(),
        "conversion_time": [int(at) + 3_600 if yes else None for at, yes in zip(times, conversion, strict=True)],
        "revenue": np.where(conversion, 20.5, 0.0).tolist(),
    }


def ads() -> Columns:
    """Ads under contract names."""
    return {
        "ad_id": [f"ad{at}" for at in range(ADS)],
        "item_id": [f"it{at}" for at in range(ADS)],
        "campaign_id": [f"c{at % 3}" for at in range(ADS)],
        "category": [f"cat{at % 6}" for at in range(ADS)],
        "bid": [(10 + at) / 100 for at in range(ADS)],
        "price": [20.5 + at for at in range(ADS)],
    }


def renamed(columns: Columns, names: dict[str, str]) -> Columns:
    """Columns under other names; those mapped to an empty name are left out."""
    return {names.get(name, name): values for name, values in columns.items() if names.get(name, name)}


def changed(columns: Columns, **changes: Callable[[object], object]) -> Columns:
    """Columns with every known value of some of them written in another way."""
    return columns | {
        name: [None if value is None else change(value) for value in columns[name]] for name, change in changes.items()
    }


def write_csv(columns: Columns, path: Path, header: bool = True, delimiter: str = ",") -> str:
    """Write text; returns the path."""
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.output_stream(str(path), compression="gzip" if path.suffix == ".gz" else None) as out:
        pa_csv.write_csv(table, out, pa_csv.WriteOptions(include_header=header, delimiter=delimiter))
    return str(path)


def write_parquet(columns: Columns, path: Path) -> str:
    """Write Parquet; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), path)
    return str(path)


def write_log(folder: Path, **tables: Columns) -> Path:
    """Write a log of CSV files under contract names, with a config that reads it; returns the config."""
    kept = {"events": events(), "impressions": impressions(), "ads": ads()} | tables
    for name, columns in kept.items():
        write_csv(columns, folder / f"{name}.csv")
    places = "".join(f"  {name}: {folder / name}.csv\n" for name in kept)
    config = folder / "shop.yaml"
    config.write_text(f"run_dir: {folder / 'run'}\nsource:\n  kind: csv\n  time_unit: s\n{places}")
    return config
