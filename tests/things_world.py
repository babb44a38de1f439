"""The small world of `tests.serving.conftest` with what is known of its users, items and ads, in versions."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rosa_ray.data.own_join import ID_COLUMNS, with_shared, with_things
from rosa_ray.features import (
    AdTable,
    CounterStates,
    FeatureConfig,
    FeatureState,
    FitSums,
    UserRows,
    build_user_rows,
    encode_users,
    fold_events,
    fold_impressions,
    keyed_events,
    keyed_impressions,
)
from rosa_ray.features.frozen import FrozenVectors
from rosa_ray.features.own import ColumnConfig, of_prefix, own_columns
from rosa_ray.features.versions import Versions
from rosa_ray.schema.contract import TIMESTAMP
from rosa_ray.schema.own_columns import AD, ITEM, REQUEST, TABLES_OF, USER, contract_with
from rosa_ray.units import DAY_US
from tests.serving.conftest import write_world_bundle
from tests.synthetic import BOUNDS, DAYS, START_US, ads_table, events_table, impressions_table

COLUMNS = {
    "request.place": ColumnConfig(),
    "user.age": ColumnConfig(type="number", scale="linear"),
    "user.likes": ColumnConfig(type="categories", most=2),
    "user.taste": ColumnConfig(type="vector", size=2),
    "user.plan": ColumnConfig(clock="static", fill="free"),
    "item.brand": ColumnConfig(shared=True),
    "item.weight": ColumnConfig(type="number", fill=1.0),
    "item.image": ColumnConfig(type="vector", size=3),
    "ad.margin": ColumnConfig(type="number"),
}
CONFIG = FeatureConfig(item_oov_buckets=8, oov_buckets=4, columns=COLUMNS)


@dataclass(frozen=True)
class ThingsWorld:
    """A log with tables of users, items and ads, its user rows and fitted features, and a bundle."""

    events: pa.Table
    impressions: pa.Table
    things: Mapping[str, pa.Table]
    counters: CounterStates
    rows: UserRows
    features: FeatureState
    bundle: Path

    def write_run(self, root: Path) -> Path:
        """Write what `rosa simulate`, `preprocess` and `train` would; returns a config file."""
        tables = {"events": self.events, "impressions": self.impressions}
        tables |= {TABLES_OF[prefix][0]: table for prefix, table in self.things.items()}
        for name, table in tables.items():
            (root / "log" / name).mkdir(parents=True)
            in_files = [column.rpartition(".")[2] for column in table.column_names]
            pq.write_table(table.rename_columns(in_files), root / "log" / name / "part-0.parquet")
        (root / "data" / "users").mkdir(parents=True)
        pq.write_table(self.rows.to_table(), root / "data" / "users" / "part-00000.parquet")
        pq.write_table(ads_table(), root / "data" / "ads.parquet")
        self.features.save(root / "data" / "features")
        (root / "bundle").symlink_to(self.bundle)
        columns = "".join(f"    {name}: {{{_settings(config)}}}\n" for name, config in COLUMNS.items())
        config = root / "run.yaml"
        settings = f"features:\n  item_oov_buckets: 8\n  oov_buckets: 4\n  columns:\n{columns}"
        config.write_text(f"run_dir: {root}\nstream: {{poll_ms: 1}}\n{settings}")
        return config


def make_world(home: Path) -> ThingsWorld:
    """Build the world; its bundle lies in a directory."""
    rng = np.random.default_rng(3)
    events, impressions, things = events_table(rng), impressions_table(rng), things_tables(rng)
    place = pa.array([("top", "side", None)[at] for at in rng.integers(0, 3, impressions.num_rows)])
    impressions = impressions.append_column("request.place", place)
    shown, _ = keyed_impressions(impressions, AdTable.from_table(ads_table()), of_prefix(REQUEST, COLUMNS))
    versions = {
        prefix: Versions.of(table, ID_COLUMNS[prefix], of_prefix(prefix, COLUMNS)) for prefix, table in things.items()
    }
    keyed = with_shared(keyed_events(events), versions)
    shown = with_things(shown, versions)
    counters = fold_events(keyed, CONFIG) | fold_impressions(shown, CONFIG)
    rows = build_user_rows(keyed, shown, None, counters, CONFIG, BOUNDS)
    frozen = {"item.image": FrozenVectors.of(things[ITEM], "item_id", "item.image", COLUMNS["item.image"])}
    sums = [FitSums.of(rows, BOUNDS.valid_us, CONFIG)]
    features = FeatureState.fit(sums, CONFIG, vectors=frozen)
    bundle = write_world_bundle(home, features, users=encode_users(rows, features))
    return ThingsWorld(events, impressions, things, counters, rows, features, bundle)


def things_tables(rng: np.random.Generator) -> dict[str, pa.Table]:
    """Contract rows of users, items and ads, by the prefix of their columns; some since ever, some change."""
    users = _versions(rng, "user_id", [f"u{number}" for number in range(9)], 40)
    items = _versions(rng, "item_id", [f"i{number}" for number in range(25)], 80)
    ads = _versions(rng, "ad_id", [f"a{number}" for number in range(30)], 60)
    count = users.num_rows
    users = users.append_column("user.age", pa.array(rng.integers(18, 70, count) / 1.0, mask=rng.random(count) < 0.2))
    likes = [[f"l{one}" for one in rng.integers(0, 5, size)] for size in rng.integers(0, 4, count)]
    users = users.append_column("user.likes", pa.array(likes, pa.list_(pa.string())))
    taste = [None if one[0] > 1 else one.tolist() for one in rng.normal(size=(count, 2))]
    users = users.append_column("user.taste", pa.array(taste, pa.list_(pa.float32())))
    users = users.append_column("user.plan", pa.array([("paid", None)[at] for at in rng.integers(0, 2, count)]))
    count = items.num_rows
    items = items.append_column("item.brand", pa.array([("x", "y", None)[at] for at in rng.integers(0, 3, count)]))
    items = items.append_column("item.weight", pa.array(rng.lognormal(size=count), mask=rng.random(count) < 0.3))
    by_item = dict.fromkeys(items["item_id"].to_pylist())
    drawn = dict(zip(by_item, rng.normal(size=(len(by_item), 3)).tolist(), strict=True))
    image = [drawn[item_id] for item_id in items["item_id"].to_pylist()]
    items = items.append_column("item.image", pa.array(image, pa.list_(pa.float32())))
    ads = ads.append_column("ad.margin", pa.array(rng.lognormal(size=ads.num_rows)))
    known = {row["ad_id"]: row for row in ads_table().to_pylist()}
    for name in ("item_id", "campaign_id", "category", "bid", "price"):
        ads = ads.append_column(name, pa.array([known[ad_id][name] for ad_id in ads["ad_id"].to_pylist()]))
    tables = {USER: users, ITEM: items, AD: ads}
    return {
        prefix: contract_with(TABLES_OF[prefix][0], own_columns(COLUMNS)).check(table, "synthetic")[0]
        for prefix, table in tables.items()
    }


def _versions(rng: np.random.Generator, name: str, ids: list[str], more: int) -> pa.Table:
    """Ids since ever, all but every fifth, and later versions of some; one row per id and time."""
    since: list[tuple[str, int | None]] = [(one, None) for at, one in enumerate(ids) if at % 5]
    days = rng.integers(-1, 6 * DAYS, more) / 6
    since += [
        (ids[at], int(START_US + day * DAY_US)) for at, day in zip(rng.integers(0, len(ids), more), days, strict=True)
    ]
    unique = list(dict.fromkeys(since))
    times = pa.array([time for _, time in unique], pa.int64()).cast(TIMESTAMP)
    return pa.table({name: [one for one, _ in unique], "valid_from": times})


def _settings(config: ColumnConfig) -> str:
    default = ColumnConfig(type=config.type, size=config.size)
    said = {"type": config.type, "scale": config.scale, "size": config.size, "most": config.most, "clock": config.clock}
    said |= {"shared": str(config.shared).lower(), "fill": "null" if config.fill is None else config.fill}
    return ", ".join(f"{name}: {value}" for name, value in said.items() if name != "size" or default.size)
