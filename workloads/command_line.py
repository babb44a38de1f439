"""What every verb of `rosa` shares: the app, its options, and how work becomes an exit code."""

import importlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from rosa_ray import __version__
from rosa_ray.errors import InputError, RosaError

if TYPE_CHECKING:
    from rosa_ray.config import RunConfig

CONFIGS = Path(__file__).with_name("configs")
INTERRUPTED = 130

Workload = Callable[["RunConfig"], int]
Result = TypeVar("Result")
ConfigArgument = Annotated[str, typer.Argument(metavar="CONFIG", help="YAML file, or the name of a built-in config.")]
SetOption = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override one key, like training.epochs=3; repeatable.")
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

app = typer.Typer(
    help="Rank ads by expected return on investment: from raw logs to ranked ads over HTTP, on Ray.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 2 config, 3 input, 4 done but some input was set aside, 5 training, 6 bundle, "
    "7 store, 8 serving, 9 stream, 10 no parity, 11 a fault not survived, 1 anything else.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rosa {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Hold the options that come before the verb."""


@dataclass(frozen=True)
class ConfigVerb:
    """A verb that takes a config and nothing else.

    Attributes:
        name: as it is typed.
        meaning: one line of `rosa --help`.
        module: its file in `workloads`, imported when the verb runs: `rosa --help` waits for no library.
        function: of the module, from a config to an exit code.
    """

    name: str
    meaning: str
    module: str
    function: str = "run"

    def run(self, config: "RunConfig") -> int:
        """Run the verb; returns its exit code."""
        work: Workload = getattr(importlib.import_module(f"workloads.{self.module}"), self.function)
        return work(config)


def add(verb: ConfigVerb) -> None:
    """Make the command of a verb."""

    def command(config: ConfigArgument, overrides: SetOption = [], debug: DebugOption = False) -> None:  # noqa: B006
        execute(verb.run, config, overrides, debug)

    app.command(verb.name, help=verb.meaning)(command)


def verbs() -> list[str]:
    """Return the verbs that `rosa` and `python -m workloads` take, in the order of `rosa --help`."""
    return list(typer.main.get_group(app).commands)


def execute(run: Workload, config: str, overrides: list[str], debug: bool) -> None:
    """Load the config, run a workload on it, and exit with its code; an error is one line on stderr.

    Raises:
        Exit: always, with the workload's exit code or the error's.
    """

    def work() -> int:
        path = find_config(config)
        from rosa_ray.cluster.token import send_token

        send_token()  # before the config, which imports Ray: it reads its environment then
        from rosa_ray.config import load_config

        return run(load_config(path, overrides))

    raise typer.Exit(guarded(work, debug))


def guarded(work: Callable[[], Result], debug: bool) -> Result:
    """Do work; what goes wrong becomes one line on stderr and an exit code."""
    try:
        return work()
    except KeyboardInterrupt:
        code = _fail("interrupted", INTERRUPTED, debug)
    except RosaError as error:
        code = _fail(" ".join(str(error).split()), error.exit_code, debug)
    except Exception as error:
        reason = " ".join(str(error).split()) or "no message"
        hint = "" if debug else " (unexpected; the same command with --debug shows where)"
        code = _fail(f"{type(error).__name__}: {reason}{hint}", 1, debug)
    raise typer.Exit(code)


def find_config(name: str) -> Path:
    """Return the file of a config given by path, or by the name of a built-in one.

    Raises:
        InputError: there is neither, or the file holds records.
    """
    if name.endswith((".jsonl", ".ndjson")):
        raise InputError(f"{name} holds records, it is no config; give the config first: `rosa ingest CONFIG {name}`")
    for path in (Path(name), CONFIGS / f"{name}.yaml"):
        if path.exists() and not path.is_dir():
            return path
    names = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.yaml"))) or "none"
    raise InputError(f"{name}: no such config file, and no built-in config of that name (known: {names})")


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    typer.secho(f"error: {message}", fg=typer.colors.RED, err=True)
    return code
