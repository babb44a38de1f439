"""A request reads the catalogue as it was at its time: prices, campaigns, new and ended ads."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rosa_ray.errors import BundleError
from rosa_ray.schema import ADS
from rosa_ray.serving.model import load_model
from tests.serving.client import LocalClient
from tests.serving.conftest import NOW_US, World, client_of
from tests.serving.test_model import rewritten
from tests.synthetic import ads_table

NOW = datetime.fromtimestamp(NOW_US / 1e6, UTC)
HOUR = timedelta(hours=1)

Serve = Callable[[pa.Table], LocalClient]


def versions(**of_ads: list[dict[str, Any]]) -> pa.Table:
    """The synthetic catalogue, where some ads have these versions instead of their row."""
    plain = {row["ad_id"]: row for row in ads_table().to_pylist()}
    rows = [row | change for name, row in plain.items() for change in of_ads.get(name, [{}])]
    return pa.Table.from_pylist(rows, ADS.schema)


@pytest.fixture
def serve(world: World, store_path: Path, tmp_path: Path) -> Serve:
    def of(ads: pa.Table) -> LocalClient:
        pq.write_table(ads, tmp_path / "ads.parquet")
        bundle = rewritten(world, tmp_path, extra_files={"ads.parquet": tmp_path / "ads.parquet"})
        return client_of(replace(world, bundle=bundle).scorer(store_path, rule="online"))

    return of


def rank(client: LocalClient, at: datetime = NOW, **body: object) -> dict[str, Any]:
    context = {"time": at.isoformat()}
    answer: dict[str, Any] = client.post(
        "/rank", json={"user_id": "u1", "context": context, "top_k": 30, **body}
    ).json()
    return answer


def test_price_bid_and_campaign_are_those_of_the_request(serve: Serve) -> None:
    changed = {"price": 500.0, "bid": 0.9, "campaign_id": "k2", "valid_from": NOW - HOUR}
    both, plain, late = serve(versions(a1=[{}, changed])), serve(versions()), serve(versions(a1=[changed]))
    before, after = NOW - 2 * HOUR, NOW - HOUR
    answers = [
        rank(client, moment, candidates=["a1"])["ads"]
        for client, moment in ((both, before), (plain, before), (both, after), (late, after))
    ]
    assert answers[0] == answers[1] != answers[2] == answers[3]
    assert answers[2][0]["expected_cost"] > answers[0][0]["expected_cost"]


def test_ended_ads_are_named_and_not_ranked(serve: Serve) -> None:
    client = serve(versions(a1=[{"valid_until": NOW}], a2=[{"valid_until": NOW + HOUR}]))
    assert "a1" not in {ad["ad_id"] for ad in rank(client)["ads"]}
    assert len(rank(client)["ads"]) == 29
    answer = rank(client, candidates=["a1", "a2", "nope"])
    assert [ad["ad_id"] for ad in answer["ads"]] == ["a2"]
    assert (answer["ended_candidates"], answer["unknown_candidates"]) == (["a1"], ["nope"])
    earlier = rank(client, NOW - HOUR, candidates=["a1", "a2"])
    assert len(earlier["ads"]) == 2
    assert earlier["ended_candidates"] == []


def test_a_request_for_ended_ads_alone_is_refused(serve: Serve) -> None:
    client = serve(versions(a1=[{"valid_until": NOW}]))
    answer = client.post("/rank", json={"user_id": "u1", "candidates": ["a1"]})
    assert (answer.status_code, answer.json()["detail"]) == (422, "all 1 candidates in the catalogue have ended")


def test_ads_that_begin_later_are_ranked_only_where_they_are_named(serve: Serve) -> None:
    client = serve(versions(a1=[{"valid_from": NOW + HOUR}]))
    assert "a1" not in {ad["ad_id"] for ad in rank(client)["ads"]}
    assert [ad["ad_id"] for ad in rank(client, candidates=["a1"])["ads"]] == ["a1"]
    nothing = pa.Table.from_pylist([{**versions().to_pylist()[0], "valid_from": NOW + HOUR}], ADS.schema)
    answer = serve(nothing).post("/rank", json={"user_id": "u1"})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "none of the 1 ads of the catalogue has begun and not ended"


def test_the_catalogue_counts_ads_and_not_versions(serve: Serve) -> None:
    client = serve(versions(a1=[{}, {"valid_from": NOW - HOUR, "price": 9.0}]))
    assert client.get("/model").json()["ads"] == 30
    assert len(rank(client)["ads"]) == 30


def test_an_ad_that_begins_twice_at_one_moment_is_refused(world: World, tmp_path: Path) -> None:
    twice = versions(a1=[{"valid_from": NOW}, {"valid_from": NOW, "price": 9.0}])
    pq.write_table(twice, tmp_path / "ads.parquet")
    with pytest.raises(BundleError, match="rows of one ad must differ in valid_from"):
        load_model(rewritten(world, tmp_path, extra_files={"ads.parquet": tmp_path / "ads.parquet"}))
