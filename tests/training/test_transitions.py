from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from rosa_ray.features import EncodedUsers
from rosa_ray.models import build_ranker
from rosa_ray.models.transitions import Transitions
from rosa_ray.schema import fold_of
from rosa_ray.training.ranks import Ranks
from rosa_ray.training.reader import ShardReader
from rosa_ray.training.transitions import count_transitions, fit_transitions
from rosa_ray.units import NO_PRICE
from tests.synthetic import encoded_users
from tests.tiny_users import BOUNDS, tiny_rows, tiny_state

SETTINGS = {"width": 8, "heads": 2, "layers": 1, "window": 6, "match_window": 6, "hidden": (8,)}


class Parts:
    """Users in parts, as a reader gives those of a shard that does not fit in memory."""

    def __init__(self, *parts: EncodedUsers) -> None:
        self.parts = parts

    def training(self, rng: np.random.Generator) -> list[EncodedUsers]:
        return [self.parts[turn] for turn in rng.permutation(len(self.parts))]


class TwoRanks(Ranks):
    """This worker and one that has counted already."""

    def __init__(self, other: object) -> None:
        super().__init__("cpu")
        self.other = other

    def gather(self, state: Any) -> list[Any]:
        return [state, self.other]


def fitted(*parts: EncodedUsers, **settings: bool) -> nn.Module:
    _, state = encoded_users(events=600)
    torch.manual_seed(0)
    ranker = build_ranker("rosa", SETTINGS | settings, state.table_sizes, state.base_rates)
    fit_transitions(ranker, Parts(*parts), Ranks("cpu"))
    return ranker


def counted(*parts: EncodedUsers) -> Transitions:
    [found] = [part for part in fitted(*parts, transitions=True).modules() if isinstance(part, Transitions)]
    return found


def test_counts_of_parts_are_those_of_the_whole() -> None:
    users, _ = encoded_users(events=600)
    halves = users.take(np.arange(0, len(users), 2)), users.take(np.arange(1, len(users), 2))
    whole, parts = (counted(*given) for given in ([users], halves))
    assert whole.pairs["item", 1].counts.sum() > 0
    for name, values in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], values)


def test_workers_know_what_all_of_them_counted() -> None:
    users, _ = encoded_users(events=600)
    mine, others = users.take(np.arange(0, len(users), 2)), users.take(np.arange(1, len(users), 2))
    ranker = fitted(transitions=True)
    [transitions] = [part for part in ranker.modules() if isinstance(part, Transitions)]
    theirs = transitions.count(others.events, others.event_offsets, fold_of(others.user_key))
    count_transitions(transitions, [mine], TwoRanks(theirs))
    for name, values in counted(users).state_dict().items():
        torch.testing.assert_close(transitions.state_dict()[name], values)


def test_events_after_the_training_period_never_count() -> None:
    rows = tiny_rows(users=30)
    state, late = tiny_state(rows), rows.events["time_us"] > BOUNDS.valid_us
    changed = replace(rows, events={**rows.events, "item_key": np.where(late, 1, rows.events["item_key"])})
    told = []
    for each in (rows, changed):
        transitions = Transitions(state.table_sizes)
        reader = ShardReader([each.to_table()], state, context=10_000)
        count_transitions(transitions, reader.training(np.random.default_rng(0)), Ranks("cpu"))
        told.append(transitions.state_dict())
    assert late.any()
    assert told[0]["item_1_counts"].sum() > 0
    for name, values in told[0].items():
        assert values.equal(told[1][name]), name


def test_a_worker_without_users_counts_nothing() -> None:
    values_of = counted().state_dict()
    assert values_of.pop("category_usual_price").unique().tolist() == [NO_PRICE]
    assert all(values.sum() == 0 for values in values_of.values())


def test_a_model_that_reads_none_has_no_weights_more() -> None:
    users, _ = encoded_users(events=600)
    names = set(fitted(users, transitions=True).state_dict()) - set(fitted(users, transitions=False).state_dict())
    assert {name.split(".")[0] for name in names} == {"transitions"}
