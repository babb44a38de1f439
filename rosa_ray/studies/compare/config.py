"""Settings of a study."""

from typing import Annotated

from annotated_types import Ge, Gt, Le, MinLen

from rosa_ray.settings import Distinct, OneOf, section
from rosa_ray.studies.compare.variants import baseline_names

_Models = tuple[Annotated[str, OneOf(baseline_names)], ...]


@section("study")
class StudyConfig:
    """What a study trains and how its intervals are drawn.

    >>> StudyConfig(seeds=())
    Traceback (most recent call last):
    rosa_ray.settings.fields.SettingError: study.seeds is []; it must name at least one
    """

    seeds: Annotated[tuple[Annotated[int, Ge(0)], ...], MinLen(1), Distinct()] = (1, 2, 3, 4, 5)
    """Seeds of weights, order and dropout. Every variant is trained once with each, so gaps are paired by seed. Against
    a simulator's truth the seeds are most of the noise."""
    models: Annotated[_Models, MinLen(1), Distinct()] = (
        "wide_deep",
        "deepfm",
        "din",
        "din_exact_match",
        "sasrec",
        "trees",
        "trees_transitions",
        "trees_all_counts",
    )
    """Models that `rosa compare` sets beside the configured one: rankers, `din_exact_match`, which is DIN given
    ROSA-Rec's exact match, and boosted trees, told of transitions, of all that ROSA-Rec counts of other users, or of
    neither. The first is the reference, 100 in ROI Gain."""
    learning_rates: tuple[Annotated[float, Gt(0)], ...] = (5e-4, 1e-3)
    """Learning rates that every variant tries with the first seed. The one with the best monitor on the validation
    period is kept for the other seeds. Empty takes `training.learning_rate`. Boosted trees choose from two rates of
    their own."""
    shares: Annotated[tuple[Annotated[float, Gt(0), Le(1)], ...], Distinct()] = (0.125, 0.25, 0.5)
    """Shares of the users that `rosa curve` trains on; the whole is always among them."""
    trials_at_once: Annotated[int, Ge(1)] | None = None
    """Trials that train at the same time, one process each. null takes the cluster's CPUs."""
    replicates: Annotated[int, Ge(1)] = 400
    """Bootstrap samples, of users and seeds together, behind the 95 % intervals."""
    latency_requests: Annotated[int, Ge(0)] = 200
    """Requests timed in each trial; 0 leaves latency out."""
    candidates: Annotated[int, Ge(1)] = 100
    """Ads in a timed request."""
