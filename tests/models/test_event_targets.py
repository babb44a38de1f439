import numpy as np
import pytest
import torch

from rosa_ray.models.event_targets import any_within, next_event


@pytest.fixture
def timelines() -> tuple[torch.Tensor, torch.Tensor]:
    """Users of 0 to 9 events in order of time, padded with zeros."""
    rng = np.random.default_rng(3)
    times, mask = np.zeros((12, 9), np.int64), np.zeros((12, 9), bool)
    for user in range(12):
        count = min(user, 9)
        times[user, :count] = np.sort(rng.integers(1, 60, count))
        mask[user, :count] = True
    return torch.from_numpy(times), torch.from_numpy(mask)


def of_users(times: torch.Tensor, mask: torch.Tensor) -> list[list[int]]:
    return [row[real].tolist() for row, real in zip(times, mask, strict=True)]


def test_the_next_event_is_the_one_after(timelines: tuple[torch.Tensor, torch.Tensor]) -> None:
    times, mask = timelines
    position, there = next_event(mask)
    for user, own in enumerate(of_users(times, mask)):
        assert there[user].tolist() == [at + 1 < len(own) for at in range(9)]
        assert position[user][there[user]].tolist() == list(range(1, len(own)))


def test_any_event_of_the_next_span_is_drawn_and_no_other(timelines: tuple[torch.Tensor, torch.Tensor]) -> None:
    torch.manual_seed(0)
    times, mask = timelines
    drawn: dict[tuple[int, int], set[int]] = {}
    for _ in range(300):
        position, there = any_within(times, mask, span_us=15)
        for user, at in there.nonzero().tolist():
            drawn.setdefault((user, at), set()).add(int(position[user, at]))
    expected = {
        (user, at): inside
        for user, own in enumerate(of_users(times, mask))
        for at in range(len(own))
        if (inside := {j for j in range(at + 1, len(own)) if own[j] <= own[at] + 15})
    }
    assert drawn == expected


def test_positions_without_an_event_can_be_read(timelines: tuple[torch.Tensor, torch.Tensor]) -> None:
    times, mask = timelines
    found = (next_event(mask), any_within(times, mask, 15))
    assert all(int(position.min()) >= 0 and int(position.max()) < 9 for position, _ in found)
