"""Cases without a service, tried on a small run: what is right is met, and what is spoiled is found."""

import time
from pathlib import Path

import numpy as np
import pytest

from rosa_ray.chaos.bench import Bench
from rosa_ray.chaos.case import Case, all_cases
from rosa_ray.chaos.ledger import Ledger, first_difference, not_held, open_lookup, parser_of, query_of
from rosa_ray.chaos.streams_bench import records_of
from rosa_ray.schema import hash_id
from rosa_ray.units import DAY_US


def named(name: str) -> Case:
    return next(case for case in all_cases() if case.name == name)


@pytest.mark.parametrize("name", ["bundles.flipped_bit", "bundles.missing_file", "bundles.other_features"])
def test_a_damaged_bundle_is_refused(bench: Bench, name: str) -> None:
    seen = named(name).run(bench)  # type: ignore[arg-type]
    assert not seen.shortfalls
    assert seen.text.startswith("refused: bundle")


def test_the_run_itself_is_only_read(bench: Bench, tmp_path: Path) -> None:
    before = (tmp_path / "run" / "store.db").read_bytes()
    named("bundles.flipped_bit").run(bench)  # type: ignore[arg-type]
    store = bench.store()
    parsed = parser_of(bench.copy).parse_values(records_of(bench, 30))
    open_lookup(bench.copy, bench.copy.served(store)).write_now(parsed.columns, parsed.changes)
    assert (tmp_path / "run" / "store.db").read_bytes() == before


def test_a_store_with_all_records_equals_the_clean_one_and_one_that_lacks_some_does_not(bench: Bench) -> None:
    records = records_of(bench, 60)
    served = bench.copy.served(bench.store())
    parsed = parser_of(bench.copy).parse_values(records[::-1])
    open_lookup(bench.copy, served).write_now(parsed.columns, parsed.changes)
    ledger = Ledger(bench.copy, bench.copy.served(bench.store("clean.db")))
    ledger.add(records)
    assert ledger.differences(served) == []
    more = [{**records[1], "event_id": "one-more"}]
    ledger.add(more)
    assert "differs from a clean store" in ledger.differences(served)[0]
    assert not_held(bench.copy, Path(served.store.path), [*records, *more]) == 1


def test_what_is_compared_holds_the_counters_of_campaigns_and_categories(bench: Bench) -> None:
    shown = next(one for one in records_of(bench, 60) if one.get("type") == "impression")
    table = bench.copy.ad_table
    row, _ = table.lookup(np.array([hash_id(shown["ad_id"])]), 0)
    others = np.flatnonzero((table.campaign_key == table.campaign_key[row[0]]) & (table.ad_key != table.ad_key[row[0]]))
    user_id = next(one for one in bench.copy.user_ids if one != shown["user_id"])
    query = query_of(bench.copy, user_id, time.time_ns() // 1000 + DAY_US, others[:3])
    lookup = open_lookup(bench.copy, bench.copy.served(bench.store()))
    before = lookup.read_now(query)
    parsed = parser_of(bench.copy).parse_values([shown])
    lookup.write_now(parsed.columns, parsed.changes)
    assert first_difference(before, lookup.read_now(query)) == "dense"
