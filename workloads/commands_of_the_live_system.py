"""The verbs beside a running service and its store: what they are called, what they take and what they run."""

from typing import TYPE_CHECKING, Annotated

import typer

from workloads.command_line import ConfigArgument, DebugOption, SetOption, app, execute

if TYPE_CHECKING:
    from rosa_ray.config import RunConfig


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
