"""Which features are computed, and how finely. Every field is part of the feature fingerprint."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FeatureConfig:
    """Settings of the feature computation, the same offline and online.

    Attributes:
        views: counter views whose readings become dense features; names from `rosa_ray.features.views.VIEWS`.
        bucket_minutes: width of a counter bucket in event time; a request reads whole closed buckets only.
        settle_minutes: a bucket closes this long after its end, so that clicks of its last impressions are in.
        utc_offset_hours: shift from UTC to the market's local time, for hour of day and weekday.
        min_count: an id seen less often in the training period shares an out-of-vocabulary row.
        item_oov_buckets: rows that unseen items are hashed into; many rows keep unseen items distinct, so that the
            model can still recognise one it saw in the user's history.
        oov_buckets: the same for category, campaign, device and region.
        money_buckets: number of buckets that log bid and log price are cut into.
        prior_impressions: strength of the prior of smoothed rates, in impressions.
        prior_ctr: rate a smoothed CTR starts from; `prior_cvr` likewise for conversions per click.

    >>> FeatureConfig().bucket_minutes
    60
    """

    views: tuple[str, ...] = (
        "user_events",
        "item_events",
        "category_events",
        "user_impressions",
        "ad_impressions",
        "campaign_impressions",
    )
    bucket_minutes: int = 60
    settle_minutes: int = 5
    utc_offset_hours: int = 0
    min_count: int = 2
    item_oov_buckets: int = 1024
    oov_buckets: int = 16
    money_buckets: int = 16
    prior_impressions: float = 20.0
    prior_ctr: float = 0.03
    prior_cvr: float = 0.1
