"""Counting what leads to what over the users of all workers, before training, for models that read it."""

import numpy as np
import torch
from torch import nn

from rosa_ray.features import EncodedUsers
from rosa_ray.models.transitions import Transitions, choose_slots, count_transitions
from rosa_ray.schema import fold_of
from rosa_ray.training.ranks import Ranks
from rosa_ray.training.reader import ShardReader


def fit_transitions(ranker: nn.Module, users: ShardReader, ranks: Ranks) -> None:
    """Give a model the transitions of the training period's events; nothing where it has no such part."""
    for part in ranker.modules():
        if isinstance(part, Transitions):
            _fit(part, users, ranks)


def _fit(transitions: Transitions, users: ShardReader, ranks: Ranks) -> None:
    rows = len(transitions.slot_R)
    events_R = sum(
        (np.bincount(part.events["category"], minlength=rows) for part in users.training(_any_order())),
        np.zeros(rows),
    )
    slot_R = choose_slots(ranks.sum(torch.from_numpy(events_R).to(ranks.device))).to(ranks.device)
    slot_of = slot_R.cpu().numpy()
    counts = sum(_counts(part, slot_of, transitions.slots) for part in users.training(_any_order()))
    transitions.set_counts(slot_R, ranks.sum(torch.as_tensor(counts).to(ranks.device)))


def _counts(part: EncodedUsers, slot_of: np.ndarray, slots: int) -> np.ndarray:
    return count_transitions(slot_of[part.events["category"]], part.event_offsets, fold_of(part.user_key), slots)


def _any_order() -> np.random.Generator:
    return np.random.default_rng(0)
