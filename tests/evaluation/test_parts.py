"""What each part of the score costs in return."""

from pathlib import Path

import numpy as np
import pytest

from rosa_ray.errors import InputError
from rosa_ray.evaluation.parts import measure_parts, parts_table, require_truth, spread_of
from rosa_ray.features import Split
from rosa_ray.run_dir import EvaluationDir
from rosa_ray.storage import read_json
from tests.true_log import CANDIDATES, ROWS, of_split, predicted_columns, true_columns, write_predictions, write_truth

METRICS = {"model_version": "m", "test": {"score_kind": "roi"}}


def _measured(root: Path, columns: dict[str, np.ndarray], kind: str = "roi") -> dict:
    place = EvaluationDir(str(root / "evaluation"))
    (root / "evaluation" / "predictions").mkdir(parents=True)
    write_predictions(root / "evaluation" / "predictions", columns)
    metrics = {"model_version": "m", "test": {"score_kind": kind}}
    document = measure_parts(metrics, write_truth(root / "log"), place)
    assert read_json(place.parts) == document
    return document


def _best_roi(score: np.ndarray, truth: dict[str, np.ndarray]) -> float:
    top = score.reshape(-1, CANDIDATES).argmax(axis=1) + np.arange(ROWS // CANDIDATES) * CANDIDATES
    return truth["expected_revenue"][top].sum() / truth["expected_cost"][top].sum() - 1


def test_each_part_is_swapped_alone(tmp_path: Path) -> None:
    columns = predicted_columns(spread=0.9)
    rows, truth = of_split(columns, Split.POLICY), of_split(true_columns(), Split.POLICY)
    found = {row["name"]: row for row in _measured(tmp_path, columns)["rows"]}
    value = truth["expected_revenue"] / (truth["p_ctr"] * truth["p_cvr"])
    mine = {"p_ctr": rows["p_ctr"], "p_cvr": rows["p_cvr"], "value": rows["value"], "cost": rows["expected_cost"]}
    true = {"p_ctr": truth["p_ctr"], "p_cvr": truth["p_cvr"], "value": value, "cost": truth["expected_cost"]}

    def roi(**parts: np.ndarray) -> float:
        one = mine | parts
        return _best_roi(one["p_ctr"] * one["p_cvr"] * one["value"] / one["cost"], truth)

    assert found["none"]["roi"] == pytest.approx(roi())
    for name, row in {"p_ctr": "p_ctr", "p_cvr": "p_cvr", "value": "value", "cost": "expected_cost"}.items():
        assert found[row]["roi"] == pytest.approx(roi(**{name: true[name]}))
    assert found["all"]["roi"] == pytest.approx(roi(**true))
    assert found["price"]["roi"] == pytest.approx(roi(value=rows["price"]))
    assert found["constant_cvr"]["roi"] == pytest.approx(roi(p_cvr=np.ones(ROWS)))
    assert found["bid"]["roi"] == pytest.approx(roi(cost=rows["bid"]))
    assert found["random"]["cost"] == pytest.approx(truth["expected_cost"].sum() / CANDIDATES)
    for row in found.values():
        assert row["profit"] == pytest.approx(row["revenue"] - row["cost"])
        assert row["gap"] == pytest.approx(row["roi"] - found["none"]["roi"])
    assert (found["all"]["verdict"], found["random"]["verdict"]) == ("helps", "hurts")
    assert found["none"]["verdict"] is None


def test_a_perfect_model_loses_nothing_in_any_part(tmp_path: Path) -> None:
    found = {row["name"]: row for row in _measured(tmp_path, predicted_columns(spread=0.0))["rows"]}
    for name in ("p_ctr", "p_cvr", "value", "expected_cost", "all", "price"):
        assert (found[name]["gap"], found[name]["verdict"]) == (0.0, "within the noise")


def test_the_document_says_what_it_is_of_and_prints(tmp_path: Path) -> None:
    document = _measured(tmp_path, predicted_columns(), "profit")
    assert (document["score_kind"], document["requests"], document["model_version"]) == ("profit", 80, "m")
    assert document["exponent"]["within"] == "user"
    table = parts_table(document)
    assert list(table.columns[0].cells)[:2] == ["the model as it is", "true p_ctr"]
    assert len(list(table.columns[0].cells)) == len(document["rows"]) == 11


def test_requests_that_show_several_ads_tell_the_spread_themselves() -> None:
    shown = of_split(predicted_columns(), Split.VALID)
    assert spread_of(shown)["within"] == "user"
    found = spread_of(shown | {"request_key": np.arange(ROWS) // 4})
    assert (found["within"], found["clicks"]) == ("request", shown["click"].sum())


def test_a_log_without_a_truth_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"log/truth: no true probabilities; --parts needs a simulated log"):
        require_truth(str(tmp_path / "log"))
    assert InputError.exit_code == 3
    money = {name: values for name, values in true_columns().items() if name.startswith("expected")}
    with pytest.raises(InputError, match="no true probabilities"):
        require_truth(write_truth(tmp_path / "log", money))


def test_without_candidates_nothing_can_be_chosen(tmp_path: Path) -> None:
    place, columns = EvaluationDir(str(tmp_path)), predicted_columns()
    (tmp_path / "predictions").mkdir()
    shown = {name: values[columns["split"] != Split.POLICY] for name, values in columns.items()}
    write_predictions(tmp_path / "predictions", shown)
    with pytest.raises(InputError, match="no candidates"):
        measure_parts(METRICS, write_truth(tmp_path / "log"), place)
