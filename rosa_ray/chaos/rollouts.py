"""Changing a running service: another bundle through the door that a user has."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from rosa_ray.chaos import processes
from rosa_ray.chaos.live import Live
from rosa_ray.chaos.service import READY, RosaProcess

DEPLOY_LIMIT_S = 120.0


@dataclass(frozen=True)
class Deployed:
    """What became of a deployment.

    Attributes:
        ok: the new version answers.
        said: the last line.
        seconds: until one or the other was known.
    """

    ok: bool
    said: str
    seconds: float


def run_of(live: Live, name: str) -> Path:
    """Directory of a run beside the service's own, for another bundle."""
    place = live.scratch / name
    place.mkdir(parents=True, exist_ok=True)
    if not (place / "data").exists():
        (place / "data").symlink_to(Path(live.copy.data.data.root).absolute())
    return place


def variant(live: Live, name: str) -> Path:
    """A run beside the service's own with a copy of its bundle, to be spoiled."""
    place = run_of(live, name)
    shutil.copytree(live.copy.bundle, place / "bundle")
    return place


def deploy(live: Live, run_dir: Path, **settings: object) -> Deployed:
    """Deploy a run's bundle in the place of what the service serves, as a user does on a cluster that runs."""
    began_s = time.monotonic()
    process = _command(live, run_dir, "serve", **settings)
    known = processes.wait_until(lambda: READY.search(process.text) is not None or not process.running, DEPLOY_LIMIT_S)
    ok = READY.search(process.text) is not None
    said = process.last_line() if known else f"neither ready nor refused after {DEPLOY_LIMIT_S:g} s"
    seconds = time.monotonic() - began_s
    process.end(20.0)
    return Deployed(ok, said, seconds)


def materialize(live: Live, run_dir: Path, limit_s: float = 150.0) -> Deployed:
    """Fill the service's store for a run's bundle while it serves."""
    began_s = time.monotonic()
    process = _command(live, run_dir, "materialize")
    code = process.wait(limit_s)
    process.end(5.0)
    return Deployed(code == 0, process.last_line(), time.monotonic() - began_s)


def _command(live: Live, run_dir: Path, verb: str, **settings: object) -> RosaProcess:
    options: dict[str, object] = {
        "run_dir": run_dir,
        "ray__address": live.service.ray_address,
        "serving__port": live.service.port,
        "serving__fused": live.settings.serving.fused,
        "store__kind": live.settings.store.kind,
        "store__path": live.settings.store.path,
        "store__url": live.settings.store.url,
        "store__namespace": live.settings.store.namespace,
    }
    name = f"{verb}-{len(live.cleanups)}"
    return live.start(live.command(verb, **{**options, **settings}), name, live.service.ray_environment)
