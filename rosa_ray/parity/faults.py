"""Sources and stores whose callers are ended at random, to check that a restart loses nothing and repeats nothing."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


class Interruption(BaseException):
    """The consumer ends here, as if it were killed."""


class Unreliable:
    """Passes calls on and ends the caller at random, before or after a call took effect.

    Args:
        inner: a source or a store.
        one_in: a call in so many ends the caller.
    """

    def __init__(self, inner: Any, rng: np.random.Generator, one_in: int, methods: Sequence[str]) -> None:
        self._inner, self._rng, self._one_in, self._methods = inner, rng, one_in, methods

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        return self._risky(method) if name in self._methods else method

    def _risky(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            fate = int(self._rng.integers(2 * self._one_in))
            if fate == 0:
                raise Interruption
            result = method(*arguments)
            if fate == 1:
                raise Interruption
            return result

        return call
