"""What a server holds of the users it saw last, in bounded space and for a bounded time."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Held = TypeVar("Held")


class RecentUsers(Generic[Held]):
    """A thing per user; the least recently used go when sizes pass a bound, and whoever did not come back in a while.

    The age decides how long a user who was forgotten in the store is held here. It is looked at with every call, so a
    server without any call holds what it has. For one thread at a time.

    Args:
        capacity: the bound on the sum of sizes, in whatever unit sizes are given; 0 keeps nothing.
        max_idle_s: seconds after the last `get` or `put` of a user.

    >>> users = RecentUsers(capacity=2, max_idle_s=60)
    >>> for key in (7, 8, 9):
    ...     users.put(key, f"user {key}", size=1)
    >>> users.get(7), users.get(9), users.evicted
    (None, 'user 9', 1)
    """

    def __init__(self, capacity: int, max_idle_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.capacity, self.max_idle_s = capacity, max_idle_s
        self.size = 0
        self.evicted = 0
        self._clock = clock
        self._users: OrderedDict[int, tuple[Held, int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._users)

    def get(self, user_key: int) -> Held | None:
        """What is held of a user, who is then the most recently used."""
        self._let_idle_go()
        if user_key not in self._users:
            return None
        held, size, _ = self._users.pop(user_key)
        self._users[user_key] = held, size, self._clock()
        return held

    def put(self, user_key: int, held: Held, size: int) -> None:
        """Hold something of a user instead of an older one; what is larger than all the space is not kept."""
        self._let_idle_go()
        self.drop(user_key)
        if size > self.capacity:
            return
        while self.size + size > self.capacity:
            self.drop(next(iter(self._users)))
            self.evicted += 1
        self._users[user_key] = held, size, self._clock()
        self.size += size

    def drop(self, user_key: int) -> None:
        """Let go of a user."""
        if user_key in self._users:
            self.size -= self._users.pop(user_key)[1]

    def _let_idle_go(self) -> None:
        before_s = self._clock() - self.max_idle_s
        while self._users and next(iter(self._users.values()))[2] < before_s:
            self.drop(next(iter(self._users)))
