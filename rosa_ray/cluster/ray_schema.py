"""Ray's own schema of a cluster file."""

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from rosa_ray.cluster.document import ClusterFinding, Document


def rays_schema(document: Document) -> Iterator[ClusterFinding]:
    """The file must satisfy `ray-schema.json` of the installed Ray."""
    from jsonschema import Draft7Validator  # with Ray

    spec = find_spec("ray")
    if spec is None or not spec.submodule_search_locations:
        return
    path = Path(spec.submodule_search_locations[0]) / "autoscaler" / "ray-schema.json"
    for error in Draft7Validator(json.loads(path.read_text())).iter_errors(document.body):
        place = ".".join(str(part) for part in error.absolute_path) or "the file"
        yield document.finding(place, error.message, "see ray-schema.json of Ray")
