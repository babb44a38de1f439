"""Settings of the ranking service."""

from dataclasses import dataclass, fields
from typing import Literal, get_args

from rosa_ray.errors import ConfigError
from rosa_ray.metrics import ScoreKind

RuleName = Literal["offline", "online", "fresh", "learned"]

_AT_LEAST_ONE = (
    "lookup_deadline_ms",
    "encoder_deadline_ms",
    "request_timeout_ms",
    "top_k",
    "max_candidates",
    "max_batch_events",
    "max_body_bytes",
    "cached_users",
    "threads",
    "min_replicas",
    "target_ongoing_requests",
    "max_ongoing_requests",
    "max_queued_requests",
    "retry_after_s",
)


@dataclass(frozen=True)
class ServingConfig:
    """How requests are answered, and on how many replicas.

    Attributes:
        host: address the HTTP proxy listens on; Ray fixes it when Serve first starts on a cluster.
        port: of the HTTP proxy, 0 for any free one where the proxy is started by us.
        fused: True runs lookup, encoder and scorer in one replica, without hops between processes; False gives each
            its own deployment, scaled on its own.
        rule: how λ is chosen, see `rosa_ray.serving.offline_weight`.
        score: what ads are ranked by, see `rosa_ray.metrics.score`.
        lookup_deadline_ms: a lookup that takes longer is replaced by cold-start features.
        encoder_deadline_ms: an encoding that takes longer is replaced by the offline score.
        request_timeout_ms: a request that takes longer is answered 408 by Serve.
        top_k: ads returned when the request does not say.
        max_candidates: ads ranked in one request at most; a larger body is refused.
        max_batch_events: events accepted in one `POST /events`.
        max_body_bytes: a larger request body is refused with 413.
        max_future_s: an event or request time further ahead of the server's clock is refused.
        dead_letters: directory for refused live records, shared by the replicas; empty only counts them.
        counter_ttl_s: age at which cached counters of ads are read again, for changes that other processes write.
        cached_users: users whose last lookup is kept for the time the store is down.
        user_memory_s: seconds after which a replica lets go of what it holds of a user who did not come back, so that
            a user who was forgotten in the store is forgotten here.
        store_retry_s: after a failure the store is left alone this long.
        encoder_cache_mb: memory for the keys and values of active users, 10^6 bytes per encoder replica; 0 encodes
            every timeline from the start.
        threads: torch threads per replica.
        cpus_per_replica: logical CPUs that Ray sets aside for each replica.
        min_replicas: of each deployment but the lookup, which is one replica: the store's single writer.
        max_replicas: the same, at most.
        target_ongoing_requests: per replica, what autoscaling aims at.
        max_ongoing_requests: per replica; more wait.
        max_queued_requests: waiting requests per proxy; more are answered 503 with Retry-After.
        retry_after_s: what Retry-After says.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    fused: bool = False
    rule: RuleName = "fresh"
    score: ScoreKind = "roi"
    lookup_deadline_ms: int = 1000
    encoder_deadline_ms: int = 500
    request_timeout_ms: int = 5000
    top_k: int = 20
    max_candidates: int = 5000
    max_batch_events: int = 1000
    max_body_bytes: int = 1_000_000
    max_future_s: int = 300
    dead_letters: str = ""
    counter_ttl_s: float = 60.0
    cached_users: int = 1000
    user_memory_s: float = 3600
    store_retry_s: float = 1.0
    encoder_cache_mb: int = 64
    threads: int = 1
    cpus_per_replica: float = 0.5
    min_replicas: int = 1
    max_replicas: int = 1
    target_ongoing_requests: int = 8
    max_ongoing_requests: int = 16
    max_queued_requests: int = 100
    retry_after_s: int = 1

    def __post_init__(self) -> None:
        for name, allowed in (("rule", RuleName), ("score", ScoreKind)):
            if getattr(self, name) not in get_args(allowed):
                raise ConfigError(
                    f"serving.{name} is '{getattr(self, name)}'; choose one of {', '.join(get_args(allowed))}"
                )
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ConfigError(f"serving.{name} is {getattr(self, name)}; it must be at least 1")
        for name in (
            "max_future_s",
            "counter_ttl_s",
            "user_memory_s",
            "store_retry_s",
            "encoder_cache_mb",
            "cpus_per_replica",
            "port",
        ):
            if getattr(self, name) < 0:
                raise ConfigError(f"serving.{name} is {getattr(self, name)}; it must not be negative")
        if self.max_replicas < self.min_replicas:
            raise ConfigError(
                f"serving.max_replicas is {self.max_replicas}, below serving.min_replicas ({self.min_replicas})"
            )

    @classmethod
    def of(cls, settings: dict[str, object]) -> "ServingConfig":
        """Build from the `serving` mapping of a Serve config file.

        >>> ServingConfig.of({"rule": "online"}).rule
        'online'

        Raises:
            ConfigError: a key is unknown or a value does not fit.
        """
        known = {field.name: field for field in fields(cls)}
        if unknown := sorted(set(settings) - set(known)):
            raise ConfigError(f"serving has no setting '{unknown[0]}'; it has {', '.join(known)}")
        for name, value in settings.items():
            expected = type(known[name].default)
            if type(value) is not expected and not (expected is float and type(value) is int):
                raise ConfigError(f"serving.{name} is {value!r}; it must be of type {expected.__name__}")
        return cls(**settings)  # type: ignore[arg-type]
