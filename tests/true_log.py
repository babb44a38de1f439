"""A log's truth and predictions near it: 400 rows of 50 users in each of test, validation and policy."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rosa_ray.features import Split
from rosa_ray.schema import hash_ids
from rosa_ray.storage import write_parquet

ROWS, USERS, CANDIDATES = 400, 50, 5
SPLITS = (Split.TEST, Split.VALID, Split.POLICY)


def ids() -> pa.Array:
    """Impression ids, split after split."""
    return pa.array([f"{split}-{row}" for split in SPLITS for row in range(ROWS)])


def of_split(columns: dict[str, np.ndarray], split: Split) -> dict[str, np.ndarray]:
    """Rows of one split."""
    at = SPLITS.index(split) * ROWS
    return {name: values[at : at + ROWS] for name, values in columns.items()}


def true_columns() -> dict[str, np.ndarray]:
    """What is true of every id. The value of a conversion is 20 to 60."""
    rng = np.random.default_rng(0)
    count = len(SPLITS) * ROWS
    p_ctr, p_cvr, value = (rng.uniform(low, high, count) for low, high in ((0.02, 0.6), (0.05, 0.5), (20, 60)))
    return {
        "p_ctr": p_ctr,
        "p_cvr": p_cvr,
        "expected_revenue": p_ctr * p_cvr * value,
        "expected_cost": rng.uniform(0.2, 1.5, count),
    }


def write_truth(root: Path, columns: dict[str, np.ndarray] | None = None) -> str:
    """Write the truth of a log, rows in any order; returns the log's directory."""
    (root / "truth").mkdir(parents=True)
    table = pa.table({"impression_id": ids(), **(true_columns() if columns is None else columns)})
    order = np.random.default_rng(3).permutation(table.num_rows)
    pq.write_table(table.take(order), root / "truth" / "part-0.parquet")
    return str(root)


def predicted_columns(seed: int = 1, spread: float = 0.5) -> dict[str, np.ndarray]:
    """Predictions off by up to `spread` of the truth; a test click weighs 2; each user has whole policy requests."""
    rng, truth = np.random.default_rng(seed), true_columns()
    labels = np.random.default_rng(7)
    split = np.repeat([int(one) for one in SPLITS], ROWS)
    off = {name: rng.uniform(1 - spread, 1 + spread, split.size) for name in ("p_ctr", "p_cvr", "value", "cost")}
    p_ctr, p_cvr = (np.clip(truth[name] * off[name], 0, 1) for name in ("p_ctr", "p_cvr"))
    price = truth["expected_revenue"] / (truth["p_ctr"] * truth["p_cvr"])
    click = (labels.random(split.size) < truth["p_ctr"]) & (split != Split.POLICY)
    conversion = click & (labels.random(split.size) < truth["p_cvr"])
    scores = {"p_ctr": p_ctr, "p_cvr": p_cvr, "value": price * off["value"]}
    users = np.sort(np.random.default_rng(5).integers(0, USERS, ROWS // CANDIDATES)).repeat(CANDIDATES)
    return {
        "user_key": np.tile(users, len(SPLITS)),
        "request_key": np.where(
            split == Split.POLICY, np.arange(split.size) // CANDIDATES, np.arange(split.size) + 9000
        ),
        "impression_key": hash_ids(ids()),
        "split": split,
        "click": click.astype(np.int8),
        "conversion": conversion.astype(np.int8),
        "revenue": conversion * price,
        "cost": truth["expected_cost"],
        "expected_cost": truth["expected_cost"] * off["cost"],
        "bid": truth["expected_cost"] * 2,
        "price": price,
        "weight": np.where(click & (split == Split.TEST), 2.0, 1.0),
        "p_ctcvr": p_ctr * p_cvr,
        **scores,
        **{f"raw_{name}": values for name, values in scores.items()},
    }


def write_predictions(root: Path, columns: dict[str, np.ndarray]) -> list[str]:
    """Write predictions in two files of whole users."""
    paths = [str(root / f"part-{part}.parquet") for part in range(2)]
    for part, path in enumerate(paths):
        mine = columns["user_key"] % 2 == part
        write_parquet(pa.table({name: values[mine] for name, values in columns.items()}), path)
    return paths
