"""`rosa load`: send rankings and events to a running service by the clock, and say what their callers saw."""

import json
import uuid
from dataclasses import dataclass, replace
from typing import get_args

from rich.console import Console

from rosa_ray.bundle import open_bundle
from rosa_ray.config import RunConfig
from rosa_ray.data.user_rows import list_user_files
from rosa_ray.errors import EXIT_PARTIAL, ConfigError, InputError, ServingError
from rosa_ray.load import (
    Answer,
    Arrivals,
    Bodies,
    OpenLoop,
    Plan,
    figures_of,
    find_saturation,
    stretches,
    write_page,
)
from rosa_ray.run_dir import RunDir
from rosa_ray.serving.client import RankingClient
from rosa_ray.serving.writers import writer_headers
from rosa_ray.storage import open_file, read_parquet, write_bytes
from workloads.signals import stop_signals

MOST_USERS = 20_000


@dataclass(frozen=True)
class LoadOptions:
    """What to send, where and how fast.

    Attributes:
        url: of the service; empty is the config's `serving.host` and `serving.port`.
        rank_per_s, events_per_s: requests a second.
        seconds: for how long.
        arrivals: `poisson` or `even`.
        candidates: ads of a ranking; 0 leaves the choice to the service.
        unknown: share of rankings for users whom no log knows.
        time: `context.time` of the rankings; empty is now.
        requests: file of bodies of `POST /rank`, one a line, to send in turn.
        timeout_s: how long a caller waits.
        saturate: search the highest rate first that is answered within `limit_ms`, and send a third of it.
        limit_ms: see `saturate`.
        out, json_out: HTML page and JSON file to write; empty writes none.
    """

    url: str = ""
    rank_per_s: float = 20.0
    events_per_s: float = 0.0
    seconds: float = 30.0
    arrivals: str = "poisson"
    candidates: int = 100
    unknown: float = 0.0
    time: str = ""
    requests: str = ""
    timeout_s: float = 10.0
    seed: int = 0
    saturate: bool = False
    limit_ms: float = 500.0
    out: str = ""
    json_out: str = ""


def run(config: RunConfig, options: LoadOptions) -> int:
    """Send, and print the figures.

    Returns:
        0, or `EXIT_PARTIAL` when requests failed or rankings were degraded.

    Raises:
        ServingError: no service is ready at the address.
    """
    if options.arrivals not in get_args(Arrivals):
        raise ConfigError(f"--arrivals is '{options.arrivals}'; give {' or '.join(get_args(Arrivals))}")
    url = options.url or f"http://{config.serving.host}:{config.serving.port}"
    bodies = _bodies(config, options)
    with RankingClient(url) as client:
        model = client.wait_until_ready(options.timeout_s)["model_version"]
    plan = Plan(options.rank_per_s, options.seconds, options.events_per_s, options.arrivals, options.seed)  # type: ignore[arg-type]
    if options.saturate:
        plan = replace(plan, rank_per_s=_a_third(url, bodies, options))
    asked = f"{plan.rank_per_s:g} rankings and {plan.events_per_s:g} events a second for {plan.seconds:g} s to {url}"
    print(f"model {model}: {asked}", flush=True)
    answers = _send(url, plan, bodies, options, writer_headers(config.serving.write_tokens))
    if not any(answer.status for answer in answers):
        raise ServingError(f"{url} answered none of {len(answers)} requests")
    figures, alike = figures_of(answers), list(stretches(answers))
    print("\n".join(figures.lines()))
    if options.out:
        print(f"page: {write_page(figures, alike, asked, options.out)}")
    if options.json_out:
        write_bytes((json.dumps({"asked": asked, **figures.as_json()}, indent=2) + "\n").encode(), options.json_out)
        print(f"figures: {options.json_out}")
    return EXIT_PARTIAL if figures.failed or figures.degraded else 0


def _send(url: str, plan: Plan, bodies: Bodies, options: LoadOptions, headers: dict[str, str]) -> list[Answer]:
    done = [0, 0]
    with stop_signals() as stopped, Console(stderr=True).status("sending") as status:

        def show(answer: Answer) -> None:
            done[0] += 1
            done[1] += not answer.ok
            status.update(f"{done[0]} answered, {done[1]} failed")

        return OpenLoop(url, options.timeout_s, headers=headers, on_answer=show).run(plan, bodies, stopped.is_set)


def _a_third(url: str, bodies: Bodies, options: LoadOptions) -> float:
    found = find_saturation(OpenLoop(url, options.timeout_s).run, bodies, options.limit_ms)
    for step in found.steps:
        p99 = "nothing answered" if step.p99_ms is None else f"p99 {step.p99_ms:.0f} ms"
        print(f"{step.per_s:7.1f} rankings/s: {step.kept:.1%} within {options.limit_ms:g} ms, {p99}", flush=True)
    print(f"the service keeps up with {found.per_s:g} rankings/s; a third of it follows", flush=True)
    return round(found.per_s / 3, 1)


def _bodies(config: RunConfig, options: LoadOptions) -> Bodies:
    run_dir = RunDir(config.run_dir)
    given = tuple(_lines(options.requests)) if options.requests else ()
    if given and not options.events_per_s:
        return Bodies((), given=given)
    if config.privacy.user_key_secret_file or config.privacy.user_key_secret_env:
        raise ConfigError("the run holds pseudonyms and no user ids; give --requests FILE with bodies of POST /rank")
    ads = open_bundle(run_dir.bundle).ads
    return Bodies(
        user_ids=_users(run_dir.data.users),
        ad_ids=sorted(set(ads["ad_id"].to_pylist())),
        item_ids=sorted(set(ads["item_id"].to_pylist())),
        behavior=config.features.behavior_names[0],
        candidates=min(options.candidates, len(set(ads["ad_id"].to_pylist()))),
        unknown_share=options.unknown,
        time=options.time,
        given=given,
        session=f"load-{uuid.uuid4().hex[:12]}",
        seed=options.seed,
    )


def _lines(path: str) -> list[bytes]:
    with open_file(path) as handle:
        found = [line for line in handle.read().splitlines() if line.strip()]
    if not found:
        raise InputError(f"{path}: holds no bodies; give one body of POST /rank a line")
    return found


def _users(users: str) -> list[str]:
    """The first users of a run; files hold users by hash, as a sample does."""
    found: list[str] = []
    for path, _ in list_user_files(users):
        found += read_parquet(path, ["user_id"])["user_id"].to_pylist()
        if len(found) >= MOST_USERS:
            break
    return found[:MOST_USERS]
