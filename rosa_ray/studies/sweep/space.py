"""The search space: dotted keys of the run's config, each with a distribution, checked before anything starts."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from rosa_ray.calibration import CalibrationConfig
from rosa_ray.errors import ConfigError
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.training.config import GateTrainingConfig
from rosa_ray.training.job import TrainingJob

Params = Mapping[str, Any]
"""Dotted key of the config -> value."""


@dataclass(frozen=True)
class TrialSettings:
    """A run's config with a trial's parameters laid over it.

    Attributes:
        job: what is trained.
        config: all of it, plain values, for the winner's bundle.
    """

    job: TrainingJob
    calibration: CalibrationConfig
    gate: GateTrainingConfig
    evaluation: EvaluationConfig
    config: Mapping[str, Any]


Settle = Callable[[Params], TrialSettings]
"""Lays parameters over the run's config; raises ConfigError where a key is unknown or a value does not fit."""

REACHED = ("model", "loss", "pretrain", "training")
"""Sections that a trial reads; everything else is shared by all trials of a sweep."""

_BOUNDED = ("uniform", "log", "integers")
_KINDS = (*_BOUNDED, "choice")


@dataclass(frozen=True)
class Space:
    """Distributions by dotted key, in the config's order.

    >>> space = Space.parse({"loss.beta": {"log": [0.1, 5]}, "model.hidden": {"choice": [[64], [128, 64]]}})
    >>> space.decode({"loss.beta": 0.5, "model.hidden": "[128, 64]"})
    {'loss.beta': 0.5, 'model.hidden': [128, 64]}

    Attributes:
        given: kind -> bounds or choices of each key, as configured.
        distributions: the same for Optuna, which knows plain values only: other choices are JSON text.
    """

    given: Mapping[str, Mapping[str, Any]]
    distributions: Mapping[str, BaseDistribution]

    @classmethod
    def parse(cls, given: Mapping[str, Mapping[str, Any]]) -> "Space":
        """Read `tune.space`.

        Raises:
            ConfigError: a key's distribution is unknown, or its bounds make none; names the key.
        """
        return cls(given, {key: _distribution(key, spec) for key, spec in given.items()})

    def check(self, settle: Settle, configured: Params) -> None:
        """Try every bound and choice on the run's config, which must itself lie in the space.

        Args:
            configured: value of every key in the run's config; those it lacks are missing.

        Raises:
            ConfigError: a key is unknown or reaches no trial, a value is illegal, or the configured one lies outside.
        """
        for key, value in self._corners():
            if key.partition(".")[0] not in REACHED:
                raise ConfigError(
                    f"tune.space '{key}' reaches no trial, all of which share one log and its features; choose keys of "
                    f"{', '.join(REACHED)}"
                )
            settle({key: value})
        for key, value in configured.items():
            if not self.holds(key, value):
                raise ConfigError(
                    f"tune.space '{key}' does not hold the configured {json.dumps(value)}, which is the first trial; "
                    f"widen it or configure another {key}"
                )

    def holds(self, key: str, value: Any) -> bool:
        """Tell whether a value can be drawn for a key."""
        kind, values = next(iter(self.given[key].items()))
        if kind == "choice":
            return any(_same(_code(choice), _code(value)) for choice in values)
        return _is_number(value) and values[0] <= value <= values[1]

    def encode(self, params: Params) -> dict[str, Any]:
        """Values as Optuna keeps them."""
        return {key: _code(value) if "choice" in self.given[key] else value for key, value in params.items()}

    def decode(self, drawn: Params) -> dict[str, Any]:
        """Values as the config takes them, from what Optuna drew; in the space's order."""
        return {key: self._value(key, drawn[key]) for key in self.given if key in drawn}

    def _value(self, key: str, drawn: Any) -> Any:
        choices = self.given[key].get("choice")
        return drawn if choices is None else next(choice for choice in choices if _same(_code(choice), drawn))

    def _corners(self) -> Iterator[tuple[str, Any]]:
        for key, spec in self.given.items():
            for values in spec.values():
                yield from ((key, value) for value in values)


def nested(params: Params) -> dict[str, Any]:
    """Parameters as a layer of the config.

    >>> nested({"loss.beta": 0.5, "loss.gamma": 1.0})
    {'loss': {'beta': 0.5, 'gamma': 1.0}}
    """
    tree: dict[str, Any] = {}
    for key, value in params.items():
        *parents, name = key.split(".")
        inner = tree
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[name] = value
    return tree


def _distribution(key: str, spec: Mapping[str, Any]) -> BaseDistribution:
    where = f"tune.space '{key}'"
    kind, values = next(iter(spec.items()), ("", ()))
    if len(spec) != 1 or kind not in _KINDS:
        named = " and ".join(spec) or "no distribution"
        raise ConfigError(f"{where} names {named}; give one of {', '.join(_KINDS)}, like {{log: [0.1, 5]}}")
    if kind == "choice":
        if not values or len({json.dumps(value) for value in values}) < len(values):
            raise ConfigError(f"{where}: choice is {json.dumps(list(values))}; name at least one value, each once")
        return CategoricalDistribution([_code(value) for value in values])
    return _bounded(where, kind, list(values))


def _bounded(where: str, kind: str, values: list[Any]) -> BaseDistribution:
    numbers = all(_is_number(value) and (kind != "integers" or isinstance(value, int)) for value in values)
    if len(values) != 2 or not numbers or not values[0] < values[1]:
        what = "two whole numbers" if kind == "integers" else "two numbers"
        raise ConfigError(f"{where}: {kind} is {json.dumps(values)}; give {what}, the lower first")
    low, high = values
    if kind == "log" and low <= 0:
        raise ConfigError(f"{where}: log starts at {low:g}; it must start above 0")
    return IntDistribution(low, high) if kind == "integers" else FloatDistribution(low, high, log=kind == "log")


def _code(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other
