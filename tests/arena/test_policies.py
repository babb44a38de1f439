"""Policies by name, functions and chains as policies."""

import numpy as np
import pytest

from rosa_ray.arena import Chain, Player, as_policy, parse_player
from rosa_ray.arena.budgeted import Hindsight
from rosa_ray.arena.slates import NONE
from rosa_ray.errors import ConfigError
from rosa_ray.metrics.scores import Ranking
from rosa_ray.policy.slate import Shown, Slate, Step
from tests.arena.worlds import slates

REVENUE, COST = [[1.0, 6.0, 8.0]], [[0.1, 1.0, 5.0]]


def test_hindsight_cannot_see_by_a_model_however_it_is_named() -> None:
    with pytest.raises(ConfigError, match="'x': hindsight knows all requests beforehand"):
        Player.of("x", Hindsight(), "model")


@pytest.mark.parametrize(("name", "slot"), [("roi", 0), ("profit", 1), ("ecpm", 2), ("dual:0.2", 2), ("dual:20", 0)])
def test_kinds_of_scores_choose_what_they_promise(name, slot):
    assert parse_player(name).build().choose(slates(REVENUE, COST)).tolist() == [slot]


def test_draws_follow_their_chances_and_skip_what_may_not_be_shown():
    shown = np.ones((400, 4), bool)
    shown[:, 2], shown[0] = False, False
    made = slates(np.ones((400, 4)), np.ones((400, 4)), shown_NK=shown)
    for name in ("random", "logging"):
        chosen = parse_player(name).build().choose(made)
        assert chosen[0] == NONE
        np.testing.assert_allclose(np.bincount(chosen[1:], minlength=4) / 399, [1 / 3, 1 / 3, 0, 1 / 3], atol=0.01)


def test_none_shows_nothing():
    assert parse_player("none").build().choose(slates(REVENUE, COST)).tolist() == [NONE]


def test_a_function_is_a_policy():
    assert as_policy(lambda made: np.full(len(made), 1)).choose(slates(REVENUE, COST)).tolist() == [1]
    assert Player.of("second", lambda made: np.full(len(made), 1)).build().choose(slates(REVENUE, COST)).tolist() == [1]


class Floor(Step):
    """Drops what earns less than a profit; counts what it was told."""

    def __init__(self, least: float) -> None:
        self.least, self.times, self.told = least, [], 0

    def apply(self, slate: Slate) -> Slate:
        self.times.append(slate.time_us)
        return slate.without(slate.revenue - slate.cost < self.least, "floor")

    def tell(self, shown: Shown) -> None:
        self.told += len(shown.cost)


def test_a_chain_of_steps_chooses_in_the_order_of_time():
    step = Floor(4.0)
    policy = Chain([step], Ranking("roi"))
    made = slates([*REVENUE, [1.0, 1.0, 1.0]], [*COST, [1.0, 1.0, 1.0]], time_us=[9, 3])
    assert policy.choose(made).tolist() == [1, NONE]
    assert step.times == [3, 9]
    policy.tell(Shown(*(np.zeros(2, int),) * 4, np.ones(2), np.zeros(2), np.zeros(2, bool)))
    assert step.told == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("greedy", "policy 'greedy' is unknown; known are logging, random"),
        ("roi:2", "policy 'roi:2' is unknown"),
        ("dual", "policy 'dual' needs a theta from 0 up"),
        ("dual:x", "policy 'dual:x' needs a theta from 0 up"),
        ("dual:-1", "needs a theta from 0 up"),
        ("dual:nan", "needs a theta from 0 up"),
        (
            "roi@best",
            "'roi@best' asks for 'best' estimates; give @noisy, @true, @nightly, @model, or the directory",
        ),
        ("hindsight@model", "policy 'hindsight@model': hindsight knows all requests beforehand, and no model does"),
        ("best+floor", "policy 'best[+]floor' is unknown"),
        ("random+floor", "policy 'random[+]floor' is unknown; .* with steps behind a score such as roi[+]floor"),
        ("roi+flor", "policy 'roi[+]flor' has no step 'flor'; steps are budget, diversity"),
        ("profit+floor:few", "policy 'profit[+]floor:few' needs a number behind floor, not 'few'"),
        ("profit+floor:nan", "policy 'profit[+]floor:nan' needs a number behind floor, not 'nan'"),
        ("profit+frequency_cap:1.5", "most is 1.5: it should be a valid integer"),
        ("profit+explore:2", "policy 'profit[+]explore:2': explore: .*epsilon is 2.0; it must be from 0 to 1"),
        ("profit+explore+floor", "policy 'profit[+]explore[+]floor': explore must be its last step"),
        ("roi+budget", "policy 'roi[+]budget' has budget, which needs the score dual or profit, not roi"),
        ("roi+ucb", "policy 'roi[+]ucb' has ucb, which needs the score dual or profit or ecpm, not roi"),
        ("profit+budget:2", "budget takes no number; --budget-share says what campaigns may spend"),
    ],
)
def test_a_wrong_name_is_one_line(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_player(text)
