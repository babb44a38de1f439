"""The pages on declared columns name every setting, type and clock, show configs that load, and count bytes rightly."""

import ast
import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from rosa_ray.config import load_config
from rosa_ray.features.own import ColumnConfig
from rosa_ray.features.versions import layout
from rosa_ray.schema.own_columns import TABLES_OF, OwnKind
from tests.docs.pages import DOCS

REFERENCE = (DOCS / "reference" / "columns.md").read_text()
TUTORIAL = (DOCS / "tutorial" / "add-a-column.md").read_text()
SHOWN = [
    (page, block)
    for page in ("reference/columns", "tutorial/add-a-column", "how-to/add-a-column-to-a-running-service")
    for block in re.findall(r"^```yaml\n(.*?)^```", (DOCS / f"{page}.md").read_text(), re.M | re.S)
]


def test_every_setting_of_a_column_is_named() -> None:
    missing = [field.name for field in fields(ColumnConfig) if f"`{field.name}" not in REFERENCE]
    assert not missing


def test_every_type_prefix_and_clock_has_its_row() -> None:
    clocks = get_args(ColumnConfig.__annotations__["clock"])
    rows = [*get_args(OwnKind), *(f"{prefix}NAME" for prefix in TABLES_OF), *clocks]
    missing = [name for name in rows if f"| `{name}`" not in REFERENCE]
    assert not missing


@pytest.mark.parametrize(("page", "block"), SHOWN, ids=[page for page, _ in SHOWN])
def test_a_config_that_is_shown_loads(page: str, block: str, tmp_path: Path) -> None:
    path = tmp_path / "shown.yaml"
    path.write_text(block)
    assert load_config(path).features.columns


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (ColumnConfig(), 8),
        (ColumnConfig(type="number"), 8),
        (ColumnConfig(type="categories", most=5), 8 * 5),
        (ColumnConfig(type="vector", size=7), 4 * 7),
    ],
    ids=lambda value: getattr(value, "type", value),
)
def test_bytes_of_a_value_are_those_of_the_page(config: ColumnConfig, expected: int) -> None:
    a_time, a_bit = 8, 1
    assert layout({"user.one": config}).itemsize == a_time + a_bit + expected


def test_bytes_of_a_version_are_those_of_the_page() -> None:
    told = re.search(r"Two categories of\s+users are thus (\d+) bytes", REFERENCE)
    assert told
    assert layout({"user.one": ColumnConfig(), "user.other": ColumnConfig()}).itemsize == int(told[1])


def test_the_script_of_the_tutorial_is_python() -> None:
    (script,) = re.findall(r"^```python\n(.*?)^```", TUTORIAL, re.M | re.S)
    ast.parse(script)
