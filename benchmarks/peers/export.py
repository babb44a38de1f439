"""Write the impressions of a preprocessed data directory as one row each, for models that take rows.

Ids are those of our vocabularies, fitted on the training period, plus one: 0 is padding. The history is the last
`--window` events strictly before the impression, oldest first, padded at the start. The gap is the bucket of the time
from an event to the impression. Dense features that never vary in the training period are left out.

    python benchmarks/peers/export.py runs/taobao/data --out peers-data
"""

import argparse
import json
from pathlib import Path

import numpy as np

from rosa_ray.features import EncodedUsers, FeatureState, Split, UserRows, concat_users, encode_users
from rosa_ray.features.encoding import GAP_BUCKETS, owners
from rosa_ray.schema import Behavior
from rosa_ray.storage import read_parquet
from rosa_ray.units import SECOND_US

SPLITS = {"train": Split.TRAIN, "valid": Split.VALID, "test": Split.TEST}
CONTEXT = ("campaign", "hour", "weekday")
HOURS, WEEKDAYS = 24, 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="data directory of a run")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--window", type=int, default=50)
    parser.add_argument("--users", type=int, default=0, help="only that many users, to try things out")
    arguments = parser.parse_args()
    state = FeatureState.load(arguments.data / "features")
    files = sorted((arguments.data / "users").glob("*.parquet"))
    users = concat_users([encode_users(UserRows.from_table(read_parquet(file)), state) for file in files])
    if arguments.users:
        users = users.take(np.arange(min(arguments.users, len(users))))
    varying = users.select(Split.TRAIN).dense.std(axis=0) > 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    counts = {}
    for name, split in SPLITS.items():
        rows = to_rows(users.select(split), arguments.window, varying)
        np.savez(arguments.out / f"{name}.npz", **rows)
        counts[name] = len(rows["click"])
    sizes = {name: state.table_sizes[name] + 1 for name in ("item", "category", "campaign")}
    sizes |= {"hour": HOURS + 1, "weekday": WEEKDAYS + 1, "behavior": len(Behavior) + 2, "gap": GAP_BUCKETS + 2}
    document = {"rows": counts, "sizes": sizes, "dense": int(varying.sum()), "window": arguments.window}
    (arguments.out / "spec.json").write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps(document))


def to_rows(users: EncodedUsers, window: int, varying: np.ndarray) -> dict[str, np.ndarray]:
    """Columns (I,), dense features (I, F) and histories (I, window).

    The ad's own `behavior` and `gap` are one further id each, so that models that need an ad field beside every
    history field have one.
    """
    shown, owner = users.impressions, owners(users.impression_offsets)
    row = users.event_offsets[owner][:, None] + shown["visible"][:, None] + np.arange(-window, 0)
    seen = row >= users.event_offsets[owner][:, None]
    row = np.where(seen, row, 0)
    elapsed_s = (shown["time_us"][:, None] - users.events["time_us"][row]) // SECOND_US
    gap = np.minimum(1 + np.floor(np.log2(1.0 + np.maximum(elapsed_s, 0))), GAP_BUCKETS - 1)
    events = {name: users.events[name][row] for name in ("item", "category", "behavior")} | {"gap": gap}
    ads = {"behavior": np.full(len(owner), len(Behavior)), "gap": np.full(len(owner), GAP_BUCKETS)}
    ads |= {name: shown[name] for name in ("item", "category", *CONTEXT)}
    return {
        "impression_key": shown["impression_key"],
        "user_key": users.user_key[owner],
        "click": shown["click"].astype(np.float32),
        "dense": users.dense[:, varying],
        **{name: (values + 1).astype(np.int32) for name, values in ads.items()},
        **{f"hist_{name}": np.where(seen, values + 1, 0).astype(np.int32) for name, values in events.items()},
    }


if __name__ == "__main__":
    main()
