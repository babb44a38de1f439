"""The rules that each kind of cluster file is held against."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from rosa_ray.cluster import aws, commands, kuberay, mounts, nodes, ports, schema, secrets, serve, versions
from rosa_ray.cluster.document import Document, Finding, read_documents

Rule = Callable[[Document], Iterator[Finding]]

EVERYWHERE: tuple[Rule, ...] = (
    secrets.known_secrets,
    secrets.named_secrets,
    secrets.random_texts,
    versions.ray_version,
    versions.project_version,
    versions.python_version,
)
RAY_CLUSTER: tuple[Rule, ...] = (
    schema.rays_schema,
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
    mounts.file_mounts,
    mounts.ssh_key,
)
AWS: tuple[Rule, ...] = (
    ports.security_group,
    aws.instance_metadata,
    aws.stopped_nodes,
    aws.instance_profile,
)
KUBERAY: tuple[Rule, ...] = (
    kuberay.kind,
    kuberay.groups,
    kuberay.replicas,
    kuberay.resources,
    kuberay.image_version,
    kuberay.token_auth,
    kuberay.entrypoint,
    serve.serve_config,
)


def check_file(path: Path, verbs: Mapping[str, Sequence[str]] | None = None) -> tuple[Finding, ...]:
    """Return what is wrong with a Ray cluster file or a KubeRay manifest, in the order of the rules.

    Relative paths of `file_mounts` count from the working directory, as for `ray up`.

    Args:
        verbs: by module, the verbs that `python -m MODULE VERB` takes; jobs of other modules may name any.

    Raises:
        InputError: the file is missing or not YAML.
    """
    documents = read_documents(path, verbs or {})
    return tuple(finding for document in documents for rule in rules(document) for finding in rule(document))


def rules(document: Document) -> tuple[Rule, ...]:
    """Return the rules for a document, by what it says it is.

    >>> schema.rays_schema in rules(Document("a.yaml", {"kind": "RayJob"}))
    False
    """
    if "kind" in document.body or "apiVersion" in document.body:
        return KUBERAY + EVERYWHERE if "ray" in str(document.body.get("apiVersion")) else EVERYWHERE
    cloud = AWS if document.get("provider.type") == "aws" else ()
    return RAY_CLUSTER + cloud + EVERYWHERE
