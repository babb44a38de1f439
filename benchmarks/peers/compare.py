"""Compare test predictions row by row: AUC of each, and ours minus each peer's, with intervals over users.

Every file must hold exactly the same test impressions. The interval of a gap is paired: both models see the same draw
of users. It says how much another sample of users would change the gap, not another training run.

    PYTHONPATH=benchmarks python benchmarks/peers/compare.py runs/taobao/evaluation/predictions peers-out/* \
        --out benchmarks/results/peers_taobao.json
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from record import record, save
from rich.console import Console
from rich.table import Table
from sklearn.metrics import log_loss

from rosa_ray.features import Split
from rosa_ray.metrics import BootstrapConfig, auc_interval
from rosa_ray.metrics.bootstrap import auc_statistic, interval


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours", type=Path, help="folder of predictions that `rosa evaluate` wrote")
    parser.add_argument("peers", type=Path, nargs="+", help="folders that the peers' runners wrote")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--replicates", type=int, default=500)
    arguments = parser.parse_args()
    config = BootstrapConfig(replicates=arguments.replicates)
    ours = read_ours(arguments.ours)
    document = record(
        "peers",
        test_impressions=len(ours),
        users=int(ours["user_key"].nunique()),
        ours=measure(ours, ours["p_ctr"].to_numpy(), config),
        peers=[compare(ours, folder, config) for folder in arguments.peers],
    )
    show(document)
    save(document, arguments.out)


def read_ours(folder: Path) -> pd.DataFrame:
    """Our predictions of the test impressions, by impression key."""
    columns = ["impression_key", "user_key", "split", "click", "p_ctr"]
    rows = pd.concat([pd.read_parquet(file, columns=columns) for file in sorted(folder.glob("*.parquet"))])
    return rows[rows["split"] == int(Split.TEST)].set_index("impression_key").sort_index()


def compare(ours: pd.DataFrame, folder: Path, config: BootstrapConfig) -> dict[str, Any]:
    """One peer beside ours."""
    peer = pd.read_parquet(folder / "predictions.parquet").set_index("impression_key").sort_index()
    if not peer.index.equals(ours.index):
        raise SystemExit(f"{folder}: {len(peer)} rows that are not our {len(ours)} test impressions; export them again")
    result = json.loads((folder / "result.json").read_text())
    scores = peer["p_ctr"].to_numpy()
    labels, users = ours["click"].to_numpy(), ours["user_key"].to_numpy()
    ours_auc, count = auc_statistic(ours["p_ctr"].to_numpy(), labels, users)
    peer_auc, _ = auc_statistic(scores, labels, users)
    gap = interval(lambda drawn: _difference(ours_auc(drawn), peer_auc(drawn)), count, config)
    kept = ("peer", "model", "train_rows", "chosen", "trials")
    return {
        **{name: result[name] for name in kept},
        **measure(ours, scores, config),
        "gap": asdict(gap) if gap else None,
    }


def measure(ours: pd.DataFrame, scores: np.ndarray, config: BootstrapConfig) -> dict[str, Any]:
    """AUC with its interval, and log loss, of scores in the order of our rows."""
    labels = ours["click"].to_numpy()
    auc = auc_interval(scores, labels, ours["user_key"].to_numpy(), config)
    assert auc is not None, "the test rows hold one class only"
    clipped = np.clip(scores.astype(np.float64), 1e-7, 1 - 1e-7)
    return {"auc": asdict(auc), "logloss": float(log_loss(labels, clipped))}


def show(document: dict[str, Any]) -> None:
    """Print the table, best peer first."""
    table = Table(title=f"{document['test_impressions']:,} test impressions of {document['users']:,} users")
    for column in ("model", "AUC", "95 %", "log loss", "ours − it", "95 %"):
        table.add_column(column)
    table.add_row("ROSA-Rec", *_cells(document["ours"]), "", "")
    for peer in sorted(document["peers"], key=lambda row: -row["auc"]["estimate"]):
        gap = peer["gap"]
        table.add_row(
            f"{peer['peer']} {peer['model']}",
            *_cells(peer),
            f"{gap['estimate']:+.4f}",
            f"{gap['low']:+.4f} … {gap['high']:+.4f}",
        )
    Console().print(table)


def _difference(ours: float | None, peer: float | None) -> float | None:
    return None if ours is None or peer is None else ours - peer


def _cells(row: dict[str, Any]) -> tuple[str, str, str]:
    auc = row["auc"]
    return f"{auc['estimate']:.4f}", f"{auc['low']:.4f} … {auc['high']:.4f}", f"{row['logloss']:.4f}"


if __name__ == "__main__":
    main()
