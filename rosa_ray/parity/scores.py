"""Scores of some logged requests, from the user rows and through the parts of the service."""

from dataclasses import dataclass

import numpy as np

from rosa_ray.errors import ParityError
from rosa_ray.features import UserRows, encode_users
from rosa_ray.features.live_catalogue import LiveCatalogue
from rosa_ray.features.own import row_columns
from rosa_ray.features.views import CATALOGUE_KEYS
from rosa_ray.inference import predict
from rosa_ray.parity.features import Request
from rosa_ray.parity.recorded_log import iso
from rosa_ray.serving.candidate_scorer import CandidateScorer, History
from rosa_ray.serving.encoder import Encoder
from rosa_ray.serving.messages import EncodeQuery, Features
from rosa_ray.serving.model import ServedModel
from rosa_ray.serving.request_features import candidate_columns

SCORE_TOLERANCE = 1e-5
"""Relative: states are computed in other batches offline and live, so that sums of floats round otherwise."""

SCORED_HEADS = ("p_ctr", "p_cvr", "value")


@dataclass(frozen=True)
class _Scored:
    request: Request
    scores: dict[str, np.ndarray]


class ScoreParity:
    """Scores chosen requests live, as the rule `online` does, and compares them with the offline scores at the end.

    Args:
        catalogue: versions of the ads of the run, read as of each request.
        requests: how many there are.
        sample: of them, spread evenly, are scored.
    """

    def __init__(
        self, model: ServedModel, rows: UserRows, catalogue: LiveCatalogue, requests: int, sample: int
    ) -> None:
        self._model, self._rows, self._catalogue = model, rows, catalogue
        self._encoder = Encoder(model) if model.keeps_states else None
        self._scorer = CandidateScorer(model, threads=1)
        spread = np.linspace(0, requests - 1, min(sample, requests)).astype(int)
        self._chosen = set(spread.tolist())
        self._live: list[_Scored] = []

    def score_if_sampled(self, index: int, request: Request, found: Features) -> None:
        """Score a request if it is in the sample."""
        if index in self._chosen:
            self._live.append(_Scored(request, self._score(request, found)))

    def compare(self) -> tuple[int, float]:
        """Compare with `rosa_ray.inference.predict` on the user rows.

        Returns:
            Ads scored, and the largest relative difference.

        Raises:
            ParityError: a score differs by more than `SCORE_TOLERANCE`.
        """
        if not self._live:
            return 0, 0.0
        rows = np.sort(np.concatenate([scored.request.rows for scored in self._live]))
        kept = np.zeros(len(self._rows.impressions["time_us"]), bool)
        kept[rows] = True
        users = encode_users(self._rows, self._model.features).keep_impressions(kept)
        raw = predict(self._model.ranker, users, device=self._model.device)
        scored = {name: raw[name] for name in SCORED_HEADS}
        offline = self._model.calibration.apply({**scored, "price": users.impressions["price"]})
        return len(rows), max(self._worst(scored, rows, offline) for scored in self._live)

    def _worst(self, scored: _Scored, rows: np.ndarray, offline: dict[str, np.ndarray]) -> float:
        at, worst = np.searchsorted(rows, scored.request.rows), 0.0
        for name in SCORED_HEADS:
            difference = np.abs(scored.scores[name] / offline[name][at] - 1)
            if not (difference <= SCORE_TOLERANCE).all():
                first = int(np.argmax(~(difference <= SCORE_TOLERANCE)))
                raise ParityError(
                    f"user '{scored.request.user_id}' at {iso(scored.request.time_us)}: score '{name}': "
                    f"{offline[name][at][first]} offline, {scored.scores[name][first]} online, "
                    f"more than {SCORE_TOLERANCE:g} apart"
                )
            worst = max(worst, float(difference.max()))
        return worst

    def _history(self, request: Request, found: Features) -> History:
        if self._encoder is None:
            return self._scorer.whole_history(found.events)
        states = self._encoder.encode_now(EncodeQuery(request.user_key, found.events)).states
        return History.of(found.events, states, self._model.score_events)

    def _score(self, request: Request, found: Features) -> dict[str, np.ndarray]:
        history = self._history(request, found)
        catalogue, shown = self._catalogue, self._rows.impressions
        row, _ = catalogue.lookup(request.ad_key, request.time_us)
        ads = {name: getattr(catalogue, name)[row] for name in (*CATALOGUE_KEYS, "price")}
        candidates = candidate_columns(ads, request.bid, found.expected_cost, request.time_us, None, None) | {
            name: shown[name][request.rows]
            for name in ("device_key", "region_key", *row_columns(self._model.features.config.columns))
        }
        (scores,) = self._scorer.score_now([history], candidates, found.dense)
        return {name: getattr(scores, name) for name in SCORED_HEADS}
