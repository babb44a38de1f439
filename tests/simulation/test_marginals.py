"""The committed figures against the real samples they were measured on."""

import csv
import gzip
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from rosa_ray.simulation import marginals as figures


def _rows(path: Path) -> list[list[str]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig") as handle:
        return list(csv.reader(handle))


@pytest.fixture(scope="module")
def taobao(shared_data: Path) -> np.ndarray:
    """Columns user, item, category, behaviour index, unix seconds; sorted by user and time."""
    codes = {"pv": 0, "fav": 1, "cart": 1, "buy": 2}
    rows = _rows(shared_data / "taobao" / "UserBehavior.csv.gz")
    table = np.array([(int(u), int(i), int(c), codes[b], int(t)) for u, i, c, b, t in rows])
    table = table[(table[:, 4] >= 1511539200) & (table[:, 4] < 1512316800)]
    return table[np.lexsort((table[:, 4], table[:, 0]))]


def test_shares_sum_to_one():
    assert figures.HOUR_SHARE.sum() == pytest.approx(1, abs=0.002)
    assert figures.MARKET_PRICE_SHARE.sum() == pytest.approx(1, abs=0.002)
    assert sum(figures.FUNNEL.values()) == pytest.approx(1)


def test_hours_are_ipinyous(shared_data):
    bids = np.zeros(24)
    for name in ("train", "test"):
        header, *rows = _rows(shared_data / "ipinyou" / f"5min_{name}.csv.gz")
        column = header.index("total_bids_cur")
        for row in rows:
            bids[int(row[0][11:13])] += float(row[column])
    np.testing.assert_allclose(figures.HOUR_SHARE, bids / bids.sum(), atol=1e-4)


def test_market_prices_are_ipinyous(shared_data):
    histogram, clicks, impressions = np.zeros(301), 0, 0
    for path in sorted((shared_data / "ipinyou").glob("rlb_*_info.json.gz")):
        info = json.loads(gzip.decompress(path.read_bytes()))
        histogram += info["price_counter_train"]
        clicks, impressions = clicks + info["clk_train"], impressions + info["imp_train"]
    binned = np.add.reduceat(histogram, np.arange(0, 300, figures.MARKET_PRICE_BIN_FEN)) / histogram.sum()
    np.testing.assert_allclose(figures.MARKET_PRICE_SHARE, binned, atol=1e-4)
    assert pytest.approx(clicks / impressions, rel=0.05) == figures.REAL_CTR


def test_funnel_and_activity_are_taobaos(taobao):
    share = np.bincount(taobao[:, 3]) / len(taobao)
    np.testing.assert_allclose(list(figures.FUNNEL.values()), share, atol=0.001)
    count = np.unique(taobao[:, 0], return_counts=True)[1]
    assert count.mean() / 9 == pytest.approx(figures.EVENTS_MEAN_PER_DAY, rel=0.01)
    assert np.log(count).std() == pytest.approx(figures.EVENTS_LOG_SD, rel=0.01)


def test_sessions_are_taobaos(taobao):
    gap = np.diff(taobao[:, 4])[np.diff(taobao[:, 0]) == 0]
    inside = np.log(np.maximum(gap[gap <= 1800], 1))
    opens = (gap > 1800).sum() / len(taobao)
    assert opens == pytest.approx(figures.SESSION_BREAK, abs=0.002)
    assert (inside.mean(), inside.std()) == pytest.approx((figures.GAP_LOG_MEAN, figures.GAP_LOG_SD), abs=0.01)


def test_categories_are_taobaos(taobao):
    count = np.sort(np.unique(taobao[:, 2], return_counts=True)[1])[::-1][:100]
    slope = np.polyfit(np.log(np.arange(1, 101)), np.log(count), 1)[0]
    assert -slope == pytest.approx(figures.CATEGORY_EXPONENT, abs=0.02)
    first_visits = len(np.unique(taobao[:, [0, 2]], axis=0))
    assert 1 - first_visits / len(taobao) == pytest.approx(figures.REPEATED_CATEGORY, abs=0.001)


def test_prices_are_rees46s(shared_data):
    header, *rows = _rows(shared_data / "rees46" / "2019-10-01_0000-0250.csv.gz")
    product, category, price = (header.index(name) for name in ("product_id", "category_id", "price"))
    rows = [row for row in rows if float(row[price]) > 0]
    views = Counter(row[category] for row in rows)
    first_prices: dict[str, dict[str, float]] = {}
    for row in rows:
        first_prices.setdefault(row[category], {}).setdefault(row[product], float(row[price]))
    ranked = sorted(first_prices, key=lambda name: -views[name])[:40]
    medians = np.array([np.median(list(first_prices[name].values())) for name in ranked])
    log_sds = np.array([np.log(list(first_prices[name].values())).std(ddof=1) for name in ranked])
    for rank, (median, log_sd) in enumerate(figures.CATEGORY_PRICES):
        nearest = np.abs(medians - median).argmin()
        assert medians[nearest] == pytest.approx(median, abs=0.01)
        assert log_sds[nearest] == pytest.approx(log_sd, abs=0.006)
        assert views[ranked[nearest]] == pytest.approx(views[ranked[rank]], abs=1)


def test_conversions_of_one_click_are_criteos(shared_data):
    _, *rows = _rows(shared_data / "criteo" / "attribution_clicks_before_conversion.csv")
    frequency = np.array([int(row[1]) for row in rows])
    assert frequency[0] / frequency.sum() == pytest.approx(figures.ONE_CLICK_CONVERSIONS, abs=0.001)
