"""Benchmarks follow the modules that they measure: each can be imported and says what it is."""

import importlib
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).resolve().parents[2] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_benchmark_can_be_imported(script: Path) -> None:
    module = importlib.import_module(script.stem)
    assert Path(str(module.__file__)) == script
    assert module.__doc__
