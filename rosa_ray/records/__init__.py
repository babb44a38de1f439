"""Live records at the door: what is accepted as JSON, and the columns it becomes. The same for HTTP, Kafka and logs."""

from rosa_ray.records.config import RecordsConfig
from rosa_ray.records.fields import Bid, Id, StrictModel, Time, to_us
from rosa_ray.records.own_values import Said, as_declared
from rosa_ray.records.parse import REASONS, Parsed, RecordParser, Refusal, late_refusals
from rosa_ray.records.record_types import (
    AD_CHANGES,
    EXAMPLES,
    AdIn,
    ClickIn,
    ConversionIn,
    EventIn,
    ImpressionIn,
    ItemIn,
    LiveRecord,
    ProfileIn,
    RecordIn,
)

__all__ = [
    "AD_CHANGES",
    "EXAMPLES",
    "REASONS",
    "AdIn",
    "Bid",
    "ClickIn",
    "ConversionIn",
    "EventIn",
    "Id",
    "ImpressionIn",
    "ItemIn",
    "LiveRecord",
    "Parsed",
    "ProfileIn",
    "RecordIn",
    "RecordParser",
    "RecordsConfig",
    "Refusal",
    "Said",
    "StrictModel",
    "Time",
    "as_declared",
    "late_refusals",
    "to_us",
]
