"""Counting what leads to what over the users of all workers, before training, for models that read it."""

from collections.abc import Iterable
from typing import Protocol

import numpy as np
from torch import nn

from rosa_ray.features import EncodedUsers
from rosa_ray.models.transitions import Transitions
from rosa_ray.schema import fold_of
from rosa_ray.training.ranks import Ranks


class TrainingUsers(Protocol):
    """What gives the users of the training period in parts, as `ShardReader` does."""

    def training(self, rng: np.random.Generator) -> Iterable[EncodedUsers]: ...


def fit_transitions(ranker: nn.Module, users: TrainingUsers, ranks: Ranks) -> None:
    """Give a model the transitions of the training period's events; nothing where it has no such part."""
    for part in ranker.modules():
        if isinstance(part, Transitions):
            count_transitions(part, users.training(np.random.default_rng(0)), ranks)


def count_transitions(transitions: Transitions, users: Iterable[EncodedUsers], ranks: Ranks) -> None:
    """Count the transitions of all workers' users, part by part; every worker ends with the same."""
    own = transitions.nothing()
    for part in users:
        own = own.merge(transitions.count(part.events, part.event_offsets, fold_of(part.user_key)))
    transitions.take(ranks.gather(own))
