"""A small run with everything that faults are tried on, copied aside."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rosa_ray.chaos.bench import Bench
from rosa_ray.chaos.run_copy import RunCopy, copy_run
from rosa_ray.config import load_config
from rosa_ray.run_dir import RunDir
from rosa_ray.settings.plain import dump
from rosa_ray.storage import write_json
from tests.serving.conftest import NOW_US, World, build_world
from tests.workloads.tiny_run import write_run
from workloads.places import service_settings


@pytest.fixture(scope="session")
def chaos_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("chaos-world"))


@pytest.fixture
def run_copy(chaos_world: World, tmp_path: Path) -> RunCopy:
    config_file = write_run(tmp_path / "run", chaos_world)
    shutil.copy(chaos_world.store, tmp_path / "run" / "store.db")
    spec = {"end_us": NOW_US, "feature_config": chaos_world.features.config.definition()}
    write_json(spec, RunDir(str(tmp_path / "run")).data.spec)
    config = load_config(config_file)
    copied = replace(config, run_dir=str(tmp_path / "copy" / "run"))
    rosa = (sys.executable, "-m", "workloads")
    return copy_run(tmp_path / "copy", RunDir(config.run_dir), service_settings(config), dump(copied), rosa)


@pytest.fixture
def bench(run_copy: RunCopy, tmp_path: Path) -> Bench:
    (tmp_path / "scratch").mkdir()
    return Bench(run_copy, tmp_path / "scratch")
