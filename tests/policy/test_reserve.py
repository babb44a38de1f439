"""Budgets that two replicas share through one ledger: what is overspent, also when one of them is killed."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from rosa_ray.policy.reserve import Reserve
from rosa_ray.policy.steps.budget import Campaign, Config, Rule
from tests.policy.slates import HOUR_US, at, slate_of

SETTLE_S, SECOND_US = 60.0, 1_000_000
BUDGET = 1000.0


@dataclass
class Shared:
    """A ledger that impressions reach some time after their answers."""

    rng: np.random.Generator
    lag_s: float
    arrives: list[tuple[int, float]] = field(default_factory=list)

    def show(self, cost: float, now_us: int) -> None:
        self.arrives.append((now_us + int(self.rng.uniform(0, self.lag_s) * SECOND_US), cost))

    def spent(self, now_us: int) -> float:
        arrives_us, cost = np.array(self.arrives or [(0, 0.0)]).T
        return float(cost[arrives_us <= now_us].sum())


def serve(
    seed: int,
    replicas: int = 2,
    kill: bool = False,
    lag_s: float = SETTLE_S,
    noise: float = 0.0,
    budget: float = BUDGET,
) -> float:
    """Requests by the second over most of an hour, many more than the budget pays for; what was spent of it."""
    rng = np.random.default_rng(seed)
    shared = Shared(rng, lag_s)
    config = Config({}, rate=0.0, replicas=replicas, settle_s=SETTLE_S)
    alive = [Rule(config, named={1: Campaign(daily_budget=budget)}) for _ in range(replicas)]
    reads_at = dict.fromkeys(range(replicas), at(1.0))
    for now_us in range(at(1.0), at(1.75), SECOND_US):
        if kill and now_us == at(1.0) + HOUR_US // 20:
            alive.pop()
        for number, rule in enumerate(alive):
            if now_us >= reads_at[number]:
                # A reading now and then, at most as old as the ledger takes to settle.
                rule.see(np.array([1]), np.array([at(1.0)]), np.array([round(shared.spent(now_us) * 1e6)]), now_us)
                reads_at[number] = now_us + int(rng.uniform(1, SETTLE_S) * SECOND_US)
        rule = alive[int(rng.integers(len(alive)))]
        expected = float(rng.exponential(1.0)) + 0.1
        answer = rule.apply(slate_of([99.0], [expected], time_us=now_us))
        rule.answered(answer, now_us)
        if answer.order.size:
            shared.show(expected * float(np.exp(noise * rng.standard_normal() - noise**2 / 2)), now_us)
    return shared.spent(at(24.0)) / budget


@pytest.mark.parametrize("kill", [False, True], ids=["both", "one is killed"])
@pytest.mark.parametrize("seed", range(4))
def test_two_replicas_overspend_nothing_and_leave_little(seed: int, kill: bool) -> None:
    spent = serve(seed, kill=kill)
    assert 0.97 < spent <= 1.0


@pytest.mark.parametrize("seed", range(4))
def test_costs_that_differ_from_what_was_expected_overspend_at_most_a_hundredth(seed: int) -> None:
    assert 0.97 < serve(seed, kill=True, noise=0.8) <= 1.01


def test_five_replicas_keep_the_budget_too() -> None:
    assert 0.9 < serve(1, replicas=5, kill=True) <= 1.0


def test_without_parts_two_replicas_would_overspend(monkeypatch: pytest.MonkeyPatch) -> None:
    """What parts are for: replicas that go by what the ledger says spend what is on its way to it once more."""
    monkeypatch.setattr(Reserve, "room", lambda self, time_us: self._left)
    assert serve(1, budget=100.0) > 1.05


def test_an_answer_counts_until_a_reading_is_younger_than_it_settles() -> None:
    reserve = Reserve(2, replicas=1, settle_us=100)
    assert reserve.room(0).tolist() == [0, 0]
    reserve.read(np.array([300, 30]), 0)
    reserve.take(0, 60, time_us=50)
    assert reserve.room(60).tolist() == [40, 10]
    reserve.read(np.array([240, 30]), 140)
    assert reserve.room(140).tolist() == [20, 10]
    reserve.read(np.array([240, 30]), 150)
    assert reserve.room(150).tolist() == [80, 10]


def test_an_old_reading_gives_no_room() -> None:
    reserve = Reserve(1, replicas=1, settle_us=100)
    reserve.read(np.array([300]), 0)
    assert (reserve.room(100).tolist(), reserve.room(101).tolist()) == ([100], [0])


def test_a_ledger_beyond_its_budget_gives_none() -> None:
    reserve = Reserve(1, replicas=1, settle_us=100)
    reserve.read(np.array([-5]), 0)
    assert reserve.room(0).tolist() == [0]
