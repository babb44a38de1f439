"""Do models find what is planted, and does importance name it first? Laws and logs of `plant.py`.

For each law and each ranker: train on the planted log, evaluate, and permute every input. For ROSA-Rec, train on the
same log without the planted feature too; the difference of the test AUC is what it is worth.

Bar, fixed before the first run. A planted feature is found if its importance for clicks is the largest of all declared
fields and its interval lies above 0. Useless fields pass if no more of them have an interval above 0 than chance gives:
one of forty on average, so at most two of twenty.

    python benchmarks/own_columns/study.py runs/simulator/log runs/planted --out benchmarks/results/own_columns.json
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from plant import plant, read_log, write

sys.path.append(str(Path(__file__).parents[1]))
from record import record, save

RANKERS = ("rosa", "din", "deepfm", "sasrec", "wide_deep")
PLANTED = {
    "feature": "user.segment",
    "cross": "request.placement*request.layout",
    "counter": "impressions(campaign_id,request.placement)",
}
WITHOUT = {
    "feature": lambda features: features["columns"].pop("user.segment"),
    "cross": lambda features: features.pop("crosses"),
    "counter": lambda features: features.pop("counters"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", help="directory that `rosa simulate` wrote")
    parser.add_argument("out_dir", help="where planted logs and runs go")
    parser.add_argument("--laws", nargs="+", choices=PLANTED, default=[*PLANTED])
    parser.add_argument("--rankers", nargs="+", choices=RANKERS, default=[*RANKERS])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of every run")
    parser.add_argument("--out")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for law in options.laws:
        place = Path(options.out_dir) / law
        log = read_log(options.log)
        write(log, place, *plant(log, law, seed=0), Path(options.log) / "events")
        for row in study(law, place, options.rankers, options.set):
            rows.append(row)
            save(record("own_columns", settings=options.set, rows=rows), options.out)
    print(json.dumps(rows, indent=2))


def study(law: str, place: Path, rankers: list[str], settings: list[str]) -> Iterator[dict[str, Any]]:
    """A row for each ranker on one planted log, and one of ROSA-Rec without what is planted."""
    config = place / "config.yaml"
    rosa("preprocess", config, settings)
    for ranker in rankers:
        yield measure(law, config, ranker, settings)
    bare = yaml.safe_load(config.read_text())
    WITHOUT[law](bare["features"])
    bare["run_dir"] = str(place / "without")
    (place / "without.yaml").write_text(yaml.safe_dump(bare, sort_keys=False))
    for verb in ("preprocess", "train", "evaluate"):
        rosa(verb, place / "without.yaml", settings)
    yield {"law": law, "ranker": "rosa, without it", "auc": auc_of(place / "without")}


def measure(law: str, config: Path, ranker: str, settings: list[str]) -> dict[str, Any]:
    """Train and evaluate one ranker, with importance."""
    chosen = settings if ranker == "rosa" else [*settings, f"model={{name: {ranker}}}"]
    rosa("train", config, chosen)
    rosa("evaluate", config, chosen, "--importance")
    run = config.parent / "run"
    fields = json.loads((run / "evaluation" / "importance.json").read_text())["heads"]["clicks"]["fields"]
    declared = {name: one["auc_lost"] for name, one in fields.items() if "." in name or "(" in name}
    planted = declared.pop(PLANTED[law])
    useless = {name: one for name, one in declared.items() if ".useless_" in name}
    return {
        "law": law,
        "ranker": ranker,
        "auc": auc_of(run),
        "planted": [planted["mean"], planted["low"], planted["high"]],
        "first_of_declared": planted["mean"] > max(one["mean"] for one in declared.values()),
        "useless": len(useless),
        "useless_above_0": sorted(name for name, one in useless.items() if one["low"] > 0),
        "largest_useless": max(one["mean"] for one in useless.values()),
    }


def auc_of(run: Path) -> float:
    """Test AUC of a run."""
    return float(json.loads((run / "evaluation" / "metrics.json").read_text())["test"]["auc"])


def rosa(verb: str, config: Path, settings: list[str], *more: str) -> None:
    """Run a verb and say how it ended."""
    chosen = [part for setting in settings for part in ("--set", setting)]
    command = [sys.executable, "-m", "workloads", verb, str(config), *chosen, *more]
    began_s = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began_s
    print(f"rosa {' '.join(command[3:])}: exit code {done.returncode}, {seconds:.0f} s", flush=True)
    if done.returncode not in (0, 4):
        raise SystemExit(done.stdout + done.stderr)


if __name__ == "__main__":
    main()
