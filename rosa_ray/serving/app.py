"""The service on Ray Serve: replicas, the calls between them, and the builder that `serve_config.yaml` names."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import ray
from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayActorError, RayTaskError
from ray.serve import Application, Deployment
from ray.serve.config import RequestRouterConfig
from ray.serve.handle import DeploymentHandle

from rosa_ray.bundle import GATE, verify_bundle
from rosa_ray.features.changes import Changes
from rosa_ray.serving.assembly import (
    ServiceSettings,
    build_encoder,
    build_lookup,
    build_scorer,
    build_warm_up,
    load_pinned,
    require_store,
)
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.http import create_app
from rosa_ray.serving.hybrid_scorer import HybridScorer
from rosa_ray.serving.lookup import FeatureLookup
from rosa_ray.serving.messages import Encoded, EncodeQuery, FeatureQuery, Features, Written
from rosa_ray.serving.offline_weight import check_rule
from rosa_ray.serving.scaling import deployment_options, lacking_cpus, with_replicas
from rosa_ray.serving.service import RankingService
from rosa_ray.serving.telemetry import RayTelemetry
from rosa_ray.serving.warm_up import read_ahead

logger = logging.getLogger(__name__)

LOOKUP, ENCODER, SCORER = "FeatureLookup", "Encoder", "HybridScorer"
USER_AFFINITY = "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"
"""Sends requests of one `session_id` to one replica, or to the next on the ring while that one is full."""


class _Remote:
    """A deployment behind its Serve handle: one hop by value, tried again once when a replica dies."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self._handle = handle.options(_by_reference=False)

    async def _call(self, method: str, *arguments: Any, session: str = "") -> Any:
        """Call a method of a replica.

        Calls of one `session` go to the same replica where the deployment's router heeds it. Serve itself tries again
        only what no replica had accepted. All methods may run twice: reads change nothing, and repeated event ids
        change nothing.
        """
        try:
            return await self._call_once(method, session, *arguments)
        except RayActorError:
            return await self._call_once(method, session, *arguments)

    async def _call_once(self, method: str, session: str, *arguments: Any) -> Any:
        handle = self._handle.options(method_name=method, session_id=session)
        try:
            return await handle.remote(*arguments)
        except RayTaskError as error:
            raise error.cause from None

    async def describe(self) -> dict[str, Any]:
        """Return the condition of a replica."""
        condition: dict[str, Any] = await self._call("describe")
        return condition


class RemoteLookup(_Remote):
    """`FeatureLookup` in another process."""

    async def read(self, query: FeatureQuery) -> Features:
        """See `FeatureLookup.read`."""
        features: Features = await self._call("read", query)
        return features

    async def write(self, records: dict[str, np.ndarray], changes: Sequence[Changes] = ()) -> Written:
        """See `FeatureLookup.write`."""
        written: Written = await self._call("write", records, changes)
        return written


class RemoteEncoder(_Remote):
    """`Encoder` in another process."""

    async def encode(self, query: EncodeQuery) -> Encoded:
        """See `Encoder.encode`; a user goes to one replica as long as the replicas stay the same."""
        encoded: Encoded = await self._call("encode", query, session=str(query.user_key))
        return encoded


class LookupReplica:
    """A replica of `FeatureLookup`."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._lookup: FeatureLookup = build_lookup(settings, load_pinned(settings))

    async def read(self, query: FeatureQuery) -> Features:
        return await self._lookup.read(query)

    async def write(self, records: dict[str, Any], changes: Sequence[Changes] = ()) -> Written:
        return await self._lookup.write(records, changes)

    async def describe(self) -> dict[str, Any]:
        return await self._lookup.describe()


class EncoderReplica:
    """A replica of `Encoder`."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._encoder = build_encoder(settings, load_pinned(settings), RayTelemetry())

    async def encode(self, query: EncodeQuery) -> Encoded:
        return await self._encoder.encode(query)

    async def describe(self) -> dict[str, Any]:
        return await self._encoder.describe()


class ScorerReplica:
    """A replica of the HTTP ingress with its `HybridScorer`; without handles, of the whole service.

    It is ready once the model has ranked an invented request. What fails before that fails the deployment, and the
    version deployed before goes on.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        lookup: DeploymentHandle[Any] | None = None,
        encoder: DeploymentHandle[Any] | None = None,
    ) -> None:
        remote_lookup = None if lookup is None else RemoteLookup(lookup)
        remote_encoder = None if encoder is None else RemoteEncoder(encoder)
        telemetry = RayTelemetry()
        scorer = build_scorer(settings, remote_lookup, remote_encoder, telemetry)
        self._warm_up = build_warm_up(settings, scorer)
        self._service = RankingService(scorer, telemetry, settings.records, settings.instance)

    async def __serve_build_asgi_app__(self) -> FastAPI:
        await self._warm_up.run()
        await read_ahead(self._service.scorer)
        return create_app(self._service)

    async def check_health(self) -> None:
        """Rank the invented request again; what raises ends the replica, and another takes its place."""
        await self._warm_up.run()


def build(args: dict[str, Any]) -> Application:
    """Build the application; the `import_path` of `serve_config.yaml`.

    The bundle is loaded here and ranks an invented request, before anything of the version deployed before is replaced.

    Args:
        args: `bundle`, and mappings `store` (`StoreConfig`) and `serving` (`ServingConfig`).

    Raises:
        ConfigError: the args are wrong.
        BundleError: the bundle is missing or damaged, is of another model than `model_version`, cannot rank, or has no
            gate where the rule is `learned`.
    """
    settings = ServiceSettings.of(args).absolute().pinned()
    rehearse(settings)
    return build_application(settings)


def rehearse(settings: ServiceSettings) -> None:
    """Load the model in this process and rank an invented request with it. The user key is left to the replicas.

    Raises:
        BundleError: the model cannot be loaded, or gives no finite numbers.
        ConfigError: the log that the model learned from cannot teach `serving.score`.
        StoreError: the store was never filled.
    """
    require_store(settings)
    model = load_pinned(settings)
    scorer = HybridScorer(model, build_lookup(settings, model), build_encoder(settings, model), settings.serving)
    asyncio.run(build_warm_up(settings, scorer).run())


def build_application(settings: ServiceSettings) -> Application:
    """Build the application from settings; see `build`. The bundle is verified, not loaded."""
    settings = settings.absolute().pinned()
    manifest = verify_bundle(settings.bundle)
    check_rule(settings.serving.rule, GATE in manifest.files, settings.bundle)
    one_lookup = settings.store.kind == "sqlite"
    cpus = _cluster_cpus()
    config = with_replicas(settings.serving, cpus, one_lookup)
    if cpus and (lacking := lacking_cpus(config, cpus, one_lookup)):
        logger.warning(lacking)
    scorer = _deploy(serve.ingress()(ScorerReplica), SCORER, config)
    if config.fused:
        return scorer.bind(settings)
    few = replace(config, min_replicas=1, max_replicas=1) if one_lookup else config
    lookup, encoder = _deploy(LookupReplica, LOOKUP, few), deploy_encoder(config)
    return scorer.bind(settings, lookup.bind(settings), encoder.bind(settings))


def deploy_encoder(config: ServingConfig) -> Deployment:
    """The encoder's deployment: a user's requests go to the replica that has encoded the user before."""
    router = RequestRouterConfig(request_router_class=USER_AFFINITY)  # type: ignore[arg-type]
    return _deploy(EncoderReplica, ENCODER, config).options(request_router_config=router)


def _deploy(cls: type, name: str, config: ServingConfig) -> Deployment:
    deployment: Deployment = serve.deployment(cls)  # type: ignore[assignment]
    return deployment.options(name=name, **deployment_options(config))


def _cluster_cpus() -> float:
    """Logical CPUs of the cluster of this process; none where there is no cluster."""
    return float(ray.cluster_resources().get("CPU", 0.0)) if ray.is_initialized() else 0.0
