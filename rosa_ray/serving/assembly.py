"""Builds the three parts from a bundle and a store, each alone or all in one process."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from rosa_ray.errors import ConfigError
from rosa_ray.schema import PrivacyConfig, open_pseudonyms, require_user_key
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.encoder import Encoder
from rosa_ray.serving.lookup import FeatureLookup
from rosa_ray.serving.messages import EncoderPort, LookupPort
from rosa_ray.serving.model import ServedModel, load_model
from rosa_ray.serving.scorer import HybridScorer
from rosa_ray.serving.telemetry import Telemetry
from rosa_ray.storage import absolute
from rosa_ray.store import StoreConfig, open_store


@dataclass(frozen=True)
class ServiceSettings:
    """What a replica needs to know.

    Attributes:
        bundle: directory of the model bundle, readable from every replica.
        store: the online store.
        privacy: whether user ids become pseudonyms; every replica needs the secret.
    """

    bundle: str
    store: StoreConfig = field(default_factory=StoreConfig)
    serving: ServingConfig = field(default_factory=ServingConfig)
    privacy: PrivacyConfig = field(default_factory=PrivacyConfig)

    @classmethod
    def of(cls, args: Mapping[str, Any]) -> "ServiceSettings":
        """From the `args` of a Serve application: `bundle`, and mappings `store`, `serving` and `privacy`.

        Raises:
            ConfigError: a key is missing, unknown, or has a wrong value.
        """
        if unknown := sorted(set(args) - {"bundle", "store", "serving", "privacy"}):
            raise ConfigError(
                f"application args have an unknown key '{unknown[0]}'; give bundle, store, serving and privacy"
            )
        if not isinstance(args.get("bundle"), str):
            raise ConfigError("application args need 'bundle', the directory of a model bundle")
        return cls(
            args["bundle"],
            StoreConfig(**_settings_of(StoreConfig, "store", args)),
            ServingConfig.of(dict(args.get("serving") or {})),
            PrivacyConfig(**_settings_of(PrivacyConfig, "privacy", args)),
        )

    def absolute(self) -> "ServiceSettings":
        """The same with absolute paths: replicas have working directories of their own."""
        store = replace(self.store, path=str(Path(self.store.path).absolute()))
        letters = self.serving.dead_letters
        serving = replace(self.serving, dead_letters=str(Path(letters).absolute()) if letters else "")
        return replace(self, bundle=absolute(self.bundle), store=store, serving=serving)


def _settings_of(settings: type, name: str, args: Mapping[str, Any]) -> dict[str, Any]:
    given, known = dict(args.get(name) or {}), [entry.name for entry in fields(settings)]
    if unknown := sorted(set(given) - set(known)):
        raise ConfigError(f"{name} has no setting '{unknown[0]}'; it has {', '.join(known)}")
    return given


def build_lookup(settings: ServiceSettings, model: ServedModel) -> FeatureLookup:
    """Build the feature lookup; it connects to the store at the first request."""
    serving = settings.serving
    patience_ms = max(serving.lookup_deadline_ms // 2, 1)
    store = replace(
        settings.store,
        busy_timeout_ms=min(settings.store.busy_timeout_ms, patience_ms),
        timeout_ms=min(settings.store.timeout_ms, patience_ms),
    )
    return FeatureLookup(
        lambda: open_store(store, model.features.config, model.features.fingerprint),
        model.features,
        model.catalogue,
        model.context_events,
        serving,
    )


def build_encoder(settings: ServiceSettings, model: ServedModel, telemetry: Telemetry | None = None) -> Encoder:
    """Build the encoder with its cache of active users."""
    serving = settings.serving
    return Encoder(model, serving.threads, serving.encoder_cache_mb, serving.user_memory_s, telemetry)


def build_scorer(
    settings: ServiceSettings,
    lookup: LookupPort | None = None,
    encoder: EncoderPort | None = None,
    telemetry: Telemetry | None = None,
) -> HybridScorer:
    """Load the model and build the scorer; parts that are not given run in this process.

    Raises:
        BundleError: the bundle is missing, damaged, or does not fit this code.
        ConfigError: the user key is missing, or not the one that the bundle was trained with.
    """
    model, pseudonyms = load_model(settings.bundle), open_pseudonyms(settings.privacy)
    require_user_key(pseudonyms, model.features.user_key_id, f"bundle {settings.bundle}")
    return HybridScorer(
        model,
        lookup or build_lookup(settings, model),
        encoder or build_encoder(settings, model, telemetry),
        settings.serving,
        telemetry,
        pseudonyms=pseudonyms,
    )
