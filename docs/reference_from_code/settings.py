"""Every setting of a run: type, bounds, unit, default and meaning, from the dataclasses that declare them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import is_dataclass
from itertools import groupby

import yaml

from docs.reference_from_code.markdown import anchor, choices, code, description, sentence
from rosa_ray.config import RunConfig
from rosa_ray.models import rankers
from rosa_ray.policy import steps
from rosa_ray.settings import Tagged
from rosa_ray.settings.fields import hints_of
from rosa_ray.settings.reference import Setting, settings_of
from rosa_ray.simulation import laws

_PICKED = {
    "model": rankers.config_class,
    "simulation.laws": laws.config_class,
    "serving.policy": steps.config_class,
}
"""Key of settings that a name picks -> the dataclass of a name."""

_INTRODUCTION = """# Settings

A run is described by one YAML file. Each section below is a section of it:

```yaml
run_dir: runs/shop
training: {epochs: 3, workers: 4}
model: {name: rosa, width: 128}
```

`--set training.epochs=3` overrides one setting of the file. A setting that nobody gives has its default.
`rosa config FILE` prints all of them as they are resolved.
A key that does not exist, or a value that does not fit, ends the command with [exit code](exit-codes.md) 2.
"""


def page() -> str:
    """The page as Markdown."""
    lines = [_INTRODUCTION]
    for section, settings in groupby(settings_of(RunConfig), _section_of):
        lines += [f"## {section or 'The run itself'}", "", *_introduce(section), *_definitions(settings)]
    return "\n".join(lines)


def place_of(setting: Setting) -> str:
    """Where on the page a setting stands; settings that a name picks are told apart by it.

    >>> place_of(Setting("model.width", "din", "integer", "64", "at least 1", "", "D of embeddings."))
    'model.din.width'
    """
    section, _, rest = setting.key.partition(".")
    return ".".join(part for part in (section, setting.name, rest) if part)


def _section_of(setting: Setting) -> str:
    """First part of the key, or what a name picks with that name; empty for what is in no section."""
    if setting.name:
        return f"{next(key for key in _PICKED if setting.key.startswith(key))}, name: {setting.name}"
    section, dot, _ = setting.key.partition(".")
    return section if dot else ""


def _introduce(section: str) -> Iterator[str]:
    """What the dataclass of a section says of itself."""
    section, picked, name = section.partition(", name: ")
    owner = _PICKED[section](name) if picked else hints_of(RunConfig).get(section)
    if is_dataclass(owner) and owner is not Tagged:
        yield from (description(owner), "")


def _definitions(settings: Iterable[Setting]) -> Iterator[str]:
    for setting in settings:
        yield from (f"{anchor(place_of(setting))}{code(setting.key)}", "", f":   *{_facts(setting)}*", "")
        if setting.doc:
            yield from (f"    {sentence(setting.doc)}", "")


def _facts(setting: Setting) -> str:
    """Type, bounds, unit and default in one line; what is said of the type is not said again of the bounds."""
    kind = [] if setting.bounds.startswith("one of ") else [setting.type]
    default = [f"default {_default(setting.default)}"] if setting.default else ["required"]
    return "; ".join(
        [*kind, *filter(None, [_marked(setting.bounds.removesuffix(", or null")), setting.unit]), *default]
    )


def _marked(bounds: str) -> str:
    """Bounds with their choices as code."""
    if not bounds.startswith("one of "):
        return bounds
    return f"one of {choices(choice for choice in bounds.removeprefix('one of ').split(', '))}"


def _default(value: str) -> str:
    """A default, which is JSON, as YAML writes it in one line.

    >>> _default('"fresh"'), _default("0.0005"), _default('""'), _default("[1, 2]")
    ('`fresh`', '`0.0005`', 'empty', '`[1, 2]`')
    """
    plain = json.loads(value)
    text = yaml.safe_dump(plain, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
    return code(text.removesuffix("\n...\n").strip()) if plain != "" else "empty"
