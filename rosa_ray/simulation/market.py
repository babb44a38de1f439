"""The second-price market: what an impression costs once its bid has won."""

import numpy as np

from rosa_ray.simulation.marginals import MARKET_PRICE_BIN_FEN, MARKET_PRICE_SHARE

_EDGES = np.arange(len(MARKET_PRICE_SHARE) + 1) * float(MARKET_PRICE_BIN_FEN)
_MASS = np.append(0.0, np.cumsum(MARKET_PRICE_SHARE)) / MARKET_PRICE_SHARE.sum()
_MOMENT = np.append(0.0, np.cumsum(MARKET_PRICE_SHARE * (_EDGES[1:] + _EDGES[:-1]) / 2)) / MARKET_PRICE_SHARE.sum()


def win_rate(bid_fen: np.ndarray) -> np.ndarray:
    """Probability that the market price lies below the bid, prices uniform within their 10-fen bin.

    >>> win_rate(np.array([0.0, 70.0, 300.0])).round(2).tolist()
    [0.0, 0.51, 1.0]
    """
    return np.interp(bid_fen, _EDGES, _MASS)


def expected_price_fen(bid_fen: np.ndarray) -> np.ndarray:
    """Exact mean market price of a won impression, `E[m | m <= bid]`, in fen per 1,000 impressions.

    >>> float(expected_price_fen(np.array([10.0]))[0])
    5.0
    """
    bid = np.clip(bid_fen, 1e-9, _EDGES[-1])
    bin_index = np.minimum((bid // MARKET_PRICE_BIN_FEN).astype(int), len(MARKET_PRICE_SHARE) - 1)
    low = _EDGES[bin_index]
    inside = (win_rate(bid) - _MASS[bin_index]) * (bid + low) / 2
    return (_MOMENT[bin_index] + inside) / win_rate(bid)


def sample_price_fen(bid_fen: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Market price of a won impression by inversion of the truncated law, never above the bid.

    Args:
        bid_fen: bids, fen per 1,000 impressions.
        uniform: one draw in [0, 1) for each bid.
    """
    return np.minimum(np.interp(uniform * win_rate(bid_fen), _MASS, _EDGES), bid_fen)


def market_price_fen(uniform: np.ndarray) -> np.ndarray:
    """Market price of an auction, won or lost, by inversion of the law; fen per 1,000 impressions, 0 to 300.

    >>> market_price_fen(np.array([0.0, 1.0])).round(6).tolist()
    [0.0, 300.0]
    """
    return np.interp(uniform, _MASS, _EDGES)
