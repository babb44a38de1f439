"""File mounts: what is copied to the nodes must be there to be copied."""

from collections.abc import Iterator
from pathlib import Path

from rosa_ray.cluster.document import ClusterFinding, Document, mapping


def file_mounts(document: Document) -> Iterator[ClusterFinding]:
    """Every local path of `file_mounts` must exist; Ray finds out halfway through `ray up`."""
    for remote, local in mapping(document.get("file_mounts")).items():
        if not Path(str(local)).expanduser().exists():
            yield document.finding(f"file_mounts.{remote}", f"{local} does not exist", _how(str(local)))


def _how(local: str) -> str:
    if local.endswith("auth_token"):
        return "make it with `ray get-auth-token --generate`"
    if local.endswith(".whl"):
        return f"make it with `python -m pip wheel --no-deps -w {Path(local).parent} .`"
    return "name a file or folder that is there; relative paths count from the working directory"


def ssh_key(document: Document) -> Iterator[ClusterFinding]:
    """The private key that Ray is to use must exist."""
    key = document.get("auth.ssh_private_key")
    if key and not Path(str(key)).expanduser().exists():
        yield document.finding("auth.ssh_private_key", f"{key} does not exist", "name the key that opens the hosts")
