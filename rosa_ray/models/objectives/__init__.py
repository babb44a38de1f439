"""Objectives of pre-training on events, by name: each module of this folder is one, found by its file name.

A module defines `build(ranker, known) -> Objective`. It may return a part of the ranker, or a module with parameters of
its own, which are trained beside it and left behind. Adding an objective is adding one file.

Shape legend: B users, T events, D width.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, cast

from torch import Tensor, nn

from rosa_ray.errors import ConfigError
from rosa_ray.models.embedding import SharedTables, TableSizes
from rosa_ray.models.next_event import NextEvent
from rosa_ray.settings import Folder

_OBJECTIVES = Folder(__name__, __path__)
_NEEDED = ("encode", "tables", "next_event")


class EventRanker(Protocol):
    """A ranker that learns from events alone: a causal encoder, tables shared with ads, and a next-event head."""

    tables: SharedTables
    next_event: NextEvent

    def encode(self, events: Mapping[str, Tensor]) -> Tensor:
        """States of full timelines, (B, T, D), each of its event and those before it."""
        ...


class Objective(Protocol):
    """What is learned from timelines; also an `nn.Module`."""

    def loss(
        self,
        states_BTD: Tensor,
        events: Mapping[str, Tensor],
        mask_BT: Tensor,
        tables: SharedTables,
        user_B: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Sum of the losses of a batch and their number, scalars; both 0 where the batch teaches nothing.

        Args:
            states_BTD: from `EventRanker.encode`; all zero where a baseline without history is asked for.
            events: as of `UserBatch.events`.
            mask_BT: bool, True at real events; padding stands at the end.
            user_B: equal for rows that are pieces of one user; None where every row is another user.
        """
        ...


@dataclass(frozen=True)
class EventCounts:
    """What is known of the events before pre-training begins.

    Attributes:
        sizes: rows per embedding table.
        counts: `item` and `category`, int64 (rows,): how often the events that are trained on have each row.
    """

    sizes: TableSizes
    counts: Mapping[str, Tensor]


def objective_names() -> list[str]:
    """Names of the objectives of this folder.

    >>> "next_event" in objective_names()
    True
    """
    return _OBJECTIVES.names()


def build_objective(name: str, ranker: EventRanker, known: EventCounts) -> nn.Module:
    """Build an objective, whose `loss` is that of `Objective`.

    Raises:
        ConfigError: there is no objective of that name.
    """
    if name not in objective_names():
        raise ConfigError(f"pretrain.objective has '{name}'; known objectives are {', '.join(objective_names())}")
    build: Callable[[EventRanker, EventCounts], nn.Module] = _OBJECTIVES.module(name).build
    return build(ranker, known)


def can_be_pretrained(ranker: nn.Module) -> bool:
    """Whether a ranker learns from events alone.

    >>> can_be_pretrained(nn.Identity())
    False
    """
    return all(hasattr(ranker, part) for part in _NEEDED)


def require_event_ranker(ranker: nn.Module, name: str) -> EventRanker:
    """Take a ranker for one that can be pre-trained.

    Args:
        name: of the model, for the message.

    Raises:
        ConfigError: it lacks a part.
    """
    missing = [part for part in _NEEDED if not hasattr(ranker, part)]
    if missing:
        raise ConfigError(
            f"model.name is '{name}', which has no {missing[0]} and cannot be pre-trained; set pretrain.epochs=0"
        )
    return cast(EventRanker, ranker)
