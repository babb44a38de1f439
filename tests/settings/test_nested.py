"""Sections that a name picks nest: in other sections, in lists, in mappings, to any depth."""

from dataclasses import field
from pathlib import Path
from typing import Annotated

import pytest
from annotated_types import Ge, Gt, Le

from rosa_ray.errors import ConfigError
from rosa_ray.settings import Tagged, by_name, section, tagged, tagged_each, wrong
from rosa_ray.settings.compose import compose, read
from rosa_ray.settings.layers import Layer
from rosa_ray.settings.load import load
from rosa_ray.settings.plain import dump, to_plain
from rosa_ray.settings.text import parse_yaml


@section("model.head")
class Tower:
    widths: tuple[Annotated[int, Ge(1)], ...] = (128, 64)


@section("model.head")
class Linear:
    bias: bool = True


@section("model.head")
class Mixture:
    experts: Annotated[int, Ge(2)] = 4
    gate: Tagged = tagged("linear", by_name({"linear": Linear, "tower": Tower}))


HEADS = {"tower": Tower, "linear": Linear, "mixture": Mixture}


@section("model")
class Ranker:
    width: Annotated[int, Ge(1)] = 64
    head: Tagged = tagged("tower", by_name(HEADS), HEADS.keys)


@section("policy")
class Floor:
    price: Annotated[float, Ge(0)] = 0.0


@section("policy")
class Cap:
    shows: Annotated[int, Ge(1)] = 3
    days: Annotated[int, Ge(1)] = 1

    def __post_init__(self) -> None:
        if self.days > 7 * self.shows:
            raise wrong(self, "days", f"it must be at most 7 * shows = {7 * self.shows}")


@section("policy")
class Mixed:
    steps: tuple[Tagged, ...] = tagged_each(by_name({"floor": Floor, "cap": Cap}))
    share: Annotated[float, Gt(0), Le(1)] = 1.0


STEPS = {"floor": Floor, "cap": Cap, "mixed": Mixed}


@section("tables.*")
class Table:
    rows: Annotated[int, Ge(1)] = 16


@section("")
class Root:
    model: Tagged = tagged("plain", by_name({"plain": Ranker}))
    policy: tuple[Tagged, ...] = tagged_each(
        by_name(STEPS), (Tagged("floor", Floor()), Tagged("cap", Cap())), STEPS.keys
    )
    tables: dict[str, Table] = field(default_factory=dict)
    backup: Tagged | None = None
    spare: Floor | None = None
    sizes: tuple[int, ...] = (8, 4)


def built(*overrides: str, file: Path | None = None) -> Root:
    return load(Root, file, overrides)


def written(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text)
    return path


def test_a_name_inside_a_named_section_picks_its_settings() -> None:
    model = built("model.head={name: mixture, experts: 8, gate: {name: tower, widths: [4]}}").model.settings
    assert model.head == Tagged("mixture", Mixture(8, Tagged("tower", Tower((4,)))))
    assert built("model.head.name=mixture", "model.head.gate.bias=false").model.settings.head.settings == Mixture(
        gate=Tagged("linear", Linear(bias=False))
    )


def test_each_element_of_a_list_picks_its_settings() -> None:
    given = "policy=[{name: floor, price: 0.5}, {name: mixed, steps: [{name: cap, shows: 2}]}]"
    assert built(given).policy == (
        Tagged("floor", Floor(0.5)),
        Tagged("mixed", Mixed((Tagged("cap", Cap(2)),))),
    )
    assert built("policy=[]").policy == ()


def test_settings_of_a_mapping_are_built_by_name() -> None:
    assert built("tables={item: {rows: 3}, user: {}}").tables == {"item": Table(3), "user": Table()}
    assert built("spare.price=2").spare == Floor(2.0)
    assert built("spare=null").spare is None


def test_a_position_changes_one_element_of_a_list(tmp_path: Path) -> None:
    file = written(tmp_path, "policy: [{name: cap, shows: 2, days: 2}, {name: floor}]")
    assert built("policy.0.shows=9", file=file).policy[0] == Tagged("cap", Cap(shows=9, days=2))
    assert built("policy.1.price=2", file=file).policy == (Tagged("cap", Cap(2, 2)), Tagged("floor", Floor(2.0)))
    assert built("sizes.1=5").sizes == (8, 5)
    assert built("policy.1.days=2").policy == (Tagged("floor", Floor()), Tagged("cap", Cap(days=2)))


def test_another_name_drops_what_lower_layers_set_at_any_depth(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "model: {width: 8, head: {name: mixture, experts: 9, gate: {name: tower, widths: [2]}}}\n"
        "policy: [{name: cap, shows: 9}, {name: mixed, steps: [{name: cap, shows: 7}]}]\n",
    )
    model = built("model.head.gate.name=linear", file=file).model.settings
    assert model.head == Tagged("mixture", Mixture(9, Tagged("linear", Linear())))
    assert built("model.head.name=tower", file=file).model.settings == Ranker(8, Tagged("tower", Tower()))
    assert built("policy.0.name=floor", file=file).policy[0] == Tagged("floor", Floor())
    inner = built("policy.1.steps.0={name: floor, price: 1}", file=file).policy[1].settings
    assert inner.steps == (Tagged("floor", Floor(1.0)),)
    kept = built("policy.1.steps.0.name=cap", "policy.1.share=0.5", file=file).policy[1].settings
    assert kept == Mixed((Tagged("cap", Cap(7)),), 0.5)


def test_the_default_name_given_again_keeps_what_lower_layers_set(tmp_path: Path) -> None:
    file = written(tmp_path, "model: {head: {widths: [3]}}")
    assert built("model.head.name=tower", file=file).model.settings.head == Tagged("tower", Tower((3,)))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.head.name=towr", "model.head.name is 'towr'; it must be one of tower, linear, mixture"),
        ("model.head.width=3", "unknown key 'model.head.width'; did you mean 'model.head.widths'?"),
        ("model.head.widths=[0]", "model.head.widths.0 is 0; it must be at least 1"),
        ("model.head=3", "model.head is 3; write model.head: {name: ...}"),
        ("model.head={name: mixture, experts: 1}", "model.head.experts is 1; it must be at least 2"),
        (
            "model.head={name: mixture, gate: {name: tower, widths: [-1]}}",
            "model.head.gate.widths.0 is -1; it must be at least 1",
        ),
        (
            "model.head={name: mixture, gate: {name: mixture}}",
            "model.head.gate.name is 'mixture'; it must be one of linear, tower",
        ),
        ("policy.0.price=-1", "policy.0.price is -1.0; it must be 0 or more"),
        ("policy.1.show=2", "unknown key 'policy.1.show'; did you mean 'policy.1.shows'?"),
        ("policy.1.shows=two", 'policy.1.shows is "two": it should be a valid integer'),
        ("policy.1.days=22", "policy.1.days is 22; it must be at most 7 * shows = 21"),
        ("policy.2.name=cap", "policy has 2 elements, counted from 0, and none at 2"),
        ("policy=[{price: 1}]", "policy.0.name is missing"),
        ("policy=[{name: flor}]", "policy.0.name is 'flor'; it must be one of floor, cap, mixed"),
        ("policy=[3]", "policy.0 is 3; write policy.0: {name: ...}"),
        ("policy=3", "policy is 3: it should be a list"),
        ("policy={x: 3}", 'policy is {"x": 3}: it should be a list'),
        ("policy=[{name: mixed, share: 0}]", "policy.0.share is 0.0; it must be above 0, up to 1"),
        (
            "policy=[{name: mixed, steps: [{name: floor}, {name: cap, shows: 0}]}]",
            "policy.0.steps.1.shows is 0; it must be at least 1",
        ),
        ("tables={item: {row: 3}}", "unknown key 'tables.item.row'; did you mean 'tables.item.rows'?"),
        ("tables={item: {rows: 0}}", "tables.item.rows is 0; it must be at least 1"),
        ("sizes.2=1", "sizes has 2 elements, counted from 0, and none at 2"),
    ],
)
def test_a_mistake_names_the_key_where_it_is(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        built(override)
    assert str(caught.value) == f"--set {override}: {message}"


def test_a_mistake_names_the_layer_that_set_it(tmp_path: Path) -> None:
    file = written(tmp_path, "policy: [{name: cap, shows: 0}]")
    with pytest.raises(ConfigError) as caught:
        built("policy.0.days=1", file=file)
    assert str(caught.value) == f"{file}: policy.0.shows is 0; it must be at least 1"


def test_what_is_dumped_loads_to_the_same() -> None:
    config = built(
        "model.head={name: mixture, gate: {name: tower, widths: [4]}}",
        "policy=[{name: mixed, steps: [{name: cap, shows: 2}]}, {name: floor}]",
        "tables={item: {rows: 3}}",
    )
    assert compose(Root, [Layer("dump", parse_yaml(dump(config), "dump"))]) == config
    plain = to_plain(config)
    assert plain["policy"][0] == {"name": "mixed", "steps": [{"name": "cap", "shows": 2, "days": 1}], "share": 1.0}
    assert compose(Root, [Layer("plain", plain)]) == config


def test_one_section_is_read_without_layers() -> None:
    assert read(Ranker, {"head": {"name": "linear", "bias": False}}) == Ranker(head=Tagged("linear", Linear(False)))
    with pytest.raises(ConfigError) as caught:
        read(Ranker, {"head": {"name": "linear", "bais": False}}, "serve_config.yaml")
    assert str(caught.value) == ("serve_config.yaml: unknown key 'model.head.bais'; did you mean 'model.head.bias'?")
    with pytest.raises(ConfigError, match=r"^model\.width is 0; it must be at least 1$"):
        read(Ranker, {"width": 0})
