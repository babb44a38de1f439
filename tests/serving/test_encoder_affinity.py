"""A user's encodings come to the replica that has encoded the user before."""

import asyncio
from pathlib import Path

import pytest

from rosa_ray.features import EVENT_COLUMNS
from rosa_ray.serving.app import ENCODER, USER_AFFINITY, RemoteEncoder, build_application, deploy_encoder
from rosa_ray.serving.messages import EncodeQuery
from tests.serving.conftest import World

USERS = 24


def test_the_encoder_alone_is_routed_by_user(world: World, store_path: Path) -> None:
    scorer = build_application(world.settings(store_path, fused=False))._bound_deployment
    deployments = [scorer, *(one._bound_deployment for one in scorer.init_args[1:])]
    routers = {one.name: one._deployment_config.request_router_config.request_router_class for one in deployments}
    assert [name for name, router in routers.items() if router == USER_AFFINITY] == [ENCODER]


@pytest.mark.nightly
@pytest.mark.usefixtures("ray_cluster")
def test_users_come_back_to_their_replica_among_two(world: World, store_path: Path) -> None:
    from ray import serve

    @serve.deployment(ray_actor_options={"num_cpus": 0.1})
    class Ingress:
        """Behind the fast proxy, ingress deployments are routed by the proxy alone."""

        def __init__(self, encoder: object) -> None: ...

    events = {name: values[:8] for name, values in world.rows.events.items() if name in EVENT_COLUMNS}
    settings = world.settings(store_path, min_replicas=2, max_replicas=2, cpus_per_replica=0.1)

    async def ask(encoder: RemoteEncoder, end: int) -> set[str]:
        query = {name: values[:end] for name, values in events.items()}
        encoded = await asyncio.gather(*(encoder.encode(EncodeQuery(user, query)) for user in range(USERS)))
        return {one.outcome for one in encoded}

    async def check() -> None:
        encoder = RemoteEncoder(serve.get_deployment_handle(ENCODER, "affinity"))
        assert [await ask(encoder, end) for end in (6, 8, 8)] == [{"miss"}, {"extended"}, {"hit"}]
        conditions = await asyncio.gather(*(encoder.describe() for _ in range(30)))
        users = [condition["cache"]["users"] for condition in conditions]
        assert max(users) < USERS
        assert max(users) + min(users) == USERS

    async def check_and_stop() -> None:
        try:
            await check()
        finally:
            await serve.shutdown_async()

    serve.start(proxy_location="Disabled")
    application = Ingress.bind(deploy_encoder(settings.serving).bind(settings))
    serve.run(application, name="affinity", route_prefix=None)
    asyncio.run(check_and_stop())
