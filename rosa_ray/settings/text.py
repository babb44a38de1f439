"""YAML as people expect it: `1e-4` is a number, `no` and dates are text, a repeated key is an error.

PyYAML reads YAML 1.1, where `1e-4` is a string, `NO` (a region) is false and the later of two equal keys wins unseen.
"""

import re
from typing import Any

import yaml

from rosa_ray.errors import ConfigError

_NUMBER_FIRST = list("-+.0123456789")
_DIGITS = r"[0-9]+(?:_[0-9]+)*"
_SCALARS = (
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:int", rf"[-+]?(?:0|(?=[1-9]){_DIGITS})", _NUMBER_FIRST),
    ("tag:yaml.org,2002:float", rf"[-+]?(?:{_DIGITS}\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+", _NUMBER_FIRST),
    ("tag:yaml.org,2002:float", rf"[-+]?(?:{_DIGITS}\.[0-9]*|\.[0-9]+)", _NUMBER_FIRST),
    ("tag:yaml.org,2002:float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", list("-+.")),
)


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.MarkedYAMLError(problem=f"key '{key.value}' is given twice", problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes text that either YAML 1.1 or this loader would read as something else."""

    def represent_plain_list(self, values: list[Any]) -> yaml.SequenceNode:
        flow = not any(isinstance(value, dict | list) for value in values)
        return self.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=flow)

    def represent_text(self, text: str) -> yaml.ScalarNode:
        style = '"' if any(not char.isprintable() for char in text) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in _SCALARS:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), _first)
_Dumper.add_representer(str, _Dumper.represent_text)
_Dumper.add_representer(list, _Dumper.represent_plain_list)
_Loader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value))


def parse_yaml(text: str, where: str) -> Any:
    """Parse one YAML document.

    >>> parse_yaml("{rate: 1e-4, region: NO, since: 2017-11-25}", "example")
    {'rate': 0.0001, 'region': 'NO', 'since': '2017-11-25'}

    Raises:
        ConfigError: the text is not YAML, or gives a key twice; names `where` and the line.
    """
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{where}{line}: not readable as YAML: {problem}") from error


def to_yaml(data: Any) -> str:
    """Write plain data so that `parse_yaml` gives it back.

    >>> print(to_yaml({"rate": 1e-4, "text": "1e-4", "sizes": [1, 2]}), end="")
    rate: 0.0001
    text: '1e-4'
    sizes: [1, 2]
    """
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=120)
