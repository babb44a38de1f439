"""What a gate is worth on some pairs: how gains of encoding spread, and what λ does with them under load."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rosa_ray.models.gate import HISTORY_INPUTS, Gate, mix_loss
from rosa_ray.training.gate_pairs import GatePairs

LOADS = (0.0, 0.5, 1.0)
"""Loads that are checked and reported."""

SINCE_BUCKETS = (0, 1, 2, 4, 8, 16, 32)
"""Lower bounds of the buckets of `events_since` in the report."""

GAIN_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)

_SINCE = HISTORY_INPUTS.index("events_since")


@dataclass(frozen=True)
class PairTensors:
    """P pairs as tensors; see `GatePairs`."""

    history: Tensor
    p_off: Tensor
    p_on: Tensor
    label: Tensor
    stands_for: Tensor

    @classmethod
    def of(cls, pairs: GatePairs) -> "PairTensors":
        """Wrap the arrays without copying."""
        columns = (pairs.history, pairs.p_off, pairs.p_on, pairs.label, pairs.stands_for)
        return cls(*map(torch.from_numpy, columns))

    def mean(self, values: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Mean of some pairs' values, each as often as it stands for; NaN where there is no pair."""
        if chosen is None:
            return weighted_mean(values, self.stands_for)
        return weighted_mean(values[chosen], self.stands_for[chosen])

    @property
    def is_new(self) -> Tensor:
        """Mask of the pairs with events that the states lack; elsewhere both predictions are the same."""
        return self.history[:, _SINCE] > 0

    def target(self, label_share: float) -> Tensor:
        """What λ is fitted to: labels, in part replaced by the online probability."""
        return label_share * self.label + (1 - label_share) * self.p_on

    def loss(self, weight: Tensor, target: Tensor) -> Tensor:
        """Log loss of the mix, nats per pair, summed over heads; (P,)."""
        return mix_loss(weight, self.p_off, self.p_on, target)

    def gain(self) -> Tensor:
        """Log loss of the offline minus that of the online score, nats per pair; (P,)."""
        zeros = torch.zeros(len(self.history))
        return self.loss(zeros + 1, self.label) - self.loss(zeros, self.label)

    def expected_gain(self) -> Tensor:
        """The gain if the online probabilities are right: their divergence from the offline ones, nats; (P,)."""
        zeros = torch.zeros(len(self.history))
        return self.loss(zeros + 1, self.p_on) - self.loss(zeros, self.p_on)

    @torch.no_grad()
    def weights(self, gate: Gate, load: float) -> Tensor:
        """λ of every pair under one load, (P,)."""
        weight: Tensor = gate(self.history, torch.full((len(self.history),), load))
        return weight


def weighted_mean(values: Tensor, stands_for: Tensor) -> Tensor:
    """Mean of values that stand for so many each, (n,) and (n,).

    >>> float(weighted_mean(torch.tensor([1.0, 4.0]), torch.tensor([2.0, 1.0])))
    2.0
    """
    # The plain mean rounds otherwise than the ratio of sums: a log without weights keeps the gate it had.
    if bool((stands_for == 1).all()):
        return values.mean()
    return (values * stands_for).sum() / stands_for.sum()


def gate_report(gate: Gate, pairs: PairTensors) -> dict[str, Any]:
    """What a gate does to some pairs; losses and gains are against labels, nats per request, both heads together.

    Returns:
        pairs, counted each once, while all else but quantiles is of what they stand for; `gain` of encoding where
        something is new: mean, its standard error, and quantiles of what the online probabilities expect; `logloss` of
        offline, of online and of `fresh`, which calls where something is new; `loads`: for each of `LOADS` the share of
        pairs that call the encoder and the log loss of what is answered; `buckets` of `events_since`: pairs, gain, and
        at each load the mean λ and the share of calls.
    """
    zeros = torch.zeros(len(pairs.history))
    offline, online = (pairs.loss(weight, pairs.label) for weight in (zeros + 1, zeros))
    under_load = {load: pairs.weights(gate, load) for load in LOADS}
    since, new = pairs.history[:, _SINCE], pairs.is_new
    upper = [*SINCE_BUCKETS[1:], float("inf")]
    spread = np.quantile(pairs.expected_gain()[new].numpy(), GAIN_QUANTILES) if new.any() else [0.0] * 5
    quantiles = {f"{level:g}": float(value) for level, value in zip(GAIN_QUANTILES, spread, strict=True)}
    return {
        "pairs": len(zeros),
        "gain": _mean_gain(pairs, new) | {"expected": quantiles},
        "logloss": {"offline": float(pairs.mean(offline)), "online": float(pairs.mean(online))},
        "calls_of_fresh": float(pairs.mean(new.float())),
        "loads": [{"load": load} | _answered(gate, pairs, weight) for load, weight in under_load.items()],
        "buckets": [
            _bucket(gate, low, pairs, chosen, under_load)
            for low, high in zip(SINCE_BUCKETS, upper, strict=True)
            if (chosen := (since >= low) & (since < high)).any()
        ],
    }


def _answered(gate: Gate, pairs: PairTensors, weight: Tensor) -> dict[str, float]:
    """Calls and log loss when the threshold decides; without anything new there is no call."""
    called = (weight < gate.threshold) & pairs.is_new
    mix = pairs.weights(gate, 0.0) if gate.mixes else torch.zeros(len(weight))
    loss = pairs.loss(torch.where(called, mix, torch.ones(len(weight))), pairs.label)
    return {"calls": float(pairs.mean(called.float())), "logloss": float(pairs.mean(loss))}


def _bucket(
    gate: Gate, low: int, pairs: PairTensors, chosen: Tensor, under_load: dict[float, Tensor]
) -> dict[str, Any]:
    loads = [
        {
            "load": load,
            "weight": float(pairs.mean(weight, chosen)),
            "calls": float(pairs.mean((weight < gate.threshold).float(), chosen)),
        }
        for load, weight in under_load.items()
    ]
    return {"events_since": low, "pairs": int(chosen.sum()), "gain": _mean_gain(pairs, chosen), "loads": loads}


def _mean_gain(pairs: PairTensors, chosen: Tensor) -> dict[str, Any]:
    """Mean over some pairs, and its standard error as of a ratio of sums."""
    if not chosen.any():
        return {"mean": None, "standard_error": None}
    gain, each = pairs.gain()[chosen], pairs.stands_for[chosen]
    mean = weighted_mean(gain, each)
    return {"mean": float(mean), "standard_error": float(((gain - mean) * each).norm() / each.sum())}
