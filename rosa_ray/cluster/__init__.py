"""Check Ray cluster files and KubeRay manifests for what Ray itself accepts and a cluster then suffers from."""

from rosa_ray.cluster.check import check_file, check_files
from rosa_ray.cluster.document import ClusterFinding

__all__ = ["ClusterFinding", "check_file", "check_files"]
