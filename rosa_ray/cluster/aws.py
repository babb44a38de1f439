"""AWS: what EC2 and Ray do by default and should not."""

from collections.abc import Iterator

from rosa_ray.cluster.document import ClusterFinding, Document, mapping
from rosa_ray.cluster.nodes import TYPES, node_types


def instance_metadata(document: Document) -> Iterator[ClusterFinding]:
    """The instance metadata, which hold the node's credentials, must ask for a session token (IMDSv2)."""
    for name, node in node_types(document).items():
        settings = mapping(node.get("node_config"))
        options = mapping(settings.get("MetadataOptions"))
        if options.get("HttpTokens") != "required" and "LaunchTemplate" not in settings:
            yield document.finding(
                f"{TYPES}.{name}.node_config.MetadataOptions",
                "the node's credentials can be read without a session token (IMDSv1)",
                "set HttpTokens: required",
            )


def stopped_nodes(document: Document) -> Iterator[ClusterFinding]:
    """Nodes that are stopped instead of terminated come back with the setup they had."""
    if document.get("provider.cache_stopped_nodes", True):
        yield document.finding(
            "provider.cache_stopped_nodes",
            "true, Ray's default: nodes are stopped, keep their disks and come back with an old setup",
            "set it to false",
        )


def instance_profile(document: Document) -> Iterator[ClusterFinding]:
    """A head without a profile gets one from Ray with full access to EC2 and S3; a worker without one reads no S3."""
    for name, node in node_types(document).items():
        settings = mapping(node.get("node_config"))
        if "IamInstanceProfile" in settings or "LaunchTemplate" in settings:
            continue
        is_head = name == document.body.get("head_node_type")
        yield document.finding(
            f"{TYPES}.{name}.node_config.IamInstanceProfile",
            "missing, so Ray makes a role with full access to EC2 and S3"
            if is_head
            else "missing, so workers have no access to s3://",
            "name an instance profile that allows what the node does",
        )
