"""An object store that goes away in the middle of a materialisation: one line, the former version, and a way on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from rosa_ray.bundle import open_bundle
from rosa_ray.data import materialize as module
from rosa_ray.data.materialize import encode_file, materialize
from rosa_ray.errors import InputError
from rosa_ray.features import FeatureState
from rosa_ray.store import StoreConfig, open_store
from rosa_ray.units import DAY_US
from tests.data.test_materialize import run, state  # noqa: F401
from tests.fake_s3 import fake_s3


@pytest.fixture
def s3() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch, fake_s3(patch, "away") as file_system:
        yield file_system


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encodes without Ray."""

    def encoded(encoder: Any, files: list[Any], config: Any, *rest: Any) -> Iterator[pa.Table]:
        for file in files:
            yield from encode_file(encoder, file.path, 16)

    monkeypatch.setattr(module, "_encoded", encoded)


def lose_after(monkeypatch: pytest.MonkeyPatch, s3: Any, path: str, reads: int) -> None:
    """From so many reads of an object on, nothing answers any more."""
    from botocore.exceptions import EndpointConnectionError

    call, seen = type(s3)._call_s3, [0]

    async def broken(self: Any, method: str, *arguments: Any, **options: Any) -> Any:
        asked = method in ("get_object", "head_object") and f"{options.get('Key')}".endswith(path)
        seen[0] += asked and method == "get_object"
        if seen[0] > reads:
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
        return await call(self, method, *arguments, **options)

    monkeypatch.setattr(type(s3), "_call_s3", broken)


@pytest.mark.parametrize("lost_at", ["users/part-00001.parquet", "users/part-00002.parquet", "counters.parquet"])
def test_the_former_version_stays_and_the_next_run_goes_on(
    s3: Any,
    run: Path,  # noqa: F811
    state: FeatureState,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    lost_at: str,
) -> None:
    config = StoreConfig(path=str(run / "store.db"))
    data, bundle = "s3://away/run/data", str(run / "bundle")
    s3.put(str(run / "data"), "away/run/data", recursive=True)
    former = materialize(data, bundle, config).version
    spec = json.loads(s3.cat_file("away/run/data/spec.json"))
    spec["end_us"] += DAY_US
    s3.pipe_file("away/run/data/spec.json", json.dumps(spec).encode())
    with monkeypatch.context() as patch:
        lose_after(patch, s3, lost_at, 1 if lost_at.startswith("users") else 0)
        with pytest.raises(InputError, match="no S3 server answers") as caught:
            materialize(data, bundle, config)
    assert "\n" not in str(caught.value)
    store = open_store(config, state.config)
    assert store.info().version.source == former.source
    assert store.read_user(110).known
    store.close()
    result = materialize(data, bundle, config)
    assert result.version.source != former.source
    whole = materialize(data, bundle, StoreConfig(path=str(run / "clean.db")))
    assert (result.users, whole.resumed_files) == (whole.users - _users_in(s3, result.resumed_files), 0)
    model = open_bundle(bundle).model_version
    stores = [open_store(StoreConfig(path=str(run / name)), state.config, model) for name in ("store.db", "clean.db")]
    assert stores[0].info().model_version == model
    for key in (*range(100, 140), 999):
        found, expected = (store.read_user(key) for store in stores)
        assert found.timeline["event_id"].tolist() == expected.timeline["event_id"].tolist()
        assert (found.states is None) == (expected.states is None)
        if found.states is not None and expected.states is not None:
            assert found.states.states.tobytes() == expected.states.states.tobytes()
        assert found.counters["user_events"].sums.tolist() == expected.counters["user_events"].sums.tolist()
    for store in stores:
        store.close()


def _users_in(s3: Any, files: int) -> int:
    import pyarrow.parquet as pq

    paths = sorted(s3.ls("away/run/data/users"))[:files]
    tables = [pq.read_table(s3.open(path)) for path in paths]
    return sum(sum(len(events) > 0 for events in table["event_id"].to_pylist()) for table in tables)
