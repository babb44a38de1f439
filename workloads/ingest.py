"""`rosa ingest`: fold live records from a log, from files or from Kafka into the online store."""

import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from rosa_ray.cluster.connect import connected
from rosa_ray.config import RunConfig
from rosa_ray.errors import EXIT_PARTIAL, RosaError
from rosa_ray.records.ignored_fields import add_fields, in_words
from rosa_ray.settings.secrets import redact_text
from rosa_ray.streaming.assembly import StreamSettings, build_pipeline
from rosa_ray.streaming.consumer_metrics import ConsumerMetrics
from rosa_ray.streaming.log_layout import EXPECTED, require_files, require_layout, require_local
from workloads.places import require_bundle_behaviors, stream_settings
from workloads.signals import stop_signals

POLL_S = 0.5


@dataclass(frozen=True)
class IngestOptions:
    """How to run.

    Attributes:
        actors: consumers as Ray actors; 0 runs one in this process, without Ray.
        until_end: stop when nothing is left to read.
        files: read these to their ends instead of the stream.
    """

    actors: int = 0
    until_end: bool = False
    files: tuple[str, ...] = ()


def run(config: RunConfig, options: IngestOptions) -> int:
    """Fold until SIGINT, SIGTERM or the end.

    Returns:
        0, or `EXIT_PARTIAL` when records were refused; they are among the dead letters.

    Raises:
        InputError: the stream or a file holds no records.
    """
    require_bundle_behaviors(config)
    settings, until_end = stream_settings(config), options.until_end or bool(options.files)
    if options.files:
        settings = replace(settings, files=tuple(require_files(options.files)))
    elif settings.stream.kind == "log" and not _has_records(settings.stream.path, until_end):
        print(f"{settings.stream.path}: no records yet, waiting for some; {EXPECTED}", file=sys.stderr)
    totals = (
        _run_actors(config, settings, options.actors, until_end) if options.actors else _run_here(settings, until_end)
    )
    refused = ", ".join(f"{count} {reason}" for reason, count in sorted(totals["refused"].items())) or "none"
    store = settings.store.path if settings.store.kind == "sqlite" else redact_text(settings.store.url)
    print(
        f"{store}: {totals['records']} records read, {totals['accepted']} new, "
        f"{totals['duplicates']} repeated, refused {refused}; {totals['lag_records']} waiting"
    )
    if totals["unknown_ads"]:
        print(f"records of ads that the catalogue lacks, counted without a campaign: {totals['unknown_ads']}")
    if totals["ignored_fields"]:
        print(f"ignored fields, with the number of records: {in_words(totals['ignored_fields'])}")
    if totals["refused"]:
        print(f"refused records lie in {settings.stream.dead_letters} with their reasons")
    return EXIT_PARTIAL if totals["refused"] else 0


def _has_records(path: str, until_end: bool) -> bool:
    require_local(path)
    return require_layout(Path(path), until_end)


def _run_here(settings: StreamSettings, until_end: bool) -> dict[str, Any]:
    console = Console(stderr=True)
    with stop_signals() as stopped, console.status("waiting for records") as status:

        def show(metrics: ConsumerMetrics) -> None:
            status.update(metrics.line())

        pipeline = build_pipeline(settings, on_progress=show)
        try:
            return pipeline.consumer.run(stopped.is_set, until_end).snapshot()
        finally:
            pipeline.close()


def _run_actors(config: RunConfig, settings: StreamSettings, count: int, until_end: bool) -> dict[str, Any]:
    with connected(config.ray), stop_signals() as stopped:
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        from rosa_ray.streaming.actor import start_actors

        try:
            actors = start_actors(settings, count)
            runs: list[Any] = [actor.run.remote(until_end) for actor in actors]
            waiting = runs
            while waiting:
                done, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=POLL_S)
                ray.get(done)  # raises what went wrong, while others still run
                if stopped.is_set():
                    ray.get([actor.stop.remote() for actor in actors])
            return _sum(ray.get(runs))
        except RayTaskError as error:
            raise _cause(error) from None
        except RayActorError as error:
            raise RosaError(f"a consumer did not start: {' '.join(str(error).split())}") from error


def _cause(error: Any) -> Exception:
    return error.cause if isinstance(error.cause, RosaError) else RosaError(f"a consumer failed: {error.cause!r}")


def _sum(snapshots: list[dict[str, Any]]) -> dict[str, Any]:
    refused: Counter[str] = Counter()
    ignored: dict[str, int] = {}
    for one in snapshots:
        refused.update(one["refused"])
        add_fields(ignored, one["ignored_fields"])
    names = ("records", "accepted", "duplicates", "lag_records", "unknown_ads")
    sums = {name: sum(one[name] for one in snapshots) for name in names}
    return {**sums, "refused": dict(refused), "ignored_fields": ignored}
