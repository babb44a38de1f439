"""The request that a replica ranks before it is ready: what a check of files cannot see."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rosa_ray.errors import BundleError
from rosa_ray.serving.app import rehearse
from rosa_ray.serving.assembly import build_warm_up, load_pinned
from rosa_ray.serving.hybrid_scorer import HybridScorer
from rosa_ray.serving.offline_weight import LoadMeter
from rosa_ray.serving.warm_up import read_ahead
from tests.serving.conftest import World
from tests.serving.test_lookup import lookup_of, query_of


class Counting(LoadMeter):
    """Counts the requests that it meters."""

    requests = 0

    def request(self):
        self.requests += 1
        return super().request()


@pytest.mark.parametrize("rule", ["fresh", "offline", "online"])
def test_a_sound_model_ranks_and_is_not_counted(world: World, store_path: Path, rule: str) -> None:
    scorer = world.scorer(store_path, rule=rule)
    scorer._meter = Counting(1, 1)
    asyncio.run(build_warm_up(world.settings(store_path, rule=rule), scorer).run())
    assert scorer._meter.requests == 0


def test_a_store_that_is_down_does_not_matter(world: World) -> None:
    scorer = world.scorer(Path("/nowhere/store.db"))
    asyncio.run(build_warm_up(world.settings(Path("/nowhere/store.db")), scorer).run())
    assert scorer.config.lookup_deadline_ms < 60_000


@pytest.mark.parametrize("head", ["p_ctr", "p_cvr", "value"])
def test_a_number_that_is_none_is_refused(
    world: World, scorer: HybridScorer, monkeypatch: pytest.MonkeyPatch, head: str, store_path: Path
) -> None:
    plain = scorer._scorer.score_now

    def broken(*arguments: object) -> list:
        (scores,) = plain(*arguments)
        getattr(scores, head)[-1] = np.nan
        return [scores]

    monkeypatch.setattr(scorer._scorer, "score_now", broken)
    warm_up = build_warm_up(world.settings(store_path), scorer)
    with pytest.raises(BundleError, match=r"a request cannot be ranked: .*NaN"):
        asyncio.run(warm_up.run())


def test_an_encoder_that_fails_is_refused(world: World, scorer: HybridScorer, store_path: Path) -> None:
    warm_up = build_warm_up(world.settings(store_path), scorer)

    async def fail(query: object) -> None:
        raise RuntimeError("no kernel")

    warm_up._scorer.encoder.encode = fail
    with pytest.raises(BundleError, match="a request is ranked without encoder"):
        asyncio.run(warm_up.run())


def test_a_scorer_that_fails_is_refused_with_its_words(
    world: World, scorer: HybridScorer, monkeypatch: pytest.MonkeyPatch, store_path: Path
) -> None:
    def broken(*arguments: object) -> None:
        raise ValueError("shapes differ")

    monkeypatch.setattr(scorer._scorer, "score_now", broken)
    with pytest.raises(BundleError, match="a request cannot be ranked: ValueError: shapes differ"):
        asyncio.run(build_warm_up(world.settings(store_path), scorer).run())


def test_another_model_than_the_pinned_one_is_refused(world: World, store_path: Path) -> None:
    settings = world.settings(store_path).pinned()
    assert settings.model_version == world.model.version
    assert Path(settings.bundle).parent.name == "bundles"
    assert load_pinned(settings).version == world.model.version
    rehearse(settings)
    with pytest.raises(BundleError, match=f"no bundle of model other is kept there; it has {world.model.version}"):
        load_pinned(replace(settings, model_version="other"))


def test_counters_are_read_before_the_first_request(world: World, store_path: Path) -> None:
    scorer, asked = world.scorer(store_path), list[str]()
    lookup = scorer.lookup = lookup_of(world, store_path, {"read_counters": lambda: asked.append("counters")})
    assert asyncio.run(read_ahead(scorer))
    read = len(asked)
    assert read
    assert asyncio.run(lookup.read(query_of(world, "u1"))).degraded == ()
    assert len(asked) == read


def test_counters_too_slow_are_left_for_later(world: World, store_path: Path) -> None:
    scorer = world.scorer(store_path)
    waits = {"read_counters": lambda: time.sleep(0.3)}
    scorer.lookup = lookup_of(world, store_path, waits, lookup_deadline_ms=100)
    started_s = time.monotonic()
    assert not asyncio.run(read_ahead(scorer, patience_s=0.2))
    assert time.monotonic() - started_s < 2


def test_a_store_that_is_missing_is_not_waited_for(world: World, tmp_path: Path) -> None:
    scorer, started_s = world.scorer(tmp_path / "none.db"), time.monotonic()
    assert not asyncio.run(read_ahead(scorer))
    assert time.monotonic() - started_s < 2
