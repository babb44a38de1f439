"""Sources and stores whose callers are ended at random, to check that a restart loses nothing and repeats nothing."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


class SimulatedKill(BaseException):
    """Ends the consumer here, as a kill would; a `BaseException`, so that nothing in it handles it as an error."""


class RandomlyKilled:
    """Stands before a source or a store and ends its caller at random, before or after a call took effect.

    Args:
        inner: the source or store that calls go to.
        one_in: one call in so many ends the caller.
        methods: whose calls may end the caller.
    """

    def __init__(self, inner: Any, rng: np.random.Generator, one_in: int, methods: Sequence[str]) -> None:
        self._inner, self._rng, self._one_in, self._methods = inner, rng, one_in, methods

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        return self._killing(method) if name in self._methods else method

    def _killing(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            fate = int(self._rng.integers(2 * self._one_in))
            if fate == 0:
                raise SimulatedKill
            result = method(*arguments)
            if fate == 1:
                raise SimulatedKill
            return result

        return call
