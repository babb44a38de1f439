"""`rosa demo`: the whole loop once, from raw logs to ranked ads over HTTP."""

import functools
import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from rosa_ray import __version__
from rosa_ray.cluster.connect import connected
from rosa_ray.config import RunConfig
from rosa_ray.errors import EXIT_PARTIAL, ConfigError
from rosa_ray.run_dir import RunDir
from rosa_ray.serving.read_your_writes import SampleRequests, curl, walk_through
from rosa_ray.serving.writers import writer_headers
from rosa_ray.storage import read_json, write_json
from workloads import evaluate, materialize, preprocess, simulate, train
from workloads.places import brings_impressions, record_config, service_settings
from workloads.steps import StepLog


def run(config: RunConfig) -> int:
    """Simulate, preprocess, train, evaluate, materialise, serve, post events and rank; stop what was started.

    Writes `summary.json` into the run directory.

    Returns:
        0, or `EXIT_PARTIAL` when some input was set aside.

    Raises:
        ConfigError: the run directory is remote; a demo runs on one machine.
    """
    if "://" in config.run_dir:
        raise ConfigError(f"run_dir is '{config.run_dir}'; the demo serves from this machine, give a local directory")
    run_dir, started_s = record_config(config), time.perf_counter()
    verbs = _verbs(config)
    log = StepLog(total=len(verbs) + 1)
    partial = False
    with connected(config.ray):
        for name, work in verbs.items():
            code = log.run(name, f"rosa {name} {run_dir.config}", functools.partial(work, config))
            partial |= code == EXIT_PARTIAL
        served = log.run("serve", f"rosa serve {run_dir.config}", lambda: _serve(config, run_dir))
    summary = _summarise(config, run_dir, log, served, time.perf_counter() - started_s)
    write_json(summary, run_dir.summary)
    _show(summary, run_dir.summary)
    return EXIT_PARTIAL if partial else 0


def _verbs(config: RunConfig) -> dict[str, Callable[[RunConfig], int]]:
    verbs: dict[str, Callable[[RunConfig], int]] = {
        "simulate": simulate.run,
        "preprocess": preprocess.run,
        "train": train.run,
        "evaluate": evaluate.run,
        "materialize": materialize.run,
    }
    if brings_impressions(config.source):
        del verbs["simulate"]
    return verbs


def _serve(config: RunConfig, run_dir: RunDir) -> dict[str, Any]:
    from rosa_ray.serving.server import running

    with running(service_settings(config)) as service:
        typer.echo(f"      {service.url} is ready after {service.seconds:.1f} s, model {service.model_version}")
        answers = walk_through(
            service.url, SampleRequests.of(run_dir.data), writer_headers(config.serving.write_tokens)
        )
    return {"url": service.url, "model_version": service.model_version, **answers}


def _summarise(
    config: RunConfig, run_dir: RunDir, log: StepLog, served: dict[str, Any], seconds: float
) -> dict[str, Any]:
    report, trained = read_json(run_dir.data.report), read_json(run_dir.train)
    measured = read_json(run_dir.evaluation.metrics)
    return {
        "rosa_ray": __version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {_cores()} cores, Python {platform.python_version()}",
        "seconds": round(seconds, 1),
        "data": {name: report[name] for name in ("users", "events", "impressions", "start", "end", "splits")},
        "train": {name: trained[name] for name in ("seconds", "samples_per_s", "epochs", "best_epoch", "history")},
        "test": measured["test"],
        "valid": measured["valid"],
        "serve": served,
        "steps": log.to_list(),
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _show(summary: dict[str, Any], path: str) -> None:
    test, serve = summary["test"], summary["serve"]
    metrics = Table("metric", "test", title="test period")
    for name in ("auc", "logloss", "gauc", "cvr_auc", "ctcvr_auc", "pcoc", *_policy_names(test)):
        metrics.add_row(name, "–" if test[name] is None else f"{test[name]:.4f}")
    console = Console()
    console.print(metrics)
    ranked = Table(*_COLUMNS, title=f"POST /rank for user {serve['request']['user_id']}, after the events")
    for ad in serve["ranked_after_events"]["ads"]:
        ranked.add_row(*(_cell(ad[name]) for name in _COLUMNS))
    console.print(ranked)
    watched = serve["watched_ad"]
    typer.echo(
        f"after a view and a cart of its item, ad {watched['ad_id']} went from rank {watched['rank_before']} "
        f"to {watched['rank_after']} of {serve['candidates']}"
    )
    typer.echo(
        f"{serve['requests']} requests of {serve['candidates']} candidates: p50 {serve['p50_ms']:.1f} ms, "
        f"p99 {serve['p99_ms']:.1f} ms, {serve['failed']} failed"
    )
    short = {**serve["request"], "candidates": serve["request"]["candidates"][:3]}
    typer.secho(f"serve it:  {summary['steps'][-1]['command']}", bold=True)
    typer.secho(f"ask it:    {curl(serve['url'], '/rank', short)}", bold=True)
    typer.echo(f"{path}: everything above as JSON, {summary['seconds']:.0f} s in all")


_COLUMNS = ("ad_id", "p_ctr", "p_cvr", "value", "expected_cost", "expected_roi", "score")


def _policy_names(test: dict[str, Any]) -> tuple[str, ...]:
    names = ("policy_roi", "oracle_policy_roi", "random_policy_roi")
    return names if test.get("policy_roi") is not None else ()


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
