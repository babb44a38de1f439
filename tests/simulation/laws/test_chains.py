"""Law `chains`: the hidden graph, how a need rises and fades, and that events teach the graph."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rosa_ray.schema import Behavior
from rosa_ray.settings import Tagged
from rosa_ray.simulation import build_world
from rosa_ray.simulation.laws.chains import Config, Graph, Law, draw_graph
from tests.simulation.logs import SMALL, log_of_law

WORLD = build_world(SMALL)
VIEW, CART, BUY = (np.array([int(code)]) for code in (Behavior.VIEW, Behavior.CART, Behavior.PURCHASE))
ROW = np.zeros(1, dtype=int)


def law_of(graph: Graph | None = None) -> Law:
    law = Law(Tagged("chains", Config()), SMALL, WORLD, np.zeros(1, int), 0)
    law.graph = graph or law.graph
    return law


def need_of(law: Law, category: int, hour: float) -> float:
    return law.need(ROW, np.array([hour]))[0][0, category].item()


def fold(law: Law, category: int, hour: float, behavior: np.ndarray = VIEW, style: int = 0) -> None:
    item = np.flatnonzero((WORLD.item_category_I == category) & (WORLD.item_style_I == style))[:1]
    law.fold(ROW, np.array([hour]), item, behavior)


def chain(**changes: Any) -> Graph:
    """0 leads to 1 with a lag of one hour, 1 leads to 2; nothing else leads anywhere."""
    shape = len(WORLD.popularity_C), 4
    graph = Graph(
        successor_CE=np.ones(shape, dtype=int),
        exists_CE=np.zeros(shape, dtype=bool),
        lag_h_CE=np.ones(shape),
        after_CE=np.full(shape, -1),
        style_CES=np.tile(np.arange(WORLD.styles)[::-1], (*shape, 1)),
    )
    graph.successor_CE[1] = 2
    graph.exists_CE[:2, 0] = True
    return replace(graph, **changes)


def test_each_category_leads_to_two_to_four_others():
    graph = draw_graph(500, 4, np.random.default_rng(3))
    assert np.unique(graph.exists_CE.sum(axis=1)).tolist() == [2, 3, 4]
    assert (graph.successor_CE != np.arange(500)[:, None]).all()
    assert all(len(set(row)) == 4 for row in graph.successor_CE.tolist())
    assert 2 / 60 <= graph.lag_h_CE.min() < 0.1
    assert 20 < graph.lag_h_CE.max() <= 24


def test_a_fifth_of_the_edges_wait_for_a_category_that_leads_there():
    graph = draw_graph(500, 4, np.random.default_rng(3))
    second = graph.exists_CE & (graph.after_CE >= 0)
    assert second.sum() / graph.exists_CE.sum() == pytest.approx(0.2, abs=0.03)
    pairs = set(zip(*np.nonzero(graph.exists_CE), strict=True))
    leads = {(first, graph.successor_CE[first, edge]) for first, edge in pairs}
    waits = [(graph.after_CE[place], place[0]) for place in zip(*np.nonzero(second), strict=True)]
    assert np.mean([pair in leads for pair in waits]) > 0.9


def test_the_graph_is_not_symmetric():
    graph = draw_graph(500, 4, np.random.default_rng(3))
    edges = {(first, graph.successor_CE[first, edge]) for first, edge in np.argwhere(graph.exists_CE)}
    assert np.mean([(second, first) in edges for first, second in edges]) < 0.05


def test_all_chunks_share_the_graph():
    graphs = [Law(Tagged("chains", Config()), SMALL, WORLD, np.zeros(3, int), chunk).graph for chunk in (0, 1)]
    assert (graphs[0].successor_CE == graphs[1].successor_CE).all()


def test_a_need_comes_after_its_lag_stays_and_fades_as_a_power():
    law = law_of(chain())
    fold(law, 0, 0.0, CART)
    needs = [need_of(law, 1, hour) for hour in (0.1, 0.5, 1, 2, 10, 50)]
    assert needs[0] < 0.01
    assert needs[0] < needs[1] < needs[2] < needs[3] > needs[4] > needs[5] > 0.01
    # Far out a need is the square of a power of -0.7, so that ten times the age leaves a 25th of it.
    assert need_of(law, 1, 10_000) / need_of(law, 1, 1_000) == pytest.approx(10**-1.4, rel=0.02)
    assert need_of(law, 0, 2) == need_of(law, 2, 2) == 0


def test_a_cart_and_a_purchase_raise_more_than_a_view():
    needs = []
    for behavior in (VIEW, CART, BUY):
        law = law_of(chain())
        fold(law, 0, 0.0, behavior)
        needs.append(need_of(law, 1, 2.0))
    assert needs[0] < needs[1] < needs[2]


def test_a_need_saturates():
    law, needs = law_of(chain()), []
    for number in range(30):
        fold(law, 0, number / 1000, CART)
        needs.append(need_of(law, 1, 2.0))
    steps = np.diff([0, *needs])
    assert (steps > 0).all()
    assert steps[-1] < steps[1] / 20
    assert needs[-1] < 1


def test_an_edge_of_second_order_needs_both_in_order():
    after = np.full((len(WORLD.popularity_C), 4), -1)
    after[1, 0] = 0
    pasts = {"both": [(0, 0), (1, 1)], "reverse": [(1, 0), (0, 1)], "late": [(0, 0), (1, 30)], "one": [(1, 1)]}
    needs = {}
    for name, past in pasts.items():
        law = law_of(chain(after_CE=after))
        for category, hour in past:
            fold(law, category, hour)
        needs[name] = need_of(law, 2, past[-1][1] + 2.0)
    assert needs.pop("both") > 0.05
    assert set(needs.values()) == {0}


def test_style_follows_style():
    law = law_of(chain())
    fold(law, 0, 0.0, CART, style=1)
    share_S = law.need(ROW, np.array([2.0]))[1][0, 1]
    assert share_S.argmax() == WORLD.styles - 2
    assert share_S.sum() == pytest.approx(1)


def test_an_ad_gains_from_its_need_in_clicks_more_than_in_conversions():
    law = law_of(chain())
    ad_NK = np.array([[np.flatnonzero(WORLD.ad_category_A == category)[0] for category in (1, 5)]])
    fold(law, 0, 0.0, CART)
    pull = law.pull(ROW, np.array([2.0]), ad_NK)
    click, conversion = -np.diff(pull.click_NK).item(), -np.diff(pull.conversion_NK).item()
    assert click > 2 * conversion > 0
    assert pull.latent["need"][0].tolist() == [pytest.approx(need_of(law, 1, 2.0)), 0]


def test_events_of_users_teach_the_graph():
    log = log_of_law("chains")
    graph = Law(Tagged("chains", Config()), SMALL, log.world, np.zeros(1, int), 0).graph
    user, category = (log.events[name].to_numpy(zero_copy_only=False) for name in ("user_id", "category"))
    category = np.array([int(name[1:]) for name in category])
    time_h = log.events["event_time"].to_numpy().astype("int64") / 3.6e9
    count_CC = np.zeros((60, 60))
    for step in range(1, 9):
        near = (user[step:] == user[:-step]) & (time_h[step:] - time_h[:-step] < 24)
        np.add.at(count_CC, (category[:-step][near], category[step:][near]), 1)
    np.fill_diagonal(count_CC, 0)
    expected_CC = count_CC.sum(axis=1, keepdims=True) * count_CC.sum(axis=0) / count_CC.sum()
    edges = np.zeros((60, 60), dtype=bool)
    edges[np.arange(60)[:, None], graph.successor_CE] = graph.exists_CE & (graph.after_CE < 0)
    lift = count_CC / np.maximum(expected_CC, 1)
    assert np.median(lift[edges]) > 1.5 * np.median(lift[~edges])
