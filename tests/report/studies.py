"""Synthetic studies: the shape of each kind's document, with invented figures."""

from typing import Any

import numpy as np

LABELS = {"wide_deep": "Wide & Deep", "deepfm": "DeepFM", "din": "DIN", "sasrec": "SASRec", "rosa": "ROSA-Rec"}
PAPER = {
    "wide_deep": {"auc": 0.781, "cvr_auc": 0.701, "roi_gain": 100, "latency_p50_ms": 35},
    "deepfm": {"auc": 0.792, "cvr_auc": 0.715, "roi_gain": 108.7, "latency_p50_ms": 38},
    "din": {"auc": 0.812, "cvr_auc": 0.736, "roi_gain": 115.4, "latency_p50_ms": 42},
    "sasrec": {"auc": 0.826, "cvr_auc": 0.748, "roi_gain": 121.8, "latency_p50_ms": 45},
    "rosa": {"auc": 0.854, "cvr_auc": 0.781, "roi_gain": 134.6, "latency_p50_ms": 48},
}
TARGETS = {"auc": 0.028, "cvr_auc": 0.033, "roi_gain": 10.5, "true_auc": None}
WIDTHS = {
    "auc": 0.004,
    "true_auc": 0.001,
    "cvr_auc": 0.011,
    "logloss": 0.0012,
    "roi_gain": 5.0,
    "policy_roi": 0.2,
    "covered_share": 0.03,
}


def comparison() -> dict[str, Any]:
    """A comparison of the five models in which ROSA-Rec leads."""
    variants = [_variant(name, LABELS[name], 0.70 + 0.012 * at) for at, name in enumerate(LABELS)]
    return _study("compare", "rosa compare simulator", "wide_deep", variants) | {"paper": PAPER}


def ablation() -> dict[str, Any]:
    """An ablation in which every part helps, the shared tables most."""
    parts = ["decay", "behavior_bias", "cross_attention", "roi_loss", "high_value", "shared_tables"]
    less = [
        _variant(f"no_{part}", f"without {part.replace('_', ' ')}", 0.742 - 0.004 * at) for at, part in enumerate(parts)
    ]
    variants = [_variant("rosa", "ROSA-Rec, whole", 0.748), *less]
    said = ["decay: adds +0.0060 AUC (+0.0020 … +0.0100)", "the encoder adds nothing here: use DIN"]
    return _study("ablate", "rosa ablate simulator", "rosa", variants) | {"paper": {}, "verdicts": said}


def weights() -> dict[str, Any]:
    """Other task weights, all worse."""
    others = [_variant("ctr_only", "clicks only", 0.74), _variant("gradnorm", "learned: GradNorm", 0.745)]
    return _study("weights", "rosa weights simulator", "rosa", [_variant("rosa", "ROSA-Rec", 0.748), *others])


def curve() -> dict[str, Any]:
    """Two models on a quarter and on all of the users, and ROSA-Rec wider."""
    variants = [
        _on_share(_variant(f"{model}-share0.25", f"{label}, 0.25 of the users", auc - 0.03), model, 0.25)
        for model, label, auc in (("din", "DIN", 0.73), ("rosa", "ROSA-Rec", 0.748))
    ]
    variants += [_variant("din", "DIN", 0.73), _variant("rosa", "ROSA-Rec", 0.748)]
    wider = _variant("rosa-wider", "ROSA-Rec, twice as wide", 0.746) | {"model": "rosa"}
    return _study("curve", "rosa curve simulator", "din-share0.25", [*variants, wider])


def _on_share(variant: dict[str, Any], model: str, share: float) -> dict[str, Any]:
    trials = [trial | {"history": [{"samples": int(100_000 * share)}]} for trial in variant["trials"]]
    return variant | {"model": model, "training": {"user_share": share}, "trials": trials}


def _study(kind: str, command: str, reference: str, variants: list[dict[str, Any]]) -> dict[str, Any]:
    champion = next(one for one in variants if one["name"] == "rosa")
    gaps = [_gap(champion, one, metric) for metric in TARGETS for one in variants if one is not champion]
    return {
        "kind": kind,
        "date": "2026-01-31",
        "machine": "2 cores",
        "command": command,
        "reference": reference,
        "champion": "rosa",
        "seeds": [1, 2, 3],
        "data": {
            "users": 8000,
            "events": 480000,
            "impressions": 221000,
            "test_impressions": 45000,
            "source": "simulator",
        },
        "variants": variants,
        "gaps": gaps,
        "ceilings": {"true_auc": 0.8123, "true_cvr_auc": None},
    }


def _variant(name: str, label: str, auc: float) -> dict[str, Any]:
    mean = {
        "auc": auc,
        "true_auc": auc + 0.005,
        "true_excess_logloss": 0.03 - auc / 40,
        "cvr_auc": auc - 0.03,
        "ctcvr_auc": auc + 0.11,
        "logloss": 0.25 - auc / 6,
        "roi_gain": 100 + 600 * (auc - 0.70),
        "revenue_index": 1 + 4 * (auc - 0.70),
        "policy_roi": 2 + 20 * (auc - 0.70),
        "covered_share": 0.3 + 5 * (auc - 0.70),
        "pcoc": 1.02,
        "latency_p50_ms": 6 + 60 * (auc - 0.70),
        "samples_per_s": 9000 - 90000 * (auc - 0.70),
    }
    fpr = np.linspace(0, 1, 60)
    tpr = fpr ** (1 / auc - 1)
    return {
        "name": name,
        "label": label,
        "model": name,
        "training": {},
        "settings": {"width": 64},
        "learning_rate": 5e-4,
        "trials": [_trial(seed, auc) for seed in (1, 2, 3)],
        "mean": mean,
        "std": {key: width / 4 for key, width in WIDTHS.items()},
        "low": {key: mean[key] - width for key, width in WIDTHS.items()},
        "high": {key: mean[key] + width for key, width in WIDTHS.items()},
        "roc": {
            "fpr": fpr.tolist(),
            "tpr": tpr.tolist(),
            "tpr_low": np.maximum(tpr - 0.02, 0).tolist(),
            "tpr_high": np.minimum(tpr + 0.02, 1).tolist(),
        },
    }


def _trial(seed: int, auc: float) -> dict[str, Any]:
    test = {"auc": auc + 0.001 * (seed - 2), "cvr_auc": auc - 0.03, "logloss": 0.13, "policy_roi": 2.5, "pcoc": 1.02}
    return {
        "seed": seed,
        "epochs": 5,
        "best_epoch": 3,
        "train_seconds": 200.0,
        "valid": {},
        "test": test,
        "history": [{"samples": 100_000}],
    }


def _gap(champion: dict[str, Any], other: dict[str, Any], metric: str) -> dict[str, Any]:
    gap, half = champion["mean"][metric] - other["mean"][metric], 0.6 * WIDTHS[metric]
    return {
        "champion": champion["name"],
        "baseline": other["name"],
        "metric": metric,
        "gap": gap,
        "low": gap - half,
        "high": gap + half,
        "target": TARGETS[metric],
        "verdict": "helps" if gap > half else "within the noise",
    }


def sweep() -> dict[str, Any]:
    """A sweep of four trials: trial 2 wins, trial 3 was stopped."""
    space = {
        "loss.beta": {"log": [0.1, 5.0]},
        "model.layers": {"integers": [1, 4]},
        "model.decay": {"choice": [True, False]},
    }
    drawn = [(1.0, 2, True), (0.5, 1, False), (4.0, 4, True), (0.2, 3, True)]
    reached = [(1.5, 0.70, 0.10), (1.2, 0.69, 0.30), (2.5, 0.68, 0.05), ()]
    objectives = {"policy_roi": "max", "auc": "max", "calibration": "min"}
    figures = {"policy_roi": 2.25, "auc": 0.68, "pcoc": None}
    return {
        "kind": "tune",
        "metric": "valid_auc",
        "objectives": objectives,
        "policy_value": "exact",
        "policy_value_means": "expected ROI of showing each validation request its best ad",
        "space": space,
        "trials": [
            {
                "number": number,
                "state": "complete" if values else "stopped",
                "params": dict(zip(space, params, strict=True)),
                "values": dict(zip(objectives, values, strict=False)),
                "epochs": 3 if values else 1,
                "seconds": 12.0 if values else None,
                "error": None,
            }
            for number, (params, values) in enumerate(zip(drawn, reached, strict=True))
        ],
        "front": [0, 2],
        "winner": 2,
        "default": 0,
        "rule": "best policy_roi of the front",
        "importance": {"policy_roi": {"loss.beta": 0.7, "model.layers": 0.3}, "auc": {}, "calibration": {}},
        "sessions": [60.0, 120.0],
        "test": {
            "winner": figures,
            "default": figures | {"policy_roi": 2.0},
            "policy_roi_gap": {"gap": 0.25, "low": -0.1, "high": 0.6},
        },
    }
