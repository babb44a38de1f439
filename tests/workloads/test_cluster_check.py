"""`rosa cluster check`: findings are lines on stderr, and the exit code says whether there were any."""

from pathlib import Path

import pytest

from workloads.cli import main

MANIFEST = Path(__file__).resolve().parents[2] / "deploy" / "kuberay" / "raycluster.yaml"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["cluster", "check", *arguments])
    return int(stop.value.code or 0)


def test_nothing_is_found_in_a_right_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(MANIFEST)) == 0
    assert capsys.readouterr().out == f"{MANIFEST}: nothing found\n"


def test_findings_are_lines_and_the_code_is_that_of_a_wrong_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "a.yaml"
    wrong.write_text(MANIFEST.read_text().replace("ray.io/v1", "ray.io/v1alpha1"))
    assert run(str(MANIFEST), str(wrong)) == 2
    finding, error = capsys.readouterr().err.splitlines()
    assert finding == f"{wrong}: apiVersion: 'ray.io/v1alpha1' is not served by current KubeRay; name ray.io/v1"
    assert error == f"error: 1 finding in {wrong}"


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(tmp_path / "a.yaml")) == 3
    assert "a.yaml: cannot be read: No such file or directory" in capsys.readouterr().err


def test_a_job_whose_verb_is_not_one_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = MANIFEST.with_name("rayjob.yaml").read_text()
    right, wrong = tmp_path / "right.yaml", tmp_path / "wrong.yaml"
    right.write_text(job)
    wrong.write_text(job.replace("workloads train", "workloads trian"))
    assert run(str(right)) == 0
    assert run(str(wrong)) == 2
    assert f"{wrong}: spec.entrypoint: workloads has no verb 'trian'; did you mean 'train'" in capsys.readouterr().err
