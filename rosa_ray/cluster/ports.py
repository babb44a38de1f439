"""Ports: who may reach ssh, the dashboard and the job server, which run any code they are sent."""

import re
from collections.abc import Iterator
from typing import Any

from rosa_ray.cluster.commands import HEAD_START, WORKER_START, starts
from rosa_ray.cluster.document import ClusterFinding, Document, mapping, sequence
from rosa_ray.cluster.nodes import TYPES, node_types

EVERYONE = {"0.0.0.0/0", "::/0"}
TOKEN_MODE = re.compile(r"\bRAY_AUTH_MODE=[\"']?token\b")
TOKEN_PATH = re.compile(r"\bRAY_AUTH_TOKEN_PATH=[\"']?(?P<path>[^\s;\"']+)")
OPEN_DASHBOARD = re.compile(r"--dashboard-host[=\s]+[\"']?(0\.0\.0\.0|::)")
HOME = re.compile(r"^(~|\$HOME|\$\{HOME\}|/root|/home/[^/]+)/")


def open_ingress(document: Document) -> Iterator[ClusterFinding]:
    """No rule of a security group may let everyone in."""
    for index, rule in enumerate(sequence(document.get("provider.security_group.IpPermissions"))):
        for place, text in Document("", mapping(rule)).texts():
            if text in EVERYONE:
                yield document.finding(
                    f"provider.security_group.IpPermissions[{index}].{place}",
                    f"{_ports(rule)} open to the whole internet",
                    "name the addresses that may, such as 198.51.100.7/32",
                )


def _ports(rule: dict[str, Any]) -> str:
    first, last = rule.get("FromPort", -1), rule.get("ToPort", -1)
    if first in (-1, None):
        return "every port is"
    return "ssh (port 22) is" if first == last == 22 else f"ports {first}-{last} are"


def security_group(document: Document) -> Iterator[ClusterFinding]:
    """Nodes without a group of yours get one from Ray that opens ssh to 0.0.0.0/0, whatever the file says."""
    for name, node in node_types(document).items():
        settings = mapping(node.get("node_config"))
        if not {"SecurityGroupIds", "NetworkInterfaces", "LaunchTemplate"} & set(settings):
            yield document.finding(
                f"{TYPES}.{name}.node_config",
                "no security group, so Ray makes one that opens ssh (port 22) to 0.0.0.0/0",
                "give SecurityGroupIds",
            )


def token_auth(document: Document) -> Iterator[ClusterFinding]:
    """Without a token whoever reaches a port of Ray runs code on the cluster."""
    for key in (HEAD_START, WORKER_START):
        for place, text in starts(document, key):
            if not TOKEN_MODE.search(text):
                open_to_all = OPEN_DASHBOARD.search(text)
                yield document.finding(
                    place,
                    "the dashboard and its job server listen on every address and ask nobody for a token"
                    if open_to_all
                    else "Ray starts without token authentication",
                    "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH"
                    + (", or --dashboard-host=127.0.0.1" * bool(open_to_all)),
                )


def token_mount(document: Document) -> Iterator[ClusterFinding]:
    """The token's file must come to every node."""
    mounts = {HOME.sub("", str(path)) for path in mapping(document.get("file_mounts"))}
    for key in (HEAD_START, WORKER_START):
        for place, text in starts(document, key):
            path = TOKEN_PATH.search(text)
            if path and HOME.sub("", path["path"]) not in mounts:
                yield document.finding(
                    place,
                    f"no file_mounts entry brings {path['path']} to the nodes",
                    f"add {path['path'].replace('$HOME', '~')}: ~/.ray/auth_token",
                )
