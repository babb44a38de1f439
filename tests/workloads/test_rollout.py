"""`rosa rollout` finds the Ray cluster of the run's service."""

from pathlib import Path

import pytest

from rosa_ray.config import load_config
from rosa_ray.errors import ConfigError
from rosa_ray.storage import write_json
from workloads.rollout import _address, run


def test_the_cluster_is_the_named_one_then_the_run_s_then_the_machine_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    config = load_config(overrides=[f"run_dir={tmp_path}"])
    assert _address(config) == "auto"
    write_json({"url": "http://127.0.0.1:8000", "ray_address": "127.0.0.1:6400"}, f"{tmp_path}/service.json")
    assert _address(config) == "127.0.0.1:6400"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert _address(config) == "10.0.0.1:6379"
    named = load_config(overrides=[f"run_dir={tmp_path}", "ray.address=10.0.0.2:6379"])
    assert _address(named) == "10.0.0.2:6379"


def test_there_is_one_way_back_at_a_time() -> None:
    with pytest.raises(ConfigError, match="--to and --back are both given"):
        run(load_config(), "abc", True, 60.0)
