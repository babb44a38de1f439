"""The figures on the page are those of the files."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from rosa_ray.features import Split
from rosa_ray.report import open_run_files
from rosa_ray.report.heads import HEADS, cumulative_gain, precision_recall, roc, wilson
from rosa_ray.report.markup import join
from rosa_ray.report.numbers import number
from rosa_ray.report.sections import all_sections, attention
from tests.report.runs import write_json, write_run
from tests.report.studies import PAPER, comparison

SECTIONS = {section.name: section for section in all_sections()}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_run(tmp_path_factory.mktemp("figures") / "shop")
    write_json(comparison(), root / "comparison.json")
    return root


def section(run_dir: Path, name: str) -> str:
    return str(join(SECTIONS[name].render(open_run_files(run_dir))))


def rows(html: str) -> list[list[str]]:
    """Cells of every table row, tags stripped."""
    found = re.findall(r"<tr>(.*?)</tr>", html)
    return [
        [re.sub(r"<small>.*?</small>|<[^>]+>", "", cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)]
        for row in found
    ]


def test_headline_figures_are_the_metrics(run_dir: Path) -> None:
    test = json.loads((run_dir / "evaluation/metrics.json").read_text())["test"]
    tiles = re.findall(r'<dd class="value">(.*?)</dd>', section(run_dir, "summary"))
    expected = [
        f"{test[key]:.{digits}f}"
        for key, digits in (("auc", 4), ("cvr_auc", 4), ("logloss", 4), ("pcoc", 3), ("policy_roi", 3))
    ]
    assert [tile.replace("−", "-") for tile in tiles] == expected


def test_the_serving_curves_end_at_the_policys_roi(run_dir: Path) -> None:
    test = json.loads((run_dir / "evaluation/metrics.json").read_text())["test"]
    thresholds = [row for row in rows(section(run_dir, "policy")) if len(row) == 5]
    assert thresholds[-1][1] == "100.0 %"
    assert float(thresholds[-1][4].replace("−", "-")) == pytest.approx(test["policy_roi"], abs=6e-5)


def test_the_comparison_shows_means_paper_and_best(run_dir: Path) -> None:
    html = section(run_dir, "comparison")
    table = {row[0]: row for row in rows(html) if row[0] in ("DIN", "ROSA-Rec")}
    head, study = next(row for row in rows(html) if row[0] == "Model"), comparison()
    assert head[:5] == ["Model", "AUC", "paper", "CVR AUC", "paper"]
    din = study["variants"][2]
    first = next(row for row in rows(html) if row[0] == "DIN")
    assert first[1:5] == [
        f"{din['mean']['auc']:.4f}",
        f"{PAPER['din']['auc']:.3f}",
        f"{din['mean']['cvr_auc']:.4f}",
        "0.736",
    ]
    assert table
    assert "<strong>0.7480</strong>" in html
    assert "<strong>0.7240</strong>" not in html
    assert "<strong>0.1253</strong>" in html, "the lowest log loss is the best"
    assert "0.7200 to 0.7280" in html


def test_half_lives_and_behaviour_weights_are_those_of_the_bundle(run_dir: Path) -> None:
    bundle = open_run_files(run_dir).bundle
    assert bundle is not None
    layer, ads = attention.attentions(bundle.weights())
    assert (layer.name, ads.name) == ("Layer 1", "Ads")
    assert layer.half_lives_h[0] == pytest.approx(7.0, rel=1e-5)
    assert layer.starting_h == ads.half_lives_h
    html = section(run_dir, "attention")
    assert "7.0 h" in html
    assert "0.625" in html


def test_data_counts_are_those_of_the_report(run_dir: Path) -> None:
    found = {row[0]: row for row in rows(section(run_dir, "data"))}
    assert found["duplicate events"] == ["duplicate events", "17"]
    assert found["events: rows that broke the contract"][1] == "3"
    assert found["test"] == ["test", "20", "240", "50", "9", "20.00 %", "–", "81", "48"]


def test_what_was_lost_is_listed_with_its_reason(run_dir: Path) -> None:
    html = section(run_dir, "data")
    assert ["events", "user_id are &lt;null&gt;", "52", "10.18 %", "yes", "row 7"] in rows(html)
    assert ["users with impressions have events", "0", "40", "ids differ by case"] in rows(html)
    assert ["user.age_band", "180", "75.0 %"] in rows(html)
    assert ["item.&lt;b&gt;", "0", "0.0 %"] in rows(html)
    assert "Warning: events: 10.2% of the rows were lost." in html


def test_findings_of_the_leak_guard_are_listed(run_dir: Path, tmp_path: Path) -> None:
    finding = {"check": "power", "severity": "leak", "where": "bid", "message": "AUC 0.99", "remedy": "drop it"}
    write_json(
        {"findings": [finding], "rows": 9, "files": 1, "files_read": 1, "skipped": [], "features": []},
        tmp_path / "data/leakage.json",
    )
    write_json({}, tmp_path / "data/report.json")
    assert ["leak", "power", "bid", "AUC 0.99", "drop it"] in rows(section(tmp_path, "data"))


def test_segments_show_observed_rates(run_dir: Path) -> None:
    predictions = open_run_files(run_dir).predictions(Split.TEST)
    assert predictions is not None
    half = len(predictions["click"]) // 2
    row = next(row for row in rows(section(run_dir, "segments")) if row[0] == "phone")
    assert row == ["phone", str(half), str(int(predictions["click"][:half].sum())), "–"]


def test_curves_of_a_hand_worked_case() -> None:
    scores, labels = np.array([0.9, 0.8, 0.7, 0.1]), np.array([1.0, 0.0, 1.0, 0.0])
    false, true = roc(scores, labels)
    assert np.trapezoid(true, false) == pytest.approx(0.75)
    recall, precision, average = precision_recall(scores, labels)
    assert average == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert (recall[-1], precision[-1]) == (1.0, pytest.approx(2 / 3))
    share, gain = cumulative_gain(scores, labels, np.ones(4))
    assert dict(zip(share.tolist(), gain.tolist(), strict=True)) == {0: 0, 0.25: 0.5, 0.5: 0.5, 0.75: 1, 1: 1}


def test_heads_are_judged_on_their_rows() -> None:
    table = {
        name: np.array(values)
        for name, values in {
            "p_ctr": [0.1, 0.2],
            "p_cvr": [0.3, 0.4],
            "p_ctcvr": [0.03, 0.08],
            "click": [1.0, 0.0],
            "conversion": [1.0, 1.0],
            "weight": [1.0, 5.0],
        }.items()
    }
    labels = {head.name: head.rows(table)[1].tolist() for head in HEADS}
    assert labels == {"CTR": [1.0, 0.0], "CVR": [1.0], "CTCVR": [1.0, 0.0]}
    weights = {head.name: head.rows(table)[2].tolist() for head in HEADS}
    assert weights == {"CTR": [1.0, 5.0], "CVR": [1.0], "CTCVR": [1.0, 5.0]}


def test_curves_take_a_weight_as_so_many_rows() -> None:
    rng = np.random.default_rng(0)
    scores, weights = rng.integers(1, 9, 50) / 10, rng.integers(1, 4, 50)
    labels = (rng.random(50) < scores).astype(float)
    again = [np.repeat(values, weights) for values in (scores, labels)]
    heavy = weights.astype(float)
    for one, other in (
        (roc(scores, labels, heavy), roc(*again)),
        (precision_recall(scores, labels, heavy)[:2], precision_recall(*again)[:2]),
    ):
        np.testing.assert_allclose(np.interp(0.5, *one), np.interp(0.5, *other))
    assert precision_recall(scores, labels, heavy)[2] == pytest.approx(precision_recall(*again)[2])
    (rows, gain), (expected_rows, expected) = (
        cumulative_gain(scores, labels, heavy),
        cumulative_gain(*again, np.ones(len(again[0]))),
    )
    np.testing.assert_allclose(np.interp(rows, expected_rows, expected), gain)


def test_predictions_of_an_earlier_thinned_run_weigh_what_they_stand_for(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "shop")
    for path in (run_dir / "evaluation/predictions").glob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.drop_columns([name for name in ("weight",) if name in table.column_names]), path)
    config = yaml.safe_load((run_dir / "config.yaml").read_text()) or {}
    (run_dir / "config.yaml").write_text(yaml.safe_dump(config | {"calibration": {"negative_keep_rate": 0.1}}))
    rows = open_run_files(run_dir).predictions(Split.TEST)
    assert rows is not None
    np.testing.assert_allclose(rows["weight"], np.where(rows["click"] == 1, 1, 10))


def test_wilson_against_a_published_case() -> None:
    low, high = wilson(np.array(15.0), np.array(148.0))
    assert (float(low), float(high)) == pytest.approx((0.0624, 0.1605), abs=1e-4)


def test_raw_scores_stand_beside_calibrated_ones(run_dir: Path) -> None:
    html = section(run_dir, "calibration")
    assert html.count("</svg>raw</li>") == html.count("</svg>calibrated</li>") == len(HEADS)


def test_estimates_from_the_log_stand_beside_the_exact_value(run_dir: Path) -> None:
    html = section(run_dir, "off_policy")
    assert ["IPS, roi", "1.2345", "0.5000", "2.0000"] in rows(html)
    assert ["random, IPS, roi", "−0.2500", "−0.4000", "−0.1000"] in rows(html)
    assert "this model, exact (truth)" in html
    assert "as much as 21 drawn" in html


def test_kinds_of_scores_stand_beside_the_frontier(run_dir: Path) -> None:
    page = section(run_dir, "kinds")
    metrics = json.loads((run_dir / "evaluation/metrics.json").read_text())["test"]
    assert "expected revenue less theta times cost, theta 2.00" in page
    for kind in ("roi", "profit", "dual", "ecpm"):
        assert number(metrics["kinds"][kind]["roi"], 3) in page
    assert "Profit against return" in page
    assert "The service ranks by expected ROI." in page


def test_kinds_of_scores_say_why_they_are_missing(run_dir: Path) -> None:
    files = open_run_files(run_dir)
    test = {name: value for name, value in files.metrics["test"].items() if name != "kinds"}
    files.__dict__["metrics"] = {"test": test}
    assert "evaluated by an earlier version" in str(join(SECTIONS["kinds"].render(files)))
    files.__dict__["metrics"] = {"test": test | {"policy_skipped": "no truth here"}}
    assert "Not known: no truth here." in str(join(SECTIONS["kinds"].render(files)))
