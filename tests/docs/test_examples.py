"""What the pages show to send is taken: every call of the service, every live record, every example."""

import json
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rosa_ray.features import FeatureConfig, FeatureState, FitSums
from rosa_ray.features.own import ColumnConfig
from rosa_ray.serving.api import RankRequest
from rosa_ray.serving.assembly import ServiceSettings, build_scorer
from rosa_ray.serving.config import ServingConfig
from rosa_ray.store import StoreConfig, open_store
from tests.docs.pages import PAGES, ROOT, code_of, name_of
from tests.serving.client import LocalClient
from tests.serving.conftest import client_of, write_world_bundle
from tests.synthetic import BOUNDS, user_rows_of

COLUMNS = {"request.placement": ColumnConfig(), "request.floor_price": ColumnConfig(type="number")}
DECLARED = FeatureConfig(views=("user_events", "user_impressions"), item_oov_buckets=8, oov_buckets=4, columns=COLUMNS)
NOW = datetime(2026, 2, 2, tzinfo=UTC)
"""After every time that the pages name."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> LocalClient:
    """A service with ads and users as the simulator names them, and the columns that the pages declare."""
    rng, home = np.random.default_rng(3), tmp_path_factory.mktemp("docs")
    own = {
        "request.placement": pa.array([("top", "side", None)[at] for at in rng.integers(0, 3, 400)]),
        "request.floor_price": pa.array(rng.lognormal(size=400)),
    }
    state = FeatureState.fit([FitSums.of(user_rows_of(DECLARED, own), BOUNDS.valid_us, DECLARED)], DECLARED)
    bundle, store = write_world_bundle(home, state), StoreConfig(path=str(home / "store.db"))
    open_store(store, DECLARED, create=True).close()
    scorer = build_scorer(ServiceSettings(str(bundle), store, ServingConfig()))
    scorer.now_us = lambda: round(NOW.timestamp() * 1e6)
    return client_of(scorer)


def calls(text: str) -> list[tuple[str, Any]]:
    """Path and body of every call of the service in a page.

    >>> calls("```\\ncurl -s http://127.0.0.1:8000/rank \\\\\\n  -d '{}'\\n```")
    [('/rank', {})]
    """
    found = []
    for block in code_of(text):
        for command in re.findall(r"curl [^\n]*(?:\\\n[^\n]*)*(?:\n {2,}[^\n]*)*", block):
            words = shlex.split(command.replace("\\\n", " "))
            if "-d" in words:
                url = next(word for word in words if ":8000/" in word)
                found.append((f"/{url.partition(':8000/')[2]}", json.loads(words[words.index("-d") + 1])))
    return found


def records(text: str) -> list[dict[str, Any]]:
    """Live records that stand in lines of their own, on one line or over several."""
    decoder, found = json.JSONDecoder(), []
    for block in code_of(text):
        for start in re.finditer(r'^\{"(?:type|event_id)"', block, re.M):
            record, _ = decoder.raw_decode(block, start.start())
            found.append(record)
    return found


CALLS = [(page, *call) for page in PAGES for call in calls(page.read_text())]
RECORDS = [(page, record) for page in PAGES for record in records(page.read_text())]


def test_calls_and_records_are_found() -> None:
    pages = {name_of(page) for page, *_ in CALLS}
    assert {"docs/tutorial/ask-the-service.md", "docs/how-to/serve-a-model.md"} <= pages
    assert "docs/how-to/follow-a-stream.md" in {name_of(page) for page, _ in RECORDS}


@pytest.mark.parametrize(
    ("page", "path", "body"), CALLS, ids=lambda value: name_of(value) if isinstance(value, Path) else ""
)
def test_a_call_is_answered(client: LocalClient, page: Path, path: str, body: Any) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, f"{page.relative_to(ROOT)}: {answer.text}"
    assert not answer.json().get("rejected")
    assert answer.json().get("ads", True)


@pytest.mark.parametrize(
    ("page", "record"), RECORDS, ids=lambda value: name_of(value) if isinstance(value, Path) else ""
)
def test_a_record_is_taken(client: LocalClient, page: Path, record: dict[str, Any]) -> None:
    answer = client.post("/events", json=record).json()
    assert (answer["accepted"] + answer["duplicates"], answer["rejected"]) == (1, [])


@pytest.mark.parametrize("request_body", RankRequest.model_config["json_schema_extra"]["examples"])  # type: ignore[index]
def test_an_example_of_the_interface_ranks(client: LocalClient, request_body: dict[str, Any]) -> None:
    answer = client.post("/rank", json=request_body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["unknown_candidates"] == []
    assert len(answer.json()["ads"]) == len(request_body.get("candidates", range(20)))
