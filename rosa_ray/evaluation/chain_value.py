"""What a chain of policy steps shows of the candidates of logged requests, walked in order of time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rosa_ray.arrays import Columns, Floats, Ints
from rosa_ray.metrics import PolicyValue, Ranking
from rosa_ray.policy.slate import Shown, Slate, Step, decide

PROFIT = Ranking("profit")


@dataclass(frozen=True)
class ChainValue:
    """What was shown in each of R requests, in order of time.

    Attributes:
        row: of the candidate that was shown, int64 (R,); -1 where nothing was.
        first: row of the first candidate of the request, int64 (R,). Requests stand by time, and by key at equal times.
        value: exact, under the truth.
        propensity: chance of what was shown, float64 (R,), 0 where nothing was.
    """

    row: Ints
    first: Ints
    value: PolicyValue
    propensity: Floats

    @property
    def shown(self) -> Ints:
        """Rows of the candidates that were shown, in order of time."""
        return self.row[self.row >= 0]


def value_chain(
    candidates: Columns, truth: Columns, steps: Sequence[Step], ranking: Ranking = PROFIT, rows: Ints | None = None
) -> ChainValue:
    """Value a chain exactly on logged candidates: each request shows the first ad that the chain leaves.

    The steps decide by what the model expects, and are told of what was shown what is true of it: expected cost and
    expected revenue.

    Args:
        candidates: user_key, request_key, impression_key, campaign_key, time_us, p_ctr, p_cvr, value and
            expected_cost, (n,) each; ad_key and category_key where there are such. Without ad_key each candidate is an
            ad of its own.
        truth: expected_revenue and expected_cost of the same rows, currency units.
        steps: told of nothing yet, or of what happened before; they are told of what is shown.
        ranking: the score that the chain starts from.
        rows: whole requests to walk; None walks all.
    """
    revenue = candidates["p_ctr"] * candidates["p_cvr"] * candidates["value"] * ranking.level
    score = ranking.score(*(candidates[name] for name in ("p_ctr", "p_cvr", "value", "expected_cost")))
    columns: dict[str, Any] = {
        "ad_key": candidates.get("ad_key", candidates["impression_key"]),
        "campaign_key": candidates["campaign_key"],
        "category_key": candidates.get("category_key", np.zeros(len(score), np.int64)),
        "p_ctr": candidates["p_ctr"],
        "p_cvr": candidates["p_cvr"],
        "revenue": revenue,
        "cost": candidates["expected_cost"],
        "score": score,
    }
    chosen, first, propensity = [], [], []
    for request in _requests(candidates, np.arange(len(score)) if rows is None else rows):
        one = int(request[0])
        slate = Slate(
            time_us=int(candidates["time_us"][one]),
            request_key=int(candidates["request_key"][one]),
            user_key=int(candidates["user_key"][one]),
            shown=np.ones(len(request), bool),
            per_revenue=ranking.per_revenue,
            **{name: values[request] for name, values in columns.items()},
        )
        slate = decide(steps, slate, slate.time_us)
        order = slate.order
        first.append(one)
        chosen.append(int(request[order[0]]) if order.size else -1)
        propensity.append(slate.first_propensity)
        if order.size:
            told = _told(slate, order[:1], candidates, truth, request)
            for step in steps:
                step.tell(told)
    found = np.array(chosen, np.int64)
    shown = found[found >= 0]
    true = (truth[name][shown] for name in ("expected_revenue", "expected_cost"))
    value = PolicyValue().update(np.ones(len(shown)), *true)
    return ChainValue(found, np.array(first, np.int64), value, np.array(propensity))


def _requests(candidates: Columns, rows: Ints) -> Iterator[Ints]:
    """Rows of each request, by time, request and impression key."""
    keys = (candidates["impression_key"][rows], candidates["request_key"][rows], candidates["time_us"][rows])
    rows = rows[np.lexsort(keys)]
    requests = candidates["request_key"][rows]
    yield from np.split(rows, np.flatnonzero(requests[1:] != requests[:-1]) + 1) if len(rows) else ()


def _told(slate: Slate, first: Ints, candidates: Columns, truth: Columns, request: Ints) -> Shown:
    row = request[first]
    return Shown(
        time_us=candidates["time_us"][row],
        user_key=candidates["user_key"][row],
        ad_key=slate.ad_key[first],
        campaign_key=slate.campaign_key[first],
        cost=truth["expected_cost"][row],
        revenue=truth["expected_revenue"][row],
        click=np.zeros(1, bool),
    )
