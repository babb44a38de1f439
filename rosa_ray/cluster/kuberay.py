"""KubeRay manifests: RayCluster, RayJob and RayService of `ray.io/v1`."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from rosa_ray.cluster.document import ClusterFinding, Document, mapping, sequence
from rosa_ray.cluster.serve import object_exists

API = "ray.io/v1"
CLUSTER_PLACE = {"RayCluster": "spec", "RayJob": "spec.rayClusterSpec", "RayService": "spec.rayClusterConfig"}
"""Where each kind has the cluster it runs on."""

IMAGE_RAY = re.compile(r"(?:/ray[\w-]*:|[:-]ray)(\d+\.\d+\.\d+)")
JOB = re.compile(r"\bpython3?\s+-m\s+(?P<module>[\w.]+)(?:[ \t]+(?P<verb>[^\s;&|]+))?")
"""A module that is run, and its first argument."""


def kind(document: Document) -> Iterator[ClusterFinding]:
    """`apiVersion` and `kind` must be what current KubeRay serves."""
    api, name = document.body.get("apiVersion"), document.body.get("kind")
    if api != API:
        yield document.finding("apiVersion", f"'{api}' is not served by current KubeRay", f"name {API}")
    if not isinstance(name, str) or name not in CLUSTER_PLACE:
        yield document.finding("kind", f"there is no kind '{name}'", f"name one of {', '.join(CLUSTER_PLACE)}")
    elif not document.get(CLUSTER_PLACE[name]) and not document.get("spec.clusterSelector"):
        yield document.finding(CLUSTER_PLACE[name], "missing", f"a {name} describes its cluster there")


def _cluster(document: Document) -> tuple[str, dict[str, Any]]:
    place = CLUSTER_PLACE.get(str(document.body.get("kind")), "spec")
    return place, mapping(document.get(place))


def _groups(document: Document) -> Iterator[tuple[str, dict[str, Any]]]:
    place, cluster = _cluster(document)
    if "headGroupSpec" in cluster:
        yield f"{place}.headGroupSpec", mapping(cluster["headGroupSpec"])
    for index, group in enumerate(sequence(cluster.get("workerGroupSpecs"))):
        yield f"{place}.workerGroupSpecs[{index}]", mapping(group)


def _pod(group: dict[str, Any]) -> dict[str, Any]:
    return mapping(mapping(group.get("template")).get("spec"))


def _containers(document: Document) -> Iterator[tuple[str, dict[str, Any]]]:
    for place, group in _groups(document):
        for index, container in enumerate(sequence(_pod(group).get("containers"))):
            yield f"{place}.template.spec.containers[{index}]", mapping(container)


def groups(document: Document) -> Iterator[ClusterFinding]:
    """A cluster needs a head, and every group a pod with a container; worker groups have names of their own."""
    place, cluster = _cluster(document)
    if cluster and "headGroupSpec" not in cluster:
        yield document.finding(f"{place}.headGroupSpec", "missing", "describe the head's pod")
    for where, group in _groups(document):
        if not sequence(_pod(group).get("containers")):
            yield document.finding(f"{where}.template.spec.containers", "missing", "name the container of Ray")
    names = [mapping(group).get("groupName") for group in sequence(cluster.get("workerGroupSpecs"))]
    for index, name in enumerate(names):
        if not name or names.index(name) != index:
            yield document.finding(
                f"{place}.workerGroupSpecs[{index}].groupName", f"'{name}' is missing or taken", "give each its own"
            )


def replicas(document: Document) -> Iterator[ClusterFinding]:
    """`minReplicas`, `replicas` and `maxReplicas` of a group must be in this order."""
    for place, group in _groups(document):
        if place.endswith("headGroupSpec"):
            continue
        least, most = group.get("minReplicas", 0), group.get("maxReplicas")
        wanted = group.get("replicas", least)
        if most is None:
            yield document.finding(f"{place}.maxReplicas", "missing: the group may grow without end", "give it")
        elif not all(isinstance(count, int) for count in (least, wanted, most)) or not least <= wanted <= most:
            yield document.finding(
                f"{place}.replicas",
                f"{wanted} is not between minReplicas {least} and maxReplicas {most}",
                "put them in order, as whole numbers",
            )


def resources(document: Document) -> Iterator[ClusterFinding]:
    """Ray takes a pod's size from its limits; a request below them promises memory that may not be there."""
    for place, container in _containers(document):
        given = mapping(container.get("resources"))
        requests, limits = mapping(given.get("requests")), mapping(given.get("limits"))
        for name in ("cpu", "memory"):
            if name not in requests or name not in limits:
                yield document.finding(
                    f"{place}.resources", f"no {name} request or no {name} limit", f"give {name} in both"
                )
        if str(requests.get("memory")) != str(limits.get("memory")):
            yield document.finding(
                f"{place}.resources.requests.memory",
                f"{requests.get('memory')} is not the limit {limits.get('memory')}, which Ray counts on",
                "give the same in both",
            )


def image_version(document: Document) -> Iterator[ClusterFinding]:
    """`rayVersion` must be the Ray that the images say they hold."""
    place, cluster = _cluster(document)
    said = cluster.get("rayVersion")
    if cluster and not said:
        yield document.finding(f"{place}.rayVersion", "missing", "name the Ray of the images")
        return
    for where, container in _containers(document):
        image = str(container.get("image", ""))
        held = IMAGE_RAY.search(image)
        if not held:
            yield document.finding(f"{where}.image", f"'{image}' does not say its Ray", f"end the tag with -ray{said}")
        elif held[1] != said:
            yield document.finding(f"{where}.image", f"Ray {held[1]}, but rayVersion is {said}", "name the same")


def volume_group(document: Document) -> Iterator[ClusterFinding]:
    """A claim belongs to root: a pod that runs as another user writes to it only as a member of its group."""
    for place, group in _groups(document):
        pod = _pod(group)
        claims = [mapping(one).get("name") for one in sequence(pod.get("volumes")) if _is_claim(mapping(one))]
        as_user = any(
            mapping(mapping(one).get("securityContext")).get("runAsNonRoot") for one in sequence(pod.get("containers"))
        )
        if claims and as_user and "fsGroup" not in mapping(pod.get("securityContext")):
            yield document.finding(
                f"{place}.template.spec.securityContext.fsGroup",
                f"missing: containers that do not run as root cannot write to the claim of volume '{claims[0]}'",
                "give the group of the image's user, which is 100 in rayproject/ray",
            )


def _is_claim(volume: dict[str, Any]) -> bool:
    claim = mapping(volume.get("persistentVolumeClaim"))
    return bool(claim) and not claim.get("readOnly")


def fault_tolerance(document: Document) -> Iterator[ClusterFinding]:
    """A service outlives its head only where what the head knows lies outside it."""
    if document.body.get("kind") != "RayService":
        return
    place, cluster = _cluster(document)
    if not mapping(cluster.get("gcsFaultToleranceOptions")).get("redisAddress"):
        yield document.finding(
            f"{place}.gcsFaultToleranceOptions",
            "missing: when the head's pod dies, every replica of the service goes with it",
            "give redisAddress, redisPassword and externalStorageNamespace",
        )


def token_auth(document: Document) -> Iterator[ClusterFinding]:
    """Without a token whoever reaches the head's service runs code on the cluster."""
    place, cluster = _cluster(document)
    if not cluster or mapping(cluster.get("authOptions")).get("mode") == "token":
        return
    service = mapping(cluster.get("headGroupSpec")).get("serviceType", "ClusterIP")
    problem = "Ray starts without token authentication" + (f" behind a {service} service" * (service != "ClusterIP"))
    yield document.finding(f"{place}.authOptions", problem, "give authOptions: {mode: token}")


def entrypoint(document: Document) -> Iterator[ClusterFinding]:
    """A RayJob must run something: a module that exists, with a verb that it has."""
    if document.body.get("kind") != "RayJob":
        return
    command = str(document.get("spec.entrypoint", ""))
    if not command:
        yield document.finding("spec.entrypoint", "missing", "give the command of the job")
    for job in JOB.finditer(command):
        problem, remedy = _job_fault(document, job["module"], job["verb"] or "")
        if problem:
            yield document.finding("spec.entrypoint", problem, remedy)


def _job_fault(document: Document, module: str, verb: str) -> tuple[str, str]:
    """Return what is wrong with `python -m MODULE VERB` and what would be right; two empty texts where nothing is."""
    if not object_exists(module):
        return f"there is no module {module}", "name one, as in `python -m workloads train CONFIG`"
    package, _, below = module.partition(".")
    verbs = document.verbs.get(package)
    if verbs is None or (verb.startswith(("-", "$")) and not below):
        return "", ""
    if below:
        name = below if below in verbs else "VERB"
        return f"running module {module} does nothing", f"write `python -m {package} {name} CONFIG`"
    if verb in verbs:
        return "", ""
    near = get_close_matches(verb, verbs, n=1)
    problem = f"{package} has no verb '{verb}'" if verb else f"no verb of {package} is named"
    return problem, f"did you mean '{near[0]}'" if near else f"name one of {', '.join(verbs)}"
