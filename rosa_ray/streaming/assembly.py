"""Builds a consumer from a bundle, a store and a stream: in this process, or in an actor."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from rosa_ray.bundle import open_bundle
from rosa_ray.errors import StoreError, StreamAwayError
from rosa_ray.features import FeatureState
from rosa_ray.features.live_catalogue import LiveCatalogue
from rosa_ray.records import RecordParser, RecordsConfig
from rosa_ray.records.dead_letters import DeadLetters
from rosa_ray.records.money import MoneyGuard
from rosa_ray.schema.pseudonyms import PrivacyConfig, open_pseudonyms, require_user_key
from rosa_ray.settings.secrets import absolute_reference
from rosa_ray.storage import absolute
from rosa_ray.store import OnlineStore, StoreConfig, open_store
from rosa_ray.streaming.config import StreamConfig
from rosa_ray.streaming.consumer import Consumer, Patience
from rosa_ray.streaming.consumer_metrics import ConsumerMetrics
from rosa_ray.streaming.kafka import KafkaSource
from rosa_ray.streaming.local_log import LocalLog
from rosa_ray.streaming.log_layout import require_local
from rosa_ray.streaming.protocol import RecordSource


@dataclass(frozen=True)
class StreamSettings:
    """What a consumer needs to know.

    Attributes:
        bundle: directory of the model bundle, whose features and ads decide what is counted.
        store: the online store; an empty one is made where there is none.
        files: read these from their beginnings, and not the stream.
    """

    bundle: str
    store: StoreConfig = field(default_factory=StoreConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)
    privacy: PrivacyConfig = field(default_factory=PrivacyConfig)
    records: RecordsConfig = field(default_factory=RecordsConfig)
    files: tuple[str, ...] = ()

    def absolute(self) -> "StreamSettings":
        """The same with absolute paths: actors have working directories of their own."""
        path, letters = absolute(self.stream.path), absolute(self.stream.dead_letters)
        kafka = {name: absolute_reference(value) for name, value in self.stream.kafka.items()}
        stream = replace(self.stream, path=path, dead_letters=letters, kafka=kafka)
        files = tuple(str(Path(name).absolute()) for name in self.files)
        return replace(self, bundle=absolute(self.bundle), store=self.store.absolute(), stream=stream, files=files)


@dataclass(frozen=True)
class Pipeline:
    """A consumer with what it holds open."""

    consumer: Consumer
    source: RecordSource
    store: OnlineStore

    def close(self) -> None:
        """Close source and store."""
        self.source.close()
        self.store.close()


def build_pipeline(
    settings: StreamSettings, share: tuple[int, int] = (0, 1), metrics: ConsumerMetrics | None = None, **options: object
) -> Pipeline:
    """Open bundle, source and store.

    Args:
        share: number of this consumer and how many there are; a log's partitions are dealt by it, Kafka deals its own.
        options: further ones of `Consumer`.

    Raises:
        BundleError: the bundle is missing, damaged, or has no usable ads.
        ConfigError: the user key is missing, or not the one that the bundle was trained with.
        StoreError: the store is locked, damaged or of other features.
        StreamError: the source cannot be reached.
    """
    stream = settings.stream.within(settings.store.dedup_horizon_days)
    source = open_records(stream, share, settings.files)
    try:
        store, parser = open_target(settings)
    except BaseException:
        source.close()
        raise
    letters = DeadLetters(stream.dead_letters, f"ingest-{share[0]}", stream.dead_letter_mb * 1_000_000)
    return Pipeline(Consumer(source, store, parser, letters, stream, metrics, **options), source, store)  # type: ignore[arg-type]


def build_patiently(
    settings: StreamSettings,
    share: tuple[int, int],
    metrics: ConsumerMetrics,
    patience: Patience | None,
    stopped: Callable[[], bool],
) -> Pipeline | None:
    """Build a pipeline; with patience, try again while store or source are away. None when stopped meanwhile.

    Raises:
        RosaError: as `build_pipeline`.
    """
    while not stopped():
        try:
            return build_pipeline(settings, share, metrics)
        except (StoreError, StreamAwayError) as error:
            if patience is None:
                raise
            patience.wait(error)
    return None


def open_target(settings: StreamSettings) -> tuple[OnlineStore, RecordParser]:
    """Open the store that records go to, and what checks them.

    Raises:
        BundleError: the bundle is missing, damaged, or has no usable ads.
        ConfigError: the user key is missing, or not the one that the bundle was trained with.
        StoreError: the store is locked, damaged or of other features.
    """
    bundle, stream = open_bundle(settings.bundle), settings.stream
    state = bundle.features(FeatureState.load)
    pseudonyms = open_pseudonyms(settings.privacy)
    require_user_key(pseudonyms, state.user_key_id, f"bundle {settings.bundle}")
    parser = RecordParser(
        LiveCatalogue(bundle.ads),
        stream.max_future_s,
        stream.max_line_bytes,
        None if pseudonyms is None else pseudonyms.of,
        time_form=settings.records.time_form,
        features=state.config,
        money=MoneyGuard(settings.records),
    )
    store = open_store(settings.store, state.config, bundle.model_version, user_key_id=state.user_key_id, create=True)
    store.info()
    return store, parser


def open_records(stream: StreamConfig, share: tuple[int, int] = (0, 1), files: tuple[str, ...] = ()) -> RecordSource:
    """Open the configured source, or files instead of it.

    Raises:
        ConfigError: a log is not on a disk of this machine.
        StreamError: it cannot be reached.
    """
    if stream.kind == "kafka" and not files:
        return KafkaSource(stream.brokers, stream.topic, stream.group, stream.kafka)
    if not files:
        require_local(stream.path)
    return LocalLog(stream.path, stream.topic, share, stream.max_line_bytes, files)
