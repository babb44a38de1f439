"""Declared columns of users, items and ads that know the future: totals of the very log that is learned from.

A column that says how much a user clicked in the whole log is there from the first request on. It predicts clicks well
offline, and nothing of the kind is known online. Its AUC need not be high: most of it is what users are like anyway.

So the log is cut in two. A column as it was read before the cut is compared with what came after, and so is what the
things themselves did before the cut. If a column tells only what a thing is like, its past tells it too. Let r be the
rank correlation of the column with what came after, and p that of the past. Where both only mirror what a thing is like
and the halves are alike, p is at least r²; so r² far above p means that the column saw what came after.

The rank correlation is Spearman's. Shape legend: E things.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from rosa_ray.data.leakage.findings import KNOWN_THEN, LeakFinding
from rosa_ray.data.leakage.ranks import rank_correlation
from rosa_ray.features import Split, UserRows
from rosa_ray.features.encoding import owners
from rosa_ray.features.own import ColumnConfigs, row_columns
from rosa_ray.features.versions import Versions
from rosa_ray.schema.own_columns import ENTITIES, REQUEST, prefix_of

LEAST_THINGS = 50
"""Things with impressions before and after the cut that a verdict needs, and different ones of them that clicked."""

MARGIN, ERRORS = 0.03, 3
"""By how much r² may exceed p, and by how many standard errors of their difference more."""

REPLICATES, MOST_THINGS = 50, 5_000
"""Bootstrap replicates over things that the error is found with, and things that are judged at most."""

MOST_VALUES = 50
"""Categories of more values are not judged: their means would be chance."""

OUTCOMES = ("clicks", "conversions")


@dataclass
class ForesightCheck:
    """Compares declared columns with what came after they were read, block by block.

    Attributes:
        cut_us: middle of the labelled period.
        seen: by prefix, of every block the keys, times, outcomes and columns of its labelled impressions.
    """

    configs: ColumnConfigs
    cut_us: int
    seen: dict[str, list[dict[str, np.ndarray]]] = field(default_factory=dict)

    def update(self, rows: UserRows) -> None:
        """Add a block."""
        shown = rows.impressions
        kept = np.flatnonzero(shown["split"] <= Split.VALID)
        user_key = rows.user_key[owners(rows.impression_offsets)]
        for prefix, columns in self._judged().items():
            key = user_key if ENTITIES[prefix] == "user_key" else shown[ENTITIES[prefix]]
            block = {"key": key[kept], **{name: shown[name][kept] for name in ("time_us", "click", "conversion")}}
            self.seen.setdefault(prefix, []).append(block | {name: shown[name][kept] for name in columns})

    def findings(self) -> Iterator[LeakFinding]:
        """Columns that tell more of what came after than the things' own past could."""
        for prefix, blocks in self.seen.items():
            seen = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
            for name in self._judged()[prefix]:
                yield from _judge(name, seen, self.configs[name].type, self.cut_us)

    def _judged(self) -> dict[str, list[str]]:
        judged: dict[str, list[str]] = {}
        for name, config in row_columns(self.configs).items():
            if prefix_of(name) != REQUEST and config.type in ("number", "category"):
                judged.setdefault(prefix_of(name), []).append(name)
        return judged


def check_static(things: Mapping[str, Versions], start_us: int) -> Iterator[LeakFinding]:
    """Findings on static columns whose value changed while the log ran: requests before read what came after.

    Args:
        things: versions by prefix, of all that the log knows.
        start_us: the log's first request.
    """
    for versions in things.values():
        same_key = versions.key[1:] == versions.key[:-1]
        later = same_key & (versions.from_us[1:] > start_us)
        for name in (name for name, config in versions.configs.items() if config.clock == "static"):
            values = versions.columns[name].reshape(len(versions.key), -1)
            differ = later & ~((values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))).all(axis=1)
            if differ.any():
                changed = len(np.unique(versions.key[1:][differ]))
                yield LeakFinding(
                    "knows the future",
                    "leak",
                    name,
                    f"is static, though {changed} of {len(np.unique(versions.key))} {prefix_of(name)[:-1]}s changed it "
                    "while the log ran, so that requests read what came after them",
                    f"set features.columns: {{{name}: {{clock: valid_from}}}}, or " + KNOWN_THEN.format(name=name),
                )


def _judge(name: str, seen: Mapping[str, np.ndarray], kind: str, cut_us: int) -> Iterator[LeakFinding]:
    keys, place = np.unique(seen["key"], return_inverse=True)
    early = seen["time_us"] < cut_us
    requests = [np.bincount(place[half], minlength=len(keys)) for half in (early, ~early)]
    both = (requests[0] > 0) & (requests[1] > 0)
    read = np.zeros(len(keys), np.int64)
    order = np.flatnonzero(early)[np.argsort(seen["time_us"][early], kind="stable")]
    read[place[order]] = order
    values = seen[name][read]
    for outcome, label in zip(OUTCOMES, (seen["click"], seen["click"] * seen["conversion"]), strict=True):
        past, after = (np.bincount(place[half], label[half], minlength=len(keys)) for half in (early, ~early))
        chosen = np.flatnonzero(both & (np.isfinite(values) if kind == "number" else True))
        # Keys are hashes, so that the first ones are as good as drawn.
        chosen = chosen[:MOST_THINGS]
        if len(chosen) < LEAST_THINGS or (after[chosen] > 0).sum() < LEAST_THINGS:
            continue
        # Rates, so that how often a thing was asked for tells nothing.
        rate = after[chosen] / requests[1][chosen]
        told = values[chosen] if kind == "number" else _means_of_others(values[chosen], rate)
        if told is None:
            continue
        before = past[chosen] / requests[0][chosen]
        r, p = rank_correlation(told, rate), rank_correlation(before, rate)
        if r * r > p + MARGIN + ERRORS * _error(told, before, rate):
            yield LeakFinding(
                "knows the future",
                "leak",
                name,
                f"as read before the middle of the labelled period, goes with the rate of {outcome} after it (rank "
                f"correlation {r:.2f} over {len(chosen)} {prefix_of(name)[:-1]}s), more than their own past does "
                f"({p:.2f})",
                KNOWN_THEN.format(name=name),
            )


def _error(told: np.ndarray, before: np.ndarray, rate: np.ndarray) -> float:
    """Standard error of r² - p, by drawing things anew."""
    rng = np.random.default_rng(0)
    draws = (rng.integers(0, len(rate), len(rate)) for _ in range(REPLICATES))
    gaps = [rank_correlation(told[at], rate[at]) ** 2 - rank_correlation(before[at], rate[at]) for at in draws]
    return float(np.std(gaps))


def _means_of_others(values: np.ndarray, rate: np.ndarray) -> np.ndarray | None:
    """The mean rate of each category, learned from the other half of the things; None of too many categories."""
    known, place = np.unique(values, return_inverse=True)
    if len(known) > MOST_VALUES:
        return None
    told = np.empty(len(values))
    odd = np.arange(len(values)) % 2 == 1
    for half in (odd, ~odd):
        counts = np.bincount(place[~half], minlength=len(known))
        sums = np.bincount(place[~half], rate[~half], minlength=len(known))
        told[half] = np.where(counts > 0, sums / np.maximum(counts, 1), rate[~half].mean())[place[half]]
    return told
