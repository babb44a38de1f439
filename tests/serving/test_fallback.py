"""While a part in another process is dead, late or of another model, the one here answers the same, undegraded."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rosa_ray.errors import OverloadError, StoreError
from rosa_ray.serving.api import RankRequest
from rosa_ray.serving.assembly import build_encoder, build_lookup, build_scorer
from rosa_ray.serving.fallback import EncoderWithFallback, LookupWithFallback
from rosa_ray.serving.hybrid_scorer import HybridScorer
from rosa_ray.serving.messages import Encoded
from tests.serving.conftest import NOW_US, World, client_of
from tests.serving.test_events import event


class Remote:
    """Another process's part, whose methods may be replaced, and which counts its calls."""

    def __init__(self, part: Any, **instead: Callable[..., Any]) -> None:
        self.part, self.instead = part, instead
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = self.instead.get(name) or getattr(self.part, name)

        async def called(*arguments: Any) -> Any:
            self.calls.append(name)
            return await method(*arguments)

        return called


async def dead(*arguments: Any) -> Any:
    raise RuntimeError("the actor died")


async def late(*arguments: Any) -> Any:
    await asyncio.sleep(60)


async def full(*arguments: Any) -> Any:
    raise OverloadError("busy")


async def of_other_features(*arguments: Any) -> Any:
    raise StoreError("feature lookup computes features a, the model needs b")


async def of_another_model(*arguments: Any) -> Encoded:
    return Encoded("another", np.zeros((1, 16), np.float32))


def scorer_of(world: World, store: Path, lookup: Any = None, encoder: Any = None, **serving: Any) -> HybridScorer:
    scorer = build_scorer(world.settings(store, **serving), lookup, encoder)
    scorer.now_us = lambda: NOW_US
    return scorer


def rank(scorer: HybridScorer, user: str = "u1") -> dict[str, Any]:
    return asyncio.run(scorer.rank(RankRequest(user_id=user, top_k=30)))


def lookup_of(world: World, store: Path, **instead: Callable[..., Any]) -> Remote:
    return Remote(build_lookup(world.settings(store), world.model), **instead)


@pytest.mark.parametrize("encode", [dead, late, full, of_another_model])
def test_an_encoder_that_cannot_be_used_is_stood_in_for_exactly(
    world: World, store_path: Path, encode: Callable[..., Any]
) -> None:
    whole = rank(world.scorer(store_path, rule="online"))
    remote = Remote(build_encoder(world.settings(store_path), world.model), encode=encode)
    scorer = scorer_of(world, store_path, None, remote, rule="online", encoder_deadline_ms=2000)
    assert isinstance(scorer.encoder, EncoderWithFallback)
    answer = rank(scorer)
    assert (answer["degraded"], answer["lambda"]) == ([], 0.0)
    assert answer["ads"] == whole["ads"]


@pytest.mark.parametrize("read", [dead, late, full, of_other_features])
def test_a_lookup_that_cannot_be_used_is_stood_in_for_exactly(
    world: World, store_path: Path, read: Callable[..., Any]
) -> None:
    whole, remote = rank(world.scorer(store_path)), lookup_of(world, store_path, read=read)
    local, config = build_lookup(world.settings(store_path), world.model), world.settings(store_path).serving
    scorer = world.scorer(store_path)
    scorer.lookup = LookupWithFallback(remote, local, replace(config, lookup_deadline_ms=400))
    answer = rank(scorer)
    assert answer["degraded"] == []
    assert answer["ads"] == whole["ads"]
    assert remote.calls == ["read"]


def test_a_degraded_answer_of_the_other_is_asked_for_here(world: World, store_path: Path, tmp_path: Path) -> None:
    blind = lookup_of(world, tmp_path / "none.db")
    local, config = build_lookup(world.settings(store_path), world.model), world.settings(store_path).serving
    scorer = world.scorer(store_path)
    scorer.lookup = LookupWithFallback(blind, local, config)
    assert rank(scorer)["degraded"] == []


def test_a_part_that_failed_is_left_alone_for_a_while(world: World, store_path: Path) -> None:
    remote = Remote(build_encoder(world.settings(store_path), world.model), encode=dead)
    scorer = scorer_of(world, store_path, None, remote, rule="online", store_retry_s=3600.0)
    for user in ("u1", "u2", "u3"):
        assert rank(scorer, user)["degraded"] == []
    assert remote.calls == ["encode"]


def test_a_part_that_answers_is_the_one_that_is_used(world: World, store_path: Path) -> None:
    encoder = Remote(build_encoder(world.settings(store_path), world.model))
    scorer = scorer_of(world, store_path, None, encoder, rule="online")
    assert rank(scorer)["degraded"] == []
    assert encoder.calls == ["encode"]


def test_files_are_read_here_and_written_there(world: World, store_path: Path) -> None:
    remote = lookup_of(world, store_path)
    client = client_of(scorer_of(world, store_path, remote))
    assert client.post("/rank", json={"user_id": "newcomer"}).json()["user_known"] is False
    assert client.post("/events", json=event(user_id="newcomer")).json()["accepted"] == 1
    assert client.post("/rank", json={"user_id": "newcomer"}).json()["user_known"] is True
    assert remote.calls == ["write"]


def test_a_dead_writer_is_stood_in_for_and_repetitions_count_once(world: World, store_path: Path) -> None:
    dying = lookup_of(world, store_path)
    store_it = dying.part.write

    async def stored_but_not_said(*arguments: Any) -> Any:
        await store_it(*arguments)
        raise RuntimeError("the actor died")

    dying.instead["write"] = stored_but_not_said
    client = client_of(scorer_of(world, store_path, dying))
    answer = client.post("/events", json=event(user_id="newcomer")).json()
    assert (answer["accepted"], answer["duplicates"], answer["rejected"]) == (0, 1, [])


@pytest.mark.parametrize("write", [full, of_other_features])
def test_a_write_that_the_store_refused_is_not_tried_again_here(
    world: World, store_path: Path, write: Callable[..., Any]
) -> None:
    remote = lookup_of(world, store_path, write=write)
    client = client_of(scorer_of(world, store_path, remote))
    assert client.post("/events", json=event()).status_code == 503
    assert remote.calls == ["write"]


def test_readiness_names_the_part_that_does_not_answer(world: World, store_path: Path) -> None:
    lookup = lookup_of(world, store_path)
    encoder = Remote(build_encoder(world.settings(store_path), world.model), describe=dead)
    ready = client_of(scorer_of(world, store_path, lookup, encoder)).get("/readyz")
    assert ready.status_code == 200
    assert "other" not in ready.json()["store"]
    assert ready.json()["encoder"]["other"] == "does not answer, this process stands in: the actor died"
