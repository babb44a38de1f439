"""The whole loop with sixty declared columns, and the same log without them: seconds, bytes and milliseconds.

Each run is preprocessed, trained, evaluated and materialised by its verbs. Then a service answers requests of its own
log, and the log is compared bit for bit between the offline and the live path, doubled, shuffled and with kills.

    python benchmarks/own_columns/whole.py runs/planted/sixty --out benchmarks/results/own_columns_whole.json
"""

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import yaml

from rosa_ray.run_dir import DataDir
from rosa_ray.serving.client import measure_latency
from rosa_ray.serving.read_your_writes import SampleRequests

sys.path.append(str(Path(__file__).parents[1]))
from record import record, save

PORT = 8123
VALUES: dict[str, Any] = {"category": "3", "number": 2.5, "categories": ["1", "7", "9"], "vector": [0.5] * 8}
"""What requests say of a column of each type."""

VERBS = ("preprocess", "train", "evaluate", "materialize")
PARITY = ("--shuffle", "1", "--kill", "20", "--users", "200")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("planted", type=Path, help="directory that plant.py wrote")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of every verb")
    parser.add_argument("--out")
    options = parser.parse_args()
    rows = []
    for columns in ("sixty", "none"):
        config = config_of(options.planted, columns)
        rows.append({"columns": columns, **loop(config, options.set)})
        save(record("own_columns_whole", settings=options.set, rows=rows), options.out)
        print(json.dumps(rows[-1], indent=2), flush=True)


def config_of(planted: Path, columns: str) -> Path:
    """The config with the columns, or a copy without them that has a run directory of its own."""
    config = planted / "config.yaml"
    if columns == "sixty":
        return config
    bare = yaml.safe_load(config.read_text())
    del bare["features"]
    for table in ("users", "items"):
        del bare["source"][table]
    bare["run_dir"] = str((planted / "none").absolute())
    (planted / "none.yaml").write_text(yaml.safe_dump(bare, sort_keys=False))
    return planted / "none.yaml"


def loop(config: Path, settings: list[str]) -> dict[str, Any]:
    """Run every verb; returns seconds of each, bytes of what they wrote, and figures."""
    run = Path(yaml.safe_load(config.read_text())["run_dir"])
    seconds = {verb: rosa(verb, config, settings)[0] for verb in VERBS}
    seconds["parity"], told = rosa("parity", config, settings, *PARITY)
    metrics = json.loads((run / "evaluation" / "metrics.json").read_text())["test"]
    return {
        "seconds": {verb: round(took, 1) for verb, took in seconds.items()},
        "bytes": {name: size_of(run / name) for name in ("data/users", "bundle", "store.db")},
        "auc": metrics["auc"],
        "rank": latency(config, run),
        "parity": [line for line in told.splitlines() if "equal" in line or "scores" in line],
    }


def latency(config: Path, run: Path) -> dict[str, Any]:
    """What requests of 100 candidates take a client, one after another; those of the log say their columns."""
    samples = SampleRequests.of(DataDir(str(run / "data")))
    declared = yaml.safe_load(config.read_text()).get("features", {}).get("columns", {})
    columns = {
        name.removeprefix("request."): VALUES[one["type"]] for name, one in declared.items() if "request." in name
    }
    bodies = [samples.rank_body(user, 1) for user in samples.user_ids]
    for body in bodies:
        body["context"]["columns"] = columns
    command = [sys.executable, "-m", "workloads", "serve", str(config), "--set", f"serving.port={PORT}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as service:
        try:
            url = f"http://127.0.0.1:{PORT}"
            wait_until_ready(url)
            measure_latency(url, bodies, 100)
            return asdict(measure_latency(url, bodies, 500))
        finally:
            service.send_signal(signal.SIGINT)


def wait_until_ready(url: str) -> None:
    """Wait for a service, two minutes at most."""
    for _ in range(240):
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        time.sleep(0.5)
    raise SystemExit(f"{url}: not ready within two minutes")


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a directory."""
    return sum(one.stat().st_size for one in ([path] if path.is_file() else path.rglob("*")) if one.is_file())


def rosa(verb: str, config: Path, settings: list[str], *more: str) -> tuple[float, str]:
    """Run a verb; returns its seconds and what it printed."""
    chosen = [part for setting in settings for part in ("--set", setting)]
    command = [sys.executable, "-m", "workloads", verb, str(config), *chosen, *more]
    began_s = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 4):
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return time.monotonic() - began_s, done.stdout


if __name__ == "__main__":
    main()
