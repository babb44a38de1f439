"""Cases without a service, tried on a small run: what is right is met, and what is spoiled is found."""

from pathlib import Path

import pytest

from rosa_ray.chaos.bench import Bench
from rosa_ray.chaos.case import Case, all_cases
from rosa_ray.chaos.ledger import Ledger, not_held, open_lookup, parser_of
from rosa_ray.chaos.run_copy import copy_run
from rosa_ray.chaos.streams_bench import records_of
from rosa_ray.config import load_config
from rosa_ray.run_dir import RunDir
from rosa_ray.storage import write_json
from tests.serving.conftest import NOW_US, World, build_world
from tests.workloads.tiny_run import write_run
from workloads.places import service_settings


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def bench(world: World, tmp_path: Path) -> Bench:
    import shutil

    config_file = write_run(tmp_path / "run", world)
    shutil.copy(world.store, tmp_path / "run" / "store.db")
    spec = {"end_us": NOW_US, "feature_config": world.features.config.definition()}
    write_json(spec, RunDir(str(tmp_path / "run")).data.spec)
    config = load_config(config_file)
    run_dir = RunDir(config.run_dir)
    copy = copy_run(tmp_path / "copy", run_dir, service_settings(config), config_file.read_text(), ("rosa",))
    (tmp_path / "scratch").mkdir()
    return Bench(copy, tmp_path / "scratch")


def named(name: str) -> Case:
    return next(case for case in all_cases() if case.name == name)


@pytest.mark.parametrize("name", ["bundles.flipped_bit", "bundles.missing_file", "bundles.other_features"])
def test_a_damaged_bundle_is_refused(bench: Bench, name: str) -> None:
    seen = named(name).run(bench)  # type: ignore[arg-type]
    assert not seen.shortfalls
    assert seen.text.startswith("refused: bundle")


def test_the_run_itself_is_only_read(bench: Bench, world: World, tmp_path: Path) -> None:
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
