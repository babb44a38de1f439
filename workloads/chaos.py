"""`rosa chaos`: break a copy of the run's service on purpose, and say whether callers saw what they may expect."""

import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rosa_ray.config import RunConfig
from rosa_ray.errors import ChaosError, ConfigError
from rosa_ray.run_dir import RunDir
from rosa_ray.settings.plain import dump
from rosa_ray.storage import is_remote
from workloads.places import require_bundle_behaviors, service_settings
from workloads.signals import interrupted_by_sigterm


@dataclass(frozen=True)
class ChaosOptions:
    """What to try.

    Attributes:
        only: names of cases or subjects; all where empty.
        list_only: print the table and try nothing.
        report: HTML page to write; empty is `chaos.html` in the run.
        resume: keep the outcomes of an earlier run, and go on behind them.
        keep: leave the copied run and its logs in place.
    """

    only: Sequence[str] = ()
    list_only: bool = False
    report: str = ""
    resume: bool = False
    keep: bool = False


JOURNAL_DAYS = 36_500
"""`store.journal_days` of the copy: a hundred years."""


def run(config: RunConfig, options: ChaosOptions) -> int:
    """Try the cases, a line each; write `chaos.json` and the page.

    Raises:
        ChaosError: a case was not met.
        ConfigError: there is no such case, or the run is remote.
    """
    from rosa_ray.chaos.case import all_cases, chosen_cases

    cases = chosen_cases(all_cases(), options.only)
    if options.list_only:
        for case in cases:
            print(f"{case.name}  [{case.stage}]\n    {case.does}\n    expected: {case.expects}")
        print(f"{len(cases)} cases")
        return 0
    if is_remote(config.run_dir):
        raise ConfigError(f"run_dir is '{config.run_dir}'; faults are tried on this machine, give a local directory")
    require_bundle_behaviors(config)
    from rosa_ray.chaos.page import write_page
    from rosa_ray.chaos.run_copy import copy_run
    from rosa_ray.chaos.runner import Document, Runner

    run_dir = RunDir(config.run_dir)
    document = Document(Path(run_dir.chaos), options.resume)
    root = Path(tempfile.mkdtemp(prefix="rosa-chaos-"))
    # Traffic is of today, and the run's log may have ended long ago: no live record between them may fall out.
    config = replace(config, store=replace(config.store, journal_days=JOURNAL_DAYS))
    store, ray = replace(config.store, path="store.db"), replace(config.ray, address="local")
    copied = replace(config, run_dir=str(root / "run"), store=store, ray=ray)
    rosa = (sys.executable, "-m", "workloads")
    try:
        with interrupted_by_sigterm():
            copy = copy_run(root, run_dir, service_settings(config), dump(copied), rosa)
            print(f"{len(cases)} cases on a copy of {run_dir.root} in {root}; the run itself is only read", flush=True)
            Runner(copy, document, lambda line: print(line, flush=True)).run(cases)
    finally:
        if not options.keep:
            shutil.rmtree(root, ignore_errors=True)
    page = write_page(document, Path(run_dir.root).name, options.report or run_dir.chaos_page)
    counts = document.counts()
    print(f"{counts['met']} met, {counts['not met']} not met, {counts['not tried']} not tried; {page}, {document.path}")
    if counts["not met"]:
        names = [one.name for one in document.outcomes.values() if one.state == "not met"]
        raise ChaosError(f"{len(names)} of {len(document.outcomes)} cases were not met, {names[0]} first; see {page}")
    return 0
