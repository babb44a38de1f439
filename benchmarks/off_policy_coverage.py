"""Do the intervals of IPS, SNIPS and DR hold the true value as often as they say?

A simulated log knows the click and conversion probability, the expected money and the propensity of every candidate of
its policy period. So what was shown and what came of it can be drawn again, as often as needed, and every estimate can
be compared with the exact value of its target policy.

One draw: as many users as the log has, with replacement (an interval over users speaks of the population they come
from); in each of their requests an ad ~ propensity, its click ~ p_ctr, conversion ~ p_cvr, revenue = price times the
simulator's log-normal spread, cost = the simulator's second price below the bid. Requests keep their candidates: what
is shown does not change later ones, which is what the estimators assume. Where an interval covers less than it says by
more than two binomial errors, the table marks it.

    python benchmarks/off_policy_coverage.py LOG_DIR --out benchmarks/results/off_policy_coverage.json
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from record import record, save
from rich.console import Console
from rich.table import Table

from rosa_ray.metrics import (
    BootstrapConfig,
    OffPolicy,
    Ranking,
    best_roi_policy,
    greedy_policy,
    ratio_of_sums,
    uniform_policy,
)
from rosa_ray.settings.compose import read
from rosa_ray.simulation import SimulationConfig, build_world
from rosa_ray.simulation.auction import VALUE_LOG_SD
from rosa_ray.simulation.market import sample_price_fen

LEVEL = 0.95
METHODS = ("log_t", "log", "normal")
CLIPS = (None, 10.0)


@dataclass(frozen=True)
class Population:
    """All requests of the policy period, sorted by user: N requests of K candidates, U users."""

    counts_U: np.ndarray
    p_ctr: np.ndarray
    p_cvr: np.ndarray
    revenue: np.ndarray
    cost: np.ndarray
    propensity: np.ndarray
    price: np.ndarray
    bid_fen: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True)
class Draw:
    """One redrawn log of n requests: rows of the population, and what was shown and came of it."""

    user: np.ndarray
    row: np.ndarray
    shown: np.ndarray
    revenue: np.ndarray
    cost: np.ndarray


def main() -> None:
    arguments = _arguments()
    began = time.perf_counter()
    population = read_population(arguments.log_dir)
    rng = np.random.default_rng(arguments.seed)
    model = noisy_model(population, arguments.model_noise, rng)
    policies = target_policies(population, model)
    rows = measure(population, policies, model, arguments, rng)
    document = record(
        "off_policy_coverage",
        log=Path(arguments.log_dir).resolve().parent.name,
        users=len(population.counts_U),
        requests=len(population.price),
        conversions_expected=float((population.propensity * population.p_ctr * population.p_cvr).sum()),
        model_noise=arguments.model_noise,
        draws=arguments.draws,
        bootstrapped_draws=arguments.bootstrapped,
        level=LEVEL,
        seconds=round(time.perf_counter() - began, 1),
        rows=rows,
    )
    show(document)
    save(document, arguments.out)


def read_population(log_dir: str) -> Population:
    """Join the truth with the candidates and the world that the log's configuration builds again."""
    candidates, truth = pq.read_table(f"{log_dir}/candidates"), pq.read_table(f"{log_dir}/truth")
    truth = truth.filter(pc.is_in(truth["impression_id"], candidates["impression_id"]))
    if not truth["impression_id"].equals(candidates["impression_id"]):
        raise SystemExit(f"{log_dir}: truth and candidates are not in the same order")
    config = read(SimulationConfig, json.loads(Path(log_dir, "log.json").read_text())["config"], log_dir)
    world, slots = build_world(config), config.candidates_per_request

    def by_request(column: np.ndarray) -> np.ndarray:
        return column.reshape(-1, slots)

    ad = by_request(pc.cast(pc.utf8_slice_codeunits(candidates["ad_id"], 1), "int64").to_numpy())
    scale = world.market_scale_C[world.ad_category_A[ad]]
    _, user = np.unique(by_request(candidates["user_id"].to_numpy())[:, 0], return_inverse=True)
    order = np.argsort(user, kind="stable")
    columns = {
        "p_ctr": by_request(truth["p_ctr"].to_numpy()),
        "p_cvr": by_request(truth["p_cvr"].to_numpy()),
        "revenue": by_request(truth["expected_revenue"].to_numpy()),
        "cost": by_request(truth["expected_cost"].to_numpy()),
        "propensity": by_request(truth["propensity"].to_numpy()),
        "price": world.item_price_I[world.ad_item_A[ad]],
        "bid_fen": by_request(candidates["bid"].to_numpy()) / scale,
        "scale": scale,
    }
    return Population(np.bincount(user), **{name: values[order] for name, values in columns.items()})


def noisy_model(population: Population, noise: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Expected revenue and cost as a fitted model might have them: log-normal errors, and biased by -10 % and +5 %."""
    error = np.exp(rng.normal(0, noise, population.revenue.shape))
    return {"revenue": 0.9 * population.revenue * error, "cost": 1.05 * population.cost}


def target_policies(population: Population, model: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Probabilities (N, K) of uniform choice, greedy on the model, greedy on the truth, the best ROI, and a mixture."""
    shape = population.revenue.shape
    request = np.repeat(np.arange(shape[0]), shape[1])
    slot = np.tile(np.arange(shape[1]), shape[0])

    def greedy(revenue: np.ndarray, cost: np.ndarray) -> np.ndarray:
        return greedy_policy(Ranking("roi").of_revenue(revenue.ravel(), cost.ravel()), request, slot).reshape(shape)

    chosen = greedy(model["revenue"], model["cost"])
    uniform = uniform_policy(request).reshape(shape)
    best = best_roi_policy(population.revenue.ravel(), population.cost.ravel(), request, slot).reshape(shape)
    return {
        "uniform": uniform,
        "model": chosen,
        "model+20% uniform": 0.8 * chosen + 0.2 * uniform,
        "oracle": greedy(population.revenue, population.cost),
        "best ROI": best,
    }


def redraw(population: Population, users: int, rng: np.random.Generator) -> Draw:
    """Draw users with replacement, and all of their requests anew; a user drawn twice counts as two."""
    drawn = rng.integers(0, len(population.counts_U), users)
    counts = population.counts_U[drawn]
    ends, offsets = np.cumsum(population.counts_U), np.r_[0, np.cumsum(counts)]
    starts = (ends - population.counts_U)[drawn]
    row = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], counts)
    count = len(row)
    cumulated = np.cumsum(population.propensity[row], axis=1)
    shown = (cumulated[:, :-1] < rng.random((count, 1)) * cumulated[:, -1:]).sum(axis=1)
    converted = rng.random(count) < population.p_ctr[row, shown] * population.p_cvr[row, shown]
    value = population.price[row, shown] * np.exp(rng.normal(-(VALUE_LOG_SD**2) / 2, VALUE_LOG_SD, count))
    paid = sample_price_fen(population.bid_fen[row, shown], rng.random(count)) * population.scale[row, shown]
    return Draw(np.repeat(np.arange(users), counts), row, shown, np.where(converted, value, 0.0), paid)


def measure(
    population: Population,
    policies: dict[str, np.ndarray],
    model: dict[str, np.ndarray],
    arguments: argparse.Namespace,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """One row per policy, clip, estimator and quantity: truth, bias, coverage of each method, width and ESS."""
    users = arguments.users or len(population.counts_U)
    expected = {
        name: {reward: (policy * values).sum(axis=1) for reward, values in model.items()}
        for name, policy in policies.items()
    }
    found: dict[tuple[str, Any, str, str], list[dict[str, Any]]] = {}
    for number in range(arguments.draws):
        draw = redraw(population, users, rng)
        for name, policy in policies.items():
            for clip in CLIPS:
                sums = estimate(draw, population, policy, model, expected[name], clip)
                bootstrap = clip is None and number < arguments.bootstrapped
                for (estimator, quantity), entry in intervals(sums, bootstrap, number).items():
                    found.setdefault((name, clip, estimator, quantity), []).append(entry)
    truths = {name: exact(population, policy) for name, policy in policies.items()}
    return [summarise(key, entries, truths[key[0]][key[3]]) for key, entries in found.items()]


def exact(population: Population, policy: np.ndarray) -> dict[str, float]:
    """True revenue and cost per request, and ROI, of a policy on the population."""
    revenue, cost = float((policy * population.revenue).sum()), float((policy * population.cost).sum())
    requests = len(policy)
    return {"revenue": revenue / requests, "cost": cost / requests, "roi": revenue / cost - 1}


def estimate(
    draw: Draw,
    population: Population,
    policy: np.ndarray,
    model: dict[str, np.ndarray],
    expected: dict[str, np.ndarray],
    clip: float | None,
) -> OffPolicy:
    """Sums of one policy on one redrawn log."""
    cell = draw.row, draw.shown
    return OffPolicy(clip).update(
        user_key=draw.user,
        propensity=population.propensity[cell],
        target=policy[cell],
        rewards={"revenue": draw.revenue, "cost": draw.cost},
        model_shown={name: values[cell] for name, values in model.items()},
        model_target={name: values[draw.row] for name, values in expected.items()},
    )


def intervals(sums: OffPolicy, bootstrap: bool, seed: int) -> dict[tuple[str, str], dict[str, Any]]:
    """Estimate, ESS and the interval of each method, per estimator and quantity."""
    s = sums.sums
    pairs = {
        ("ips", "revenue"): (s["ips_revenue"], s["requests"]),
        ("snips", "revenue"): (s["ips_revenue"], s["weight"]),
        ("dr", "revenue"): (s["dr_revenue"], s["requests"]),
        ("ips", "cost"): (s["ips_cost"], s["requests"]),
        ("snips", "cost"): (s["ips_cost"], s["weight"]),
        ("dr", "cost"): (s["dr_cost"], s["requests"]),
        ("ips", "roi"): (s["ips_revenue"], s["ips_cost"]),
        ("dr", "roi"): (s["dr_revenue"], s["dr_cost"]),
    }
    size = float(s["weight"].sum() ** 2 / s["weight_squared"].sum())
    drawn = sums.compute(BootstrapConfig(200, LEVEL, seed)) if bootstrap else {}
    entries = {}
    for (estimator, quantity), (numerator, denominator) in pairs.items():
        shift = -1.0 if quantity == "roi" else 0.0
        by_method = {method: ratio_of_sums(numerator, denominator, LEVEL, method) for method in METHODS}
        ends = {name: (one.low + shift, one.high + shift) for name, one in by_method.items() if one and one.low}
        if drawn and quantity == "roi":
            ends["bootstrap"] = (drawn[estimator]["roi"]["bootstrap_low"], drawn[estimator]["roi"]["bootstrap_high"])
        value = float(numerator.sum() / denominator.sum()) + shift
        entries[estimator, quantity] = {"estimate": value, "ess": size, "ends": ends}
    return entries


def summarise(key: tuple[str, Any, str, str], entries: list[dict[str, Any]], truth: float) -> dict[str, Any]:
    """One row of the table; a method that gave no interval counts as one that missed."""
    estimates = np.array([entry["estimate"] for entry in entries])
    coverage = {}
    for method in (*METHODS, "bootstrap"):
        tried = [entry["ends"].get(method) for entry in entries if method != "bootstrap" or method in entry["ends"]]
        if tried:
            hits = np.mean([ends is not None and ends[0] <= truth <= ends[1] for ends in tried])
            coverage[method] = {
                "coverage": float(hits),
                "error": float(np.sqrt(LEVEL * (1 - LEVEL) / len(tried))),
                "width": float(np.mean([ends[1] - ends[0] for ends in tried if ends is not None])),
            }
    policy, clip, estimator, quantity = key
    return {
        "policy": policy,
        "clip": clip,
        "estimator": estimator if estimator != "ips" or quantity != "roi" else "ips=snips",
        "quantity": quantity,
        "truth": truth,
        "mean_estimate": float(estimates.mean()),
        "bias_in_errors": float((estimates.mean() - truth) / (estimates.std(ddof=1) / np.sqrt(len(estimates)))),
        "standard_deviation": float(estimates.std(ddof=1)),
        "effective_sample_size": float(np.mean([entry["ess"] for entry in entries])),
        "methods": coverage,
    }


def show(document: dict[str, Any]) -> None:
    error = np.sqrt(LEVEL * (1 - LEVEL) / document["draws"])
    title = f"95 % intervals, {document['draws']} draws of {document['requests']} requests: coverage ±{error:.3f}"
    columns = ("policy", "clip", "estimator", "of", "truth", "mean", "bias/err", "ESS", *METHODS, "bootstrap", "width")
    table = Table(*columns, title=title)
    for row in document["rows"]:
        cells = [_coverage(row["methods"].get(method)) for method in (*METHODS, "bootstrap")]
        figures = [f"{row['truth']:.4f}", f"{row['mean_estimate']:.4f}", f"{row['bias_in_errors']:+.1f}"]
        names = [row["policy"], f"{row['clip'] or 'none'}", row["estimator"], row["quantity"]]
        size, width = f"{row['effective_sample_size']:.0f}", f"{row['methods']['log_t']['width']:.3f}"
        table.add_row(*names, *figures, size, *cells, width)
    console = Console(width=140)
    console.print(table)
    console.print(
        "* covers less than it says by more than two binomial errors; bias/err: mean error in standard errors"
    )


def _coverage(method: dict[str, float] | None) -> str:
    if method is None:
        return ""
    short = method["coverage"] < LEVEL - 2 * method["error"]
    return f"{method['coverage']:.3f}{'*' if short else ''}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log_dir", help="a simulated log, with truth/ and log.json")
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--bootstrapped", type=int, default=100, help="draws that are bootstrapped as well")
    parser.add_argument("--users", type=int, default=0, help="users per draw; 0 for as many as the log has")
    parser.add_argument("--model-noise", type=float, default=0.5, help="standard deviation of the model's log revenue")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="")
    return parser.parse_args()


if __name__ == "__main__":
    main()
