"""`rosa store`: what the online store holds, and the removal of a part of it."""

import numpy as np
from rich.console import Console
from rich.table import Table

from rosa_ray.config import RunConfig
from rosa_ray.store import HeldGeneration, OnlineStore, StoreInfo, open_store
from workloads.places import store_of


def run(config: RunConfig, drop: str = "") -> int:
    """Print every loaded log with the models that read it, after removing one where it is named."""
    store = open_store(store_of(config), None)
    try:
        if drop:
            store.drop(drop)
            print(f"{store.info().location}: {drop} is removed")
        _show(store)
    finally:
        store.close()
    return 0


def _show(store: OnlineStore) -> None:
    info = store.info()
    table = Table("number", "state", "models", "log ends", "newest record", "late", "untold", "events per user")
    for one in info.held:
        table.add_row(*_row(one))
    console = Console()
    console.print(table)
    console.print(f"{info.location}: {_journal(info)}", soft_wrap=True, highlight=False)


def _row(one: HeldGeneration) -> list[str]:
    state = "active" if one.is_active else one.state
    times = [_utc(time_us) if time_us > 0 else "" for time_us in (one.version.as_of_us, one.newest_us)]
    return [
        str(one.number),
        state,
        "\n".join(one.models),
        *times,
        str(one.late),
        str(one.untold),
        str(one.max_timeline_events),
    ]


def _journal(info: StoreInfo) -> str:
    held = f"{info.journal_records:,} live records wait for a log that holds them"
    if not info.journal_dropped:
        return held
    return (
        f"{held}; {info.journal_dropped:,} were older than store.journal_days and fell out, up to "
        f"{_utc(info.journal_from_us)}"
    )


def _utc(time_us: int) -> str:
    return f"{np.datetime64(time_us, 'us').astype('datetime64[s]')}Z"
