import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rosa_ray.studies.sweep.front import pareto_front, pick_winner

WAYS = {"roi": "max", "auc": "max", "off": "min"}
# by hand: 1 is beaten by 0 (better everywhere), 4 equals 0 so both stay, 3 is worst in roi and auc but best calibrated
VALUES = {
    0: {"roi": 2.0, "auc": 0.70, "off": 0.10},
    1: {"roi": 1.9, "auc": 0.69, "off": 0.11},
    2: {"roi": 2.5, "auc": 0.65, "off": 0.30},
    3: {"roi": 1.0, "auc": 0.60, "off": 0.01},
    4: {"roi": 2.0, "auc": 0.70, "off": 0.10},
}


def test_the_front_by_hand() -> None:
    assert pareto_front(VALUES, WAYS) == [0, 2, 3, 4]
    assert pareto_front(VALUES, {"auc": "max"}) == [0, 4]
    assert pareto_front({}, WAYS) == []


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=12))
def test_the_front_is_what_nothing_dominates(rows: list[tuple[int, int, int]]) -> None:
    values = {at: dict(zip(WAYS, map(float, row), strict=True)) for at, row in enumerate(rows)}
    good = np.array(rows, float) * [1, 1, -1]
    beaten = [bool(((good >= one).all(1) & (good > one).any(1)).any()) for one in good]
    assert pareto_front(values, WAYS) == [at for at in range(len(rows)) if not beaten[at]]


def test_the_winner_is_the_best_within_the_calibration_bound() -> None:
    off: dict[int, float | None] = {number: found["off"] for number, found in VALUES.items()}
    front = pareto_front(VALUES, WAYS)
    assert pick_winner(VALUES, front, WAYS, "roi", 0.3, off) == 2
    assert pick_winner(VALUES, front, WAYS, "roi", 0.2, off) == 0
    assert pick_winner(VALUES, front, WAYS, "off", 0.2, off) == 3
    assert pick_winner(VALUES, front, WAYS, "roi", 0.001, off) == 3
    assert pick_winner(VALUES, front, WAYS, "roi", 0.2, {**off, 0: None, 4: None}) == 3
