"""The prediction table: scores of every impression beside its keys and labels."""

from collections.abc import Mapping, Sequence

import fsspec
import numpy as np

from rosa_ray.calibration import Calibration
from rosa_ray.features import EncodedUsers, Split
from rosa_ray.features.encoding import owners
from rosa_ray.schema import MISSING_KEY, derive_key
from rosa_ray.storage import read_parquet

_CALIBRATED = ("p_ctr", "p_cvr", "value")

RAW_COLUMNS = tuple(f"raw_{name}" for name in _CALIBRATED)
"""Scores before calibration, which stand beside the calibrated ones."""

_ALONE = 11
"""Kind of the keys of impressions that stand for users; see `derive_key`."""

COPIED = (
    "impression_key",
    "request_key",
    "split",
    "time_us",
    "device_key",
    "campaign_key",
    "click",
    "conversion",
    "revenue",
    "cost",
    "propensity",
    "weight",
    "conversion_weight",
    "expected_cost",
    "price",
    "bid",
)


def prediction_columns(users: EncodedUsers, scores: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Join scores, from `rosa_ray.inference.predict`, with the impressions they belong to.

    Returns:
        user_key, the columns of `COPIED` and those of `SCORES`, each (I,); a user's rows stand together. An impression
        without a user counts as one of a user of its own.
    """
    return {
        "user_key": users_of_impressions(users),
        **{name: users.impressions[name] for name in COPIED},
        **scores,
    }


def users_of_impressions(users: EncodedUsers) -> np.ndarray:
    """User key of every impression, int64 (I,); one of its own for an impression without a user."""
    user_key = users.user_key[owners(users.impression_offsets)]
    alone = derive_key(users.impressions["impression_key"], _ALONE)
    return np.where(user_key == MISSING_KEY, alone, user_key)


def calibrated_columns(columns: Mapping[str, np.ndarray], calibration: Calibration) -> dict[str, np.ndarray]:
    """Predictions with calibrated scores in the place of the raw ones, which stay as `RAW_COLUMNS`."""
    raw = {f"raw_{name}": columns[name] for name in _CALIBRATED}
    return {**calibration.apply(columns), **raw}


def raw_columns(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Predictions with the raw scores in the place of the calibrated ones: what `calibrated_columns` started from."""
    raw = {name: columns[f"raw_{name}"] for name in _CALIBRATED}
    return {**columns, **raw, "p_ctcvr": raw["p_ctr"] * raw["p_cvr"]}


def list_predictions(predictions_dir: str) -> list[str]:
    """Files of predictions in a directory, by name."""
    fs, root = fsspec.core.url_to_fs(predictions_dir)
    return [fs.unstrip_protocol(path) for path in sorted(fs.glob(f"{root}/*.parquet"))]


def read_predictions(files: Sequence[str], split: Split, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Rows of one split from files of predictions, file after file.

    Args:
        names: the columns wanted; None reads all.

    Returns:
        Each column (n,).
    """
    parts = [_read_part(path, split, names) for path in files]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def of_split(columns: Mapping[str, np.ndarray], split: Split) -> dict[str, np.ndarray]:
    """Rows of one split."""
    kept = columns["split"] == int(split)
    return {name: values[kept] for name, values in columns.items()}


def _read_part(path: str, split: Split, names: Sequence[str] | None) -> dict[str, np.ndarray]:
    table = read_parquet(path, None if names is None else [*names, "split"])
    # Predictions from before labels had an age know all of them.
    ones = {} if "conversion_weight" in table.column_names else {"conversion_weight": np.ones(table.num_rows)}
    rows = of_split({name: table[name].to_numpy() for name in table.column_names} | ones, split)
    return {name: rows[name] for name in names or rows}
