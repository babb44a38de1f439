"""Whether every row lies in the period it is said to be of, and features were fitted on the training period alone."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from rosa_ray.data.leakage.findings import LeakFinding
from rosa_ray.errors import InputError
from rosa_ray.features import FeatureState, FitSums, Split, SplitBounds, UserRows, dense_names
from rosa_ray.features.encoding import owners
from rosa_ray.units import DAY_US

AGAIN = "preprocess again"
CLOCKS = "check source.time_unit, source.time_zone and this machine's clock, and preprocess again"
NO_USE = "no impression can see them: check that both tables cover the same time, in the same zone"
PERIODS = {
    Split.TRAIN: ("training", Split.TRAIN),
    Split.VALID: ("validation", Split.VALID),
    Split.TEST: ("test", Split.TEST),
    Split.POLICY: ("policy", Split.TEST),
    Split.VALID_POLICY: ("validation policy", Split.VALID),
}
"""Name of each split, and the period that its impressions must lie in."""


@dataclass(frozen=True)
class Span:
    """What preprocessing said of time: the periods, and the first and last request."""

    bounds: SplitBounds
    start_us: int
    end_us: int


@dataclass
class PeriodCheck:
    """Counts rows that lie where they must not, block by block.

    Attributes:
        latest_us: a time after this one is of the future.
        counts: offending rows by what is wrong with them.
        keys, splits: impression keys and periods of every block.
    """

    span: Span
    latest_us: int
    counts: dict[str, int] = field(default_factory=dict)
    keys: list[np.ndarray] = field(default_factory=list)
    splits: list[np.ndarray] = field(default_factory=list)

    def update(self, rows: UserRows) -> None:
        """Add a block."""
        time_us, split = rows.impressions["time_us"], rows.impressions["split"]
        due = self.span.bounds.of(time_us)
        for code, (name, period) in PERIODS.items():
            wrong = (split == code) & (due != period)
            self._count(f"{name} impressions lie outside the {name} period", wrong)
        outside = (time_us < self.span.start_us) | (time_us > self.span.end_us)
        self._count("impressions lie outside the log's own span", outside & (split < Split.POLICY))
        self._count("impressions lie in the future", time_us > self.latest_us)
        event_us, owner = rows.events["time_us"], owners(rows.event_offsets)
        self._count("events lie in the future", event_us > self.latest_us)
        self._count("events lie more than a day after the log's end", event_us > self.span.end_us + DAY_US)
        self._count("events of a timeline are out of order", (np.diff(event_us) < 0) & (np.diff(owner) == 0))
        ranked = split != Split.UNKNOWN_AD
        self.keys.append(rows.impressions["impression_key"][ranked])
        self.splits.append(split[ranked])

    def findings(self) -> Iterator[LeakFinding]:
        """What was wrong in all blocks."""
        for what, count in self.counts.items():
            harmless = "after the log's end" in what
            yield LeakFinding(
                "periods",
                "warning" if harmless else "leak",
                "users",
                f"{count} {what} ({self._about(what)})",
                CLOCKS if "future" in what else NO_USE if harmless else AGAIN,
            )
        if shared := self._keys_of_two_periods():
            yield LeakFinding(
                "periods",
                "leak",
                "users",
                f"{shared} impressions are in two periods at once",
                'give every impression an id of its own, e.g. source.columns: {impressions: {impression_id: "#row"}}, '
                f"and {AGAIN}",
            )

    def _count(self, what: str, wrong: np.ndarray) -> None:
        if wrong.any():
            self.counts[what] = self.counts.get(what, 0) + int(wrong.sum())

    def _about(self, what: str) -> str:
        bounds = self.span.bounds
        if "future" in what:
            return f"after {_iso(self.latest_us)}"
        if "log's" in what:
            return f"{_iso(self.span.start_us)} to {_iso(self.span.end_us)}"
        return f"validation from {_iso(bounds.valid_us)}, test from {_iso(bounds.test_us)}"

    def _keys_of_two_periods(self) -> int:
        """Candidates may share keys with the shown ads of their own period, and with these alone."""
        period_of = np.array([period for _, (_, period) in sorted(PERIODS.items())])
        key, period = np.concatenate(self.keys), period_of[np.concatenate(self.splits)]
        order = np.lexsort((period, key))
        return int(((np.diff(key[order]) == 0) & (np.diff(period[order]) != 0)).sum())


@dataclass
class FitCheck:
    """Fits the features once more on the training period and compares."""

    state: FeatureState
    valid_us: int
    parts: list[FitSums] = field(default_factory=list)

    def update(self, rows: UserRows) -> None:
        """Add a block."""
        self.parts.append(FitSums.of(rows, self.valid_us, self.state.config))

    def findings(self) -> Iterator[LeakFinding]:
        """Where the stored features know more than the training period tells, or other things."""
        try:
            again = FeatureState.fit(self.parts, self.state.config, vectors=self.state.vectors)
        except InputError as error:
            yield self._finding("features", str(error))
            return
        for name, total in self.state.totals.items():
            if not np.isclose(total, again.totals[name], rtol=1e-9):
                seen = f"were fitted on {total:,.10g} {name}; the training period has {again.totals[name]:,.10g}"
                yield self._finding("features", seen)
        for table in self.state.vocabularies:
            known, due = (fit.vocabularies[table].keys for fit in (self.state, again))
            if extra := len(np.setdiff1d(known, due)):
                yield self._finding(
                    f"vocabulary {table}", f"{extra} of {len(known)} ids are not of the training period"
                )
        yield from self._scalers(again)

    def _scalers(self, again: FeatureState) -> Iterator[LeakFinding]:
        names = (*dense_names(self.state.config), "bid", "price")
        stored, due = (
            np.stack([np.r_[fit.dense_mean, fit.log_money_mean], np.r_[fit.dense_scale, fit.log_money_scale]])
            for fit in (self.state, again)
        )
        wrong = ~np.isclose(stored, due, rtol=1e-6, atol=1e-9).all(axis=0)
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            yield self._finding(
                f"scaler of {names[first]}",
                f"mean {stored[0, first]:.6g} and scale {stored[1, first]:.6g}, the training period gives "
                f"{due[0, first]:.6g} and {due[1, first]:.6g} ({int(wrong.sum())} of {len(names)} scalers differ)",
            )

    @staticmethod
    def _finding(where: str, message: str) -> LeakFinding:
        return LeakFinding("fitted on later periods", "leak", where, message, f"{AGAIN}, so that features fit the data")


def _iso(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="seconds")
