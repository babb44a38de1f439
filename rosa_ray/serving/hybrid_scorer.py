"""The hybrid scorer: one ranking request from body to answer.

A request costs one call to the lookup, and one to the encoder when λ < 1. Both may fail or be late: the request goes on
with what is left, and its answer names what was missing.
"""

import asyncio
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.errors import ConfigError, OverloadError, ServingError
from rosa_ray.features.live_catalogue import LiveCatalogue
from rosa_ray.features.own import given_columns
from rosa_ray.metrics import Ranking, chosen_score
from rosa_ray.records.clock import NOW_US
from rosa_ray.records.own_values import Value, as_declared
from rosa_ray.schema import hash_id
from rosa_ray.schema.own_columns import REQUEST
from rosa_ray.schema.pseudonyms import Pseudonyms
from rosa_ray.serving.answer import answer_fields
from rosa_ray.serving.api import Problem, RankRequest, to_us
from rosa_ray.serving.candidate_scorer import CandidateScorer, History, Scores
from rosa_ray.serving.candidates import Candidates, choose
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.first_pass import FirstPass
from rosa_ray.serving.live_ads import LiveAds
from rosa_ray.serving.messages import EncodeQuery, EncoderPort, FeatureQuery, Features, LookupPort, OfflineStates
from rosa_ray.serving.model import ServedModel
from rosa_ray.serving.offline_weight import (
    Decision,
    Freshness,
    LoadMeter,
    check_rule,
    check_states,
    decide,
    explanation_of,
    freshness_of,
    read_whole,
)
from rosa_ray.serving.policy import ServedPolicy, audience_of, slate_of
from rosa_ray.serving.request_counters import asked_columns
from rosa_ray.serving.request_features import candidate_columns, cold_start_features
from rosa_ray.serving.telemetry import Telemetry
from rosa_ray.units import SECOND_US


@dataclass
class _Trace:
    """What one request met on its way; `late` once the encoder had no time for it."""

    degraded: list[str] = field(default_factory=list)
    late: bool = False
    elapsed_ms: dict[str, float] = field(default_factory=dict)

    def stop(self, name: str, started_s: float) -> None:
        self.elapsed_ms[name] = round((time.perf_counter() - started_s) * 1000, 3)


class HybridScorer:
    """Ranks ads by a mix of the score from stored states and the score from a fresh encoding.

    Args:
        now_us: the clock, microseconds UTC.
        ads: what follows the changes of ads; None serves those of the bundle.

    Raises:
        BundleError: the model's bundle cannot follow `config.rule`.
        ConfigError: the log that the model learned from cannot teach `config.score`, or a step of `config.policy` needs
            another score.
    """

    def __init__(
        self,
        model: ServedModel,
        lookup: LookupPort,
        encoder: EncoderPort,
        config: ServingConfig,
        telemetry: Telemetry | None = None,
        now_us: Callable[[], int] = NOW_US,
        pseudonyms: Pseudonyms | None = None,
        ads: LiveAds | None = None,
    ) -> None:
        if not model.keeps_states:
            check_states(config.rule, model.name, str(model.bundle.path))
        check_rule(config.rule, model.gate is not None, str(model.bundle.path))
        self.model, self.config, self.now_us = model, config, now_us
        self.ranking = _ranking_of(model, config)
        self.lookup, self.encoder, self.ads = lookup, encoder, ads
        self.first_pass = ads.first_pass if ads else open_first_pass(model, config)
        self.policy: ServedPolicy | None = None
        if config.policy:
            self.policy = ServedPolicy(config.policy, self.ranking.kind, model.features.config, ads is not None)
        if ads is not None and self.policy is not None:
            ads.watch(self.policy.follow)
        self.pseudonym = None if pseudonyms is None else pseudonyms.of
        self._asked_columns = asked_columns(model.features.config)
        self._telemetry = telemetry or Telemetry()
        self._scorer = CandidateScorer(model, config.threads)
        self._meter = LoadMeter(config.max_ongoing_requests, config.encoder_deadline_ms)

    def on_ports(
        self,
        lookup: LookupPort,
        encoder: EncoderPort,
        config: ServingConfig,
        catalogue: LiveCatalogue | None = None,
    ) -> "HybridScorer":
        """The same model in the same thread, on other ports; what it ranks is in no figure, no load and no policy.

        Args:
            catalogue: ads that stay as they are, instead of those of the store.
        """
        other = copy(self)
        if catalogue is not None:
            other.model, other.ads = replace(self.model, catalogue=catalogue), None
            other.first_pass = open_first_pass(other.model, config)
        other.lookup, other.encoder, other.config, other.policy = lookup, encoder, config, None
        other._telemetry = Telemetry()
        other._meter = LoadMeter(config.max_ongoing_requests, config.encoder_deadline_ms)
        return other

    async def rank(self, request: RankRequest, request_id: str = "") -> dict[str, Any]:
        """Answer one request, as the fields of `rosa_ray.serving.api.RankResponse`.

        Raises:
            Problem: the request is for no ad that can be ranked, for too many, or for the future; or there was no
                time for it, and a ranking without the user's history would be all that is left.
        """
        with self._meter.request():
            return await self._rank(request, request_id)

    async def _rank(self, request: RankRequest, request_id: str) -> dict[str, Any]:
        started_s, trace = time.perf_counter(), _Trace()
        time_us, said = self._request_time(request), self._given(request)
        chosen = choose(self.model.catalogue, self.first_pass, request, time_us, self.config.max_candidates)
        given = given_columns(said, len(chosen.bid), self.model.features.config.columns)
        query = FeatureQuery(
            self._user_key(request.user_id),
            time_us,
            chosen.ads["ad_key"],
            chosen.bid,
            self.model.bundle.feature_fingerprint,
            self._counted_by(request, given, len(chosen.bid)),
            chosen.keys,
        )
        if self.ads is not None and self.ads.stale:
            trace.degraded.append("ads")
        features = await self._read(query, trace)
        freshness, load = freshness_of(features.events, self._usable(features), time_us), self._meter.load()
        decided = self._decide(freshness, load)
        scores, decision = await self._score(request, given, query, chosen, features, decided, trace)
        answer = self._answer(request, request_id, query, chosen, features, scores)
        answer |= {"request_id": request_id, "lambda": decision.offline_weight, "degraded": trace.degraded}
        if request.explain:
            answer["explanation"] = explanation_of(self.config.rule, freshness, load, decision, trace.elapsed_ms)
        self._telemetry.decided(decision.offline_weight, decision.cause, load)
        self._telemetry.ranked(
            time.perf_counter() - started_s, len(chosen.bid), decision.offline_weight, trace.degraded
        )
        return answer

    def _decide(self, freshness: Freshness, load: float) -> Decision:
        if not self.model.keeps_states:
            return read_whole(self.model.name)
        return decide(self.config.rule, freshness, load, self.model.gate)

    def _user_key(self, user_id: str | None) -> int:
        return hash_id(user_id if user_id is None or self.pseudonym is None else self.pseudonym(user_id))

    def _request_time(self, request: RankRequest) -> int:
        now_us = self.now_us()
        if request.context.time is None:
            return now_us
        time_us = to_us(request.context.time)
        if time_us > now_us + self.config.max_future_s * SECOND_US:
            raise Problem(422, f"context.time is more than {self.config.max_future_s} s ahead of the server's clock")
        return time_us

    async def _read(self, query: FeatureQuery, trace: _Trace) -> Features:
        started_s = time.perf_counter()
        try:
            async with asyncio.timeout(self.config.lookup_deadline_ms / 1000):
                features = await self.lookup.read(query)
        except (TimeoutError, OverloadError) as error:
            self._telemetry.failed("lookup", error)
            raise self._busy() from error
        except Exception as error:
            self._telemetry.failed("store", error)
            features = cold_start_features(query, self.model.features.config)
            trace.degraded.append("store")
        trace.degraded += features.degraded
        trace.stop("lookup_ms", started_s)
        return features

    def _busy(self) -> Problem:
        """The answer to a request there was no time for: no ranking, rather than one as of an unknown user."""
        return Problem(503, "the service has more requests than it can answer; try again", self.config.retry_after_s)

    def _usable(self, features: Features) -> OfflineStates | None:
        offline = features.offline
        if offline is None or offline.model_version != self.model.version or not self.model.keeps_states:
            return None
        return offline if offline.states.shape[1] == self.model.states.width else None

    async def _score(
        self,
        request: RankRequest,
        given: Columns,
        query: FeatureQuery,
        chosen: Candidates,
        features: Features,
        decision: Decision,
        trace: _Trace,
    ) -> tuple[Scores, Decision]:
        online = None
        if decision.offline_weight < 1:
            online = await self._online(query.user_key, features, trace)
            if online is None:
                decision = replace(
                    decision, offline_weight=1.0, reason="the encoder did not answer in time", cause="encoder_failed"
                )
        offline = self._usable(features)
        if decision.offline_weight > 0 and len(features.events["time_us"]) and offline is None:
            if trace.late:
                raise self._busy()
            trace.degraded.append("states")
        started_s = time.perf_counter()
        candidates = candidate_columns(
            chosen.ads,
            chosen.bid,
            features.expected_cost,
            query.time_us,
            request.context.device,
            request.context.region,
            {**given, **features.own},
        )
        histories: list[History] = [] if online is None else [online]
        if decision.offline_weight > 0:
            histories.append(self._offline(offline, features))
        scores = await self._scorer.score(histories, candidates, features.dense)
        if not all(one.finite for one in scores):
            scores = await self._score_alone(candidates, features, trace)
        trace.stop("scoring_ms", started_s)
        return scores[0].mix(scores[-1], 1 - decision.offline_weight) if len(scores) > 1 else scores[0], decision

    async def _score_alone(self, candidates: Columns, features: Features, trace: _Trace) -> list[Scores]:
        """Score without what the store holds of the user and the ads: it is damaged, and led out of all numbers."""
        self._telemetry.impossible(["scores"])
        if "store" not in trace.degraded:
            trace.degraded.append("store")
        nothing = np.full_like(features.dense, np.nan)
        return await self._scorer.score([self._scorer.empty_history()], candidates, nothing)

    def _counted_by(self, request: RankRequest, own: Columns, count: int) -> Columns:
        """What the request says that own counters count by, as the lookup takes it."""
        said = {"device_key": request.context.device, "region_key": request.context.region}
        return {
            name: np.full(count, hash_id(said[name])) if name in said else own[name]
            for name in self._asked_columns
            if name in said or name in own
        }

    def _given(self, request: RankRequest) -> dict[str, Value]:
        """What the request says of declared columns."""
        declared = self.model.features.config.columns
        unknown = next((name for name in request.context.columns if REQUEST + name not in declared), None)
        if unknown is not None:
            known = [name.removeprefix(REQUEST) for name in declared if name.startswith(REQUEST)]
            names = ", ".join(known) or "none"
            raise Problem(422, f"context.columns has '{unknown[:64]}', which the model does not know; it knows {names}")
        said = {}
        for name, value in request.context.columns.items():
            try:
                said[REQUEST + name] = as_declared(value, declared[REQUEST + name])
            except ValueError as error:
                raise Problem(422, f"context.columns.{name} {error}") from None
        return said

    async def _online(self, user_key: int, features: Features, trace: _Trace) -> History | None:
        """The newest history, None where the encoder did not answer."""
        if not self.model.keeps_states:
            return self._scorer.whole_history(features.events)
        return await self._encode(user_key, features, trace)

    async def _encode(self, user_key: int, features: Features, trace: _Trace) -> History | None:
        started_s = time.perf_counter()
        try:
            async with asyncio.timeout(self.config.encoder_deadline_ms / 1000):
                encoded = await self.encoder.encode(EncodeQuery(user_key, features.events))
            if encoded.model_version != self.model.version:
                raise ServingError(f"encoder serves model {encoded.model_version}, scorer {self.model.version}")
        except Exception as error:
            trace.late = isinstance(error, TimeoutError | OverloadError)
            self._telemetry.failed("encoder", error)
            trace.degraded.append("encoder")
            self._meter.encoded(self.config.encoder_deadline_ms)
            return None
        finally:
            trace.stop("encoder_ms", started_s)
        self._meter.encoded(trace.elapsed_ms["encoder_ms"])
        return History.of(features.events, encoded.states, self.model.score_events)

    def _offline(self, offline: OfflineStates | None, features: Features) -> History:
        if offline is None:
            return self._scorer.empty_history()
        return History(offline.events, offline.states).preceded_by(features.events, self.model.score_events)

    def _answer(
        self,
        request: RankRequest,
        request_id: str,
        query: FeatureQuery,
        chosen: Candidates,
        features: Features,
        scores: Scores,
    ) -> dict[str, Any]:
        cost, ranking = features.expected_cost, self.ranking
        score = ranking.score(scores.p_ctr, scores.p_cvr, scores.value, cost)
        slate = None
        if self.policy is not None:
            counted = self.policy.impressions(features.dense)
            audience = audience_of(request.context.device, request.context.region)
            slate = slate_of(hash_id(request_id), query, chosen.ads, scores, cost, score, ranking, counted, audience)
            slate = self.policy.decide(slate, self.now_us())
        most = request.top_k or self.config.top_k
        return answer_fields(self.model, ranking, chosen, features, scores, score, slate, most)


def _ranking_of(model: ServedModel, config: ServingConfig) -> Ranking:
    returns = model.calibration.returns
    theta = returns.theta if config.theta is None else config.theta
    try:
        return Ranking(chosen_score(config.score, model.features.totals), theta, returns.level)
    except ValueError as error:
        raise ConfigError(f"serving.score is {error}") from error


def open_first_pass(model: ServedModel, config: ServingConfig) -> FirstPass:
    """The first pass of a model, before it has read counters.

    Raises:
        ConfigError: the log that the model learned from cannot teach `config.score`.
    """
    return FirstPass(model.catalogue, model.features.config, _ranking_of(model, config), config.max_candidates)
