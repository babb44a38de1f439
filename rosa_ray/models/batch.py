"""What a ranker takes and gives: a padded batch of users, and logits per impression.

Shape legend: B users, T events, N impressions of a user, D width, H heads, W window, F dense features.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_EVENT, _IMPRESSION = "event_", "impression_"


@dataclass(frozen=True)
class UserBatch:
    """B users with their timelines and impressions.

    Attributes:
        events: int64 (B, T) tensors time_us, item, category, behavior, gap, hour, weekday, item_key, category_key,
            log_price.
        event_mask: bool (B, T), True at real events; padding stands at the end.
        impressions: int64 (B, N) tensors time_us, visible, item, category, campaign, device, region, bid_bucket,
            price_bucket, hour, weekday, item_key, category_key, log_price. `visible` counts the user's events
            strictly before the impression. Keys tell ids apart that share a table row. Log prices are natural
            logs in thousandths, or `NO_PRICE`.
        impression_mask: bool (B, N).
        dense: float32 (B, N, F).
        labels: float32 (B, N) tensors click, conversion, revenue, cost, expected_cost, price, weight,
            conversion_weight.
        row: int64 (B, N), the caller's row of each impression, -1 in padding.
        user: int64 (B,), equal for rows that are pieces of one user; None where every row is another user.
        fold: int64 (B,), fold of each user for what is counted of other users; None where all count.
    """

    events: dict[str, Tensor]
    event_mask: Tensor
    impressions: dict[str, Tensor]
    impression_mask: Tensor
    dense: Tensor
    labels: dict[str, Tensor]
    row: Tensor
    user: Tensor | None = None
    fold: Tensor | None = None

    @classmethod
    def from_numpy(cls, arrays: Mapping[str, np.ndarray]) -> "UserBatch":
        """Wrap the arrays of `rosa_ray.features.collate` without copying."""
        tensors = {name: torch.from_numpy(values) for name, values in arrays.items()}
        event_mask, impression_mask = tensors.pop("event_mask"), tensors.pop("impression_mask")
        dense, row, user = tensors.pop("dense"), tensors.pop("row"), tensors.pop("user", None)
        fold = tensors.pop("fold", None)
        events = {name.removeprefix(_EVENT): tensors[name] for name in tensors if name.startswith(_EVENT)}
        shown = {name.removeprefix(_IMPRESSION): tensors[name] for name in tensors if name.startswith(_IMPRESSION)}
        labels = {name: value for name, value in tensors.items() if not name.startswith((_EVENT, _IMPRESSION))}
        return cls(events, event_mask, shown, impression_mask, dense, labels, row, user, fold)

    def to(self, device: torch.device | str) -> "UserBatch":
        """Move every tensor but `row` to a device."""
        return UserBatch(
            events=_move(self.events, device),
            event_mask=self.event_mask.to(device, non_blocking=True),
            impressions=_move(self.impressions, device),
            impression_mask=self.impression_mask.to(device, non_blocking=True),
            dense=self.dense.to(device, non_blocking=True),
            labels=_move(self.labels, device),
            row=self.row,
            user=None if self.user is None else self.user.to(device, non_blocking=True),
            fold=None if self.fold is None else self.fold.to(device, non_blocking=True),
        )


@dataclass(frozen=True)
class Predictions:
    """Outputs per impression, float32 (B, N); padding cells hold numbers without meaning.

    Attributes:
        ctr_logit: logit of a click.
        cvr_logit: logit of a conversion given a click.
        log_value: log of the expected revenue of one conversion, currency units.
        value_log_sigma: scalar, log of the spread of log revenue around it; None when the value is the price.
        next_event: sum and number of the next-event losses, scalars, of rankers that have that task, in training.
        ctr_spread: standard deviation of the click probability among the members of an ensemble, float32 (B, N); None
            of a single model.
    """

    ctr_logit: Tensor
    cvr_logit: Tensor
    log_value: Tensor
    value_log_sigma: Tensor | None = None
    next_event: tuple[Tensor, Tensor] | None = None
    ctr_spread: Tensor | None = None

    @property
    def log_p_ctr(self) -> Tensor:
        return functional.logsigmoid(self.ctr_logit)

    @property
    def log_p_ctcvr(self) -> Tensor:
        """Log probability of click and conversion, the ESMM product (Ma et al. 2018, §2)."""
        return self.log_p_ctr + functional.logsigmoid(self.cvr_logit)

    @property
    def p_ctr(self) -> Tensor:
        return torch.sigmoid(self.ctr_logit)

    @property
    def p_cvr(self) -> Tensor:
        return torch.sigmoid(self.cvr_logit)

    @property
    def value(self) -> Tensor:
        return torch.exp(self.log_value)


def _move(tensors: dict[str, Tensor], device: torch.device | str) -> dict[str, Tensor]:
    return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}
