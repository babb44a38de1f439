"""Steps of a policy by name: each module of this folder is one, found by its file name.

A module defines `Config`, a frozen dataclass of its settings, and `Rule(config, name)`, which follows
`rosa_ray.policy.slate.Step`; `name` is what it says its reasons under. A module with `LAST = True` draws the first
place: its chances hold as long as no step after it takes candidates out. One with `SCORES` needs a score of those
kinds. Adding a step is adding one file. The suite `tests/policy/steps/test_contract.py` finds it by its name alone.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from types import ModuleType

from rosa_ray.errors import ConfigError
from rosa_ray.policy.slate import Step
from rosa_ray.settings import Folder, Tagged

_STEPS = Folder(__name__, __path__)


def step_names() -> list[str]:
    """Names of the steps of this folder, sorted.

    >>> step_names()
    ['budget', 'diversity', 'explore', 'fairness', 'floor', 'frequency_cap', 'linucb', 'thompson', 'ucb']
    """
    return _STEPS.names()


def config_class(name: str) -> type:
    """The frozen dataclass of a step's settings.

    Raises:
        SettingError: there is no step of that name.
    """
    return _STEPS.config_class(name)


def step_module(name: str) -> ModuleType:
    """The module of a step.

    Raises:
        SettingError: there is no step of that name.
    """
    return _STEPS.module(name)


def draws_first(name: str) -> bool:
    """Whether a step draws the first place, so that it has to be the last.

    >>> draws_first("explore"), draws_first("floor")
    (True, False)
    """
    return getattr(step_module(name), "LAST", False)


def check_scores(names: Iterable[str], kind: str, key: str) -> None:
    """Refuse steps that another kind of score would mislead.

    Args:
        names: of the steps.
        kind: what the ads are ranked by.
        key: where the steps stand, for the message.

    Raises:
        ConfigError: a step needs another score.

    >>> check_scores(["floor", "budget"], "roi", "serving.policy")
    Traceback (most recent call last):
    rosa_ray.errors.ConfigError: serving.policy has budget, which needs the score dual or profit, not roi
    """
    for name in names:
        kinds = getattr(step_module(name), "SCORES", (kind,))
        if kind not in kinds:
            raise ConfigError(f"{key} has {name}, which needs the score {' or '.join(kinds)}, not {kind}")


def build_steps(chain: Sequence[Tagged]) -> list[Step]:
    """Build the steps of a chain in its order, of which none was told anything yet.

    Steps of one name say their reasons under that name and their place among its steps.

    >>> [step.name for step in build_steps([Tagged("floor", config_class("floor")())] * 2)]
    ['floor', 'floor 2']
    """
    seen: Counter[str] = Counter()
    steps: list[Step] = []
    for tagged in chain:
        seen[tagged.name] += 1
        name = tagged.name if seen[tagged.name] == 1 else f"{tagged.name} {seen[tagged.name]}"
        steps.append(step_module(tagged.name).Rule(tagged.settings, name))
    return steps
