"""Which ads a request ranks: those that it names, or all that can be shown, as they are at its time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.features.live_catalogue import NO_ROW, LiveCatalogue
from rosa_ray.features.views import CATALOGUE_KEYS
from rosa_ray.serving.api import Candidate, Problem, RankRequest
from rosa_ray.serving.first_pass import FirstPass


@dataclass(frozen=True)
class Refused:
    """Ids of candidates that a request names and that are not ranked.

    Attributes:
        unknown: the catalogue lacks them, or does not know their bid and price yet.
        ended: their end had passed.
        paused: they were paused.
        off_target: they are for other devices or regions.
    """

    unknown: Sequence[str] = ()
    ended: Sequence[str] = ()
    paused: Sequence[str] = ()
    off_target: Sequence[str] = ()

    def in_words(self) -> str:
        """Say how many there are of each kind.

        >>> Refused(ended=["a1"], paused=["a2", "a3"]).in_words()
        '1 ended, 2 paused'
        """
        kinds = {"unknown": "unknown", "ended": "ended", "paused": "paused", "off_target": "for others"}
        return ", ".join(f"{len(getattr(self, name))} {words}" for name, words in kinds.items() if getattr(self, name))


@dataclass(frozen=True)
class Candidates:
    """The N ads that a request ranks, copied from the catalogue.

    Attributes:
        ad_id: object (N,) of str.
        ads: `CATALOGUE_KEYS` and price, (N,) each, as of the request.
        bid: float64 (N,), currency units: that of the request, or else of the ad.
        trained: bool (N,), whether the table of the bundle has the ad; the model did not learn from others.
        refused: those that the request names beside them.
        first_pass: how many could be shown and whether counters chose among them; None where all of them are ranked.
    """

    ad_id: np.ndarray
    ads: Columns
    bid: np.ndarray
    trained: np.ndarray
    refused: Refused = Refused()
    first_pass: dict[str, int | bool] | None = None

    @property
    def keys(self) -> Columns:
        """What the catalogue tells of each."""
        return {name: self.ads[name] for name in CATALOGUE_KEYS}

    @classmethod
    def of(cls, catalogue: LiveCatalogue, numbers: np.ndarray, rows: np.ndarray) -> "Candidates":
        """Copy rows of ads."""
        ads = {name: getattr(catalogue, name)[rows] for name in (*CATALOGUE_KEYS, "price")}
        return cls(catalogue.ids(numbers), ads, catalogue.bid[rows], numbers < catalogue.in_table)


def choose(
    catalogue: LiveCatalogue, first_pass: FirstPass, request: RankRequest, time_us: int, most: int
) -> Candidates:
    """Choose the ads of a request.

    Args:
        most: candidates that a request may name.

    Raises:
        Problem: 422, it names too many or one twice, or none of them, or no ad at all, can be shown.
    """
    with catalogue.lock:
        if request.candidates is None:
            return _choose_shown(catalogue, first_pass, request, time_us, most)
        return _choose_named(catalogue, request.candidates, request, time_us, most)


def _choose_shown(
    catalogue: LiveCatalogue, first_pass: FirstPass, request: RankRequest, time_us: int, most: int
) -> Candidates:
    numbers = catalogue.active(time_us)
    if not len(numbers):
        raise Problem(422, f"none of the {len(catalogue)} ads of the catalogue has begun and not ended")
    rows = catalogue.rows_at(numbers, time_us)
    if len(catalogue.targets) > 1:
        met = _meets(catalogue, request, rows)
        numbers, rows = numbers[met], rows[met]
        if not len(numbers):
            raise Problem(422, f"none of the {len(met)} ads that run is for the device and region of the request")
    if len(numbers) <= most:
        return Candidates.of(catalogue, numbers, rows)
    chosen = first_pass.choose(numbers, time_us)
    candidates = Candidates.of(catalogue, chosen, catalogue.rows_at(chosen, time_us))
    passed: dict[str, int | bool] = {"eligible": len(numbers), "ranked": len(chosen), "counted": first_pass.counted}
    return replace(candidates, first_pass=passed)


def _choose_named(
    catalogue: LiveCatalogue, given: Sequence[str | Candidate], request: RankRequest, time_us: int, most: int
) -> Candidates:
    if len(given) > most:
        raise Problem(422, f"the request has {len(given)} ads, at most {most} are ranked in one request")
    ids = [one.ad_id if isinstance(one, Candidate) else one for one in given]
    if len(set(ids)) < len(ids):
        raise Problem(422, "candidates name an ad more than once")
    numbers = np.array([-1 if (number := catalogue.number(ad_id)) is None else number for ad_id in ids])
    rows = np.full(len(ids), NO_ROW)
    rows[numbers >= 0] = catalogue.rows_at(numbers[numbers >= 0], time_us)
    known = rows != NO_ROW
    if not known.any():
        raise Problem(422, f"none of the {len(ids)} candidates is in the catalogue of {len(catalogue)} ads")
    paused = known & catalogue.paused[rows]
    ended = known & ~paused & (time_us >= catalogue.until_us[rows])
    shown = known & ~paused & ~ended
    shown[shown] = _meets(catalogue, request, rows[shown])
    off_target = known & ~paused & ~ended & ~shown
    refused = Refused(*(_named(ids, which) for which in (~known, ended, paused, off_target)))
    if not shown.any():
        if ended.sum() == known.sum():
            raise Problem(422, f"all {known.sum()} candidates in the catalogue have ended")
        raise Problem(422, f"none of the {len(ids)} candidates can be shown: {refused.in_words()}")
    candidates = Candidates.of(catalogue, numbers[shown], rows[shown])
    own = [one.bid if isinstance(one, Candidate) else None for one in given]
    bids = zip(candidates.bid.tolist(), _at(own, shown), strict=True)
    return replace(candidates, bid=np.array([ads if said is None else said for ads, said in bids]), refused=refused)


def _meets(catalogue: LiveCatalogue, request: RankRequest, rows: np.ndarray) -> np.ndarray:
    met: np.ndarray = catalogue.targets.met(request.context.device, request.context.region)[catalogue.target[rows]]
    return met


def _named(ids: Sequence[str], which: np.ndarray) -> list[str]:
    return [ids[at] for at in np.flatnonzero(which).tolist()]


def _at(values: Sequence[float | None], which: np.ndarray) -> list[float | None]:
    return [values[at] for at in np.flatnonzero(which).tolist()]
