"""What simple questions about an ad and its user's history say of a click: boosted trees on hand-made features.

No embeddings, no sequence model; validation AUC of clicks by what the trees are told, to see what a ranker misses.
Matches are counts of the last W events of the ad's item and category, per behaviour, decayed by four half-lives.

    rosa preprocess taobao --set source.path=UserBehavior.csv.gz
    python benchmarks/match_features.py runs/taobao/data
"""

import argparse
from pathlib import Path

import numpy as np
from record import record, save
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from rosa_ray.features import EncodedUsers, FeatureState, Split, UserRows, concat_users, encode_users
from rosa_ray.features.encoding import owners
from rosa_ray.models.exact_match import HALF_LIVES_HOURS, MATCHED
from rosa_ray.schema import MISSING_KEY, Behavior
from rosa_ray.storage import read_parquet
from rosa_ray.units import HOUR_US

WINDOW, LONG, LAST = 50, 150, 5
NEVER_HOURS = 1e6
SETS = {
    f"matches of {WINDOW} events": ("dense", "matches"),
    "and the time since the last event": ("dense", "matches", "recency"),
    f"matches of {LONG} events": ("dense", "long_matches"),
    "and the time since the last two events, how many there are": ("dense", "long_matches", "recency", "length"),
    "and how often an event stays in its category": ("dense", "long_matches", "recency", "length", "repeats"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="data directory of a run")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    state = FeatureState.load(arguments.data / "features")
    files = sorted((arguments.data / "users").glob("*.parquet"))
    users = concat_users([encode_users(UserRows.from_table(read_parquet(file)), state) for file in files])
    train, valid = (features(users.select(split)) for split in (Split.TRAIN, Split.VALID))
    labels = [users.select(split).impressions["click"] for split in (Split.TRAIN, Split.VALID)]
    found = {}
    table = Table("told", "validation AUC", title=f"{len(labels[0]):,} impressions to train on")
    for name, parts in SETS.items():
        trees = HistGradientBoostingClassifier(
            max_iter=300, learning_rate=0.06, min_samples_leaf=100, l2_regularization=1.0, random_state=1
        )
        trees.fit(np.hstack([train[part] for part in parts]), labels[0])
        chances = trees.predict_proba(np.hstack([valid[part] for part in parts]))[:, 1]
        found[name] = float(roc_auc_score(labels[1], chances))
        table.add_row(name, f"{found[name]:.4f}")
    Console().print(table)
    save(record("match_features", valid_auc=found), arguments.out)


def features(users: EncodedUsers) -> dict[str, np.ndarray]:
    """Features of every impression by kind, each float32 (I, columns)."""
    shown, owner = users.impressions, owners(users.impression_offsets)
    row = users.event_offsets[owner][:, None] + shown["visible"][:, None] + np.arange(-LONG, 0)
    seen = row >= users.event_offsets[owner][:, None]
    row = np.where(seen, row, 0)
    hours = np.where(seen, (shown["time_us"][:, None] - users.events["time_us"][row]) / HOUR_US, NEVER_HOURS)
    same = [
        seen & (shown[name][:, None] != MISSING_KEY) & (users.events[name][row] == shown[name][:, None])
        for name in MATCHED
    ]
    behavior, category = users.events["behavior"][row], users.events["category"][row]
    stayed = seen[:, 1:] & seen[:, :-1] & (category[:, 1:] == category[:, :-1])
    columns = {
        "dense": users.dense,
        "long_matches": matches(hours, same, behavior, LONG),
        "matches": matches(hours, same, behavior, WINDOW),
        "recency": hours[:, -2:],
        "length": seen.sum(1, keepdims=True),
        "repeats": np.stack([stayed.mean(1), stayed[:, -LAST:].mean(1)], axis=1),
    }
    return {name: values.astype(np.float32) for name, values in columns.items()}


def matches(hours: np.ndarray, same: list[np.ndarray], behavior: np.ndarray, window: int) -> np.ndarray:
    """Decayed counts, one column per half-life, kind of match and behaviour."""
    counts = []
    for half_life in HALF_LIVES_HOURS:
        fresh = np.exp2(-hours[:, -window:] / half_life)
        for kind in same:
            weight = fresh * kind[:, -window:]
            counts += [(weight * (behavior[:, -window:] == one)).sum(1) for one in range(len(Behavior))]
    return np.stack(counts, axis=1)


if __name__ == "__main__":
    main()
