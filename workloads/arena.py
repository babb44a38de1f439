"""`rosa arena`: policies in equal simulated worlds, walked by the clock, with budgets."""

from dataclasses import dataclass, replace
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from rosa_ray.arena import Arena, ArenaConfig, Player, Run, figures_of, parse_player
from rosa_ray.arena.estimates import KINDS, MODEL
from rosa_ray.config import RunConfig
from rosa_ray.errors import ConfigError
from rosa_ray.evaluation.arena_model import ArenaModel
from rosa_ray.metrics.bootstrap import BootstrapConfig
from rosa_ray.report.arena import write_arena_page
from rosa_ray.run_dir import RunDir
from rosa_ray.settings.plain import to_plain
from rosa_ray.storage import absolute, write_json
from rosa_ray.words import counted

_WIDTH = 100


@dataclass(frozen=True)
class ArenaOptions:
    """What to try.

    Attributes:
        policies: names, separated by commas; the others are compared with the first.
        days, budget_share, noise, base, tick_minutes: see `ArenaConfig`.
        seed: of the world; below 0 takes the config's `simulation.seed`.
        out: file to write, a page where its name ends in .html, else JSON; empty writes none. Several, by commas.
    """

    policies: str
    days: int = 7
    budget_share: float = 0.0
    seed: int = -1
    noise: float = 0.6
    base: str = "roi"
    tick_minutes: int = 5
    out: str = ""


def run(config: RunConfig, options: ArenaOptions) -> int:
    """Let every policy choose in the same world, and print what each earned.

    Raises:
        ConfigError: a policy is unknown, a number does not fit, or a model is of another world.
        BundleError: a run that a policy names has no model.
    """
    players = [parse_player(name) for name in _listed(options.policies)]
    if not players:
        raise ConfigError("--policies is empty; give names such as roi,profit,dual:2")
    if len({player.name for player in players}) < len(players):
        raise ConfigError("--policies has a name twice")
    simulation = config.simulation if options.seed < 0 else replace(config.simulation, seed=options.seed)
    arena_config = ArenaConfig(
        days=options.days,
        budget_share=options.budget_share,
        base=options.base,
        noise=options.noise,
        tick_minutes=options.tick_minutes,
    )
    settings = {"arena": to_plain(arena_config), "simulation": to_plain(simulation)}
    seen = {player.estimates for player in (*players, parse_player(options.base))}
    models = {name: _opened(name, config) for name in sorted(seen - {*KINDS})}
    found = {"settings": settings, **_play(simulation, arena_config, players, models)}
    _print(found)
    for path in _listed(options.out):
        if path.endswith(".html"):
            write_arena_page(found, path)
        else:
            write_json(found, path)
        print(f"{path}: written")
    return 0


def _opened(name: str, config: RunConfig) -> ArenaModel:
    """The model of the config's run, or of a run by its directory."""
    return ArenaModel.open(RunDir(absolute(config.run_dir if name == MODEL else name)).bundle)


def _play(
    simulation: Any, arena_config: ArenaConfig, players: list[Player], models: dict[str, ArenaModel]
) -> dict[str, Any]:
    with Console(stderr=True).status("drawing users") as status:

        def progress(name: str, day: int, days: int) -> None:
            status.update(f"{name}: day {day} of {days}")

        arena = Arena(simulation, arena_config, progress, models=models)
        if arena_config.budget_share or any(player.name.startswith("hindsight") for player in players):
            arena.set_budgets()
        runs: list[Run] = []
        for player in players:
            runs.append(arena.play(player))
            _say(runs[-1])
    return figures_of(runs, BootstrapConfig())


def _say(run: Run) -> None:
    value = run.ledger.total("revenue") - run.ledger.total("spend")
    impressions = run.ledger.total("impressions")
    print(f"{run.name}: value {value:,.0f}, {impressions:,.0f} impressions, {run.seconds:.0f} s", flush=True)


def _print(found: dict[str, Any]) -> None:
    policies, settings = found["policies"], found["settings"]["arena"]
    share = settings["budget_share"]
    limit = f"budgets {share:g} of what {settings['base']} spends" if share else "no budgets"
    title = f"{counted(settings['days'], 'day')}, {limit}, at true values"
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    above = f"value above\n{found['gaps_to']}, %"
    heads = ("policy", "value", "spend", "ROI", above, "over-\nspend", "spent, %", "shown, %", "near\naud., %")
    for head in heads:
        is_name = head == "policy"
        # A long name is broken, and no figure is.
        table.add_column(head, justify="left" if is_name else "right", no_wrap=not is_name, overflow="fold")
    base = policies[found["gaps_to"]]["value"]
    for name, row in policies.items():
        table.add_row(
            name,
            f"{row['value']:,.0f}",
            f"{row['spend']:,.0f}",
            "" if row["roi"] is None else f"{row['roi']:.2f}",
            _gap(row, base),
            f"{row['overspend']:,.1f}" if row["budget"] else "",
            f"{100 * row['spend'] / row['budget']:.1f}" if row["budget"] else "",
            f"{100 * row['impressions'] / row['requests']:.1f}",
            f"{100 * row['near_audience']:.0f}",
        )
    Console(width=max(_WIDTH, Console().width)).print(table)


def _gap(row: dict[str, float], base: float) -> str:
    """Estimate and ends of the gap, per cent of the first policy's value; empty for that one, or if it lost money."""
    if "gap" not in row or base <= 0:
        return ""
    estimate, low, high = (100 * row[name] / base for name in ("gap", "gap_low", "gap_high"))
    digits = 0 if max(abs(low), abs(high)) >= 100 else 1
    return f"{estimate:+.{digits}f} ({low:+.{digits}f} … {high:+.{digits}f})"


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
