"""What a law of the simulator leaves to learn, by the truth alone: no model is fitted on histories.

For each law of a config, over all candidates of the policy period:

- **share** of the variance of the true click logit that is the law's and that the other parts do not tell linearly;
- **ceiling**: AUC against true click probabilities of a logistic regression on the rest of the true logit, alone and
  with what the law adds. Their gap is what a perfect reader of the law gains.

Beside them stand rates with the laws and without, on the same users.

    python benchmarks/law_ceiling.py chains --out benchmarks/results/law_ceiling_chains.json
"""

import argparse
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from record import record, save
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import roc_auc_score

from rosa_ray.config import load_config
from rosa_ray.simulation import SimulationConfig, build_world, chunk_tables, simulate_chunk, summarize
from rosa_ray.simulation.response import VIEWABLE
from workloads.command_line import find_config

TABLES = ("events", "impressions", "candidates", "truth")


def main() -> None:
    arguments = _arguments()
    config = load_config(find_config(arguments.config), arguments.set).simulation
    with_laws = simulate(config)
    rates = {"default": rates_of(simulate(replace(config, laws=()))), "with the laws": rates_of(with_laws)}
    rows = [{"law": law.name, **ceiling_of(with_laws, law.name)} for law in config.laws]
    show(rows, rates)
    save(record("law_ceiling", config=arguments.config, users=config.users, rows=rows, rates=rates), arguments.out)


def simulate(config: SimulationConfig) -> dict[str, pa.Table]:
    """All tables of a log but its ads, in this process."""
    world = build_world(config)
    chunks = [chunk_tables(config, world, simulate_chunk(config, world, chunk)) for chunk in range(config.chunks)]
    return {name: pa.concat_tables([chunk[name] for chunk in chunks]) for name in TABLES}


def ceiling_of(log: dict[str, pa.Table], law: str) -> dict[str, float]:
    """Share of variance and ceiling of one law."""
    truth = log["truth"].filter(pc.is_in(log["truth"]["impression_id"], log["candidates"]["impression_id"]))
    p_click, of_law = truth["p_ctr"].to_numpy(), truth[f"oracle_{law}_click"].to_numpy()
    seen = p_click / VIEWABLE
    logit = np.log(seen / (1 - seen))
    rest = (logit - of_law)[:, None]
    told = LinearRegression().fit(rest, of_law).predict(rest)
    without = auc_of_logistic(rest, p_click)
    knowing = auc_of_logistic(np.column_stack([rest, of_law]), p_click)
    figures = {"share": np.var(of_law - told) / np.var(logit), "without": without, "knowing": knowing}
    return {name: float(value) for name, value in {**figures, "gain": knowing - without}.items()}


def auc_of_logistic(inputs_NF: np.ndarray, p_N: np.ndarray) -> float:
    """AUC against probabilities of a logistic regression on them: each row counts as a click p and as none 1 - p."""
    label, weight = np.repeat([1, 0], len(p_N)), np.concatenate([p_N, 1 - p_N])
    model = LogisticRegression().fit(np.tile(inputs_NF, (2, 1)), label, weight)
    return float(roc_auc_score(label, np.tile(model.decision_function(inputs_NF), 2), sample_weight=weight))


def rates_of(log: dict[str, pa.Table]) -> dict[str, float]:
    """Rates, events a user, and the share of each behaviour among events."""
    sums, count = summarize(log), log["events"].num_rows
    behavior = log["events"]["behavior"].value_counts().to_pylist()
    return {
        "click rate": sums["clicks"] / sums["impressions"],
        "conversion rate": sums["conversions"] / sums["clicks"],
        "revenue / cost": sums["revenue"] / sums["cost"],
        "events a user": count / pc.count_distinct(log["events"]["user_id"]).as_py(),
        **{entry["values"]: entry["counts"] / count for entry in sorted(behavior, key=lambda entry: entry["values"])},
    }


def show(rows: list[dict[str, Any]], rates: dict[str, dict[str, float]]) -> None:
    ceilings = Table("law", *(name for name in rows[0] if name != "law"), title="Click logit over candidates")
    for row in rows:
        ceilings.add_row(row["law"], *(f"{value:.3f}" for name, value in row.items() if name != "law"))
    marginals = Table("", *rates["default"], title="Rates")
    for name, figures in rates.items():
        marginals.add_row(name, *(f"{value:.4f}" for value in figures.values()))
    Console(width=140).print(ceilings, marginals)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a config whose simulation.laws names one law or more")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one key")
    parser.add_argument("--out", default="")
    return parser.parse_args()


if __name__ == "__main__":
    main()
