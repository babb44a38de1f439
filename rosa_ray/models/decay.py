"""The behaviour bias and the time decay of ROSA-Rec's attention (Ni, Li, Zhang 2026, §3.2), as an additive logit.

Multiplying attention weights by `exp(-λΔt)` and renormalising is the same as adding `-λΔt` to the logits. The bias ω
is per key: a bias of the query's own behaviour is a constant of its softmax and cancels.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from rosa_ray.schema import BEHAVIORS

_US_PER_HOUR = 3.6e9


class BehaviorDecayBias(nn.Module):
    """Logit bias `ω_h[b_j] − λ_h · (t_i − t_j)` for H heads.

    λ_h is positive (softplus), per hour. Half-lives start spread evenly in log time over 1 h … 90 d; the last head
    starts without noticeable decay (a half-life of 100 years).

    Args:
        heads: H.
        behavior_bias: False leaves ω out (ablation).
        decay: False leaves λ out (ablation).
        behaviors: how many an event may have.
    """

    def __init__(
        self, heads: int, behavior_bias: bool = True, decay: bool = True, behaviors: int = len(BEHAVIORS)
    ) -> None:
        super().__init__()
        starting = _inverse_softplus(math.log(2) / _starting_half_lives_h(heads))
        self.omega_BhH = nn.Parameter(torch.zeros(behaviors, heads)) if behavior_bias else None
        self.raw_lambda_H = nn.Parameter(starting) if decay else None

    @property
    def lambda_per_hour_H(self) -> Tensor:
        """Decay rates, (H,), per hour."""
        assert self.raw_lambda_H is not None, "this attention has no decay"
        return functional.softplus(self.raw_lambda_H)

    @property
    def half_life_hours_H(self) -> Tensor:
        """Half-lives, (H,), hours."""
        return math.log(2) / self.lambda_per_hour_H

    def forward(self, elapsed_us: Tensor, key_behavior: Tensor, allowed: Tensor) -> Tensor:
        """Logits to add for queries × keys.

        Args:
            elapsed_us: int64 (..., Q, K), query time minus key time.
            key_behavior: int64 (..., K).
            allowed: bool (Q, K) or (..., Q, K); elsewhere the logit is -inf.

        Returns:
            float32, (..., H, Q, K), or (..., 1, Q, K) if both parts are off.
        """
        closed = torch.zeros_like(elapsed_us, dtype=torch.float32).masked_fill(~allowed, float("-inf")).unsqueeze(-3)
        bias = closed
        if self.raw_lambda_H is not None:
            # Padding has time 0, decades before any real key: unclamped, that is a bonus beyond half precision.
            hours = elapsed_us.to(torch.float32).clamp_min(0).unsqueeze(-3) / _US_PER_HOUR
            bias = torch.addcmul(closed, -self.lambda_per_hour_H.float()[:, None, None], hours)
        if self.omega_BhH is not None:
            bias = bias + self.omega_BhH.float()[key_behavior].transpose(-1, -2).unsqueeze(-2)
        return bias


def _starting_half_lives_h(heads: int) -> Tensor:
    spread = torch.logspace(0, math.log10(90 * 24), max(heads - 1, 1))
    return torch.cat([spread, torch.tensor([100 * 365 * 24.0])])[:heads] if heads > 1 else spread


def _inverse_softplus(value: Tensor) -> Tensor:
    return value + torch.log(-torch.expm1(-value))
