"""Nodes: types that do not exist, limits that contradict each other, hosts that are not there."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from rosa_ray.cluster.document import ClusterFinding, Document, mapping

TYPES = "available_node_types"
EMPTY_ID = re.compile(r"(sg|subnet|vpc|ami|i)-0+")
TEMPLATE_WORD = re.compile(r"<[A-Za-z][\w -]*>|\b(YOUR|CHANGE|FILL)[_-][A-Z_-]+\b")
DOCUMENTATION = tuple(IPv4Network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"))
"""Addresses that are reserved for documentation (RFC 5737)."""


def node_types(document: Document) -> dict[str, dict[str, Any]]:
    """Return the node types that are mappings, by name."""
    return {name: node for name, node in mapping(document.get(TYPES)).items() if isinstance(node, dict)}


def head_node_type(document: Document) -> Iterator[ClusterFinding]:
    """The head's node type must be one of those there are."""
    types = node_types(document)
    if not types:
        return
    head = document.body.get("head_node_type")
    if not isinstance(head, str) or head not in types:
        near = get_close_matches(str(head), types, n=1)
        known = ", ".join(types)
        yield document.finding(
            "head_node_type",
            f"there is no node type '{head}'" if head else "no node type is named as the head's",
            f"did you mean '{near[0]}'" if near else f"name one of {known}",
        )


def worker_limits(document: Document) -> Iterator[ClusterFinding]:
    """`min_workers` and `max_workers` of the types must fit each other and the cluster's `max_workers`."""
    limit = document.body.get("max_workers", 2)
    head = document.body.get("head_node_type")
    workers = {name: node for name, node in node_types(document).items() if name != head}
    if not workers or not isinstance(limit, int):
        return
    least = {name: _number(node, "min_workers", 0) for name, node in workers.items()}
    most = {name: _number(node, "max_workers", limit) for name, node in workers.items()}
    for name in workers:
        place = f"{TYPES}.{name}"
        if least[name] > most[name]:
            yield document.finding(
                place,
                f"min_workers {least[name]} is above its max_workers {most[name]}",
                "raise one or lower the other",
            )
        if most[name] > limit:
            yield document.finding(
                f"{place}.max_workers", f"{most[name]} is above the cluster's max_workers {limit}", f"at most {limit}"
            )
    if sum(least.values()) > limit:
        yield document.finding(
            "max_workers", f"{limit} is below the sum of min_workers, {sum(least.values())}", "raise it to that sum"
        )
    if sum(most.values()) < limit:
        yield document.finding(
            "max_workers",
            f"{limit} cannot be reached: max_workers of the node types sum to {sum(most.values())}",
            "lower it to that sum, or raise theirs",
        )


def _number(node: dict[str, Any], key: str, default: int) -> int:
    value = node.get(key, default)
    return value if isinstance(value, int) else default  # Ray's schema names another type


def hosts(document: Document) -> Iterator[ClusterFinding]:
    """A `local` cluster needs a head and as many workers as `max_workers` says, each host once."""
    if document.get("provider.type") != "local" or document.get("provider.coordinator_address"):
        return
    head, workers = document.get("provider.head_ip"), document.get("provider.worker_ips")
    if not head or not isinstance(workers, list):
        yield document.finding("provider", "hosts are missing", "give head_ip and the list worker_ips")
        return
    limit = document.body.get("max_workers", len(workers))
    if limit != len(workers):
        yield document.finding("max_workers", f"{limit}, but {len(workers)} worker_ips", f"set it to {len(workers)}")
    for host in sorted({str(host) for host in workers if [head, *workers].count(host) > 1}):
        yield document.finding("provider.worker_ips", f"{host} is there twice, or is the head", "name each host once")


def placeholders(document: Document) -> Iterator[ClusterFinding]:
    """What a template leaves to be filled in must be filled in."""
    for place, text in document.texts():
        if EMPTY_ID.fullmatch(text) or TEMPLATE_WORD.search(text) or _documentation_address(text):
            yield document.finding(place, f"'{text}' stands for a value of yours", "put yours there")


def _documentation_address(text: str) -> bool:
    try:
        return any(IPv4Address(text.partition("/")[0]) in net for net in DOCUMENTATION)
    except ValueError:
        return False
