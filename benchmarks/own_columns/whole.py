"""The whole loop with sixty declared columns, and the same log without them: seconds, bytes and milliseconds.

Each run is preprocessed, trained, evaluated and materialised by its verbs. Then a service answers requests of its own
log, and the log is compared bit for bit between the offline and the live path, doubled, shuffled and with kills.

    python benchmarks/own_columns/whole.py runs/planted/sixty --out benchmarks/results/own_columns_whole.json
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

sys.path.append(str(Path(__file__).parents[1]))
from record import record, save

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
        "parity": [line for line in told.splitlines() if "equal" in line or "scores" in line],
    }


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
