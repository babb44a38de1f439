"""Calibration of a study's trials on a simulated log, against realised labels and against the true probabilities.

Clicks of one test period are a sample: their number differs from the sum of the true probabilities by chance, and so
does that of the validation period, which a calibration is fitted on. Only a simulator can tell that part from the
model's own error.

    rosa compare simulator
    python benchmarks/calibration_against_truth.py runs/simulator
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from record import record, save
from rich.console import Console
from rich.table import Table

from rosa_ray.features import Split
from rosa_ray.schema import hash_ids

COLUMNS = ("impression_key", "split", "click", "conversion", "p_ctr", "p_ctcvr")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run directory of `rosa compare` on a simulated log")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/calibration_against_truth.json"))
    options = parser.parse_args()
    study = json.loads((options.run / "comparison.json").read_text())
    truth = read_truth(options.run / "log" / "truth")
    rows = [
        {"model": variant["name"], "seed": trial["seed"], **measure(folder, truth)}
        for variant in study["variants"]
        for trial in variant["trials"]
        for folder in [options.run / "trials" / f"{variant['name']}-lr{trial['learning_rate']:g}-s{trial['seed']}"]
    ]
    Console().print(table(rows))
    run = study["data"] | {"source": "simulator"}
    save(record("calibration_against_truth", run=run, rows=rows), options.out)


def read_truth(folder: Path) -> dict[str, np.ndarray]:
    """True probabilities of every impression, sorted by impression key."""
    log = pq.read_table(folder)
    key = hash_ids(log["impression_id"])
    order = np.argsort(key)
    p_ctr, p_cvr = log["p_ctr"].to_numpy()[order], log["p_cvr"].to_numpy()[order]
    return {"key": key[order], "ctr": p_ctr, "ctcvr": p_ctr * p_cvr}


def measure(folder: Path, truth: dict[str, np.ndarray]) -> dict[str, float]:
    """Predicted over realised (`pcoc`) and over true, and realised over true, per head; test, then validation."""
    scored = pq.read_table(folder / "predictions", columns=list(COLUMNS))
    columns = {name: scored[name].to_numpy() for name in COLUMNS}
    labels = {"ctr": columns["click"], "ctcvr": columns["conversion"]}
    figures = {}
    for period, split in (("test", Split.TEST), ("valid", Split.VALID)):
        chosen = columns["split"] == split
        row = np.searchsorted(truth["key"], columns["impression_key"][chosen])
        for head, label in labels.items():
            predicted, seen = columns[f"p_{head}"][chosen].sum(), label[chosen].sum()
            true = truth[head][row].sum()
            figures[f"{period}_{head}_pcoc"] = round(float(predicted / seen), 4)
            figures[f"{period}_{head}_predicted_over_true"] = round(float(predicted / true), 4)
            figures[f"{period}_{head}_realised_over_true"] = round(float(seen / true), 4)
    return figures


def table(rows: list[dict[str, float]]) -> Table:
    """The test period, a row per trial."""
    shown = [name for name in rows[0] if name.startswith("test_")]
    printed = Table("model", "seed", *(name.removeprefix("test_").replace("_", " ") for name in shown))
    for row in rows:
        printed.add_row(str(row["model"]), str(row["seed"]), *(f"{row[name]:.3f}" for name in shown))
    return printed


if __name__ == "__main__":
    main()
