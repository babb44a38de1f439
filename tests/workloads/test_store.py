"""`rosa store`: the list of what is held, and the removal of a part."""

from dataclasses import replace
from pathlib import Path

import pytest

from rosa_ray.store import StoreConfig, open_store
from rosa_ray.units import DAY_US
from tests.contracts.stores import FEATURES, KEEP, MODEL, T0, VERSION, columns_of, load
from workloads.cli import main

NEXT = replace(VERSION, as_of_us=T0 + DAY_US, source="next day")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A run whose store holds two logs, with two models of the first."""
    store = open_store(
        StoreConfig(path=str(tmp_path / "run" / "store.db"), max_timeline_events=KEEP, journal_days=1),
        FEATURES,
        create=True,
    )
    rows = [("e1", "ann", T0)]
    for version, model in ((VERSION, MODEL), (VERSION, "model-2"), (NEXT, "model-3")):
        load(store, rows, version, model)
        store.activate(version, model)
    for days in (1, 3):
        store.apply(columns_of([(f"l{days}", "ann", T0 + days * DAY_US)]))
    store.close()
    path = tmp_path / "run.yaml"
    path.write_text(f"run_dir: {tmp_path}/run\n")
    return path


def rosa_store(config: Path, *arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["store", str(config), *arguments])
    return int(ended.value.code or 0)


def test_it_lists_logs_and_their_models(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rosa_store(config) == 0
    shown = capsys.readouterr().out
    assert [shown.index(text) for text in ("active", "model-3", "live", "model-2", MODEL)] == sorted(
        shown.index(text) for text in ("active", "model-3", "live", "model-2", MODEL)
    )
    assert "1 live records wait for a log that holds them; 1 were older than store.journal_days" in shown


def test_it_removes_a_model_and_not_the_active_one(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rosa_store(config, "--drop", "model-2") == 0
    shown = capsys.readouterr().out
    assert "store.db: model-2 is removed" in shown
    assert shown.count("model-2") == 1
    assert rosa_store(config, "--drop", "model-3") == 7
    assert "'model-3' is active, and is not dropped" in capsys.readouterr().err


def test_a_run_without_a_store_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.yaml").write_text(f"run_dir: {tmp_path}/run\n")
    assert rosa_store(tmp_path / "run.yaml") == 7
    assert "does not exist; fill it with `rosa materialize`" in capsys.readouterr().err
