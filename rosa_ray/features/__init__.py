"""The one shared feature computation: pure NumPy on columns, called with millions of rows offline and one online."""

from rosa_ray.features.batching import batch_users, collate
from rosa_ray.features.build import (
    SplitBounds,
    build_user_rows,
    keyed_events,
    keyed_impressions,
    of_known_ads,
    with_categories,
)
from rosa_ray.features.catalogue import AdTable
from rosa_ray.features.config import FeatureConfig
from rosa_ray.features.counted import counting_fingerprint
from rosa_ray.features.counters import Buckets, Counters
from rosa_ray.features.counting import (
    CounterStates,
    dense_names,
    expected_cost,
    fold_events,
    merge_states,
    read_dense,
)
from rosa_ray.features.encoding import EncodedUsers, concat_users, encode_events, encode_timeline, encode_users
from rosa_ray.features.fit_sums import FitSums
from rosa_ray.features.pieces import cut_long_users, cut_timelines
from rosa_ray.features.records import (
    RECORD_COLUMNS,
    RecordKind,
    concat_records,
    contributions,
    empty_records,
    event_records,
    fold_impressions,
    fold_records,
    impression_records,
    record_keys,
    records_of,
)
from rosa_ray.features.rows import (
    EVENT_COLUMNS,
    IMPRESSION_COLUMNS,
    Split,
    UserRows,
    event_columns,
    impression_columns,
    is_logged,
    no_events,
)
from rosa_ray.features.state import FeatureState
from rosa_ray.features.views import VIEWS

__all__ = [
    "EVENT_COLUMNS",
    "IMPRESSION_COLUMNS",
    "RECORD_COLUMNS",
    "VIEWS",
    "AdTable",
    "Buckets",
    "CounterStates",
    "Counters",
    "EncodedUsers",
    "FeatureConfig",
    "FeatureState",
    "FitSums",
    "RecordKind",
    "Split",
    "SplitBounds",
    "UserRows",
    "batch_users",
    "build_user_rows",
    "collate",
    "concat_records",
    "concat_users",
    "contributions",
    "counting_fingerprint",
    "cut_long_users",
    "cut_timelines",
    "dense_names",
    "empty_records",
    "encode_events",
    "encode_timeline",
    "encode_users",
    "event_columns",
    "event_records",
    "expected_cost",
    "fold_events",
    "fold_impressions",
    "fold_records",
    "impression_columns",
    "impression_records",
    "is_logged",
    "keyed_events",
    "keyed_impressions",
    "merge_states",
    "no_events",
    "of_known_ads",
    "read_dense",
    "record_keys",
    "records_of",
    "with_categories",
]
