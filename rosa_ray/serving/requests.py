"""One request as user rows: the same arrays that preprocessing writes, with one user in them."""

import numpy as np

from rosa_ray.features import EVENT_COLUMNS, IMPRESSION_COLUMNS, Split, UserRows
from rosa_ray.features.rows import Columns
from rosa_ray.schema import hash_id
from rosa_ray.serving.model import Catalogue


def event_columns(**given: np.ndarray) -> dict[str, np.ndarray]:
    """Timeline columns of T events; those not given read 0.

    >>> event_columns(time_us=np.array([5]))["behavior"]
    array([0], dtype=int8)
    """
    count = len(given["time_us"])
    types = {name: type_.to_pandas_dtype() for name, type_ in EVENT_COLUMNS.items()}
    return {name: np.asarray(given.get(name, np.zeros(count)), types[name]) for name in EVENT_COLUMNS}


def no_events() -> dict[str, np.ndarray]:
    """The timeline of a user without history."""
    return event_columns(time_us=np.empty(0, np.int64))


def candidate_columns(
    catalogue: Catalogue,
    rows: np.ndarray,
    bid: np.ndarray,
    expected_cost: np.ndarray,
    time_us: int,
    device: str | None,
    region: str | None,
) -> dict[str, np.ndarray]:
    """Impression columns of N candidates: catalogue rows with their bids at one moment. Labels read 0."""
    count = len(rows)
    ads = catalogue.table
    known = {
        "time_us": np.full(count, time_us),
        "split": np.full(count, Split.POLICY),
        "ad_key": ads.ad_key[rows],
        "item_key": ads.item_key[rows],
        "category_key": ads.category_key[rows],
        "campaign_key": ads.campaign_key[rows],
        "device_key": np.full(count, hash_id(device)),
        "region_key": np.full(count, hash_id(region)),
        "bid": bid,
        "price": ads.price[rows],
        "expected_cost": expected_cost,
    }
    types = {name: type_.to_pandas_dtype() for name, type_ in IMPRESSION_COLUMNS.items()}
    return {name: np.asarray(known.get(name, np.zeros(count)), types[name]) for name in IMPRESSION_COLUMNS}


def one_user(
    user_key: int, events: Columns, candidates: Columns | None = None, dense: np.ndarray | None = None
) -> UserRows:
    """User rows of a single user; without candidates, of the timeline alone."""
    shown = candidates or {name: np.empty(0, type_.to_pandas_dtype()) for name, type_ in IMPRESSION_COLUMNS.items()}
    return UserRows(
        user_id=np.array([""], object),
        user_key=np.array([user_key]),
        event_offsets=np.array([0, len(events["time_us"])]),
        events=events,
        impression_offsets=np.array([0, len(shown["time_us"])]),
        impressions=shown,
        dense=np.empty((0, 0), np.float32) if dense is None else dense,
    )
