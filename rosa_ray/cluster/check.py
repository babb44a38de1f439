"""The rules that each kind of cluster file is held against."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rosa_ray.cluster import aws, commands, kuberay, mounts, nodes, ports, ray_schema, secrets, serve, versions
from rosa_ray.cluster.document import ClusterFinding, Document, read_documents

ClusterRule = Callable[[Document], Iterator[ClusterFinding]]

EVERYWHERE: tuple[ClusterRule, ...] = (
    secrets.known_secrets,
    secrets.named_secrets,
    secrets.random_texts,
    versions.ray_version,
    versions.project_version,
    versions.python_version,
)
RAY_CLUSTER: tuple[ClusterRule, ...] = (
    ray_schema.rays_schema,
    nodes.head_node_type,
    nodes.worker_limits,
    nodes.hosts,
    nodes.placeholders,
    ports.open_ingress,
    ports.token_auth,
    ports.token_mount,
    commands.ray_stop,
    commands.autoscaling_config,
    commands.local_autoscaler,
    commands.worker_address,
    commands.unpinned,
    commands.extras,
    mounts.file_mounts,
    mounts.ssh_key,
)
AWS: tuple[ClusterRule, ...] = (
    ports.security_group,
    aws.instance_metadata,
    aws.stopped_nodes,
    aws.instance_profile,
)
KUBERAY: tuple[ClusterRule, ...] = (
    kuberay.kind,
    kuberay.groups,
    kuberay.replicas,
    kuberay.resources,
    kuberay.image_version,
    kuberay.token_auth,
    kuberay.volume_group,
    kuberay.fault_tolerance,
    kuberay.entrypoint,
    serve.serve_config,
    serve.service_store,
)
SERVE: tuple[ClusterRule, ...] = (serve.serve_file, serve.service_store)


def check_files(paths: Sequence[Path], verbs: Mapping[str, Sequence[str]] | None = None) -> tuple[ClusterFinding, ...]:
    """Return what is wrong with files that belong together, in the order of files and rules.

    They are Ray cluster files, KubeRay manifests, and configs for `serve deploy`. Relative paths of `file_mounts` count
    from the working directory, as for `ray up`.

    Args:
        verbs: by module, the verbs that `python -m MODULE VERB` takes; jobs of other modules may name any.

    Raises:
        InputError: a file is missing or not YAML.
    """
    documents = [document for path in paths for document in read_documents(path, verbs or {})]
    whole = tuple(documents)
    return tuple(
        finding
        for document in documents
        for rule in rules(document)
        for finding in rule(replace(document, beside=whole))
    )


def check_file(path: Path, verbs: Mapping[str, Sequence[str]] | None = None) -> tuple[ClusterFinding, ...]:
    """Return what is wrong with one file; see `check_files`."""
    return check_files([path], verbs)


def rules(document: Document) -> tuple[ClusterRule, ...]:
    """Return the rules for a document, by what it says it is.

    >>> ray_schema.rays_schema in rules(Document("a.yaml", {"kind": "RayJob"}))
    False
    """
    if "applications" in document.body:
        return SERVE + EVERYWHERE
    if "kind" in document.body or "apiVersion" in document.body:
        return KUBERAY + EVERYWHERE if "ray" in str(document.body.get("apiVersion")) else EVERYWHERE
    cloud = AWS if document.get("provider.type") == "aws" else ()
    return RAY_CLUSTER + cloud + EVERYWHERE
