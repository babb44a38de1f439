"""Read your writes: the first ranking after a post reflects it, whoever of the service's parts answers."""

import pytest

from rosa_ray.errors import ServingError
from rosa_ray.serving import read_your_writes
from rosa_ray.serving.read_your_writes import measure_freshness
from tests.serving.client import LocalClient
from tests.serving.conftest import World, client_of


class OverHttp:
    """A ranking client whose requests go to an app in this process."""

    url = "http://service"
    local: LocalClient

    def __init__(self, url: str) -> None: ...

    def __enter__(self) -> "OverHttp":
        return self

    def __exit__(self, *error: object) -> None: ...

    def rank(self, user_id: str, candidates: list[str], **fields: object) -> dict:
        return self.local.post("/rank", json={"user_id": user_id, "candidates": candidates, **fields}).json()

    def post_events(self, events: list[dict]) -> dict:
        return self.local.post("/events", json={"events": events}).json()


def test_an_event_is_in_the_first_ranking_after_its_post(
    world: World, store_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = world.scorer(store_path)
    scorer.now_us = lambda: 4_000_000_000_000_000
    monkeypatch.setattr(OverHttp, "local", client_of(scorer), raising=False)
    monkeypatch.setattr(read_your_writes, "RankingClient", OverHttp)
    report = measure_freshness("http://service", 5, ["a1", "a2"])
    assert (report.events, report.at_once) == (5, 1.0)
    assert 0 < report.post_p50_ms < report.p50_ms <= report.p99_ms


def test_an_event_without_effect_is_an_error(world: World, store_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of this service stands before the event, so that no ranking may see it."""
    scorer = world.scorer(store_path, max_future_s=10**9)
    monkeypatch.setattr(OverHttp, "local", client_of(scorer), raising=False)
    monkeypatch.setattr(read_your_writes, "RankingClient", OverHttp)
    monkeypatch.setattr(read_your_writes, "GIVE_UP_S", 0.1)
    with pytest.raises(ServingError, match=r"no effect on rankings within 0\.1 s"):
        measure_freshness("http://service", 1, ["a1"])
