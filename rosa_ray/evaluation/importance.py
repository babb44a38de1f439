"""What each input is worth to a fitted model: how much worse a head gets when the input is permuted.

The labelled impressions of a sample are scored as they are, then with one input at a time exchanged between all of
them, several times. What is lost is the importance; it is in the model's own terms, and says nothing about causes.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import xxhash
from rich.table import Table
from torch import Tensor, nn

from rosa_ray.arrays import Columns, Floats
from rosa_ray.calibration import Calibration
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.evaluation.predictions import prediction_columns
from rosa_ray.evaluation.scoring import UserScorer
from rosa_ray.features import EncodedUsers
from rosa_ray.features.encoding import owners
from rosa_ray.features.input_fields import Field
from rosa_ray.inference import predict
from rosa_ray.metrics import (
    LEAST_POSITIVES,
    LEAST_USERS,
    LOGLOSS_EPS,
    BootstrapConfig,
    Draws,
    Interval,
    Statistic,
    auc_statistic,
    conversion_weights,
    logit_bins,
    mean_statistic,
)
from rosa_ray.words import counted, one_class_reason

Finding = Literal["matters", "within chance", "harms"]
Readings = dict[str, dict[str, Floats]]
"""Of one scoring: per head and measure the values in the sample and in every draw, (B + 1,)."""

Scoring = tuple[str | None, int]
"""The field that is permuted, None for none, and which of the repeats it is."""

MEASURES = {"auc": "auc_lost", "logloss": "logloss_added", "log_error": "log_error_added"}
"""Measures, and what their change is called; of all a larger change is worse. A head's first one decides."""

PROBABILITIES = ("auc", "logloss")
_AUC = "auc"


@dataclass(frozen=True)
class HeadRows:
    """The rows that a head is judged on, of m impressions in all.

    Attributes:
        row, positive: what is counted, in the singular.
        kept: rows of the head, bool (m,).
        labels: 0 or 1, or for `value` log revenue, (m,).
        weights: impressions that each row stands for, (m,).
    """

    name: str
    row: str
    positive: str
    score: str
    kept: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    user_key: np.ndarray
    measures: tuple[str, ...] = PROBABILITIES

    @property
    def rows(self) -> int:
        """Rows of the head."""
        return int(self.kept.sum())

    @property
    def positives(self) -> int:
        """Positive rows; of `value` all rows."""
        return int(self.labels[self.kept].sum()) if _AUC in self.measures else self.rows

    @property
    def users(self) -> int:
        """Users of the rows."""
        return len(np.unique(self.user_key[self.kept]))

    @property
    def undefined(self) -> str | None:
        """Why nothing can be said; None where it can."""
        reason = one_class_reason(self.rows, self.positives, self.row, self.positive) if _AUC in self.measures else None
        if reason or not self.rows:
            return reason or f"no {self.row}"
        if self.positives < LEAST_POSITIVES:
            return f"{counted(self.positives, self.positive)}, an interval needs {LEAST_POSITIVES}"
        return f"{counted(self.users, 'user')}, an interval needs {LEAST_USERS}" if self.users < LEAST_USERS else None

    def statistics(self, scores: Columns) -> dict[str, Statistic]:
        """Every measure of the head's scores as a statistic of its drawn users."""
        kept = self.kept
        score, label, user_key, weights = (
            scores[self.score][kept],
            self.labels[kept],
            self.user_key[kept],
            self.weights[kept],
        )
        if _AUC not in self.measures:
            return {"log_error": mean_statistic((np.log(score) - label) ** 2, user_key, weights)[0]}
        clipped = np.clip(score, LOGLOSS_EPS, 1 - LOGLOSS_EPS)
        loss = -np.where(label == 1, np.log(clipped), np.log1p(-clipped))
        return {
            "auc": auc_statistic(logit_bins(score), label, user_key, weights)[0],
            "logloss": mean_statistic(loss, user_key, weights)[0],
        }


def heads_of(sample: EncodedUsers) -> list[HeadRows]:
    """The four heads over labelled impressions; no permutation moves their rows and labels."""
    columns = prediction_columns(sample, {})
    click, conversion = np.asarray(columns["click"]) == 1, np.asarray(columns["conversion"]) == 1
    shown, bought = columns["weight"], conversion_weights(columns, len(click))
    known, user_key, paid = bought > 0, columns["user_key"], columns["revenue"] > 0
    both = click & conversion
    revenue = np.log(np.where(paid, columns["revenue"], 1.0))
    everything = np.ones(len(click), bool)
    return [
        HeadRows("clicks", "impression", "click", "p_ctr", everything, click, shown, user_key),
        HeadRows("conversions", "click", "conversion", "p_cvr", known & click, conversion, bought, user_key),
        HeadRows("click and conversion", "impression", "conversion", "p_ctcvr", known, both, bought, user_key),
        HeadRows(
            "value",
            "conversion with revenue",
            "conversion with revenue",
            "value",
            known & both & paid,
            revenue,
            bought,
            user_key,
            ("log_error",),
        ),
    ]


@dataclass(frozen=True)
class PermutationScorer:
    """Scores a sample as it is, or with an input permuted.

    Attributes:
        calibration: of the bundle; scores are measured as they are served.
        sample: labelled impressions and the events before them, see `ordered`.
    """

    scorer: UserScorer
    calibration: Calibration
    sample: EncodedUsers
    config: EvaluationConfig

    def read(self, field: Field | None, repeat: int) -> Readings:
        """Every defined head's measures with a field permuted for the given time, or with none."""
        rng = np.random.default_rng([self.config.importance_seed, repeat])
        once = nullcontext() if field and field.moves_timelines else _encoding_once(self.scorer.ranker, self._states)
        with once:
            scores = self.scores(field.permute(self.sample, rng) if field else self.sample)
        return {
            head.name: {name: draws.values(statistic) for name, statistic in head.statistics(scores).items()}
            for head, draws in self._drawn
        }

    def scores(self, users: EncodedUsers) -> Columns:
        """Calibrated scores of all impressions."""
        scorer = self.scorer
        raw = predict(scorer.ranker, users, scorer.users_per_batch, scorer.device)
        return self.calibration.apply({**raw, "price": users.impressions["price"]})

    @cached_property
    def _states(self) -> dict[int, Tensor]:
        return {}

    @cached_property
    def _drawn(self) -> list[tuple[HeadRows, Draws]]:
        return [(head, draws_of(head, self.config)) for head in heads_of(self.sample) if not head.undefined]


@contextmanager
def _encoding_once(ranker: nn.Module, states: dict[int, Tensor]) -> Iterator[None]:
    """Within it a ranker encodes equal timelines once: `states` holds what it has encoded, by a digest of the events.

    Encoding takes most of the time of a scoring, and a permuted impression has the timeline that it had.
    """
    encode = getattr(ranker, "encode", None)
    if encode is None:
        yield
        return

    def known(events: Mapping[str, Tensor]) -> Tensor:
        key = _digest(events)
        if key not in states:
            states[key] = encode(events)
        return states[key]

    vars(ranker)["encode"] = known
    try:
        yield
    finally:
        del vars(ranker)["encode"]


def _digest(events: Mapping[str, Tensor]) -> int:
    digest = xxhash.xxh3_64()
    for name, tensor in events.items():
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.intdigest()


def draws_of(head: HeadRows, config: EvaluationConfig) -> Draws:
    """The draws of a head's users, the same in every process."""
    drawing = BootstrapConfig(replicates=config.importance_replicates, seed=config.importance_seed)
    return Draws.of(head.users, config.importance_repeats, drawing)


def ordered(users: EncodedUsers) -> EncodedUsers:
    """The same users in an order of their own, so that no permutation depends on the order of files."""
    first = users.impressions["impression_key"][users.impression_offsets[:-1]]
    return users.take(np.lexsort((first, users.user_key)))


def of_period(users: EncodedUsers, start_us: int, end_us: int, context: int) -> EncodedUsers:
    """The events that impressions from `start_us` to `end_us` can see, whoever they belong to.

    Args:
        context: events before an impression that its score can depend on.
    """
    time_us, owner = users.events["time_us"], owners(users.event_offsets)
    position = np.arange(len(owner)) - users.event_offsets[owner]
    before = np.bincount(owner[time_us < start_us], minlength=len(users))
    kept = (position >= (before - context)[owner]) & (time_us < end_us)
    return users.keep_events(kept)


def scorings(names: Sequence[str], config: EvaluationConfig) -> list[Scoring]:
    """What is to be scored: the sample as it is, then each field as often as it is permuted."""
    return [(None, 0), *((name, repeat) for name in names for repeat in range(config.importance_repeats))]


def heads_document(
    sample: EncodedUsers, names: Sequence[str], readings: Mapping[Scoring, Readings], config: EvaluationConfig
) -> dict[str, Any]:
    """What each field is worth to each head, ready for JSON.

    Args:
        readings: of all `scorings`, from `PermutationScorer.read`.

    Returns:
        By head `rows`, `positives` and `users`; `measure`, the one that decides; `undefined`, why nothing can be said,
        or None; `baseline`, the measures as they are; and `fields`: by field `mean`, `low` and `high` of what each
        measure loses, and `finding`.
    """
    after = {name: [readings[name, repeat] for repeat in range(config.importance_repeats)] for name in names}
    return {
        head.name: _undefined_head(head) if head.undefined else _head(head, readings[None, 0], after, config)
        for head in heads_of(sample)
    }


def _undefined_head(head: HeadRows) -> dict[str, Any]:
    return {**_counts(head), "undefined": head.undefined, "baseline": {}, "fields": {}}


def finding_of(change: Interval | None) -> Finding | None:
    """Whether the model needs a field, by the interval of what is lost without it."""
    if change is None:
        return None
    return "matters" if change.low > 0 else "harms" if change.high < 0 else "within chance"


def _head(
    head: HeadRows, before: Readings, after: Mapping[str, Sequence[Readings]], config: EvaluationConfig
) -> dict[str, Any]:
    signs = {name: -1.0 if name == _AUC else 1.0 for name in head.measures}
    draws, fields = draws_of(head, config), {}
    for field, repeats in after.items():
        changes = {
            name: draws.change(
                sign * before[head.name][name], sign * np.stack([one[head.name][name] for one in repeats])
            )
            for name, sign in signs.items()
        }
        figures = {MEASURES[name]: _figures(change) for name, change in changes.items()}
        fields[field] = {**figures, "finding": finding_of(changes[head.measures[0]])}
    baseline = {name: float(before[head.name][name][0]) for name in head.measures}
    return {**_counts(head), "undefined": None, "baseline": baseline, "fields": fields}


def _counts(head: HeadRows) -> dict[str, Any]:
    return {"rows": head.rows, "positives": head.positives, "users": head.users, "measure": MEASURES[head.measures[0]]}


def _figures(change: Interval | None) -> dict[str, float] | None:
    return None if change is None else {"mean": change.estimate, "low": change.low, "high": change.high}


def importance_tables(document: Mapping[str, Any], *, every: bool = False) -> list[Table]:
    """The fields of a head by falling importance, for a terminal.

    Args:
        every: of all heads; else of the first one that is defined.
    """
    defined = {name: head for name, head in document["heads"].items() if head["fields"]}
    return [_table(name, head) for name, head in (defined if every else dict([*defined.items()][:1])).items()]


def importance_lines(document: Mapping[str, Any]) -> list[str]:
    """Lines below the tables: what was scored, and of which heads nothing can be said."""
    fields = max(len(head["fields"]) for head in document["heads"].values())
    said = (
        f"importance: {counted(fields, 'field')} permuted {counted(document['repeats'], 'time')} in "
        f"{document['rows']:,} of {counted(document['of_rows'], 'test impression')} "
        f"({counted(document['users'], 'user')}), {document['seconds']:.1f} s"
    )
    undefined = [
        f"importance for {name}: {head['undefined']}" for name, head in document["heads"].items() if not head["fields"]
    ]
    return [said, *undefined]


def by_importance(head: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Fields of a head with their figures, the most important first."""
    found = [(name, figures) for name, figures in head["fields"].items() if figures[head["measure"]]]
    return sorted(found, key=lambda field: (-field[1][head["measure"]]["mean"], field[0]))


def _table(name: str, head: Mapping[str, Any]) -> Table:
    names = [name for name in MEASURES.values() if name in next(iter(head["fields"].values()))]
    columns = [column for measure in names for column in (measure.replace("_", " "), "95 %")]
    table = Table("field", "finding", *columns, title=f"{name}: what is lost without a field")
    for field, figures in by_importance(head):
        cells = [cell for measure in names for cell in _cells(figures[measure])]
        table.add_row(field, figures["finding"], *cells)
    return table


def _cells(figures: Mapping[str, float] | None) -> tuple[str, str]:
    if figures is None:
        return "–", "–"
    mean, low, high = (f"{round(figures[name], 4) + 0.0:.4f}" for name in ("mean", "low", "high"))
    return mean, f"{low} to {high}"
