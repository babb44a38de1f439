"""What a study says in words: what each part adds, with intervals, and whether the encoder earns its keep.

A gap counts where its interval excludes 0. A part adds something where one of the judged figures is better for it and
none is worse.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rosa_ray.studies.compare.variants import NO_ENCODER, STRONG

JUDGED = {
    "auc": "AUC",
    "cvr_auc": "CVR AUC",
    "true_auc": "AUC*",
    "true_cvr_auc": "CVR AUC*",
    "roi_gain_percent": "return on ad spend",
}
"""Figures that decide, in words; the more the better."""

TRUE = "true_"
"""A figure against the truth decides in place of the one by sampled labels, where there is a truth."""

Gap = Mapping[str, Any]
"""An entry of a document's `gaps`: the champion less another variant."""


def ablation_verdicts(document: Mapping[str, Any]) -> list[str]:
    """A line for each part that was taken away, and one for the encoder as a whole.

    Args:
        document: what `rosa ablate` writes, or its `variants`, `gaps` and `champion`.
    """
    labels = {row["name"]: row["label"] for row in document["variants"]}
    parts = [name for name in labels if name not in (document["champion"], NO_ENCODER, *STRONG)]
    lines = [_part_line(labels[name], _judged(document["gaps"], name)) for name in parts]
    return lines + ([_encoder_line(document, labels)] if NO_ENCODER in labels else [])


def comparison_verdict(document: Mapping[str, Any]) -> list[str]:
    """One line: the configured model against the baseline with the best AUC; none where no baseline has one."""
    champion = document["champion"]
    rivals = [row for row in document["variants"] if row["name"] != champion and _auc_of(row) is not None]
    if not rivals:
        return []
    best = max(rivals, key=_auc_order)
    label = next(row["label"] for row in document["variants"] if row["name"] == champion)
    return [f"{label} less the best baseline, {best['label']}: {_told(_judged(document['gaps'], best['name']))}"]


def best_simple(variants: Iterable[Mapping[str, Any]]) -> str:
    """Name of the variant without an encoder that has the best AUC.

    >>> best_simple([{"name": "trees", "mean": {"auc": 0.7}}, {"name": "rosa", "mean": {"auc": 0.8}}])
    'trees'
    """
    known = [row for row in variants if row["name"] in (NO_ENCODER, *STRONG)]
    return str(max(known, key=_auc_order)["name"])


def _auc_of(row: Mapping[str, Any]) -> float | None:
    """Against the truth where there is one."""
    mean = row["mean"]
    auc: float | None = mean["auc"] if mean.get(f"{TRUE}auc") is None else mean[f"{TRUE}auc"]
    return auc


def _auc_order(row: Mapping[str, Any]) -> float:
    auc = _auc_of(row)
    return -1.0 if auc is None else auc


def _part_line(label: str, gaps: Sequence[Gap]) -> str:
    part = label.removeprefix("without ")
    better, worse = _clear(gaps, 1), _clear(gaps, -1)
    if better and worse:
        return f"{part}: adds {_told(better)}, and costs {_told(worse)}"
    if better or worse:
        return f"{part}: {'adds' if better else 'costs'} {_told(better or worse)}"
    return f"{part}: adds nothing that can be told from noise; {_told(gaps)}"


def _encoder_line(document: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """Against the best variant without an encoder: what the encoder adds, or that it adds nothing."""
    rival = best_simple(document["variants"])
    gaps = _judged(document["gaps"], rival)
    better, worse = _clear(gaps, 1), _clear(gaps, -1)
    name = f"{labels[document['champion']]} {labels[rival]}" if rival == NO_ENCODER else labels[rival]
    if better and not worse:
        return f"the encoder: adds {_told(better)} to the best without one, {name}"
    if better:
        return f"the encoder: adds {_told(better)} to the best without one, {name}, and costs {_told(worse)}"
    return f"the encoder adds nothing here: use {name}; {labels[document['champion']]} less it: {_told(gaps)}"


def _judged(gaps: Iterable[Gap], against: str) -> list[Gap]:
    of = {gap["metric"]: gap for gap in gaps if gap["baseline"] == against and gap["gap"] is not None}
    return [of[name] for name in JUDGED if name in of and f"{TRUE}{name}" not in of]


def _clear(gaps: Iterable[Gap], sign: int) -> list[Gap]:
    """Gaps of a sign whose interval excludes 0."""
    return [gap for gap in gaps if gap["low"] is not None and min(sign * gap["low"], sign * gap["high"]) > 0]


def _told(gaps: Iterable[Gap]) -> str:
    return ", ".join(map(_figure, gaps)) or "no figure is defined"


def _figure(gap: Gap) -> str:
    """A gap with its interval.

    >>> _figure({"metric": "auc", "gap": -0.006, "low": -0.0107, "high": -0.0017})
    '-0.0060 AUC (-0.0107 … -0.0017)'
    """
    percent = gap["metric"] == "roi_gain_percent"
    form = "+.1f" if percent else "+.4f"
    interval = f"({gap['low']:{form}} … {gap['high']:{form}})"
    return f"{gap['gap']:{form}}{' %' if percent else ''} {JUDGED[gap['metric']]} {interval}"
