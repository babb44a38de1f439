"""The kinds of live records: fields, examples, and the reasons for which one is refused."""

import json

from pydantic import BaseModel

from docs.reference_from_code.json_schema import fields_table
from docs.reference_from_code.markdown import code, summary, table
from rosa_ray.records import (
    EXAMPLES,
    REASONS,
    AdIn,
    ClickIn,
    ConversionIn,
    EventIn,
    ImpressionIn,
    ItemIn,
    ProfileIn,
)
from rosa_ray.records.parse import FUTURE, IMPLAUSIBLE, LATE, MALFORMED, OVERSIZE

_KINDS: dict[str, type[BaseModel]] = {
    "event": EventIn,
    "impression": ImpressionIn,
    "click": ClickIn,
    "conversion": ConversionIn,
    "profile": ProfileIn,
    "item": ItemIn,
    "ad": AdIn,
}

_INTRODUCTION = """# Live records

A live record is one JSON object: a line of a log, a Kafka message, or an element of `POST /events`.
There are seven kinds. `type` says which one it is, and may be left out of an event.
Events, impressions, clicks and conversions say what happened, once. Profiles, items and ads say what is known of a
user, an item or an ad from some time on: values of columns of your own, and of an ad its price, bid, end and the like.
[Change ads while serving](../how-to/change-ads-while-serving.md) shows what follows from a record of an ad.
[Follow a log or Kafka](../how-to/follow-a-stream.md) shows how to send them.

Fields that are not listed are ignored and counted. Optional fields may be null, empty or a word such as `NULL`.
Numbers may be decimal text. Times are ISO 8601; numbers need `records.time_unit`, and times without a zone
`records.time_zone`.
"""

_COLUMNS = """`columns` gives values by the NAME of `features.columns`, without its prefix. What a value must be follows
from the type of its column:

| type | JSON |
| --- | --- |
| `category` | text, a number, true or false |
| `categories` | a list of these |
| `number` | a number, or one as text |
| `vector` | a list of `size` numbers |

- Null makes a column missing. Columns that are not named keep what they had.
- A value of another type refuses the record. The reason names the column and its type.
- Names that are not declared are ignored and counted, such as `columns.colour`. So are vectors of items and ads, which
  belong to the model.
- A request reads the newest value at or before its time. `valid_from: null` holds since ever.
- These records have no id and are never late. Said again, they change nothing."""

_ADS = """## Terms of ads

- What a record of an ad does not name keeps what it had. Null takes back `item_id`, `valid_until`, `budget`, `devices`
  and `regions`.
- An ad is ranked once its `campaign_id`, `category`, `bid` and `price` were told, by one record or several.
- Of one moment the records are united. Where they contradict each other, one of the two values holds, whatever their
  order.
- `valid_from` of an ad may lie ahead: it is no reason to refuse the record."""

_REFUSED = {
    MALFORMED: "It is not JSON, or a field is missing, of another type, or out of bounds.",
    OVERSIZE: "It is longer than `stream.max_line_bytes`.",
    FUTURE: "Its time lies further ahead of the clock than `stream.max_future_s`.",
    LATE: "It is older than `store.dedup_horizon_days`, and the store may hold it already.",
    IMPLAUSIBLE: "Its bid, cost or revenue is far from what the catalogue says of its ad, see `records` in the "
    "[settings](settings.md). Or the ad has cost too much in the hour.",
}


def page() -> str:
    """The page as Markdown."""
    refused = table(["reason", "what it means"], [(code(reason), _REFUSED[reason]) for reason in REASONS])
    sections = [_section(kind) for kind in _KINDS]
    return "\n".join(
        [
            _INTRODUCTION,
            *sections,
            "## Why a record is refused",
            "",
            "A refused record goes to the [dead letters](../glossary.md#dead-letter) with one of these reasons.",
            "",
            refused,
            "",
            "## Columns of users, items and ads",
            "",
            _COLUMNS,
            "",
            _ADS,
            "",
            "An impression, click or conversion of an ad that the catalogue lacks is not refused. It counts for its "
            "user and its ad, without a campaign, as in preprocessing.",
            "",
        ]
    )


def _section(kind: str) -> str:
    schema = _KINDS[kind].model_json_schema()
    example = json.dumps(EXAMPLES[kind], indent=2)
    return f"## {kind}\n\n{summary(_KINDS[kind])}\n\n{fields_table(schema)}\n\n```json\n{example}\n```\n"
