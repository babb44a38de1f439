"""The figures of the paper's Tables 2 and 3 (Ni, Li, Zhang 2026), printed beside measured ones."""

PAPER: dict[str, dict[str, float]] = {
    "wide_deep": {"auc": 0.781, "cvr_auc": 0.701, "roi_gain": 100.0, "latency_p50_ms": 35.0},
    "deepfm": {"auc": 0.792, "cvr_auc": 0.715, "roi_gain": 108.7, "latency_p50_ms": 38.0},
    "din": {"auc": 0.812, "cvr_auc": 0.736, "roi_gain": 115.4, "latency_p50_ms": 42.0},
    "sasrec": {"auc": 0.826, "cvr_auc": 0.748, "roi_gain": 121.8, "latency_p50_ms": 45.0},
    "rosa": {"auc": 0.854, "cvr_auc": 0.781, "roi_gain": 134.6, "latency_p50_ms": 48.0},
}

TARGET_GAPS = {"auc": 0.028, "cvr_auc": 0.033, "roi_gain_percent": 10.5}
"""The paper's margins of ROSA-Rec over SASRec, its best baseline: AUC and CVR AUC absolute, ROI Gain in percent."""
