"""Whatever stands at a place of a file, rules answer with findings: a cluster file may hold any YAML."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from rosa_ray.cluster.check import rules
from rosa_ray.cluster.document import Document
from tests.cluster.conftest import Body, manifest

JUNK: tuple[Any, ...] = (None, "x", 3, [None], {"a": "x"})


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield (*above, key)
            yield from places(value[key], (*above, key))


def spoilt(body: Body) -> Iterator[Body]:
    for *way, last in places(body):
        for junk in JUNK:
            changed = copy.deepcopy(body)
            inner: Any = changed
            for key in way:
                inner = inner[key]
            inner[last] = junk
            yield changed


@pytest.fixture
def job() -> Body:
    body = manifest("RayJob")
    del body["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]
    return body


@pytest.mark.parametrize("name", ["aws", "local", "job"])
def test_no_rule_fails_on_another_type(name: str, request: pytest.FixtureRequest) -> None:
    for changed in spoilt(request.getfixturevalue(name)):
        document = Document("a.yaml", changed)
        for rule in rules(document):
            if rule.__name__ != "rays_schema":  # takes its time, and is Ray's own
                list(rule(document))
