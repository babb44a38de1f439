"""`rosa forget`: the user leaves the store and the files of a run, under the id and under the pseudonym."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rosa_ray.config import load_config
from rosa_ray.features import FeatureConfig, RecordKind, records_of
from rosa_ray.schema import hash_id
from rosa_ray.schema.pseudonyms import PrivacyConfig, open_pseudonyms
from rosa_ray.store import StoreConfig, open_store
from workloads.cli import main

SECRET = "a secret of 24 characters"  # pragma: allowlist secret


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose log and store hold ann as a pseudonym."""
    monkeypatch.setenv("USER_SECRET", SECRET)
    pseudonyms = open_pseudonyms(PrivacyConfig(user_key_secret_env="USER_SECRET"))
    assert pseudonyms is not None
    name = pseudonyms.of("ann")
    (tmp_path / "run" / "log" / "events").mkdir(parents=True)
    pq.write_table(pa.table({"user_id": [name, "p-other"]}), tmp_path / "run" / "log" / "events" / "part-0.parquet")
    store = StoreConfig(path=str(tmp_path / "run" / "store.db"))
    with open_store(store, FeatureConfig(), create=True) as opened:  # type: ignore[attr-defined]
        ids = {"record_id": np.array(["e1"], object), "user_key": np.array([hash_id(name)])}
        opened.apply(records_of(RecordKind.EVENT, **ids))
    path = tmp_path / "run.yaml"
    path.write_text(f"run_dir: {tmp_path}/run\nprivacy:\n  user_key_secret_env: USER_SECRET\n")
    return path


def forget(config: Path, *arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["forget", str(config), *arguments])
    return int(ended.value.code or 0)


def test_a_user_leaves_files_and_store_and_the_report_says_so(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert forget(config, "ann", "--dry-run") == 0
    planned = capsys.readouterr().out
    assert forget(config, "ann") == 0
    done = capsys.readouterr().out
    assert planned == done.replace(" removed", " would be removed")
    assert "part-0.parquet: 1 rows removed" in done
    assert "store.db: removed" in done
    assert forget(config, "ann") == 0
    assert "user 'ann': nothing of it is in" in capsys.readouterr().out


def test_a_run_without_a_store_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"run_dir: {tmp_path}/none\n")
    assert forget(path, "ann") == 0
    assert "nothing of it" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


def test_a_log_outside_the_run_is_named(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        forget(config, "ann", "--set", "source.kind=taobao", "--set", f"source.path={tmp_path}/UserBehavior.csv") == 0
    )
    assert "UserBehavior.csv: not touched" in capsys.readouterr().out


def test_live_records_outside_the_run_are_blanked_too(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "stream" / "0" / "00000000000000000000.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text('{"user_id": "ann"}\n{"user_id": "bob"}\n')
    assert forget(config, "ann", "--set", f"stream.path={tmp_path}/stream") == 0
    assert "jsonl: 1 lines removed" in capsys.readouterr().out
    assert log.read_text() == " " * 18 + '\n{"user_id": "bob"}\n'


def test_the_secret_is_not_in_the_config(config: Path) -> None:
    assert SECRET not in repr(load_config(config))
