"""Every setting of a run has a doc, and every number a bound that holds; wrong values are refused in one line."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
from annotated_types import Ge, Unit
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rosa_ray.config import RunConfig, load_config
from rosa_ray.errors import ConfigError
from rosa_ray.metrics import BootstrapConfig
from rosa_ray.models.gate import GateConfig
from rosa_ray.models.rankers import config_class, ranker_names
from rosa_ray.settings import OneOf, section
from rosa_ray.settings.bounds import bounds_of, element_hints, misfit, without_bounds
from rosa_ray.settings.fields import hints_of, section_of
from rosa_ray.settings.plain import to_plain
from rosa_ray.settings.reference import Setting, field_docs, settings_of


def classes_of(root: type) -> Iterator[type]:
    """The dataclasses of a root config's sections, and those below them."""
    yield root
    for hint in hints_of(root).values():
        if is_dataclass(without_bounds(hint)) and without_bounds(hint).__name__ != "Tagged":
            yield from classes_of(without_bounds(hint))


CLASSES = [
    *classes_of(RunConfig),
    *(config_class(name) for name in ranker_names()),
    GateConfig,
    BootstrapConfig,
]


def unbounded(hint: Any) -> Iterator[Any]:
    """Number types of an annotation that no bound limits."""
    kind = without_bounds(hint)
    if kind in (int, float) and not bounds_of(hint):
        yield kind
    for inner in element_hints(kind) or (() if kind in (int, float) else get_args(kind)):
        if get_origin(kind) is not Literal:
            yield from unbounded(inner)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_every_number_has_a_bound_and_every_setting_a_doc(cls: type) -> None:
    docs = field_docs(cls)
    for entry in fields(cls):
        assert docs.get(entry.name, "").endswith("."), f"{cls.__name__}.{entry.name} has no doc that is a sentence"
        assert not list(unbounded(hints_of(cls)[entry.name])), f"{cls.__name__}.{entry.name} has no bound"
        assert "Attributes:" not in (cls.__doc__ or "")


def test_the_walk_finds_a_number_without_bound() -> None:
    assert list(unbounded(dict[str, tuple[float | Annotated[int, Ge(1)], ...]])) == [float]
    assert list(unbounded(bool | Literal[1, "auto"] | None)) == []
    assert list(unbounded(tuple[Annotated[int, Ge(1)], ...])) == []


WRONG = {
    "loss.beta": (-1, "0 or more"),
    "loss.high_value_cap": (-0.5, "0 or more"),
    "features.oov_buckets": (0, "at least 1"),
    "features.item_oov_buckets": (0, "at least 1"),
    "features.bucket_minutes": (2880, "from 1 to 1440"),
    "features.settle_minutes": (-120, "0 or more"),
    "features.money_buckets": (0, "at least 1"),
    "features.min_count": (0, "at least 1"),
    "features.utc_offset_hours": (30, "from -12 to 14"),
    "features.prior_ctr": (1, "above 0 and below 1"),
    "features.views.0": ("nope", "one of user_events, item_events"),
    "model.window": (0, "at least 1"),
    "model.dropout": (1.5, "from 0 to below 1"),
    "model.layers": (0, "at least 1"),
    "model.heads": (0, "at least 1"),
    "model.hidden.1": (0, "at least 1"),
    "preprocess.valid_fraction": (-1, "from 0 to below 1"),
    "preprocess.partitions": (0, "at least 1"),
    "materialize.users_per_block": (0, "at least 1"),
    "training.cpus_per_worker": (-1, "above 0, or null"),
    "training.learning_rate": (0, "above 0"),
    "leak_guard.clock_skew_hours": (-1, "0 or more"),
    "study.seeds.0": (-1, "0 or more"),
    "study.models.0": ("dien", "one of deepfm, din"),
    "study.learning_rates.1": (0, "above 0"),
    "serving.port": (70000, "from 0 to 65535"),
    "source.kind": ("tsv", "one of ali_ccp, avazu, criteo_attribution"),
    "store.kind": ("paper", "one of redis, sqlite"),
    "tune.objectives.0": ("luck", "one of policy_roi, auc"),
    "training.monitor": ("valid_luck", "one of valid_loss, valid_logloss"),
    "stream.log.segment_mb": (0, "at least 1"),
    "seed": (-1, "0 or more"),
}


@pytest.mark.parametrize("key", WRONG)
def test_a_value_out_of_range_is_refused_in_one_line(key: str) -> None:
    value, right = WRONG[key]
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=[f"{key}={value}"])
    shown = f"'{value}'" if isinstance(value, str) else rf"{value}(\.0)?"
    assert re.fullmatch(rf"--set {key}={value}: {key} is {shown}; it must be {right}[^\n]*", str(caught.value))


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_python_is_refused_what_yaml_is_refused(cls: type) -> None:
    for entry in fields(cls):
        for value in (-1e9, "no such name"):
            found = misfit(hints_of(cls)[entry.name], value)
            if found is not None and found.path == ():
                with pytest.raises(ConfigError, match=rf"^{section_of(cls)}\.?{entry.name} is .*; it must "):
                    cls(**{entry.name: value})


NUMBERS = [
    s for s in settings_of(RunConfig) if s.type in ("integer", "number") and s.name in ("", "rosa") and "*" not in s.key
]


def settled(key: str, value: float) -> Any:
    """The value that a run has of a setting given by `--set`, or the message that refuses it."""
    override = f"{key}={json.dumps(value)}"
    try:
        found = to_plain(load_config(overrides=[override]))
    except ConfigError as error:
        return str(error).removeprefix(f"--set {override}: ")
    for part in key.split("."):
        found = found[part]
    return found


@hypothesis_settings(max_examples=100, deadline=None)
@given(st.sampled_from(NUMBERS), st.integers(-10, 10) | st.floats(-2, 2))
def test_a_number_is_taken_as_it_is_or_refused_in_one_line(setting: Setting, value: float) -> None:
    found = settled(setting.key, value)
    assert found == value or re.fullmatch(rf"{setting.key.partition('.')[0]}.*(; it must be |: it should be ).*", found)


def test_a_default_lies_within_its_bounds() -> None:
    for cls in CLASSES:
        for entry in fields(cls):
            assert misfit(hints_of(cls)[entry.name], getattr(cls(), entry.name)) is None


def test_the_reference_says_type_default_bounds_unit_and_doc() -> None:
    found = {(setting.key, setting.name): setting for setting in settings_of(RunConfig)}
    assert len(found) == len(list(settings_of(RunConfig)))
    assert found["features.bucket_minutes", ""] == Setting(
        key="features.bucket_minutes",
        name="",
        type="integer",
        default="60",
        bounds="from 1 to 1440",
        unit="minutes",
        doc="Width of a counter bucket in event time. A request reads whole closed buckets only. A day is the shortest "
        "window.",
    )
    assert found["model.name", ""].bounds == "one of deepfm, din, rosa, sasrec, wide_deep"
    assert found["model.heads", "rosa"].default == "4"
    assert ("model.heads", "din") not in found
    assert found["training.cpus_per_worker", ""].type == "number or null"
    assert found["stream.log.segment_mb", ""].unit == "2^20 bytes"
    assert found["model.hidden", "rosa"].bounds == "each at least 1"
    assert found["study.seeds", ""].bounds == "name at least one and name each once and each 0 or more"


def test_a_registry_is_asked_when_a_value_is_checked() -> None:
    known = ["one"]

    @section("toy")
    class Toy:
        kind: Annotated[str, OneOf(lambda: known)] = "one"
        size_cm: Annotated[float, Ge(0), Unit("centimetres")] = 1.0

    with pytest.raises(ConfigError, match=r"^toy\.kind is 'two'; it must be one of one$"):
        Toy("two")
    known.append("two")
    assert Toy("two").kind == "two"
    assert [setting.unit for setting in settings_of(Toy, "toy")] == ["", "centimetres"]
