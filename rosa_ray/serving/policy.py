"""The chain of policy steps that a scorer runs after scoring, what it is told of, and budgets that replicas share.

The spend of campaigns is in the store's counters, whoever wrote it. A replica reads them some times a second, in the
thread that follows the changes of ads, and gives out its part of what is left: see `rosa_ray.policy.reserve`. All else
that steps remember is what this replica's own `POST /events` were told.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from rosa_ray.arrays import Columns, Floats, Ints
from rosa_ray.features import FeatureConfig, RecordKind
from rosa_ray.features.catalogue import Ads
from rosa_ray.features.counting import buckets_of, dense_names
from rosa_ray.features.views import IMPRESSION_MEASURES
from rosa_ray.metrics.scores import Ranking
from rosa_ray.policy.slate import LearnsWithinADay, Shown, Slate, Step, decide
from rosa_ray.policy.steps import build_steps, check_scores
from rosa_ray.policy.steps.budget import Rule as Budget
from rosa_ray.schema import hash_id
from rosa_ray.serving.candidate_scorer import Scores
from rosa_ray.serving.messages import FeatureQuery
from rosa_ray.settings import Tagged
from rosa_ray.store import OnlineStore
from rosa_ray.units import SECOND_US

FOLLOW_US = SECOND_US
"""Time between two readings of campaigns' spend."""

KEPT_IDS = 100_000
"""Records whose repetition is known: so many are remembered."""

_VIEW = "campaign_impressions"
_COST = IMPRESSION_MEASURES.index("cost_micros")
_IMPRESSIONS = "ad_impressions.all.log1p_impressions"


class ServedPolicy:
    """A chain of steps in a scorer. One thread decides and is told, another follows the store.

    Args:
        chain: `serving.policy`.
        score_kind: what the scorer ranks by.
        follows: whether `follow` will be called. Budgets then give out nothing before it has read the store; without it
            they go by what this process was told.

    Raises:
        ConfigError: a step needs another score.
    """

    def __init__(
        self, chain: Sequence[Tagged], score_kind: str, features: FeatureConfig, follows: bool = False
    ) -> None:
        self.steps: list[Step] = build_steps(chain)
        check_scores([one.name for one in chain], score_kind, "serving.policy")
        self._budgets = [step for step in self.steps if isinstance(step, Budget)]
        self._learns = any(isinstance(step, LearnsWithinADay) for step in self.steps)
        self._expected: dict[int, tuple[float, int]] = {}
        for budget in self._budgets if follows else ():
            budget.share()
        self._buckets, self._impressions = buckets_of(features), dense_names(features).index(_IMPRESSIONS)
        self._told: OrderedDict[tuple[int, str], None] = OrderedDict()
        self._followed_us = np.iinfo(np.int64).min // 2

    def impressions(self, dense: Floats) -> Floats | None:
        """Impressions of N candidates so far, as the counters of a request say; None where they could not be read.

        Args:
            dense: counter features, float32 (N, F).
        """
        counted = dense[:, self._impressions]
        return np.rint(np.expm1(counted.astype(np.float64))) if np.isfinite(counted).all() else None

    def decide(self, slate: Slate, now_us: int) -> Slate:
        """Run the chain, which counts the first ad of the answer against the budgets that are given out here."""
        slate = decide(self.steps, slate, now_us)
        if self._learns and slate.order.size:
            self._expect(int(slate.ad_key[slate.order[0]]), float(slate.p_ctr[slate.order[0]]))
        return slate

    def tell(self, records: Columns, rows: Iterable[int], ads: Ads) -> None:
        """Tell the steps of live records that were stored, each once.

        A conversion brings the price of its ad at the impression. That is what a conversion is worth in the catalogue.

        Args:
            records: `RECORD_COLUMNS`, (n,) each.
            rows: those that the store took or knew already.
        """
        kind = records["kind"]
        new = [row for row in rows if kind[row] != RecordKind.EVENT and self._is_new(int(kind[row]), records, row)]
        if not new:
            return
        taken = {
            name: records[name][new] for name in ("kind", "user_key", "ad_key", "campaign_key", "cost", "shown_us")
        }
        row, known = ads.lookup(taken["ad_key"], taken["shown_us"])
        value = np.where(known, ads.price[row], 0.0)
        shown = Shown(
            time_us=taken["shown_us"],
            user_key=taken["user_key"],
            ad_key=taken["ad_key"],
            campaign_key=taken["campaign_key"],
            cost=taken["cost"],
            revenue=np.where(taken["kind"] == RecordKind.CONVERSION, value, 0.0),
            click=taken["kind"] == RecordKind.CLICK,
            impression=taken["kind"] == RecordKind.IMPRESSION,
            p_ctr=self._expected_of(taken["ad_key"]) if self._learns else None,
        )
        for step in self.steps:
            step.tell(shown)

    def follow(self, store: OnlineStore, now_us: int) -> None:
        """Read what campaigns with budgets have spent, where the last reading has aged.

        Raises:
            StoreError: the store cannot be read; budgets then give no room once the last reading is too old.
        """
        if not self._budgets or 0 <= now_us - self._followed_us < FOLLOW_US:
            return
        for budget in self._budgets:
            since = budget.begins_us(now_us) // self._buckets.width_us
            counters = store.read_counters(_VIEW, budget.campaign_key, since)[_VIEW]
            young = counters.bucket >= since
            budget.see(
                counters.entity_key[young],
                counters.bucket[young] * self._buckets.width_us,
                counters.sums[young, _COST],
                now_us,
            )
        self._followed_us = now_us

    def _expect(self, ad: int, p_ctr: float) -> None:
        total, count = self._expected.get(ad, (0.0, 0))
        self._expected[ad] = total + p_ctr, count + 1

    def _expected_of(self, ad_key: Ints) -> Floats:
        """Mean click rate that this replica expected where it answered an ad first; NaN where it never did."""
        sums = [self._expected.get(ad, (np.nan, 1)) for ad in ad_key.tolist()]
        return np.array([total / count for total, count in sums])

    def _is_new(self, kind: int, records: Columns, row: int) -> bool:
        key = kind, str(records["record_id"][row])
        if key in self._told:
            return False
        self._told[key] = None
        if len(self._told) > KEPT_IDS:
            self._told.popitem(last=False)
        return True


def audience_of(device: str | None, region: str | None) -> dict[str, int]:
    """Groups that a request says its user to be in, as `Slate.audience`.

    >>> audience_of(None, None)
    {}
    """
    return {name: hash_id(said) for name, said in (("device", device), ("region", region)) if said}


def slate_of(
    request_key: int,
    query: FeatureQuery,
    ads: Columns,
    scores: Scores,
    cost: Floats,
    score: Floats,
    ranking: Ranking,
    impressions: Floats | None,
    audience: Mapping[str, int],
) -> Slate:
    """The N scored candidates of a request.

    Args:
        ads: `CATALOGUE_KEYS`, (N,) each.
        cost: expected of an impression, currency units, (N,).
        ranking: what the score is of.
        impressions: of each ad so far, (N,).
        audience: see `Slate`.
    """
    return Slate(
        time_us=query.time_us,
        request_key=request_key,
        user_key=query.user_key,
        ad_key=ads["ad_key"],
        campaign_key=ads["campaign_key"],
        category_key=ads["category_key"],
        p_ctr=scores.p_ctr,
        p_cvr=scores.p_cvr,
        revenue=ranking.level * scores.p_ctr * scores.p_cvr * scores.value,
        cost=cost,
        score=score,
        shown=np.ones(len(score), bool),
        impressions=impressions,
        audience=audience,
        per_revenue=ranking.per_revenue,
    )
