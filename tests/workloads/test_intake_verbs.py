"""`rosa init` and `rosa check` on the command line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.intake import invented
from tests.intake.invented import renamed, write_csv, write_log
from workloads.cli import app


@pytest.fixture
def rosa(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return CliRunner()


def write_files(folder: Path) -> list[str]:
    return [
        write_csv(renamed(invented.events(), {"user_id": "uid"}), folder / "events.csv"),
        write_csv(renamed(invented.impressions(), {"user_id": "uid"}), folder / "impressions.csv"),
        write_csv(invented.ads(), folder / "ads.csv"),
    ]


def test_init_writes_a_config_that_check_accepts(rosa: CliRunner, tmp_path: Path) -> None:
    written = rosa.invoke(app, ["init", *write_files(tmp_path)])
    assert written.exit_code == 0, written.output
    assert "uid" in written.output
    assert "shop.yaml: written; next: rosa check shop.yaml" in written.output
    checked = rosa.invoke(app, ["check", "shop.yaml"])
    assert checked.exit_code == 0, checked.output
    assert "nothing lost, nothing odd" in checked.output
    assert "users with impressions have events" in checked.output


def test_check_shows_declared_columns_and_names_a_table_without_any(rosa: CliRunner, tmp_path: Path) -> None:
    people = {"user_id": [f"u{at}" for at in range(invented.USERS)], "age": ["18-24", "25-34"] * (invented.USERS // 2)}
    config = write_log(tmp_path, users=people)
    unused = rosa.invoke(app, ["check", str(config)])
    assert unused.exit_code == 0, unused.output
    assert "not read: nobody declares a column of it" in unused.output
    config.write_text(f"{config.read_text()}features:\n  columns:\n    user.age: {{type: category}}\n")
    told = rosa.invoke(app, ["check", str(config), "--out", "check.html"])
    assert told.exit_code == 0, told.output
    assert "18-24; 25-34" in told.output
    assert "18-24; 25-34" in Path("check.html").read_text()
    config.write_text(config.read_text().replace("user.age", "item.age"))
    refused = rosa.invoke(app, ["check", str(config)])
    assert refused.exit_code == 2
    assert "features.columns declares item.age, but the source has no table of items" in refused.output


def test_init_overwrites_only_when_told_to(rosa: CliRunner, tmp_path: Path) -> None:
    files = write_files(tmp_path)
    Path("shop.yaml").write_text("kept")
    refused = rosa.invoke(app, ["init", *files])
    assert refused.exit_code == 2
    assert "--force" in refused.output
    assert Path("shop.yaml").read_text() == "kept"
    assert rosa.invoke(app, ["init", *files, "--force"]).exit_code == 0
    assert "source:" in Path("shop.yaml").read_text()


def test_init_names_what_is_not_there(rosa: CliRunner) -> None:
    missing = rosa.invoke(app, ["init", "nothing.csv"])
    assert missing.exit_code == 3
    assert "nothing.csv" in missing.output


def test_check_writes_a_page_and_json(rosa: CliRunner, tmp_path: Path) -> None:
    config = str(write_log(tmp_path))
    found = rosa.invoke(app, ["check", config, "--json", "--out", "check.html"])
    assert json.loads(found.output)["exit_code"] == 0
    assert Path("check.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("ads", "code"),
    [
        ({name: values[:-1] for name, values in invented.ads().items()}, 4),
        (renamed(invented.ads(), {"ad_id": "advert"}), 3),
    ],
    ids=["unknown-ads", "no-ad-id"],
)
def test_check_ends_with_the_code_of_the_gravest_remark(
    rosa: CliRunner, tmp_path: Path, ads: invented.Columns, code: int
) -> None:
    assert rosa.invoke(app, ["check", str(write_log(tmp_path, ads=ads))]).exit_code == code


def test_check_of_a_wrong_config_ends_with_2(rosa: CliRunner, tmp_path: Path) -> None:
    config = write_log(tmp_path)
    config.write_text(f"{config.read_text()}  time_zone: Mars\n")
    found = rosa.invoke(app, ["check", str(config)])
    assert found.exit_code == 2
    assert "Mars" in found.output
