"""Each rule for KubeRay manifests finds what it is for; the manifests of the project are right."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from rosa_ray.cluster import check_file
from tests.cluster.conftest import ROOT, Check, manifest, put

HEAD = "spec.headGroupSpec.template.spec.containers.0"
GROUP = "spec.workerGroupSpecs.0"
HEAD_PLACE = "spec.headGroupSpec.template.spec.containers[0]"


@pytest.mark.parametrize("kind", ["RayCluster", "RayJob", "RayService"])
def test_nothing_is_found_in_the_manifests_of_the_project(kind: str) -> None:
    assert check_file(ROOT / "deploy" / "kuberay" / f"{kind.lower()}.yaml") == ()


@pytest.mark.parametrize(
    ("place", "value", "where", "problem"),
    [
        ("apiVersion", "ray.io/v1alpha1", "apiVersion", "not served by current KubeRay"),
        ("kind", "RayThing", "kind", "there is no kind 'RayThing'"),
        ("spec", {}, "spec", "missing"),
        ("spec.headGroupSpec", None, "spec.headGroupSpec", "missing"),
        (f"{GROUP}.template.spec", {}, "spec.workerGroupSpecs[0].template.spec.containers", "missing"),
        (f"{GROUP}.groupName", "gpu", "spec.workerGroupSpecs[1].groupName", "'gpu' is missing or taken"),
        (f"{GROUP}.replicas", 9, "spec.workerGroupSpecs[0].replicas", "9 is not between minReplicas 0"),
        (f"{GROUP}.maxReplicas", None, "spec.workerGroupSpecs[0].maxReplicas", "grow without end"),
        (
            f"{HEAD}.resources.limits.memory",
            "16Gi",
            f"{HEAD_PLACE}.resources.requests.memory",
            "8Gi is not the limit 16Gi",
        ),
        (
            f"{HEAD}.resources",
            {"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}},
            f"{HEAD_PLACE}.resources",
            "no cpu request",
        ),
        ("spec.rayVersion", "2.9.0", "spec.rayVersion", "Ray 2.9.0, but"),
        ("spec.rayVersion", None, "spec.rayVersion", "missing"),
        (f"{HEAD}.image", "rayproject/ray:2.9.0-py311", f"{HEAD_PLACE}.image", "2.9.0"),
        (f"{HEAD}.image", "mine:1", f"{HEAD_PLACE}.image", "does not say its Ray"),
        ("spec.authOptions", None, "spec.authOptions", "without token authentication"),
        (
            f"{GROUP}.template.spec.securityContext",
            None,
            "spec.workerGroupSpecs[0].template.spec.securityContext.fsGroup",
            "cannot write to the claim of volume 'runs'",
        ),
        (
            f"{HEAD}.env.0",
            {"name": "DB_PASSWORD", "value": "hunter2"},
            f"{HEAD_PLACE}.env[0].value",
            "a value for DB_PASSWORD",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_cluster(check: Check, place: str, value: Any, where: str, problem: str) -> None:
    found = check(put(manifest("RayCluster"), place, value))
    assert [finding for finding in found if finding.place == where and problem in finding.problem], found


def test_a_cluster_open_to_the_world_needs_a_token(check: Check) -> None:
    body = put(manifest("RayCluster"), "spec.headGroupSpec.serviceType", "LoadBalancer")
    (finding,) = check(put(body, "spec.authOptions", None))
    assert "behind a LoadBalancer service" in finding.problem


@pytest.mark.parametrize(
    ("entrypoint", "problem", "remedy"),
    [
        ("", "missing", "give the command of the job"),
        (
            "python -m workloadz train a.yaml",
            "there is no module workloadz",
            "name one, as in `python -m workloads train CONFIG`",
        ),
        (
            "python -m workloads.trian a.yaml",
            "there is no module workloads.trian",
            "name one, as in `python -m workloads train CONFIG`",
        ),
        ("python -m workloads trian a.yaml", "workloads has no verb 'trian'", "did you mean 'train'"),
        ("python -m workloads /etc/a.yaml", "workloads has no verb '/etc/a.yaml'", "name one of train, evaluate"),
        ("python -m workloads", "no verb of workloads is named", "name one of train, evaluate"),
        (
            "python -m workloads.train a.yaml",
            "running module workloads.train does nothing",
            "write `python -m workloads train CONFIG`",
        ),
        (
            "python -m workloads train a.yaml && python3 -m workloads evalute a.yaml",
            "workloads has no verb 'evalute'",
            "did you mean 'evaluate'",
        ),
    ],
)
def test_a_job_that_runs_nothing(tmp_path: Path, entrypoint: str, problem: str, remedy: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(put(manifest("RayJob"), "spec.entrypoint", entrypoint)))
    (finding,) = check_file(path, {"workloads": ("train", "evaluate")})
    assert (finding.place, finding.problem, finding.remedy) == ("spec.entrypoint", problem, remedy)


@pytest.mark.parametrize(
    "entrypoint",
    ["python -m workloads train a.yaml", "python -m workloads --version", "python -m workloads $VERB", "python a.py"],
)
def test_a_job_that_runs_something(tmp_path: Path, entrypoint: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(put(manifest("RayJob"), "spec.entrypoint", entrypoint)))
    assert check_file(path, {"workloads": ("train", "evaluate")}) == ()


def test_a_verb_of_a_module_whose_verbs_are_not_known_may_be_any(check: Check) -> None:
    assert check(put(manifest("RayJob"), "spec.entrypoint", "python -m workloads trian a.yaml")) == []


@pytest.mark.parametrize(
    ("old", "new", "where", "problem"),
    [
        ("app:build", "app:biuld", "spec.serveConfigV2.applications[0].import_path", "no 'rosa_ray.serving.app:biuld'"),
        ("port: 8000", "port: high", "spec.serveConfigV2.http_options.port", "valid integer"),
        ("applications:", "applications: [", "spec.serveConfigV2", "not YAML"),
    ],
)
def test_a_serve_config_that_serve_would_refuse(check: Check, old: str, new: str, where: str, problem: str) -> None:
    body = manifest("RayService")
    body["spec"]["serveConfigV2"] = body["spec"]["serveConfigV2"].replace(old, new)
    assert any(finding.place == where and problem in finding.problem for finding in check(body))


def test_a_service_without_fault_tolerance_dies_with_its_head(check: Check) -> None:
    body = put(manifest("RayService"), "spec.rayClusterConfig.gcsFaultToleranceOptions", None)
    (finding,) = check(body)
    assert finding.place == "spec.rayClusterConfig.gcsFaultToleranceOptions"
    assert "every replica of the service goes with it" in finding.problem


@pytest.mark.parametrize(
    ("old", "new", "place", "problem"),
    [
        ("rediss://rosa-redis", "redis://rosa-redis", "url", "in the clear"),
        ("kind: redis ", "kind: sqlite ", "kind", "the disk of one node"),
        ("rediss://rosa-redis", "redis://127.0.0.1", "", ""),
    ],
)
def test_a_store_that_nodes_cannot_share_safely_is_found(
    check: Check, old: str, new: str, place: str, problem: str
) -> None:
    body = manifest("RayService")
    text = body["spec"]["serveConfigV2"]
    assert old in text
    found = check(put(body, "spec.serveConfigV2", text.replace(old, new)))
    assert [finding.place for finding in found] == [
        f"spec.serveConfigV2.applications[0].args.store.{place}" for place in [place] if place
    ]
    assert all(problem in finding.problem for finding in found)
