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
    parser.add_argument("--out")
    options = parser.parse_args()
    rows = []
    for law in options.laws:
        place = Path(options.out_dir) / law
        log = read_log(options.log)
        write(log, place, *plant(log, law, seed=0), Path(options.log) / "events")
        rows += study(law, place, options.rankers)
        save(record("own_columns", rows=rows), options.out)
    print(json.dumps(rows, indent=2))


def study(law: str, place: Path, rankers: list[str]) -> list[dict[str, Any]]:
    """A row for each ranker on one planted log."""
    config = place / "config.yaml"
    rosa("preprocess", config)
    found = [measure(law, config, ranker) for ranker in rankers]
    bare = yaml.safe_load(config.read_text())
    WITHOUT[law](bare["features"])
    bare["run_dir"] = str(place / "without")
    (place / "without.yaml").write_text(yaml.safe_dump(bare, sort_keys=False))
    rosa("preprocess", place / "without.yaml")
    rosa("train", place / "without.yaml")
    rosa("evaluate", place / "without.yaml")
    worth = auc_of(place / "without")
    return [{**row, "auc_without": worth if row["ranker"] == "rosa" else None} for row in found]


def measure(law: str, config: Path, ranker: str) -> dict[str, Any]:
    """Train and evaluate one ranker, with importance."""
    chosen = () if ranker == "rosa" else ("--set", f"model={{name: {ranker}}}")
    rosa("train", config, *chosen)
    rosa("evaluate", config, "--importance", *chosen)
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


def rosa(verb: str, config: Path, *more: str) -> None:
    """Run a verb and show its last lines."""
    program = str(Path(sys.executable).with_name("rosa"))
    done = subprocess.run([program, verb, str(config), *more], capture_output=True, text=True, check=False)
    print(f"rosa {verb} {config} {' '.join(more)}: exit code {done.returncode}", flush=True)
    if done.returncode not in (0, 4):
        raise SystemExit(done.stdout + done.stderr)


if __name__ == "__main__":
    main()
