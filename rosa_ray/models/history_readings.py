"""What each state of a history says of an ad, brought together: by the last state, the last few, and all with decay.

One state says what it leads to next. What an earlier one led to may still be to come: a tent leads to a sleeping bag
a day later, whatever was looked at meanwhile. So the window is read as a whole, newer states more than older ones.

Shape legend: B users, T events, N ads, H half-lives.
"""

import math

import torch
from torch import Tensor

from rosa_ray.models.history import window_mask
from rosa_ray.units import HOUR_US

HALF_LIVES_HOURS = (0.5, 2.0, 8.0, 24.0, 96.0)
WINDOW, FEW = 50, 8
WIDTH = 3 + 2 * len(HALF_LIVES_HOURS)
"""Readings of an ad."""

_MOST = 5.0
_PRIOR = 0.1


def readings(lift_BNT: Tensor, visible_BN: Tensor, ad_time_us_BN: Tensor, event_time_us_BT: Tensor) -> Tensor:
    """Read lifts, logs of how much likelier than usual an ad follows a state.

    Args:
        lift_BNT: of each ad after each state.
        visible_BN: int64, number of events before each ad; the last `WINDOW` of them are read.
        ad_time_us_BN, event_time_us_BT: microseconds UTC.

    Returns:
        (B, N, `WIDTH`), 0 without a history: the last lift; mean and largest of the last `FEW`; then per half-life the
        log of the mean ratio, and how often more than usual the ad was led to, as `log1p`.

    >>> lift, time_us = torch.tensor([[[0.0, math.log(3)]]]), torch.tensor([[0, 0]])
    >>> found = readings(lift, torch.tensor([[2]]), torch.tensor([[0]]), time_us)
    >>> [round(value, 2) for value in found[0, 0, :4].exp().tolist()]
    [3.0, 1.73, 3.0, 1.95]
    """
    length = lift_BNT.shape[-1]
    seen_BNT = window_mask(visible_BN, length, WINDOW)
    few_BNT, last_BNT = (window_mask(visible_BN, length, window) for window in (FEW, 1))
    lift_BNT = lift_BNT.clamp(-_MOST, _MOST)
    excess_BNT = torch.expm1(lift_BNT)
    known_BN = visible_BN > 0
    found = [
        (lift_BNT * last_BNT).sum(-1),
        (lift_BNT * few_BNT).sum(-1) / few_BNT.sum(-1).clamp_min(1),
        lift_BNT.masked_fill(~few_BNT, -_MOST).amax(-1) * known_BN,
    ]
    elapsed_h_BNT = (ad_time_us_BN[..., None] - event_time_us_BT[:, None]).clamp_min(0).float() / HOUR_US
    for hours in HALF_LIVES_HOURS:
        weight_BNT = torch.exp(-math.log(2) / hours * elapsed_h_BNT) * seen_BNT
        found.append(torch.log1p((weight_BNT * excess_BNT).sum(-1) / (weight_BNT.sum(-1) + _PRIOR)))
        found.append(torch.log1p((weight_BNT * excess_BNT.clamp_min(0)).sum(-1)))
    return torch.stack(found, dim=-1)
