"""What every step keeps. A new one is found by the name of its file."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.errors import ConfigError
from rosa_ray.metrics.scores import Ranking
from rosa_ray.policy.slate import Slate, Step, decide, run_chain
from rosa_ray.policy.steps import build_steps, config_class, step_module, step_names
from rosa_ray.policy.steps.budget import Campaign
from rosa_ray.settings import Tagged
from tests.policy.slates import at, equal, part_of, random_shown, random_slate

SETTINGS: dict[str, dict[str, Any]] = {
    "budget": {"campaigns": {str(key): Campaign(daily_budget=12.0, min_roas=1.5) for key in range(1, 4)}},
    "explore": {"epsilon": 0.5},
    "floor": {"least": 1.0},
    "frequency_cap": {"most": 2, "per": "campaign"},
}

every_step = pytest.mark.parametrize("name", step_names())
seeds = st.integers(0, 10_000)


def built(name: str) -> Step:
    config = config_class(name)(**SETTINGS.get(name, {}))
    if name != "budget":
        return build_steps([Tagged(name, config)])[0]
    module = step_module(name)
    step: Step = module.Rule(config, named={int(key): one for key, one in config.campaigns.items()})
    return step


def same(one: Slate, other: Slate) -> bool:
    return equal(vars(one), vars(other))


def test_an_unknown_step_is_named_with_those_that_exist() -> None:
    with pytest.raises(
        ConfigError, match="'flor'; it must be one of budget, diversity, explore, fairness, floor, frequency_cap"
    ):
        config_class("flor")


@every_step
@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_a_step_only_takes_out_and_changes_no_array(name: str, seed: int) -> None:
    step = built(name)
    step.tell(random_shown(seed))
    before = random_slate(seed)
    kept = {field: np.copy(values) for field, values in vars(before).items() if isinstance(values, np.ndarray)}
    after = step.apply(before)
    assert all(np.array_equal(vars(before)[field], values) for field, values in kept.items())
    assert not (after.shown & ~before.shown).any()
    assert len(after.score) == len(before.score)
    assert np.isfinite(after.score).all()
    assert same(step.apply(before), after)


@every_step
@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_what_was_taken_out_is_said(name: str, seed: int) -> None:
    step = built(name)
    step.tell(random_shown(seed))
    before = random_slate(seed)
    after = step.apply(before)
    if after.shown.sum() < before.shown.sum():
        assert after.said[name]


@every_step
@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_the_order_of_candidates_decides_nothing(name: str, seed: int) -> None:
    step, slate = built(name), random_slate(seed)
    step.tell(random_shown(seed))
    moved = np.random.default_rng(seed).permutation(len(slate.score))
    arrays = {
        field: values[moved]
        for field, values in vars(slate).items()
        if isinstance(values, np.ndarray) and len(values) == len(moved)
    }
    ads = [one.ad_key[one.order].tolist() for one in (step.apply(slate), step.apply(replace(slate, **arrays)))]
    assert ads[0] == ads[1]


@every_step
@settings(max_examples=40, deadline=None)
@given(seed=seeds, cut=st.integers(0, 40), told_us=st.integers(0, 90))
def test_any_order_and_any_split_of_what_is_told_give_one_state(name: str, seed: int, cut: int, told_us: int) -> None:
    shown = random_shown(seed)
    whole, apart, other = built(name), built(name), built(name)
    whole.tell(shown)
    order = np.random.default_rng(seed + 1).permutation(len(shown.cost))
    for row in order[:cut]:
        apart.tell(part_of(shown, [row]))
    other.tell(part_of(shown, order[cut:]))
    apart.merge(other.snapshot())
    assert equal(apart.snapshot(), whole.snapshot())
    slate = random_slate(seed, time_us=at(float(told_us)))
    assert same(apart.apply(slate), whole.apply(slate))


@pytest.mark.parametrize("name", [name for name in step_names() if "ecpm" in getattr(step_module(name), "SCORES", ())])
@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_revenue_of_a_thousand_impressions_is_decided_as_that_of_one(name: str, seed: int) -> None:
    decided = []
    for per_revenue in (1.0, Ranking("ecpm").per_revenue):
        step = built(name)
        step.tell(random_shown(seed))
        for place in range(5):
            slate = random_slate(seed + place)
            slate = decide([step], replace(slate, score=per_revenue * slate.revenue, per_revenue=per_revenue), at())
        chances = None if slate.propensity is None else slate.propensity.tolist()
        decided.append((slate.ad_key[slate.order].tolist(), chances, slate.score / per_revenue))
    assert decided[0][:2] == decided[1][:2]
    assert decided[0][2] == pytest.approx(decided[1][2])


@every_step
def test_a_snapshot_is_what_a_new_process_starts_from(name: str) -> None:
    first, second = built(name), built(name)
    first.tell(random_shown(3))
    second.merge(first.snapshot())
    assert equal(first.snapshot(), second.snapshot())
    assert same(first.apply(random_slate(3)), second.apply(random_slate(3)))


@every_step
def test_telling_nothing_changes_nothing(name: str) -> None:
    step, shown = built(name), random_shown(1)
    before = step.snapshot()
    step.tell(part_of(shown, slice(0, 0)))
    assert equal(step.snapshot(), before)


@every_step
def test_a_snapshot_does_not_move_with_the_state(name: str) -> None:
    step = built(name)
    step.tell(random_shown(1))
    before, again = step.snapshot(), step.snapshot()
    step.tell(random_shown(2))
    assert equal(before, again)


def test_all_steps_after_one_another() -> None:
    steps = [built(name) for name in ("floor", "budget", "ucb", "linucb", "frequency_cap", "diversity", "explore")]
    for step in steps:
        step.tell(random_shown(5))
    slate = run_chain(steps, random_slate(5))
    assert slate.propensity is not None
    assert slate.propensity.sum() == pytest.approx(1.0)
    assert 0 < slate.order.size < 30
