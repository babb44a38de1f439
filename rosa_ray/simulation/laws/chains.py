"""Law `chains`: a need follows from what a user did before, in ways that equal ids do not tell.

A tent leads to a sleeping bag an hour later. Who leads to whom is a hidden directed graph over categories, drawn from
the seed: two to four successors each, not symmetric, with no regard to likeness. Each edge has a lag of minutes to a
day. A fifth of the edges are of second order: b leads to c only if a came within the day before b.

An event in a category raises the need for its successors, a cart or purchase more than a view. The need comes once
the lag is over, stays a while and fades by a power law. Many events saturate. Organic events are drawn partly from the
needs, so other users' events teach the graph. Within the need for a category, style follows style.

Registered before any model was fitted, and checked by `benchmarks/law_ceiling.py` on the built-in config `chains`:

- about a third of the variance of the click logit over candidates comes from this law;
- knowing the latent lifts AUC against true click probabilities by at least .02;
- the click rate stays within .7 to 1.3 times that of the default world.
"""

from dataclasses import dataclass
from math import erf, sqrt
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge

from rosa_ray.settings import section
from rosa_ray.simulation.laws import law
from rosa_ray.simulation.laws.law import Pull

SHORTEST_LAG_H, LONGEST_LAG_H = 2 / 60, 24.0
SUCCESSORS = (2, 4)
SECOND_ORDER = 0.2
WITHIN_H = 24.0
"""Longest time between the two events that an edge of second order waits for."""

_LAG_LOG_SD = 0.5
_FADE_LAGS, _FADE_EXPONENT = 3.0, 0.7
"""A need that is `_FADE_LAGS` lags old has faded by a factor of 2 ** -_FADE_EXPONENT."""

_WEIGHT = np.array([1.0, 1.0, 3.0, 4.0])
"""By the behaviour of an event: view, click, cart, purchase."""

_HALF = 1.5
"""Summed weight at which a need is half of what it can be."""

_REMEMBERED = 64
"""Newest events of a user from which needs follow."""

_ORGANIC, _ORGANIC_STYLE = 0.4, 0.5
"""Share of organic events that follow a need of 1, and share of these that follow its style too."""

_CLICK, _CLICK_STYLE, _CONVERSION = 3.6, 1.0, 1.0
_USUAL_NEED = 0.35
"""Need that leaves the click logit where it was, so that the click rate stays."""

_LOG_AGE = np.linspace(-4, 12, 3201)
_NORMAL_CDF = np.array([(1 + erf(x / _LAG_LOG_SD / sqrt(2))) / 2 for x in _LOG_AGE])
_TRACE = _NORMAL_CDF * (1 + np.exp(_LOG_AGE) / _FADE_LAGS) ** -_FADE_EXPONENT


@section("simulation.laws")
class Config:
    """Needs that follow from earlier events along a hidden graph of categories."""

    strength: Annotated[float, Ge(0)] = 1.0
    """How much needs count for clicks, conversions and organic events. At 0 the log is the default one."""


@dataclass(frozen=True)
class Graph:
    """Who leads to whom. C categories, E edges each, S styles.

    Attributes:
        successor_CE: category that an edge leads to.
        exists_CE: whether there is an edge.
        lag_h_CE: median of its log-normal lag, hours.
        after_CE: category that must have come before, -1 for an edge of first order.
        style_CES: style that follows each style.
    """

    successor_CE: np.ndarray
    exists_CE: np.ndarray
    lag_h_CE: np.ndarray
    after_CE: np.ndarray
    style_CES: np.ndarray


def draw_graph(categories: int, styles: int, rng: np.random.Generator) -> Graph:
    """Draw the hidden graph.

    >>> graph = draw_graph(60, 4, np.random.default_rng(1))
    >>> graph.exists_CE.sum(axis=1).min().item(), graph.exists_CE.sum(axis=1).max().item()
    (2, 4)
    """
    most = min(SUCCESSORS[1], categories - 1)
    others = [np.delete(np.arange(categories), category) for category in range(categories)]
    successor_CE = np.stack([rng.choice(other, most, replace=False) for other in others])
    exists_CE = np.arange(most) < rng.integers(SUCCESSORS[0], most + 1, (categories, 1))
    after_CE = np.full((categories, most), -1)
    for category, edge in np.argwhere(exists_CE & (rng.random((categories, most)) < SECOND_ORDER)):
        leading = np.flatnonzero(((successor_CE == category) & exists_CE).any(axis=1))
        after_CE[category, edge] = rng.choice(leading if len(leading) else others[category])
    lag_h_CE = np.exp(rng.uniform(np.log(SHORTEST_LAG_H), np.log(LONGEST_LAG_H), (categories, most)))
    style_CES = rng.permuted(np.tile(np.arange(styles), (categories, most, 1)), axis=2)
    return Graph(successor_CE, exists_CE, lag_h_CE, after_CE, style_CES)


def trace(lags: np.ndarray) -> np.ndarray:
    """Need that is left of an event of weight 1, by its age in lags: P(lag is over) times a power law.

    >>> trace(np.array([0.1, 1.0, 2.0, 100.0])).round(2).tolist()
    [0.0, 0.41, 0.64, 0.08]
    """
    return np.interp(np.log(np.maximum(lags, 1e-9)), _LOG_AGE, _TRACE)


class Law(law.Law):
    """Needs of the users of a chunk, from their last 64 events."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.categories, self.styles = len(self.world.popularity_C), self.world.styles
        self.graph = draw_graph(self.categories, self.styles, self.world_rng)
        self._hour_NM = np.zeros((self.users, _REMEMBERED))
        self._item_NM = np.zeros((self.users, _REMEMBERED), dtype=int)
        self._weight_NME = np.zeros((self.users, _REMEMBERED, self.graph.lag_h_CE.shape[1]))
        self._events_N = np.zeros(self.users, dtype=int)
        self._met_h_NC = np.full((self.users, self.categories), -np.inf)

    def fold(self, rows: np.ndarray, hour: np.ndarray, item: np.ndarray, behavior: np.ndarray) -> None:
        """Remember one event of each user, with the edges that it sets going."""
        category, slot = self.world.item_category_I[item], self._events_N[rows] % _REMEMBERED
        after = self.graph.after_CE[category]
        since_h = hour[:, None] - self._met_h_NC[rows[:, None], np.maximum(after, 0)]
        going = self.graph.exists_CE[category] & ((after < 0) | (since_h < WITHIN_H))
        self._weight_NME[rows, slot] = _WEIGHT[behavior][:, None] * going
        self._hour_NM[rows, slot], self._item_NM[rows, slot] = hour, item
        self._met_h_NC[rows, category] = hour
        self._events_N[rows] += 1

    def need(self, rows: np.ndarray, hour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the need for each category, in [0, 1), and its share in each style; shapes (n, C) and (n, C, S)."""
        filled = min(_REMEMBERED, int(self._events_N[rows].max(initial=0)))
        item = self._item_NM[rows, :filled]
        category = self.world.item_category_I[item]
        age_h = (hour[:, None] - self._hour_NM[rows, :filled])[:, :, None]
        raised = self._weight_NME[rows, :filled] * trace(age_h / self.graph.lag_h_CE[category])
        style = self.graph.style_CES[category, :, self.world.item_style_I[item]]
        place = (
            np.arange(len(rows))[:, None, None] * self.categories + self.graph.successor_CE[category]
        ) * self.styles
        cells = len(rows) * self.categories * self.styles
        sum_NCS = np.bincount((place + style).ravel(), raised.ravel(), cells).reshape(len(rows), -1, self.styles)
        sum_NC = sum_NCS.sum(axis=2)
        share_NCS = (sum_NCS + 0.1 / self.styles) / (sum_NC + 0.1)[:, :, None]
        return sum_NC**2 / (_HALF**2 + sum_NC**2), share_NCS

    def steer(
        self, rows: np.ndarray, hour: np.ndarray, category: np.ndarray, style: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Send some organic events to a category that is needed, the more so the stronger the strongest need."""
        need_NC, share_NCS = self.need(rows, hour)
        led = self.rng.random(len(rows)) < self.config.strength * _ORGANIC * need_NC.max(axis=1)
        wanted = _draw(need_NC, self.rng)
        follows = led & (self.rng.random(len(rows)) < _ORGANIC_STYLE)
        next_style = _draw(share_NCS[np.arange(len(rows)), wanted], self.rng)
        return np.where(led, wanted, category), np.where(follows, next_style, style)

    def pull(self, rows: np.ndarray, hour: np.ndarray, ad_NK: np.ndarray) -> Pull:
        """Raise the click logit with the need for the ad's category and a little with its style, conversions less."""
        need_NC, share_NCS = self.need(rows, hour)
        row, category = np.arange(len(rows))[:, None], self.world.ad_category_A[ad_NK]
        need = need_NC[row, category]
        style = need * (
            share_NCS[row, category, self.world.item_style_I[self.world.ad_item_A[ad_NK]]] - 1 / self.styles
        )
        click = self.config.strength * (_CLICK * (need - _USUAL_NEED) + _CLICK_STYLE * style)
        conversion = self.config.strength * _CONVERSION * need
        return Pull(click, conversion, {"need": need, "style": style})


def _draw(weight_NX: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw an index of each row in proportion to its weights; the last one where all are 0."""
    cumulated = np.cumsum(weight_NX, axis=1)
    return (cumulated[:, :-1] <= rng.random((len(cumulated), 1)) * cumulated[:, -1:]).sum(axis=1)
