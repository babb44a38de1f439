"""What labels that are too young cost, and what late views and late clicks hide, on simulated logs.

Law. A log of 17 days is simulated. A model is trained at the end of day 14, on the requests of the seven days before,
and scores the requests of day 15. Conversions come within three days of their click, so the last three days before the
cut are young. The model is trained on four sets of labels, on the same rows with the same features:

- `final`: what the whole log knows, three days later;
- `silent`: what is known at the cut, unknown conversions taken as none;
- `leave_out`: the same with `labels.attribution_days=3`;
- `weight`: the same with `labels.young=weight`.

The model is a logistic regression of conversions on the dense features of clicked rows: what is compared is labels, not
models. PCOC is the sum of predicted conversions over that of the simulator's true probabilities, both weighted by the
true probability of a click: no noise of test labels. Each figure is taken over that of `final`, seed by seed.

Late views: the same log whose views arrive a day late. Late clicks: clicks reach the counters with a delay between a
minute and a day, even in its logarithm. The offline bias is the test AUC of clicks with all in time less that with the
delay, of a logistic regression trained and tested so.

Bar, fixed before the first run. Young labels matter if `silent` loses more than 5 % of the base rate in every seed. A
remedy works if its mean PCOC over that of `final` lies within 5 % of 1 and it is nearer to 1 than `silent` in every
seed. A delay has a bias if the mean gap is further from 0 than two standard errors over seeds.

    python benchmarks/label_age.py --out benchmarks/results/label_age.json
"""

import argparse
from typing import Any

import numpy as np
import pyarrow as pa
from record import record, save
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression

from rosa_ray.features import (
    AdTable,
    FeatureConfig,
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
from rosa_ray.schema import Behavior, hash_ids
from rosa_ray.simulation import SimulationConfig, ads_table, build_world, chunk_tables, simulate_chunk
from rosa_ray.units import DAY_US, MINUTE_US

DAYS, CUT, FIRST, WINDOW_US = 17, 14, 7, 3 * DAY_US
LABELS = ("final", "silent", "leave_out", "weight")
LATE = ("late_views", "late_clicks")
FEATURES = FeatureConfig()

Arrays = dict[str, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=8000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--out")
    options = parser.parse_args()
    rows = [row for seed in options.seeds for row in measure(seed, options.users)]
    document = record("label_age", users=options.users, rows=rows)
    show(document)
    save(document, options.out)


def measure(seed: int, users: int) -> list[dict[str, Any]]:
    """One log: a row for each set of labels and each delay."""
    config = SimulationConfig(seed=seed, days=DAYS, users=users)
    events, impressions, truth = read_log(config)
    cut_us = config.start_us + CUT * DAY_US
    rows = build(events, impressions, cut_us)
    place = np.argsort(impressions["impression_key"])[
        np.searchsorted(np.sort(impressions["impression_key"]), rows.impressions["impression_key"])
    ]
    found = []
    for name in LABELS:
        known = {column: values[place] for column, values in labelled(impressions, name, cut_us).items()}
        found.append({"seed": seed, "rows": name, **conversions(rows, known, truth, cut_us)})
    found[0]["auc"] = click_auc(rows, cut_us)
    for name in LATE:
        late = build(*delayed(name, events, impressions, seed), cut_us)
        found += [{"seed": seed, "rows": name, "auc": click_auc(late, cut_us)}]
    print(*found, sep="\n", flush=True)
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
    """Clicks, conversions and their weights, as one set of labels has them."""
    final = {column: impressions[column] for column in ("time_us", "click", "conversion", "conversion_time_us")}
    ones = np.ones(len(final["time_us"]))
    if name == "final":
        return {**final, "conversion_weight": ones}
    given = {**final, "click_time_us": impressions["click_time_us"], "revenue": impressions["revenue"]}
    known, _ = forget_late(given, cut_us, WINDOW_US)
    if name == "silent":
        return {**known, "conversion_weight": ones}
    past = {column: values[known["time_us"] < cut_us] for column, values in known.items()}
    curve = DelayCurve.fit([count_delays(past)], cut_us - WINDOW_US) if name == "weight" else None
    return {**known, "conversion_weight": Maturity(cut_us, WINDOW_US, curve).weights(known)}


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


def build(events: Arrays, impressions: Arrays, cut_us: int) -> UserRows:
    """User rows of the training days, and of the day behind the cut."""
    counters = fold_events(events, FEATURES) | fold_impressions(impressions, FEATURES)
    time_us = impressions["time_us"]
    chosen = (time_us >= cut_us - (CUT - FIRST) * DAY_US) & (time_us < cut_us + DAY_US)
    shown = {name: values[chosen] for name, values in impressions.items()}
    return build_user_rows(events, shown, None, counters, FEATURES, SplitBounds(cut_us, cut_us))


def inputs(rows: UserRows, train: np.ndarray) -> np.ndarray:
    """Standardised dense features with their presence, log bid and log price."""
    money = np.log(np.stack([rows.impressions["bid"], rows.impressions["price"]], axis=1))
    dense = np.concatenate([rows.dense, money], axis=1)
    present = np.isfinite(dense)
    mean, scale = np.nanmean(dense[train], axis=0), np.nanstd(dense[train], axis=0) + 1e-6
    return np.concatenate([np.where(present, (dense - mean) / scale, 0.0), present], axis=1)


def conversions(rows: UserRows, known: Arrays, truth: Arrays, cut_us: int) -> dict[str, float]:
    """Base rate of the training clicks, and PCOC of the test day against the truth."""
    time_us, weight = rows.impressions["time_us"], known["conversion_weight"]
    test = time_us >= cut_us
    train = ~test & (known["click"] > 0) & (weight > 0)
    x = inputs(rows, ~test)
    model = LogisticRegression(C=0.1, max_iter=500)
    model.fit(x[train], known["conversion"][train], sample_weight=weight[train])
    place = np.searchsorted(truth["key"], rows.impressions["impression_key"][test])
    p_ctr, p_cvr = truth["p_ctr"][place], truth["p_cvr"][place]
    predicted = model.predict_proba(x[test])[:, 1]
    return {
        "clicks": float(weight[train].sum()),
        "conversions": float(known["conversion"][train].sum()),
        "base_cvr": float((weight * known["conversion"])[train].sum() / weight[train].sum()),
        "cvr_pcoc": float((p_ctr * predicted).sum() / (p_ctr * p_cvr).sum()),
    }


def click_auc(rows: UserRows, cut_us: int) -> float:
    """AUC of clicks of the test day."""
    test, click = rows.impressions["time_us"] >= cut_us, rows.impressions["click"]
    x = inputs(rows, ~test)
    model = LogisticRegression(C=0.1, max_iter=200).fit(x[~test], click[~test])
    return float(tied_auc(model.predict_proba(x[test])[:, 1], click[test]) or 0.0)


def show(document: dict[str, Any]) -> None:
    """Means over seeds beside those of `final`."""
    table = Table("rows", "base CVR / final", "CVR PCOC / final", "AUC of clicks - in time")
    for name in (*LABELS, *LATE):
        mine, final = (_of(document["rows"], which) for which in (name, "final"))
        ratios = [_told(mine[at] / final[at]) if at in mine else "" for at in ("base_cvr", "cvr_pcoc")]
        table.add_row(name, *ratios, _told(mine["auc"] - final["auc"]) if "auc" in mine else "")
    Console(width=150).print(table)


def _of(rows: list[dict[str, Any]], name: str) -> Arrays:
    mine = [row for row in rows if row["rows"] == name]
    return {figure: np.array([row[figure] for row in mine]) for figure in mine[0] if figure not in ("seed", "rows")}


def _told(values: np.ndarray) -> str:
    error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{values.mean():.4f} ± {error:.4f} ({', '.join(f'{value:.3f}' for value in values)})"


if __name__ == "__main__":
    main()
