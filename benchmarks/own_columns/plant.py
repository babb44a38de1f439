"""Plant columns of a team's own in a simulated log: some that matter for clicks, most that do not.

Law, fixed before any run. A click of the simulator stays with a chance that what is planted decides, and is taken back
otherwise, with its conversion. No other row changes. Chances are `LOW` or 1, half of the impressions each.

- `feature`: a category of the user that says which; beside it 20 useless columns of all types.
- `cross`: two categories of the request, of which each alone says nothing; the parity of their sum says which. Beside
  them 20 useless columns.
- `counter`: every (campaign, placement) draws its chance anew every four days, so that only what was counted lately
  says which. Beside it 20 useless columns.
- `sixty`: sixty columns of users, items, ads and requests, of every type and clock, of which three matter: a category
  of the user that changes after a week for a third of them, a number of the item, and a category of the request.

    python benchmarks/own_columns/plant.py runs/simulator/log runs/planted sixty
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from rosa_ray.schema import derive_key, hash_ids
from rosa_ray.units import DAY_US

LOW = 0.2
USELESS = {"user": 6, "item": 4, "ad": 3, "request": 7}
SIXTY = {"user": 19, "item": 13, "ad": 10, "request": 15}
TYPES = ("category", "number", "categories", "category", "vector", "number", "category")
VECTOR = 8
LAWS = ("feature", "cross", "counter", "sixty")

Log = dict[str, pa.Table]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", help="directory that `rosa simulate` wrote")
    parser.add_argument("out", help="directory to write: tables, and config.yaml with the columns")
    parser.add_argument("law", choices=LAWS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    log = read_log(options.log)
    columns, more = plant(log, options.law, options.seed)
    write(log, Path(options.out), columns, more, Path(options.log) / "events")


def read_log(path: str) -> Log:
    """The tables of a simulated log."""
    return {name: pq.read_table(f"{path}/{name}") for name in ("impressions", "candidates", "ads", "events")}


def plant(log: Log, law: str, seed: int) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Add columns and tables to a log, and take clicks back by a law.

    Returns:
        `features.columns` of all columns, and further settings of `features`.
    """
    rng = np.random.default_rng(seed)
    log |= {"users": _ids(log, "user_id"), "items": _ids(log, "item_id")}
    columns = _useless(log, rng, SIXTY if law == "sixty" else USELESS, dated=law == "sixty")
    matters, planted, more = {"feature": _feature, "cross": _cross, "counter": _counter, "sixty": _three}[law](log, rng)
    _take_back(log, matters, rng)
    return planted | columns, more


def _ids(log: Log, name: str) -> pa.Table:
    tables = [log[table][name] for table in ("events", "impressions", "ads") if name in log[table].column_names]
    return pa.table({name: pc.unique(pa.chunked_array([c for t in tables for c in t.chunks])).sort().drop_null()})


def _useless(log: Log, rng: np.random.Generator, counts: dict[str, int], *, dated: bool) -> dict[str, dict[str, Any]]:
    """Draw columns that say nothing. With `dated`, half of the users and items get a second row after a week."""
    columns: dict[str, dict[str, Any]] = {}
    start = pc.min(log["impressions"]["request_time"])
    for table, id_name in (("users", "user_id"), ("items", "item_id")):
        if dated:
            ids = log[table][id_name]
            later = ids.filter(pa.array(rng.random(len(ids)) < 0.5))
            since = pa.array([None] * len(ids) + [start.value + 7 * DAY_US] * len(later), pa.int64())
            both = pa.chunked_array([*ids.chunks, *later.chunks])
            log[table] = pa.table({id_name: both, "valid_from": since.cast(pa.timestamp("us", "UTC"))})
    for prefix, count in counts.items():
        tables = {"user": ("users",), "item": ("items",), "ad": ("ads",), "request": ("impressions", "candidates")}[
            prefix
        ]
        for place in range(count):
            name, kind = f"{prefix}.useless_{place}", TYPES[place % len(TYPES)]
            for table in tables:
                log[table] = log[table].append_column(name, _drawn(kind, log[table].num_rows, rng))
            columns[name] = {"type": kind, **({"size": VECTOR} if kind == "vector" else {})}
            if prefix == "item" and place == 0:
                columns[name]["shared"] = True
            if dated and prefix == "user" and place == 1:
                columns[name]["clock"] = "static"
    still = [name for name, column in columns.items() if column["type"] == "vector" or "clock" in column]
    for table, id_name in (("users", "user_id"), ("items", "item_id")):
        log[table] = _held_still(log[table], id_name, still)
    return columns


def _held_still(table: pa.Table, id_name: str, still: list[str]) -> pa.Table:
    """Vectors of items are frozen and static columns do not change: a later row repeats the first one's."""
    ids = table[id_name].to_pylist()
    first = {one: row for row, one in reversed([*enumerate(ids)])}
    rows = pa.array([first[one] for one in ids])
    for name in filter(table.column_names.__contains__, still):
        table = table.set_column(table.column_names.index(name), name, table[name].take(rows))
    return table


def _drawn(kind: str, count: int, rng: np.random.Generator) -> pa.Array:
    missing = rng.random(count) < 0.1
    if kind == "number":
        return pa.array(rng.lognormal(1, 1.5, count), mask=missing)
    if kind == "category":
        return pa.array(rng.integers(0, 12, count).astype(str), mask=missing)
    if kind == "categories":
        values = pa.array(rng.integers(0, 30, 3 * count).astype(str))
        return pa.ListArray.from_arrays(pa.array(np.arange(count + 1) * 3, pa.int32()), values)
    values = pa.array(rng.normal(size=VECTOR * count).astype(np.float32))
    return pa.ListArray.from_arrays(pa.array(np.arange(count + 1) * VECTOR, pa.int32()), values)


def _feature(log: Log, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, Any], dict[str, Any]]:
    segment = rng.integers(0, 10, log["users"].num_rows)
    log["users"] = log["users"].append_column("user.segment", pa.array([f"s{at}" for at in segment]))
    places = pc.index_in(log["impressions"]["user_id"], log["users"]["user_id"].combine_chunks()).to_numpy()
    return np.where(segment[places] < 5, LOW, 1.0), {"user.segment": {"type": "category"}}, {}


def _cross(log: Log, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, Any], dict[str, Any]]:
    names = "request.placement", "request.layout"
    for table in ("impressions", "candidates"):
        for name in names:
            log[table] = log[table].append_column(name, pa.array(rng.integers(0, 4, log[table].num_rows).astype(str)))
    one, other = (log["impressions"][name].cast(pa.int64()).to_numpy() for name in names)
    columns = {name: {"type": "category"} for name in names}
    return np.where((one + other) % 2 == 0, LOW, 1.0), columns, {"crosses": [[*names]]}


def _counter(log: Log, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, Any], dict[str, Any]]:
    for table in ("impressions", "candidates"):
        placements = pa.array(rng.integers(0, 8, log[table].num_rows).astype(str))
        log[table] = log[table].append_column("request.placement", placements)
    shown, ads = log["impressions"], log["ads"]
    campaign = ads["campaign_id"].take(pc.index_in(shown["ad_id"], ads["ad_id"].combine_chunks()))
    time_us = shown["request_time"].cast(pa.int64()).to_numpy()
    key = derive_key(hash_ids(campaign), 3) ^ hash_ids(shown["request.placement"])
    drawn = derive_key(key, (time_us - time_us.min()) // (4 * DAY_US))
    counter = {"of": "impressions", "by": ["campaign_id", "request.placement"], "windows_h": [24, 72]}
    return np.where(drawn % 2 == 0, LOW, 1.0), {"request.placement": {"type": "category"}}, {"counters": [counter]}


def _three(log: Log, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, Any], dict[str, Any]]:
    users, items, shown = log["users"], log["items"], log["impressions"]
    early = dict(
        zip(pc.unique(users["user_id"]).to_pylist(), rng.integers(0, 10, users.num_rows).tolist(), strict=False)
    )
    changed = {user: value if rng.random() < 2 / 3 else (value + 5) % 10 for user, value in early.items()}
    dated = users["valid_from"].is_valid().to_pylist()
    values = [
        (changed if late else early)[user] for user, late in zip(users["user_id"].to_pylist(), dated, strict=True)
    ]
    log["users"] = users.append_column("user.segment", pa.array([f"s{value}" for value in values]))
    week_us = int(pc.max(users["valid_from"]).value)
    has_later = set(users["user_id"].filter(users["valid_from"].is_valid()).to_pylist())
    time_us = shown["request_time"].cast(pa.int64()).to_pylist()
    segment = np.array(
        [
            (changed if at >= week_us and user in has_later else early)[user]
            for user, at in zip(shown["user_id"].to_pylist(), time_us, strict=True)
        ]
    )
    quality = {
        item: float(value)
        for item, value in zip(
            pc.unique(items["item_id"]).to_pylist(), rng.lognormal(1, 1, items.num_rows), strict=False
        )
    }
    log["items"] = items.append_column(
        "item.quality", pa.array([quality[item] for item in items["item_id"].to_pylist()])
    )
    ad_items = dict(zip(log["ads"]["ad_id"].to_pylist(), log["ads"]["item_id"].to_pylist(), strict=True))
    shown_quality = np.array([quality[ad_items[ad]] for ad in shown["ad_id"].to_pylist()])
    for table in ("impressions", "candidates"):
        placements = pa.array(rng.integers(0, 6, log[table].num_rows).astype(str))
        log[table] = log[table].append_column("request.placement", placements)
    placement = log["impressions"]["request.placement"].cast(pa.int64()).to_numpy()
    chances = [segment < 5, shown_quality < np.median(shown_quality), placement < 3]
    columns = {
        "user.segment": {"type": "category"},
        "item.quality": {"type": "number"},
        "request.placement": {"type": "category"},
    }
    return np.prod([np.where(low, 0.5, 1.0) for low in chances], axis=0), columns, {}


def _take_back(log: Log, chance: np.ndarray, rng: np.random.Generator) -> None:
    shown = log["impressions"]
    stays = pa.array(rng.random(shown.num_rows) < chance)
    for name, value in (("click", False), ("conversion", False), ("conversion_time", None), ("revenue", 0.0)):
        kept = pc.if_else(stays, shown[name], pa.scalar(value, shown[name].type))
        shown = shown.set_column(shown.column_names.index(name), name, kept)
    log["impressions"] = shown


def write(log: Log, out: Path, columns: dict[str, Any], more: dict[str, Any], events: Path) -> None:
    """Write the tables as Parquet, and a config that reads them."""
    paths = {"events": str(events.absolute())}
    for name in ("impressions", "candidates", "ads", "users", "items"):
        path = out.absolute() / "log" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        table = log[name].rename_columns([column.partition(".")[2] or column for column in log[name].column_names])
        pq.write_table(table, path)
        paths[name] = str(path)
    config = {
        "profile": "laptop",
        "run_dir": str(out.absolute() / "run"),
        "source": {"kind": "parquet", **paths},
        "features": {"columns": columns, **more},
    }
    (out / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


if __name__ == "__main__":
    main()
