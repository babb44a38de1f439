"""What callers see while models are rolled out and taken back, again and again, and what the service's processes hold.

    rosa serve runs/demo/config.yaml --set store.kept_versions=10      # in another terminal
    python benchmarks/rollouts.py runs/demo/config.yaml MODEL MODEL ... --requests 20000 --per-second 50

Each MODEL is a model version whose bundle is kept and whose states are in the store. Each is rolled out, and after it
what served at the begin. Meanwhile rankings and events are sent by the clock.
"""

import argparse
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import asdict
from pathlib import Path

import psutil
import pyarrow as pa
from record import record, save

from rosa_ray.bundle import open_bundle
from rosa_ray.config import load_config
from rosa_ray.data.user_rows import list_user_files
from rosa_ray.load import Bodies, OpenLoop, Plan, figures_of, stretches
from rosa_ray.run_dir import RunDir
from rosa_ray.serving.client import RankingClient
from rosa_ray.storage import read_parquet

SAMPLE_S = 5.0


def main() -> None:
    parser = load_options(__doc__)
    parser.add_argument("models", nargs="+", help="model versions to roll out, each followed by the way back")
    arguments = parser.parse_args()
    run_dir, url, bodies, first = load_of(arguments.config, arguments.overrides, "rollouts")
    seconds = arguments.requests / arguments.per_second
    turns, ended = [model for one in arguments.models for model in (one, first)], threading.Event()
    said: list[str] = []
    held: list[dict[str, float]] = []
    threads = [
        threading.Thread(target=_roll, args=(arguments, turns, seconds, said)),
        threading.Thread(target=_sample, args=(run_dir, held, ended)),
    ]
    for thread in threads:
        thread.start()
    loop = OpenLoop(url)
    answers = loop.run(Plan(arguments.per_second, seconds, arguments.events_per_second), bodies)
    threads[0].join()
    ended.set()
    threads[1].join()
    figures = figures_of(answers)
    print("\n".join([*figures.lines(), *said]))
    for one in (held[len(held) // 5], held[-1]):
        print({name: round(value, 1) for name, value in one.items()})
    alike = [asdict(one) for one in stretches(answers) if one.status not in (200, 207) or one.degraded]
    document = record("rollouts", rollouts=said, held=held, unlike=alike[:50], kinds=figures.as_json()["kinds"])
    save(document, arguments.out)


def load_options(about: str | None) -> argparse.ArgumentParser:
    """Options of a load that is sent by the clock."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--per-second", type=float, default=50.0)
    parser.add_argument("--events-per-second", type=float, default=12.5)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--out", default=None)
    return parser


def load_of(config_file: str, overrides: list[str], name: str) -> tuple[RunDir, str, Bodies, str]:
    """The run, address, bodies and model version of a service that is up; sessions of `name` are of this run alone."""
    config = load_config(Path(config_file), overrides)
    run_dir = RunDir(config.run_dir)
    url = f"http://{config.serving.host}:{config.serving.port}"
    with RankingClient(url) as client:
        model_version = client.wait_until_ready(10.0)["model_version"]
    ads = open_bundle(run_dir.bundle).ads
    users = [user for path, _ in list_user_files(run_dir.data.users) for user in _users(path)]
    session = f"{name}-{uuid.uuid4().hex[:8]}"
    bodies = Bodies(users, _distinct(ads, "ad_id"), _distinct(ads, "item_id"), session=session)
    return run_dir, url, bodies, model_version


def _users(path: str) -> list[str]:
    return list(read_parquet(path, ["user_id"])["user_id"].to_pylist())


def _distinct(ads: pa.Table, column: str) -> list[str]:
    return sorted(set(ads[column].to_pylist()))


def _roll(arguments: argparse.Namespace, turns: list[str], seconds: float, said: list[str]) -> None:
    """Roll out one model after the other, spread over the time of the load."""
    began_s = time.monotonic()
    for place, model in enumerate(turns):
        time.sleep(max(began_s + (place + 0.5) * seconds / (len(turns) + 1) - time.monotonic(), 0.0))
        overrides = [part for one in arguments.overrides for part in ("--set", one)]
        command = [sys.executable, "-m", "workloads", "rollout", arguments.config, "--to", model, *overrides]
        done = subprocess.run(command, capture_output=True, text=True)
        last = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()[-1:]
        said.append(f"rc {done.returncode}: {' '.join(last)}")
        print(said[-1], file=sys.stderr, flush=True)


def _sample(run_dir: RunDir, held: list[dict[str, float]], ended: threading.Event) -> None:
    """Memory, handles and threads of replicas and proxy, summed by kind, every few seconds."""
    began_s = time.monotonic()
    while not ended.wait(SAMPLE_S):
        sums = {"at_s": round(time.monotonic() - began_s, 1), "replicas": 0, "mb": 0.0, "handles": 0, "threads": 0}
        sums |= {"proxy_mb": 0.0}
        for process in psutil.process_iter(["cmdline", "name"]):
            title = " ".join(process.info["cmdline"] or [])
            try:
                if "HybridScorer" in title:
                    sums["replicas"] += 1
                    sums["mb"] += process.memory_info().rss / 1e6
                    sums["handles"] += process.num_fds()
                    sums["threads"] += process.num_threads()
                elif process.info["name"] == "haproxy":
                    sums["proxy_mb"] += process.memory_info().rss / 1e6
            except psutil.Error:
                continue
        held.append(sums)


if __name__ == "__main__":
    main()
