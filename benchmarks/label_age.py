"""What labels that are too young cost, and what late views and late clicks hide, on simulated logs.

Law. A log of 17 days is simulated. A model is trained at the end of day 14, on the requests of the seven days before,
the last twelve hours of which validate. It scores the requests of day 15. Conversions come within three days of their
click, so the last three days before the cut are young. The model is trained on four sets of labels, on the same rows
with the same features:

- `final`: what the whole log knows, three days later;
- `silent`: what is known at the cut, unknown conversions taken as none;
- `leave_out`: the same with `labels.attribution_days=3`;
- `weight`: the same with `labels.young=weight`.

PCOC is the sum of predicted conversions over that of the simulator's true probabilities, both weighted by the true
probability of a click: no noise of test labels. What is compared is PCOC over that of `final`, seed by seed.

Late views: the same log whose views arrive a day late. Late clicks: clicks reach the counters with a delay between a
minute and a day, even in its logarithm. The offline bias is the test AUC of clicks with all in time less that with the
delay, trained and tested so.

Bar, fixed before the first run. Young labels matter if `silent` loses more than 5 % of the base rate in every seed. A
remedy works if its mean PCOC over that of `final` lies within 5 % of 1 and it is nearer to 1 than `silent` in every
seed. A delay has a bias if the mean gap is further from 0 than two standard errors over seeds.

    python benchmarks/label_age.py --out benchmarks/results/label_age.json
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from record import record, save
from rich.console import Console
from rich.table import Table

from rosa_ray.evaluation.scoring import UserScorer
from rosa_ray.features import (
    AdTable,
    CounterStates,
    FeatureConfig,
    FeatureState,
    FitSums,
    Split,
    SplitBounds,
    UserRows,
    build_user_rows,
    fold_events,
    fold_impressions,
    keyed_events,
    keyed_impressions,
)
from rosa_ray.labels import DelayCurve, Maturity, count_delays, forget_late
from rosa_ray.metrics import tied_auc
from rosa_ray.models import LossConfig, ranker_settings
from rosa_ray.run_dir import DataDir
from rosa_ray.schema import Behavior, hash_ids
from rosa_ray.simulation import SimulationConfig, ads_table, build_world, chunk_tables, simulate_chunk
from rosa_ray.storage import write_parquet
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.in_process import InProcessTrainer
from rosa_ray.training.job import TrainingJob
from rosa_ray.units import DAY_US, MINUTE_US

DAYS, CUT, FIRST, WINDOW_US = 17, 14, 7, 3 * DAY_US
LABELS = ("final", "silent", "leave_out", "weight")
LATE = ("late_views", "late_clicks")
FEATURES = FeatureConfig()

Arrays = dict[str, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=8000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--model", default="din")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--out")
    options = parser.parse_args()
    rows = [row for seed in options.seeds for row in measure(seed, options)]
    document = record("label_age", **{name: vars(options)[name] for name in ("users", "model", "epochs")}, rows=rows)
    show(document)
    save(document, options.out)


def measure(seed: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One log: a row for each set of labels and each delay."""
    config = SimulationConfig(seed=seed, days=DAYS, users=options.users)
    events, impressions, truth = read_log(config)
    cut_us = config.start_us + CUT * DAY_US
    bounds = SplitBounds(cut_us - DAY_US // 2, cut_us)
    found = []
    for name in LABELS:
        counters = fold_events(events, FEATURES) | fold_impressions(impressions, FEATURES)
        rows = build(events, labelled(impressions, name, cut_us), counters, bounds, config)
        found.append({"seed": seed, "rows": name, **scored(rows, truth, bounds, seed, options)})
    for name in LATE:
        seen, shown = delayed(name, events, impressions, seed)
        counters = fold_events(seen, FEATURES) | fold_impressions(shown, FEATURES)
        rows = build(seen, shown, counters, bounds, config)
        found.append({"seed": seed, "rows": name, **scored(rows, truth, bounds, seed, options)})
    for row in found:
        print(row, flush=True)
    return found


def read_log(config: SimulationConfig) -> tuple[Arrays, Arrays, Arrays]:
    """Keyed events and impressions, and the truth sorted by impression key."""
    world = build_world(config)
    chunks = [chunk_tables(config, world, simulate_chunk(config, world, chunk)) for chunk in range(config.chunks)]
    tables = {name: pa.concat_tables([chunk[name] for chunk in chunks]) for name in ("events", "impressions", "truth")}
    impressions, _ = keyed_impressions(tables["impressions"], AdTable.from_table(ads_table(world)))
    key = hash_ids(tables["truth"]["impression_id"])
    order = np.argsort(key)
    truth = {"key": key[order]} | {name: tables["truth"][name].to_numpy()[order] for name in ("p_ctr", "p_cvr")}
    return keyed_events(tables["events"]), impressions, truth


def labelled(impressions: Arrays, name: str, cut_us: int) -> Arrays:
    """The impressions before the cut with one set of labels, those behind it with final ones."""
    final, before = impressions, impressions["time_us"] < cut_us
    if name == "final":
        return final
    known, _ = forget_late(final, cut_us, WINDOW_US)
    columns = ("conversion", "revenue", "conversion_time_us")
    rows = {column: np.where(before, known[column], final[column]) for column in columns}
    rows = {**final, **rows}
    if name == "silent":
        return rows
    past = {column: values[before] for column, values in rows.items()}
    curve = DelayCurve.fit([count_delays(past)], cut_us - WINDOW_US) if name == "weight" else None
    weight = np.ones(len(before))
    weight[before] = Maturity(cut_us, WINDOW_US, curve).weights(past)
    return {**rows, "conversion_weight": weight}


def delayed(name: str, events: Arrays, impressions: Arrays, seed: int) -> tuple[Arrays, Arrays]:
    """The log as it arrives."""
    if name == "late_views":
        late = np.where(events["behavior"] == Behavior.VIEW, DAY_US, 0)
        shifted = {**events, "time_us": events["time_us"] + late}
        order = np.lexsort((shifted["time_us"], shifted["user_key"]))
        return {column: values[order] for column, values in shifted.items()}, impressions
    rng = np.random.default_rng(seed)
    delay = np.exp(rng.uniform(np.log(MINUTE_US), np.log(DAY_US), len(impressions["time_us"]))).astype(np.int64)
    return events, {**impressions, "click_time_us": impressions["time_us"] + delay * impressions["click"]}


def build(
    events: Arrays, impressions: Arrays, counters: CounterStates, bounds: SplitBounds, config: SimulationConfig
) -> UserRows:
    """User rows of the training days, and of the day behind the cut."""
    time_us = impressions["time_us"]
    chosen = (time_us >= config.start_us + FIRST * DAY_US) & (time_us < bounds.test_us + DAY_US)
    shown = {name: values[chosen] for name, values in impressions.items()}
    return build_user_rows(events, shown, None, counters, FEATURES, bounds)


def scored(
    rows: UserRows, truth: Arrays, bounds: SplitBounds, seed: int, options: argparse.Namespace
) -> dict[str, float]:
    """Train on the rows and score the test day."""
    state = FeatureState.fit([FitSums.of(rows, bounds.valid_us)], FEATURES)
    table = rows.to_table()
    with tempfile.TemporaryDirectory() as folder:
        layout = DataDir(folder)
        write_parquet(table, layout.user_rows(0))
        state.save(Path(layout.features))
        training = TrainingConfig(workers=1, epochs=options.epochs, patience=options.epochs)
        job = TrainingJob(ranker_settings(options.model, {}), LossConfig(), training, seed, folder)
        trainer = InProcessTrainer(job, [table])
        while not trainer.finished:
            trainer.run_epoch()
    scorer = UserScorer.load(job.describe_model(state), trainer.best_weights, state)
    test = scorer.score(scorer.encode(table), Split.TEST)
    place = np.searchsorted(truth["key"], test["impression_key"])
    p_ctr, p_cvr = truth["p_ctr"][place], truth["p_cvr"][place]
    return {
        "base_cvr": state.base_rates["cvr"],
        "cvr_pcoc": float((p_ctr * test["p_cvr"]).sum() / (p_ctr * p_cvr).sum()),
        "ctcvr_pcoc": float(test["p_ctcvr"].sum() / (p_ctr * p_cvr).sum()),
        "pcoc": float(test["p_ctr"].sum() / p_ctr.sum()),
        "auc": float(tied_auc(test["p_ctr"], test["click"]) or 0.0),
    }


def show(document: dict[str, Any]) -> None:
    """Means over seeds beside those of `final`."""
    rows = document["rows"]
    table = Table("rows", "base CVR / final", "CVR PCOC / final", "CTCVR PCOC / final", "AUC - final")
    for name in (*LABELS, *LATE):
        mine, final = (_of(rows, which) for which in (name, "final"))
        ratios = [mine[figure] / final[figure] for figure in ("base_cvr", "cvr_pcoc", "ctcvr_pcoc")]
        table.add_row(name, *(_told(values) for values in (*ratios, mine["auc"] - final["auc"])))
    Console().print(table)


def _of(rows: list[dict[str, Any]], name: str) -> Arrays:
    mine = [row for row in rows if row["rows"] == name]
    return {figure: np.array([row[figure] for row in mine]) for figure in ("base_cvr", "cvr_pcoc", "ctcvr_pcoc", "auc")}


def _told(values: np.ndarray) -> str:
    error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{values.mean():.4f} ± {error:.4f} ({', '.join(f'{value:.3f}' for value in values)})"


if __name__ == "__main__":
    main()
