"""Several fits of one ranker, served as one: the mean of their probabilities, and how far they lie apart.

Fits that differ by their seed alone err in different ways, so the mean errs less (Lakshminarayanan et al. 2017). What
they agree on the log has taught; how far they lie apart says how much a score is worth.

Shape legend: K members, B users, T events, M new events, N impressions, D width of one member.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from rosa_ray.models.batch import Predictions, UserBatch
from rosa_ray.models.encoder import EncoderCache
from rosa_ray.models.states import keeps_states

MEMBERS = "members"

_LEAST_P = 1e-12


class Ensemble(nn.Module):
    """Members side by side, in evaluation mode: training fits each by itself.

    Args:
        members: rankers of one kind and size, at least one.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    @property
    def context_events(self) -> int:
        """Raw events that a score can depend on."""
        return int(self.members[0].context_events)  # type: ignore[arg-type]

    def forward(self, batch: UserBatch) -> Predictions:
        """Mean of the members' predictions; see `mean_predictions`."""
        return mean_predictions([member(batch) for member in self.members])


class StateEnsemble(Ensemble):
    """Members whose states can be kept: theirs stand side by side, K times as wide."""

    @property
    def window(self) -> int:
        """W, states before an impression that `score` looks at."""
        return int(self.members[0].window)  # type: ignore[arg-type]

    @property
    def width(self) -> int:
        """K · D."""
        return sum(int(member.width) for member in self.members)  # type: ignore[misc,arg-type]

    @property
    def score_events(self) -> int:
        """Events before an impression that `score` reads."""
        return int(self.members[0].score_events)  # type: ignore[arg-type]

    def encode(self, events: Mapping[str, Tensor]) -> Tensor:
        """States of full timelines, (B, T, K · D)."""
        return torch.cat([member.encode(events) for member in self.members], dim=-1)  # type: ignore[operator]

    def empty_cache(self) -> EncoderCache:
        """Keys and values before the first event."""
        return _together([member.empty_cache() for member in self.members])  # type: ignore[operator]

    def extend(self, events: Mapping[str, Tensor], cache: EncoderCache) -> tuple[Tensor, EncoderCache]:
        """States of M new events of every user, (B, M, K · D), and the cache that follows."""
        caches = _apart(cache, len(self.members))
        pairs = [
            member.extend(events, own)  # type: ignore[operator]
            for member, own in zip(self.members, caches, strict=True)
        ]
        return torch.cat([states for states, _ in pairs], dim=-1), _together([after for _, after in pairs])

    def score(self, states_BTD: Tensor, batch: UserBatch) -> Predictions:
        """Score impressions against given states, (B, T, K · D)."""
        own = states_BTD.chunk(len(self.members), dim=-1)
        pairs = zip(self.members, own, strict=True)
        return mean_predictions([member.score(states, batch) for member, states in pairs])  # type: ignore[operator]


def ensemble_of(members: Sequence[nn.Module]) -> Ensemble:
    """Members as one ranker, which keeps states where they do."""
    return (StateEnsemble if keeps_states(members[0]) else Ensemble)(members)


def join_weights(members: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Weights of an ensemble from those of its members, in their order.

    >>> sorted(join_weights([{"a": torch.zeros(1)}, {"a": torch.ones(1)}]))
    ['members.0.a', 'members.1.a']
    """
    return {f"{MEMBERS}.{k}.{name}": value for k, weights in enumerate(members) for name, value in weights.items()}


def mean_predictions(members: Sequence[Predictions]) -> Predictions:
    """The mean of what members expect, and the spread of their click probabilities.

    Clicks, conversions and revenue are averaged as they are expected of an impression. So `p_cvr` is the mean
    probability of a conversion over that of a click, and the value the mean revenue over that of a conversion.

    >>> one, other = (Predictions(*[torch.tensor([logit]) for logit in (x, 0.0, 0.0)]) for x in (0.0, 2.0))
    >>> round(float(mean_predictions([one, other]).p_ctr), 4)
    0.6904
    """
    if len(members) == 1:
        return members[0]
    p_click = torch.stack([member.p_ctr.double() for member in members])
    p_bought = p_click * torch.stack([member.p_cvr.double() for member in members])
    revenue = p_bought * torch.stack([member.value.double() for member in members])
    click, bought, earned = (each.mean(0).clamp_min(_LEAST_P) for each in (p_click, p_bought, revenue))
    return Predictions(
        ctr_logit=torch.logit(click, eps=_LEAST_P).float(),
        cvr_logit=torch.logit(bought / click, eps=_LEAST_P).float(),
        log_value=torch.log(earned / bought).float(),
        ctr_spread=p_click.std(0).float(),
    )


def _together(caches: Sequence[EncoderCache]) -> EncoderCache:
    """Layers of all members one after another; their events are the same."""
    keys = tuple(key for cache in caches for key in cache.key_LBHCE)
    values = tuple(value for cache in caches for value in cache.value_LBHCE)
    return EncoderCache(keys, values, caches[0].time_us_BC, caches[0].behavior_BC)


def _apart(cache: EncoderCache, count: int) -> list[EncoderCache]:
    """Inverse of `_together`."""
    layers = len(cache.key_LBHCE) // count
    parts = [slice(k * layers, (k + 1) * layers) for k in range(count)]
    return [
        EncoderCache(cache.key_LBHCE[part], cache.value_LBHCE[part], cache.time_us_BC, cache.behavior_BC)
        for part in parts
    ]
