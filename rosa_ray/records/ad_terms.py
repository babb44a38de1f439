"""From parsed records of ads to what they tell of the catalogue."""

from collections.abc import Mapping, Sequence

import numpy as np

from rosa_ray.features.ad_changes import TERMS, AdChange, Terms
from rosa_ray.records.own_values import Value
from rosa_ray.records.record_types import AdIn, ChangeModel
from rosa_ray.records.times import Moments, read_moments
from rosa_ray.sources.times import TimeForm

_LISTS = ("devices", "regions")


def read_ends(records: Sequence[ChangeModel], time_us: np.ndarray, form: TimeForm) -> tuple[Moments, dict[int, str]]:
    """When ads end, and what is wrong with that by position.

    Args:
        time_us: since when each record holds.
        form: of numbers and of times without a zone.
    """
    said = {at: record.valid_until for at, record in enumerate(records) if isinstance(record, AdIn)}
    ends, faults = read_moments({at: end for at, end in said.items() if end is not None}, form)
    early = {at: "lies before valid_from" for at, end in ends.items() if end < time_us[at]}
    return ends, {at: f"valid_until: {fault}" for at, fault in {**early, **faults}.items()}


def ad_changes(
    records: Sequence[ChangeModel],
    time_us: np.ndarray,
    ends_us: Mapping[int, int],
    columns: Sequence[Mapping[str, Value]],
    rows: Sequence[int],
) -> list[AdChange]:
    """What records tell of ads; those that tell nothing, or are of no ad, are left out.

    Args:
        time_us: since when each record holds.
        ends_us: of `read_ends`.
        columns: declared columns that each record tells, by full name. They are kept with the terms, so that a table
            can be made of both.
        rows: positions of the records to take, which have no faults.
    """
    changes = []
    for at in rows:
        record = records[at]
        if not isinstance(record, AdIn):
            continue
        terms: Terms = {**columns[at]}
        terms |= {name: getattr(record, name) for name in TERMS if name in record.model_fields_set}
        terms |= {name: sorted(set(terms[name])) for name in _LISTS if terms.get(name) is not None}
        if "valid_until" in terms:
            terms["valid_until"] = ends_us.get(at)
        if terms:
            changes.append(AdChange.of(record.ad_id, int(time_us[at]), terms))
    return changes
