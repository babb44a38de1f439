"""The multi-task head: an MLP trunk and three outputs, CTR, CVR and value (paper §3.4)."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rosa_ray.models.batch import Predictions
from rosa_ray.models.embedding import zero_bias_linear


class TaskHeads(nn.Module):
    """From an interaction vector and match scalars to `Predictions`.

    Outputs start at the base rates of the training period. The value of a conversion is the catalogue price times a
    learned factor that starts at 1; with `learned_value=False` it is the price.

    Args:
        inputs, matches: widths of the two inputs.
        hidden: widths of the trunk.
        base_rates: `ctr`, `cvr` in (0, 1).
    """

    def __init__(
        self,
        inputs: int,
        matches: int,
        hidden: tuple[int, ...],
        dropout: float,
        base_rates: Mapping[str, float],
        learned_value: bool = True,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs += matches
        for width in hidden:
            layers += [nn.Linear(inputs, width), nn.GELU(), nn.Dropout(dropout)]
            inputs = width
        self.trunk = nn.Sequential(*layers)
        self.match = zero_bias_linear(matches, 2, 0.0)
        self.ctr = zero_bias_linear(inputs, 1, _logit(base_rates["ctr"]))
        self.cvr = zero_bias_linear(inputs, 1, _logit(base_rates["cvr"]))
        self.value = zero_bias_linear(inputs, 1, 0.0) if learned_value else None
        self.value_log_sigma = nn.Parameter(torch.tensor(-1.0)) if learned_value else None

    def forward(self, interaction: Tensor, match: Tensor, price: Tensor) -> Predictions:
        """Predict.

        Args:
            interaction: (..., inputs) vectors, read by the trunk.
            match: (..., matches) scalars that say how well ad and user fit, read by the trunk and, so that a few
                hundred clicks suffice, by the logits directly.
            price: (...), catalogue price of the ad.
        """
        shared = self.trunk(torch.cat([interaction, match], dim=-1))
        log_value = torch.log(price.clamp_min(1e-9))
        if self.value is not None:
            log_value = log_value + self.value(shared).squeeze(-1).float()
        direct = self.match(match).float()
        ctr_logit = self.ctr(shared).squeeze(-1).float() + direct[..., 0]
        cvr_logit = self.cvr(shared).squeeze(-1).float() + direct[..., 1]
        return Predictions(ctr_logit, cvr_logit, log_value, self.value_log_sigma)


def _logit(rate: float) -> float:
    clipped = min(max(rate, 1e-5), 1 - 1e-5)
    return math.log(clipped / (1 - clipped))
