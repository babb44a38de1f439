"""Every verb of `rosa` and its options, from the command line itself."""

from collections.abc import Iterator
from typing import Any

import typer

from docs.reference_from_code.markdown import code, sentence, table
from workloads.cli import app

_INTRODUCTION = """# Verbs

`rosa VERB CONFIG` loads a config, runs one job and ends with an [exit code](exit-codes.md).
`CONFIG` is a YAML file, or the name of a [built-in config](configs.md).
`rosa VERB --help` prints what stands here.

As a Ray job the same verb is `python -m workloads VERB CONFIG`.

Options of every verb that takes a config:

- `--set KEY=VALUE` overrides one [setting](settings.md), as in `--set training.epochs=3`. Give it as often as you like.
- `--debug` shows the traceback of an error.
"""

_COMMON = ("--set", "--debug", "config")


def page() -> str:
    """The page as Markdown."""
    return "\n".join([_INTRODUCTION, *(_section(words, command) for words, command in commands())])


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with the words that call it, in the order of the help.

    >>> "rosa cluster check" in dict(commands())
    True
    """
    yield from _below(typer.main.get_command(app), "rosa")


def _below(group: Any, words: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _below(command, f"{words} {name}")
        else:
            yield f"{words} {name}", command


def _section(words: str, command: Any) -> str:
    arguments = [_argument(parameter) for parameter in command.params if parameter.param_type_name == "argument"]
    usage = " ".join([words, *arguments, "[OPTIONS]"])
    rows = [(_names(parameter), _default(parameter), parameter.help or "") for parameter in _own(command)]
    lines = [f"## {words}", "", sentence(command.help or ""), "", "```", usage, "```", ""]
    return "\n".join([*lines, *([table(["argument or option", "default", "meaning"], rows), ""] if rows else [])])


def _own(command: Any) -> list[Any]:
    """Parameters that not every verb has; the config of `rosa demo` may be left out."""
    own = [parameter for parameter in command.params if parameter.opts[0] not in _COMMON]
    return [
        *(parameter for parameter in command.params if parameter.opts == ["config"] and not parameter.required),
        *own,
    ]


def _argument(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return code(_argument(parameter))
    value = "" if parameter.is_flag else f" {_argument(parameter)}"
    return ", ".join(code(name + value) for name in (*parameter.opts, *parameter.secondary_opts))


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if getattr(parameter, "is_flag", False):
        return code(parameter.opts[0]) if parameter.default else ""
    return "" if parameter.default in (None, "", [], ()) else code(parameter.default)
