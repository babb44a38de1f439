"""Whatever the encoder remembers, its states are those of the whole timeline."""

import asyncio
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.bundle import Bundle
from rosa_ray.calibration import Calibration
from rosa_ray.features import FeatureState, FitSums, collate, encode_users, event_columns, no_events
from rosa_ray.features.live_catalogue import LiveCatalogue
from rosa_ray.models import UserBatch, build_ranker
from rosa_ray.models.rankers.rosa import Ranker
from rosa_ray.serving.encoder import Encoder
from rosa_ray.serving.messages import EncodeQuery
from rosa_ray.serving.model import ServedModel
from rosa_ray.serving.request_features import one_user
from rosa_ray.serving.telemetry import Telemetry
from rosa_ray.units import MINUTE_US
from tests.synthetic import BOUNDS, CONFIG, START_US, user_rows

Columns = dict[str, np.ndarray]
ROWS = user_rows(seed=3)


@pytest.fixture(scope="module")
def model() -> ServedModel:
    """A ranker whose every weight is random, so that no part is silent at its starting value."""
    torch.manual_seed(11)
    features = FeatureState.fit([FitSums.of(ROWS, BOUNDS.valid_us)], CONFIG)
    config = {"width": 16, "layers": 2, "heads": 2, "window": 4, "match_window": 4, "hidden": [16], "dropout": 0.0}
    config["transitions"] = False  # they ask for more events than states need
    ranker = build_ranker("rosa", config, features.table_sizes, features.base_rates).eval()
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    bundle = cast(Bundle, SimpleNamespace(model_version="m"))
    return ServedModel(bundle, features, cast(LiveCatalogue, None), cast(Ranker, ranker), "cpu", Calibration())


def whole_states(model: ServedModel, events: Columns) -> np.ndarray:
    """The last window of states by the ranker's own encoding of full timelines."""
    users = encode_users(one_user(0, events), model.features)
    batch = UserBatch.from_numpy(collate(users, np.zeros(1, np.int64)))
    with torch.inference_mode():
        return model.ranker.encode(batch.events)[0, : len(events["time_us"])][-model.window :].numpy()


def log(rng: np.random.Generator, minutes: list[int]) -> Columns:
    """Events at the given minutes, in order, of known items and some that training never saw."""
    known, count = ROWS.events, len(minutes)
    row = rng.integers(0, len(known["time_us"]), count)
    price = np.where(rng.random(count) < 0.3, np.nan, known["price"][row])
    item_key = np.where(rng.random(count) < 0.2, rng.integers(1, 99, count), known["item_key"][row])
    return event_columns(
        time_us=START_US + np.sort(np.array(minutes, np.int64)) * MINUTE_US,
        item_key=item_key,
        category_key=known["category_key"][row],
        behavior=rng.integers(0, 4, count),
        price=price,
    )


def insert(events: Columns, place: int, other: Columns) -> Columns:
    """A late event: `other` takes `place`, at the time of the event that was there."""
    late = {**other, "time_us": events["time_us"][place : place + 1]}
    return {name: np.insert(values, place, late[name]) for name, values in events.items()}


def cut(events: Columns, end: int, context: int) -> Columns:
    """What the lookup hands over of the first `end` events."""
    return {name: values[:end][-context:] for name, values in events.items()}


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_states_are_those_of_the_whole_timeline_whatever_was_asked_before(
    model: ServedModel, data: st.DataObject
) -> None:
    """Three users in space for one or two, whose timelines grow, are asked for earlier moments, and get late events."""
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    encoder, context = Encoder(model, cache_mb=1), model.context_events
    encoder._users.capacity = data.draw(st.sampled_from([0, 7_000, 14_000, 1_000_000]))
    logs = [log(rng, data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=45))) for _ in range(3)]
    for _ in range(data.draw(st.integers(1, 12))):
        user = data.draw(st.integers(0, 2))
        if data.draw(st.integers(0, 5)) == 0:
            place = data.draw(st.integers(0, len(logs[user]["time_us"]) - 1))
            logs[user] = insert(logs[user], place, log(rng, [0]))
        end = data.draw(st.integers(0, len(logs[user]["time_us"])))
        found = encoder.encode_now(EncodeQuery(user, cut(logs[user], end, context)))
        expected = whole_states(model, {name: values[:end] for name, values in logs[user].items()})
        assert found.states.dtype == np.float32
        np.testing.assert_allclose(found.states, expected, atol=1e-5, rtol=0)


@pytest.fixture
def grown() -> Columns:
    """Twenty events, more than the encoder's context of twelve."""
    return log(np.random.default_rng(0), list(range(0, 60, 3)))


def outcomes(encoder: Encoder, *timelines: Columns) -> list[str]:
    return [encoder.encode_now(EncodeQuery(7, events)).outcome for events in timelines]


def test_each_new_event_extends_and_nothing_new_is_a_hit(model: ServedModel, grown: Columns) -> None:
    encoder, context = Encoder(model, cache_mb=1), model.context_events
    assert context == 12
    steps = [cut(grown, end, context) for end in (1, 2, 11, 12, 13, 13, 20)]
    assert outcomes(encoder, *steps) == ["miss", *["extended"] * 4, "hit", "extended"]


def test_an_earlier_request_and_a_late_event_are_encoded_from_the_start(model: ServedModel, grown: Columns) -> None:
    encoder = Encoder(model, cache_mb=1)
    now, before, more = (cut(grown, end, 12) for end in (8, 5, 9))
    late = insert(now, 3, log(np.random.default_rng(1), [0]))
    assert outcomes(encoder, now, before, now, late, late, more) == [
        "miss",
        "rebuilt",
        "hit",
        "rebuilt",
        "hit",
        "rebuilt",
    ]


def test_a_user_without_events_is_forgotten(model: ServedModel, grown: Columns) -> None:
    encoder = Encoder(model, cache_mb=1)
    assert outcomes(encoder, grown, no_events(), grown) == ["miss"] * 3
    assert encoder.encode_now(EncodeQuery(7, no_events())).states.shape == (0, 16)


def test_without_space_every_timeline_is_encoded_from_the_start(model: ServedModel, grown: Columns) -> None:
    assert outcomes(Encoder(model), grown, grown) == ["miss", "miss"]


def test_the_arrays_of_a_request_are_neither_kept_nor_written(model: ServedModel, grown: Columns) -> None:
    encoder = Encoder(model, cache_mb=1)
    asked = {name: values.copy() for name, values in cut(grown, 8, 12).items()}
    for values in asked.values():
        values.flags.writeable = False
    first = encoder.encode_now(EncodeQuery(7, asked)).states
    again = {name: values.copy() for name, values in asked.items()}
    encoder.encode_now(EncodeQuery(7, again))
    again["item_key"][:] = 0
    assert encoder.encode_now(EncodeQuery(7, asked)).outcome == "hit"
    np.testing.assert_array_equal(encoder.encode_now(EncodeQuery(7, asked)).states, first)


def test_requests_at_the_same_time_get_their_own_states(model: ServedModel, grown: Columns) -> None:
    encoder = Encoder(model, cache_mb=1)
    asked = [(user, end) for end in (4, 6, 14, 6) for user in range(5)]

    async def ask() -> list[np.ndarray]:
        queries = [EncodeQuery(user, cut(grown, end + user, 12)) for user, end in asked]
        return [encoded.states for encoded in await asyncio.gather(*map(encoder.encode, queries))]

    for (user, end), states in zip(asked, asyncio.run(ask()), strict=True):
        expected = whole_states(model, {name: values[: end + user] for name, values in grown.items()})
        np.testing.assert_allclose(states, expected, atol=1e-5, rtol=0)
    cache = asyncio.run(encoder.describe())["cache"]
    assert {name: cache[name] for name in ("users", "miss", "extended", "rebuilt", "hit", "evicted")} == {
        "users": 5,
        "miss": 5,
        "extended": 10,
        "rebuilt": 5,
        "hit": 0,
        "evicted": 0,
    }
    assert 0 < cache["bytes"] <= cache["capacity_bytes"] == 1_000_000


def test_telemetry_hears_of_every_encoding(model: ServedModel, grown: Columns) -> None:
    heard: list[tuple[str, int, int]] = []

    class Listener(Telemetry):
        def encoded(self, outcome: str, cached_bytes: int, evicted: int) -> None:
            heard.append((outcome, cached_bytes, evicted))

    encoder = Encoder(model, cache_mb=1, telemetry=Listener())
    encoder._users.capacity = 7_000
    for user in (1, 1, 2):
        encoder.encode_now(EncodeQuery(user, grown))
    assert [(outcome, evicted) for outcome, _, evicted in heard] == [("miss", 0), ("hit", 0), ("miss", 1)]
    assert len({cached_bytes for _, cached_bytes, _ in heard}) == 1
