"""The token of a local cluster: a file of this user alone, made once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rosa_ray.cluster.token import MODE, PATH, TOKEN, default_path, require_token, send_token


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without a token, in a process that has not imported Ray."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (MODE, TOKEN, PATH):
        monkeypatch.setenv(name, "")  # so that what the code sets is undone
        monkeypatch.delenv(name)
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    return tmp_path


def test_a_user_without_a_token_gets_one_that_nobody_else_can_read(home: Path) -> None:
    require_token()
    path = home / ".ray" / "auth_token"
    assert path == default_path()
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_text()) >= 32
    assert os.environ[MODE] == "token"


def test_a_token_that_is_there_stays(home: Path) -> None:
    path = home / ".ray" / "auth_token"
    path.parent.mkdir()
    path.write_text("mine")
    path.chmod(0o644)
    require_token()
    assert path.read_text() == "mine"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("name", "value"), [(TOKEN, "t"), (PATH, "/somewhere/token"), (MODE, "disabled")])
def test_what_the_environment_says_stays(home: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    require_token()
    assert os.environ[name] == value
    assert not (home / ".ray").exists()


def test_without_a_home_that_can_be_written_only_children_know_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").touch()
    monkeypatch.setenv("HOME", str(home / "file"))
    require_token()
    assert len(os.environ[TOKEN]) >= 32
    assert os.environ[MODE] == "token"


def test_a_token_is_shown_where_there_is_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    send_token()
    assert MODE not in os.environ
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("mine")
    send_token()
    assert os.environ[MODE] == "token"
    monkeypatch.setenv(MODE, "disabled")
    send_token()
    assert os.environ[MODE] == "disabled"


_CONNECT = """
import sys, ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False)
except ConnectionError:
    sys.exit(9)
"""


@pytest.mark.integration
def test_who_has_no_token_is_not_let_in(ray_cluster: None) -> None:
    import ray

    command = [sys.executable, "-c", _CONNECT, ray.get_runtime_context().gcs_address]
    known = {name: value for name, value in os.environ.items() if name not in (MODE, TOKEN, PATH)}
    strangers = ({MODE: "disabled"}, {MODE: "token", TOKEN: "another"})
    tried = [subprocess.Popen(command, env=known | stranger, stderr=subprocess.DEVNULL) for stranger in strangers]
    assert [one.wait() for one in tried] == [9, 9]


@pytest.mark.integration
def test_the_same_user_is_let_in(ray_cluster: None) -> None:
    import ray

    address = ray.get_runtime_context().gcs_address
    script = f"""
from rosa_ray.cluster.config import RayConfig
from rosa_ray.cluster.connect import connected

with connected(RayConfig(address="{address}")):
    import ray

    assert ray.is_initialized()
"""
    known = {name: value for name, value in os.environ.items() if name != MODE}
    let_in = subprocess.run([sys.executable, "-c", script], env=known, capture_output=True)
    assert let_in.returncode == 0, let_in.stderr.decode()[-2000:]
