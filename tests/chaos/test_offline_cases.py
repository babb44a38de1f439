"""Cases without a service, tried on a small run: what is right is met, and what is spoiled is found."""

from pathlib import Path

import pytest

from rosa_ray.chaos.bench import Bench
from rosa_ray.chaos.case import Case, all_cases
from rosa_ray.chaos.ledger import Ledger, not_held, open_lookup, parser_of
from rosa_ray.chaos.streams_bench import records_of


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
