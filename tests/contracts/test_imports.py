"""Data flows one way: the import contracts hold, and the core runs on a box without Ray and pydantic."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

WITHOUT = """
import importlib, pkgutil, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"{{name}} is not installed")

sys.meta_path.insert(0, Refuse())
for name in {modules!r}:
    module = importlib.import_module(name)
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), name + "."):
        importlib.import_module(found.name)
"""


def import_without(modules: list[str], blocked: list[str]) -> None:
    script = WITHOUT.format(modules=modules, blocked=blocked)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["rosa_ray.models", "rosa_ray.training.step"])
def test_model_and_training_step_run_without_the_platform(module: str) -> None:
    import_without([module], ["ray", "pydantic", "mlflow", "fastapi", "typer", "s3fs"])


def test_features_metrics_sources_and_simulation_need_numpy_and_arrow_only() -> None:
    modules = ["rosa_ray.features", "rosa_ray.metrics", "rosa_ray.sources", "rosa_ray.simulation"]
    import_without(modules, ["torch", "ray", "pydantic", "mlflow", "fastapi", "typer", "pandas", "s3fs"])


def test_the_import_contracts_hold() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
