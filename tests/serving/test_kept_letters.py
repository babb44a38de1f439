"""A deployed service keeps what it refuses, beside the bundle that was named and not the one that it is pinned to."""

from pathlib import Path

from rosa_ray.serving.assembly import ServiceSettings
from tests.serving.conftest import World


def test_a_pinned_service_and_a_later_one_keep_their_letters_in_one_place(world: World) -> None:
    settings = ServiceSettings.of({"bundle": str(world.bundle)}).absolute().pinned()
    place = str(Path(world.bundle).absolute().parent / "dead-letters")
    assert settings.serving.dead_letters == place
    assert settings.absolute().pinned().serving.dead_letters == place
    named = ServiceSettings.of({"bundle": settings.bundle}).absolute()
    assert named.serving.dead_letters == place
