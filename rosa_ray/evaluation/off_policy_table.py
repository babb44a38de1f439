"""Off-policy estimates for a terminal: each reward that the log has, by every estimator, with its interval."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from rosa_ray.metrics import ESTIMATORS

FEW_CLICKS = 10
"""With fewer clicks in the effective sample neither an estimate nor its interval is to be trusted."""
_POLICIES = {"off_policy": "this model's ranking", "off_policy_random": "random choice"}
_REWARDS = {"click": "clicks", "revenue": "revenue", "cost": "cost", "roi": "ROI"}


def off_policy_table(test: Mapping[str, Any]) -> Table | None:
    """The estimates of `policy_value`, per request; None where there are none.

    A reward that no shown ad brought is left out: its estimate would be 0 whatever the policy. Below the table stand
    the policies whose effective sample holds fewer than `FEW_CLICKS` clicks.
    """
    if not test.get("off_policy"):
        return None
    requests, level = test["off_policy"]["requests"], test["off_policy"]["level"]
    title = f"estimated from {requests:,} logged requests, per request, with {level:.0%} intervals"
    table = Table("policy", "effective sample", "reward", *(name.upper() for name in ESTIMATORS), title=title)
    found = {policy: test[key] for key, policy in _POLICIES.items()}
    rewards = [reward for reward in _REWARDS if any(_brings(one, reward) for one in found.values())]
    for policy, one in found.items():
        for reward in rewards:
            cells = (_cell((one[name] or {}).get(reward)) for name in ESTIMATORS)
            table.add_row(policy, f"{one['effective_sample_size']:,.0f}", _REWARDS[reward], *cells)
    few = [policy for policy, one in found.items() if "click" in rewards and _clicks(one) < FEW_CLICKS]
    if few:
        table.caption = f"{' and '.join(few)}: the effective sample is too small, trust neither estimate nor interval"
    return table


def _brings(found: Mapping[str, Any], reward: str) -> bool:
    one = (found["ips"] or {}).get(reward)
    return bool(one and one.get("estimate") is not None and (one["estimate"] or one["standard_error"]))


def _clicks(found: Mapping[str, Any]) -> float:
    """Clicks that the effective sample holds by the estimate."""
    rate = ((found["snips"] or {}).get("click") or {}).get("estimate") or 0.0
    return float(found["effective_sample_size"] * rate)


def _cell(one: Mapping[str, Any] | None) -> str:
    if one is None or one.get("estimate") is None:
        return "–"
    if one.get("low") is None or one.get("high") is None:
        return f"{one['estimate']:.4f}"
    return f"{one['estimate']:.4f} ({one['low']:.4f} to {one['high']:.4f})"
