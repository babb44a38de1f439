"""Which features are computed, and how finely. Every field is part of the feature fingerprint."""

from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

from rosa_ray.features.views import VIEWS
from rosa_ray.settings import Distinct, OneOf, section


@section("features")
class FeatureConfig:
    """Settings of the feature computation, the same offline and online.

    >>> FeatureConfig().bucket_minutes
    60
    """

    views: Annotated[tuple[Annotated[str, OneOf(VIEWS.keys)], ...], Distinct()] = (
        "user_events",
        "item_events",
        "category_events",
        "user_impressions",
        "ad_impressions",
        "campaign_impressions",
    )
    """Counter views whose readings become dense features; names from `rosa_ray.features.views.VIEWS`."""
    bucket_minutes: Annotated[int, Ge(1), Le(1440)] = 60
    """Width of a counter bucket in event time. A request reads whole closed buckets only. A day is the shortest
    window."""
    settle_minutes: Annotated[int, Ge(0)] = 5
    """A bucket closes this long after its end, so that clicks of its last impressions are in."""
    utc_offset_hours: Annotated[int, Ge(-12), Le(14)] = 0
    """Shift from UTC to the market's local time, for hour of day and weekday."""
    min_count: Annotated[int, Ge(1)] = 2
    """An id seen less often in the training period shares an out-of-vocabulary row."""
    item_oov_buckets: Annotated[int, Ge(1)] = 1024
    """Rows that unseen items are hashed into. Many rows keep unseen items distinct, so that the model can still
    recognise one it saw in the user's history."""
    oov_buckets: Annotated[int, Ge(1)] = 16
    """The same for category, campaign, device and region."""
    money_buckets: Annotated[int, Ge(1)] = 16
    """Buckets that log bid and log price are cut into."""
    prior_impressions: Annotated[float, Gt(0)] = 20.0
    """Strength of the prior of smoothed rates, in impressions."""
    prior_ctr: Annotated[float, Gt(0), Lt(1)] = 0.03
    """Rate that a smoothed CTR starts from."""
    prior_cvr: Annotated[float, Gt(0), Lt(1)] = 0.1
    """Rate that a smoothed CVR starts from, conversions per click."""
