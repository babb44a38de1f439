"""What a ranking answers: the best ads in their order, what was expected of each, and what was left out and why."""

from dataclasses import replace
from typing import Any

import numpy as np

from rosa_ray.arrays import Floats
from rosa_ray.metrics import Ranking
from rosa_ray.policy.slate import Slate
from rosa_ray.serving.candidate_scorer import Scores
from rosa_ray.serving.candidates import Candidates
from rosa_ray.serving.messages import Features
from rosa_ray.serving.model import ServedModel

_KNOWN_BY = ("item", "category", "campaign")
"""What the model may know of an ad that it did not learn from."""


def answer_fields(
    model: ServedModel,
    ranking: Ranking,
    chosen: Candidates,
    features: Features,
    scores: Scores,
    score: Floats,
    slate: Slate | None,
    most: int,
) -> dict[str, Any]:
    """Fields of `rosa_ray.serving.api.RankResponse` that follow from the scores of N candidates.

    Args:
        score: what they are ranked by, float64 (N,).
        slate: what the policy made of them; None without one.
        most: ads that are answered.
    """
    order, said = np.lexsort((chosen.ads["ad_key"], -score)), {}
    if slate is not None:
        order, score = slate.order, slate.score
        said = {"policy": dict(slate.said), "propensity": slate.first_propensity}
    best = order[:most]
    columns = {
        "ad_id": chosen.ad_id,
        "score": score,
        "p_ctr": scores.p_ctr,
        **({} if scores.p_ctr_spread is None else {"p_ctr_spread": scores.p_ctr_spread}),
        "p_cvr": scores.p_cvr,
        "value": scores.value,
        **_money(model, ranking, scores, features.expected_cost),
    }
    values = [column[best].tolist() for column in columns.values()]
    return {
        "user_known": features.user_known,
        "model_version": model.version,
        "score_kind": ranking.kind,
        "unknown_candidates": [*chosen.refused.unknown],
        "ended_candidates": [*chosen.refused.ended],
        "paused_candidates": [*chosen.refused.paused],
        "off_target_candidates": [*chosen.refused.off_target],
        "new_ads": _known_of(model, chosen, best),
        **({} if chosen.first_pass is None else {"first_pass": chosen.first_pass}),
        **said,
        "ads": [dict(zip(columns, ad, strict=True)) for ad in zip(*values, strict=True)],
    }


def _money(model: ServedModel, ranking: Ranking, scores: Scores, cost: Floats) -> dict[str, np.ndarray]:
    """Expected cost and return, (N,) each; None where the model's log had no costs."""
    if model.features.totals["cost"] <= 0:
        nothing = np.full(len(cost), None)
        return {"expected_cost": nothing, "expected_roi": nothing}
    roi = replace(ranking, kind="roi").score(scores.p_ctr, scores.p_cvr, scores.value, cost)
    return {"expected_cost": cost, "expected_roi": roi}


def _known_of(model: ServedModel, chosen: Candidates, best: np.ndarray) -> dict[str, list[str]]:
    """Of the answered ads that the model did not learn from, what it knows of them."""
    new = best[~chosen.trained[best]]
    if not len(new):
        return {}
    known = {name: _knows(model, name, chosen.ads[f"{name}_key"][new]).tolist() for name in _KNOWN_BY}
    ids = chosen.ad_id[new].tolist()
    return {ad_id: [name for name in _KNOWN_BY if known[name][at]] for at, ad_id in enumerate(ids)}


def _knows(model: ServedModel, table: str, keys: np.ndarray) -> np.ndarray:
    vocabulary = model.features.vocabularies[table]
    return vocabulary.lookup(keys) > vocabulary.oov_buckets
