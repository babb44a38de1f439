"""The `rosa` command: each verb loads a config, runs one workload and answers with an exit code."""

import importlib
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from rosa_ray import __version__
from rosa_ray.errors import ConfigError, InputError, RosaError

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

    raise typer.Exit(_guarded(run, debug))


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


LOOP_VERBS = (
    ConfigVerb("simulate", "Write a semi-simulated ad log, on invented or on real timelines.", "simulate"),
    ConfigVerb("preprocess", "Turn a log into one row per user, features and a data report.", "preprocess"),
    ConfigVerb(
        "train",
        "Fit the model and write its bundle; the same command again goes on where it stopped.",
        "train",
    ),
    ConfigVerb("materialize", "Encode every user and fill the online store.", "materialize"),
    ConfigVerb("serve", "Answer POST /rank and POST /events over HTTP until Ctrl-C.", "serve"),
)
STUDY_VERBS = (
    ConfigVerb(
        "compare",
        "Train the baselines and the model over several seeds, and print the tables with intervals.",
        "studies",
        "compare",
    ),
    ConfigVerb(
        "ablate",
        "Train the model without one of its parts at a time, and print what each part brings.",
        "studies",
        "ablate",
    ),
    ConfigVerb(
        "weights",
        "Train the model under other task weights, and print which win on AUC and which on ROI.",
        "studies",
        "weights",
    ),
    ConfigVerb(
        "curve",
        "Train the baselines and the model on fewer users, and the model wider, deeper and longer: learning curves.",
        "studies",
        "curve",
    ),
    ConfigVerb(
        "tune",
        "Search task weights and other settings for the best held-out return; the same command again goes on.",
        "tune",
    ),
)


def _add(verb: ConfigVerb) -> None:
    """Make the command of a verb."""

    def command(config: ConfigArgument, overrides: SetOption = [], debug: DebugOption = False) -> None:  # noqa: B006
        execute(verb.run, config, overrides, debug)

    app.command(verb.name, help=verb.meaning)(command)


for _verb in LOOP_VERBS:
    _add(_verb)


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


@app.command()
def ingest(
    config: ConfigArgument,
    files: Annotated[
        list[str], typer.Argument(metavar="[FILE]...", help="JSON lines to read to their end instead of the stream.")
    ] = [],  # noqa: B006
    actors: Annotated[int, typer.Option(min=0, help="Run as so many Ray actors; 0 runs in this process.")] = 0,
    until_end: Annotated[bool, typer.Option("--until-end", help="Stop when nothing is left to read.")] = False,
    overrides: SetOption = [],  # noqa: B006
    debug: DebugOption = False,
) -> None:
    """Fold live records from a log or Kafka into the online store until Ctrl-C, or those of files."""

    def run(loaded: "RunConfig") -> int:
        from workloads import ingest as verb

        return verb.run(loaded, verb.IngestOptions(actors, until_end, tuple(files)))

    execute(run, config, overrides, debug)


@app.command()
def ads(
    config: ConfigArgument,
    out: Annotated[str, typer.Option(help="Parquet file to write; name it in source.ads to train with it.")],
    files: Annotated[
        list[str], typer.Argument(metavar="[FILE]...", help="JSON lines to read instead of the online store.")
    ] = [],  # noqa: B006
    overrides: SetOption = [],  # noqa: B006
    debug: DebugOption = False,
) -> None:
    """Write the source's ads with what live records told of them, as a table that preprocessing reads."""

    def run(loaded: "RunConfig") -> int:
        from workloads import ads as verb

        return verb.run(loaded, verb.AdsOptions(out, tuple(files)))

    execute(run, config, overrides, debug)


@app.command()
def redrive(
    config: ConfigArgument,
    reason: Annotated[list[str], typer.Option(metavar="REASON", help="Only letters of this reason; repeatable.")] = [],  # noqa: B006
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be taken.")] = False,
    overrides: SetOption = [],  # noqa: B006
    debug: DebugOption = False,
) -> None:
    """Send refused live records to the online store again, once what was wrong is mended."""

    def run(loaded: "RunConfig") -> int:
        from workloads import redrive as verb

        return verb.run(loaded, reason, dry_run=dry_run)

    execute(run, config, overrides, debug)


@app.command()
def replay(
    config: ConfigArgument,
    speed: Annotated[float, typer.Option(help="Log time per wall-clock time; 0 is as fast as possible.")] = 60.0,
    to: Annotated[str, typer.Option(help="http, log or kafka.")] = "http",
    url: Annotated[str, typer.Option(help="Service to send to; default: the config's serving.host and port.")] = "",
    from_time: Annotated[str, typer.Option("--from", metavar="TIME", help="First time to send, RFC 3339.")] = "",
    until_time: Annotated[str, typer.Option("--until", metavar="TIME", help="Stop before this time.")] = "",
    rank: Annotated[bool, typer.Option(help="Send the log's requests as rankings too.")] = True,
    overrides: SetOption = [],  # noqa: B006
    debug: DebugOption = False,
) -> None:
    """Send the run's log, records and ranking requests, through the live system at a chosen speed."""

    def run(loaded: "RunConfig") -> int:
        from workloads import replay as verb

        return verb.run(loaded, verb.ReplayOptions(speed, to, url, from_time, until_time, rank))

    execute(run, config, overrides, debug)


@app.command()
def load(
    config: ConfigArgument,
    url: Annotated[str, typer.Option(help="Service to load; default: the config's serving.host and port.")] = "",
    rate: Annotated[float, typer.Option(min=0, help="Rankings a second.")] = 20.0,
    events: Annotated[float, typer.Option(min=0, help="Events a second. They change the store.")] = 0.0,
    seconds: Annotated[float, typer.Option(min=0.1, help="For how long.")] = 30.0,
    arrivals: Annotated[str, typer.Option(help="poisson, as of independent callers, or even.")] = "poisson",
    candidates: Annotated[int, typer.Option(min=0, help="Ads of a ranking; 0 leaves them to the service.")] = 100,
    unknown: Annotated[float, typer.Option(min=0, max=1, help="Share of rankings for unknown users.")] = 0.0,
    time: Annotated[str, typer.Option(metavar="TIME", help="context.time of rankings, RFC 3339; default: now.")] = "",
    requests: Annotated[str, typer.Option(metavar="FILE", help="Bodies of POST /rank to send, one a line.")] = "",
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a caller waits.")] = 10.0,
    seed: Annotated[int, typer.Option(min=0, help="Of users, candidates and arrivals.")] = 0,
    saturate: Annotated[bool, typer.Option("--saturate", help="Find the highest rate, and send a third.")] = False,
    limit_ms: Annotated[float, typer.Option(min=1, help="With --saturate: a later answer counts as none.")] = 500.0,
    out: Annotated[str, typer.Option(metavar="FILE", help="Write an HTML page, such as load.html.")] = "",
    json_out: Annotated[str, typer.Option("--json", metavar="FILE", help="Write the figures as JSON.")] = "",
    overrides: SetOption = [],  # noqa: B006
    debug: DebugOption = False,
) -> None:
    """Send rankings and events to a running service by the clock, and say what their callers saw."""

    def run(loaded: "RunConfig") -> int:
        from workloads import load as verb

        options = verb.LoadOptions(
            url=url,
            rank_per_s=rate,
            events_per_s=events,
            seconds=seconds,
            arrivals=arrivals,
            candidates=candidates,
            unknown=unknown,
            time=time,
            requests=requests,
            timeout_s=timeout,
            seed=seed,
            saturate=saturate,
            limit_ms=limit_ms,
            out=out,
            json_out=json_out,
        )
        return verb.run(loaded, options)

    execute(run, config, overrides, debug)


@app.command()
def rollout(
    config: ConfigArgument,
    to: Annotated[str, typer.Option("--to", metavar="MODEL", help="Version of a model whose bundle is kept.")] = "",
    back: Annotated[bool, typer.Option("--back", help="Go back to what served before the last rollout.")] = False,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=1, metavar="SECONDS", help="Go back where it takes longer.")
    ] = 600.0,
    overrides: SetOption = [],  # noqa: B006
    debug: DebugOption = False,
) -> None:
    """Replace the model of the running service without an outage: verified first, and back where it fails."""

    def run(loaded: "RunConfig") -> int:
        from workloads import rollout as verb

        return verb.run(loaded, to, back, timeout_s)

    execute(run, config, overrides, debug)


@app.command()
def parity(
    config: ConfigArgument,
    users: Annotated[int, typer.Option(min=0, help="Compare so many users; 0 compares all.")] = 0,
    shuffle: Annotated[
        int | None, typer.Option(metavar="SEED", help="Deliver records doubled and shuffled, by this seed.")
    ] = None,
    kill: Annotated[int, typer.Option(min=0, help="End the consumer at one in so many calls; 0 never.")] = 0,
    scores: Annotated[int, typer.Option(min=0, help="Requests whose scores are compared.")] = 500,
    overrides: SetOption = [],  # noqa: B006
    debug: DebugOption = False,
) -> None:
    """Compare every logged request between the offline and the live path, bit for bit."""

    def run(loaded: "RunConfig") -> int:
        from rosa_ray.parity.check import ParityOptions
        from workloads import parity as verb

        return verb.run(loaded, ParityOptions(users, shuffle, kill, scores))

    execute(run, config, overrides, debug)


@app.command()
def chaos(
    config: ConfigArgument,
    only: Annotated[
        list[str], typer.Option("--only", metavar="NAME", help="Try this case or subject; repeatable.")
    ] = [],  # noqa: B006
    list_only: Annotated[bool, typer.Option("--list", help="Print the table and try nothing.")] = False,
    report: Annotated[str, typer.Option(metavar="FILE", help="HTML page to write; default: chaos.html in RUN.")] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep the outcomes of an earlier run, and go on behind them.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the copied run and its logs in place.")] = False,
    overrides: SetOption = [],  # noqa: B006
    debug: DebugOption = False,
) -> None:
    """Break a copy of the run's service on purpose, and say whether callers saw what they may expect."""

    def run(loaded: "RunConfig") -> int:
        from workloads import chaos as verb

        return verb.run(loaded, verb.ChaosOptions(only, list_only, report, resume, keep))

    execute(run, config, overrides, debug)


@app.command()
def forget(
    config: ConfigArgument,
    user: Annotated[str, typer.Argument(metavar="USER", help="The user's id, as it stands in the log.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    overrides: SetOption = [],  # noqa: B006
    debug: DebugOption = False,
) -> None:
    """Remove a user from the online store and from every file of the run."""

    def run(loaded: "RunConfig") -> int:
        from workloads import forget as verb

        return verb.run(loaded, user, dry_run=dry_run)

    execute(run, config, overrides, debug)


@app.command()
def store(
    config: ConfigArgument,
    drop: Annotated[
        str, typer.Option(metavar="NAME", help="Remove a loaded log by its number, or a model's states by its version.")
    ] = "",
    overrides: SetOption = [],  # noqa: B006
    debug: DebugOption = False,
) -> None:
    """List the logs and models that the online store holds, or remove one that is not active."""

    def run(loaded: "RunConfig") -> int:
        from workloads import store as verb

        return verb.run(loaded, drop)

    execute(run, config, overrides, debug)


for _verb in STUDY_VERBS:
    _add(_verb)


@app.command()
def report(
    run_dir: Annotated[str, typer.Argument(metavar="RUN", help="Directory of a run, such as runs/demo.")],
    out: Annotated[str, typer.Option(help="Where to write; default: report.html in RUN.")] = "",
    comparison: Annotated[
        list[str], typer.Option(metavar="PATH", help="comparison.json or such of a study; repeatable.")
    ] = [],  # noqa: B006
    debug: DebugOption = False,
) -> None:
    """Write one HTML page about a run, which opens offline."""

    def run() -> int:
        from workloads import report as verb

        return verb.run(run_dir, out, comparison)

    raise typer.Exit(_guarded(run, debug))


cluster = typer.Typer(help="Work with files that describe a cluster.", no_args_is_help=True)
app.add_typer(cluster, name="cluster")


@cluster.command("check")
def check_cluster(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="For `ray up`, KubeRay, `serve deploy`.")],
    debug: DebugOption = False,
) -> None:
    """Name what is wrong with cluster files: nodes, secrets, open ports, versions, commands, mounts."""

    def run() -> int:
        from workloads import cluster_check as verb

        return verb.run(files, verbs())

    raise typer.Exit(_guarded(run, debug))


def verbs() -> list[str]:
    """Return the verbs that `rosa` and `python -m workloads` take, in the order of `rosa --help`."""
    return list(typer.main.get_group(app).commands)


@app.command()
def demo(
    config: Annotated[str, typer.Argument(metavar="[CONFIG]", help="Default: the built-in config of the source.")] = "",
    source: Annotated[str, typer.Option(help="Use real timelines: taobao, rees46, ...")] = "",
    path: Annotated[str, typer.Option(help="The log of --source.")] = "",
    overrides: SetOption = [],  # noqa: B006
    debug: DebugOption = False,
) -> None:
    """Run the whole loop once: simulate, preprocess, train, evaluate, materialise, serve, post events, rank."""

    def run(loaded: "RunConfig") -> int:
        from workloads import demo as verb

        return verb.run(loaded)

    name, chosen = _guarded(lambda: _demo_config(source, path), debug)
    execute(run, config or name, [*chosen, *overrides], debug)


def _demo_config(source: str, path: str) -> tuple[str, list[str]]:
    """Return the built-in config of a demo on a source, and the overrides that name the input.

    Raises:
        ConfigError: there is no such source, or it has no path.
    """
    if not source:
        return "demo", []
    from rosa_ray.sources import source_kinds

    if source not in source_kinds():
        raise ConfigError(f"--source is '{source}'; known sources are {', '.join(sorted(source_kinds()))}")
    if not path:
        raise ConfigError(f"--source {source} needs --path, the log to read")
    name = source if (CONFIGS / f"{source}.yaml").exists() else "demo"
    return name, [f"source.kind={source}", f"source.path={path}"]


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

    raise typer.Exit(_guarded(work, debug))


def _guarded(work: Callable[[], Result], debug: bool) -> Result:
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
        if path.exists():
            return path
    names = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.yaml"))) or "none"
    raise InputError(f"{name}: no such config file, and no built-in config of that name (known: {names})")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; the entry point of `rosa`."""
    app(arguments if arguments is not None else sys.argv[1:], prog_name="rosa")


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    typer.secho(f"error: {message}", fg=typer.colors.RED, err=True)
    return code
