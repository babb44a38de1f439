"""Studies, reports, cluster files, auctions, arena, demo: what the verbs are called, take and run."""

from typing import TYPE_CHECKING, Annotated

import typer

from rosa_ray.errors import ConfigError
from workloads.command_line import (
    CONFIGS,
    ConfigArgument,
    ConfigVerb,
    DebugOption,
    SetOption,
    add,
    app,
    execute,
    guarded,
    verbs,
)

if TYPE_CHECKING:
    from rosa_ray.config import RunConfig


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

for _verb in STUDY_VERBS:
    add(_verb)


@app.command()
def value(
    run_dir: Annotated[str, typer.Argument(metavar="RUN", help="Directory of an evaluated run, such as runs/demo.")],
    budgets: Annotated[
        str, typer.Option(metavar="SHARES", help="Also spend budgets, such as .2,.5 of the spend without them.")
    ] = "",
    debug: DebugOption = False,
) -> None:
    """Say what the run's models would earn by every kind of score, and what more return costs in profit."""

    def run() -> int:
        from workloads import value as verb

        return verb.run(run_dir, budgets)

    raise typer.Exit(guarded(run, debug))


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

    raise typer.Exit(guarded(run, debug))


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

    raise typer.Exit(guarded(run, debug))


bid = typer.Typer(help="Let bidders with budgets replay logged second-price auctions.", no_args_is_help=True)
app.add_typer(bid, name="bid")


@bid.command("ipinyou")
def bid_ipinyou(
    path: Annotated[str, typer.Option(help="Folder with rlb_CAMPAIGN_validation.txt.gz of each campaign.")],
    budgets: Annotated[
        str, typer.Option(help="Shares of what a block costs at the mean price of the tuning blocks.")
    ] = "1/32,1/8",
    bidders: Annotated[str, typer.Option(help="Names, such as rlb,duals; default: all. linear always bids.")] = "",
    auctions: Annotated[int, typer.Option(help="Auctions of a block.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of what bidders draw.")] = 1,
    out: Annotated[str, typer.Option(help="JSON file to write.")] = "",
    debug: DebugOption = False,
) -> None:
    """Fit bidders on half of the blocks of every campaign, replay the other half, and print what each won."""

    def run() -> int:
        from workloads import bid as verb

        return verb.run_ipinyou(verb.BidOptions(path, budgets, bidders, auctions, seed, out))

    raise typer.Exit(guarded(run, debug))


@app.command()
def arena(
    config: ConfigArgument,
    policies: Annotated[
        str,
        typer.Option(
            help="Names: logging, random, none, roi, ecpm, dual:THETA, threshold, ...; roi@model: by the run's model."
        ),
    ] = "roi,profit,dual:2",
    days: Annotated[int, typer.Option(help="Last days of the log, on which policies choose.")] = 7,
    budget_share: Annotated[
        float, typer.Option(help="Daily budget of a campaign over what --base spends without one; 0: no budgets.")
    ] = 0.0,
    base: Annotated[str, typer.Option(help="Policy whose spend budgets are shares of.")] = "roi",
    seed: Annotated[int, typer.Option(help="Of the world; default: simulation.seed.")] = -1,
    noise: Annotated[float, typer.Option(help="Error of the estimates in each logit, standard deviation.")] = 0.6,
    tick_minutes: Annotated[int, typer.Option(help="Length of a tick; it divides a day.")] = 5,
    out: Annotated[str, typer.Option(help="JSON file or .html page to write, or both, by a comma.")] = "",
    overrides: SetOption = [],  # noqa: B006
    debug: DebugOption = False,
) -> None:
    """Let policies spend budgets in equal simulated worlds, and print the true value of each."""

    def run(loaded: "RunConfig") -> int:
        from workloads import arena as verb

        options = verb.ArenaOptions(policies, days, budget_share, seed, noise, base, tick_minutes, out)
        return verb.run(loaded, options)

    execute(run, config, overrides, debug)


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

    name, chosen = guarded(lambda: _demo_config(source, path), debug)
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
