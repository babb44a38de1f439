"""Builds the three parts from a bundle and a store, each alone or all in one process."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import Annotated, Any

from annotated_types import MinLen

from rosa_ray.bundle import home_of, model_of, pinned
from rosa_ray.errors import StoreError, StoreMissingError
from rosa_ray.records import RecordsConfig
from rosa_ray.records.dead_letters import OFF
from rosa_ray.schema.pseudonyms import PrivacyConfig, open_pseudonyms, require_user_key
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.encoder import Encoder, NoEncoder
from rosa_ray.serving.fallback import EncoderWithFallback, LookupWithFallback
from rosa_ray.serving.hybrid_scorer import HybridScorer, open_first_pass
from rosa_ray.serving.live_ads import LiveAds
from rosa_ray.serving.lookup import FeatureLookup
from rosa_ray.serving.messages import EncoderPort, LookupPort
from rosa_ray.serving.model import ServedModel, load_model
from rosa_ray.serving.telemetry import Telemetry
from rosa_ray.serving.warm_up import WarmUp
from rosa_ray.settings import section
from rosa_ray.settings.compose import read
from rosa_ray.storage import absolute
from rosa_ray.store import OnlineStore, StoreConfig, open_store

logger = logging.getLogger(__name__)


@section("")
class ServiceSettings:
    """What a replica needs to know."""

    bundle: Annotated[str, MinLen(1)]
    """Directory of the model bundle, readable from every replica."""
    store: StoreConfig = field(default_factory=StoreConfig)
    """The online store."""
    serving: ServingConfig = field(default_factory=ServingConfig)
    """How requests are answered."""
    records: RecordsConfig = field(default_factory=RecordsConfig)
    """How producers write live records."""
    privacy: PrivacyConfig = field(default_factory=PrivacyConfig)
    """Whether user ids become pseudonyms; every replica needs the secret."""
    model_version: str = ""
    """The model to serve, of those whose bundles are kept beside `bundle`. Empty takes the one that `bundle` is at the
    deployment. Replicas refuse any other."""
    instance: str = ""
    """Name of this deployment, which `/readyz` tells. `rosa serve` draws one and asks for it through the proxy."""

    @classmethod
    def of(cls, args: Mapping[str, Any]) -> "ServiceSettings":
        """From the `args` of a Serve application: `bundle`, and mappings `store`, `serving`, `records` and `privacy`.

        Raises:
            ConfigError: a key is missing, unknown, or has a wrong value.
        """
        return read(cls, args, "application args")

    def absolute(self) -> "ServiceSettings":
        """The same with absolute paths: replicas have working directories of their own."""
        letters = self.serving.dead_letters or _beside(self.bundle)
        serving = replace(self.serving, dead_letters=absolute(letters) if letters != OFF else OFF)
        return replace(self, bundle=absolute(self.bundle), store=self.store.absolute(), serving=serving)

    def pinned(self) -> "ServiceSettings":
        """The same with the bundle where nothing changes it, and its model's version: what every replica opens.

        Raises:
            BundleError: there is no bundle of that model.
        """
        place = pinned(self.bundle, self.model_version)
        return replace(self, bundle=place, model_version=model_of(place))


def _beside(bundle: str) -> str:
    """Where refused records go when nothing is said: beside the bundle, which is in the run.

    >>> _beside("runs/demo/bundle"), _beside("s3://bucket/run/bundle/")
    ('runs/demo/dead-letters', 's3://bucket/run/dead-letters')
    """
    return f"{home_of(bundle)}/dead-letters"


def load_pinned(settings: ServiceSettings) -> ServedModel:
    """Load the model that the settings name.

    Raises:
        BundleError: the bundle is missing, damaged, does not fit this code, or is of another model.
    """
    if not settings.model_version or model_of(settings.bundle) == settings.model_version:
        return load_model(settings.bundle)
    # The bundle was a plain directory, and training has put another in its place: the one before is kept beside it.
    return load_model(pinned(settings.bundle, settings.model_version))


def require_store(settings: ServiceSettings) -> None:
    """Refuse a store that was never filled; one that is only away may come back while the service runs.

    Raises:
        StoreMissingError: there is none.
    """
    try:
        open_store(settings.store, None).close()
    except StoreMissingError:
        raise
    except StoreError as error:
        logger.warning("deployed although its store is away: %s", error)


def build_lookup(settings: ServiceSettings, model: ServedModel, telemetry: Telemetry | None = None) -> FeatureLookup:
    """Build the feature lookup; it connects to the store at the first request."""
    serving = settings.serving
    return FeatureLookup(
        _opening(settings, model),
        model.features,
        model.timeline_events,
        serving,
        telemetry,
    )


def build_ads(settings: ServiceSettings, model: ServedModel) -> LiveAds:
    """Build what follows the changes of ads in the store; it asks once it is started."""
    serving = settings.serving
    first_pass = open_first_pass(model, serving)
    opening = _opening(settings, model)
    return LiveAds(opening, model.catalogue, first_pass, serving.ads_poll_ms, serving.store_retry_s)


def _opening(settings: ServiceSettings, model: ServedModel) -> Callable[[], OnlineStore]:
    """What connects to the store, with the patience of one request."""
    patience_ms = max(settings.serving.lookup_deadline_ms // 2, 1)
    store = replace(
        settings.store,
        busy_timeout_ms=min(settings.store.busy_timeout_ms, patience_ms),
        timeout_ms=min(settings.store.timeout_ms, patience_ms),
    )
    return lambda: open_store(store, model.features.config, model.version, user_key_id=model.features.user_key_id)


def build_encoder(
    settings: ServiceSettings, model: ServedModel, telemetry: Telemetry | None = None
) -> Encoder | NoEncoder:
    """Build the encoder with its cache of active users; of a ranker that keeps no states there is none."""
    if not model.keeps_states:
        return NoEncoder(model)
    serving = settings.serving
    return Encoder(model, serving.threads, serving.encoder_cache_mb, serving.user_memory_s, telemetry)


def build_scorer(
    settings: ServiceSettings,
    lookup: LookupPort | None = None,
    encoder: EncoderPort | None = None,
    telemetry: Telemetry | None = None,
) -> HybridScorer:
    """Load the model and build the scorer; parts that are not given run in this process, and stand in for the others.

    Raises:
        BundleError: the bundle is missing, damaged, or does not fit this code.
        ConfigError: the user key is missing, or not the one that the bundle was trained with.
    """
    model, pseudonyms = load_pinned(settings), open_pseudonyms(settings.privacy)
    require_user_key(pseudonyms, model.features.user_key_id, f"bundle {settings.bundle}")
    ads = build_ads(settings, model)
    scorer = HybridScorer(
        model,
        _lookup_beside(lookup, settings, model, telemetry),
        _encoder_beside(encoder, settings, model, telemetry),
        settings.serving,
        telemetry,
        pseudonyms=pseudonyms,
        ads=ads,
    )
    # Who ranks knows of the changes and the spend so far; without a store, of the bundle's ads.
    ads.ask()
    ads.start()
    return scorer


def build_warm_up(settings: ServiceSettings, scorer: HybridScorer) -> WarmUp:
    """Build the request that a scorer ranks before it is ready; its encoder remembers nobody."""
    forgetful = replace(settings, serving=replace(settings.serving, encoder_cache_mb=0))
    return WarmUp(scorer, build_encoder(forgetful, scorer.model))


def _lookup_beside(
    remote: LookupPort | None, settings: ServiceSettings, model: ServedModel, telemetry: Telemetry | None
) -> LookupPort:
    serving, read_here = settings.serving, settings.store.kind == "sqlite"
    if remote is None:
        return build_lookup(settings, model, telemetry)
    half = serving if read_here else replace(serving, lookup_deadline_ms=max(serving.lookup_deadline_ms // 2, 1))
    local = build_lookup(replace(settings, serving=half), model, telemetry)
    return LookupWithFallback(remote, local, serving, read_here, telemetry)


def _encoder_beside(
    remote: EncoderPort | None, settings: ServiceSettings, model: ServedModel, telemetry: Telemetry | None
) -> EncoderPort:
    local = build_encoder(settings, model, telemetry)
    if remote is None:
        return local
    return EncoderWithFallback(remote, local, model.version, settings.serving, telemetry)
