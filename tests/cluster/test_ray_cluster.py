"""Each rule for a Ray cluster file finds what it is for, names its place, and finds nothing in a file that is right."""

from pathlib import Path
from typing import Any

import pytest

from rosa_ray.cluster import check_file
from rosa_ray.errors import InputError
from tests.cluster.conftest import Body, Check, put

TOKEN = "RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$HOME/.ray/auth_token"
HEAD = "head_start_ray_commands"
WORKER = "available_node_types.worker"
WORKER_NODE = f"{WORKER}.node_config"
OPEN_SSH = {"FromPort": 22, "ToPort": 22, "IpProtocol": "tcp", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


def test_nothing_is_found_in_files_that_are_right(check: Check, aws: Body, local: Body) -> None:
    assert check(aws) == []
    assert check(local) == []


@pytest.mark.parametrize(
    ("place", "value", "where", "problem", "remedy"),
    [
        ("head_node_type", "haed", "head_node_type", "there is no node type 'haed'", "did you mean 'head'"),
        ("head_node_type", None, "head_node_type", "no node type is named", "name one of head, worker"),
        ("max_workers", 9, "max_workers", "9 cannot be reached", "lower it to that sum"),
        ("max_workers", 2, f"{WORKER}.max_workers", "3 is above the cluster's", "at most 2"),
        (f"{WORKER}.min_workers", 5, "max_workers", "3 is below the sum", "raise it"),
        (f"{WORKER}.min_workers", 4, WORKER, "4 is above its", "raise one"),
        (f"{WORKER}.cpus", 4, WORKER, "'cpus' was unexpected", "ray-schema.json"),
        ("provider.cache_stopped_nodes", None, "provider.cache_stopped_nodes", "true, Ray's", "set it to false"),
        (f"{WORKER_NODE}.MetadataOptions", None, f"{WORKER_NODE}.MetadataOptions", "IMDSv1", "HttpTokens: required"),
        (f"{WORKER_NODE}.IamInstanceProfile", None, f"{WORKER_NODE}.IamInstanceProfile", "no access to s3", "name an"),
        (f"{WORKER_NODE}.SecurityGroupIds", None, WORKER_NODE, "opens ssh", "give SecurityGroupIds"),
        (f"{WORKER_NODE}.SecurityGroupIds", ["sg-0000"], f"{WORKER_NODE}.SecurityGroupIds[0]", "of yours", "put yours"),
        (
            "provider.security_group",
            {"GroupName": "tiny", "IpPermissions": [OPEN_SSH]},
            "provider.security_group.IpPermissions[0].IpRanges[0].CidrIp",
            "ssh (port 22) is open to the whole internet",
            "name the addresses",
        ),
        (f"{HEAD}.0", "ray stop; ray start --head", f"{HEAD}[0]", "`ray stop` ends every Ray", "leave it out"),
        (HEAD, None, HEAD, "missing, so Ray's default runs `ray stop`", "give it"),
        (HEAD, ["echo"], HEAD, "no command starts Ray", "ray start"),
        (f"{HEAD}.0", f"{TOKEN} ray start --head", f"{HEAD}[0]", "no worker ever comes", "--autoscaling-config"),
        (f"{HEAD}.0", "ray start --head", f"{HEAD}[0]", "without token authentication", "RAY_AUTH_MODE=token"),
        (
            f"{HEAD}.0",
            "ray start --head --dashboard-host=0.0.0.0",
            f"{HEAD}[0]",
            "the dashboard and its job server listen on every address",
            "--dashboard-host=127.0.0.1",
        ),
        ("worker_start_ray_commands.0", f"{TOKEN} ray start", "worker_start_ray_commands[0]", "not join", "RAY_HEAD"),
        ("file_mounts", {}, f"{HEAD}[0]", "no file_mounts entry brings", "add ~/.ray/auth_token"),
        ("file_mounts", {"/a": "/no/such"}, "file_mounts./a", "/no/such does not exist", "name a file or folder"),
        ("file_mounts", {"/a": "dist/a.whl"}, "file_mounts./a", "does not exist", "pip wheel --no-deps -w dist"),
        ("auth.ssh_private_key", "/no/key", "auth.ssh_private_key", "does not exist", "name the key"),
        ("setup_commands", ["pip install -U ray"], "setup_commands[0]", "takes whatever is newest", "pin it"),
        ("setup_commands", ["pip install ray[default]==2.9.0"], "setup_commands[0]", "Ray 2.9.0, but", "name"),
        ("setup_commands", ["pip install rosa-ray==9.9.9"], "setup_commands[0]", "rosa-ray 9.9.9, but", "name 0.1.0"),
        ("setup_commands", ["python3.9 -m venv x"], "setup_commands[0]", "Python 3.9", "3.11 or 3.12"),
        ("docker", {"image": "rayproject/ray:2.9.0-py39"}, "docker.image", "Ray 2.9.0", "name"),
    ],
)  # fmt: skip
def test_what_is_wrong_on_aws(
    check: Check, aws: Body, place: str, value: Any, where: str, problem: str, remedy: str
) -> None:
    found = check(put(aws, place, value))
    assert [
        finding
        for finding in found
        if (finding.place, problem in finding.problem, remedy in finding.remedy) == (where, True, True)
    ], found


@pytest.mark.parametrize(
    ("place", "value", "where", "problem"),
    [
        ("provider.worker_ips", ["10.0.0.2", "10.0.0.1"], "provider.worker_ips", "10.0.0.1 is there twice"),
        ("provider.worker_ips", ["10.0.0.2"], "max_workers", "2, but 1 worker_ips"),
        ("provider.head_ip", None, "provider", "hosts are missing"),
        ("provider.head_ip", "192.0.2.10", "provider.head_ip", "'192.0.2.10' stands for a value of yours"),
        ("auth.ssh_user", "<your user>", "auth.ssh_user", "stands for a value of yours"),
        (
            f"{HEAD}.0",
            f"{TOKEN} ray start --head --autoscaling-config=~/a",
            f"{HEAD}[0]",
            "autoscaler v2 starts no worker of a `local` cluster",
        ),
    ],
)
def test_what_is_wrong_on_hosts(check: Check, local: Body, place: str, value: Any, where: str, problem: str) -> None:
    assert [finding.place for finding in check(put(local, place, value)) if problem in finding.problem] == [where]


def test_a_finding_is_one_line_that_names_file_place_problem_and_remedy(
    check: Check, aws: Body, tmp_path: Path
) -> None:
    (finding,) = check(put(aws, "head_node_type", "haed"))
    assert str(finding) == (
        f"{tmp_path}/cluster.yaml: head_node_type: there is no node type 'haed'; did you mean 'head'"
    )


@pytest.mark.parametrize("text", ["a: [", "", "- 1", "a: !!python/object:x {}"])
def test_a_file_that_is_no_cluster_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError, match=r"a\.yaml: (not YAML|a Ray cluster file)"):
        check_file(tmp_path / "a.yaml")


def test_a_wheel_without_the_client_of_the_shared_store_is_found(check: Check, aws: Body) -> None:
    aws["setup_commands"] = ["~/venv/bin/pip install -c ~/lock ~/rosa_ray-0.1.0-py3-none-any.whl"]
    (finding,) = check(aws)
    assert finding.place == "setup_commands[0]"
    assert finding.remedy == "write 'rosa_ray-0.1.0-py3-none-any.whl[redis,kafka]'"
