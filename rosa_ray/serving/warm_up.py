"""One invented request that a replica ranks before it is ready, and again at every health check.

It shows what a check of files cannot: that this model, in this process, gives numbers. It reads no store, so that a
store that is down neither delays a replica nor ends it.
"""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.errors import BundleError, StoreError
from rosa_ray.features import AdTable, event_columns
from rosa_ray.features.changes import Changes
from rosa_ray.features.live_catalogue import LiveCatalogue
from rosa_ray.serving.api import Problem, RankRequest
from rosa_ray.serving.hybrid_scorer import HybridScorer
from rosa_ray.serving.messages import EncoderPort, FeatureQuery, Features, Written
from rosa_ray.serving.own_columns import unknown_columns
from rosa_ray.serving.request_features import cold_start_features
from rosa_ray.units import SECOND_US

ADS = 8
"""Candidates of the invented request, at most."""
PATIENCE_MS = 60_000
"""The first call of torch on a busy machine takes seconds, and a replica that starts slowly is no broken one."""
READ_AHEAD_S = 5.0
"""How long a replica that starts waits for the counters of its ads."""
NUMBERS = ("score", "p_ctr", "p_cvr", "value", "expected_cost", "expected_roi")


class WarmUp:
    """Ranks an invented request with the scorer of a replica, in its thread, uncounted.

    Args:
        encoder: encodes the invented history; one of this process.
    """

    def __init__(self, scorer: HybridScorer, encoder: EncoderPort) -> None:
        patient = replace(scorer.config, rule="online", lookup_deadline_ms=PATIENCE_MS, encoder_deadline_ms=PATIENCE_MS)
        ads = _first_ads(scorer.model.bundle.ads)
        self._scorer = scorer.on_ports(InventedUser(scorer), encoder, patient, LiveCatalogue(ads))
        self._request = _request(scorer, ads)

    async def run(self) -> None:
        """Rank the request.

        Raises:
            BundleError: a part of the model fails, or gives a number that is not finite.
        """
        place = self._scorer.model.bundle.path
        try:
            answer = await self._scorer.rank(self._request)
        except Exception as error:
            raise BundleError(f"bundle {place}: a request cannot be ranked: {type(error).__name__}: {error}") from error
        if answer["degraded"]:
            raise BundleError(f"bundle {place}: a request is ranked without {', '.join(answer['degraded'])}")
        if broken := _not_finite(answer["ads"]):
            raise BundleError(f"bundle {place}: the model gives {broken} for a request; train again")


async def read_ahead(scorer: HybridScorer, patience_s: float = READ_AHEAD_S) -> bool:
    """Rank all ads for nobody, so that their counters are held before the first request asks for them.

    Args:
        patience_s: a store that is down, or slower than that, leaves it undone; requests then read what they need.

    Returns:
        Whether everything was read.
    """
    quiet, until_s = scorer.on_ports(scorer.lookup, scorer.encoder, scorer.config), time.monotonic() + patience_s
    request = RankRequest.model_validate({"user_id": None, "top_k": 1})
    while time.monotonic() < until_s:
        try:
            await scorer.lookup.describe()
            if not (await quiet.rank(request))["degraded"]:
                return True
        except Problem as problem:
            if problem.status != 503:
                return False
        except StoreError:
            return False
        await asyncio.sleep(0.1)
    return False


class InventedUser:
    """A lookup that knows one user, with a short history of unknown items."""

    def __init__(self, scorer: HybridScorer) -> None:
        self._config = scorer.model.features.config

    async def read(self, query: FeatureQuery) -> Features:
        """The user at any moment."""
        time_us = query.time_us - SECOND_US * np.array([300, 200, 100])
        _, shared = unknown_columns(self._config.columns, 0, len(time_us))
        events = {**event_columns(time_us=time_us), **shared}
        return replace(cold_start_features(query, self._config), user_known=True, events=events)

    async def write(self, records: dict[str, np.ndarray], changes: Sequence[Changes] = ()) -> Written:
        """Nothing is kept of what an invented user does."""
        return Written(0, 0, ())

    async def describe(self) -> dict[str, Any]:
        """There is nothing to tell."""
        return {}


def _first_ads(ads: pa.Table) -> pa.Table:
    """All versions of the bundle's first ads. Live records that end or pause ads are no fault of a model."""
    ordered = ads.take(pa.array(AdTable.order(ads)))
    return ordered.filter(pc.is_in(ordered["ad_id"], pc.unique(ordered["ad_id"])[:ADS]))


def _request(scorer: HybridScorer, ads: pa.Table) -> RankRequest:
    """A request for some ads, at a moment at which the first of them had not ended."""
    moment_us = min(scorer.now_us(), int(AdTable.from_table(ads).until_us[0]) - SECOND_US)
    told = datetime.fromtimestamp(moment_us / SECOND_US, UTC).isoformat()
    candidates = pc.unique(ads["ad_id"]).to_pylist()
    return RankRequest.model_validate({"user_id": None, "candidates": candidates, "context": {"time": told}})


def _not_finite(ads: Sequence[Mapping[str, Any]]) -> str:
    """The first number that is none, such as `p_ctr nan`; empty where there is no such.

    >>> _not_finite([{"p_ctr": 0.1, "expected_cost": None}]), _not_finite([{"p_ctr": float("nan")}])
    ('', 'p_ctr nan')
    """
    found = (f"{name} {ad[name]}" for ad in ads for name in NUMBERS if not _fine(ad.get(name)))
    return next(found, "")


def _fine(number: float | None) -> bool:
    return number is None or math.isfinite(number)
