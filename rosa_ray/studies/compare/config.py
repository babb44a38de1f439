"""Settings of a study."""

from dataclasses import dataclass

from rosa_ray.errors import ConfigError


@dataclass(frozen=True)
class StudyConfig:
    """What a study trains and how its intervals are drawn.

    Attributes:
        seeds: of weights, order and dropout; every variant is trained once with each.
        models: rankers that `rosa compare` sets beside the configured one; the first is the reference, 100 in ROI Gain.
        learning_rates: tried by every variant with the first seed; the one with the best monitor on the validation
            period is kept for the other seeds. Empty takes `training.learning_rate`.
        shares: shares of the users that `rosa curve` trains on, each above 0 to 1; the whole is always among them.
        trials_at_once: trials that train at the same time, one process each; None for the cluster's CPUs.
        replicates: bootstrap samples, of users and seeds together, behind the 95 % intervals.
        latency_requests: requests timed in each trial; 0 leaves latency out.
        candidates: ads in a timed request.

    Raises:
        ConfigError: a value is out of range.

    >>> StudyConfig(seeds=())
    Traceback (most recent call last):
    rosa_ray.errors.ConfigError: study.seeds is empty; name at least one seed
    """

    seeds: tuple[int, ...] = (1, 2, 3)
    models: tuple[str, ...] = ("wide_deep", "deepfm", "din", "sasrec")
    learning_rates: tuple[float, ...] = (5e-4, 1e-3)
    shares: tuple[float, ...] = (0.125, 0.25, 0.5)
    trials_at_once: int | None = None
    replicates: int = 400
    latency_requests: int = 200
    candidates: int = 100

    def __post_init__(self) -> None:
        for name, what in (("seeds", "seed"), ("models", "model")):
            if not getattr(self, name):
                raise ConfigError(f"study.{name} is empty; name at least one {what}")
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ConfigError(f"study.{name} is {list(getattr(self, name))}; name each {what} once")
        if any(rate <= 0 for rate in self.learning_rates):
            raise ConfigError(f"study.learning_rates is {list(self.learning_rates)}; each must be above 0")
        if any(not 0 < share <= 1 for share in self.shares) or len(set(self.shares)) < len(self.shares):
            raise ConfigError(f"study.shares is {list(self.shares)}; each must be above 0, up to 1, and named once")
        for name in ("replicates", "candidates"):
            if getattr(self, name) < 1:
                raise ConfigError(f"study.{name} is {getattr(self, name)}; it must be at least 1")
        if self.latency_requests < 0:
            raise ConfigError(f"study.latency_requests is {self.latency_requests}; it must be 0 or more")
        if self.trials_at_once is not None and self.trials_at_once < 1:
            raise ConfigError(f"study.trials_at_once is {self.trials_at_once}; it must be at least 1, or null")
