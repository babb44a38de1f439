"""`rosa evaluate`: measure the run's bundle on the test period."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from rosa_ray.cluster.connect import connected
from rosa_ray.config import RunConfig
from rosa_ray.run_dir import RunDir
from workloads.places import record_config, require_bundle_behaviors, source_of

TABLE_WIDTH = 120


def run(config: RunConfig, *, every: bool = False, importance: bool = False, parts: bool = False) -> int:
    """Write predictions and metrics of the run, and print the first metrics or every one.

    Args:
        importance: also what each input is worth.
        parts: also what each part of the score costs in return, where the log has a truth.
    """
    from rosa_ray.evaluation.evaluate import evaluate, findings, metrics_table
    from rosa_ray.evaluation.off_policy_table import off_policy_table
    from rosa_ray.evaluation.parts import measure_parts, require_truth

    require_bundle_behaviors(config)
    run_dir, log_dir = record_config(config), source_of(config).path
    if parts:
        require_truth(log_dir)
    with connected(config.ray):
        metrics = evaluate(
            config=config.evaluation,
            data_dir=run_dir.data.root,
            log_dir=log_dir,
            run_dir=run_dir.root,
        )
        measured = _measured(config, run_dir) if importance else None
    Console().print(metrics_table(metrics, every=every))
    estimated = off_policy_table(metrics["test"]) if every else None
    if estimated is not None:
        Console().print(estimated)
    for line in findings(metrics, every=every):
        print(line)
    if measured is not None:
        _print_importance(measured, every=every)
        print(f"{run_dir.evaluation.importance}: {_heads_told(every)}")
    if parts:
        _print_parts(measure_parts(metrics, log_dir, run_dir.evaluation))
        print(f"{run_dir.evaluation.parts}: what each part of the score costs in return")
    rest = "" if every else "; --all prints every metric"
    print(f"{run_dir.evaluation.metrics}: model {metrics['model_version']}{rest}")
    return 0


def _measured(config: RunConfig, run_dir: RunDir) -> dict[str, Any]:
    from rosa_ray.evaluation.importance_job import measure_importance

    with _bar("inputs permuted") as advance:
        return measure_importance(
            config=config.evaluation, data_dir=run_dir.data.root, run_dir=run_dir.root, advance=advance
        )


def _print_importance(document: Mapping[str, Any], *, every: bool) -> None:
    from rosa_ray.evaluation.importance import importance_lines, importance_tables

    for table in importance_tables(document, every=every):
        Console().print(table)
    for line in importance_lines(document):
        print(line)


def _print_parts(document: Mapping[str, Any]) -> None:
    from rosa_ray.evaluation.parts import parts_table

    console = Console(width=max(Console().width, TABLE_WIDTH))
    console.print(parts_table(document))


def _heads_told(every: bool) -> str:
    return "every head" if every else "every head; --all prints them too"


@contextmanager
def _bar(words: str) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(words, total=None)
        yield lambda done, of: bars.update(task, completed=done, total=of)
