"""Live records at the door: what is accepted as JSON, and the columns it becomes. The same for HTTP, Kafka and logs."""

from rosa_ray.records.config import RecordsConfig
from rosa_ray.records.fields import Bid, Id, StrictModel, Time, to_us
from rosa_ray.records.parse import REASONS, Parsed, RecordParser, Refusal, late_refusals
from rosa_ray.records.record_types import EXAMPLES, ClickIn, ConversionIn, EventIn, ImpressionIn, LiveRecord, RecordIn

__all__ = [
    "EXAMPLES",
    "REASONS",
    "Bid",
    "ClickIn",
    "ConversionIn",
    "EventIn",
    "Id",
    "ImpressionIn",
    "LiveRecord",
    "Parsed",
    "RecordIn",
    "RecordParser",
    "RecordsConfig",
    "Refusal",
    "StrictModel",
    "Time",
    "late_refusals",
    "to_us",
]
