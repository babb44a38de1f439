from typing import Any

from rosa_ray.studies.compare.verdicts import ablation_verdicts, comparison_verdict

LABELS = {
    "rosa": "ROSA-Rec",
    "no_decay": "without time decay",
    "no_encoder": "without encoder",
    "din_exact_match": "DIN with exact match",
    "trees": "Boosted trees",
}
NOISE = (0.001, -0.002, 0.004)


def document(aucs: dict[str, float], gaps: dict[tuple[str, str], tuple[float, float, float]]) -> dict[str, Any]:
    """A study of ROSA-Rec with some gaps, (gap, low, high), by the other variant and the metric."""
    return {
        "champion": "rosa",
        "variants": [{"name": name, "label": LABELS[name], "mean": {"auc": auc}} for name, auc in aucs.items()],
        "gaps": [
            {"champion": "rosa", "baseline": other, "metric": metric, "gap": gap, "low": low, "high": high}
            for (other, metric), (gap, low, high) in gaps.items()
        ],
    }


def test_a_part_adds_what_its_interval_says() -> None:
    gaps = {("no_decay", "auc"): NOISE, ("no_decay", "cvr_auc"): (0.017, 0.004, 0.03)}
    said = ablation_verdicts(document({"rosa": 0.8, "no_decay": 0.79}, gaps))
    assert said == ["time decay: adds +0.0170 CVR AUC (+0.0040 … +0.0300)"]


def test_a_part_may_cost_or_do_both() -> None:
    worse = {("no_decay", "roi_gain_percent"): (-3.0, -4.5, -1.5)}
    assert ablation_verdicts(document({"rosa": 0.8, "no_decay": 0.79}, worse)) == [
        "time decay: costs -3.0 % return on ad spend (-4.5 … -1.5)"
    ]
    both = {**worse, ("no_decay", "auc"): (0.004, 0.002, 0.006)}
    assert ablation_verdicts(document({"rosa": 0.8, "no_decay": 0.79}, both)) == [
        "time decay: adds +0.0040 AUC (+0.0020 … +0.0060), and costs -3.0 % return on ad spend (-4.5 … -1.5)"
    ]


def test_noise_is_said_with_its_interval() -> None:
    said = ablation_verdicts(document({"rosa": 0.8, "no_decay": 0.79}, {("no_decay", "auc"): NOISE}))
    assert said == ["time decay: adds nothing that can be told from noise; +0.0010 AUC (-0.0020 … +0.0040)"]


def test_the_encoder_is_judged_against_the_best_without_one() -> None:
    aucs = {"rosa": 0.80, "no_encoder": 0.77, "din_exact_match": 0.81, "trees": 0.78}
    ahead = {
        ("no_encoder", "auc"): (0.03, 0.02, 0.04),
        ("din_exact_match", "auc"): (-0.01, -0.015, -0.005),
    }
    assert ablation_verdicts(document(aucs, ahead))[-1] == (
        "the encoder adds nothing here: use DIN with exact match; ROSA-Rec less it: -0.0100 AUC (-0.0150 … -0.0050)"
    )
    won = {**ahead, ("trees", "auc"): (0.02, 0.01, 0.03)}
    assert ablation_verdicts(document({**aucs, "din_exact_match": 0.7}, won))[-1] == (
        "the encoder: adds +0.0200 AUC (+0.0100 … +0.0300) to the best without one, Boosted trees"
    )


def test_the_same_model_without_its_encoder_may_be_the_best() -> None:
    said = ablation_verdicts(document({"rosa": 0.8, "no_encoder": 0.8, "trees": 0.7}, {("no_encoder", "auc"): NOISE}))
    assert said == [
        "the encoder adds nothing here: use ROSA-Rec without encoder; ROSA-Rec less it: +0.0010 AUC (-0.0020 … +0.0040)"
    ]


def test_a_comparison_names_the_best_baseline() -> None:
    found = document({"din_exact_match": 0.75, "trees": 0.78, "rosa": 0.8}, {("trees", "auc"): (0.02, 0.01, 0.03)})
    assert comparison_verdict(found) == [
        "ROSA-Rec less the best baseline, Boosted trees: +0.0200 AUC (+0.0100 … +0.0300)"
    ]
    assert comparison_verdict(document({"rosa": 0.8}, {})) == []


def test_the_truth_decides_where_there_is_one() -> None:
    gaps = {
        ("no_decay", "auc"): (0.004, 0.001, 0.007),
        ("no_decay", "true_auc"): (-0.001, -0.002, -0.0002),
        ("no_decay", "true_cvr_auc"): NOISE,
    }
    said = ablation_verdicts(document({"rosa": 0.8, "no_decay": 0.79}, gaps))
    assert said == ["time decay: costs -0.0010 AUC* (-0.0020 … -0.0002)"]
    study = document({"rosa": 0.8, "din_exact_match": 0.79, "trees": 0.78}, {("trees", "true_auc"): NOISE})
    study["variants"][1]["mean"]["true_auc"], study["variants"][2]["mean"]["true_auc"] = 0.7, 0.75
    assert comparison_verdict(study) == [
        "ROSA-Rec less the best baseline, Boosted trees: +0.0010 AUC* (-0.0020 … +0.0040)"
    ]
