"""Commands: what starts Ray, what must not end it, and what is installed."""

import re
from collections.abc import Iterator

from rosa_ray.cluster.document import ClusterFinding, Document

HEAD_START, WORKER_START = "head_start_ray_commands", "worker_start_ray_commands"
SETUP = ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")
RAY_STOP = re.compile(r"\bray\s+stop\b")
RAY_START = re.compile(r"\bray\s+start\b")
PIP_INSTALL = re.compile(r"\bpip3?\s+install\b(?P<what>[^;&|\n]*)")
WHEEL = re.compile(r"rosa_ray-[\w.]+-py3-none-any\.whl(?P<extras>\[[\w,-]*\])?")
PINNED = re.compile(r"==|\.whl\b|\s(-r|-c|--requirement|--constraint)[\s=]|@\s*\S+[@#]")


def starts(document: Document, key: str) -> list[tuple[str, str]]:
    """Return place and text of the commands under a key that start Ray."""
    return [(place, text) for place, text in document.texts(key) if RAY_START.search(text)]


def ray_stop(document: Document) -> Iterator[ClusterFinding]:
    """Starting must not end other Rays of the host, which Ray's own default commands do."""
    for key in (HEAD_START, WORKER_START):
        if key not in document.body:
            yield document.finding(
                key, "missing, so Ray's default runs `ray stop` first, which ends every Ray on the host", "give it"
            )
        elif not starts(document, key):
            yield document.finding(key, "no command starts Ray", "one must run `ray start`")
        for place, text in document.texts(key):
            if RAY_STOP.search(text):
                yield document.finding(place, "`ray stop` ends every Ray on the host", "leave it out")


def autoscaling_config(document: Document) -> Iterator[ClusterFinding]:
    """A head without the autoscaler's config never starts a worker."""
    for place, text in starts(document, HEAD_START):
        if "--autoscaling-config" not in text:
            yield document.finding(
                place,
                "the head starts without an autoscaler, so no worker ever comes",
                "add --autoscaling-config=~/ray_bootstrap_config.yaml",
            )


def local_autoscaler(document: Document) -> Iterator[ClusterFinding]:
    """Autoscaler v2, which `ray up` asks for, starts no worker of a `local` cluster (ray-project/ray issue 57153)."""
    if document.get("provider.type") != "local" or not document.get("provider.worker_ips"):
        return
    for place, text in starts(document, HEAD_START):
        if "RAY_enable_autoscaler_v2=0" not in text:
            yield document.finding(
                place,
                "autoscaler v2 starts no worker of a `local` cluster",
                "set RAY_enable_autoscaler_v2=0 before ray start",
            )


def worker_address(document: Document) -> Iterator[ClusterFinding]:
    """A worker must be told where the head is."""
    for place, text in starts(document, WORKER_START):
        if "RAY_HEAD_IP" not in text:
            yield document.finding(place, "the worker does not join the head", "add --address=$RAY_HEAD_IP:6379")


def unpinned(document: Document) -> Iterator[ClusterFinding]:
    """Nodes that install whatever is newest differ from each other and from the machine that sends them jobs."""
    for key in SETUP:
        for place, text in document.texts(key):
            for match in PIP_INSTALL.finditer(text):
                if not PINNED.search(match["what"]):
                    yield document.finding(
                        place,
                        f"`{match[0].strip()}` takes whatever is newest",
                        "pin it: ==VERSION or -c requirements.lock",
                    )


def extras(document: Document) -> Iterator[ClusterFinding]:
    """What nodes share is Redis or Kafka, whose clients come with extras of the wheel."""
    for key in SETUP:
        for place, text in document.texts(key):
            for match in WHEEL.finditer(text) if PIP_INSTALL.search(text) else ():
                if "redis" not in (match["extras"] or ""):
                    yield document.finding(
                        place,
                        f"{match[0]} is installed without the extra redis, the store that nodes can share",
                        f"write '{match[0].partition('[')[0]}[redis,kafka]'",
                    )
