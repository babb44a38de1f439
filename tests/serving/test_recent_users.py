"""Which users are let go: for space the least recently used, and all that did not come back."""

import pytest

from rosa_ray.serving.recent_users import RecentUsers


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def users_of(capacity: int, max_idle_s: float = 60, clock: Clock | None = None) -> RecentUsers[str]:
    return RecentUsers(capacity, max_idle_s, clock or Clock())


def test_the_least_recently_used_goes_first() -> None:
    users = users_of(12)
    for key in (1, 2, 3):
        users.put(key, f"user {key}", 4)
    assert users.get(1) == "user 1"
    users.put(4, "user 4", 4)
    assert [users.get(key) for key in (1, 2, 3, 4)] == ["user 1", None, "user 3", "user 4"]
    assert (len(users), users.size, users.evicted) == (3, 12, 1)


def test_a_large_one_takes_the_place_of_several() -> None:
    users = users_of(12)
    for key in (1, 2, 3):
        users.put(key, f"user {key}", 4)
    users.put(4, "user 4", 7)
    assert [users.get(key) for key in (1, 2, 3, 4)] == [None, None, "user 3", "user 4"]
    assert (users.size, users.evicted) == (11, 2)


def test_a_replaced_one_counts_once_and_a_dropped_one_not_at_all() -> None:
    users = users_of(12)
    users.put(1, "old", 2)
    users.put(1, "new", 4)
    assert (len(users), users.size, users.get(1)) == (1, 4, "new")
    users.drop(1)
    users.drop(1)
    assert (len(users), users.size, users.evicted) == (0, 0, 0)


@pytest.mark.parametrize("capacity", [0, 3])
def test_what_is_larger_than_all_the_space_is_not_kept_and_pushes_nobody_out(capacity: int) -> None:
    users = users_of(capacity)
    users.put(1, "small", 3)
    users.put(2, "large", 4)
    assert users.get(2) is None
    assert users.get(1) == ("small" if capacity else None)


def test_who_does_not_come_back_is_let_go_and_who_does_stays() -> None:
    clock = Clock()
    users = users_of(12, 60, clock)
    for key in (1, 2):
        users.put(key, f"user {key}", 4)
    clock.now_s += 50
    assert users.get(1) == "user 1"
    clock.now_s += 50
    users.put(3, "user 3", 4)
    assert (len(users), users.size, users.evicted) == (2, 8, 0)
    assert [users.get(key) for key in (1, 2, 3)] == ["user 1", None, "user 3"]
    clock.now_s += 61
    assert (users.get(3), len(users), users.size) == (None, 0, 0)
