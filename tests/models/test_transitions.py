import math

import numpy as np
import pytest
import torch

from rosa_ray.models.exact_match import HALF_LIVES_HOURS
from rosa_ray.models.transitions import (
    HORIZONS,
    MOST_LIFT,
    PRIOR_EVENTS,
    USUAL_LIFT,
    Transitions,
    choose_slots,
    count_transitions,
    excess_lift,
)
from rosa_ray.schema import FOLDS
from rosa_ray.units import HOUR_US

TENT, STOVE, SHOE = 1, 2, 3
ROWS = 4
NOTHING = 1e-5
"""Less than any event counts here; what float32 leaves of a count of none."""


def counts(fold: int = 0, times: float = 1000) -> torch.Tensor:
    """Tents lead to stoves, stoves to shoes and shoes to both alike, as counted of one fold."""
    found = torch.zeros(FOLDS, len(HORIZONS), ROWS + 1, ROWS + 1)
    for first, then in [(TENT, STOVE), (STOVE, SHOE), (SHOE, TENT), (SHOE, STOVE)]:
        found[fold, :, first, then] = times
    return found


def part(counts_KGCC: torch.Tensor, window: int = 50) -> Transitions:
    transitions = Transitions(ROWS, window, behaviors=2)
    transitions.set_counts(torch.arange(ROWS), counts_KGCC)
    return transitions


def read(transitions: Transitions, ad: int, visible: int, fold: int | None = None) -> torch.Tensor:
    """Counts of one ad at hour 12 after a tent bought at hour 0 and a stove seen at hour 11."""
    events = {
        "time_us": torch.tensor([[0, 11 * HOUR_US]]),
        "category": torch.tensor([[TENT, STOVE]]),
        "behavior": torch.tensor([[1, 0]]),
    }
    shown = {
        "time_us": torch.tensor([[12 * HOUR_US]]),
        "visible": torch.tensor([[visible]]),
        "category": torch.tensor([[ad]]),
    }
    found = transitions(shown, events, None if fold is None else torch.tensor([fold]))
    ages = [12, 1][max(visible - transitions.window, 0) : visible]
    usual = torch.tensor([sum(USUAL_LIFT * math.exp2(-age / hours) for age in ages) for hours in HALF_LIVES_HOURS])
    by_age = found[0, 0].view(len(HORIZONS), len(HALF_LIVES_HOURS), 2) + torch.log1p(usual)[:, None]
    return torch.expm1(by_age)


def test_an_event_counts_by_its_lift_its_age_and_its_behaviour() -> None:
    found = read(part(counts()).eval(), ad=STOVE, visible=2)
    # Half of all moves go to stoves, and a quarter to tents, where an event of a tent cannot go.
    usual = 0.5 / (1 - 0.25)
    lift = (1000 + PRIOR_EVENTS) / (1000 * usual + PRIOR_EVENTS) - 1
    expected = [lift * math.exp2(-12 / hours) for hours in HALF_LIVES_HOURS]
    for horizon in found:
        assert horizon[:, 1].tolist() == pytest.approx(expected, rel=1e-3)
        assert horizon[:, 0].abs().max() < NOTHING


def test_an_event_that_the_ad_does_not_see_counts_nowhere() -> None:
    assert read(part(counts()).eval(), ad=SHOE, visible=1)[..., 0].abs().max() < NOTHING
    assert read(part(counts()).eval(), ad=SHOE, visible=2)[..., 0].min() > NOTHING
    assert read(part(counts(), window=1).eval(), ad=STOVE, visible=2).abs().max() < NOTHING


def test_in_training_a_user_reads_the_counts_of_other_folds_alone() -> None:
    transitions = part(counts(fold=2)).train()
    own, others = read(transitions, STOVE, 2, fold=2), read(transitions, STOVE, 2, fold=1)
    assert own.abs().max() < NOTHING
    torch.testing.assert_close(others, read(transitions.eval(), STOVE, 2, fold=2))


def test_new_weights_are_read_at_once() -> None:
    transitions = part(counts()).eval()
    before = read(transitions, STOVE, 2)
    transitions.load_state_dict(part(torch.zeros_like(counts())).state_dict())
    assert before.max() > 0
    assert read(transitions, STOVE, 2).abs().max() < NOTHING


def test_rare_transitions_stay_near_the_usual_and_frequent_ones_below_the_limit() -> None:
    once, often = torch.ones(30, 30) * 100, torch.ones(30, 30) * 100
    once[:, 1], often[:, 1] = 0, 0
    once[2, 1], often[2, 1] = 1, 1000
    assert 0 < excess_lift(once)[2, 1] <= 1 / PRIOR_EVENTS
    assert excess_lift(often)[2, 1] == MOST_LIFT
    assert excess_lift(torch.zeros(3, 3)).abs().max() == 0


def test_transitions_are_counted_within_users_and_horizons_and_not_to_the_same() -> None:
    slot = np.array([1, 1, 2, 0, 3, 1])
    found = count_transitions(slot, np.array([0, 5, 6]), np.array([1, 0]), slots=4)
    assert found[0].sum() == found[2:].sum() == 0
    assert found[1, 0, 1, 2] == 2
    assert found[1, 0, 1, 3] == 2
    assert found[1, 0, 2, 3] == 1
    assert found[1, 0].sum() == 5


def test_a_longer_horizon_counts_more() -> None:
    slot = np.array([1, *([2] * HORIZONS[0]), 3])
    found = count_transitions(slot, np.array([0, len(slot)]), np.array([0]), slots=4)[0]
    assert found[0, 1, 3] == 0
    assert found[1, 1, 3] == 1


def test_the_most_frequent_categories_have_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rosa_ray.models.transitions.MOST_CATEGORIES", 2)
    assert choose_slots(torch.tensor([9, 1, 5, 7])).tolist() == [0, 0, 2, 1]


def test_running_means_of_weights_keep_counts_and_slots() -> None:
    transitions = part(counts())
    averaged = torch.optim.swa_utils.AveragedModel(
        transitions, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.7), use_buffers=True
    )
    for _ in range(5):
        averaged.update_parameters(transitions)
    for name, buffer in transitions.state_dict().items():
        assert averaged.module.state_dict()[name].tolist() == buffer.tolist()
