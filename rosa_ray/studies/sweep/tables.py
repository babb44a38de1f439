"""A finished sweep as tables for a terminal: the front, and the winner against the config as it is."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

_NAMES = {
    "policy_roi": "policy ROI",
    "label_loss": "log loss of labels",
    "auc": "AUC",
    "ctcvr_auc": "CTCVR AUC",
    "calibration": "|log PCOC|",
    "policy_roi_share": "of random → oracle",
    "cvr_auc": "CVR AUC",
    "logloss": "log loss",
    "pcoc": "PCOC",
    "ctcvr_pcoc": "CTCVR PCOC",
    "true_auc": "AUC*",
    "true_cvr_auc": "CVR AUC*",
}


def sweep_tables(document: Mapping[str, Any]) -> list[Table]:
    """The front on the validation period, and both models on the test period."""
    return [front_table(document), verdict_table(document)]


def front_table(document: Mapping[str, Any]) -> Table:
    """Trials of the front, best in the first objective first, and the config as it is."""
    objectives = list(document["objectives"])
    trials = {trial["number"]: trial for trial in document["trials"]}
    sign = -1 if document["objectives"][objectives[0]] == "max" else 1
    front = sorted(document["front"], key=lambda number: sign * trials[number]["values"][objectives[0]])
    keys = [key.rpartition(".")[2] for key in document["space"]]
    table = Table("trial", *(_NAMES[name] for name in objectives), *keys, title="Pareto front, validation period")
    for number in dict.fromkeys([*front, document["default"]]):
        trial = trials[number]
        values = [_cell(trial["values"].get(name)) for name in objectives]
        table.add_row(_name(document, number), *values, *(_cell(value, "g") for value in trial["params"].values()))
    return table


def verdict_table(document: Mapping[str, Any]) -> Table:
    """The winner beside the config as it is, on the test period, calibrated."""
    test = document["test"]
    winner = test["winner"]
    names = [name for name in winner if name in _NAMES and not (name.startswith("true_") and winner[name] is None)]
    table = Table("test period", "winner", "config as it is", "gap")
    for name in names:
        mine, other = test["winner"][name], test["default"][name]
        gap = "" if mine is None or other is None else f"{mine - other:+.4f}"
        if name == "policy_roi" and test["policy_roi_gap"]:
            gap += " ({low:+.4f} … {high:+.4f})".format(**test["policy_roi_gap"])
        table.add_row(_NAMES[name], _cell(mine), _cell(other), gap)
    return table


def sweep_summary(document: Mapping[str, Any]) -> str:
    """One line: how many trials, how they ended, how long they took."""
    states = [trial["state"] for trial in document["trials"]]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("complete", "stopped", "failed"))
    took = " + ".join(f"{seconds:.0f} s" for seconds in document["sessions"])
    return f"{len(states)} trials: {counts}; {took}; front of {len(document['front'])}; winner: {document['rule']}"


def _name(document: Mapping[str, Any], number: int) -> str:
    roles = [("default", "config as it is"), ("winner", "winner")]
    role = ", ".join(words for key, words in roles if document[key] == number)
    return f"{number} ({role})" if role else str(number)


def _cell(value: Any, form: str = ".4f") -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return format(value, ".3g" if form == "g" else form)
    return "yes" if value is True else "no" if value is False else str(value)
