"""What a chain of policy steps adds to a request: all steps on a slate of 100 ads, beside an empty chain.

The budget step has budgets of all campaigns and a week of hours told, the cap a user with many impressions. The bar is
0.3 ms a request.

    python benchmarks/policy_chain.py --out benchmarks/results/policy_chain.json
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import record, save
from rich.console import Console
from rich.table import Table

from rosa_ray.policy.slate import Shown, Slate, Step, decide
from rosa_ray.policy.steps import diversity, explore, fairness, floor, frequency_cap, linucb, step_names, thompson, ucb
from rosa_ray.policy.steps.budget import Campaign, Config, Rule
from rosa_ray.units import DAY_US, HOUR_US

BAR_MS = 0.3
NOW_US = 20_000 * DAY_US + 15 * HOUR_US


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ads", type=int, default=100)
    parser.add_argument("--campaigns", type=int, default=100)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rng = np.random.default_rng(1)
    steps = chain(arguments.campaigns)
    for step in steps.values():
        step.tell(week(rng, arguments.campaigns))
    slates = [slate(rng, arguments.ads, arguments.campaigns) for _ in range(arguments.requests)]
    # Only one step can draw the first place.
    every = [step for name, step in steps.items() if name != "thompson"]
    chains = {"none": [], **{name: [step] for name, step in steps.items()}, "all but thompson": every}
    rows = [{"steps": name, **measure(some, slates, arguments.repeats)} for name, some in chains.items()]
    show(rows)
    figures = {"ads": arguments.ads, "campaigns": arguments.campaigns, "bar_ms": BAR_MS, "rows": rows}
    save(record("policy_chain", **figures), arguments.out)


def chain(campaigns: int) -> dict[str, Step]:
    """All steps there are, in the order a config would have them.

    Raises:
        ValueError: a step is missing here.
    """
    named = {key: Campaign(daily_budget=1e4, min_roas=1.1) for key in range(1, campaigns + 1)}
    steps: dict[str, Step] = {
        "budget": Rule(Config({}, start=0.5), named=named),
        "ucb": ucb.Rule(ucb.Config()),
        "linucb": linucb.Rule(linucb.Config()),
        "fairness": fairness.Rule(fairness.Config()),
        "floor": floor.Rule(floor.Config()),
        "frequency_cap": frequency_cap.Rule(frequency_cap.Config()),
        "diversity": diversity.Rule(diversity.Config(most=1, places=20)),
        "explore": explore.Rule(explore.Config(epsilon=0.5)),
        "thompson": thompson.Rule(thompson.Config()),
    }
    if missing := set(step_names()) - steps.keys():
        raise ValueError(f"the chain lacks {', '.join(sorted(missing))}")
    return steps


def week(rng: np.random.Generator, campaigns: int, count: int = 20_000) -> Shown:
    """Impressions of the last seven days, a tenth of them to one user."""
    key = rng.integers(1, campaigns + 1, count)
    return Shown(
        time_us=NOW_US - rng.integers(0, 7 * DAY_US, count),
        user_key=np.where(rng.random(count) < 0.1, 7, rng.integers(8, 5000, count)),
        ad_key=key,
        campaign_key=key,
        cost=rng.exponential(1.0, count),
        revenue=rng.exponential(2.0, count),
        click=np.zeros(count, bool),
        p_ctr=np.full(count, 0.1),
    )


def slate(rng: np.random.Generator, ads: int, campaigns: int) -> Slate:
    """A request of the user with many impressions."""
    revenue, cost = rng.exponential(3.0, ads), rng.exponential(1.0, ads)
    return Slate(
        time_us=NOW_US + int(rng.integers(0, HOUR_US // 2)),
        request_key=int(rng.integers(0, 2**62)),
        user_key=7,
        ad_key=rng.permutation(ads) + 1,
        campaign_key=rng.integers(1, campaigns + 1, ads),
        category_key=rng.integers(1, 20, ads),
        p_ctr=np.full(ads, 0.1),
        p_cvr=np.full(ads, 0.1),
        revenue=revenue,
        cost=cost,
        score=revenue - cost,
        shown=np.ones(ads, bool),
        impressions=rng.integers(0, 1000, ads).astype(float),
        audience={"region": int(rng.integers(0, 8))},
    )


def measure(steps: list[Step], slates: list[Slate], repeats: int) -> dict[str, float]:
    """Milliseconds of a request with the order that is answered: CPU time, and the median of the clock.

    CPU time is the mean of the best round, so that other work on the machine counts little.
    """
    cpu_s, median_s = float("inf"), float("inf")
    for _ in range(repeats):
        times_s, began_cpu_s = [], time.thread_time()
        for one in slates:
            began_s = time.perf_counter()
            decide(steps, one, NOW_US).order.tolist()
            times_s.append(time.perf_counter() - began_s)
        cpu_s = min(cpu_s, (time.thread_time() - began_cpu_s) / len(slates))
        median_s = min(median_s, float(np.median(times_s)))
    return {"cpu_ms": round(1000 * cpu_s, 4), "median_ms": round(1000 * median_s, 4)}


def show(rows: list[dict[str, Any]]) -> None:
    table = Table("steps", "CPU, ms", "median, ms", "of the bar", title=f"bar: {BAR_MS} ms a request")
    for row in rows:
        table.add_row(row["steps"], f"{row['cpu_ms']:.3f}", f"{row['median_ms']:.3f}", f"{row['cpu_ms'] / BAR_MS:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
