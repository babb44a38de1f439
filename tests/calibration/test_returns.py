"""The numbers of ranking by return: the level of candidates, and how they are kept."""

import json

import numpy as np
import pytest

from rosa_ray.calibration import Calibration, Curve, HeadSums, Returns, fit_level


def test_shown_rows_stand_for_the_candidates_they_were_drawn_from() -> None:
    # Ads that the log shows often (1 / 1) were clicked as predicted; those shown rarely (1 in 9) never were.
    p, clicks = np.full(4000, 0.1), np.repeat([1, 0, 0], [200, 1800, 2000])
    often, rarely = np.ones(2000), np.full(2000, 9.0)
    level, told = fit_level(HeadSums().update(p, clicks, np.r_[often, rarely]), Curve(), 0.0)
    assert level == pytest.approx(200 / (0.1 * (2000 + 9 * 2000)), rel=1e-3)
    assert told == pytest.approx(200.0)


def test_few_clicks_move_the_level_little() -> None:
    few, many = (HeadSums().update(np.full(100 * n, 0.5), np.repeat([1, 0], [10 * n, 90 * n])) for n in (1, 50))
    levels = [fit_level(sums, Curve(), 25.0)[0] for sums in (few, many)]
    assert 0.2 < levels[1] < 0.22 < 0.45 < levels[0] < 0.5


def test_what_calibration_mends_needs_no_level() -> None:
    sums = HeadSums().update(np.full(1000, 0.5), np.repeat([1, 0], [119, 881]))
    halved = Curve((0.0, 1.0), (-2.0, -1.0))
    assert fit_level(sums, halved, 0.0)[0] == pytest.approx(1.0, abs=0.01)


def test_nothing_is_said_without_propensities_or_clicks() -> None:
    assert fit_level(HeadSums(), Curve(), 25.0) == (1.0, 0.0)
    assert fit_level(HeadSums().update(np.full(9, 0.5), np.zeros(9)), Curve(), 25.0) == (1.0, 0.0)


def test_a_calibration_keeps_them_and_they_change_no_score() -> None:
    kept = Calibration(returns=Returns(2.5, 0.75, 100, 40.0))
    assert Calibration.from_dict(json.loads(json.dumps(kept.to_dict()))) == kept
    scores = {name: np.array([0.3]) for name in ("p_ctr", "p_cvr", "value")}
    assert kept.apply(scores) == scores
    assert "returns" not in Calibration().to_dict()
    assert Calibration.from_dict(Calibration().to_dict()).returns == Returns()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"theta": -1.0}, "theta is -1.0; it must be finite and 0 or more"),
        ({"theta": float("nan")}, "theta is nan; it must be finite"),
        ({"level": 0.0}, "level is 0.0; it must be finite and above 0"),
    ],
)
def test_numbers_out_of_range_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Returns(**wrong)
    document = Calibration(returns=Returns(2.0)).to_dict()
    document["returns"] |= wrong
    with pytest.raises(ValueError, match=message):
        Calibration.from_dict(document)


def test_a_document_that_lacks_a_number_is_refused() -> None:
    document = Calibration(returns=Returns(2.0)).to_dict()
    del document["returns"]["level"]
    with pytest.raises(ValueError, match="it lacks or misspells 'level'"):
        Calibration.from_dict(document)
