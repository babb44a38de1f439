"""The gate: λ of `score = λ·offline + (1 − λ)·online`, from how stale the stored states are and how loaded we are.

λ is learned on pairs of both predictions with `BCE(y, λ·p_off + (1 − λ)·p_on) + η·load·(1 − λ)` (paper §3.5; the
second term is what lets load matter, as no label depends on it). It is known before anything is scored, so that above
a threshold the encoder need not be called. Once the encoder was called its price is paid, so that the scores are mixed
as an idle server would mix them: load decides whether to encode, never how much a fresh score counts.

λ never falls when load rises, and never rises when more events or actions are missing. The weights from these inputs
to the answer keep their sign, which ensures it (Daniels & Velikova 2010, partially monotone networks). The other
inputs are free.

Shape legend: N requests, F history inputs, H heads (p_ctr, p_ctcvr), K hidden units.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional

from rosa_ray.errors import ConfigError
from rosa_ray.settings import section

HISTORY_INPUTS = ("events_since", "actions_since", "staleness_s", "idle_s", "events_last_hour", "history_events")
"""What the gate reads of a user, in this order: events that the stored states lack; those of them that are more than a
view; seconds since the last encoded event; seconds since the last event; events of the last hour; events that the
encoder can use. No count is above the last."""

GATE_INPUTS = (*HISTORY_INPUTS, "load")
"""All inputs; `load` is in [0, 1]."""

FORMAT_VERSION = 1

_SIGNED, _LEAST_P = 2, 1e-7


@section("gate")
class GateConfig:
    """Size of the gate."""

    hidden: Annotated[int, Ge(1)] = 8
    """K, hidden units."""


@dataclass(frozen=True)
class GateDecision:
    """What a gate says of one request.

    Attributes:
        offline_weight: λ to mix with; 1 without a call of the encoder.
        gate: λ under this load, which was held against the threshold.
    """

    offline_weight: float
    gate: float


class Gate(nn.Module):
    """λ in (0, 1), non-decreasing in load and non-increasing in `events_since` and `actions_since`.

    Attributes:
        threshold: from this λ on the encoder is not called; the step found best on users held out, when fitted.
        mixes: False where the online score alone was better on these users than any mix: then λ is 0 or 1.

    >>> gate = Gate()
    >>> moment = dict.fromkeys(HISTORY_INPUTS, 3.0)
    >>> gate.offline_weight(moment, load=0.1) < gate.offline_weight(moment, load=0.9)
    True
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, config: GateConfig | None = None) -> None:
        super().__init__()
        self.config = config or GateConfig()
        self.threshold, self.mixes = 0.5, True
        hidden, free = self.config.hidden, len(HISTORY_INPUTS) - _SIGNED
        self.register_buffer("mean", torch.zeros(len(HISTORY_INPUTS)))
        self.register_buffer("scale", torch.ones(len(HISTORY_INPUTS)))
        self.pull = nn.Parameter(torch.randn(_SIGNED + 1, hidden + 1) * 0.3)
        self.free = nn.Linear(free, hidden + 1)
        self.out = nn.Parameter(torch.randn(hidden) * 0.3 - 1.0)

    def standardize(self, history_NF: Tensor) -> None:
        """Take the scale of the inputs from those it will be trained on."""
        logs = torch.log1p(history_NF)
        self.mean.copy_(logs.mean(0))
        self.scale.copy_(logs.std(0, correction=0).clamp_min(0.1))

    def forward(self, history_NF: Tensor, load_N: Tensor) -> Tensor:
        """Decide.

        Args:
            history_NF: `HISTORY_INPUTS` as they are, none negative.
            load_N: in [0, 1].

        Returns:
            λ, (N,).
        """
        x_NF = (torch.log1p(history_NF) - self.mean) / self.scale
        signed = torch.cat([-x_NF[:, :_SIGNED], load_N[:, None]], dim=1)
        mixed = signed @ functional.softplus(self.pull) + self.free(x_NF[:, _SIGNED:])
        direct_N, hidden_NK = mixed[:, 0], torch.tanh(mixed[:, 1:])
        return torch.sigmoid(direct_N + hidden_NK @ functional.softplus(self.out))

    @torch.inference_mode()
    def offline_weight(self, history: Mapping[str, float], load: float) -> float:
        """λ of one request, from `HISTORY_INPUTS` by name."""
        row = torch.tensor([[float(history[name]) for name in HISTORY_INPUTS]])
        return float(self(row, torch.tensor([load]))[0])

    def decide(self, history: Mapping[str, float], load: float) -> GateDecision:
        """Decide one request: skip the encoder, or mix with what it gives."""
        weight = self.offline_weight(history, load)
        if weight >= self.threshold:
            return GateDecision(1.0, weight)
        return GateDecision(self.offline_weight(history, 0.0) if self.mixes else 0.0, weight)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "version": FORMAT_VERSION,
            "inputs": list(GATE_INPUTS),
            "config": asdict(self.config),
            "threshold": self.threshold,
            "mixes": self.mixes,
            "state": {name: values.tolist() for name, values in self.state_dict().items()},
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Gate":
        """Inverse of `to_dict`.

        Raises:
            ValueError: it is no gate of this format and these inputs.
        """
        found = document.get("version"), tuple(document.get("inputs", ()))
        if found != (FORMAT_VERSION, GATE_INPUTS):
            raise ValueError(f"its version is {found[0]} with inputs {found[1]}, this code reads {FORMAT_VERSION}")
        try:
            gate = cls(GateConfig(**document["config"]))
            gate.threshold, gate.mixes = float(document["threshold"]), bool(document["mixes"])
            gate.load_state_dict({name: torch.tensor(values) for name, values in document["state"].items()})
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, ConfigError) as error:
            raise ValueError(" ".join(str(error).split())) from error
        return gate.eval()


def mix_loss(weight_N: Tensor, p_off_NH: Tensor, p_on_NH: Tensor, label_NH: Tensor) -> Tensor:
    """Log loss of the mixed probabilities, nats per request, summed over heads; (N,).

    >>> one = torch.ones(1, 1)
    >>> round(float(mix_loss(torch.tensor([0.5]), 0.2 * one, 0.6 * one, one)), 4)  # −log 0.4
    0.9163
    """
    p_NH = weight_N[:, None] * p_off_NH + (1 - weight_N[:, None]) * p_on_NH
    p_NH = p_NH.clamp(_LEAST_P, 1 - _LEAST_P)
    return functional.binary_cross_entropy(p_NH, label_NH, reduction="none").sum(1)


def gate_loss(
    weight_N: Tensor, load_N: Tensor, p_off_NH: Tensor, p_on_NH: Tensor, label_NH: Tensor, encode_price: float
) -> Tensor:
    """`BCE(y, λ·p_off + (1 − λ)·p_on) + η·load·(1 − λ)`, nats per request; (N,).

    Args:
        weight_N: λ.
        p_off_NH, p_on_NH: calibrated probabilities of the two paths.
        label_NH: 0 or 1.
        encode_price: η, nats that one call of the encoder must gain to be worth it at full load.
    """
    return mix_loss(weight_N, p_off_NH, p_on_NH, label_NH) + encode_price * load_N * (1 - weight_N)
