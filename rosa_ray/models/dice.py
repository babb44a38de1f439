"""Dice, the activation function of DIN that adapts to its input's distribution (Zhou et al. 2018, §5.3).

Shape legend: P rows, U units.
"""

import torch
from torch import Tensor, nn

_RATE, _EPSILON = 0.01, 1e-8


class Dice(nn.Module):
    """`p(s)·s + (1 − p(s))·α·s` with `p(s) = σ((s − E[s]) / √(Var[s] + ε))`, α learned per unit, starting at 0.

    In training, mean and variance are those of the given rows, so give only real ones: padding would shift them. In
    evaluation they are running figures: the mean over the first 100 batches, then an exponential mean of rate 0.01, so
    that scores do not depend on which rows are scored together. Under DDP each worker uses its own rows, as batch
    normalisation does, and the running figures are those of worker 0, which DDP copies to all at every step.
    """

    mean_U: Tensor
    variance_U: Tensor
    batches: Tensor

    def __init__(self, units: int) -> None:
        super().__init__()
        self.alpha_U = nn.Parameter(torch.zeros(units))
        self.register_buffer("mean_U", torch.zeros(units))
        self.register_buffer("variance_U", torch.ones(units))
        self.register_buffer("batches", torch.tensor(0))

    def forward(self, rows_PU: Tensor) -> Tensor:
        """(P, U) to (P, U)."""
        mean_U, variance_U = self._statistics(rows_PU.float())
        gate_PU = torch.sigmoid((rows_PU - mean_U) * torch.rsqrt(variance_U + _EPSILON))
        return rows_PU * (self.alpha_U + gate_PU * (1 - self.alpha_U))

    def _statistics(self, rows_PU: Tensor) -> tuple[Tensor, Tensor]:
        if not self.training or not len(rows_PU):
            return self.mean_U, self.variance_U
        variance_U, mean_U = torch.var_mean(rows_PU, dim=0, correction=0)
        with torch.no_grad():
            self.batches += 1
            rate = (1 / self.batches).clamp_min(_RATE)
            self.mean_U.lerp_(mean_U, rate)
            self.variance_U.lerp_(variance_U, rate)
        return mean_U, variance_U
