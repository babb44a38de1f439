"""Figures of a trial against the simulator's truth, as functions of how often each user was drawn."""

from collections.abc import Callable, Sequence

import numpy as np

from rosa_ray.arrays import Columns, Floats, Ints
from rosa_ray.errors import InputError
from rosa_ray.evaluation.true_metrics import HeadTruth, heads_of, true_metrics, true_rows
from rosa_ray.features import Split
from rosa_ray.metrics import excess_logloss, soft_auc_statistic

OVER_CANDIDATES = tuple(f"true_{head}{name}" for name in ("auc", "excess_logloss", "pcoc") for head in ("", "cvr_"))
OVER_SHOWN = ("true_shown_auc", "true_shown_cvr_auc")
"""Figures of a trial, by the rows that they are of; names as those of `true_metrics`."""

Figure = Callable[[Ints], float | None]


class TrueStatistics:
    """The test period of one trial: its candidates, where the log has them, and beside them what was shown.

    Args:
        files: its predictions.
        users: sorted keys of all users of the study's test period.
        log_dir: of the truth; without one every figure is None.

    Raises:
        InputError: the truth lacks an impression.
    """

    def __init__(self, files: Sequence[str], users: Ints, log_dir: str) -> None:
        self._figures: dict[str, Figure | None] = dict.fromkeys((*OVER_CANDIDATES, *OVER_SHOWN))
        rows, _ = true_rows(files, Split.TEST, log_dir)
        if rows is not None:
            for head in heads_of(rows):
                self._figures[f"true_{head.prefix}auc"] = _auc(head, rows, users)
                self._figures |= _sums(head, rows, users)
        shown, _ = true_rows(files, Split.TEST, log_dir, shown=True)
        if shown is not None:
            for head in heads_of(shown):
                self._figures[f"true_shown_{head.prefix}auc"] = _auc(head, shown, users)

    def __call__(self, drawn: Ints) -> dict[str, float | None]:
        """All figures of a draw, None where undefined."""
        return {name: figure(drawn) if figure else None for name, figure in self._figures.items()}


def truth_ceilings(files: Sequence[str], log_dir: str) -> dict[str, float | None]:
    """AUC* of the truth itself, under the names of the figures that it bounds; None without a truth."""
    found = true_metrics(files, Split.TEST, log_dir)
    names = (name for name in (*OVER_CANDIDATES, *OVER_SHOWN) if name.endswith("auc"))
    return {name: found[f"{name}_ceiling"] for name in names}


def _auc(head: HeadTruth, rows: Columns, users: Ints) -> Figure:
    sides = head.weight * head.truth, head.weight * (1 - head.truth)
    statistic, _ = soft_auc_statistic(head.scores, *sides, rows["user_key"])
    present = positions(users, np.unique(rows["user_key"]))
    return lambda drawn: statistic(drawn[present])


def _sums(head: HeadTruth, rows: Columns, users: Ints) -> dict[str, Figure | None]:
    row = positions(users, rows["user_key"])

    def per_user(values: Floats) -> Floats:
        sums: Floats = np.bincount(row, head.weight * values, len(users)).astype(np.float64)
        return sums

    expected, weight = per_user(head.truth), per_user(np.ones(len(row)))
    return {
        f"true_{head.prefix}excess_logloss": _ratio(per_user(excess_logloss(head.scores, head.truth)), weight),
        f"true_{head.prefix}pcoc": _ratio(per_user(head.scores), expected),
    }


def _ratio(above: Floats, below: Floats) -> Figure:
    def figure(drawn: Ints) -> float | None:
        total = float(drawn @ below)
        return float(drawn @ above) / total if total else None

    return figure


def positions(users: Ints, keys: Ints) -> Ints:
    """Place of each key among the users of a study.

    Raises:
        InputError: one is not among them.
    """
    row = np.minimum(np.searchsorted(users, keys), len(users) - 1)
    if (users[row] != keys).any():
        raise InputError("a trial holds other users than the study's other trials; remove the study and run again")
    return row
