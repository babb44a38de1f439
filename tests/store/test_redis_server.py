"""How a Redis server is reached and what it may do with keys: TLS, and eviction."""

import datetime
import ipaddress
import logging
import selectors
import socket
import ssl
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rosa_ray.errors import ConfigError, StoreError
from rosa_ray.features import FeatureConfig
from rosa_ray.store import OnlineStore, StoreConfig, open_store
from rosa_ray.store.backends.redis import eviction
from tests.redis_server import RedisServer, redis_server

FEATURES = FeatureConfig()


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as started:
        yield started


@pytest.fixture
def admin(server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as client:
        yield client
        client.config_set("maxmemory-policy", "noeviction")
        client.acl_deluser("ann")


def open_at(url: str, **settings: object) -> OnlineStore:
    config = StoreConfig(kind="redis", url=url, namespace=uuid.uuid4().hex, **settings)
    return open_store(config, FEATURES, create=True)


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
def test_a_server_that_throws_records_away_is_refused(server: RedisServer, admin: redis.Redis, policy: str) -> None:
    store = open_at(server.url)
    admin.config_set("maxmemory-policy", policy)
    for call in (lambda: open_at(server.url), store.info):
        with pytest.raises(
            StoreError, match=f"has maxmemory-policy '{policy}', under which the server throws"
        ) as error:
            call()
        assert "\n" not in str(error.value)
    store.close()


@pytest.mark.parametrize("policy", ["noeviction", "volatile-lru", "volatile-ttl"])
def test_a_server_that_keeps_what_has_no_expiry_is_taken(server: RedisServer, admin: redis.Redis, policy: str) -> None:
    admin.config_set("maxmemory-policy", policy)
    open_at(server.url).close()


def test_a_server_that_does_not_tell_is_said_once(
    server: RedisServer, admin: redis.Redis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eviction, "_said", set())
    admin.execute_command("ACL", "SETUSER", "ann", "on", ">word", "~*", "+@all", "-info", "-config")
    url = server.url.replace("unix://", "unix://ann:word@")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            open_at(url).close()
    assert [record.getMessage() for record in caplog.records] == [
        f"store unix://{server.folder}/redis.sock: does not tell its maxmemory-policy; "
        "make sure that it is noeviction or volatile-*"
    ]


def test_a_server_is_reached_by_tls(server: RedisServer, tls_url: str, folder: Path) -> None:
    store = open_at(tls_url, tls_ca=f"{folder}/ca.pem", tls_cert=f"{folder}/client.pem", tls_key=f"{folder}/client.key")
    assert store.info().location.startswith("rediss://127.0.0.1:")
    store.close()


def test_a_server_nobody_vouches_for_is_refused(tls_url: str, folder: Path) -> None:
    for settings in ({}, {"tls_ca": f"{folder}/client.pem"}):
        with pytest.raises(StoreError, match=r"cannot be reached by TLS \(certificate verify failed: .*store\.tls_ca"):
            open_at(tls_url, **settings)


def test_a_process_that_shows_no_certificate_is_refused(tls_url: str, folder: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot be reached"):
        open_at(tls_url, tls_ca=f"{folder}/ca.pem")


def test_a_server_that_speaks_no_tls_is_refused() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as plain:
        threading.Thread(target=_answer_plainly, args=(plain,), daemon=True).start()
        with pytest.raises(StoreError, match=r"cannot be reached by TLS"):
            open_at(f"rediss://127.0.0.1:{plain.getsockname()[1]}/0")
        plain.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "redis://host:6379/0", "tls_ca": "ca.pem"}, r"store\.tls_ca is given and store\.url is not rediss://"),
        ({"url": "rediss://host:6379/0", "tls_ca": "none.pem"}, r"store\.tls_ca is 'none\.pem', which is no file"),
        ({"url": "rediss://host:6379/0", "tls_cert": __file__}, r"store\.tls_cert and store\.tls_key belong together"),
    ],
)
def test_tls_settings_are_checked(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_at(**settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and what it signed for a server and a client."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("authority", key.public_key(), key, "authority")
    (folder / "ca.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    for name in ("server", "client"):
        own = ec.generate_private_key(ec.SECP256R1())
        signed = _certificate(name, own.public_key(), key, "authority")
        (folder / f"{name}.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / f"{name}.key").write_bytes(own.private_bytes(serialization.Encoding.PEM, *form))
    return folder


@pytest.fixture
def tls_url(server: RedisServer, folder: Path) -> Iterator[str]:
    """An address where a server speaks TLS and asks for a certificate; behind it stands the plain one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        threading.Thread(target=_serve, args=(door, context, f"{server.folder}/redis.sock"), daemon=True).start()
        yield f"rediss://127.0.0.1:{door.getsockname()[1]}/0"
        door.shutdown(socket.SHUT_RDWR)


def _serve(door: socket.socket, context: ssl.SSLContext, path: str) -> None:
    while True:
        try:
            client, _ = door.accept()
        except OSError:
            return
        threading.Thread(target=_forward, args=(client, context, path), daemon=True).start()


def _forward(plain: socket.socket, context: ssl.SSLContext, path: str) -> None:
    inner = socket.socket(socket.AF_UNIX)
    with plain, inner:
        try:
            with context.wrap_socket(plain, server_side=True) as outer:
                inner.connect(path)
                while _pass_on(outer, inner):
                    pass
        except OSError:
            return


def _ready(*sources: socket.socket) -> list[socket.socket]:
    """Wait for what can be read; `select` takes no handle above 1,023."""
    with selectors.DefaultSelector() as selector:
        for source in sources:
            selector.register(source, selectors.EVENT_READ)
        return [key.fileobj for key, _ in selector.select()]  # type: ignore[misc]


def _pass_on(outer: ssl.SSLSocket, inner: socket.socket) -> bool:
    """Pass on what came from either side; False once one has closed."""
    ready = [outer] if outer.pending() else _ready(outer, inner)
    for source, target in ((outer, inner), (inner, outer)):
        if source in ready:
            content = source.recv(1 << 16)
            target.sendall(content)
            if not content:
                return False
    return True


def _answer_plainly(door: socket.socket) -> None:
    while True:
        try:
            client, _ = door.accept()
        except OSError:
            return
        with client:
            client.recv(1 << 16)
            client.sendall(b"-ERR Protocol error\r\n")


def _certificate(
    name: str, public: ec.EllipticCurvePublicKey, signer: ec.EllipticCurvePrivateKey, issuer: str
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    subject, by = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, issuer))
    built = x509.CertificateBuilder().subject_name(subject).issuer_name(by).public_key(public)
    built = built.serial_number(x509.random_serial_number())
    built = built.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    built = built.add_extension(names, critical=False)
    if name == issuer:
        built = built.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return built.sign(signer, hashes.SHA256())
