"""Labels among the inputs by name: file columns that a source maps to both, or whose name says they are labels."""

import re
from collections.abc import Iterator

from rosa_ray.data.leakage.findings import ANYWAY, LeakFinding
from rosa_ray.sources import SourceConfig

POST_CLICK = ("click", "conversion", "conversion_time", "revenue")
"""Columns of impressions that are known only after the impression was shown."""

INPUTS = {
    "impressions": ("user_id", "ad_id", "request_time", "device", "region", "bid"),
    "ads": ("item_id", "campaign_id", "category", "price"),
}
"""Columns that become inputs of a model."""

_LABEL_WORDS = re.compile(
    r"(^|[_\W])(clicks?|clicked|conversions?|converted|purchased?|revenue|attributed|attribution|dwell|label)($|[_\W])"
)


def check_mapping(source: SourceConfig) -> Iterator[LeakFinding]:
    """Findings on the column map of a source; sources of a fixed format have none.

    >>> config = SourceConfig(kind="csv", impressions="a.csv", columns={"impressions": {"region": "click"}})
    >>> [finding.where for finding in check_mapping(config)]
    ['source.columns.impressions.region']
    """
    labels = {_file_column(source, "impressions", name): name for name in POST_CLICK}
    for contract, names in INPUTS.items():
        for name in names:
            if not getattr(source, contract):
                continue
            where, found = f"source.columns.{contract}.{name}", _file_column(source, contract, name)
            if found in labels:
                yield LeakFinding(
                    "label among the inputs",
                    "leak",
                    where,
                    f"reads file column '{found[1]}', which is also the label '{labels[found]}'",
                    f"map another column to '{name}', {ANYWAY}",
                )
            elif name in source.columns.get(contract, {}) and _LABEL_WORDS.search(found[1].lower()):
                yield LeakFinding(
                    "label among the inputs",
                    "warning",
                    where,
                    f"reads file column '{found[1]}', whose name says that it is known only after the impression",
                    f"make sure it is known at the request, or map another column to '{name}'",
                )


def _file_column(source: SourceConfig, contract: str, name: str) -> tuple[str, str]:
    return getattr(source, contract), source.columns.get(contract, {}).get(name, name)
