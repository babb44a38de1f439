"""A run directory with a small log, the user rows of it, and a bundle."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.serving.conftest import World
from tests.synthetic import ads_table


def write_run(root: Path, world: World, rows: pa.Table | None = None) -> Path:
    """Write what `rosa simulate`, `preprocess` and `train` would; returns a config file."""
    tables = {"events": world.events, "impressions": world.impressions, "ads": ads_table()}
    for name, table in tables.items():
        (root / "log" / name).mkdir(parents=True)
        pq.write_table(table, root / "log" / name / "part-0.parquet")
    (root / "data" / "users").mkdir(parents=True)
    pq.write_table(rows or world.rows.to_table(), root / "data" / "users" / "part-00000.parquet")
    pq.write_table(ads_table(), root / "data" / "ads.parquet")
    world.features.save(root / "data" / "features")
    (root / "bundle").symlink_to(world.bundle)
    config = root / "run.yaml"
    config.write_text(f"run_dir: {root}\nstream: {{poll_ms: 1}}\n")
    return config
