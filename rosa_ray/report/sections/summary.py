"""Headline figures of the test period, and what they mean in plain words."""

from typing import Any

from rosa_ray.features import Split
from rosa_ray.metrics import BootstrapConfig, Interval, auc_interval, conversion_weights
from rosa_ray.report.blocks import missing, tiles
from rosa_ray.report.heads import HEADS
from rosa_ray.report.markup import Child, tag
from rosa_ray.report.numbers import SCORE_WORDS, count, is_number, minute, number, percent
from rosa_ray.report.run_files import RunFiles

TITLE, ORDER = "Summary", 10
_BOOTSTRAP = BootstrapConfig(replicates=200)
_HEADLINES = {
    "CTR AUC": "auc",
    "CVR AUC": "cvr_auc",
    "CTCVR AUC": "ctcvr_auc",
    "PCOC": "pcoc",
    "Revenue PCOC": "revenue_pcoc",
}
_PARTS = {"ctr": "click probabilities", "cvr": "conversion probabilities", "value": "values of a conversion"}


def render(run: RunFiles) -> Child:
    """Tiles and sentences."""
    if run.metrics is None:
        return missing("Test metrics are", run.command("evaluate"))
    test = run.metrics["test"]
    sentences = [_ranking(run, test), _calibration(test), *_policy(test)]
    return [tiles(_tiles(run, test)), tag("p", " ".join(sentences), class_="lead"), _findings(run, test)]


def _findings(run: RunFiles, test: dict[str, Any]) -> Child:
    """A verdict per head, why headline figures are missing, and what calibration could not correct."""
    assert run.metrics is not None
    lines = [verdict["words"] for verdict in run.metrics.get("verdict", {}).values()]
    reasons = test.get("undefined", {})
    lines += [f"{title} is undefined: {reasons[name]}" for title, name in _HEADLINES.items() if name in reasons]
    fallbacks = run.bundle.calibration.fallbacks if run.bundle else {}
    lines += [f"Calibration of {_PARTS[part]} kept the raw score: {reason}" for part, reason in fallbacks.items()]
    return tag("ul", [tag("li", f"{line[:1].upper()}{line[1:]}.") for line in lines]) if lines else None


def _tiles(run: RunFiles, test: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        ("CTR AUC", number(test.get("auc")), _interval(run, 0)),
        ("CVR AUC", number(test.get("cvr_auc")), _interval(run, 1)),
        ("Log loss", number(test.get("logloss")), f"{number(test.get('normalised_entropy'), 3)} of the base rate’s"),
        ("PCOC", number(test.get("pcoc"), 3), "predicted over observed clicks; 1 is right"),
        ("Policy ROI", number(test.get("policy_roi"), 3), _policy_note(test)),
    ]


def _interval(run: RunFiles, head: int) -> str:
    rows = run.predictions(Split.TEST)
    if rows is None:
        return "clicked above unclicked" if head == 0 else "of clicked impressions"
    scores, labels, weights = HEADS[head].rows(rows)
    known = conversion_weights(rows, len(rows["click"])) > 0
    users = rows["user_key"] if head == 0 else rows["user_key"][known & (rows["click"] == 1)]
    found: Interval | None = auc_interval(scores, labels, users, _BOOTSTRAP, weights)
    if found:
        return f"95 %: {number(found.low, 3)} to {number(found.high, 3)}"
    reasons: dict[str, str] = (run.metrics or {}).get("test", {}).get("undefined", {})
    return f"undefined: {reasons.get(f'{HEADS[head].prefix}auc', 'one class only')}"


def _policy_note(test: dict[str, Any]) -> str:
    if not is_number(test.get("policy_roi")):
        return "no truth in this log"
    random, oracle = number(test.get("random_policy_roi"), 2), number(test.get("oracle_policy_roi"), 2)
    return f"random {random}, oracle {oracle}"


def _ranking(run: RunFiles, test: dict[str, Any]) -> str:
    bounds = (run.spec or {}).get("bounds", {})
    since = f" since {minute(bounds['test_us'])}" if is_number(bounds.get("test_us")) else ""
    return (
        f"The test period holds {count(test.get('n'))} impressions{_meant(test)}{since}, with "
        f"{count(test.get('clicks'))} clicks and {count(test.get('conversions'))} conversions{_unripe(test)}. "
        f"The model puts a clicked impression above an unclicked one in {percent(test.get('auc'))} of pairs, and "
        f"a converted click above another in {percent(test.get('cvr_auc'))}."
    )


def _unripe(test: dict[str, Any]) -> str:
    """How many impressions are too young for their conversions to be known."""
    unknown = test.get("unknown_conversions")
    return f" ({count(unknown)} impressions are too young to say)" if unknown and is_number(unknown) else ""


def _meant(test: dict[str, Any]) -> str:
    """How many impressions the rows stand for, where that is another number."""
    weight = test.get("weight")
    known = is_number(weight) and weight != test.get("n")
    return f" that stand for {count(round(weight))}" if weight is not None and known else ""


def _calibration(test: dict[str, Any]) -> str:
    pcoc = test.get("pcoc")
    if pcoc is None or not is_number(pcoc):
        return "Calibration is undefined: nothing was clicked."
    off = pcoc - 1
    if abs(off) < 0.005:
        return "It predicts as many clicks as there were."
    return f"It predicts {percent(abs(off))} {'more' if off > 0 else 'fewer'} clicks than there were."


def _policy(test: dict[str, Any]) -> list[str]:
    policy, share = test.get("policy_roi"), test.get("policy_roi_share")
    if policy is None or not is_number(policy):
        reason = test.get("policy_skipped")
        return [f"What its ranking would earn is not known exactly: {reason}."] if reason else []
    kind = SCORE_WORDS.get(test.get("score_kind", ""), "score")
    sentences = [
        f"Showing the top ad of each request by {kind} earns {number(policy + 1, 2)} for every 1 spent"
        f" (ROI {number(policy, 3)}); a random choice earns {number(_plus(test, 'random'), 2)}, and the "
        f"same rule with true probabilities {number(_plus(test, 'oracle'), 2)}."
    ]
    if is_number(share):
        sentences.append(f"That is {percent(share)} of the way from random to this oracle.")
    return sentences


def _plus(test: dict[str, Any], name: str) -> float | None:
    roi = test.get(f"{name}_policy_roi")
    return roi + 1 if roi is not None and is_number(roi) else None
