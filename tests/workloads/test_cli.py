"""The command line answers mistakes with one line on stderr and the exit code of their kind, never a traceback."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

import workloads.cli as cli
from rosa_ray import __version__
from rosa_ray.config import RunConfig, load_config
from rosa_ray.errors import EXIT_PARTIAL, BundleError, ConfigError, InputError
from workloads.command_line import execute, find_config
from workloads.commands_of_a_run import LOOP_VERBS
from workloads.commands_of_tools import STUDY_VERBS


def rosa(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, list(arguments))


@pytest.fixture
def config_file(tmp_path: Path) -> str:
    file = tmp_path / "run.yaml"
    file.write_text("seed: 3\nmodel: {name: rosa, layers: 1}\n")
    return str(file)


def test_version_and_help() -> None:
    assert rosa("--version").output == f"rosa {__version__}\n"
    assert "config" in rosa("--help").output
    assert rosa().exit_code == 2


def test_config_prints_the_whole_resolved_config(config_file: str) -> None:
    shown = rosa("config", config_file, "--set", "model.heads=8", "--set", "seed=4")
    printed = yaml.safe_load(shown.stdout)
    assert shown.exit_code == 0
    assert (printed["seed"], printed["model"]["name"]) == (4, "rosa")
    assert (printed["model"]["layers"], printed["model"]["heads"]) == (1, 8)
    assert set(printed) == set(RunConfig.__dataclass_fields__)


def test_the_printed_config_is_a_config(config_file: str, tmp_path: Path) -> None:
    printed = tmp_path / "resolved.yaml"
    printed.write_text(rosa("config", config_file).stdout)
    assert load_config(printed) == load_config(Path(config_file))


def test_profiles_give_way_to_the_file(config_file: str) -> None:
    printed = yaml.safe_load(rosa("config", config_file, "--set", "profile=paper").stdout)
    assert (printed["model"]["width"], printed["model"]["layers"]) == (128, 1)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--set", "model.layer=2"], ConfigError.exit_code, "unknown key 'model.layer'; did you mean 'model.layers'?"),
        (["--set", "seed=x"], ConfigError.exit_code, 'seed is "x": it should be a valid integer'),
        (["--set", "simulation.days=0"], ConfigError.exit_code, "simulation.days is 0; it must be at least 1"),
        (["--set", "model.name=rosy"], ConfigError.exit_code, "model.name is 'rosy'; known models are"),
    ],
)
def test_a_mistake_is_one_line(config_file: str, arguments: list[str], code: int, message: str) -> None:
    answer = rosa("config", config_file, *arguments)
    assert answer.exit_code == code
    assert answer.stdout == ""
    assert answer.stderr.startswith("error: --set ")
    assert message in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_missing_config_file_is_named() -> None:
    answer = rosa("config", "nowhere/run.yaml")
    assert answer.exit_code == InputError.exit_code
    assert answer.stderr.startswith("error: nowhere/run.yaml: no such config file")


def test_a_folder_does_not_hide_the_built_in_config_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_config("demo").name == "demo.yaml"


def run_and_fail(
    error: BaseException, config_file: str, debug: bool, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    def run(_: RunConfig) -> int:
        raise error

    with pytest.raises(typer.Exit) as caught:
        execute(run, config_file, [], debug)
    return caught.value.exit_code, capsys.readouterr().err


def test_errors_of_a_workload_become_exit_codes(config_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = run_and_fail(BundleError("runs/x/bundle: damaged\nbadly"), config_file, False, capsys)
    assert (code, line) == (BundleError.exit_code, "error: runs/x/bundle: damaged badly\n")


def test_an_unexpected_error_hints_at_debug(config_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = run_and_fail(KeyError("ad"), config_file, False, capsys)
    assert (code, line) == (1, "error: KeyError: 'ad' (unexpected; the same command with --debug shows where)\n")


def test_debug_shows_the_traceback(config_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = run_and_fail(KeyError("ad"), config_file, True, capsys)
    assert code == 1
    assert text.startswith("Traceback")
    assert text.endswith("error: KeyError: 'ad'\n")


def test_an_interrupt_is_no_traceback(config_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_and_fail(KeyboardInterrupt(), config_file, False, capsys) == (130, "error: interrupted\n")


def test_the_workloads_exit_code_is_the_commands(config_file: str) -> None:
    with pytest.raises(typer.Exit) as caught:
        execute(lambda config: EXIT_PARTIAL, config_file, [], False)
    assert caught.value.exit_code == EXIT_PARTIAL


def test_report_writes_a_page_and_prints_where(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text('{"history": []}')
    answer = rosa("report", str(tmp_path))
    assert (answer.exit_code, answer.stderr) == (0, "")
    assert answer.stdout.startswith(f"{tmp_path}/report.html: ")
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_report_of_what_is_no_run_is_one_line(tmp_path: Path) -> None:
    answer = rosa("report", str(tmp_path), "--out", str(tmp_path / "page.html"))
    assert answer.exit_code == InputError.exit_code
    assert answer.stderr.startswith(f"error: {tmp_path}: not a run directory")
    assert answer.stderr.count("\n") == 1


def test_a_job_runs_the_same_command(config_file: str) -> None:
    job = subprocess.run(
        [sys.executable, "-m", "workloads", "config", config_file], capture_output=True, text=True, check=True
    )
    assert job.stdout == rosa("config", config_file).stdout


def test_every_verb_of_the_table_has_its_function() -> None:
    for verb in (*LOOP_VERBS, *STUDY_VERBS):
        assert callable(getattr(importlib.import_module(f"workloads.{verb.module}"), verb.function)), verb.name
