"""Replaces the model of a running service: verified first, replica by replica, and back where it fails."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import httpx
import ray
from ray import serve

from rosa_ray.errors import BundleError, ServingError, StoreError
from rosa_ray.serving.app import build_application, rehearse
from rosa_ray.serving.assembly import ServiceSettings, build_lookup, load_pinned
from rosa_ray.serving.client import RankingClient
from rosa_ray.serving.deployed import current_settings, remember
from rosa_ray.serving.door import require_own_door, with_instance
from rosa_ray.serving.server import APPLICATION, deploy, has_serve, idle_settings, running_url, wait_until_running

ASK_PERIOD_S = 0.2
READY_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Rollout:
    """What became of a rollout.

    Attributes:
        former: version of the model that served before.
        model_version: of the model that serves now.
        seconds: from the deployment until every answer was of the new replicas; 0 where nothing was replaced.
        asked: rankings that were asked for meanwhile, one after another.
        failed: of them, not answered 200.
        degraded: of them, ranked without a part.
    """

    former: str
    model_version: str
    seconds: float
    asked: int = 0
    failed: int = 0
    degraded: int = 0


def roll_out(
    settings: ServiceSettings,
    timeout_s: float = 600.0,
    tell: Callable[[str], None] = print,
    name: str = APPLICATION,
) -> Rollout:
    """Replace what an application serves, and wait until it is done.

    Nothing is replaced before the new model was loaded here and has ranked an invented request, and before the store
    holds its states. A replica of the new version is ready before one of the old version ends. Where the new ones
    do not come up, the old settings are deployed again.

    Args:
        settings: what to serve; `model_version` names one of the kept bundles, empty takes the current one.
        timeout_s: in which all replicas must be replaced.
        tell: takes a line of progress.

    Raises:
        BundleError: the model cannot be loaded, cannot rank, or is not kept.
        StoreError: the store cannot be read, or holds no states of the model.
        ServingError: there is no service, or its replicas did not come up; the former model serves.
    """
    url = _require_service(name)
    with RankingClient(url) as client:
        ready = client.wait_until_ready(READY_TIMEOUT_S)
    former = str(ready["model_version"])
    target, before = settings.absolute().pinned(), _settings_now(name, ready, settings)
    if before is not None and target == replace(before, instance=""):
        tell(f"model {former} serves already, with these settings")
        return Rollout(former, former, 0.0)
    target = with_instance(target)
    rehearse(target)
    require_states(target)
    tell(f"model {target.model_version} is whole, ranks, and has its states in the store; {former} serves")
    for note in (*idle_settings(target.serving), *_lacking_room(target)):
        tell(note)
    started_s = time.monotonic()
    with Watcher(url) as watcher:
        try:
            _replace(target, url, name, timeout_s)
        except ServingError as error:
            raise ServingError(_go_back(before, former, url, name, timeout_s, tell, error)) from error
    remember(name, target)
    return Rollout(former, target.model_version, time.monotonic() - started_s, **watcher.figures())


def require_states(settings: ServiceSettings) -> None:
    """Refuse a model whose states the store does not hold: every user would have to be encoded at each request.

    Raises:
        StoreError: the store cannot be read, or holds no states of the model.
    """
    model = load_pinned(settings)
    condition = asyncio.run(build_lookup(settings, model).describe())
    if model.keeps_states and condition["model_version"] != model.version:
        raise StoreError(
            f"store {settings.store.path if settings.store.kind == 'sqlite' else settings.store.kind}: it holds no "
            f"states of model {model.version}; run `rosa materialize` first"
        )


def _require_service(name: str) -> str:
    if not has_serve() or name not in serve.status().applications:
        raise ServingError(f"no application '{name}' is served on this cluster; start it with `rosa serve`")
    return running_url()


def _settings_now(name: str, ready: dict[str, Any], wanted: ServiceSettings) -> ServiceSettings | None:
    """What serves now: as it was deployed, or the wanted settings with that model; None where it is not kept."""
    noted = current_settings(name)
    if noted is not None and noted.instance == ready.get("instance", ""):
        return noted
    try:
        return replace(wanted.absolute(), model_version=str(ready["model_version"])).pinned()
    except BundleError:
        return None


def _lacking_room(settings: ServiceSettings) -> tuple[str, ...]:
    free, wanted = float(ray.available_resources().get("CPU", 0.0)), settings.serving.cpus_per_replica
    if free >= wanted:
        return ()
    return (
        f"{free:g} CPUs of the cluster are free, and a new replica takes {wanted:g}: it waits for a node, or for one "
        "of the replicas that came with the load to end; lower serving.max_replicas",
    )


def _replace(settings: ServiceSettings, url: str, name: str, timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    deploy(build_application(settings), name)
    wait_until_running(name, deadline_s)
    require_own_door(url, settings.instance, max(deadline_s - time.monotonic(), 1.0))


def _go_back(
    before: ServiceSettings | None,
    former: str,
    url: str,
    name: str,
    timeout_s: float,
    tell: Callable[[str], None],
    error: ServingError,
) -> str:
    """Deploy again what served before; returns what happened, in words."""
    if before is None:
        return f"{error}; model {former} is not kept, so that its replicas stay as they are; deploy another one"
    tell(f"the new replicas did not come up; back to model {former}")
    try:
        _replace(before, url, name, timeout_s)
    except ServingError as second:
        return f"{error}; and model {former} did not come back: {second}"
    return f"model {former} serves again: {error}"


class Watcher:
    """Asks for one ranking after another while the block runs, as a caller does, and counts what came back."""

    def __init__(self, url: str) -> None:
        self._url, self._over = url, threading.Event()
        self._counts: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def figures(self) -> dict[str, int]:
        """How many were `asked`, `failed` and `degraded`."""
        return {name: self._counts[name] for name in ("asked", "failed", "degraded")}

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=10.0, trust_env=False) as client:
            while not self._over.wait(ASK_PERIOD_S):
                self._counts["asked"] += 1
                self._counts.update(_fate(client))


def _fate(client: httpx.Client) -> list[str]:
    try:
        answer = client.post("/rank", json={"user_id": None, "top_k": 1})
    except httpx.HTTPError:
        return ["failed"]
    if answer.status_code != 200:
        return ["failed"]
    return ["degraded"] if answer.json()["degraded"] else []
