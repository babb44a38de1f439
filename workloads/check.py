"""`rosa check`: what a configured log holds, loses and can teach."""

import json
from dataclasses import dataclass
from functools import partial

from rich.console import Console

from rosa_ray.config import RunConfig
from rosa_ray.features.own import own_columns
from rosa_ray.intake.check import LogCheck, check_log
from rosa_ray.intake.printed import summary, tables
from rosa_ray.schema.own_columns import tables_needed
from rosa_ray.schema.pseudonyms import open_pseudonyms
from rosa_ray.sources import OWN_TABLES, open_source
from workloads.places import log_of


@dataclass(frozen=True)
class CheckOptions:
    """What the command line says.

    Attributes:
        name: of the config, for the page.
        out: HTML file to write; empty writes none.
        as_json: print JSON and nothing else.
        rows: to read of each table at most; 0 reads all.
    """

    name: str
    out: str = ""
    as_json: bool = False
    rows: int = 2_000_000


def run(config: RunConfig, options: CheckOptions) -> int:
    """Print what was found; returns 0, 3 or 4."""
    from rosa_ray.data.preprocess import period_of, split_bounds

    log, own = log_of(config), own_columns(config.features.columns)
    source = open_source(log, open_pseudonyms(config.privacy), own)
    settings = config.preprocess
    check = check_log(
        source,
        partial(split_bounds, settings),
        options.rows,
        period_of(settings),
        keep_outliers=settings.time_outliers == "keep",
        labels=config.labels,
        negative_keep_rate=settings.negative_keep_rate,
        own=own,
        unused=[table for table in OWN_TABLES if getattr(log, table) and table not in tables_needed(own)],
        features=config.features,
    )
    if options.as_json:
        print(json.dumps(check.to_dict(), indent=2))
    else:
        _print(check)
    if options.out:
        from rosa_ray.intake.page import write_page

        path = write_page(check, options.name, options.out)
        if not options.as_json:
            print(f"{path}: written")
    return check.exit_code


def _print(check: LogCheck) -> None:
    console = Console()
    for table in tables(check):
        console.print(table)
    if line := summary(check):
        print(line)
    counts = {level: sum(remark.level == level for remark in check.remarks) for level in ("unreadable", "lost", "odd")}
    found = ", ".join(f"{count} {level}" for level, count in counts.items() if count)
    print(f"{found or 'nothing lost, nothing odd'}; {check.seconds:.1f} s")
