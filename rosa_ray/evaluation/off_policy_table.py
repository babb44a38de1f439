"""Off-policy estimates for a terminal: each reward that the log has, by every estimator, with its interval."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from rosa_ray.metrics import ESTIMATORS

_POLICIES = {"off_policy": "this model's ranking", "off_policy_random": "random choice"}
_REWARDS = {"click": "clicks", "revenue": "revenue", "cost": "cost", "roi": "ROI"}


def off_policy_table(test: Mapping[str, Any]) -> Table | None:
    """The estimates of `policy_value`, per request; None where there are none.

    A reward that no shown ad brought is left out: its estimate would be 0 whatever the policy.
    """
    if not test.get("off_policy"):
        return None
    requests, level = test["off_policy"]["requests"], test["off_policy"]["level"]
    title = f"estimated from {requests:,} logged requests, per request, with {level:.0%} intervals"
    table = Table("policy", "effective sample", "reward", *(name.upper() for name in ESTIMATORS), title=title)
    for key, policy in _POLICIES.items():
        for row in _rows(test[key]):
            table.add_row(policy, f"{test[key]['effective_sample_size']:,.0f}", *row)
    return table


def _rows(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for reward, words in _REWARDS.items():
        estimates = [(found[name] or {}).get(reward) for name in ESTIMATORS]
        if estimates[0] and (estimates[0]["estimate"] or estimates[0]["standard_error"]):
            yield words, *(_cell(one) for one in estimates)


def _cell(one: Mapping[str, Any] | None) -> str:
    if one is None or one.get("estimate") is None:
        return "–"
    if one.get("low") is None or one.get("high") is None:
        return f"{one['estimate']:.4f}"
    return f"{one['estimate']:.4f} ({one['low']:.4f} to {one['high']:.4f})"
