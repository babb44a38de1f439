"""What a ranker has whose encoder states can be kept: encoded once, extended by new events, and scored against.

A ranker without these methods is served as well. It reads the user's timeline at each request.

Shape legend: B users, T events, M new events, D width.
"""

from collections.abc import Mapping
from typing import Protocol, TypeGuard

from torch import Tensor, nn

from rosa_ray.models.batch import Predictions, UserBatch
from rosa_ray.models.encoder import EncoderCache

_METHODS = ("encode", "extend", "score", "empty_cache")


class StateRanker(Protocol):
    """A ranker with a causal encoder, in evaluation mode.

    Attributes:
        window: W, states before an impression that `score` looks at.
        width: D of a state.
        score_events: events before an impression that `score` reads, at least W.
        context_events: raw events that the last W states, or `score`, depend on.
    """

    @property
    def window(self) -> int: ...

    @property
    def width(self) -> int: ...

    @property
    def score_events(self) -> int: ...

    @property
    def context_events(self) -> int: ...

    def encode(self, events: Mapping[str, Tensor]) -> Tensor:
        """States of full timelines, (B, T, D), each of its event and those before it."""
        ...

    def empty_cache(self) -> EncoderCache:
        """Keys and values before the first event."""
        ...

    def extend(self, events: Mapping[str, Tensor], cache: EncoderCache) -> tuple[Tensor, EncoderCache]:
        """States of M new events, (B, M, D), and the cache that follows."""
        ...

    def score(self, states_BTD: Tensor, batch: UserBatch) -> Predictions:
        """Score impressions against given states."""
        ...


def keeps_states(ranker: nn.Module | None) -> TypeGuard[StateRanker]:
    """Whether the states of a ranker can be stored and extended.

    >>> keeps_states(nn.Identity())
    False
    """
    return all(callable(getattr(ranker, name, None)) for name in _METHODS)
