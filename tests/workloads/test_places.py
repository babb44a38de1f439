"""A run directory repeats its run, and says clearly when it cannot be written."""

from dataclasses import replace
from pathlib import Path

import pytest

from rosa_ray.config import RunConfig, load_config
from rosa_ray.data.preprocess import PreprocessConfig
from rosa_ray.errors import ConfigError, InputError
from rosa_ray.serving.assembly import ServiceSettings
from rosa_ray.sources import SourceConfig
from rosa_ray.store import StoreConfig
from rosa_ray.streaming.assembly import open_records
from workloads import ingest
from workloads.places import (
    brings_impressions,
    record_config,
    service_settings,
    source_of,
    store_of,
    stream_settings,
)
from workloads.replay import ReplayOptions, open_sink


def test_a_simulated_log_keeps_the_tables_of_its_source() -> None:
    source = SourceConfig(kind="taobao", path="log", users="users.csv", columns={"users": {"valid_from": "since"}})
    simulated = source_of(RunConfig(run_dir="runs/demo", source=source))
    assert (simulated.kind, simulated.path, simulated.users) == ("log", "runs/demo/log", "users.csv")
    assert simulated.columns == source.columns
    bare = source_of(RunConfig(run_dir="runs/demo", source=replace(source, users="")))
    assert bare == SourceConfig(kind="log", path="runs/demo/log")


def test_a_log_of_events_alone_is_its_own_source_where_it_is_only_pretrained_on() -> None:
    source = SourceConfig(kind="csv", events="events.csv")
    alone = PreprocessConfig(without_impressions=True)
    assert source_of(RunConfig(run_dir="runs/demo", source=source, preprocess=alone)) == source
    assert source_of(RunConfig(run_dir="runs/demo", source=source)).kind == "log"


def test_the_recorded_config_is_the_config(tmp_path: Path) -> None:
    config = load_config(overrides=[f"run_dir={tmp_path}/run", "model.layers=3", "training.learning_rate=1e-4"])
    record_config(config)
    assert load_config(tmp_path / "run" / "config.yaml") == config


def test_a_run_dir_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"^run_dir '.*/file/run' cannot be written: "):
        record_config(RunConfig(run_dir=f"{tmp_path}/file/run"))


def test_a_remote_run_wants_its_store_on_a_disk_or_on_redis() -> None:
    remote = RunConfig(run_dir="s3://bucket/run")
    with pytest.raises(ConfigError, match=r"store.path is 'store.db'.*give an absolute path, or store.kind=redis"):
        store_of(remote)
    for kept in (StoreConfig(path="/data/store.db"), StoreConfig(kind="redis")):
        assert store_of(replace(remote, store=kept)) == kept


def test_a_store_on_an_object_store_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"store.path is 's3://bucket/store.db', but a SQLite file"):
        store_of(RunConfig(store=StoreConfig(path="s3://bucket/store.db")))


def test_nothing_of_a_remote_run_becomes_a_local_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = RunConfig(run_dir="s3://bucket/run", store=StoreConfig(path=f"{tmp_path}/store.db"))
    stream = stream_settings(config).stream
    assert (stream.path, stream.dead_letters) == ("s3://bucket/run/stream", "s3://bucket/run/dead-letters")
    assert service_settings(config).serving.dead_letters == "s3://bucket/run/dead-letters"
    monkeypatch.setattr(ingest, "require_bundle_behaviors", lambda config: None)
    for use in (
        lambda: open_records(stream),
        lambda: ingest.run(config, ingest.IngestOptions(until_end=True)),
        lambda: open_sink(config, ReplayOptions(to="log")),
    ):
        with pytest.raises(ConfigError, match=r"stream.path is 's3://.*local disk"):
            use()
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("bundle", "said", "place"),
    [
        ("runs/a/bundle", "", "runs/a/dead-letters"),
        ("runs/a/bundle", "letters", "letters"),
        ("s3://bucket/run/bundle", "", "s3://bucket/run/dead-letters"),
        ("runs/a/bundle", "s3://bucket/letters", "s3://bucket/letters"),
        ("runs/a/bundle", "off", "off"),
    ],
)
def test_a_deployed_service_keeps_what_it_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: str, said: str, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = ServiceSettings.of({"bundle": bundle, "serving": {"dead_letters": said}}).absolute()
    local = not place.startswith("s3:") and place != "off"
    assert settings.serving.dead_letters == (f"{tmp_path}/{place}" if local else place)
    assert settings.absolute() == settings


@pytest.mark.parametrize(
    ("source", "whole"),
    [
        (SourceConfig(), False),
        (SourceConfig(kind="log", path="s3://bucket/log"), True),
        (SourceConfig(kind="taobao", path="UserBehavior.csv.gz"), False),
        (SourceConfig(kind="parquet", events="e"), False),
        (SourceConfig(kind="parquet", events="e", impressions="i", ads="a"), True),
    ],
)
def test_only_a_source_with_impressions_is_a_whole_log(source: SourceConfig, whole: bool) -> None:
    assert brings_impressions(source) is whole
