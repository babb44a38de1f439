"""How long ago a user's last event was, as the context knows it."""

import torch

from rosa_ray.models import UserBatch
from rosa_ray.models.embedding import GAP_BUCKETS, recency_buckets
from rosa_ray.units import HOUR_US


def batch(events_us: list[int], shown_us: list[int], visible: list[int]) -> UserBatch:
    shown = {"time_us": torch.tensor([shown_us]), "visible": torch.tensor([visible])}
    nothing = torch.zeros(1, len(shown_us))
    return UserBatch({"time_us": torch.tensor([events_us]).long()}, nothing, shown, nothing, nothing, {}, nothing)


def test_buckets_by_hand() -> None:
    """Before any event, an hour after the first, and at once after the second, while the third is yet to come."""
    timeline = [HOUR_US, 5 * HOUR_US, 9 * HOUR_US]
    found = recency_buckets(batch(timeline, [0, 2 * HOUR_US, 5 * HOUR_US + 1], [0, 1, 2]))
    assert found.tolist() == [[GAP_BUCKETS, 12, 1]]


def test_a_user_without_events() -> None:
    assert recency_buckets(batch([], [7], [0])).tolist() == [[GAP_BUCKETS]]
