"""From predictions to the tables of a study, without training."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rosa_ray.metrics import Ranking
from rosa_ray.models import LossConfig, ranker_settings
from rosa_ray.studies.compare.summary import PAPER, summarise
from rosa_ray.studies.compare.tables import comparison_tables, truth_table
from rosa_ray.studies.compare.variants import compare_variants
from tests.true_log import predicted_columns, write_predictions, write_truth

VARIANTS = compare_variants(("din",), ranker_settings("rosa", {"width": 8}), LossConfig())
SPREADS = {"din": 0.9, "rosa": 0.1}
TRIAL = {"learning_rate": 1e-3, "samples_per_s": 1.0, "latency": None, "test": {"auc": 0.5}}


def _document(root: Path, log_dir: str) -> dict[str, Any]:
    files: dict[str, list[list[str]]] = {name: [] for name in SPREADS}
    for name, spread in SPREADS.items():
        for seed in (1, 2, 3):
            place = root / f"{name}-{seed}"
            place.mkdir()
            files[name].append(write_predictions(place, predicted_columns(seed, spread)))
    found = summarise(
        VARIANTS,
        {name: [TRIAL] * 3 for name in SPREADS},
        files,
        log_dir=log_dir,
        ranking=Ranking("roi"),
        reference="din",
        pairs=[("rosa", "din")],
        replicates=50,
    )
    return {"kind": "compare", "seeds": [1, 2, 3], "paper": PAPER, **found}


def _printed(document: dict[str, Any]) -> str:
    console = Console(width=300)
    with console.capture() as captured:
        for table in comparison_tables(document):
            console.print(table)
    return captured.get()


def test_variants_stand_against_the_truth_with_a_verdict_beside_each_gap(tmp_path: Path) -> None:
    document = _document(tmp_path, write_truth(tmp_path / "log"))
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    text = _printed(document)
    (truth,) = [line for line in text.splitlines() if "the truth " in line]
    for name in ("true_auc", "true_cvr_auc"):
        reached = document["ceilings"][name]
        assert f"{reached:.4f}" in truth
        for variant in document["variants"]:
            assert variant["mean"][name] < reached
            assert f"{variant['mean'][name]:.4f} ({variant['low'][name]:.4f} … " in text
    lines = {line.split("│")[3].strip(): line for line in text.splitlines() if line.count("│") == 8}
    assert "helps" in lines["AUC*"]
    assert "helps" in lines["KL*, nats"]


def test_without_a_truth_there_is_no_such_table(tmp_path: Path) -> None:
    document = _document(tmp_path, str(tmp_path / "nowhere"))
    assert set(document["ceilings"].values()) == {None}
    assert truth_table(document) is None
    assert "AUC*" not in _printed(document)
    gaps = {gap["metric"]: gap for gap in document["gaps"]}
    assert (gaps["true_auc"]["gap"], gaps["true_auc"]["verdict"]) == (None, None)
    assert gaps["auc"]["gap"] == pytest.approx(
        document["variants"][1]["mean"]["auc"] - document["variants"][0]["mean"]["auc"]
    )
