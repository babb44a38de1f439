"""What was deployed last under an application's name, and before: kept in the Ray cluster, for the way back."""

from ray import cloudpickle
from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_put

from rosa_ray.serving.assembly import ServiceSettings

_NAMESPACE = b"rosa"


def remember(name: str, settings: ServiceSettings) -> None:
    """Note what serves now; what served before becomes the former."""
    current, content = _get(name, "current"), cloudpickle.dumps(settings)
    if current and current != content:
        _internal_kv_put(_key(name, "former"), current, overwrite=True, namespace=_NAMESPACE)
    _internal_kv_put(_key(name, "current"), content, overwrite=True, namespace=_NAMESPACE)


def current_settings(name: str) -> ServiceSettings | None:
    """What `rosa serve` or `rosa rollout` deployed last here; None where neither did."""
    return _loaded(_get(name, "current"))


def former_settings(name: str) -> ServiceSettings | None:
    """What they deployed before that; None where there was nothing."""
    return _loaded(_get(name, "former"))


def _key(name: str, which: str) -> bytes:
    return f"{name}/{which}".encode()


def _get(name: str, which: str) -> bytes | None:
    content: bytes | None = _internal_kv_get(_key(name, which), namespace=_NAMESPACE)
    return content


def _loaded(content: bytes | None) -> ServiceSettings | None:
    """Settings of another version of this program cannot be read, and are as good as none."""
    if not content:
        return None
    try:
        settings = cloudpickle.loads(content)
    except (AttributeError, ImportError, TypeError):
        return None
    return settings if isinstance(settings, ServiceSettings) else None
