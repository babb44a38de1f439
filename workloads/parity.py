"""`rosa parity`: replay a run's log through the offline and the live path, and require equal features and scores."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from rosa_ray.config import RunConfig
from rosa_ray.features.counting import counted_views
from rosa_ray.features.own import own_columns
from rosa_ray.features.own_counters import said_columns
from rosa_ray.run_dir import RunDir
from rosa_ray.schema.pseudonyms import open_pseudonyms
from rosa_ray.sources import open_source
from workloads.places import source_of

if TYPE_CHECKING:
    from rosa_ray.parity.check import ParityOptions, RunParity

Advance = Callable[[int, int], None]


def run(config: RunConfig, options: "ParityOptions") -> int:
    """Compare, and print what was compared.

    Raises:
        ParityError: the first feature or score that differs.
        InputError: the run has no log or no data.
    """
    from rosa_ray.parity.check import check_run
    from rosa_ray.parity.recorded_log import RecordedLog

    began_s = time.perf_counter()
    columns = config.features.columns
    counted, behaviors = said_columns(counted_views(config.features)), config.features.behavior_names
    source = open_source(source_of(config), own=own_columns(columns))
    log = RecordedLog.read(source, config.labels, columns, counted, behaviors)
    pseudonyms = open_pseudonyms(config.privacy)
    pseudonym = pseudonyms.of if pseudonyms else None
    with _bars() as start:
        checked = check_run(RunDir(config.run_dir), log, config.store, options, pseudonym, start, behaviors)
    print("\n".join(_lines(checked, time.perf_counter() - began_s)))
    return 0


@contextmanager
def _bars() -> Iterator[Callable[[int, int], Advance]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:

        def start(records: int, requests: int) -> Advance:
            applied, asked = bars.add_task("records", total=records), bars.add_task("requests", total=requests)

            def advance(more_records: int, more_requests: int) -> None:
                bars.advance(applied, more_records)
                bars.advance(asked, more_requests)

            return advance

        yield start


def _lines(checked: "RunParity", seconds: float) -> Iterator[str]:
    report = checked.report
    refused = ", ".join(f"{count} {reason}" for reason, count in sorted(checked.refused.items())) or "none"
    yield (
        f"{checked.users} users, {report.requests} requests of {report.impressions} ads: all {checked.features} "
        f"features and the timelines equal bit for bit ({report.values} values)"
    )
    yield f"{report.records} records delivered, refused {refused}, {checked.restarts} restarts of the consumer"
    if checked.scored_ads is not None:
        yield f"{checked.scored_ads} scores equal within {checked.worst_score:.1e}"
    yield (
        f"{seconds:.1f} s; {report.records / report.deliver_s:.0f} records/s folded, "
        f"{report.requests / report.answer_s:.0f} requests/s read"
    )
