"""From a chunk's arrays to the tables of the data contracts."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.schema import ADS, BEHAVIORS, CANDIDATES, EVENTS, IMPRESSIONS
from rosa_ray.schema.contract import TIMESTAMP
from rosa_ray.simulation.config import SimulationConfig
from rosa_ray.simulation.engine import ChunkLog
from rosa_ray.simulation.laws.law import ORACLE
from rosa_ray.simulation.users import DEVICES
from rosa_ray.simulation.world import World

TRUTH_SCHEMA = pa.schema(
    [pa.field(name, pa.string(), nullable=False) for name in ("impression_id", "request_id")]
    + [
        pa.field(name, pa.float64(), nullable=False)
        for name in ("p_ctr", "p_cvr", "expected_revenue", "expected_cost", "propensity")
    ]
)
"""What the simulator knows and no log holds: read by evaluation only, never by features.

`p_cvr` is the probability that a click converts; `expected_revenue` is per impression, p_ctr * p_cvr * price;
`expected_cost` is the mean price paid at the impression's bid; money in currency units. Laws add columns of their own,
`oracle_*`, float64.
"""


def ids(prefix: str, numbers: np.ndarray) -> pa.Array:
    """Return string ids such as `u17`.

    >>> ids("u", np.array([3, 17])).to_pylist()
    ['u3', 'u17']
    """
    return pc.binary_join_element_wise(prefix, pc.cast(pa.array(numbers), pa.string()), "")


def ads_table(world: World) -> pa.Table:
    """Return the catalogue of ads; a default bid is what the ad bids for an ordinary impression."""
    category_A = world.ad_category_A
    columns = {
        "ad_id": ids("a", np.arange(len(category_A))),
        "item_id": ids("i", world.ad_item_A),
        "campaign_id": ids("m", world.ad_campaign_A),
        "category": ids("c", category_A),
        "bid": world.ad_bid_fen_A * world.market_scale_C[category_A],
        "price": world.item_price_I[world.ad_item_A],
    }
    return pa.table(columns, schema=ADS.schema_of(columns))


def chunk_tables(config: SimulationConfig, world: World, chunk: ChunkLog) -> dict[str, pa.Table]:
    """Return the events, impressions, candidates and truth of one chunk, each sorted by user and time.

    A conversion after the log's end is not in it: who writes a log at its end does not know it yet.
    Truth holds every shown impression and, from the start of the policy period on, every candidate.
    """
    requests = _number_requests(chunk)
    return {
        "events": _events_table(world, chunk),
        "impressions": _impressions_table(config, world, _won(requests)),
        "candidates": _candidates_table(requests, requests["time_us"] >= config.policy_start_us),
        "truth": _truth_table(config, world, requests),
    }


def summarize(tables: dict[str, pa.Table]) -> dict[str, float]:
    """Return additive counts and sums of one or more chunks' tables."""
    impressions = tables["impressions"]
    sums = {name: float(pc.sum(impressions[name]).as_py() or 0) for name in ("revenue", "cost")}
    counts = {name: int(pc.sum(impressions[name]).as_py() or 0) for name in ("click", "conversion")}
    rows = {name: table.num_rows for name, table in tables.items()}
    return {**rows, "clicks": counts["click"], "conversions": counts["conversion"], **sums}


def _events_table(world: World, chunk: ChunkLog) -> pa.Table:
    order = np.lexsort((chunk.events["time_us"], chunk.events["row"]))
    row, time_us, item, behavior = (chunk.events[name][order] for name in ("row", "time_us", "item", "behavior"))
    user = chunk.users.first_id + row
    columns = {
        "event_id": _numbered("e", user, _rank_within(row)),
        "user_id": ids("u", user),
        "item_id": ids("i", item),
        "behavior": pa.array(BEHAVIORS).take(pa.array(behavior)),
        "event_time": pa.array(time_us, TIMESTAMP),
        "category": ids("c", world.item_category_I[item]),
        "price": world.item_price_I[item],
    }
    return pa.table(columns, schema=EVENTS.schema)


def _number_requests(chunk: ChunkLog) -> dict[str, Any]:
    """Sort requests by user and time, and add user, region and request id."""
    order = np.lexsort((chunk.requests["time_us"], chunk.requests["row"]))
    columns: dict[str, Any] = {name: values[order] for name, values in chunk.requests.items()}
    row = columns["row"]
    columns["user"] = chunk.users.first_id + row
    columns["region"] = chunk.users.region_N[row]
    columns["request_id"] = _numbered("r", columns["user"], _rank_within(row))
    return columns


def _won(requests: dict[str, Any]) -> dict[str, Any]:
    """The requests that showed an ad: under a law of the market an auction can be lost."""
    won = requests["won_N"]
    if won.all():
        return requests
    kept = {name: values[won] for name, values in requests.items() if name != "request_id"}
    return {**kept, "request_id": requests["request_id"].filter(pa.array(won))}


def _impressions_table(config: SimulationConfig, world: World, requests: dict[str, Any]) -> pa.Table:
    every, shown = np.arange(len(requests["row"])), requests["shown_N"]
    converted = requests["conversion_N"] & (requests["conversion_time_us"] < config.end_us)
    columns = {
        "impression_id": _slot_ids(requests["request_id"], shown),
        "request_id": requests["request_id"],
        "user_id": ids("u", requests["user"]),
        "ad_id": ids("a", requests["ad_NK"][every, shown]),
        "request_time": pa.array(requests["time_us"], TIMESTAMP),
        "position": pa.array(np.zeros(len(every)), pa.int32()),
        "propensity": requests["propensity_NK"][every, shown],
        "device": pa.array(DEVICES).take(pa.array(requests["device_N"])),
        "region": ids("g", requests["region"]),
        "bid": requests["bid_NK"][every, shown],
        "cost": requests["cost_N"],
        "click": requests["click_N"],
        "conversion": converted,
        "conversion_time": pa.array(requests["conversion_time_us"], TIMESTAMP, mask=~converted),
        "revenue": np.where(converted, requests["revenue_N"], 0.0),
    }
    return pa.table(columns, schema=IMPRESSIONS.schema_of(columns))


def _candidates_table(requests: dict[str, Any], kept: np.ndarray) -> pa.Table:
    slots = requests["ad_NK"].shape[1]
    index = np.repeat(np.flatnonzero(kept), slots)
    slot = np.tile(np.arange(slots), int(kept.sum()))
    request_id = requests["request_id"].take(pa.array(index))
    columns = {
        "impression_id": _slot_ids(request_id, slot),
        "request_id": request_id,
        "user_id": ids("u", requests["user"][index]),
        "ad_id": ids("a", requests["ad_NK"][index, slot]),
        "request_time": pa.array(requests["time_us"][index], TIMESTAMP),
        "device": pa.array(DEVICES).take(pa.array(requests["device_N"][index])),
        "region": ids("g", requests["region"][index]),
        "bid": requests["bid_NK"][index, slot],
    }
    return pa.table(columns, schema=CANDIDATES.schema)


def _truth_table(config: SimulationConfig, world: World, requests: dict[str, Any]) -> pa.Table:
    known = (np.arange(requests["ad_NK"].shape[1]) == requests["shown_N"][:, None]) & requests["won_N"][:, None]
    known |= (requests["time_us"] >= config.policy_start_us)[:, None]
    index, slot = np.nonzero(known)
    p_ctr, p_cvr = requests["p_ctr_NK"][index, slot], requests["p_cvr_NK"][index, slot]
    price = world.item_price_I[world.ad_item_A[requests["ad_NK"][index, slot]]]
    request_id = requests["request_id"].take(pa.array(index))
    columns = {
        "impression_id": _slot_ids(request_id, slot),
        "request_id": request_id,
        "p_ctr": p_ctr,
        "p_cvr": p_cvr,
        "expected_revenue": p_ctr * p_cvr * price,
        "expected_cost": requests["expected_cost_NK"][index, slot],
        "propensity": requests["propensity_NK"][index, slot],
    }
    oracle = {name: requests[name][index, slot] for name in sorted(requests) if name.startswith(ORACLE)}
    latent = [pa.field(name, pa.float64(), nullable=False) for name in oracle]
    return pa.table(columns | oracle, schema=pa.schema([*TRUTH_SCHEMA, *latent]))


def _rank_within(sorted_row: np.ndarray) -> np.ndarray:
    """Position of each entry in its run of equal values."""
    opens = np.flatnonzero(np.append(True, sorted_row[1:] != sorted_row[:-1])) if len(sorted_row) else np.zeros(0, int)
    return np.arange(len(sorted_row)) - np.repeat(opens, np.diff(np.append(opens, len(sorted_row))))


def _numbered(prefix: str, user: np.ndarray, number: np.ndarray) -> pa.Array:
    padded = pc.utf8_lpad(pc.cast(pa.array(number), pa.string()), 6, "0")
    return pc.binary_join_element_wise(ids(prefix, user), padded, "-")


def _slot_ids(request_id: pa.Array, slot: np.ndarray) -> pa.Array:
    return pc.binary_join_element_wise(request_id, pc.cast(pa.array(slot), pa.string()), "-")
