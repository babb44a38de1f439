"""Bounds of money are those of logs, of live records and of requests alike."""

import json

import numpy as np
import pyarrow as pa
import pytest
from pydantic import TypeAdapter, ValidationError

from rosa_ray.records.parse import RecordParser
from rosa_ray.schema import IMPRESSIONS
from rosa_ray.serving.api import Candidate
from tests.records.test_money import NOW_US, ads, impression

BIDS = {0.0: False, 4e-7: False, 1e-6: True, 1.0: True, 1e6: True, np.nextafter(1e6, 2e6): False, -1.0: False}
COSTS = {-1e-9: False, 0.0: True, 1.0: True, 1e9: True, np.nextafter(1e9, 2e9): False}


def log_takes(name: str, value: float) -> bool:
    row = {"impression_id": "m", "request_id": "r", "user_id": "u", "ad_id": "a", "bid": 1.0, "cost": 1.0}
    row |= {"request_time": NOW_US, "click": False, "conversion": False, name: value}
    names = set(IMPRESSIONS.schema.names) & set(row)
    schema = pa.schema([field for field in IMPRESSIONS.schema if field.name in names])
    kept, _ = IMPRESSIONS.check(pa.Table.from_pylist([row], schema), "log")
    return len(kept) == 1


def live_takes(name: str, value: float) -> bool:
    record = json.dumps(impression(**{name: value})).encode()
    return not RecordParser(ads(), now_us=lambda: NOW_US).parse_lines([record]).refusals


def request_takes(value: float) -> bool:
    try:
        TypeAdapter(Candidate).validate_python({"ad_id": "a", "bid": value})
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(("bid", "taken"), BIDS.items())
def test_a_bid(bid: float, taken: bool) -> None:
    assert log_takes("bid", bid) is live_takes("bid", bid) is request_takes(bid) is taken


@pytest.mark.parametrize(("cost", "taken"), COSTS.items())
def test_a_cost(cost: float, taken: bool) -> None:
    assert log_takes("cost", cost) is live_takes("cost", cost) is taken
