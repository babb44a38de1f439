"""Cluster files in which nothing is wrong, and a way to spoil them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rosa_ray.cluster import ClusterFinding, check_file

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$HOME/.ray/auth_token"

Body = dict[str, Any]
Check = Callable[[Body], list[ClusterFinding]]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Write a body to a file and check it."""

    def written(body: Body) -> list[ClusterFinding]:
        path = tmp_path / "cluster.yaml"
        path.write_text(yaml.safe_dump(body, sort_keys=False))
        return list(check_file(path))

    return written


@pytest.fixture
def aws(tmp_path: Path) -> Body:
    """A Ray cluster on AWS."""
    token = tmp_path / "token"
    token.write_text("x")
    node = {
        "InstanceType": "m7i.large",
        "SecurityGroupIds": ["sg-0a1"],
        "IamInstanceProfile": {"Name": "nodes"},
        "MetadataOptions": {"HttpTokens": "required"},
    }
    return {
        "cluster_name": "tiny",
        "max_workers": 3,
        "provider": {"type": "aws", "region": "us-east-1", "cache_stopped_nodes": False},
        "auth": {"ssh_user": "ubuntu"},
        "available_node_types": {
            "head": {"resources": {}, "node_config": dict(node)},
            "worker": {"resources": {}, "min_workers": 0, "max_workers": 3, "node_config": dict(node)},
        },
        "head_node_type": "head",
        "file_mounts": {"/home/ubuntu/.ray/auth_token": str(token)},
        "setup_commands": ["~/venv/bin/pip install -c ~/lock ~/rosa_ray-0.1.0-py3-none-any.whl[redis]"],
        "head_start_ray_commands": [f"{TOKEN} ray start --head --autoscaling-config=~/ray_bootstrap_config.yaml"],
        "worker_start_ray_commands": [f"{TOKEN} ray start --address=$RAY_HEAD_IP:6379"],
    }


@pytest.fixture
def local(aws: Body) -> Body:
    """A Ray cluster on three hosts."""
    body = {key: value for key, value in aws.items() if key not in ("available_node_types", "head_node_type")}
    start = aws["head_start_ray_commands"][0]
    return body | {
        "max_workers": 2,
        "provider": {"type": "local", "head_ip": "10.0.0.1", "worker_ips": ["10.0.0.2", "10.0.0.3"]},
        "head_start_ray_commands": [f"RAY_enable_autoscaler_v2=0 {start}"],
    }


def manifest(kind: str) -> Body:
    """One of the KubeRay manifests of the project."""
    body: Body = yaml.safe_load((ROOT / "deploy" / "kuberay" / f"{kind.lower()}.yaml").read_text())
    return body


def put(body: Body, place: str, value: Any) -> Body:
    """Set the value at a dotted path, whose numbers are positions in lists; None takes it away."""
    *way, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    inner: Any = body
    for part in way:
        inner = inner[part]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return body
