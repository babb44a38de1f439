"""Train ROSA-Rec from Python, on a log that is simulated first: the verbs of `rosa`, one after another.

    python examples/train.py runs/example
    python examples/train.py runs/example training.epochs=5 model.width=128

It takes some minutes on two cores. `examples/rank.py` ranks ads with what is left in the run directory.
"""

import sys
from typing import Any

from rosa_ray.cluster.connect import connected
from rosa_ray.config import load_config
from rosa_ray.run_dir import RunDir
from rosa_ray.storage import read_json
from workloads import evaluate, materialize, preprocess, simulate, train

SMALL = ("simulation.users=1000", "simulation.items=1200", "simulation.ads=300", "training.epochs=2")


def main(run_dir: str, *settings: str) -> dict[str, Any]:
    """Leave a log, features, a bundle, metrics and a filled store in the run directory; returns the test metrics."""
    config = load_config(overrides=[f"run_dir={run_dir}", *SMALL, *settings])
    with connected(config.ray):  # a local cluster, or the one of ray.address
        for verb in (simulate, preprocess, train, evaluate, materialize):
            verb.run(config)
    test: dict[str, Any] = read_json(RunDir(run_dir).evaluation.metrics)["test"]
    print(f"test period: AUC {test['auc']:.4f}, log loss {test['logloss']:.4f}, policy ROI {test['policy_roi']:.2f}")
    return test


if __name__ == "__main__":
    main(*sys.argv[1:])
