"""A job's connection to Ray: an address where nothing listens is one clear line, at once."""

import socket

import pytest

from rosa_ray.cluster.config import RayConfig
from rosa_ray.cluster.connect import connected
from rosa_ray.errors import InputError


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_that_does_not_answer(scheme: str) -> None:
    address = f"{scheme}127.0.0.1:{free_port()}"
    with (
        pytest.raises(
            InputError, match=rf"^ray\.address '{address}': no Ray cluster answers there: Connection refused$"
        ),
        connected(RayConfig(address=address)),
    ):
        pass
