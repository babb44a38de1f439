"""Columns of users, items and ads in the service: as preprocessing joined them, and as the newest record says."""

import asyncio
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from rosa_ray.data.own_join import ID_COLUMNS
from rosa_ray.features import EVENT_COLUMNS, counting_fingerprint, encode_users
from rosa_ray.features.own import of_prefix
from rosa_ray.features.versions import Versions
from rosa_ray.inference import predict
from rosa_ray.schema import hash_id
from rosa_ray.serving.api import Candidate, Context, RankRequest
from rosa_ray.serving.assembly import ServiceSettings, build_scorer
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.hybrid_scorer import HybridScorer
from rosa_ray.serving.messages import FeatureQuery
from rosa_ray.store import StoreConfig, StoreVersion, open_store
from tests.serving.client import LocalClient
from tests.serving.conftest import CALIBRATION, NOW_US, candidates_of, client_of, timelines
from tests.synthetic import START_US
from tests.things_world import COLUMNS, CONFIG, ThingsWorld, make_world

LAST = "2023-11-22T22:13:00Z"
"""Just before the moment at which requests are answered."""


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> ThingsWorld:
    return make_world(tmp_path_factory.mktemp("things"))


@pytest.fixture
def store_path(things: ThingsWorld, tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    store = open_store(StoreConfig(path=str(path)), CONFIG, create=True)
    version = StoreVersion(counting_fingerprint(CONFIG), NOW_US, "log")
    store.begin_load(version, "m", 1000)
    store.load_users(version, timelines(things.events))
    for prefix, table in things.things.items():
        keys, packed = Versions.of(table, ID_COLUMNS[prefix], of_prefix(prefix, COLUMNS)).packed()
        store.load_columns(version, prefix, keys, packed)
    store.load_counters(version, things.counters)
    store.activate(version, "m")
    store.close()
    return path


@pytest.fixture
def scorer(things: ThingsWorld, store_path: Path) -> HybridScorer:
    settings = ServiceSettings(str(things.bundle), StoreConfig(path=str(store_path)), ServingConfig(rule="online"))
    scorer = build_scorer(settings)
    scorer.now_us = lambda: NOW_US
    return scorer


@pytest.fixture
def client(scorer: HybridScorer) -> LocalClient:
    return client_of(scorer)


def query_of(scorer: HybridScorer, user: str, time_us: int, ads: list[str]) -> FeatureQuery:
    chosen = candidates_of(scorer.model, ads, time_us)
    fingerprint = scorer.model.features.fingerprint
    return FeatureQuery(hash_id(user), time_us, chosen.ads["ad_key"], np.ones(len(ads)), fingerprint, keys=chosen.keys)


def logged(things: ThingsWorld) -> list[dict]:
    place = {key: row for row, key in enumerate(things.rows.impressions["impression_key"].tolist())}
    return [{**shown, "row": place[hash_id(shown["impression_id"])]} for shown in things.impressions.to_pylist()]


def test_columns_of_every_logged_impression_are_equal_bit_for_bit(things: ThingsWorld, scorer: HybridScorer) -> None:
    rows = things.rows
    own = [name for name in rows.impressions if name.startswith(("user.", "item.", "ad."))]
    assert len(own) == 7
    for shown in logged(things):
        row = shown["row"]
        time_us = int(rows.impressions["time_us"][row])
        found = scorer.lookup.read_now(query_of(scorer, shown["user_id"], time_us, [shown["ad_id"]]))  # type: ignore[attr-defined]
        assert list(found.own) == own
        for name in own:
            assert found.own[name].tobytes() == rows.impressions[name][row : row + 1].tobytes(), name
        user = int(np.flatnonzero(rows.user_key == hash_id(shown["user_id"]))[0])
        mine = slice(rows.event_offsets[user], rows.event_offsets[user + 1])
        past = rows.events["time_us"][mine] < time_us
        assert list(found.events) == [*EVENT_COLUMNS, "item.brand"]
        brands = rows.events["item.brand"][mine][past][-scorer.model.context_events :]
        assert found.events["item.brand"].tobytes() == brands.tobytes()


def test_scores_are_those_of_the_user_rows(things: ThingsWorld, scorer: HybridScorer) -> None:
    raw = predict(scorer.model.ranker, encode_users(things.rows, things.features))
    expected = CALIBRATION.apply({**raw, "price": things.rows.impressions["price"]})
    for shown in logged(things)[::5]:
        request = RankRequest(
            user_id=shown["user_id"],
            candidates=[Candidate(ad_id=shown["ad_id"], bid=shown["bid"])],
            context=Context(
                device=shown["device"],
                region=shown["region"],
                time=shown["request_time"].isoformat(),
                columns={"place": shown["request.place"]},
            ),
        )
        ad = asyncio.run(scorer.rank(request))["ads"][0]
        for name in ("p_ctr", "p_cvr", "value"):
            np.testing.assert_allclose(ad[name], expected[name][shown["row"]], rtol=1e-5)


def ctr(client: LocalClient, user: str = "nobody", **context: object) -> dict[str, float]:
    answer = client.post("/rank", json={"user_id": user, "candidates": ["a1", "a2"], "context": context})
    assert answer.status_code == 200, answer.text
    return {ad["ad_id"]: ad["p_ctr"] for ad in answer.json()["ads"]}


def tell(client: LocalClient, **record: object) -> None:
    answer = client.post("/events", json={"valid_from": None, **record})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"accepted": 1, "duplicates": 0, "rejected": []}


def test_a_record_is_seen_by_the_next_ranking(client: LocalClient) -> None:
    scores = [ctr(client)]
    for record in (
        {"type": "profile", "user_id": "nobody", "columns": {"age": 30, "likes": ["l1", "l2"]}},
        {"type": "item", "item_id": "i1", "valid_from": LAST, "columns": {"weight": 70.0}},
        {"type": "ad", "ad_id": "a1", "valid_from": LAST, "columns": {"margin": 90.0}},
    ):
        tell(client, **record)
        scores.append(ctr(client))
    assert [one["a1"] != other["a1"] for one, other in pairwise(scores)] == [True] * 3
    assert [one["a2"] != other["a2"] for one, other in pairwise(scores)] == [True, False, False]
    tell(client, type="ad", ad_id="a1", valid_from=LAST, columns={"margin": 90.0})
    assert ctr(client) == scores[-1]


def test_a_shared_column_that_changes_is_encoded_anew(client: LocalClient, things: ThingsWorld) -> None:
    event = max(things.events.to_pylist(), key=lambda event: event["event_time"])
    before, since = ctr(client, event["user_id"]), event["event_time"].isoformat()
    assert ctr(client, event["user_id"]) == before
    tell(client, type="item", item_id=event["item_id"], valid_from=since, columns={"brand": "new"})
    assert ctr(client, event["user_id"]) != before


def test_a_request_reads_what_held_at_its_time(client: LocalClient) -> None:
    def at(time: str) -> dict[str, float]:
        return ctr(client, time=time)

    day = "2023-11-20T00:00:0"
    tell(client, type="profile", user_id="nobody", valid_from=f"{day}5Z", columns={"age": 60})
    first = at(f"{day}4Z")
    assert first == at(f"{day}4Z") != at(f"{day}5Z")
    tell(client, type="profile", user_id="nobody", valid_from=f"{day}6Z", columns={"age": None})
    assert at(f"{day}5Z") != at(f"{day}6Z") == first


def test_without_the_store_columns_are_missing_and_the_answer_says_so(
    things: ThingsWorld, scorer: HybridScorer, store_path: Path
) -> None:
    store_path.unlink()
    answer = client_of(scorer).post("/rank", json={"user_id": "u1", "candidates": ["a1"]})
    assert (answer.status_code, answer.json()["degraded"]) == (200, ["store"])
    found = scorer.lookup.read_now(query_of(scorer, "u1", START_US, ["a1"]))  # type: ignore[attr-defined]
    assert found.own["user.age"].tolist() != found.own["user.age"].tolist()
    assert [values.dtype for values in found.own.values()] == [
        things.rows.impressions[name].dtype for name in found.own
    ]


def test_what_was_read_before_is_used_while_the_store_is_down(scorer: HybridScorer, store_path: Path) -> None:
    client, query = client_of(scorer), query_of(scorer, "u1", NOW_US, ["a1", "a2"])
    ctr(client, "u1")
    known = scorer.lookup.read_now(query)  # type: ignore[attr-defined]
    scorer.lookup.close()  # type: ignore[attr-defined]
    store_path.unlink()
    degraded = scorer.lookup.read_now(query)  # type: ignore[attr-defined]
    assert degraded.degraded == ("store",)
    assert {name: values.tobytes() for name, values in degraded.own.items()} == {
        name: values.tobytes() for name, values in known.own.items()
    }


@pytest.mark.parametrize(
    ("kind", "columns", "reason"),
    [
        ("profile", {"age": "old"}, "columns.age is no number; the column is declared as one"),
        ("profile", {"likes": "l1"}, "columns.likes is no list of texts; the column is declared as categories"),
        ("profile", {"taste": [1]}, "columns.taste is no list of 2 numbers; the column is declared as a vector"),
        ("item", {"brand": ["x"]}, "columns.brand is no text; the column is declared as a category"),
    ],
)
def test_a_value_of_another_type_is_rejected(
    client: LocalClient, kind: str, columns: dict[str, object], reason: str
) -> None:
    record = {"type": kind, "user_id": "u", "item_id": "i", "valid_from": None, "columns": columns}
    answer = client.post("/events", json=record)
    assert answer.json()["rejected"] == [{"index": 0, "code": "malformed", "reason": reason}]


def test_columns_that_are_not_read_live_are_ignored_and_counted(client: LocalClient) -> None:
    record = {"type": "item", "item_id": "i1", "valid_from": None, "columns": {"image": [1, 2, 3], "colour": "red"}}
    answer = client.post("/events", json=record).json()
    assert (answer["accepted"], answer["ignored_fields"]) == (1, {"columns.image": 1, "columns.colour": 1})


def test_a_user_of_whom_only_columns_are_known_is_known(client: LocalClient) -> None:
    asked = {"user_id": "nobody", "candidates": ["a1"]}
    assert not client.post("/rank", json=asked).json()["user_known"]
    tell(client, type="profile", user_id="nobody", columns={"age": 30})
    assert client.post("/rank", json=asked).json()["user_known"]
