"""Secrets in settings: read by reference where they are used, and in nothing that is shown, written or recorded."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from rosa_ray.bundle import open_bundle, write_bundle
from rosa_ray.config import RunConfig, load_config
from rosa_ray.errors import ConfigError, RosaError
from rosa_ray.settings.compose import compose
from rosa_ray.settings.layers import Layer
from rosa_ray.settings.plain import dump, redacted, to_plain
from rosa_ray.settings.secrets import absolute_reference, hide, is_secret_name, redact, redact_text, resolve
from rosa_ray.settings.text import parse_yaml
from rosa_ray.store import StoreConfig, open_store
from rosa_ray.streaming import kafka
from rosa_ray.streaming.config import StreamConfig
from rosa_ray.tracking import TrackingConfig, start_run
from workloads import cli
from workloads.places import record_config, service_settings, stream_settings

PLANTED = ("storeplanted", "saslplanted", "keyplanted", "mlplanted")
CONFIG = f"""
store: {{kind: redis, url: "redis://ann:{PLANTED[0]}@127.0.0.1:1/0"}}
stream:
  kind: kafka
  brokers: 127.0.0.1:1
  kafka: {{sasl.username: ann, sasl.password: {PLANTED[1]}, ssl.key.pem: {PLANTED[2]}, security.protocol: SASL_SSL}}
tracking: {{uri: "http://ann:{PLANTED[3]}@127.0.0.1:1"}}
"""


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path.parent / f"{tmp_path.name}-config" / "shop.yaml"
    path.parent.mkdir()
    path.write_text(f"run_dir: {tmp_path}/run\n{CONFIG}")
    return path


def require_hidden(text: str) -> None:
    found = [secret for secret in PLANTED if secret in text]
    assert not found, f"{found} in {text[:2000]}"


def test_nothing_that_a_run_writes_or_prints_holds_a_secret(
    config_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(kafka, "BROKER_TIMEOUT_S", 0.5)
    config = load_config(config_file)
    record_config(config)
    local = TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db")
    with start_run(local, tmp_path / "run", "train") as run:
        run.log_params(to_plain(config))
        assert run.run_id
    write_bundle(
        tmp_path / "run" / "bundle",
        weights={"w": torch.ones(1)},
        model={"name": "rosa"},
        features_saver=lambda folder: (folder / "state.json").write_text("{}"),
        feature_fingerprint="f",
        metrics={},
        config=to_plain(config),
    )
    with start_run(config.tracking, tmp_path / "run", "away"):
        pass
    for verb in (["config", str(config_file)], ["ingest", str(config_file)], ["forget", str(config_file), "ann"]):
        with pytest.raises(SystemExit):
            cli.main(verb)
    printed = capsys.readouterr()
    require_hidden(printed.out + printed.err)
    require_hidden(caplog.text)
    assert "sasl.password: '***'" in printed.out
    assert "sasl.username: ann" in printed.out
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"config.yaml", "mlflow.db"} <= {path.name for path in written}
    for path in written:
        require_hidden(path.read_bytes().decode("latin-1"))
    assert open_bundle(tmp_path / "run" / "bundle").config["stream"]["kafka"]["security.protocol"] == "SASL_SSL"


def test_settings_show_themselves_without_secrets(config_file: Path) -> None:
    config = load_config(config_file)
    for shown in (config, config.store, config.stream, stream_settings(config), service_settings(config)):
        require_hidden(repr(shown))
    assert repr(StoreConfig(path="x")).startswith("StoreConfig(kind='sqlite', path='x', url='redis://localhost:6379/0'")
    assert to_plain(config)["stream"]["kafka"]["sasl.password"] == PLANTED[1]


@pytest.mark.parametrize(
    "override",
    [
        f"store={{url: 'redis://:{PLANTED[0]}@h', kind: none}}",
        f"store.url=[redis://:{PLANTED[0]}@h]",
        f"stream.kafka={{sasl.password: [{PLANTED[1]}]}}",
        f"stream.kafka.sasl.password={PLANTED[1]}",
        f"stream={{kafka: {{sasl.password: {PLANTED[1]}}}, min_batch: 0}}",
        f"stream.kafka={{sasl.password: {PLANTED[1]}",
        f"strem.kafka={{sasl.password: {PLANTED[1]}}}",
        f"tracking={{uri: 'http://ann:{PLANTED[3]}@h', enabled: 3}}",
    ],
)
def test_a_refusal_shows_no_secret(override: str, config_file: Path) -> None:
    with pytest.raises(RosaError) as caught:
        load_config(config_file, [override])
    require_hidden(str(caught.value))


def test_the_settings_of_the_product_are_shown_whole() -> None:
    config = RunConfig()
    assert redacted(config) == to_plain(config)
    named = replace(config, store=StoreConfig(password_env="REDIS_PASSWORD", url="rediss://cache:6379/0"))
    assert redacted(named) == to_plain(named)


def test_a_written_config_with_references_is_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "redis://ann:{env:PW}@cache:6379/0"
    config = load_config(overrides=[f"store.url='{url}'", "stream.kafka={sasl.password: 'file:/run/secrets/kafka'}"])
    assert config.store.url == url
    assert compose(RunConfig, [Layer("dump", parse_yaml(dump(config), "dump"))]) == config
    monkeypatch.setenv("PW", "a:b@c/d")
    assert resolve(url, "store.url") == "redis://ann:a%3Ab%40c%2Fd@cache:6379/0"  # pragma: allowlist secret


def test_references_are_read_where_they_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pw").write_text("from-file\n")
    monkeypatch.setenv("KAFKA_PW", "from-env")
    monkeypatch.chdir(tmp_path)
    assert [resolve(value, "key") for value in ("env:KAFKA_PW", "file:pw", "x{file:pw}", "plain", "")] == [
        "from-env",
        "from-file",
        "xfrom-file",
        "plain",
        "",
    ]
    assert absolute_reference("file:pw") == f"file:{tmp_path}/pw"
    assert absolute_reference("redis://:{file:pw}@h") == f"redis://:{{file:{tmp_path}/pw}}@h"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("env:NOT_SET_HERE", "store.url is 'env:NOT_SET_HERE', and there is no such environment variable"),
        ("file:/no/such", "store.url is 'file:/no/such', which cannot be read: No such file or directory"),
        ("redis://:***@h", r"store.url holds \*\*\*, which stands for a secret; give env:NAME"),
    ],
)
def test_a_reference_that_leads_nowhere_is_one_line(value: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        resolve(value, "store.url")
    with pytest.raises(ConfigError, match=expected):
        open_store(StoreConfig(kind="redis", url=value), RunConfig().features)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("sasl.password", True),
        ("ssl.key.password", True),
        ("ssl.keystore.password", True),
        ("ssl.key.pem", True),
        ("sasl.oauthbearer.client.secret", True),
        ("write_tokens", True),
        ("api_key", True),
        ("password_env", False),
        ("user_key_secret_file", False),
        ("ssl.key.location", False),
        ("sasl.oauthbearer.token.endpoint.url", False),
        ("ssl.ca.pem", False),
        ("key", False),
    ],
)
def test_names_of_secrets(name: str, secret: bool) -> None:
    assert is_secret_name(name) is secret


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://:pw@h:1/0", "redis://:***@h:1/0"),
        ("redis://ann:p@w:d@h", "redis://ann:***@h"),
        ("redis://ann:p/w@h", "redis://ann:***@h"),
        ("unix:///run/redis.sock?db=0&password=pw", "unix:///run/redis.sock?db=0&password=***"),
        ("http://host:8000/data@v1", "http://host:8000/data@v1"),
        ("s3://bucket/a:b@c", "s3://bucket/a:b@c"),
        ("redis://ann@h", "redis://ann@h"),
        ("from redis://:pw@h to b@c", "from redis://:***@h to b@c"),
    ],
)
def test_passwords_in_urls(text: str, shown: str) -> None:
    assert redact_text(text) == shown


def test_lists_and_nested_data_are_looked_through() -> None:
    data: dict[str, Any] = {"a": [{"password": "pw"}], "tokens": ["t1", "env:T"], "n": 3, "none": None}
    assert redact(data) == {"a": [{"password": "***"}], "tokens": ["***", "env:T"], "n": 3, "none": None}
    told = {"tokens": ["t1x"], "below": {"passphrase": "some words"}}
    assert hide("t1x and some words", told) == "*** and ***"


def test_what_is_shown_of_a_stream_is_yaml_again() -> None:
    shown = yaml.safe_load(dump(StreamConfig(kafka={"sasl.password": "pw"})))
    assert shown["kafka"] == {"sasl.password": "***"}
