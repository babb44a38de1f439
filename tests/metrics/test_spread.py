import numpy as np
import pytest

from rosa_ray.metrics import fit_spread, respread


def _shop(power: float, groups: int = 3000, size: int = 8, seed: int = 0):
    """Clicks of probabilities that are `power` of the told ones within each group, whose level is anything."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), size)
    told = np.exp(rng.normal(-3, 0.7, group.size) + rng.normal(0, 0.5, groups)[group])
    raised = told**power
    true = raised / np.bincount(group, raised)[group] * np.exp(rng.normal(-1.5, 0.4, groups))[group]
    return np.minimum(told, 1), (rng.random(group.size) < np.minimum(true, 1)).astype(int), group


@pytest.mark.parametrize("power", [0.5, 1.0, 1.6])
def test_the_exponent_is_found_whatever_the_level(power):
    p, clicks, group = _shop(power)
    found = fit_spread(p, clicks, group)
    assert found.exponent == pytest.approx(power, abs=4 * found.standard_error)
    assert found.standard_error < 0.08
    halved = fit_spread(p / 2, clicks, group)
    assert halved.exponent == pytest.approx(found.exponent, abs=1e-6)


def test_two_rows_by_hand():
    # Of 100 clicks 80 fell on the row told twice as likely: 2^k = 4.
    p, group = np.tile([0.1, 0.2], 100), np.repeat(np.arange(100), 2)
    clicks = np.zeros(200)
    clicks[1:160:2], clicks[160::2] = 1, 1
    found = fit_spread(p, clicks, group)
    assert found.exponent == pytest.approx(2.0)
    assert found.standard_error == pytest.approx(1 / np.sqrt(100 * 0.8 * 0.2 * np.log(2) ** 2))
    assert found.clicks == 100


def test_a_thinned_log_asks_for_the_same():
    p, clicks, group = _shop(0.6, groups=6000)
    kept = (clicks == 1) | (np.random.default_rng(1).random(clicks.size) < 0.5)
    weights = np.where(clicks == 1, 1.0, 2.0)
    thinned = fit_spread(p[kept], clicks[kept], group[kept], weights[kept])
    assert thinned.exponent == pytest.approx(0.6, abs=4 * thinned.standard_error)


@pytest.mark.parametrize(
    ("p", "clicks", "group"),
    [
        ([], [], []),
        ([0.1, 0.2], [0, 0], [1, 1]),
        ([0.1, 0.2], [1, 0], [1, 2]),
        ([0.2, 0.2], [1, 0], [1, 1]),
    ],
)
def test_nothing_to_tell_leaves_probabilities_as_they_are(p, clicks, group):
    found = fit_spread(p, clicks, np.array(group, np.int64))
    assert (found.exponent, found.standard_error, found.clicks) == (1.0, None, 0.0)


def test_a_click_at_every_best_row_stops_at_the_bound():
    p, group = np.tile([0.1, 0.2], 50), np.repeat(np.arange(50), 2)
    assert fit_spread(p, np.tile([0, 1], 50), group).exponent == 3.0
    assert fit_spread(p, np.tile([1, 0], 50), group).exponent == 0.1


def test_groups_keep_their_sums_and_order():
    rng = np.random.default_rng(0)
    p, group = rng.uniform(0, 0.2, 60), rng.integers(-3, 9, 60)
    for exponent in (0.4, 1.0, 2.0):
        changed = respread(p, group, exponent)
        for one in np.unique(group):
            assert changed[group == one].sum() == pytest.approx(p[group == one].sum())
            assert (np.argsort(changed[group == one]) == np.argsort(p[group == one])).all()
    assert respread(p, group, 1.0) == pytest.approx(p)
