"""Marginals of the simulated log: aggregated figures measured on real samples, never rows of them.

| figure                                  | sample it was measured on                                            |
|-----------------------------------------|----------------------------------------------------------------------|
| `HOUR_SHARE`                            | iPinYou five-minute cells, 7 campaigns, train and test (UTC+8)       |
| `MARKET_PRICE_SHARE`, `REAL_CTR`        | iPinYou `info.json`, 7 campaigns, 10.8 million impressions           |
| `FUNNEL`                                | Taobao UserBehavior, 660 users, 25 Nov to 3 Dec 2017 (fav = cart)    |
| `EVENTS_LOG_SD`, `EVENTS_MEAN_PER_DAY`  | the same                                                             |
| `SESSION_BREAK`, `GAP_LOG_MEAN`/`_SD`   | the same; a session ends with 30 minutes of silence                  |
| `CATEGORY_EXPONENT`                     | the same, log share on log rank over the 100 first categories        |
| `REPEATED_CATEGORY`                     | the same, events in a category the user has met before               |
| `CATEGORY_PRICES`                       | REES46, 1 Oct 2019, distinct items of the 32 most viewed categories  |
| `ONE_CLICK_CONVERSIONS`                 | Criteo Attribution, clicks before a conversion                       |

Not measured, because no sample holds them: device and region shares, promotions, drift, price sensitivity.
`tests/simulation/test_marginals.py` recomputes the table wherever the samples are present.
"""

import numpy as np

HOUR_SHARE = np.array(
    [
        0.0501, 0.0208, 0.0146, 0.0154, 0.0087, 0.0082, 0.0084, 0.0087, 0.0183, 0.0382, 0.0574, 0.0551,
        0.0556, 0.0573, 0.0587, 0.0708, 0.0724, 0.0655, 0.0613, 0.0583, 0.0487, 0.0448, 0.0578, 0.0449,
    ]
)  # fmt: skip
"""Share of a day's impressions in each local hour 0..23."""

MARKET_PRICE_BIN_FEN = 10
MARKET_PRICE_SHARE = np.array(
    [
        0.0469, 0.0669, 0.1060, 0.0722, 0.0514, 0.1180, 0.0468, 0.1256, 0.0742, 0.0237,
        0.0344, 0.0207, 0.0177, 0.0157, 0.0238, 0.0157, 0.0254, 0.0123, 0.0151, 0.0087,
        0.0167, 0.0093, 0.0105, 0.0084, 0.0074, 0.0067, 0.0067, 0.0036, 0.0062, 0.0033,
    ]
)  # fmt: skip
"""Share of auctions by market price, 30 bins of 10 RMB fen per 1,000 impressions from 0 to 300."""

REAL_CTR = 0.00079
"""Clicks per impression. The simulator's CTR is about fifty times this, so that small logs hold enough clicks."""

FUNNEL = {"view": 0.900, "cart": 0.079, "purchase": 0.021}
"""Share of each behaviour among organic events."""

EVENTS_MEAN_PER_DAY = 11.5
EVENTS_LOG_SD = 0.92
"""Mean events a user and day, and the standard deviation of the logarithm of a user's count."""

SESSION_BREAK = 0.156
GAP_LOG_MEAN = 4.01
GAP_LOG_SD = 1.38
"""Chance that an event opens a new session; log-normal law of the seconds between events of one session."""

CATEGORY_EXPONENT = 0.90
"""Share of the category of rank r is proportional to r ** -CATEGORY_EXPONENT."""

REPEATED_CATEGORY = 0.764
"""Share of events in a category in which the user already had one."""

CATEGORY_PRICES = np.array(
    [
        (332.50, 0.88), (59.97, 0.56), (743.33, 0.60), (48.55, 1.22), (245.05, 0.85), (133.85, 1.34), (205.90, 0.82),
        (244.54, 1.12), (148.23, 0.82), (36.01, 0.67), (101.68, 0.81), (411.83, 0.81), (80.68, 0.92), (336.95, 0.61),
        (332.98, 0.62), (173.49, 0.91), (75.02, 0.93), (592.68, 0.56), (25.96, 0.63), (280.06, 0.58), (48.59, 0.54),
        (34.72, 0.74), (267.93, 0.50), (128.57, 0.66), (105.02, 1.01), (66.90, 0.56), (543.10, 0.41), (89.84, 0.45),
        (61.48, 0.40), (684.68, 0.65), (100.26, 0.81), (115.69, 0.64),
    ]
)  # fmt: skip
"""Median price (USD) and standard deviation of the log price over a category's items, by rank; shape (32, 2)."""

ONE_CLICK_CONVERSIONS = 0.529
"""Share of conversions that follow a single click: taken as those made in the visit of the click."""


def category_prices(categories: int) -> np.ndarray:
    """Return (median price in USD, log standard deviation) of each category rank, repeating after 32; shape (n, 2).

    >>> category_prices(33)[[0, 32]].tolist()
    [[332.5, 0.88], [332.5, 0.88]]
    """
    return CATEGORY_PRICES[np.arange(categories) % len(CATEGORY_PRICES)]
