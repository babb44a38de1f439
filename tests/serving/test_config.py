from pathlib import Path

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from rosa_ray.errors import BundleError, ConfigError
from rosa_ray.serving.app import ENCODER, LOOKUP, SCORER, build
from rosa_ray.serving.assembly import ServiceSettings
from rosa_ray.serving.config import ServingConfig
from rosa_ray.settings.compose import read
from tests.serving.conftest import World

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rule": "sometimes"}, "should be 'offline', 'online', 'fresh' or 'learned'"),
        ({"score": "luck"}, "should be 'auto', 'roi', 'profit'"),
        ({"top_k": 0}, "at least 1"),
        ({"min_replicas": 3}, r"it must be at least serving.min_replicas \(3\)"),
        ({"max_future_s": -1}, "it must be 0 or more"),
        ({"encoder_cache_mb": -1}, "it must be 0 or more"),
        ({"ruel": "fresh"}, "unknown key 'serving.ruel'; did you mean 'serving.rule'"),
        ({"port": "80"}, "should be a valid integer"),
        ({"fused": 1}, "should be a valid boolean"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(ServingConfig, settings)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({}, "application args: bundle is missing"),
        ({"bundle": "b", "gate": 1}, "unknown key 'gate'"),
        ({"bundle": "b", "store": {"pth": "x"}}, "unknown key 'store.pth'; did you mean 'store.path'"),
    ],
)
def test_wrong_application_args_are_named(args: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ServiceSettings.of(args)


def test_a_missing_bundle_stops_the_deployment(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no manifest.json there"):
        build({"bundle": str(tmp_path)})


def test_the_serve_config_is_valid_and_names_what_the_builder_makes(world: World) -> None:
    config = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    checked = ServeDeploySchema.model_validate(config)
    (application,) = checked.applications
    assert application.import_path == "rosa_ray.serving.app:build"
    assert application.deployment_names == [SCORER, LOOKUP, ENCODER]
    settings = ServiceSettings.of(application.args)
    assert not settings.serving.fused
    assert set(config["applications"][0]["args"]["serving"]) <= set(vars(ServingConfig()))


def test_every_deployment_limits_its_queue_and_answers_retry_after(world: World) -> None:
    config = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    assert config["http_options"]["request_timeout_s"] > 0
    for deployment in config["applications"][0]["deployments"]:
        assert deployment["max_queued_requests"] > 0
        assert deployment["backpressure_config"]["retry_after_s"] > 0
        assert deployment["max_surge_percent"] > 0 or deployment["name"] == LOOKUP
