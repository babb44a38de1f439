"""YAML reads as people expect it, and what is written reads back."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.errors import ConfigError
from rosa_ray.settings.text import parse_yaml, to_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E+3", 1000.0),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("1_000_000", 1_000_000),
        ("+3", 3),
        ("0", 0),
        ("08", "08"),
        ("0x10", "0x10"),
        ("1_", "1_"),
        ("1.2.3", "1.2.3"),
        ("12:30:00", "12:30:00"),
        ("2017-11-25", "2017-11-25"),
        ("NO", "NO"),
        ("yes", "yes"),
        ("true", True),
        ("null", None),
        ("", None),
        (".inf", float("inf")),
        ("s3://bucket/key", "s3://bucket/key"),
    ],
)
def test_scalars(text: str, value: object) -> None:
    parsed = parse_yaml(f"a: {text}", "x")["a"]
    assert parsed == value
    assert type(parsed) is type(value)


def test_a_repeated_key_is_an_error_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"^run\.yaml, line 3: .*key 'epochs' is given twice$"):
        parse_yaml("training:\n  epochs: 1\n  epochs: 2\n", "run.yaml")


@pytest.mark.parametrize("text", ["a: [1", "a: b: c", "\t- x", "!!int x", "!!python/object:os.system {}"])
def test_broken_yaml_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "run.yaml")
    assert str(caught.value).startswith("run.yaml")
    assert "\n" not in str(caught.value)


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(_PLAIN)
def test_written_data_reads_back(data: object) -> None:
    assert parse_yaml(to_yaml(data), "x") == data


@settings(max_examples=50, deadline=None)
@given(st.text() | st.sampled_from(["2017-11-25", "yes", "1:30", "1e-4", "0o7", "="]))
def test_other_yaml_readers_see_the_same_text(text: str) -> None:
    assert yaml.safe_load(to_yaml({"a": text})) == {"a": text}
