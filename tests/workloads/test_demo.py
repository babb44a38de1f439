"""The whole loop, small, in this process: what `rosa demo` leaves behind, and what a damaged file changes."""

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rosa_ray.errors import EXIT_PARTIAL
from workloads.cli import app

SMALL = (
    "simulation.users=300",
    "simulation.requests_per_user=12",
    "simulation.items=300",
    "simulation.ads=80",
    "model.width=16",
    "model.heads=2",
    "model.window=8",
    "training.epochs=1",
    "training.users_per_batch=16",
    "tracking.enabled=false",
)


def rosa(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def overrides(run_dir: Path, *values: str) -> list[str]:
    return [part for value in (f"run_dir={run_dir}", *values) for part in ("--set", value)]


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_the_loop_ends_with_ranked_ads_and_a_summary(tmp_path: Path, ray_cluster: None) -> None:
    code, output = rosa("demo", *overrides(tmp_path / "run", *SMALL))
    assert code == 0, output
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["data"]["users"] == 300
    assert summary["data"]["events"] > summary["data"]["impressions"] > 1000
    assert summary["train"]["epochs"] == 1
    assert summary["train"]["samples_per_s"] > 0
    named = {"auc", "logloss", "gauc", "cvr_auc", "ctcvr_auc", "pcoc"}
    policies = {"policy_roi", "oracle_policy_roi", "random_policy_roi"}
    assert named | policies <= set(summary["test"])
    assert summary["test"]["oracle_policy_roi"] > summary["test"]["random_policy_roi"]
    assert summary["serve"]["failed"] == 0
    assert summary["serve"]["degraded"] == 0
    assert summary["serve"]["candidates"] == 80
    assert summary["serve"]["p99_ms"] >= summary["serve"]["p50_ms"] > 0
    assert summary["serve"]["ranked"]["lambda"] == 1
    assert summary["serve"]["ranked_after_events"]["lambda"] == 0
    scores = [ad["score"] for ad in summary["serve"]["ranked"]["ads"]]
    assert scores == sorted(scores, reverse=True)
    assert [step["name"] for step in summary["steps"]] == [
        "simulate",
        "preprocess",
        "train",
        "evaluate",
        "materialize",
        "serve",
    ]
    assert all(step["command"].startswith("rosa ") for step in summary["steps"])


def timelines(users: range) -> str:
    rows = (
        f"{user},{(7 * user + 3 * number) % 50},{(user + number) % 5},{'buy' if number == 9 else 'pv'},"
        f"{1511600000 + 40000 * number + user}"
        for user in users
        for number in range(12)
    )
    return "\n".join(rows) + "\n"


@pytest.mark.integration
def test_a_truncated_file_among_good_ones_is_named_and_the_exit_code_says_so(tmp_path: Path, ray_cluster: None) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "good.csv.gz").write_bytes(gzip.compress(timelines(range(1, 40)).encode()))
    (folder / "cut.csv.gz").write_bytes(gzip.compress(timelines(range(40, 80)).encode())[:-40])
    source = ("source.kind=taobao", f"source.path={folder}")
    code, output = rosa("simulate", "taobao", *overrides(tmp_path / "run", *source))
    assert code == EXIT_PARTIAL
    assert "cut.csv.gz" in output
    assert "39 users" in output
    (folder / "good.csv.gz").unlink()
    code, output = rosa("simulate", "taobao", *overrides(tmp_path / "run", *source))
    assert code == 3
    assert output.count("\n") == 1
    assert "cut.csv.gz" in output


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["demo", "--source", "taoba"], 2, "known sources are"),
        (["demo", "--source", "taobao"], 2, "needs --path"),
        (["train", "nowhere.yaml"], 3, "no such config file"),
        (["train", "demo", "--set", "training.epoch=3"], 2, "epochs"),
        (["train", "demo", "--set", "training.epochs=many"], 2, "training.epochs"),
    ],
)
def test_a_wrong_command_is_one_line_and_a_code_of_its_own(arguments: list[str], code: int, said: str) -> None:
    exit_code, output = rosa(*arguments)
    assert exit_code == code
    assert output.count("\n") == 1
    assert said in output
