"""First-order logits: what every id and every dense feature says on its own.

They are the wide part of Wide & Deep (Cheng et al. 2016, §3.1) and the first-order part of a factorization machine.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from rosa_ray.models.batch import Predictions, UserBatch
from rosa_ray.models.embedding import HOURS, VECTOR, WEEKDAYS, TableSizes, sum_of_sets, zero_bias_linear

LOGITS = 2
"""CTR and CVR."""

_TABLE = {"bid_bucket": "money", "price_bucket": "money"}
_IDS = ("item", "category", "campaign", "device", "region", "bid_bucket", "price_bucket", "hour", "weekday")


class FirstOrder(nn.Module):
    """Two logits per impression, (B, N, 2), that start at zero.

    Args:
        extra: number of further inputs that the caller gives, such as counts.
    """

    def __init__(self, sizes: TableSizes, extra: int = 0) -> None:
        super().__init__()
        rows: Mapping[str, int] = {**sizes, "hour": HOURS, "weekday": WEEKDAYS}
        self.tables = nn.ModuleDict({name: zero_table(rows[_TABLE.get(name, name)]) for name in _IDS})
        self.own = zero_table(sizes["own"]) if "own" in sizes else None
        vectors = sum(size for name, size in sizes.items() if name.startswith(VECTOR))
        self.vectors = zero_bias_linear(vectors, LOGITS, 0.0) if vectors else None
        self.dense = zero_bias_linear(sizes["dense"] + extra, LOGITS, 0.0)

    def forward(self, batch: UserBatch, *extra: Tensor) -> Tensor:
        shown = batch.impressions
        logits: Tensor = self.dense(torch.cat([batch.dense, *extra], dim=-1))
        for name, table in self.tables.items():
            logits = logits + table(shown[name])
        if self.own is not None and "own" in shown:
            logits = logits + self.own(shown["own"]).sum(-2)
        if self.own is not None and "own_sets" in shown:
            logits = logits + sum_of_sets(self.own, shown["own_sets"]).sum(-2)
        return logits if self.vectors is None else logits + self.vectors(shown["vectors"])


def zero_table(rows: int) -> nn.Embedding:
    """A weight per row and logit, all zero."""
    table = nn.Embedding(rows, LOGITS)
    nn.init.zeros_(table.weight)
    return table


def add_logits(predictions: Predictions, logits: Tensor) -> Predictions:
    """Predictions with CTR and CVR logits (B, N, 2) added."""
    ctr, cvr = logits.float().unbind(-1)
    return replace(predictions, ctr_logit=predictions.ctr_logit + ctr, cvr_logit=predictions.cvr_logit + cvr)
