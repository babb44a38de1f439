"""Counting what leads to what over the users of all workers, before training, for models that read it."""

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import torch
from torch import nn

from rosa_ray.features import EncodedUsers
from rosa_ray.models.transitions import Transitions, choose_slots, count_transitions
from rosa_ray.schema import FOLDS, fold_of
from rosa_ray.training.ranks import Ranks


class TrainingUsers(Protocol):
    """What gives the users of the training period in parts, as `ShardReader` does."""

    def training(self, rng: np.random.Generator) -> Iterable[EncodedUsers]: ...


def fit_transitions(ranker: nn.Module, users: TrainingUsers, ranks: Ranks) -> None:
    """Give a model the transitions of the training period's events; nothing where it has no such part."""
    for part in ranker.modules():
        if isinstance(part, Transitions):
            _fit(part, users, ranks)


def _fit(transitions: Transitions, users: TrainingUsers, ranks: Ranks) -> None:
    rows = len(transitions.slot_R)
    events_R = sum(
        (np.bincount(part.events["category"], minlength=rows) for part in users.training(_any_order())),
        np.zeros(rows),
    )
    slot_R = choose_slots(ranks.sum(torch.from_numpy(events_R).to(ranks.device)).cpu())
    slot_of = slot_R.numpy()
    counts = np.zeros((FOLDS, *transitions.counts_GCC.shape), np.float32)
    for part in users.training(_any_order()):
        slot, fold = slot_of[part.events["category"]], fold_of(part.user_key)
        counts += count_transitions(slot, part.event_offsets, fold, transitions.slots)
    transitions.set_counts(slot_R, ranks.sum(torch.from_numpy(counts).to(ranks.device)))


def _any_order() -> np.random.Generator:
    return np.random.default_rng(0)
