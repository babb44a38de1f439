"""Whether a server may throw a store's keys away: then it would answer with what is left, and say nothing."""

import logging

import redis

from rosa_ray.errors import StoreError
from rosa_ray.store.backends.redis.connection import Connection

logger = logging.getLogger(__name__)

_said: set[str] = set()


def require_no_eviction(connection: Connection) -> None:
    """Refuse a server that evicts keys without an expiry; what the store writes has none.

    A server that does not tell is said once per process, and taken.

    Raises:
        StoreError: the policy is one of `allkeys-*`.
    """
    policy = _policy_of(connection)
    if policy.startswith("allkeys"):
        raise StoreError(
            f"store {connection.where}: has maxmemory-policy '{policy}', under which the server throws records away; "
            "set noeviction, or give a server of its own"
        )
    if not policy and connection.where not in _said:
        _said.add(connection.where)
        logger.warning(
            "store %s: does not tell its maxmemory-policy; make sure that it is noeviction or volatile-*",
            connection.where,
        )


def _policy_of(connection: Connection) -> str:
    """The policy; empty where the user may not ask for it."""
    with connection.guard():
        try:
            return str(connection.client.info("memory").get("maxmemory_policy", ""))
        except redis.ResponseError:
            return ""
