"""Settings become frozen dataclasses, and every mistake is one line that names place, key, value and remedy."""

import pickle
from dataclasses import FrozenInstanceError, dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.config import PROFILES
from rosa_ray.errors import ConfigError, InputError
from rosa_ray.settings import SettingError, Tagged, tagged
from rosa_ray.settings.compose import compose
from rosa_ray.settings.layers import Layer
from rosa_ray.settings.load import load
from rosa_ray.settings.plain import dump, to_plain
from rosa_ray.settings.text import parse_yaml


@dataclass(frozen=True)
class Optimizer:
    rate: float = 1e-3


@dataclass(frozen=True)
class Training:
    epochs: int = 3
    precision: Literal["fp32", "bf16"] = "fp32"
    widths: tuple[int, ...] = (64, 32)
    optimizer: Optimizer = field(default_factory=Optimizer)
    resume: Path | None = None
    limit: int | str = 5

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError("epochs must be at least 1")
        if self.limit == 13:
            raise ConfigError("training.limit is 13; it must be a lucky number")
        if self.limit == 14:
            raise ConfigError("too big for this machine")


@dataclass(frozen=True)
class Deep:
    layers: int = 2


@dataclass(frozen=True)
class Wide:
    crosses: int = 1


def class_of(name: str) -> type:
    if name not in ("deep", "wide"):
        raise ConfigError(f"model.name is '{name}'; known models are deep, wide")
    return {"deep": Deep, "wide": Wide}[name]


@dataclass(frozen=True)
class Root:
    seed: int = 7
    training: Training = field(default_factory=Training)
    model: Tagged = tagged("deep", class_of)


@dataclass(frozen=True)
class Needy:
    path: str


@dataclass(frozen=True)
class NeedyRoot:
    source: Needy


def built(*overrides: str) -> Root:
    return load(Root, None, overrides)


def test_defaults_are_the_codes() -> None:
    assert built() == Root()
    assert built().model == Tagged("deep", Deep())


def test_sections_are_the_components_own_classes_and_frozen() -> None:
    training = built("training.optimizer.rate=1").training
    assert type(training) is Training
    assert type(training.optimizer) is Optimizer
    with pytest.raises(FrozenInstanceError):
        training.epochs = 9  # type: ignore[misc]


def test_later_layers_win_key_by_key(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("training: {epochs: 5, precision: bf16}\n")
    training = load(Root, file, ["training.epochs=6", "training.epochs=7"]).training
    assert (training.epochs, training.precision, training.widths) == (7, "bf16", (64, 32))


def test_lists_become_tuples_and_text_becomes_paths() -> None:
    training = built("training.widths=[8, 4]", "training.resume=/tmp/run").training
    assert training.widths == (8, 4)
    assert training.resume == Path("/tmp/run")


def test_an_emptied_section_keeps_its_defaults(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("training:\n  # epochs: 5\n")
    assert load(Root, file) == Root()


def test_name_picks_the_settings_of_a_tagged_section() -> None:
    assert built("model.name=wide", "model.crosses=4").model == Tagged("wide", Wide(4))


def test_another_name_drops_settings_of_lower_layers(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("model: {name: deep, layers: 9}\n")
    assert load(Root, file, ["model.name=wide"]).model == Tagged("wide", Wide())
    assert load(Root, file, ["model.name=deep"]).model == Tagged("deep", Deep(9))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epoch=3", "unknown key 'training.epoch'; did you mean 'training.epochs'?"),
        ("training.optimizer.rat=3", "unknown key 'training.optimizer.rat'; did you mean 'training.optimizer.rate'?"),
        ("epochs=3", "unknown key 'epochs'; did you mean 'training.epochs'?"),
        ("sed=3", "unknown key 'sed'; did you mean 'seed'?"),
        ("model.crosses=3", "unknown key 'model.crosses'; known keys here are layers, name"),
        ("model.name=widest", "model.name is 'widest'; known models are deep, wide"),
        ("model=3", "model is 3; write model: {name: ...}"),
        ("training.epochs=three", 'training.epochs is "three": it should be a valid integer'),
        ("training.epochs='3'", 'training.epochs is "3": it should be a valid integer'),
        ("training.epochs=true", "training.epochs is true: it should be a valid integer"),
        ("training.epochs=0", "training: epochs must be at least 1"),
        ("training.limit=13", "training.limit is 13; it must be a lucky number"),
        ("training.limit=14", "training: too big for this machine"),
        ("training.limit=1.5", "training.limit is 1.5: it should be a valid integer (and 1 more in training)"),
        ("training.precision=int8", "training.precision is \"int8\": it should be 'fp32' or 'bf16'"),
        ("training.widths=[a]", 'training.widths.0 is "a": it should be a valid integer'),
        ("training.optimizer.rate=.nan", "training.optimizer.rate is NaN: it should be a finite number"),
        ("training=3", "training is 3: it should be a mapping"),
        ("seed.x=1", 'seed is {"x": 1}: it should be a valid integer'),
    ],
)
def test_a_mistake_names_place_key_value_and_remedy(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        built(override)
    assert str(caught.value) == f"--set {override}: {message}"


def test_a_mistake_in_a_file_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("training: {epochs: many}\n")
    with pytest.raises(ConfigError, match=r"run\.yaml: training\.epochs is \"many\""):
        load(Root, file, ["seed=3"])


def test_a_key_without_default_is_missing_by_name() -> None:
    with pytest.raises(ConfigError, match=r"^run\.yaml: source\.path is missing$"):
        compose(NeedyRoot, [Layer("run.yaml", {"source": {}})])
    with pytest.raises(ConfigError, match=r"^run\.yaml: source\.path is missing$"):
        compose(NeedyRoot, [Layer("run.yaml", {})])


@pytest.mark.parametrize("override", ["training.epochs", "=3", "training..epochs=3", ".epochs=3"])
def test_an_override_must_be_key_equals_value(override: str) -> None:
    with pytest.raises(ConfigError, match="write key=value"):
        built(override)


def test_a_missing_or_foreign_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such config file"):
        load(Root, tmp_path / "none.yaml")
    with pytest.raises(InputError, match="cannot be read as a config file"):
        load(Root, tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        load(Root, tmp_path / "binary.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(ConfigError, match="a config is a mapping of sections"):
        load(Root, tmp_path / "list.yaml")


def test_an_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"--set profile=papers: profile is 'papers'; did you mean 'paper'\?"):
        load(Root, None, ["profile=papers"], PROFILES)


@settings(max_examples=40, deadline=None)
@given(
    st.builds(
        Root,
        seed=st.integers(-(2**63), 2**63 - 1),
        training=st.builds(
            Training,
            epochs=st.integers(1, 10**9),
            widths=st.lists(st.integers(), max_size=3).map(tuple),
            optimizer=st.builds(Optimizer, rate=st.floats(allow_nan=False, allow_infinity=False)),
            resume=st.none(),
            limit=st.text() | st.integers(20),
        ),
        model=st.sampled_from([Tagged("wide", Wide(3)), Tagged("deep", Deep(5))]),
    )
)
def test_the_dumped_config_loads_to_the_same(config: Root) -> None:
    assert compose(Root, [Layer("dump", parse_yaml(dump(config), "dump"))]) == config
    assert compose(Root, [Layer("plain", to_plain(config))]) == config


def test_a_refused_setting_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(SettingError("training", ("epochs",), "is 0; it must be at least 1")))
    assert str(error) == "training.epochs is 0; it must be at least 1"
    assert isinstance(error, ConfigError)
