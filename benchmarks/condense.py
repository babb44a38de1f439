"""Condense the document of a study to what is committed: summaries, gaps, and the figures of each trial.

`rosa compare`, `ablate`, `weights` and `curve` write the history of every fit and the ROC curve of every variant into
the run. Both stay there. What is kept is kept to the digit, and `rosa report --comparison` draws it.

    rosa compare simulator
    python benchmarks/condense.py runs/simulator/comparison.json --out benchmarks/results/compare_simulator.json
"""

import argparse
import json
from pathlib import Path
from typing import Any

from record import save

TRIAL = ("seed", "learning_rate", "epochs", "best_epoch", "monitor", "samples", "train_seconds", "samples_per_s")
TEST = (
    *("auc", "gauc", "request_gauc", "cvr_auc", "ctcvr_auc", "logloss"),
    *("pcoc", "cvr_pcoc", "ctcvr_pcoc", "raw_pcoc", "raw_cvr_pcoc", "raw_ctcvr_pcoc"),
    *("policy_roi", "raw_policy_roi", "random_policy_roi", "oracle_policy_roi", "best_policy_roi"),
)
VALID = ("auc", "cvr_auc", "ctcvr_auc", "logloss")
LEFT_OUT_OF_VARIANTS = ("roc", "trials")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="document of a study, such as comparison.json")
    parser.add_argument("--out", type=Path, required=True, help="where the condensed document goes")
    arguments = parser.parse_args()
    save(condense(json.loads(arguments.study.read_text())), arguments.out)


def condense(study: dict[str, Any]) -> dict[str, Any]:
    """The document of a study without histories and curves; what is condensed already stays as it is."""
    variants = [
        {name: value for name, value in variant.items() if name not in LEFT_OUT_OF_VARIANTS}
        | {"trials": [condense_trial(trial) for trial in variant["trials"]]}
        for variant in study["variants"]
    ]
    return study | {"variants": variants}


def condense_trial(trial: dict[str, Any]) -> dict[str, Any]:
    """One trial: how it was fitted, its main figures on both periods, and its latency.

    `samples` is the number of impressions that an epoch trained on.
    """
    history = trial.get("history") or []
    known = {"samples": history[0]["samples"]} | trial if history else trial
    return {
        **_pick(known, TRIAL),
        "test": _pick(trial["test"], TEST),
        "valid": _pick(trial["valid"], VALID),
        "latency": trial.get("latency"),
    }


def _pick(figures: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: figures[name] for name in names if name in figures}


if __name__ == "__main__":
    main()
