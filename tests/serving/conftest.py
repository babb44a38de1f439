"""A small trained-looking service: a log, its user rows, a bundle with random weights, and a filled store."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from rosa_ray.bundle import write_bundle
from rosa_ray.calibration import Calibration, Curve, Returns
from rosa_ray.features import (
    EVENT_COLUMNS,
    AdTable,
    CounterStates,
    EncodedUsers,
    FeatureConfig,
    FeatureState,
    FitSums,
    UserRows,
    build_user_rows,
    counting_fingerprint,
    encode_users,
    fold_events,
    fold_impressions,
    keyed_events,
    keyed_impressions,
)
from rosa_ray.features.records import mixed_keys
from rosa_ray.models import build_ranker, ensemble_of
from rosa_ray.schema import BEHAVIORS, hash_ids
from rosa_ray.serving.assembly import ServiceSettings, build_scorer
from rosa_ray.serving.candidates import Candidates
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.encoder import Encoder
from rosa_ray.serving.http import create_app
from rosa_ray.serving.hybrid_scorer import HybridScorer
from rosa_ray.serving.messages import EncodeQuery
from rosa_ray.serving.model import ServedModel, load_model
from rosa_ray.serving.service import RankingService
from rosa_ray.store import StateBlock, StoreConfig, StoreVersion, TimelineBlock, open_store
from rosa_ray.units import DAY_US
from tests.described import described
from tests.serving.client import LocalClient
from tests.some_trees import give_trees
from tests.synthetic import BOUNDS, CONFIG, DAYS, START_US, ads_table, events_table, impressions_table

NOW_US = START_US + DAYS * DAY_US
CALIBRATION = Calibration(
    ctr=Curve((-3.0, -1.0, 1.0), (-4.0, -1.5, 0.2)),
    cvr=Curve((-2.0, 2.0), (-1.0, 0.5)),
    value_factor=1.25,
    value_weight=0.4,
    returns=Returns(theta=2.0, level=0.5, requests=100, clicks=40.0),
)
MODEL = {
    "width": 16,
    "layers": 2,
    "heads": 2,
    "window": 4,
    "match_window": 10,
    "hidden": [16],
    "dropout": 0.0,
}


@dataclass(frozen=True)
class World:
    """What the offline path computed of one log, and where the bundle and the filled store lie."""

    events: pa.Table
    impressions: pa.Table
    counters: CounterStates
    rows: UserRows
    features: FeatureState
    bundle: Path
    store: Path
    model: ServedModel

    @property
    def users(self) -> EncodedUsers:
        """All users, encoded."""
        return encode_users(self.rows, self.features)

    def settings(self, store: Path, **serving: object) -> ServiceSettings:
        """Of a service that waits: on a busy machine an answer in time is no matter of the code."""
        patient = {"lookup_deadline_ms": 20_000, "encoder_deadline_ms": 20_000}
        return ServiceSettings(str(self.bundle), StoreConfig(path=str(store)), ServingConfig(**(patient | serving)))

    def scorer(self, store: Path, **serving: object) -> HybridScorer:
        scorer = build_scorer(self.settings(store, **serving))
        scorer.now_us = lambda: NOW_US
        return scorer


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("world"))


def build_world(home: Path, config: FeatureConfig = CONFIG) -> World:
    """A log with the behaviours of a config, and what is computed of it."""
    rng = np.random.default_rng(3)
    events, impressions = events_table(rng, behaviors=config.behavior_names), impressions_table(rng)
    shown, _ = keyed_impressions(impressions, AdTable.from_table(ads_table()))
    keyed = keyed_events(events, config.behavior_names)
    counters = fold_events(keyed, config) | fold_impressions(shown, config)
    rows = build_user_rows(keyed, shown, None, counters, config, BOUNDS)
    features = FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us)], config)
    bundle = write_world_bundle(home, features, users=encode_users(rows, features))
    model = load_model(bundle)
    _fill_store(home / "store.db", events, counters, model)
    return World(events, impressions, counters, rows, features, bundle, home / "store.db", model)


@pytest.fixture
def store_path(world: World, tmp_path: Path) -> Path:
    """A copy of the filled store."""
    return Path(shutil.copy(world.store, tmp_path / "store.db"))


@pytest.fixture
def scorer(world: World, store_path: Path) -> HybridScorer:
    return world.scorer(store_path)


@pytest.fixture
def client(scorer: HybridScorer) -> LocalClient:
    return client_of(scorer)


def candidates_of(model: ServedModel, ids: Sequence[str], time_us: int = NOW_US) -> Candidates:
    """Ads as a request names them."""
    numbers = np.array([model.catalogue.number(ad_id) for ad_id in ids])
    return Candidates.of(model.catalogue, numbers, model.catalogue.rows_at(numbers, time_us))


def client_of(scorer: HybridScorer) -> LocalClient:
    """An HTTP client of one scorer, in process."""
    return LocalClient(create_app(RankingService(scorer)))


def write_world_bundle(
    home: Path,
    features: FeatureState,
    name: str = "rosa",
    config: Mapping[str, object] = MODEL,
    seed: int = 11,
    members: int = 1,
    users: EncodedUsers | None = None,
) -> Path:
    """A bundle with random weights for these features, of a single model or of an ensemble.

    Args:
        users: give boosted trees their random thresholds; without them there are no trees.
    """
    torch.manual_seed(seed)
    description = described(name, config, features)
    rankers = [build_ranker(**description) for _ in range(members)]
    ranker = rankers[0] if members == 1 else ensemble_of(rankers)
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    if users is not None:
        give_trees(ranker, users, seed)
    pq.write_table(ads_table(), home / "ads.parquet", write_page_checksum=True)
    write_bundle(
        home / "bundle",
        weights=ranker.state_dict(),
        model=description | ({"members": members} if members > 1 else {}),
        features_saver=features.save,
        feature_fingerprint=features.fingerprint,
        metrics={"auc": 0.7},
        config={"seed": 1},
        calibration=CALIBRATION,
        extra_files={"ads.parquet": home / "ads.parquet"},
    )
    return home / "bundle"


def write_refit(world: World, home: Path, store: Path, seed: int) -> str:
    """A bundle of other weights in a run of its own, with its states in the store; returns the model's version."""
    model = load_model(write_world_bundle(home, world.features, seed=seed, users=world.users))
    opened = open_store(StoreConfig(path=str(store), states_dtype="float32"), model.features.config, model.version)
    version = StoreVersion(counting_fingerprint(model.features.config), NOW_US, "log")
    opened.begin_load(version, model.version, 1000)
    opened.write_states(version, model.version, states(timelines(world.events), model))
    opened.activate(version, model.version)
    opened.close()
    return model.version


def _fill_store(path: Path, events: pa.Table, counters: CounterStates, model: ServedModel) -> None:
    store = open_store(
        StoreConfig(path=str(path), states_dtype="float32"),
        model.features.config,
        model.version,
        create=True,
    )
    version = StoreVersion(counting_fingerprint(model.features.config), NOW_US, "log")
    store.begin_load(version, model.version, 1000)
    block = timelines(events, model.features.config.behavior_names)
    store.load_users(version, block)
    store.load_counters(version, counters)
    store.write_states(version, model.version, states(block, model))
    store.activate(version, model.version)
    store.close()


def timelines(events: pa.Table, behaviors: Sequence[str] = BEHAVIORS) -> TimelineBlock:
    """All events as the store takes them."""
    events = events.append_column("user_key", pa.array(hash_ids(events["user_id"])))
    events = events.sort_by([(name, "ascending") for name in ("user_key", "event_time", "event_id")])
    user_key, counts = np.unique(events["user_key"].to_numpy(), return_counts=True)
    return TimelineBlock(
        user_key=user_key,
        event_offsets=np.r_[0, np.cumsum(counts)],
        events={**keyed_events(events, behaviors), "event_id": events["event_id"].to_numpy()},
        last_us=events["event_time"].cast(pa.int64()).to_numpy()[np.cumsum(counts) - 1],
        seen_key=mixed_keys(
            hash_ids(events["event_id"]), np.zeros(events.num_rows, np.int8), events["user_key"].to_numpy()
        ),
        seen_time_us=events["event_time"].cast(pa.int64()).to_numpy(),
    )


def states(block: TimelineBlock, model: ServedModel) -> StateBlock:
    """The last window of states of every user."""
    encoder, window = Encoder(model), model.window
    parts, offsets, kept = [], [0], []
    for start, end in zip(block.event_offsets[:-1], block.event_offsets[1:], strict=True):
        mine = {name: values[start:end] for name, values in block.events.items() if name in EVENT_COLUMNS}
        parts.append(encoder.encode_now(EncodeQuery(0, mine)).states)
        kept.append(np.arange(max(start, end - window), end))
        offsets.append(offsets[-1] + len(parts[-1]))
    rows = np.concatenate(kept)
    return StateBlock(
        user_key=block.user_key,
        state_offsets=np.array(offsets),
        event_id=block.events["event_id"][block.event_offsets[1:] - 1],
        events={name: block.events[name][rows] for name in EVENT_COLUMNS},
        states=np.concatenate(parts),
    )
