"""What exploration earns where ads are born, what it costs where none is, and whether its log tells of another policy.

Policies choose in equal arenas, see `rosa arena`. All have the same model, which learns every night from what its own
policy showed (`@nightly`). `greedy` shows the most profit. The others explore, and learn within the day or do not.
`all known` is greedy with a model that knows every ad as if its impressions had told already: the bound of what
exploration can bring.

For every policy: its true value over greedy's; the share of value from ads younger than a day; and how often an
interval of 95 % for greedy's click rate, from the log of that policy alone, holds greedy's true one on the same
requests. Estimates are doubly robust, of users in groups; a group is a log. What was shown is drawn again for every
group by the chances that the policy gave. Policies without a last step that draws have none, and no such interval.

    python benchmarks/exploration.py --seeds 1 2 3 --out benchmarks/results/exploration.json
"""

import argparse
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from record import record, save
from rich.console import Console
from rich.table import Table

from rosa_ray.arena import Arena, ArenaConfig, Chain, Player, Slates, parse_player
from rosa_ray.arena.policies import scores
from rosa_ray.metrics.scores import Ranking
from rosa_ray.policy.slate import Slate
from rosa_ray.settings import Tagged
from rosa_ray.simulation import SimulationConfig, ads_table, enact
from rosa_ray.simulation.laws import config_class
from rosa_ray.units import DAY_US

GREEDY = "greedy"
POLICIES = {
    GREEDY: "profit+floor:-1000000@nightly",
    "all known": "profit+floor:-1000000@noisy",
    "ucb": "profit+ucb@nightly",
    "linucb": "profit+linucb@nightly",
    "epsilon": "profit+explore@nightly",
    "ucb, epsilon": "profit+ucb+explore:0.02@nightly",
    "linucb, epsilon": "profit+linucb+explore:0.02@nightly",
    "thompson": "profit+thompson@nightly",
}
GROUP_USERS = 40
LEVEL_Z = 1.959964


@dataclass
class Log:
    """What one policy saw and how it chose, by request."""

    slates: list[Slates]
    chances: dict[int, np.ndarray]
    draws: bool = False

    def noted(self, request: int, slate: Slate) -> None:
        """Keep the chances of a request; without a draw that of the best is 1."""
        self.draws |= slate.propensity is not None
        best = np.arange(len(slate.score)) == (slate.order[0] if slate.order.size else -1)
        self.chances[request] = best * 1.0 if slate.propensity is None else slate.propensity


class Noting(Chain):
    """A chain that keeps what it was asked."""

    def __init__(self, log: Log, chain: Chain) -> None:
        super().__init__(chain.made_of, chain.ranking, log.noted)
        self._log = log

    def choose(self, slates: Slates) -> np.ndarray:
        """The chain's choice."""
        self._log.slates.append(slates)
        return super().choose(slates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--days-before", type=int, default=3)
    parser.add_argument("--policies", nargs="+", default=list(POLICIES), choices=list(POLICIES))
    parser.add_argument("--laws", nargs="+", default=["births", "none"], choices=["births", "none"])
    parser.add_argument("--out", default="")
    arguments = parser.parse_args()
    rows = [
        {"law": law, "seed": seed, **row}
        for law in arguments.laws
        for seed in arguments.seeds
        for row in compared(law, seed, arguments)
    ]
    settings = {name: getattr(arguments, name) for name in ("users", "days", "days_before")}
    means = [mean_of(rows, law, name) for law in arguments.laws for name in arguments.policies]
    show(means)
    save(record("exploration", settings=settings, policies=POLICIES, rows=rows, means=means), arguments.out)


def compared(law: str, seed: int, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Every policy in one world."""
    laws = () if law == "none" else (Tagged(law, config_class(law)()),)
    days = arguments.days + arguments.days_before
    simulation = SimulationConfig(users=arguments.users, days=days, seed=seed, laws=laws)
    made = Arena(simulation, ArenaConfig(days=arguments.days, tick_minutes=15))
    found: list[dict[str, Any]] = []
    first = 0.0
    for name in arguments.policies:
        row = played(made, name, seed)
        first = first or row["value"]
        row["gap"] = round(row["value"] / first - 1, 5)
        print(f"{law}, seed {seed}: {row}", flush=True)
        found.append(row)
    return found


def played(made: Arena, name: str, seed: int) -> dict[str, Any]:
    """One policy: its value, that of young ads, and intervals from its log."""
    player, log, truth = parse_player(POLICIES[name]), Log([], {}), list[Slates]()
    policy = player.build()
    assert isinstance(policy, Chain)
    player = Player(player.name, partial(Noting, log, policy), player.estimates)
    run = made.play(player, requests=truth)
    value = run.ledger.total("revenue") - run.ledger.total("spend")
    row = {"policy": name, "value": round(value, 2), "spend": round(run.ledger.total("spend"), 2)}
    row["young_share"] = round(young_share(made, log, Slates.joined(truth)), 4)
    held, groups = intervals(log, truth, np.random.default_rng(seed))
    return row | {"held": held, "groups": groups}


def young_share(made: Arena, log: Log, truth: Slates) -> float:
    """Expected share of the value that ads younger than a day bring, by the chances of the log."""
    catalogue = enact(made.simulation, made.world).catalogue(ads_table(made.world))
    if "valid_from" not in catalogue.column_names:
        return 0.0
    begin_us = catalogue["valid_from"].cast("int64").to_numpy(zero_copy_only=False)
    begin_us = np.where(np.isnan(begin_us.astype(float)), np.iinfo(np.int64).min // 2, begin_us)
    chance_NK = np.stack([log.chances[request] for request in truth.request.tolist()])
    value_NK = chance_NK * (truth.revenue_NK - truth.cost_NK)
    young_NK = truth.time_us[:, None] - begin_us[truth.ad_NK] < DAY_US
    return float(value_NK[young_NK].sum() / value_NK.sum())


def intervals(log: Log, truth: list[Slates], rng: np.random.Generator) -> tuple[int, int]:
    """How many intervals of groups of users hold greedy's true click rate, and how many groups there are."""
    if not log.draws:
        return 0, 0
    seen, true = Slates.joined(log.slates), Slates.joined(truth)
    rows = np.arange(len(seen))
    chance_NK = np.stack([log.chances[request] for request in seen.request.tolist()])
    greedy = np.argmax(scores(Ranking("profit"), seen), axis=1)
    cumulated = np.cumsum(chance_NK, axis=1)
    drawn = (cumulated[:, :-1] <= rng.random(len(rows))[:, None] * cumulated[:, -1:]).sum(axis=1)
    click = rng.random(len(rows)) < true.p_ctr_NK[rows, drawn]
    guess = seen.p_ctr_NK[rows, greedy]
    weight = (drawn == greedy) / chance_NK[rows, greedy]
    estimate = guess + weight * (click - seen.p_ctr_NK[rows, drawn])
    exact = true.p_ctr_NK[rows, greedy]
    held, users = 0, seen.user.max() + 1
    members = rng.permutation(users)[: users - users % GROUP_USERS].reshape(-1, GROUP_USERS)
    error_U = np.bincount(seen.user, estimate - exact, users)
    for group in members:
        errors = error_U[group]
        spread = errors.std(ddof=1) * np.sqrt(len(group))
        held += int(abs(errors.sum()) <= LEVEL_Z * spread)
    return held, len(members)


def mean_of(rows: list[dict[str, Any]], law: str, name: str) -> dict[str, Any]:
    """A policy over all seeds: the mean gap with its spread, the mean share, and the share of intervals that held."""
    own = [row for row in rows if (row["law"], row["policy"]) == (law, name)]
    gaps, groups = np.array([row["gap"] for row in own]), sum(row["groups"] for row in own)
    shares = [row["young_share"] for row in own]
    return {
        "law": law,
        "policy": name,
        "gap": round(float(gaps.mean()), 5),
        "gap_least": round(float(gaps.min()), 5),
        "gap_most": round(float(gaps.max()), 5),
        "young_share": round(float(np.mean(shares)), 4),
        "held": round(sum(row["held"] for row in own) / groups, 4) if groups else None,
        "groups": groups,
    }


def show(means: list[dict[str, Any]]) -> None:
    """Print one line a policy and law."""
    table = Table("law", "policy", "value over greedy, %", "least … most", "of young ads, %", "intervals held, %")
    for row in means:
        ends = f"{100 * row['gap_least']:+.2f} … {100 * row['gap_most']:+.2f}"
        share = f"{100 * row['young_share']:.1f}"
        held = "" if row["held"] is None else f"{100 * row['held']:.1f} of {row['groups']}"
        table.add_row(row["law"], row["policy"], f"{100 * row['gap']:+.2f}", ends, share, held)
    Console().print(table)


if __name__ == "__main__":
    main()
