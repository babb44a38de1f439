"""The multi-task head: an MLP trunk, a tower for scalars and three outputs, CTR, CVR and value (paper §3.4).

The trunk reads some hundred coordinates of embeddings, which a few thousand clicks teach little. What counts, rates and
likenesses say of a click, alone and together, is worth a small network of its own that these do not drown.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rosa_ray.models.batch import Predictions, UserBatch
from rosa_ray.models.embedding import zero_bias_linear

TOWER_UNITS = 64


class TaskHeads(nn.Module):
    """From an interaction vector, match scalars and dense features to `Predictions`.

    Outputs start at the base rates of the training period. The value of a conversion is the catalogue price times a
    learned factor that starts at 1; with `learned_value=False` it is the price.

    Args:
        inputs, matches, dense: widths of the three inputs.
        hidden: widths of the trunk.
        base_rates: `ctr`, `cvr` in (0, 1).
    """

    def __init__(
        self,
        inputs: int,
        matches: int,
        dense: int,
        hidden: tuple[int, ...],
        dropout: float,
        base_rates: Mapping[str, float],
        learned_value: bool = True,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        signals = matches + dense
        inputs += signals
        for width in hidden:
            layers += [nn.Linear(inputs, width), nn.GELU(), nn.Dropout(dropout)]
            inputs = width
        self.trunk = nn.Sequential(*layers)
        self.direct = zero_bias_linear(signals, 2, 0.0)
        self.tower = nn.Sequential(
            nn.LayerNorm(signals),
            nn.Linear(signals, TOWER_UNITS),
            nn.GELU(),
            nn.Dropout(dropout),
            zero_bias_linear(TOWER_UNITS, 2, 0.0),
        )
        self.ctr = zero_bias_linear(inputs, 1, _logit(base_rates["ctr"]))
        self.cvr = zero_bias_linear(inputs, 1, _logit(base_rates["cvr"]))
        self.value = zero_bias_linear(inputs, 1, 0.0) if learned_value else None
        self.value_log_sigma = nn.Parameter(torch.tensor(-1.0)) if learned_value else None

    def forward(self, interaction: Tensor, match: Tensor, batch: UserBatch) -> Predictions:
        """Predict.

        Args:
            interaction: (..., inputs) vectors, read by the trunk.
            match: (..., matches) scalars that say how well ad and user fit. With the batch's dense features they are
                read by the trunk, by the tower and, so that a few hundred clicks suffice, by the logits directly.
            batch: gives the dense features and the catalogue prices of the ads.
        """
        signals = torch.cat([match, batch.dense.to(match.dtype)], dim=-1)
        shared = self.trunk(torch.cat([interaction, signals], dim=-1))
        log_value = torch.log(batch.labels["price"].clamp_min(1e-9))
        if self.value is not None:
            log_value = log_value + self.value(shared).squeeze(-1).float()
        direct = (self.direct(signals) + self.tower(signals)).float()
        ctr_logit = self.ctr(shared).squeeze(-1).float() + direct[..., 0]
        cvr_logit = self.cvr(shared).squeeze(-1).float() + direct[..., 1]
        return Predictions(ctr_logit, cvr_logit, log_value, self.value_log_sigma)


def _logit(rate: float) -> float:
    clipped = min(max(rate, 1e-5), 1 - 1e-5)
    return math.log(clipped / (1 - clipped))
