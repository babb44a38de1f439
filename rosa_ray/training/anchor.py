"""Rows that stay near where they started: decoupled decay towards the first weights instead of towards zero.

Li, Grandvalet, Davoine 2018 (L2-SP, §3) hold fine-tuned weights to their pre-trained values so; here the pull stands
beside the gradient, as the weight decay of AdamW does (Loshchilov & Hutter 2019, §2).
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rosa_ray.models import part_of


class RowAnchor:
    """Holds the rows of the shared tables.

    Args:
        strength: share of the way back per step, times the learning rate; 0 holds nothing and keeps no copy.
    """

    def __init__(self, model: nn.Module, strength: float) -> None:
        held = ((name.removeprefix("module."), weight) for name, weight in model.named_parameters())
        self._strength = strength
        self._held = {name: weight for name, weight in held if strength and part_of(name) == "tables"}
        self._start: dict[str, Tensor] = {}

    def remember(self) -> None:
        """Take the present rows as those to hold to."""
        self._start = {name: weight.detach().clone() for name, weight in self._held.items()}

    @torch.no_grad()
    def pull(self, learning_rate: float) -> None:
        """Go back a part of the way, after a step at `learning_rate` of the tables.

        >>> model = nn.ModuleDict({"tables": nn.Embedding.from_pretrained(torch.zeros(1, 1), freeze=False)})
        >>> anchor = RowAnchor(model, 10.0)
        >>> anchor.remember()
        >>> _ = nn.init.ones_(model["tables"].weight)
        >>> anchor.pull(0.01)
        >>> round(model["tables"].weight.item(), 6)
        0.9
        """
        for name, weight in self._held.items():
            weight.lerp_(self._start[name], min(1.0, self._strength * learning_rate))

    def state_dict(self) -> dict[str, Tensor]:
        """The rows held to; none before the first step, or where nothing is held."""
        return dict(self._start)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self._start = {name: state[name].to(weight.device) for name, weight in self._held.items() if name in state}
