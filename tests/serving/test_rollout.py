"""A model is replaced while requests come in, and none is lost; what cannot serve replaces nothing."""

import itertools
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest
from safetensors.torch import load, save

from rosa_ray.bundle import pinned
from rosa_ray.errors import BundleError, ServingError, StoreError
from rosa_ray.schema.pseudonyms import PrivacyConfig
from rosa_ray.serving import rollout
from rosa_ray.serving.assembly import ServiceSettings
from rosa_ray.serving.deployed import current_settings, former_settings
from rosa_ray.serving.rollout import require_states, roll_out
from rosa_ray.serving.server import APPLICATION, running
from tests.serving.conftest import World, write_refit, write_world_bundle

NEW_EVENT = {"item_id": "i1", "behavior": "view"}


@pytest.fixture
def run(world: World, store_path: Path, tmp_path: Path) -> tuple[Path, ServiceSettings]:
    """A run of its own, whose bundle is the world's, and the settings of its service."""
    home = tmp_path / "run"
    home.mkdir()
    write_world_bundle(home, world.features, users=world.users)
    return home, replace(world.settings(store_path, port=0, cpus_per_replica=0.1), bundle=str(home / "bundle"))


@dataclass
class Load:
    """Callers that rank and post events all the time, with connections that stay open."""

    url: str
    callers: int = 4
    seen: Counter[tuple[str, str, tuple[str, ...]]] = field(default_factory=Counter)

    def __enter__(self) -> "Load":
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(place,)) for place in range(self.callers)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _call(self, place: int) -> None:
        with httpx.Client(base_url=self.url, timeout=20, trust_env=False) as client:
            for turn in itertools.count():
                if self._over.wait(0.1):
                    return
                user = f"u{turn % 20}"
                self.seen[self._post(client, user) if turn % 8 == place else self._rank(client, user)] += 1

    def _rank(self, client: httpx.Client, user: str) -> tuple[str, str, tuple[str, ...]]:
        try:
            answer = client.post("/rank", json={"user_id": user, "top_k": 3})
        except httpx.TransportError as error:
            return type(error).__name__, "", ()
        told = answer.json() if answer.status_code == 200 else {}
        return str(answer.status_code), told.get("model_version", ""), tuple(told.get("degraded", ()))

    def _post(self, client: httpx.Client, user: str) -> tuple[str, str, tuple[str, ...]]:
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        body = {**NEW_EVENT, "event_id": f"{user}-{time.monotonic_ns()}", "user_id": user, "event_time": moment}
        try:
            answer = client.post("/events", json=body)
        except httpx.TransportError as error:
            return type(error).__name__, "", ()
        accepted = answer.json()["accepted"] if answer.status_code == 200 else 0
        return str(answer.status_code), f"{accepted} accepted", ()


@pytest.mark.integration
@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("fused", [True, pytest.param(False, marks=pytest.mark.nightly)])
def test_a_refit_and_the_way_back_lose_no_request(world: World, run: tuple[Path, ServiceSettings], fused: bool) -> None:
    home, settings = run
    # Replicas that start take the cores from those that answer, longer than production's deadline on a busy machine.
    patient = replace(settings.serving, fused=fused, encoder_deadline_ms=4000, lookup_deadline_ms=4000)
    settings = replace(settings, serving=patient)
    told: list[str] = []
    with running(settings) as service, Load(service.url) as load:
        former = service.model_version
        later = write_refit(world, home, Path(settings.store.path), seed=12)
        there = roll_out(settings, 120, told.append)
        assert (there.former, there.model_version) == (former, later)
        assert (there.failed, there.degraded) == (0, 0)
        assert there.asked > 5
        previous = former_settings(APPLICATION)
        assert previous is not None
        assert previous.model_version == former
        back = roll_out(replace(settings, model_version=former), 120, told.append)
        assert (back.former, back.model_version, back.failed, back.degraded) == (later, former, 0, 0)
        again = roll_out(replace(settings, model_version=former), 120, told.append)
        assert again.seconds == 0
    assert set(load.seen) == {("200", former, ()), ("200", later, ()), ("200", "1 accepted", ())}
    assert min(load.seen.values()) > 10
    assert told[-1] == f"model {former} serves already, with these settings"


@pytest.mark.integration
@pytest.mark.usefixtures("ray_cluster")
def test_what_cannot_serve_replaces_nothing(world: World, run: tuple[Path, ServiceSettings]) -> None:
    home, settings = run
    told: list[str] = []
    with running(settings) as service, Load(service.url) as load:
        former = service.model_version
        with pytest.raises(BundleError, match="no bundle of model 0 is kept there"):
            roll_out(replace(settings, model_version="0"), 60)
        unmaterialised = str(write_world_bundle(home, world.features, seed=12, users=world.users))
        with pytest.raises(StoreError, match=r"it holds no states of model \w+; run `rosa materialize` first"):
            roll_out(replace(settings, bundle=unmaterialised), 60)
        assert told == []

        later = write_refit(world, home, Path(settings.store.path), seed=13)
        keyless = replace(settings, privacy=PrivacyConfig(user_key_secret_env="ROSA_NO_SUCH_KEY"))
        with pytest.raises(ServingError, match=f"model {former} serves again: .*ROSA_NO_SUCH_KEY") as caught:
            roll_out(keyless, 120, told.append)
        assert len(str(caught.value)) < 400
        assert told[-1] == f"the new replicas did not come up; back to model {former}"
        noted = current_settings(APPLICATION)
        assert noted is not None
        assert noted.model_version == former
        assert roll_out(settings, 120, told.append).model_version == later
    assert {kind for kind in load.seen if kind[1] in (former, later)} == {("200", former, ()), ("200", later, ())}
    assert {status for status, _, _ in load.seen} == {"200"}


def test_without_a_service_that_is_said(monkeypatch: pytest.MonkeyPatch, run: tuple[Path, ServiceSettings]) -> None:
    monkeypatch.setattr(rollout, "has_serve", lambda: False)
    with pytest.raises(ServingError, match=r"no application 'rosa' is served on this cluster; start it with `rosa"):
        roll_out(run[1])


def test_states_of_another_model_are_not_its_own(world: World, run: tuple[Path, ServiceSettings]) -> None:
    home, settings = run
    require_states(settings.pinned())
    later = write_world_bundle(home, world.features, seed=12, users=world.users)
    with pytest.raises(StoreError, match="it holds no states of model"):
        require_states(replace(settings, bundle=str(later)).pinned())
    write_refit(world, home, Path(settings.store.path), seed=12)
    require_states(replace(settings, bundle=str(later)).pinned())
    with pytest.raises(StoreError):
        require_states(replace(settings, store=replace(settings.store, path="/nowhere/store.db")))


def test_a_model_of_nan_is_refused_before_anything_is_replaced(
    world: World, run: tuple[Path, ServiceSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, settings = run

    def broken(weights: dict) -> bytes:
        content = load(save({name: tensor.detach().clone() for name, tensor in weights.items()}))
        content["heads.ctr.weight"].view(-1)[0] = float("nan")
        return save(content)

    monkeypatch.setattr("rosa_ray.bundle.writer._serialise_weights", broken)
    write_world_bundle(home, world.features, seed=14)
    from rosa_ray.serving.app import rehearse

    with pytest.raises(BundleError, match="hold NaN or infinity"):
        rehearse(replace(settings, bundle=pinned(settings.bundle)))
