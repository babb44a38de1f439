"""What training does when something dies: the same model as without, the step it went on from, the time it cost.

Nodes are Ray's own, side by side on this machine, and every training is a command of its own, `rosa train`. Deaths are
SIGKILL, in the middle of the second epoch:

- `worker`: one training process;
- `node`: a raylet, with every process it started;
- `driver`: the command itself; the same command is then given again;
- `elastic`: nothing at first, but a node joins a group that may be of one or two workers (`training.min_workers=1`);
  an epoch after the group has grown that node dies.

    python benchmarks/training_failures.py --out benchmarks/results/training_failures.json
    python benchmarks/training_failures.py --deaths node elastic
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from record import record, save
from rich.console import Console
from rich.table import Table

from rosa_ray.cluster.connect import prepare_environment

WORKER_TITLE = "RayTrainWorker"
INTO_EPOCH_S = 1.5
FIGURES = ("epoch", "step", "samples", "train_loss", "valid_loss", "valid_auc")


def main() -> None:
    arguments = _arguments()
    prepare_environment()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder, nodes() as cluster:
        base = _prepare(Path(folder), arguments, cluster.address)
        calm = _train(base, Path(folder) / "calm")
        rows = [_row("nothing", calm, calm)]
        print(json.dumps(rows[-1]), flush=True)
        for name in arguments.deaths:
            elastic = name == "elastic"
            cluster.keep(0 if elastic else 3)
            options = ["training.min_workers=1", f"training.epochs={arguments.elastic_epochs}"] if elastic else []
            training = _train(base, Path(folder) / name, options, _DEATHS[name], cluster)
            rows.append(_row(name, training, None if elastic else calm))
            print(json.dumps(rows[-1]), flush=True)
    document = record(
        "training_failures",
        users=arguments.users,
        rows=rows,
    )
    show(document)
    save(document, arguments.out)


class Nodes:
    """A Ray cluster of several nodes on this machine; each has one logical CPU, for one worker and what it reads."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        self.join(3)

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def join(self, count: int = 1) -> None:
        """Add nodes."""
        for _ in range(count):
            self._cluster.add_node(num_cpus=1)

    def keep(self, count: int) -> None:
        """Have exactly so many nodes beside the head."""
        while len(self._cluster.worker_nodes) > count:
            self._cluster.remove_node(next(iter(self._cluster.worker_nodes)))
        self.join(count - len(self._cluster.worker_nodes))

    def kill_one_with(self, pids: list[int]) -> None:
        """Kill a node, not the head, that runs one of these processes."""
        raylets = {psutil.Process(pid).ppid() for pid in pids}
        for node in list(self._cluster.worker_nodes):
            if node.all_processes["raylet"][0].process.pid in raylets:
                self._cluster.remove_node(node, allow_graceful=False)
                return
        raise SystemExit("no training process runs on a node other than the head; nothing was killed")

    def shutdown(self) -> None:
        self._cluster.shutdown()


@contextmanager
def nodes() -> Iterator[Nodes]:
    """A cluster for the time of the block."""
    cluster = Nodes()
    try:
        yield cluster
    finally:
        cluster.shutdown()


@dataclass(frozen=True)
class Training:
    """A training that ended: its record, and what it took with all commands that it needed."""

    record: dict[str, Any]
    seconds: float
    commands: int


@dataclass
class Command:
    """A running `rosa train`; lines are read as they come."""

    arguments: list[str]

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(self.arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines: list[str] = []

    def read_until(self, text: str) -> bool:
        """Read to the first line that begins so; False when the command ended before."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith(text):
                return True
        return False

    def finish(self) -> None:
        """Read to the end and require success."""
        self.read_until("\0")
        if self.process.wait():
            raise SystemExit(f"{' '.join(self.arguments)} ended with {self.process.returncode}\n{''.join(self.lines)}")


Death = Callable[[Command, Nodes], Command]


def _worker_dies(command: Command, cluster: Nodes) -> Command:
    os.kill(training_pids()[0], signal.SIGKILL)
    return command


def _node_dies(command: Command, cluster: Nodes) -> Command:
    cluster.kill_one_with(training_pids())
    return command


def _driver_dies(command: Command, cluster: Nodes) -> Command:
    command.process.kill()
    command.process.wait()
    while training_pids():
        time.sleep(0.1)
    return Command(command.arguments)


def _node_comes_and_dies(command: Command, cluster: Nodes) -> Command:
    cluster.join()
    while command.read_until("epoch"):
        if len(training_pids()) == 2 and command.read_until("epoch"):
            cluster.kill_one_with(training_pids())
            break
    return command


_DEATHS: dict[str, Death] = {
    "worker": _worker_dies,
    "node": _node_dies,
    "driver": _driver_dies,
    "elastic": _node_comes_and_dies,
}


def training_pids() -> list[int]:
    """Processes of Ray Train's workers under this process, or whose driver is gone."""
    found = []
    for process in psutil.process_iter(["cmdline", "pid"]):
        title = " ".join(process.info["cmdline"] or [])
        if title.startswith("ray::") and WORKER_TITLE in title and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process.info["pid"])
    return found


def _prepare(folder: Path, arguments: argparse.Namespace, address: str) -> list[str]:
    """Write a log and preprocess it; returns the training command without its run directory."""
    config = folder / "failures.yaml"
    config.write_text(
        json.dumps(
            {
                "run_dir": str(folder / "data"),
                "simulation": {"users": arguments.users},
                "preprocess": {"partitions": 2},
                "tracking": {"uri": f"sqlite:///{folder}/mlflow.db"},
                "ray": {"address": address},
                "model": {"name": "rosa", "dropout": 0.1},
                "training": {"workers": 2, "cpus_per_worker": 0.75, "epochs": arguments.epochs, "patience": 99},
                "gate": {"enabled": False},
            }
        )
    )
    for verb in ("simulate", "preprocess"):
        subprocess.run([sys.executable, "-m", f"workloads.{verb}", str(config)], check=True, stdout=subprocess.DEVNULL)
    return [sys.executable, "-m", "workloads.train", str(config)]


def _train(
    base: list[str],
    run_dir: Path,
    options: list[str] | None = None,
    death: Death | None = None,
    cluster: Nodes | None = None,
) -> Training:
    run_dir.mkdir()
    (run_dir / "data").symlink_to(run_dir.parent / "data" / "data")
    settings = [f"run_dir={run_dir}", *(options or [])]
    began = time.perf_counter()
    command = first = Command([*base, *(part for setting in settings for part in ("--set", setting))])
    if death and cluster and command.read_until("epoch  1"):
        time.sleep(INTO_EPOCH_S)
        command = death(command, cluster)
    command.finish()
    record = json.loads((run_dir / "train.json").read_text())
    return Training(record, time.perf_counter() - began, 1 if command is first else 2)


def _row(name: str, training: Training, calm: Training | None) -> dict[str, Any]:
    """Figures of a training; without another one to compare it with, since other groups take other steps."""
    history = training.record["history"]
    pairs = (
        [
            abs(ours[figure] - theirs[figure])
            for ours, theirs in zip(history, calm.record["history"], strict=True)
            for figure in FIGURES
        ]
        if calm
        else []
    )
    return {
        "died": name,
        "commands": training.commands,
        "workers_by_epoch": [record["workers"] for record in history],
        "resumed_from_step_by_epoch": [record["resumed_from_step"] for record in history],
        "step_by_epoch": [record["step"] for record in history],
        "valid_auc": history[-1]["valid_auc"],
        "largest_difference": max(pairs, default=None),
        "same_model": calm and training.record["model_version"] == calm.record["model_version"],
        "seconds": round(training.seconds, 1),
    }


def show(document: dict[str, Any]) -> None:
    """Print the table."""
    table = Table(title=f"{document['users']} users; {document['machine']}; {document['date'][:10]}")
    for name in ("died", "workers by epoch", "resumed from step", "valid AUC", "largest difference", "same model", "s"):
        table.add_column(name)
    for row in document["rows"]:
        resumed = [str(step) for step in row["resumed_from_step_by_epoch"] if step is not None]
        table.add_row(
            row["died"],
            " ".join(map(str, row["workers_by_epoch"])),
            " ".join(resumed) or "–",
            f"{row['valid_auc']:.4f}",
            "–" if row["largest_difference"] is None else f"{row['largest_difference']:.1e}",
            {True: "yes", False: "no", None: "–"}[row["same_model"]],
            f"{row['seconds']:.0f}",
        )
    Console().print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument(
        "--elastic-epochs", type=int, default=30, help="Ray looks every minute whether a group can grow"
    )
    parser.add_argument("--deaths", nargs="+", choices=list(_DEATHS), default=list(_DEATHS))
    parser.add_argument("--folder", help="where the run directories go; the system's temporary folder when left out")
    parser.add_argument("--out", help="write the figures as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
