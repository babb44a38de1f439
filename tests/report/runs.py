"""Run directories without training: predictions, truth, metrics and a bundle of tiny invented figures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from rosa_ray.bundle import write_bundle
from rosa_ray.calibration import Returns
from rosa_ray.evaluation.kinds import value_kinds
from rosa_ray.features import FeatureConfig, Split
from rosa_ray.features.state import VERSION
from rosa_ray.metrics import Ranking, evaluate_policy, evaluate_predictions
from rosa_ray.models.decay import BehaviorDecayBias
from rosa_ray.schema import hash_ids

HEADS = 2
REQUESTS, CANDIDATES = 60, 4
OFF_POLICY = {
    "requests": 60,
    "effective_sample_size": 21.4,
    "mean_weight": 1.03,
    "clip": None,
    "clipped_share": 0.0,
    "ips": {
        "roi": {"estimate": 1.2345, "low": 0.5, "high": 2.0},
        "revenue": {"estimate": 0.3, "low": None, "high": None},
    },
    "dr": None,
}
OFF_POLICY_RANDOM = {**OFF_POLICY, "ips": {"roi": {"estimate": -0.25, "low": -0.4, "high": -0.1}}}

TRUE = {
    f"true_{head}{name}": value + (0.01 if head else 0)
    for head in ("", "cvr_")
    for name, value in {"auc": 0.7, "auc_ceiling": 0.8, "excess_logloss": 0.0123, "pcoc": 1.1}.items()
}

IMPORTANCE = {
    "model_version": "0123456789abcdef",
    "repeats": 5,
    "replicates": 200,
    "level": 0.95,
    "rows": 1234,
    "users": 56,
    "heads": {
        "clicks": {
            "rows": 1234,
            "positives": 200,
            "users": 56,
            "measure": "auc_lost",
            "undefined": None,
            "baseline": {"auc": 0.75, "logloss": 0.25},
            "fields": {
                "campaign": {
                    "auc_lost": {"mean": 0.0002, "low": -0.001, "high": 0.0014},
                    "logloss_added": {"mean": -0.00001, "low": -0.0001, "high": 0.0001},
                    "finding": "within chance",
                },
                "<b>history</b>": {
                    "auc_lost": {"mean": 0.1234, "low": 0.1, "high": 0.15},
                    "logloss_added": {"mean": 0.02, "low": 0.01, "high": 0.03},
                    "finding": "matters",
                },
            },
        },
        "value": {
            "rows": 0,
            "positives": 0,
            "users": 0,
            "measure": "log_error_added",
            "undefined": "no conversion with revenue",
            "baseline": {},
            "fields": {},
        },
    },
}


PARTS = {
    "model_version": "0123456789abcdef",
    "score_kind": "roi",
    "requests": 1234,
    "users": 56,
    "level": 0.95,
    "exponent": {"exponent": 0.87, "standard_error": 0.07, "clicks": 294.0, "within": "user"},
    "rows": [
        {"name": name, "words": words, "roi": roi, "profit": 70.0, "revenue": 90.0, "cost": 20.0, **gap}
        for name, words, roi, gap in (
            ("none", "the model as it is", 3.5, {"gap": 0.0, "low": None, "high": None, "verdict": None}),
            ("p_ctr", "true p_ctr", 4.75, {"gap": 1.25, "low": 1.0, "high": 1.5, "verdict": "helps"}),
            ("nothing", "cost 0", None, {"gap": None, "low": None, "high": None, "verdict": None}),
        )
    ],
}


def write_run(root: Path) -> Path:
    """Write a run that has every file a section reads, but no study."""
    predictions, truth = _predictions()
    _write_table(predictions, root / "evaluation/predictions/part-0.parquet")
    _write_table(truth, root / "log/truth/part-0.parquet")
    test, policy = (_rows(predictions, split) for split in (Split.TEST, Split.POLICY))
    true = {name: np.asarray(truth[name]) for name in ("expected_revenue", "expected_cost")}
    valid = evaluate_predictions(test) | TRUE
    metrics = {
        **evaluate_predictions(test),
        **evaluate_policy(Ranking("roi"), policy, true),
        "kinds": value_kinds(policy, true, Returns(2.0, 0.9)),
        **TRUE,
        **{name.replace("true_", "true_shown_"): value for name, value in TRUE.items()},
        "intervals": {"pcoc": {"low": 0.912, "high": 1.2345}, "true_auc": {"low": 0.6, "high": 0.7891}},
        "segments": _segments(test),
        "off_policy": OFF_POLICY,
        "off_policy_random": OFF_POLICY_RANDOM,
    }
    write_json({"model_version": "0123456789abcdef", "test": metrics, "valid": valid}, root / "evaluation/metrics.json")
    write_json(PARTS, root / "evaluation/parts.json")
    write_json(IMPORTANCE, root / "evaluation/importance.json")
    write_json({"best_epoch": 2, "epochs": 3, "seconds": 9.5, "history": _history()}, root / "train.json")
    write_json(_pretraining(), root / "pretrain.json")
    write_json(_data_report(), root / "data/report.json")
    write_json(
        {"bounds": {"valid_us": 2_000_000, "test_us": 3_000_000}, "start_us": 1, "end_us": 4_000_000},
        root / "data/spec.json",
    )
    write_json({"kind": "simulation"}, root / "log/log.json")
    (root / "config.yaml").write_text("seed: 7\nsource: {kind: log, path: ''}\ntraining: {epochs: 3}\n")
    _write_bundle(root / "bundle")
    return root


def _pretraining() -> dict[str, Any]:
    history = [
        {
            "epoch": epoch,
            "samples": 4321,
            "train_loss": 6.0 - 0.3 * epoch,
            "valid_loss": 6.1 - 0.2 * epoch,
            "valid_blank_loss": 6.25,
            "valid_popularity_loss": 6.5,
        }
        for epoch in (1, 2, 3)
    ]
    figures = {"digest": "0123456789abcdef", "epochs": 3, "best_epoch": 3, "seconds": 12.0, "events_per_s": 8765.0}
    return {**figures, "started_from": "", "loss": 5.5, "blank_loss": 6.25, "history": history}


def write_json(content: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _predictions() -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    rng = np.random.default_rng(0)
    request = np.repeat(np.arange(REQUESTS), CANDIDATES)
    names = [f"r{one}-{two}" for one, two in zip(request, np.arange(request.size), strict=True)]
    p_ctr, p_cvr, value = (
        rng.uniform(0.05, 0.4, request.size),
        rng.uniform(0.1, 0.6, request.size),
        np.full(request.size, 9.0),
    )
    cost = rng.uniform(0.1, 0.3, request.size)
    click = (rng.random(request.size) < p_ctr).astype(float)
    conversion = click * (rng.random(request.size) < p_cvr)
    table = {
        "user_key": request // 3,
        "impression_key": hash_ids(pa.array(names)),
        "request_key": request,
        "click": click,
        "conversion": conversion,
        "revenue": conversion * 9.0,
        "cost": cost,
        "expected_cost": cost,
        "p_ctr": p_ctr,
        "p_cvr": p_cvr,
        "p_ctcvr": p_ctr * p_cvr,
        "value": value,
        "raw_p_ctr": 0.8 * p_ctr,
        "raw_p_cvr": p_cvr,
    }
    both = {name: np.concatenate([column, column]) for name, column in table.items()}
    both["split"] = np.repeat([int(Split.TEST), int(Split.POLICY)], request.size).astype(np.int8)
    truth = {"impression_id": names, "expected_revenue": p_ctr * p_cvr * 8.0, "expected_cost": cost}
    return both, truth


def _rows(predictions: dict[str, np.ndarray], split: Split) -> dict[str, np.ndarray]:
    kept = predictions["split"] == int(split)
    return {name: column[kept] for name, column in predictions.items()}


def _segments(test: dict[str, np.ndarray]) -> dict[str, dict[str, dict[str, Any]]]:
    half = len(test["click"]) // 2
    parts = {"phone": test["click"][:half], "<script>alert(1)</script>": test["click"][half:]}
    rows = {name: {"n": len(part), "clicks": int(part.sum()), "pcoc": None} for name, part in parts.items()}
    return {"device": rows, "campaign": {}}


def _history() -> list[dict[str, Any]]:
    return [
        {
            "epoch": epoch,
            "samples": 240,
            "train_loss": 0.5 / epoch,
            "valid_loss": 0.6 / epoch,
            "train_ctr_loss": 0.4 / epoch,
            "valid_ctr_loss": 0.45,
            "train_weight_ctr": 1.0 + epoch,
            "valid_auc": 0.6 + 0.01 * epoch,
            "valid_cvr_auc": None,
        }
        for epoch in (1, 2, 3)
    ]


def _data_report() -> dict[str, Any]:
    split = {
        "users": 20,
        "impressions": 240,
        "clicks": 50,
        "conversions": 9,
        "ctr": 0.2,
        "cvr": None,
        "revenue": 81.0,
        "cost": 48.0,
    }
    broken = {
        "path": "/somewhere/<b>bad</b>.csv",
        "contract": "events",
        "status": "set aside",
        "violations": [],
        "reason": "no column <user_id>",
    }
    return {
        "users": 20,
        "events": 4321,
        "impressions": 240,
        "candidates": 240,
        "duplicate_events": 17,
        "losses": [
            {
                "table": "events",
                "reason": "user_id are <null>",
                "rows": 52,
                "of": 511,
                "share": 52 / 511,
                "lost": True,
                "example": "row 7",
                "remedy": "",
            }
        ],
        "coverage": [{"what": "users with impressions have events", "have": 0, "of": 40, "hint": "ids differ by case"}],
        "own": {"impressions": 240, "unknown": {"user": 60}, "known": {"user.age_band": 180, "item.<b>": 0}},
        "warnings": ["events: 10.2% of the rows were lost"],
        "splits": {"test": split},
        "leakage": {"timelines_out_of_order": 0},
        "ingest": {"rows_rejected": {"events": 3}, "files_set_aside": 1, "files": [broken]},
    }


def _write_bundle(directory: Path) -> None:
    layer, ads = BehaviorDecayBias(HEADS), BehaviorDecayBias(HEADS)
    with torch.no_grad():
        ads.omega_BhH[2, 1] = 0.625
        layer.raw_lambda_H[0] = torch.log(torch.expm1(torch.log(torch.tensor(2.0)) / 7.0))
    weights = {
        **{f"encoder.layers.0.attention.bias.{name}": part for name, part in layer.state_dict().items()},
        **{f"attention.bias.{name}": part for name, part in ads.state_dict().items()},
    }
    write_bundle(
        directory,
        weights=weights,
        model={"name": "rosa", "config": {"heads": HEADS}, "sizes": {}, "base_rates": {}},
        features_saver=lambda path: (path / "features.json").write_text(
            json.dumps({"version": VERSION, "config": FeatureConfig().definition()})
        ),
        feature_fingerprint="f" * 16,
        metrics={},
        config={"seed": 7},
    )


def _write_table(columns: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
