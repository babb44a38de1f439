"""`rosa arena` on a tiny world: the table, the files, and mistakes of one line."""

import json
from pathlib import Path

import pytest

from workloads.cli import main

TINY = ["users=60", "days=2", "items=400", "ads=120", "campaigns=4", "events_per_user=8", "requests_per_user=12"]


def rosa(*arguments: str) -> int:
    settings = [word for setting in TINY for word in ("--set", f"simulation.{setting}")]
    with pytest.raises(SystemExit) as stop:
        main(["arena", "demo", *settings, "--days", "1", "--tick-minutes", "60", *arguments])
    return int(stop.value.code or 0)


def test_policies_are_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, page = tmp_path / "arena.json", tmp_path / "arena.html"
    names = "roi,threshold,hindsight,none"
    assert rosa("--policies", names, "--budget-share", "0.3", "--seed", "3", "--out", f"{out},{page}") == 0
    printed, found = capsys.readouterr().out, json.loads(out.read_text())
    assert printed.startswith("roi: value ")
    assert "1 day, budgets 0.3 of what roi spends, at true values" in printed
    assert f"{page}: written" in printed
    assert [*found["policies"]] == names.split(",")
    assert found["settings"]["simulation"]["seed"] == 3
    for row in found["policies"].values():
        assert row["requests"] == found["policies"]["roi"]["requests"]
        assert sum(hour["spend"] for hour in row["by_hour"]) == pytest.approx(row["spend"], abs=0.01)
        assert sum(campaign["value"] for campaign in row["by_campaign"]) == pytest.approx(row["value"], abs=0.01)
        assert f"{row['spend']:,.0f}" in printed
    assert found["policies"]["none"]["impressions"] == 0
    assert found["policies"]["hindsight"]["bound"] > 0
    assert "<svg" in page.read_text()


def test_without_budgets_no_overspend_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert rosa("--policies", "profit@true", "--set", "simulation.laws=[{name: market}]") == 0
    printed = capsys.readouterr().out
    assert "1 day, no budgets, at true values" in printed


def test_a_model_that_is_not_there_is_one_line_and_another_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rosa("--policies", "roi@model", "--set", f"run_dir={tmp_path}") == 6
    error = capsys.readouterr().err
    assert (
        error
        == f"error: bundle {tmp_path}/bundle: no manifest.json there; give the bundle directory of a trained run\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policies", "best"], "policy 'best' is unknown; known are logging"),
        (["--policies", ","], "--policies is empty; give names such as roi,profit,dual:2"),
        (["--policies", "roi,roi"], "--policies has a name twice"),
        (["--days", "2"], "arena.days is 2; it must be below simulation.days = 2"),
        (["--budget-share", "1.5"], "arena.budget_share is 1.5"),
        (["--tick-minutes", "7"], "arena.tick_minutes is 7; it must divide a day"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert rosa(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1
