"""The verbs from a log to a service: what they are called, what they take and what they run."""

from typing import TYPE_CHECKING, Annotated

import typer

from workloads.command_line import ConfigArgument, ConfigVerb, DebugOption, SetOption, add, app, execute, guarded

if TYPE_CHECKING:
    from rosa_ray.config import RunConfig


@app.command()
def init(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files, folders or quoted globs of a log.")],
    out: Annotated[str, typer.Option(metavar="FILE", help="Config to write.")] = "shop.yaml",
    force: Annotated[bool, typer.Option("--force", help="Overwrite the config.")] = False,
    debug: DebugOption = False,
) -> None:
    """Look at the files of your log and write a config that reads them."""

    def run() -> int:
        from workloads import init as verb

        return verb.run(files, out, force)

    raise typer.Exit(guarded(run, debug))


@app.command()
def check(
    config: ConfigArgument,
    out: Annotated[str, typer.Option(metavar="FILE", help="Write an HTML page too, such as check.html.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and no tables.")] = False,
    rows: Annotated[int, typer.Option(min=0, help="Read so many rows of a table at most; 0 reads all.")] = 2_000_000,
    overrides: SetOption = [],  # noqa: B006
    debug: DebugOption = False,
) -> None:
    """Say what is read of a log, what is lost, what is odd and what it can teach, before any training."""

    def run(loaded: "RunConfig") -> int:
        from workloads import check as verb

        return verb.run(loaded, verb.CheckOptions(name=config, out=out, as_json=as_json, rows=rows))

    execute(run, config, overrides, debug)


@app.command("config")
def print_config(config: ConfigArgument, overrides: SetOption = [], debug: DebugOption = False) -> None:  # noqa: B006
    """Print the resolved config: every key, after profile, file and --set."""

    def run(loaded: "RunConfig") -> int:
        from rosa_ray.settings.plain import dump

        typer.echo(dump(loaded), nl=False)
        return 0

    execute(run, config, overrides, debug)


LOOP_VERBS = (
    ConfigVerb("simulate", "Write a semi-simulated ad log, on invented or on real timelines.", "simulate"),
    ConfigVerb("preprocess", "Turn a log into one row per user, features and a data report.", "preprocess"),
    ConfigVerb(
        "pretrain",
        "Teach the encoder and the tables by events alone, also of a log without impressions.",
        "pretrain",
    ),
    ConfigVerb(
        "train",
        "Fit the model and write its bundle; the same command again goes on where it stopped.",
        "train",
    ),
    ConfigVerb("materialize", "Encode every user and fill the online store.", "materialize"),
    ConfigVerb("serve", "Answer POST /rank and POST /events over HTTP until Ctrl-C.", "serve"),
)

for _verb in LOOP_VERBS:
    add(_verb)


@app.command()
def evaluate(
    config: ConfigArgument,
    every: Annotated[bool, typer.Option("--all", help="Print every metric, not only the first dozen.")] = False,
    importance: Annotated[
        bool, typer.Option("--importance", help="Also measure what each input is worth, by permuting it.")
    ] = False,
    overrides: SetOption = [],  # noqa: B006
    debug: DebugOption = False,
) -> None:
    """Measure the trained model on the test period."""

    def run(loaded: "RunConfig") -> int:
        from workloads import evaluate as verb

        return verb.run(loaded, every=every, importance=importance)

    execute(run, config, overrides, debug)
