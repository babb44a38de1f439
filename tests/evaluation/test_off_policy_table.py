"""Off-policy estimates on the terminal."""

import numpy as np
from rich.console import Console

from rosa_ray.evaluation.off_policy_table import off_policy_table
from rosa_ray.metrics import OffPolicy


def estimates(click: list[float], revenue: list[float]) -> dict[str, object]:
    found = OffPolicy().update(
        user_key=np.arange(4),
        propensity=np.full(4, 0.5),
        target=np.array([1.0, 0.0, 1.0, 0.0]),
        rewards={"click": np.array(click), "revenue": np.array(revenue), "cost": np.zeros(4)},
    )
    return found.compute()


def printed(test: dict[str, object]) -> str:
    table = off_policy_table(test)
    assert table is not None
    console = Console(width=200)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_rewards_of_the_log_stand_with_their_intervals() -> None:
    found = estimates([1, 0, 0, 1], [3.0, 0, 0, 0])
    text = printed({"off_policy": found, "off_policy_random": found})
    assert "estimated from 4 logged requests" in text
    assert text.count("clicks") == text.count("revenue") == 2
    assert "0.5000" in text
    assert "1.5000" in text


def test_a_reward_that_the_log_lacks_is_left_out() -> None:
    found = estimates([1, 0, 0, 1], [0.0] * 4)
    assert "revenue" not in printed({"off_policy": found, "off_policy_random": found})


def test_without_estimates_there_is_no_table() -> None:
    assert off_policy_table({"off_policy": None, "off_policy_skipped": "no propensities"}) is None


def test_a_policy_that_never_chose_a_clicked_ad_is_shown_with_zero() -> None:
    found = {"off_policy": estimates([0, 1, 0, 1], [0.0] * 4), "off_policy_random": estimates([1, 0, 0, 1], [0.0] * 4)}
    assert printed(found).count("clicks") == 2


def test_a_small_effective_sample_is_said() -> None:
    found = estimates([1, 0, 0, 1], [0.0] * 4)
    text = printed({"off_policy": found, "off_policy_random": found | {"effective_sample_size": 1_000.0}})
    assert "this model's ranking: the effective sample is too small" in " ".join(text.split())
    assert "random choice:" not in text
