"""Pseudonyms: keyed, stable, the same one by one and in columns."""

from hashlib import blake2b
from pathlib import Path

import pyarrow as pa
import pytest

from rosa_ray.errors import ConfigError
from rosa_ray.schema import pseudonym
from rosa_ray.schema.pseudonyms import PrivacyConfig, Pseudonyms, open_pseudonyms

SECRET = b"0123456789abcdef"


def test_a_pseudonym_is_a_keyed_hash_and_stays_as_it_is() -> None:
    name = pseudonym("ü", SECRET)
    assert name == "p-" + blake2b("ü".encode(), key=SECRET, digest_size=16).hexdigest()
    assert pseudonym(name, SECRET) == name
    assert pseudonym("ü", SECRET[::-1]) != name
    assert pseudonym("f" * 32, SECRET) != "f" * 32


def test_columns_and_single_ids_agree_whatever_the_layout() -> None:
    ids, pseudonyms = ["b", "a", None, "b", ""], Pseudonyms(SECRET)
    expected = [None if user_id is None else pseudonyms.of(user_id) for user_id in ids]
    plain = pa.chunked_array([pa.array(ids, pa.string())])
    for column in (plain, pa.chunked_array([ids[:2], ids[2:]]), plain.dictionary_encode()):
        assert pseudonyms.column(column).to_pylist() == expected
    numbers = pseudonyms.column(pa.chunked_array([pa.array([7, None])]))
    assert numbers.to_pylist() == [pseudonyms.of("7"), None]
    assert pseudonyms.column(pa.chunked_array([pa.array([], pa.string())])).to_pylist() == []


def test_the_secret_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    monkeypatch.setenv("USER_SECRET", SECRET.decode())
    of_file = open_pseudonyms(PrivacyConfig(user_key_secret_file=str(tmp_path / "secret")))
    assert of_file == open_pseudonyms(PrivacyConfig(user_key_secret_env="USER_SECRET")) == Pseudonyms(SECRET)
    assert SECRET.decode() not in repr(of_file)
    assert open_pseudonyms(PrivacyConfig()) is None


def test_a_long_secret_counts_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    names = set()
    for end in "ab":
        monkeypatch.setenv("USER_SECRET", "x" * 100 + end)
        opened = open_pseudonyms(PrivacyConfig(user_key_secret_env="USER_SECRET"))
        assert opened is not None
        names.add(opened.of("ann"))
    assert len(names) == 2


def test_missing_and_short_secrets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="user_key_secret_env 'NO_SUCH' holds 0 bytes; give a secret of at least 16"):
        open_pseudonyms(PrivacyConfig(user_key_secret_env="NO_SUCH"))  # pragma: allowlist secret
    with pytest.raises(ConfigError, match=r"user_key_secret_file '.*none' cannot be read: No such file"):
        open_pseudonyms(PrivacyConfig(user_key_secret_file=str(tmp_path / "none")))
    with pytest.raises(ConfigError, match="gives both"):
        PrivacyConfig("a", "b")
