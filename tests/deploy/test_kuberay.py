"""The KubeRay manifests satisfy the types that KubeRay publishes, and serve and size what the other files do."""

import copy
from typing import Any

import jsonschema
import pytest
import yaml

from tests.deploy.cluster_files import ROOT, load

MANIFESTS = {
    kind: load(ROOT / "deploy" / "kuberay" / f"{kind.lower()}.yaml") for kind in ("RayCluster", "RayJob", "RayService")
}
SCHEMA = load(ROOT / "tests" / "deploy" / "kuberay_schema.yaml")


@pytest.mark.parametrize("kind", MANIFESTS)
def test_the_published_types_accept_it(kind: str) -> None:
    jsonschema.validate(MANIFESTS[kind], SCHEMA, jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("workerGroupSpec", []),
        ("rayVersion", 2.6),
        ("authOptions", {"mode": "password"}),
        ("headGroupSpec", {"rayStartParams": {"num-cpus": 0}, "template": {}}),
    ],
)
def test_the_schema_refuses_what_kuberay_refuses(place: str, value: Any) -> None:
    body = copy.deepcopy(MANIFESTS["RayCluster"])
    body["spec"][place] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(body, SCHEMA, jsonschema.Draft202012Validator)


def test_all_run_on_the_same_cluster() -> None:
    cluster = MANIFESTS["RayCluster"]["spec"]
    served = dict(MANIFESTS["RayService"]["spec"]["rayClusterConfig"])
    assert "rediss://" in served.pop("gcsFaultToleranceOptions")["redisAddress"]
    assert served == cluster
    job = copy.deepcopy(MANIFESTS["RayJob"]["spec"]["rayClusterSpec"])
    pods = [group["template"]["spec"] for group in (job["headGroupSpec"], *job["workerGroupSpecs"])]
    for pod in {id(pod["volumes"]): pod for pod in pods}.values():
        pod["volumes"][:] = [volume for volume in pod["volumes"] if volume["name"] != "config"]
    for pod in {id(pod["containers"][0]["volumeMounts"]): pod for pod in pods}.values():
        mounts = pod["containers"][0]["volumeMounts"]
        mounts[:] = [mount for mount in mounts if mount["name"] != "config"]
    assert job == cluster


def test_the_service_is_the_one_of_serve_config() -> None:
    served = yaml.safe_load(MANIFESTS["RayService"]["spec"]["serveConfigV2"])
    file = load(ROOT / "serve_config.yaml")
    (application,), (expected,) = served["applications"], file["applications"]
    assert application["args"]["store"]["kind"] == "redis"
    serving, scaled = expected["args"]["serving"], application["args"]["serving"]
    assert 2 <= scaled["min_replicas"] < scaled["max_replicas"]
    scaled |= {name: serving[name] for name in ("min_replicas", "max_replicas", "dead_letters")}
    application["args"] |= {"bundle": expected["args"]["bundle"], "store": expected["args"]["store"]}
    assert served == file


def test_the_image_holds_the_ray_and_the_wheel_that_the_manifests_name() -> None:
    lines = (ROOT / "deploy" / "kuberay" / "Dockerfile").read_text()
    image = MANIFESTS["RayCluster"]["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["image"]
    assert f"-t {image} ." in lines
    assert f"rayproject/ray:{MANIFESTS['RayCluster']['spec']['rayVersion']}-py311" in lines
