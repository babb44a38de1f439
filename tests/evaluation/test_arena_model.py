"""A trained model in the arena sees of every request what preprocessing makes of the log of the same walk."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from rosa_ray.arena import Arena, ArenaConfig, Player, Run, Slates, parse_player
from rosa_ray.bundle import write_bundle
from rosa_ray.calibration import Calibration, Curve
from rosa_ray.errors import ConfigError
from rosa_ray.evaluation import arena_model
from rosa_ray.evaluation.arena_model import ArenaModel, ModelEstimates, Timelines
from rosa_ray.features import (
    EVENT_COLUMNS,
    FeatureConfig,
    FeatureState,
    FitSums,
    Split,
    UserRows,
    build_user_rows,
    encode_users,
)
from rosa_ray.features.build import SplitBounds, keyed_events, keyed_impressions
from rosa_ray.features.catalogue import AdTable
from rosa_ray.features.counting import fold_events
from rosa_ray.features.own import ColumnConfig
from rosa_ray.features.own_counters import CounterConfig
from rosa_ray.features.records import fold_impressions
from rosa_ray.inference import load_ranker, predict
from rosa_ray.models import build_ranker
from rosa_ray.models.item_vectors import LAST
from rosa_ray.simulation import World, build_world
from rosa_ray.simulation.clockwork import Recorder
from rosa_ray.simulation.engine import ChunkLog
from rosa_ray.simulation.tables import ads_table, chunk_tables
from rosa_ray.simulation.users import Users
from tests.arena.worlds import SMALL
from tests.described import described

WORLD = replace(SMALL, users=60, chunk_users=60, policy_start_fraction=0.5)
DAY_TWO_US = WORLD.start_us + (WORLD.end_us - WORLD.start_us) // 2
BOUNDS = SplitBounds(DAY_TWO_US, WORLD.end_us)
FEATURES = FeatureConfig(bucket_minutes=60, counters=(CounterConfig(by=("device", "category")),))
CONTEXT = LAST
"""Events that a score of this ranker depends on: what is counted of others looks farthest."""
RANKER = {"width": 8, "heads": 2, "layers": 1, "window": 4, "hidden": (8,), "match_window": 5}
CALIBRATION = Calibration(ctr=Curve((-2.0, 0.0), (-3.0, 0.0)), value_factor=1.5)


NAMES = ("ad_key", "item_key", "category_key", "campaign_key", "device_key", "region_key", "bid", "price")
Recorded = dict[str, np.ndarray]


class Watched(ModelEstimates):
    """Keeps all that it was told and asked."""

    events: list[Recorded]
    requests: list[Recorded]
    asked: list[tuple[Slates, UserRows, Slates]]

    def _take(self, recorder: Recorder) -> None:
        if not hasattr(self, "asked"):
            self.events, self.requests, self.asked = [], [], []
        events, requests = recorder.columns()
        self.events += [events] if events else []
        self.requests += [requests] if requests else []
        super()._take(recorder)

    def on(self, slates: Slates) -> Slates:
        found = super().on(slates)
        self.asked.append((slates, self.user_rows(slates), found))
        return found


@dataclass(frozen=True)
class Played:
    """What a model was asked and said, and user rows of the same walk as preprocessing makes them."""

    model: ArenaModel
    asked: list[tuple[Slates, UserRows, Slates]]
    run: Run
    rows: UserRows


def write_model(home: Path, rows: UserRows, config: FeatureConfig = FEATURES) -> Path:
    """A bundle of a ranker with random weights."""
    world = build_world(WORLD)
    state = FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us, config)], config)
    torch.manual_seed(1)
    description = described("rosa", RANKER, state)
    ranker = build_ranker(**description)
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    pq.write_table(ads_table(world), home / "ads.parquet", write_page_checksum=True)
    write_bundle(
        home / "bundle",
        weights=ranker.state_dict(),
        model=description,
        features_saver=state.save,
        feature_fingerprint=state.fingerprint,
        metrics={},
        config={},
        calibration=CALIBRATION,
        extra_files={"ads.parquet": home / "ads.parquet"},
    )
    return home / "bundle"


def preprocessed(users: Users, events: list[Recorded], requests: list[Recorded]) -> UserRows:
    """User rows of what was recorded, by way of the tables that `rosa simulate` writes."""
    columns = [
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} for parts in (events, requests)
    ]
    world = build_world(WORLD)
    tables, ads = chunk_tables(WORLD, world, ChunkLog(users, *columns)), AdTable.from_table(ads_table(world))
    shown, candidates = (keyed_impressions(tables[name], ads)[0] for name in ("impressions", "candidates"))
    keyed = keyed_events(tables["events"])
    counters = fold_events(keyed, FEATURES) | fold_impressions(shown, FEATURES)
    return build_user_rows(keyed, shown, candidates, counters, FEATURES, BOUNDS)


def arena(recorder: Recorder | None = None, model: ArenaModel | None = None) -> Arena:
    models = {"model": model} if model else {}
    return Arena(WORLD, ArenaConfig(days=1, tick_minutes=20), recorder=recorder, models=models)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    before, made = Recorder(), list[tuple[Users, Watched]]()
    users = arena(recorder=before)._clock.users
    bundle = write_model(tmp_path_factory.mktemp("arena"), preprocessed(users, *([part] for part in before.columns())))

    class Watching(ArenaModel):
        def begin(self, world: World, users: Users, before: Recorder) -> ModelEstimates:
            made.append((users, super().begin(world, users, before)))  # type: ignore[arg-type]
            return made[-1][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arena_model, "ModelEstimates", Watched)
        model = Watching.open(str(bundle))
        run = arena(model=model).play(Player.of("best", choose_best, "model"))
    ((users, watched),) = made
    asked = list(watched.asked)
    watched.on(asked[-1][0])  # takes in what followed the last request
    return Played(model, asked, run, preprocessed(users, watched.events, watched.requests))


def choose_best(slates: Slates) -> np.ndarray:
    return slates.best(slates.revenue_NK)


def test_every_feature_of_every_request_is_that_of_preprocessing(played: Played) -> None:
    rows, compared = played.rows, 0
    assert len(played.asked) > 50
    for slates, found, _ in played.asked:
        for n, time_us in enumerate(slates.time_us.tolist()):
            user = int(np.searchsorted(rows.user_key, found.user_key[n]))
            mine = candidates_of(rows, user, time_us)
            live = np.arange(*found.impression_offsets[n : n + 2])
            order = np.argsort(found.impressions["ad_key"][live])
            expected = mine[np.argsort(rows.impressions["ad_key"][mine])]
            assert found.dense[live[order]].tobytes() == rows.dense[expected].tobytes()
            for name in NAMES:
                assert found.impressions[name][live[order]].tolist() == rows.impressions[name][expected].tolist(), name
            cost = found.impressions["expected_cost"][live[order]]
            assert cost.tobytes() == rows.impressions["expected_cost"][expected].tobytes()
            first, last = rows.event_offsets[user : user + 2]
            past = first + np.flatnonzero(rows.events["time_us"][first:last] < time_us)
            told = slice(*found.event_offsets[n : n + 2])
            for name in EVENT_COLUMNS:
                assert found.events[name][told].tolist() == rows.events[name][past][-CONTEXT - 1 :].tolist(), name
            compared += len(live)
    assert compared == len(np.flatnonzero(rows.impressions["split"] == Split.VALID_POLICY))


def test_scores_are_those_of_the_bundle_on_preprocessed_rows(played: Played) -> None:
    state = played.model.state
    ranker = load_ranker(played.model.bundle.model, played.model.bundle.weights())
    users = encode_users(played.rows, state).select(Split.VALID_POLICY)
    raw = predict(ranker, users.trim(CONTEXT))
    scores = played.model.bundle.calibration.apply({**raw, "price": users.impressions["price"]})
    names = ("p_ctr", "p_cvr", "value")
    key = zip(
        np.repeat(users.user_key, np.diff(users.impression_offsets)).tolist(),
        users.impressions["time_us"].tolist(),
        played.rows.impressions["ad_key"][np.isin(played.rows.impressions["split"], Split.VALID_POLICY)].tolist(),
        strict=True,
    )
    expected = dict(zip(key, zip(*(scores[name].tolist() for name in names), strict=True), strict=True))
    for slates, rows, found in played.asked:
        ads, k = rows.impressions["ad_key"], slates.ad_NK.shape[1]
        for at in range(len(ads)):
            one = at // k, at % k
            told = [getattr(found, f"{name}_NK")[one] for name in names]
            wanted = expected[int(rows.user_key[one[0]]), int(slates.time_us[one[0]]), int(ads[at])]
            assert told == pytest.approx(wanted, rel=1e-5)


def candidates_of(rows: UserRows, user: int, time_us: int) -> np.ndarray:
    first, last = rows.impression_offsets[user : user + 2]
    shown = rows.impressions
    mine = (shown["time_us"][first:last] == time_us) & (shown["split"][first:last] == Split.VALID_POLICY)
    return first + np.flatnonzero(mine)


def test_equal_models_have_equal_runs_and_choose_by_what_they_see(played: Played) -> None:
    assert played.run.ledger.total("impressions") == sum(len(slates) for slates, _, _ in played.asked)
    made = arena(model=played.model)
    again = made.play(Player.of("best", choose_best, "model"))
    true = made.play(Player.of("best", choose_best, "true"))
    assert again.ledger.total("spend") == played.run.ledger.total("spend")
    assert true.ledger.total("revenue") > again.ledger.total("revenue")


def test_what_policies_see_holds_nothing_of_the_truth(played: Played) -> None:
    for slates, _, found in played.asked:
        for name in ("p_ctr_NK", "p_cvr_NK", "value_NK", "cost_NK"):
            assert not np.isin(getattr(found, name), getattr(slates, name)).any(), name
        assert not found.untold_click_NK.any()


def test_requests_of_the_day_before_are_scored_as_of_their_times(played: Played) -> None:
    """A chain with budgets is fitted to them before the first day."""
    made = arena(model=played.model)
    made.budget_M = np.full(made.campaigns, 3.0)
    run = made.play(parse_player("profit+budget@model"))
    assert run.ledger.total("spend") > 0


def test_a_model_of_another_world_is_refused(played: Played) -> None:
    other = Arena(replace(WORLD, seed=WORLD.seed + 1), ArenaConfig(days=1), models={"model": played.model})
    with pytest.raises(ConfigError, match=r"was not trained on a log of this world: ad a[0-9]+ shows item"):
        other.play(parse_player("roi@model"))


def test_a_model_that_the_arena_was_not_given_is_named() -> None:
    with pytest.raises(ConfigError, match=r"the arena has no model '\./runs/a'; it has none"):
        arena().play(parse_player("roi@./runs/a"))


def test_a_recorder_beside_a_model_is_refused(played: Played) -> None:
    with pytest.raises(ValueError, match="keeps what happens itself"):
        arena(model=played.model).play(parse_player("roi@model"), recorder=Recorder())


def test_a_bundle_that_needs_declared_columns_is_refused(played: Played, tmp_path: Path) -> None:
    columns = {"user.plan": ColumnConfig(type="category")}
    shown = {**played.rows.impressions, "user.plan": np.ones(len(played.rows.dense), np.int64)}
    bundle = write_model(tmp_path, replace(played.rows, impressions=shown), replace(FEATURES, columns=columns))
    with pytest.raises(ConfigError, match=r"declared columns \(user.plan\); the arena has none"):
        ArenaModel.open(str(bundle))


def test_clicks_after_the_end_of_the_log_are_no_records(played: Played) -> None:
    """A recorder keeps columns of no rows where all that happened came after the log's end."""
    watched = played.model.begin(build_world(WORLD), arena()._clock.users, Recorder())
    assert watched.recorder is not None
    for name in ("row", "time_us", "item", "behavior"):
        watched.recorder.events[name].append(np.zeros(0, np.int64))
    slates, _, _ = played.asked[0]
    assert np.isfinite(watched.on(slates).p_ctr_NK).all()


def test_what_a_recorder_is_given_later_is_not_of_the_days_before(played: Played) -> None:
    recorder = Recorder()
    made = arena(recorder=recorder, model=played.model)
    made.play(parse_player("roi@true"), recorder=recorder)
    run = made.play(Player.of("best", choose_best, "model"))
    assert run.ledger.total("spend") == played.run.ledger.total("spend")


def test_a_bundle_of_other_behaviours_is_refused(played: Played, tmp_path: Path) -> None:
    other = replace(FEATURES, behaviors={"look": 0, "order": 3})
    with pytest.raises(ConfigError, match="the behaviours look, order; the arena has view, click, cart, purchase"):
        ArenaModel.open(str(write_model(tmp_path, played.rows, other)))


def test_events_that_come_late_or_early_stand_in_the_order_of_time() -> None:
    timelines = Timelines(2)
    columns = {name: np.zeros(3, np.int64) for name in EVENT_COLUMNS}
    timelines.add(np.array([1, 0, 1]), {**columns, "time_us": np.array([9, 4, 30])})
    timelines.add(np.array([1, 1, 1]), {**columns, "time_us": np.array([5, 9, 20]), "item_key": np.array([0, 7, 0])})
    events, offsets = timelines.before(np.array([0, 1, 1]), np.array([4, 21, 9]), 3)
    assert offsets.tolist() == [0, 0, 3, 4]
    assert events["time_us"].tolist() == [9, 9, 20, 5]
    assert events["item_key"].tolist() == [0, 7, 0, 0]
    assert timelines.before(np.array([0]), np.array([1]), 3)[0]["price"].dtype == np.float32
