"""The walk by the clock: marginals of lockstep, equal worlds for all policies, sums that agree, budgets that stop."""

from dataclasses import replace

import numpy as np
import pytest

from rosa_ray.arena import Arena, ArenaConfig, Chain, Player, parse_player
from rosa_ray.arena.clusters import CLUSTERS
from rosa_ray.arena.slates import NONE, Slates
from rosa_ray.errors import ConfigError
from rosa_ray.policy.slate import Shown
from rosa_ray.policy.steps.linucb import Config, Rule
from rosa_ray.schema import Behavior
from rosa_ray.settings import Tagged
from rosa_ray.simulation import build_world, simulate_chunk
from rosa_ray.simulation.clockwork import Recorder
from rosa_ray.simulation.laws import config_class
from rosa_ray.units import DAY_US
from tests.arena.worlds import MARKET, SMALL, arena


@pytest.fixture(scope="module")
def free() -> Arena:
    """No budgets, no law."""
    return arena()


@pytest.fixture(scope="module")
def tight() -> Arena:
    """Budgets of a fifth, and a market in which auctions are lost."""
    made = arena(replace(SMALL, laws=MARKET), budget_share=0.2)
    made.set_budgets()
    return made


def played(made: Arena, name: str):
    recorder = Recorder()
    run = made.play(parse_player(name), recorder=recorder)
    return run, *recorder.columns()


@pytest.mark.parametrize("laws", [(), MARKET], ids=["default", "market"])
def test_under_the_logging_policy_marginals_are_those_of_the_simulated_log(laws):
    config = replace(SMALL, laws=laws, events_per_user=20, requests_per_user=24)
    before, last = Recorder(), Recorder()
    Arena(config, ArenaConfig(days=1, tick_minutes=60), recorder=before).play(parse_player("logging"), recorder=last)
    parts = before.columns(), last.columns()
    events, requests = (
        {name: np.concatenate([part[at][name] for part in parts]) for name in parts[0][at]} for at in (0, 1)
    )
    world = build_world(config)
    logs = [simulate_chunk(config, world, chunk) for chunk in range(config.chunks)]
    first = [log.users.first_id for log in logs]

    def of_users(rows, values):
        return np.bincount(rows, values, config.users)

    def lockstep(table, pick):
        chunks = zip(first, (getattr(log, table) for log in logs), strict=True)
        return sum(of_users(start + columns["row"], pick(columns)) for start, columns in chunks)

    picks = {
        "requests": ("requests", lambda c: np.ones(len(c["row"]))),
        "impressions": ("requests", lambda c: c["won_N"] * 1.0),
        "expected clicks": ("requests", lambda c: c["p_ctr_NK"][np.arange(len(c["row"])), c["shown_N"]]),
        "clicks": ("requests", lambda c: c["click_N"] * 1.0),
        "expected conversions": (
            "requests",
            lambda c: (c["p_ctr_NK"] * c["p_cvr_NK"])[np.arange(len(c["row"])), c["shown_N"]],
        ),
        "cost": ("requests", lambda c: c["cost_N"]),
        "events": ("events", lambda c: (c["behavior"] != int(Behavior.CLICK)) * 1.0),
        "carts": ("events", lambda c: (c["behavior"] == int(Behavior.CART)) * 1.0),
    }
    for name, (table, pick) in picks.items():
        ours = of_users(
            (requests if table == "requests" else events)["row"], pick(requests if table == "requests" else events)
        )
        gap = ours - lockstep(table, pick)
        error = gap.std() * np.sqrt(config.users)
        assert abs(gap.sum()) <= 4 * error, name
        assert error < 0.25 * ours.sum(), name
    assert of_users(requests["row"], np.ones(len(requests["row"]))).tolist() == lockstep(*picks["requests"]).tolist()


def test_equal_seeds_give_equal_runs_and_other_seeds_other_ones(free):
    one, again = (made.play(parse_player("roi")).ledger.hour_CHM for made in (free, free))
    anew, other = (
        arena(replace(SMALL, seed=seed)).play(parse_player("roi")).ledger.hour_CHM for seed in (SMALL.seed, 8)
    )
    assert np.array_equal(one, again)
    assert np.array_equal(one, anew)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("which", ["free", "tight"])
def test_policies_meet_the_same_requests(which, request):
    """Of a user's first request no earlier choice is known: all policies see the same candidates, bids and truth."""
    made, seen = request.getfixturevalue(which), []
    for name in ("roi", "none", "ecpm@true"):
        requests: list[Slates] = []
        made.play(parse_player(name), requests=requests)
        seen.append(Slates.joined(requests))
    first = np.unique(seen[0].user, return_index=True)[1]
    for other in seen[1:]:
        assert np.array_equal(other.request, seen[0].request)
        assert np.array_equal(other.uniform, seen[0].uniform)
        for name in ("ad_NK", "p_ctr_NK", "p_cvr_NK", "cost_NK", "win_NK"):
            assert np.array_equal(getattr(other, name)[first], getattr(seen[0], name)[first]), name
        assert (other.ad_NK == seen[0].ad_NK).mean() > 0.6


def test_the_truth_beats_noise_and_noise_beats_chance():
    made = arena(noise=1.5)
    ledgers = [made.play(parse_player(name)).ledger for name in ("random", "profit", "profit@true")]
    worth = [ledger.total("revenue") - ledger.total("spend") for ledger in ledgers]
    assert worth[0] < worth[1] < worth[2]


def test_a_chain_without_a_step_that_decides_is_its_score(free):
    """`floor` at a number below all profits leaves the choice to the score."""
    one, other = (free.play(parse_player(name)).ledger.hour_CHM for name in ("profit", "profit+floor:-1000"))
    assert np.array_equal(one, other)


def test_the_budget_step_spends_budgets_and_not_more(tight):
    ledgers = {name: tight.play(parse_player(name)).ledger for name in ("profit", "profit+budget")}
    worth = {name: ledger.total("revenue") - ledger.total("spend") for name, ledger in ledgers.items()}
    assert worth["profit+budget"] > 1.3 * worth["profit"]
    assert ledgers["profit+budget"].overspend <= 0.02 * tight.budget_M.sum()


def test_a_model_that_learns_every_night_earns_more_where_ads_are_born():
    laws = (Tagged("births", config_class("births")()),)
    made = arena(replace(SMALL, laws=laws, days=4, requests_per_user=60), days=3, noise=0.0)
    names = ("profit@true", "profit@nightly", "profit+ucb+explore@nightly", "profit+linucb@nightly")
    ledgers = [made.play(parse_player(name)).ledger for name in names]
    worth = [ledger.total("revenue") - ledger.total("spend") for ledger in ledgers]
    assert worth[0] > max(worth[1:])
    assert min(worth[1:]) > 0


def test_chains_are_told_of_impressions_and_of_training():
    told: list[Shown] = []

    class Listening(Rule):
        trained = 0

        def tell(self, shown: Shown) -> None:
            told.append(shown)
            super().tell(shown)

        def retrained(self) -> None:
            Listening.trained += 1
            super().retrained()

    made = arena(replace(SMALL, days=4), days=3)
    run = made.play(Player("one", lambda: Chain([Listening(Config())]), "nightly"))
    # Midnight of the second and of the third day; training before the first one is no news.
    assert Listening.trained == 2
    assert sum(len(shown.click) for shown in told) == run.ledger.total("impressions")
    assert all(((shown.p_ctr > 0) & (shown.p_ctr < 0.5)).all() for shown in told)
    assert all(shown.clusters.shape[1] == CLUSTERS for shown in told)
    np.testing.assert_allclose(np.concatenate([shown.clusters for shown in told]).sum(axis=1), 1.0)


def test_none_shows_nothing(free):
    run, events, requests = played(free, "none")
    assert run.ledger.hour_CHM.sum() == 0
    assert run.ledger.unanswered == run.ledger.requests == len(requests["row"])
    assert not (events["behavior"] == int(Behavior.CLICK)).any()


@pytest.mark.parametrize("name", ["roi", "pacing", "threshold", "hindsight"])
def test_the_ledger_is_the_sum_of_the_impressions(tight, name):
    run, _, requests = played(tight, name)
    ledger, won = run.ledger, requests["won_N"]
    every, slot = np.arange(len(won)), requests["shown_N"]
    truth = requests["p_ctr_NK"][every, slot] * requests["p_cvr_NK"][every, slot]
    price = tight.world.item_price_I[tight.world.ad_item_A[requests["ad_NK"][every, slot]]]
    assert ledger.total("impressions") == won.sum()
    assert ledger.total("spend") == pytest.approx(requests["cost_N"].sum())
    assert ledger.total("revenue") == pytest.approx((truth * price)[won].sum())
    assert ledger.total("clicks") == requests["click_N"].sum()
    assert ledger.spend_U.sum() == pytest.approx(ledger.total("spend"))
    counted = sum(ledger.total(column) for column in ("impressions", "lost", "cut")) + ledger.unanswered
    assert counted == ledger.requests == len(won)


@pytest.mark.parametrize("name", ["roi", "ecpm", "random", "threshold"])
def test_no_campaign_spends_more_than_its_budget_and_one_impression(tight, name):
    run, _, requests = played(tight, name)
    every = np.arange(len(requests["row"]))
    campaign = tight.world.ad_campaign_A[requests["ad_NK"][every, requests["shown_N"]]]
    day = (requests["time_us"] - tight.start_us) // DAY_US
    spend = np.zeros((1, tight.campaigns))
    dearest = np.zeros((1, tight.campaigns))
    np.add.at(spend, (day, campaign), requests["cost_N"])
    np.maximum.at(dearest, (day, campaign), requests["cost_N"])
    assert (spend <= tight.budget_M + dearest + 1e-9).all()
    assert run.ledger.overspend == pytest.approx(np.maximum(spend - tight.budget_M, 0).sum())
    assert run.ledger.overspend < 0.2 * tight.budget_M.sum()


def test_budgets_are_a_share_of_what_the_base_policy_spends(tight):
    bare = arena(replace(SMALL, laws=MARKET))
    spend_M = bare.play(parse_player("roi")).ledger.column_HM("spend").sum(axis=0)
    np.testing.assert_allclose(tight.budget_M, 0.2 * spend_M)


def test_choosing_requests_is_worth_more_than_stopping_by_arrival(tight):
    runs = {name: played(tight, name)[0].ledger for name in ("roi", "threshold", "hindsight")}
    value = {name: ledger.total("revenue") - ledger.total("spend") for name, ledger in runs.items()}
    assert value["threshold"] > 1.3 * value["roi"]
    assert value["hindsight"] > 1.3 * value["roi"]


def test_a_policy_that_insists_on_a_spent_campaign_shows_nothing(tight):
    run = tight.play(Player.of("first", lambda slates: np.zeros(len(slates), int)))
    assert run.ledger.total("cut") > 0
    assert run.ledger.overspend < 0.2 * tight.budget_M.sum()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda slates: np.zeros(len(slates) + 1, int),
        lambda slates: np.full(len(slates), 10),
        lambda slates: np.full(len(slates), 0.5),
        lambda slates: np.full(len(slates), NONE - 1),
    ],
    ids=["too many", "no candidate", "no number of one", "below none"],
)
def test_an_answer_that_is_no_choice_is_refused(free, wrong):
    with pytest.raises(ValueError, match="a policy must choose from -1 to 9"):
        free.play(Player.of("wrong", wrong))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"days": 2}, "arena.days is 2; it must be below simulation.days = 2"),
        ({"days": 0}, "arena.days is 0"),
        ({"tick_minutes": 7}, "arena.tick_minutes is 7; it must divide a day"),
        ({"base": "best"}, "policy 'best' is unknown"),
        ({"noise": -1.0}, "arena.noise is -1"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(settings, message):
    with pytest.raises(ConfigError, match=message):
        arena(**settings)
