"""The rule `learned` in the scorer: when the encoder is called, how both scores are mixed, and what is said of it."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rosa_ray.bundle import open_bundle
from rosa_ray.errors import BundleError
from rosa_ray.models.gate import Gate
from rosa_ray.serving.api import Explanation, RankRequest
from rosa_ray.serving.app import build_application
from rosa_ray.serving.candidate_scorer import CandidateScorer
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.hybrid_scorer import HybridScorer
from rosa_ray.serving.messages import Encoded, EncodeQuery
from rosa_ray.serving.telemetry import Telemetry
from tests.serving.conftest import NOW_US, World, client_of
from tests.serving.test_degraded import Broken, Late
from tests.serving.test_events import event

REQUEST = RankRequest(user_id="u1", top_k=30, explain=True)


class Heard(Telemetry):
    def __init__(self) -> None:
        self.decisions: list[tuple[float, str, float]] = []

    def decided(self, offline_weight: float, cause: str, load: float) -> None:
        self.decisions.append((offline_weight, cause, load))


class Counted:
    """An encoder that counts its calls."""

    def __init__(self, scorer: HybridScorer) -> None:
        self._encoder, self.calls = scorer.encoder, 0

    async def encode(self, query: EncodeQuery) -> Encoded:
        self.calls += 1
        return await self._encoder.encode(query)

    async def describe(self) -> dict:
        return {}


def a_gate(threshold: float, mixes: bool = True) -> Gate:
    torch.manual_seed(2)
    gate = Gate()
    gate.threshold, gate.mixes = threshold, mixes
    return gate


def learned(world: World, store_path: Path, gate: Gate, telemetry: Telemetry | None = None, **serving: object):
    plain = world.scorer(store_path)
    config = ServingConfig(rule="learned", **serving)
    model = replace(plain.model, gate=gate)
    return HybridScorer(model, plain.lookup, Counted(plain), config, telemetry, lambda: NOW_US)


def rank(scorer: HybridScorer, request: RankRequest = REQUEST) -> dict:
    answer = asyncio.run(scorer.rank(request))
    Explanation.model_validate(answer["explanation"])
    return answer


def p_ctr(answer: dict) -> np.ndarray:
    by_ad = {ad["ad_id"]: ad["p_ctr"] for ad in answer["ads"]}
    return np.array([by_ad[ad] for ad in sorted(by_ad)])


@pytest.fixture
def with_event(world: World, store_path: Path) -> Path:
    """A store in which u1 has one event more than the stored states."""
    answer = client_of(world.scorer(store_path)).post("/events", json=event())
    assert answer.json()["accepted"] == 1
    return store_path


def test_below_the_threshold_both_scores_are_mixed_by_lambda(world: World, with_event: Path) -> None:
    offline = p_ctr(rank(world.scorer(with_event, rule="offline")))
    online = p_ctr(rank(world.scorer(with_event, rule="online")))
    assert np.abs(offline - online).max() > 1e-4
    heard = Heard()
    answer = rank(learned(world, with_event, a_gate(2.0), heard))
    weight = answer["lambda"]
    assert 0.01 < weight < 0.99
    np.testing.assert_allclose(p_ctr(answer), weight * offline + (1 - weight) * online, rtol=1e-5)
    said = answer["explanation"]
    assert (said["rule"], said["load"], said["threshold"], said["events_since"]) == ("learned", 0.0, 2.0, 1)
    assert (said["gate"], said["actions_since"]) == (weight, 1)
    assert said["encoder_ms"] > 0
    assert heard.decisions == [(weight, "gate", 0.0)]


def test_a_gate_that_does_not_mix_answers_the_online_score(world: World, with_event: Path) -> None:
    online = rank(world.scorer(with_event, rule="online"))
    answer = rank(learned(world, with_event, a_gate(2.0, mixes=False)))
    assert answer["lambda"] == 0.0
    assert answer["ads"] == online["ads"]


def test_from_the_threshold_on_the_encoder_is_not_called(world: World, with_event: Path) -> None:
    heard = Heard()
    scorer = learned(world, with_event, a_gate(0.0), heard)
    answer = rank(scorer)
    assert scorer.encoder.calls == 0
    assert (answer["lambda"], answer["degraded"], answer["explanation"]["encoder_ms"]) == (1.0, [], None)
    np.testing.assert_array_equal(p_ctr(answer), p_ctr(rank(world.scorer(with_event, rule="offline"))))
    assert heard.decisions == [(1.0, "gate", 0.0)]


def test_requests_at_the_same_time_are_load(world: World, with_event: Path) -> None:
    heard = Heard()
    scorer = learned(world, with_event, a_gate(2.0), heard, max_ongoing_requests=5)

    async def together() -> None:
        await asyncio.gather(*(scorer.rank(REQUEST) for _ in range(5)))

    asyncio.run(together())
    assert max(load for _, _, load in heard.decisions) == 1.0


@pytest.mark.parametrize("encoder", [Late(), Broken()])
def test_a_late_encoder_gives_the_offline_score_and_raises_the_load(
    world: World, with_event: Path, encoder: object
) -> None:
    heard = Heard()
    scorer = learned(world, with_event, a_gate(2.0), heard, encoder_deadline_ms=30)
    scorer.encoder = encoder
    first, second = rank(scorer), rank(scorer)
    assert (first["lambda"], first["degraded"]) == (1.0, ["encoder"])
    assert "encoder did not answer" in first["explanation"]["reason"]
    assert 0 < first["explanation"]["gate"] < 1
    np.testing.assert_array_equal(p_ctr(first), p_ctr(rank(world.scorer(with_event, rule="offline"))))
    assert heard.decisions[0] == (1.0, "encoder_failed", 0.0)
    assert second["explanation"]["load"] == pytest.approx(0.2, abs=0.02)


def test_without_states_or_without_news_the_gate_is_not_asked(world: World, store_path: Path) -> None:
    scorer = learned(world, store_path, a_gate(0.0))
    nothing_new = rank(scorer)
    assert (nothing_new["lambda"], nothing_new["explanation"]["gate"]) == (1.0, None)
    client_of(world.scorer(store_path)).post("/events", json=event(user_id="newcomer"))
    newcomer = rank(scorer, RankRequest(user_id="newcomer", explain=True))
    assert (newcomer["lambda"], newcomer["explanation"]["gate"]) == (0.0, None)
    assert scorer.encoder.calls == 1


def test_a_bundle_without_gate_is_refused(world: World, store_path: Path) -> None:
    assert open_bundle(world.bundle).gate is None
    with pytest.raises(BundleError, match=r"has no gate, which serving\.rule=learned needs"):
        world.scorer(store_path, rule="learned")
    with pytest.raises(BundleError, match=r"has no gate, which serving\.rule=learned needs"):
        build_application(world.settings(store_path, rule="learned"))


def test_two_histories_in_one_batch_score_as_each_alone(world: World, with_event: Path) -> None:
    scorer = world.scorer(with_event)
    seen: list[tuple] = []
    score = scorer._scorer.score

    async def spied(*arguments: object) -> list:
        seen.append(arguments)
        return await score(*arguments)

    scorer._scorer.score = spied
    for rule in ("offline", "online"):
        object.__setattr__(scorer.config, "rule", rule)
        asyncio.run(scorer.rank(REQUEST))
    histories, candidates, dense = [seen[0][0][0], seen[1][0][0]], seen[0][1], seen[0][2]
    both = CandidateScorer(scorer.model, 1).score_now([*histories, scorer._scorer.empty_history()], candidates, dense)
    for one, history in zip(both, [*histories, scorer._scorer.empty_history()], strict=True):
        (alone,) = CandidateScorer(scorer.model, 1).score_now([history], candidates, dense)
        for name in ("p_ctr", "p_cvr", "value"):
            np.testing.assert_allclose(getattr(one, name), getattr(alone, name), rtol=1e-5)
