"""Settings of the service, and what both ways to serve make of them."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from ray.serve import Application
from ray.serve.schema import ServeDeploySchema

from rosa_ray.bundle import open_bundle
from rosa_ray.config import load_config
from rosa_ray.errors import BundleError, ConfigError
from rosa_ray.serving.app import ENCODER, LOOKUP, SCORER, build, build_application
from rosa_ray.serving.assembly import ServiceSettings
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.scaling import lacking_cpus, with_replicas
from rosa_ray.serving.server import http_options
from rosa_ray.settings.compose import read
from tests.serving.conftest import World, write_world_bundle
from workloads.places import service_settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rule": "sometimes"}, "should be 'offline', 'online', 'fresh' or 'learned'"),
        ({"score": "luck"}, "should be 'auto', 'roi', 'profit'"),
        ({"top_k": 0}, "at least 1"),
        ({"min_replicas": 3, "max_replicas": 2}, r"it must be at least serving.min_replicas \(3\)"),
        ({"max_future_s": -1}, "it must be 0 or more"),
        ({"encoder_cache_mb": -1}, "it must be 0 or more"),
        ({"ruel": "fresh"}, "unknown key 'serving.ruel'; did you mean 'serving.rule'"),
        ({"port": "80"}, "should be a valid integer"),
        ({"fused": 1}, "should be a valid boolean"),
        ({"policy": [{"name": "flor"}]}, "serving.policy.0.name is 'flor'; it must be one of budget, diversity"),
        (
            {"policy": [{"name": "floor", "lest": 1}]},
            "unknown key 'serving.policy.0.lest'; did you mean 'serving.policy",
        ),
        ({"policy": [{"name": "explore", "epsilon": 2}]}, "epsilon is 2.0; it must be from 0 to 1"),
        ({"policy": [{"name": "budget"}]}, "serving.policy.0.campaigns is missing"),
        ({"policy": [{"name": "explore"}, {"name": "floor"}]}, "explore must be its last step, and stand there once"),
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


def test_the_serve_config_has_the_settings_of_rosa_serve() -> None:
    config = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    (application,) = ServeDeploySchema.model_validate(config).applications
    assert application.import_path == "rosa_ray.serving.app:build"
    assert not application.deployments
    run = load_config(overrides=["run_dir=runs/demo"])
    assert ServiceSettings.of(application.args).absolute() == service_settings(run)
    at_home = http_options(run.serving, 8000)
    assert config["http_options"] == {**at_home, "host": "0.0.0.0"}


@pytest.mark.parametrize("fused", [True, False])
def test_both_ways_build_the_same_deployments(world: World, store_path: Path, fused: bool) -> None:
    settings = world.settings(store_path, fused=fused)
    args = {
        "bundle": settings.bundle,
        "store": {"path": settings.store.path},
        "serving": {"fused": fused, "lookup_deadline_ms": 20_000, "encoder_deadline_ms": 20_000},
    }
    built, ours = build(args), build_application(settings)
    assert described(built) == described(ours)
    assert [*described(ours)] == ([SCORER] if fused else [SCORER, LOOKUP, ENCODER])


def described(application: Application) -> dict[str, object]:
    """Options of each deployment of an application, and the settings that it is built with."""
    bound = application._bound_deployment
    children = [one._bound_deployment for one in bound.init_args if isinstance(one, Application)]
    return {
        one.name: (one._deployment_config.model_dump(), one.ray_actor_options, one.init_args[0])
        for one in (bound, *children)
    }


@pytest.mark.parametrize("fused", [True, False])
def test_every_deployment_limits_its_queue_and_starts_the_new_before_it_ends_the_old(
    world: World, store_path: Path, fused: bool
) -> None:
    for options, actor, settings in described(build_application(world.settings(store_path, fused=fused))).values():
        assert options["max_queued_requests"] == 100
        assert options["backpressure_config"]["retry_after_s"] > 0
        assert options["max_surge_percent"] > 0
        assert options["health_check_period_s"] <= 2
        assert options["graceful_shutdown_timeout_s"] > settings.serving.request_timeout_ms / 1000
        assert actor["num_cpus"] == 0.5
        assert settings.model_version == world.model.version
        assert Path(settings.bundle) == world.bundle.resolve()


@pytest.mark.parametrize(
    ("serving", "cpus", "replicas"),
    [
        ({}, 0, (1, 1)),
        ({}, 1, (1, 1)),
        ({}, 1.5, (2, 2)),
        ({"max_replicas": 6}, 1, (1, 6)),
        ({"min_replicas": 3}, 1, (3, 3)),
        ({"fused": False}, 3.5, (1, 1)),
        ({"fused": False}, 4, (2, 2)),
        ({"cpus_per_replica": 1}, 2, (1, 1)),
    ],
)
def test_a_second_replica_is_taken_where_a_third_has_room(serving: dict, cpus: float, replicas: tuple) -> None:
    settled = with_replicas(ServingConfig(**serving), cpus, one_lookup=True)
    assert (settled.min_replicas, settled.max_replicas) == replicas


def test_with_redis_there_are_as_many_lookups_as_of_the_others(world: World) -> None:
    settings = world.settings(Path("store.db"), fused=False, min_replicas=3)
    redis = replace(settings, store=replace(settings.store, kind="redis"))
    for one, lookups in ((settings, 1), (redis, 3)):
        deployments = described(build_application(one))
        assert deployments[LOOKUP][0]["num_replicas"] == lookups
        assert deployments[ENCODER][0]["num_replicas"] == 3


def test_a_model_that_was_replaced_can_be_named(world: World, tmp_path: Path) -> None:
    home = tmp_path / "run"
    home.mkdir()
    write_world_bundle(home, world.features, users=world.users)
    former = open_bundle(home / "bundle").model_version
    later = write_world_bundle(home, world.features, seed=12, users=world.users)
    settings = replace(world.settings(tmp_path / "store.db"), bundle=str(later))
    assert settings.pinned().model_version not in ("", former)
    back = replace(settings, model_version=former).pinned()
    assert open_bundle(back.bundle).model_version == former
    assert back.pinned() == back
    with pytest.raises(BundleError, match="no bundle of model 0 is kept there"):
        build_application(replace(settings, model_version="0"))


@pytest.mark.parametrize(
    ("serving", "cpus", "words"),
    [
        ({}, 2.0, ""),
        ({"fused": False, "min_replicas": 2}, 2.0, r"needs 2\.5 CPUs and the cluster has 2"),
        ({"min_replicas": 5}, 2.0, r"serving\.min_replicas 5 needs 2\.5 CPUs"),
    ],
)
def test_replicas_that_cannot_all_start_are_told(serving: dict, cpus: float, words: str) -> None:
    settled = with_replicas(ServingConfig(**serving), cpus, one_lookup=True)
    found = lacking_cpus(settled, cpus, one_lookup=True)
    assert re.search(words, found) if words else found == ""
