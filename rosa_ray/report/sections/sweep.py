"""A sweep: its trials in parallel coordinates, the Pareto front, what mattered, and the winner on the test period."""

from collections.abc import Mapping, Sequence
from typing import Any

from rosa_ray.report.blocks import figure, figures, fold, missing, table, tiles
from rosa_ray.report.charts import (
    Axis,
    Row,
    Series,
    Thread,
    line_chart,
    linear_axis,
    parallel_chart,
    row_chart,
)
from rosa_ray.report.markup import Child, Markup, tag
from rosa_ray.report.numbers import MISSING, count, is_number, number, plain
from rosa_ray.report.run_files import RunFiles

TITLE, ORDER = "The sweep", 75
GOAL_NAMES = {
    "policy_roi": "policy ROI",
    "label_loss": "log loss of labels",
    "auc": "AUC",
    "ctcvr_auc": "CTCVR AUC",
    "calibration": "|log PCOC|",
}
_TEST = {
    "policy_roi": "policy ROI",
    "policy_roi_share": "of random → oracle",
    "auc": "AUC",
    "cvr_auc": "CVR AUC",
    "ctcvr_auc": "CTCVR AUC",
    "logloss": "log loss",
    "pcoc": "PCOC",
    "ctcvr_pcoc": "CTCVR PCOC",
    "true_auc": "AUC*",
    "true_cvr_auc": "CVR AUC*",
}
_OTHER, _FRONT, _DEFAULT, _WINNER = "other trials", "Pareto front", "config as it is", "winner"
_STYLES = {_OTHER: 0, _FRONT: 1, _DEFAULT: 3, _WINNER: 2}

SweepDocument = Mapping[str, Any]
TrialDocument = Mapping[str, Any]


def render(run: RunFiles) -> Child:
    """Tiles, parallel coordinates, fronts, importances, tables."""
    sweep = run.sweep
    if sweep is None:
        return missing("A sweep over task weights and other settings is", run.command("tune"))
    complete = [trial for trial in sweep["trials"] if trial["state"] == "complete"]
    return [
        _tiles(sweep),
        tag("p", _words(sweep)),
        figures(_parallel(sweep, complete), *_fronts(sweep, complete), *_importances(sweep)),
        tag("h3", "On the test period"),
        _test(sweep["test"]),
        fold("Every trial", _trials(sweep)),
    ]


def _tiles(sweep: SweepDocument) -> Markup:
    states = [trial["state"] for trial in sweep["trials"]]
    ended = ", ".join(f"{states.count(state)} {state}" for state in ("complete", "stopped", "failed"))
    seconds, sessions = sum(sweep["sessions"]), len(sweep["sessions"])
    pieces = [("Trials", count(len(states)), ended)]
    pieces.append(("Time", f"{number(seconds / 60, 1)} min", f"in {sessions} session{'s' if sessions > 1 else ''}"))
    for name in sweep["objectives"]:
        mine, other = (_values(sweep, sweep[role]).get(name) for role in ("winner", "default"))
        pieces.append(
            (f"Winner’s {GOAL_NAMES[name]}", number(mine, 3), f"{number(other, 3)} as configured, validation")
        )
    return tiles(pieces)


def _words(sweep: SweepDocument) -> str:
    settings = ", ".join(
        f"{_short(key)} {_setting(value)}" for key, value in _trial(sweep, sweep["winner"])["params"].items()
    )
    means = sweep["policy_value_means"]
    meaning = f"Policy ROI is the {means}. " if means else ""
    if "label_loss" in sweep["objectives"]:
        meaning += "Log loss of labels is that of clicks plus that of conversions, both per impression. "
    return (
        f"{meaning}Trials were stopped early by {sweep['metric']}. "
        f"Winner: {sweep['rule']}. That is trial {sweep['winner']}: {settings}."
    )


def _parallel(sweep: SweepDocument, complete: Sequence[TrialDocument]) -> Markup | None:
    axes = {key: _param_axis(key, spec) for key, spec in sweep["space"].items()}
    goals = {
        name: _ends(linear_axis(GOAL_NAMES[name], [t["values"][name] for t in complete])) for name in _goals(sweep)
    }
    threads = [
        Thread(
            role,
            f"trial {trial['number']}",
            [
                *(_place(axis, sweep["space"][key], trial["params"][key]) for key, axis in axes.items()),
                *(float(axis.place(trial["values"][name])) for name, axis in goals.items()),
            ],
            _STYLES[role],
        )
        for role, trial in _by_role(sweep, complete)
    ]
    words = "A line per finished trial through its settings, left, and what it reached, right."
    chart = parallel_chart(
        "Settings and objectives of every finished trial.", [*axes.values(), *goals.values()], threads
    )
    return figure("Settings and what came of them", chart, words)


def _fronts(sweep: SweepDocument, complete: Sequence[TrialDocument]) -> list[Markup]:
    first, *others = _goals(sweep)
    return [_front(sweep, complete, first, other) for other in others]


def _front(sweep: SweepDocument, complete: Sequence[TrialDocument], first: str, other: str) -> Markup:
    roles = _by_role(sweep, complete)
    groups = {
        role: [trial["values"] for one, trial in roles if one == role]
        for role in (_OTHER, _FRONT, _DEFAULT, _WINNER)
        if any(one == role for one, _ in roles)
    }
    series = [
        Series(role, [v[other] for v in values], [v[first] for v in values], _STYLES[role], mark=True, joined=False)
        for role, values in groups.items()
    ]
    x, y = (linear_axis(GOAL_NAMES[name], [trial["values"][name] for trial in complete]) for name in (other, first))
    better = {name: "higher" if sweep["objectives"][name] == "max" else "lower" for name in (first, other)}
    note = f"Validation period. Better is {better[first]} {GOAL_NAMES[first]} and {better[other]} {GOAL_NAMES[other]}."
    title = f"{_capital(GOAL_NAMES[first])} against {GOAL_NAMES[other]}"
    return figure(title, line_chart(f"{title} of every finished trial.", x, y, series), note)


def _importances(sweep: SweepDocument) -> list[Markup]:
    charts = []
    for name, shares in sweep["importance"].items():
        if not shares:
            continue
        order = sorted(shares, key=lambda key: -shares[key])
        rows = [Row(_short(key), shares[key], number(shares[key], 2)) for key in order]
        chart = row_chart(
            f"Importance of each setting for {GOAL_NAMES[name]}.", linear_axis("share", low=0, high=1), rows, 0
        )
        note = "Share of the variance that each setting explains (fANOVA); rough with few trials."
        charts.append(figure(f"What moved {GOAL_NAMES[name]}", chart, note))
    return charts


def _test(test: Mapping[str, Any]) -> list[Markup]:
    winner = test["winner"]
    names = [name for name in _TEST if name in winner and (not name.startswith("true_") or is_number(winner[name]))]
    rows = [
        [_TEST[name], *(number(test[role][name]) for role in ("winner", "default")), _gap(test, name)] for name in names
    ]
    words = "Measured after the winner was chosen; calibrated scores. Gap of policy ROI: 95 % over users."
    return [
        table("Winner and config as it is", ["Metric", "Winner", "Config as it is", "Gap"], rows),
        tag("p", words, class_="note"),
    ]


def _gap(test: Mapping[str, Any], name: str) -> str:
    mine, other = test["winner"][name], test["default"][name]
    gap = number(mine - other) if is_number(mine) and is_number(other) else MISSING
    limits = test.get("policy_roi_gap") if name == "policy_roi" else None
    return f"{gap} ({number(limits['low'])} … {number(limits['high'])})" if limits else gap


def _trials(sweep: SweepDocument) -> Markup:
    keys, goals = list(sweep["space"]), _goals(sweep)
    head = ["Trial", "State", *(GOAL_NAMES[name] for name in goals), *map(_short, keys), "Epochs", "Seconds"]
    rows = [
        [
            str(trial["number"]),
            trial["error"] or trial["state"],
            *(number(trial["values"].get(name)) for name in goals),
            *(_setting(trial["params"].get(key)) for key in keys),
            count(trial["epochs"]),
            number(trial["seconds"], 0),
        ]
        for trial in sweep["trials"]
    ]
    return table("Trials", head, rows, words=(1,))


def _goals(sweep: SweepDocument) -> list[str]:
    return list(sweep["objectives"])


def _by_role(sweep: SweepDocument, trials: Sequence[TrialDocument]) -> list[tuple[str, TrialDocument]]:
    """Trials with their roles, the most important last."""
    roles = [(_role(sweep, trial["number"]), trial) for trial in trials]
    return sorted(roles, key=lambda pair: list(_STYLES).index(pair[0]))


def _role(sweep: SweepDocument, trial: int) -> str:
    if trial == sweep["winner"]:
        return _WINNER
    return _DEFAULT if trial == sweep["default"] else _FRONT if trial in sweep["front"] else _OTHER


def _trial(sweep: SweepDocument, wanted: int) -> TrialDocument:
    return next(trial for trial in sweep["trials"] if trial["number"] == wanted)


def _values(sweep: SweepDocument, wanted: int) -> Mapping[str, Any]:
    return dict(_trial(sweep, wanted)["values"])


def _short(key: str) -> str:
    return {"learning_rate": "rate"}.get(name := key.rpartition(".")[2], name)


def _param_axis(key: str, spec: Mapping[str, Any]) -> Axis:
    kind, values = next(iter(spec.items()))
    if kind == "choice":
        last = max(len(values) - 1, 1)
        return Axis(_short(key), 0, last, tuple((float(at), plain(value)) for at, value in enumerate(values)))
    low, high = map(float, values)
    return Axis(_short(key), low, high, ((low, f"{low:g}"), (high, f"{high:g}")), "log" if kind == "log" else "linear")


def _ends(axis: Axis) -> Axis:
    return Axis(axis.label, axis.low, axis.high, (axis.ticks[0], axis.ticks[-1]), axis.scale)


def _place(axis: Axis, spec: Mapping[str, Any], value: Any) -> float:
    choices = spec.get("choice")
    return float(axis.place(choices.index(value) if choices is not None else value))


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _setting(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else plain(value)
