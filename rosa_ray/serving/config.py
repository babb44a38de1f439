"""Settings of the ranking service."""

import re
from typing import Annotated, Literal

from annotated_types import Ge, Le

from rosa_ray.errors import ConfigError
from rosa_ray.metrics import ScoreChoice
from rosa_ray.policy.steps import config_class, draws_first, step_names
from rosa_ray.settings import Tagged, section, tagged_each, wrong

RuleName = Literal["offline", "online", "fresh", "learned"]


@section("serving")
class ServingConfig:
    """How requests are answered, and on how many replicas."""

    host: str = "127.0.0.1"
    """Address that the HTTP proxy listens on. Ray fixes it when Serve first starts on a cluster."""
    port: Annotated[int, Ge(0), Le(65535)] = 8000
    """Port of the HTTP proxy. 0 takes any free one where the proxy is started by us."""
    fused: bool = True
    """True runs lookup, encoder and scorer in one replica, without hops between processes. False gives each its own
    deployment, scaled on its own: where encoders have GPUs, or a Redis store is read by many."""
    rule: RuleName = "fresh"
    """How λ is chosen, see `rosa_ray.serving.offline_weight`."""
    score: ScoreChoice = "auto"
    """What ads are ranked by, see `rosa_ray.metrics.Ranking`. `auto` takes `dual` where the log had costs and revenue,
    `ecpm` where it had no costs, and `ctr` where it had no revenue either."""
    theta: Annotated[float, Ge(0)] | None = None
    """What one unit of cost has to bring under `dual`: 1 is the most profit, more is a higher return on less spend.
    null takes what calibration fitted."""
    lookup_deadline_ms: Annotated[int, Ge(1)] = 1000
    """A lookup that takes longer is replaced by cold-start features."""
    encoder_deadline_ms: Annotated[int, Ge(1)] = 500
    """An encoding that takes longer is replaced by the offline score."""
    request_timeout_ms: Annotated[int, Ge(1)] = 5000
    """A request that takes nine tenths of it is answered 503. So is one that Serve could not hand over,
    behind the proxy of `rosa serve`; Serve alone answers it 408."""
    top_k: Annotated[int, Ge(1)] = 20
    """Ads returned when the request does not say."""
    max_candidates: Annotated[int, Ge(1)] = 5000
    """Ads ranked in one request at most. A request that names more is refused; of more that can be shown the first pass
    takes so many."""
    max_batch_events: Annotated[int, Ge(1)] = 1000
    """Events accepted in one `POST /events`."""
    max_body_bytes: Annotated[int, Ge(1)] = 1_000_000
    """A larger request body is refused with 413."""
    client_timeout_ms: Annotated[int, Ge(1)] = 10_000
    """A client that takes longer to send its request is answered 408. The proxy waits for it, and no replica does."""
    write_tokens: str = ""
    """Where the tokens of writers stand: `env:NAME` or `file:/PATH`. White space separates several. `POST /events` and
    `POST /ads` then ask for one as `Authorization: Bearer TOKEN`. Empty lets everyone write."""
    max_future_s: Annotated[int, Ge(0)] = 300
    """An event or request time further ahead of the server's clock is refused."""
    dead_letters: str = ""
    """Directory or URL for refused live records, shared by the replicas. Empty is `dead-letters` beside the bundle, and
    `off` only counts them."""
    counter_ttl_s: Annotated[float, Ge(0)] = 60.0
    """Age at which cached counters of ads are read again, for changes that other processes write."""
    ads_poll_ms: Annotated[int, Ge(10), Le(60_000)] = 200
    """Time between two questions of a replica whether ads changed."""
    counter_stale_s: Annotated[float, Ge(0)] = 600.0
    """For so long after that age they are used, while they are read again in the background. 0 makes requests wait."""
    lookup_threads: Annotated[int, Ge(1), Le(64)] = 2
    """Requests that a lookup reads the store for at the same time."""
    max_waiting_writes: Annotated[int, Ge(1)] = 8
    """Bodies of events that wait for the store at once; more are answered 503 with Retry-After."""
    cached_users: Annotated[int, Ge(1)] = 1000
    """Users whose last lookup is kept for the time the store is down."""
    user_memory_s: Annotated[float, Ge(0)] = 3600
    """A replica forgets a user who did not come back for this long, so that it keeps nothing that the store forgot."""
    store_retry_s: Annotated[float, Ge(0)] = 1.0
    """After a failure the store is left alone this long."""
    encoder_cache_mb: Annotated[int, Ge(0)] = 64
    """Memory for the keys and values of active users, per encoder replica. 0 encodes every timeline from the
    start."""
    threads: Annotated[int, Ge(1)] = 1
    """Torch threads per replica."""
    cpus_per_replica: Annotated[float, Ge(0)] = 0.5
    """Logical CPUs that Ray sets aside for each replica."""
    min_replicas: Annotated[int, Ge(0)] = 0
    """Replicas of each deployment, at least. 0 takes two where the cluster has room for a third, else one. A lookup of
    its own is always one replica on SQLite: the store's single writer."""
    max_replicas: Annotated[int, Ge(0)] = 0
    """Replicas of each deployment, at most; more come with the load. 0 takes as many as at least. Leave CPUs for one
    more of each: a rollout starts the new one before it ends an old one."""
    target_ongoing_requests: Annotated[int, Ge(1)] = 8
    """Requests per replica that autoscaling aims at."""
    max_ongoing_requests: Annotated[int, Ge(1)] = 16
    """Requests that a replica works on at once; more wait."""
    max_queued_requests: Annotated[int, Ge(1)] = 100
    """Requests that wait in a proxy for each replica; more, and those that wait for a second, are answered 503 with
    Retry-After."""
    retry_after_s: Annotated[int, Ge(1)] = 1
    """What Retry-After says."""
    policy: tuple[Tagged, ...] = tagged_each(config_class, names=step_names)
    """Steps that change scores or take out ads after scoring, in this order, such as `[{name: floor, least: 0.0}]`."""

    def __post_init__(self) -> None:
        if self.write_tokens and not re.fullmatch(r"env:\w+|file:/.+", self.write_tokens):
            # The value is not repeated: it may be a token.
            raise ConfigError("serving.write_tokens must be env:NAME or file:/ABSOLUTE/PATH, never a token itself")
        for step in self.policy[:-1]:
            if draws_first(step.name):
                raise wrong(self, "policy", f"{step.name} must be its last step, and stand there once")
        if 0 < self.max_replicas < self.min_replicas:
            raise wrong(self, "max_replicas", f"it must be at least serving.min_replicas ({self.min_replicas})")
