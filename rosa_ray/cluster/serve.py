"""Serve configs, in files of their own or inside a RayService: what Serve accepts, what they import, their store."""

import ast
from collections.abc import Iterator
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from rosa_ray.cluster.document import ClusterFinding, Document, mapping, sequence

PLACE = "spec.serveConfigV2"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def serve_config(document: Document) -> Iterator[ClusterFinding]:
    """`serveConfigV2` must be a text that Serve accepts, and every `import_path` in it must exist."""
    if document.body.get("kind") != "RayService":
        return
    text = document.get(PLACE)
    if not isinstance(text, str):
        yield document.finding(PLACE, "missing, or not a text", "give the Serve config as a block: `serveConfigV2: |`")
        return
    try:
        body = yaml.safe_load(text)
    except yaml.YAMLError as error:
        yield document.finding(PLACE, f"not YAML: {' '.join(str(error).split())}", "see serve_config.yaml")
        return
    yield from _in_config(document, body, f"{PLACE}.")


def serve_file(document: Document) -> Iterator[ClusterFinding]:
    """A file for `serve deploy` must be one that Serve accepts, and every `import_path` in it must exist."""
    yield from _in_config(document, document.body, "")


def service_store(document: Document) -> Iterator[ClusterFinding]:
    """Replicas on several nodes need a store that all of them reach, and nobody else reads on the way."""
    body, place = document.body, ""
    if body.get("kind") == "RayService":
        text = document.get(PLACE)
        body, place = mapping(_parsed(text) if isinstance(text, str) else None), f"{PLACE}."
    elif not any(_has_workers(other) for other in document.beside):
        return
    for index, application in enumerate(sequence(body.get("applications"))):
        store = mapping(mapping(mapping(application).get("args")).get("store"))
        where = f"{place}applications[{index}].args.store"
        url = str(store.get("url", ""))
        if store.get("kind", "sqlite") == "sqlite":
            yield document.finding(
                f"{where}.kind",
                "SQLite is a file on the disk of one node, and the replicas run on whichever has a CPU",
                "give kind: redis and its url",
            )
        elif url.startswith("redis://") and urlsplit(url).hostname not in _LOOPBACK:
            yield document.finding(
                f"{where}.url", "what users do, and the password, cross the network in the clear", "give rediss://"
            )


def _has_workers(document: Document) -> bool:
    """Whether a file for `ray up` describes more than a head."""
    types = mapping(document.get("available_node_types"))
    return len(types) > 1 or bool(sequence(document.get("provider.worker_ips")))


def _parsed(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:  # another rule says so
        return None


def _in_config(document: Document, body: object, place: str) -> Iterator[ClusterFinding]:
    yield from _accepted(document, body, place)
    for index, application in enumerate(sequence(mapping(body).get("applications"))):
        path = str(mapping(application).get("import_path", ""))
        if not object_exists(path):
            yield document.finding(
                f"{place}applications[{index}].import_path", f"there is no '{path}'", "name one, as module:object"
            )


def _accepted(document: Document, body: object, above: str) -> Iterator[ClusterFinding]:
    from pydantic import ValidationError
    from ray.serve.schema import ServeDeploySchema  # takes seconds, and only a RayService needs it

    try:
        ServeDeploySchema.model_validate(body)
    except ValidationError as error:
        for problem in error.errors():
            place = above + ".".join(str(part) for part in problem["loc"])
            yield document.finding(place, problem["msg"], "see serve_config.yaml")


def object_exists(path: str) -> bool:
    """Whether a module, or `module:name` bound at its top level, exists; nothing is imported.

    >>> object_exists("rosa_ray.errors:RosaError"), object_exists("rosa_ray.errors:Other"), object_exists("rosa_ray.no")
    (True, False, False)
    """
    module, _, name = path.partition(":")
    source = _source(module)
    return source is not None and (not name or name in _bound(source))


def _source(module: str) -> Path | None:
    """Return the source file of a module, found without importing its parents."""
    top, *below = module.split(".")
    spec = find_spec(top) if top else None
    for name in below:
        if spec is None:
            return None
        spec = PathFinder.find_spec(f"{spec.name}.{name}", spec.submodule_search_locations)
    return Path(spec.origin) if spec and spec.origin else None


def _bound(source: Path) -> set[str]:
    """Return the names that a module binds at its top level."""
    names: set[str] = set()
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names
