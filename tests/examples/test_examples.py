"""Every example runs: the notebook cell by cell, the scripts one after another, a model and a source from outside."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from examples import my_model, my_source, rank, train
from rosa_ray.config import load_config
from rosa_ray.errors import ConfigError, InputError
from rosa_ray.models import config_class
from rosa_ray.schema import CONTRACTS
from rosa_ray.serving.config import ServingConfig
from rosa_ray.sources import SourceConfig, open_source
from tests.synthetic import ads_table, events_table, impressions_table

NOTEBOOK = Path(train.__file__).with_name("quickstart.ipynb")
SMALL = (
    "simulation.users=200",
    "simulation.requests_per_user=12",
    "simulation.items=300",
    "simulation.ads=80",
    "model.width=16",
    "model.heads=2",
    "model.window=8",
    "training.epochs=1",
    "tracking.enabled=false",
)


def notebook_cells() -> list[dict[str, Any]]:
    return [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_runs_from_top_to_bottom() -> None:
    names: dict[str, Any] = {}
    for cell in notebook_cells():
        exec("".join(cell["source"]), names)
        if "parameters" in cell["metadata"].get("tags", ()):
            names |= {"USERS": 60, "EPOCHS": 1}
    assert 0 < names["history"][0]["auc"] < 1
    assert names["value"]["random_policy_roi"] < names["value"]["oracle_policy_roi"]
    assert len(names["request"]) == names["law"].candidates_per_request


def test_the_notebook_is_committed_without_outputs() -> None:
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in notebook_cells())


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_a_run_is_trained_and_ranks_anew_after_two_events(
    tmp_path: Path, ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = train.main(str(tmp_path), *SMALL)
    assert metrics["random_policy_roi"] < metrics["oracle_policy_roi"]
    before, after = asyncio.run(rank.main(str(tmp_path)))
    assert len(before) == len(after) == ServingConfig().top_k
    assert [ad["score"] for ad in before] != [ad["score"] for ad in after]
    assert f"what ad {before[len(before) // 2]['ad_id']} sells" in capsys.readouterr().out


def test_a_model_from_outside_is_a_section_of_the_config() -> None:
    """`tests/models/test_rankers.py` holds it to the contract of all rankers."""
    config = load_config(overrides=["model.name=examples.my_model", "model.window=20"])
    assert config.model.settings == my_model.Config(window=20)
    with pytest.raises(ConfigError, match=r"unknown key 'model\.wings'"):
        load_config(overrides=["model.name=examples.my_model", "model.wings=2"])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("examples.nowhere", "cannot be imported: No module named 'examples.nowhere'"),
        ("examples.rank", "that module defines no Config"),
        ("..rank", "known models are deepfm"),
    ],
)
def test_a_module_that_is_no_model_is_refused(name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"model.name is '{name}'") + ".*" + re.escape(reason)):
        config_class(name)


@pytest.fixture
def jsonl_log(tmp_path: Path) -> dict[str, pa.Table]:
    rng = np.random.default_rng(0)
    tables = {"events": events_table(rng), "impressions": impressions_table(rng), "ads": ads_table()}
    for name, table in tables.items():
        lines = (json.dumps(row, default=lambda time: time.isoformat()) for row in table.to_pylist())
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return tables


def read_all(folder: Path) -> dict[str, pa.Table]:
    source = open_source(SourceConfig(kind="examples.my_source.jsonl", path=str(folder)))
    assert isinstance(source, my_source.JsonLines)
    batches = {file.contract_name: [batch.table for batch in source.read(file)] for file in source.files()}
    return {name: CONTRACTS[name].check(pa.concat_tables(tables), name)[0] for name, tables in batches.items()}


def test_a_source_from_outside_reads_what_was_written(jsonl_log: dict[str, pa.Table], tmp_path: Path) -> None:
    assert read_all(tmp_path) == jsonl_log


def test_a_damaged_file_of_it_is_named(jsonl_log: dict[str, pa.Table], tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('{"event_id": "e1"')
    with pytest.raises(InputError, match=r"events\.jsonl: .*a file of JSON lines"):
        read_all(tmp_path)
    with pytest.raises(ConfigError, match=r"source\.path is empty"):
        open_source(SourceConfig(kind="examples.my_source.jsonl"))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("examples.nowhere.jsonl", "examples.nowhere cannot be imported: No module named 'examples.nowhere'"),
        ("examples.my_source.xml", "SOURCES of examples.my_source has jsonl"),
        ("examples.rank.jsonl", "SOURCES of examples.rank has nothing"),
        ("..jsonl", "it must be one of ali_ccp, avazu"),
    ],
)
def test_a_module_that_is_no_source_is_refused(kind: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(kind) + ".*" + re.escape(reason)):
        open_source(SourceConfig(kind=kind, path="somewhere"))
