"""Bidders by name: each module of this folder is one, found by its file name.

A module defines `build(seed) -> Bidder`, see `rosa_ray.policy.replay`. Adding a bidder is adding one file. The suite
`tests/policy/bidders/test_contract.py` finds it by its name alone.
"""

from collections.abc import Callable

from rosa_ray.errors import ConfigError
from rosa_ray.policy.replay import Bidder
from rosa_ray.settings import Folder

_BIDDERS = Folder(__name__, __path__)


def bidder_names() -> list[str]:
    """Names of the bidders of this folder, sorted.

    >>> "rlb" in bidder_names()
    True
    """
    return _BIDDERS.names()


def build_bidder(name: str, seed: int = 1) -> Bidder:
    """Build a bidder, not yet fitted.

    Args:
        seed: of what it draws. Equal seeds give equal bids. Most bidders draw nothing.

    Raises:
        ConfigError: there is no bidder of that name.
    """
    if name not in bidder_names():
        raise ConfigError(f"--bidders has '{name}'; known bidders are {', '.join(bidder_names())}")
    build: Callable[[int], Bidder] = _BIDDERS.module(name).build
    return build(seed)
