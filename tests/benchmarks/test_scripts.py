"""Benchmarks follow the modules that they measure: each can be imported and says what it is."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from rosa_ray.features import collate

SCRIPTS = sorted((Path(__file__).resolve().parents[2] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_benchmark_can_be_imported(script: Path) -> None:
    module = importlib.import_module(script.stem)
    assert Path(str(module.__file__)) == script
    assert module.__doc__


def test_made_users_have_all_that_a_batch_asks_for() -> None:
    users = importlib.import_module("train_throughput").synthetic_users(3, 4, 5)
    assert collate(users, np.arange(3))["impression_mask"].sum() == 12
