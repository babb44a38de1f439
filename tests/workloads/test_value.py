"""`rosa value`: what its option takes, and what it writes and prints of budgets."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rosa_ray.errors import ConfigError
from tests.evaluation.test_budgets import write
from workloads import value


@pytest.mark.parametrize("text", ["much", "0", "1.5", ".2,", "-.1"])
def test_a_share_that_is_none_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match=f"--budgets is '{text}'; it is a list of numbers above 0 and up to 1"):
        value.run("runs/none", text)


def test_budgets_are_printed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a log of three days; studies and configs of a run are not needed."""
    from rosa_ray.evaluation import kinds, predictions
    from rosa_ray.report import run_files

    files, log = write(tmp_path, 3)
    nothing = {"requests": 1, "exact": None, "frontier": None, "estimated": None, "estimated_skipped": "not asked"}
    place = SimpleNamespace(evaluation=SimpleNamespace(predictions="", value=str(tmp_path / "value.json")))
    run: Any = SimpleNamespace(
        place=place,
        metrics={"test": {"score_kind": "dual", "score_theta": 2.0, "score_level": 0.8}},
        log_dir=log,
        study=lambda name: None,
        command=lambda verb: verb,
    )
    monkeypatch.setattr(run_files, "open_run_files", lambda run_dir: run)
    monkeypatch.setattr(predictions, "list_predictions", lambda folder: files)
    monkeypatch.setattr(kinds, "measure_kinds", lambda *asked: dict(nothing))
    assert value.run("here", ".5") == 0
    printed = capsys.readouterr().out
    assert "budgets of 0.5 of the spend without them" in printed
    assert "hindsight prices" in printed
    document = json.loads((tmp_path / "value.json").read_text())
    assert [share["share"] for share in document["budgets"]["shares"]] == [0.5]
