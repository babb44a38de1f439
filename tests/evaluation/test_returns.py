"""What the validation period says of ranking by return."""

import numpy as np
import pytest

from rosa_ray.calibration import Calibration, CalibrationConfig, CalibrationSums, Returns
from rosa_ray.evaluation import returns as module
from rosa_ray.evaluation.returns import fit_returns


def part(first_request: int, requests: int, dear: float = 30.0) -> dict[str, np.ndarray]:
    """Requests of a cheap ad that earns 9 for 1, and a dear one that earns `dear` for 10."""
    rows = 2 * requests
    return {
        "p_ctr": np.full(rows, 0.5),
        "p_cvr": np.full(rows, 0.5),
        "value": np.tile([36.0, 4 * dear], requests),
        "price": np.ones(rows),
        "expected_cost": np.tile([1.0, 10.0], requests),
        "request_key": first_request + np.arange(rows) // 2,
        "impression_key": np.arange(rows) + 100 * first_request,
    }


def shown(clicks: int) -> CalibrationSums:
    """Rows predicted at one half, half of them in expectation, each drawn with propensity 1."""
    rows = np.zeros(400)
    columns = {"p_ctr": rows + 0.5, "p_cvr": rows + 0.5, "value": rows + 1, "revenue": rows, "conversion": rows}
    return CalibrationSums().update(columns | {"click": np.arange(400) < clicks, "propensity": rows + 1.0})


def test_theta_is_read_from_candidates_at_their_level() -> None:
    right = fit_returns(Calibration(), shown(200), [part(0, 5), part(5, 5)], CalibrationConfig())
    assert (right.requests, right.level) == (10, pytest.approx(1.0))
    # Above (30 - 9) / (10 - 1) = 2.33 the cheap ad is shown, which keeps 8 of 20.
    assert 2.1 < right.theta < 2.34
    halved = fit_returns(Calibration(), shown(100), [part(0, 5)], CalibrationConfig(prior_positives=0.0))
    assert halved.level == pytest.approx(0.5)
    # At half of the revenue that is (15 - 4.5) / 9 = 1.17.
    assert 1.0 < halved.theta < 1.17


def test_a_share_of_the_profit_may_be_given_up_for_a_higher_return() -> None:
    most, some = (
        fit_returns(Calibration(), shown(200), [part(0, 5)], CalibrationConfig(profit_kept=kept)).theta
        for kept in (1.0, 0.4)
    )
    assert most < 2.34 < 60 < some


def test_without_candidates_it_is_profit() -> None:
    assert fit_returns(Calibration(), CalibrationSums(), [], CalibrationConfig()) == Returns()


def test_unknown_costs_end_it() -> None:
    unknown = part(0, 5) | {"expected_cost": np.full(10, np.nan)}
    assert fit_returns(Calibration(), CalibrationSums(), [unknown], CalibrationConfig()) == Returns()


def test_it_asks_for_no_more_candidates_than_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CANDIDATES", 15)
    asked = []

    def parts():
        for number in range(9):
            asked.append(number)
            yield part(5 * number, 5)

    assert fit_returns(Calibration(), CalibrationSums(), parts(), CalibrationConfig()).requests == 10
    assert asked == [0, 1]
