"""What each rule for λ earns, and what it costs in time: the simulator's test period, replayed.

First all requests of some users, at once: what showing the top ad of the offline, the online and the gate's score
earns, exactly, and how often each rule calls the encoder. The gate stands beside calling for the same share of the
requests at random, which is the straight line between the rules, and beside calling from k new events on (`count k`).

Then the same requests in order of their time through the service's own scorer and encoder, in one process, without
Ray, HTTP and store: arrivals are Poisson, at multiples of the rate that the rule online just sustains, and rules take
turns in slices. The clock is the CPU time of the process, and waiting for nothing is skipped: latencies are those of
one core that does nothing else, whatever else the machine does. The ROI of a row is that of all requests, each under a
load that a request of the row met.

    rosa demo && python benchmarks/gate_frontier.py runs/demo --out benchmarks/results/gate_frontier.json
"""

import argparse
import asyncio
import selectors
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from record import record, save
from rich.console import Console
from rich.table import Table

from rosa_ray.data.parquet import read_parquet
from rosa_ray.features import EVENT_COLUMNS, EncodedUsers, Split, UserRows, encode_users
from rosa_ray.features.encoding import owners
from rosa_ray.inference import predict
from rosa_ray.metrics import greedy_policy, score
from rosa_ray.serving import scorer as scorer_module
from rosa_ray.serving.api import Candidate, Context, RankRequest
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.encoder import Encoder
from rosa_ray.serving.load import LoadMeter
from rosa_ray.serving.messages import EncodeQuery, FeatureQuery, Features, OfflineStates
from rosa_ray.serving.model import ServedModel, load_model
from rosa_ray.serving.scorer import HybridScorer
from rosa_ray.serving.telemetry import Telemetry
from rosa_ray.store import STATE_EVENT_COLUMNS
from rosa_ray.training.gate_pairs import events_before, history_inputs, repeat_impressions
from rosa_ray.training.policy import join_truth, read_truth
from rosa_ray.units import DAY_US

RULES = ("offline", "online", "fresh", "learned")
LOADS = (0.0, 0.25, 0.5, 0.75, 1.0)
COUNTS = (2, 3, 5, 9, 17)
COLORS = {"offline": "#8c8c8c", "online": "#c44e52", "fresh": "#dd8452", "learned": "#4c72b0"}


@dataclass(frozen=True)
class Population:
    """R requests of the test period with what each score would earn: true expected revenue and cost, each (R,)."""

    users: EncodedUsers
    first_row: np.ndarray
    user: np.ndarray
    history: np.ndarray
    has_states: np.ndarray
    revenue: dict[str, np.ndarray]
    cost: dict[str, np.ndarray]

    @property
    def is_new(self) -> np.ndarray:
        return ~self.has_states | (self.history[:, 0] > 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="directory of a run on a simulated log, with its bundle")
    parser.add_argument("--users", type=int, default=1500, help="users whose requests count")
    parser.add_argument("--requests", type=int, default=400, help="replayed per rule and rate")
    parser.add_argument("--slices", type=int, default=1, help="turns that each rule's requests are cut into")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.3, 0.6, 0.9, 1.2], help="of what online sustains")
    parser.add_argument("--materialized", choices=("daily", "once"), default="daily", help="when states are written")
    parser.add_argument("--encoder-deadline-ms", type=int, default=500)
    parser.add_argument("--encoder-cache-mb", type=int, default=64, help="0 encodes every timeline from the start")
    parser.add_argument("--replicates", type=int, default=400, help="bootstrap draws of users")
    parser.add_argument("--out", type=Path, help="JSON; the plot goes beside it")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    began_s = time.perf_counter()
    model = load_model(arguments.run / "bundle")
    rows = read_users(arguments.run / "data" / "users", arguments.users)
    population = evaluate(model, rows, str(arguments.run / "log"), arguments.materialized)
    static = static_rows(model, population, arguments.replicates)
    show(f"all {len(population.user):,} requests of {len(rows):,} users", static)
    with asyncio.Runner(loop_factory=OneCore) as runner:
        replayed = runner.run(replay_all(model, rows, population, arguments))
    show(f"replayed, online sustains {replayed[0]['capacity_rps']:.0f} requests/s", replayed)
    print(f"{time.perf_counter() - began_s:.0f} s in all")
    if arguments.out:
        document = record(
            "gate_frontier",
            materialized=arguments.materialized,
            requests=len(population.user),
            users=len(rows),
            encoder_deadline_ms=arguments.encoder_deadline_ms,
            encoder_cache_mb=arguments.encoder_cache_mb,
            threshold=model.gate.threshold if model.gate else None,
            static=static,
            replayed=replayed,
        )
        save(document, arguments.out)
        plot(document, arguments.out.with_suffix(".svg"))


def read_users(folder: Path, count: int) -> UserRows:
    """Users with test requests, from the first file: files hold users by hash."""
    rows = UserRows.from_table(read_parquet(str(sorted(folder.glob("*.parquet"))[0])))
    owner = owners(rows.impression_offsets)
    asked = np.unique(owner[rows.impressions["split"] == Split.POLICY])[:count]
    return take_users(rows, asked)


def take_users(rows: UserRows, users: np.ndarray) -> UserRows:
    table = rows.to_table().take(users.tolist())
    return UserRows.from_table(table.combine_chunks())


def evaluate(model: ServedModel, rows: UserRows, log_dir: str, materialized: str) -> Population:
    """Score all candidates from stored states and from a fresh encoding, and look up what the choices earn."""
    users = encode_users(rows, model.features).select(Split.POLICY)
    cut_us = written_us(users.impressions["time_us"], materialized)
    encoded = events_before(users, cut_us)
    both = repeat_impressions(users, np.stack([encoded, users.impressions["visible"]], axis=1))
    raw = predict(model.ranker, both.trim(model.context_events), 32, model.device)
    scores = {name: values.reshape(-1, 2) for name, values in model.calibration.apply(raw).items()}
    history = history_inputs(users, encoded, model.context_events)
    shown = users.impressions
    keys, first, request = np.unique(shown["request_key"], return_index=True, return_inverse=True)
    truth = read_truth(log_dir)
    if truth is None:
        raise SystemExit(f"{log_dir}: has no truth; give the run of a simulated log")
    true = join_truth(truth, shown["impression_key"], log_dir)
    heads = {"offline": column(scores, 0), "online": column(scores, 1)}
    if model.gate is not None and model.gate.mixes:
        idle = weights(model, history, np.zeros(len(history)))
        heads["mixed"] = {name: idle * heads["offline"][name] + (1 - idle) * heads["online"][name] for name in HEADS}
    revenue, cost = {}, {}
    for name, head in heads.items():
        ranked = score("roi", *(head[each] for each in HEADS), shown["expected_cost"])
        chosen = greedy_policy(ranked, shown["request_key"], shown["impression_key"])
        revenue[name] = np.bincount(request, chosen * true["expected_revenue"], minlength=len(keys))
        cost[name] = np.bincount(request, chosen * true["expected_cost"], minlength=len(keys))
    user = owners(users.impression_offsets)[first]
    return Population(users, first, user, history[first], encoded[first] > 0, revenue, cost)


HEADS = ("p_ctr", "p_cvr", "value")


def column(scores: dict[str, np.ndarray], at: int) -> dict[str, np.ndarray]:
    return {name: scores[name][:, at] for name in HEADS}


def written_us(time_us: np.ndarray, materialized: str) -> np.ndarray:
    """When the states of each request were written: at its midnight, or once before the first request."""
    midnight_us = time_us // DAY_US * DAY_US
    return midnight_us if materialized == "daily" else np.full_like(time_us, midnight_us.min())


@torch.no_grad()
def weights(model: ServedModel, history: np.ndarray, load: np.ndarray) -> np.ndarray:
    assert model.gate is not None
    return model.gate(torch.from_numpy(history), torch.from_numpy(load.astype(np.float32))).numpy()


def answered(
    model: ServedModel, population: Population, rule: str, load: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Which requests call the encoder, (R,), and the revenue and cost of what is shown."""
    has_history = population.history[:, -1] > 0
    called = {"offline": ~has_history & False, "online": has_history}.get(rule, population.is_new & has_history)
    if rule.startswith("count"):
        called = called & (~population.has_states | (population.history[:, 0] >= int(rule.split()[1])))
    if rule == "learned":
        low = weights(model, population.history, load) < model.gate.threshold  # type: ignore[union-attr]
        called = called & (low | ~population.has_states)
    fresh = "mixed" if rule == "learned" and "mixed" in population.revenue else "online"
    sums = {"revenue": population.revenue, "cost": population.cost}
    return called, {name: np.where(called, values[fresh], values["offline"]) for name, values in sums.items()}


class Bootstrap:
    """Paired draws of users: every rule is valued on the same ones."""

    def __init__(self, user: np.ndarray, replicates: int) -> None:
        self._user, self._count = user, int(user.max()) + 1
        rng = np.random.default_rng(7)
        self._draws = rng.multinomial(self._count, np.full(self._count, 1 / self._count), replicates)

    def roi(self, sums: dict[str, np.ndarray]) -> np.ndarray:
        """ROI of all users, then of each draw."""
        by_user = [np.bincount(self._user, sums[name], minlength=self._count) for name in ("revenue", "cost")]
        revenue, cost = (np.r_[values.sum(), self._draws @ values] for values in by_user)
        return revenue / cost - 1


def interval(draws: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(draws[1:], (0.025, 0.975))
    return {"value": float(draws[0]), "low": float(low), "high": float(high)}


def on_the_line(population: Population, calls: float, most: float) -> dict[str, np.ndarray]:
    """What calling for a random share of the requests that `fresh` calls for would earn, in expectation."""
    share = np.where(population.is_new, calls / most, 0.0)
    sums = {"revenue": population.revenue, "cost": population.cost}
    return {name: share * values["online"] + (1 - share) * values["offline"] for name, values in sums.items()}


def static_rows(model: ServedModel, population: Population, replicates: int) -> list[dict[str, Any]]:
    """Each rule, the gate at fixed loads; `against_line` is the ROI above random calls for as many requests."""
    bootstrap, size = Bootstrap(population.user, replicates), len(population.user)
    most = float(answered(model, population, "fresh", np.zeros(size))[0].mean())
    rows = []
    fixed = [(rule, 0.0) for rule in (*RULES[:-1], *(f"count {count}" for count in COUNTS))]
    for rule, load in fixed + [("learned", load) for load in LOADS]:
        called, sums = answered(model, population, rule, np.full(size, load))
        calls, roi = float(called.mean()), bootstrap.roi(sums)
        line = bootstrap.roi(on_the_line(population, min(calls, most), most))
        rows.append(
            {"rule": rule, "load": load if rule == "learned" else None, "calls": calls, "roi": interval(roi)}
            | {"against_line": interval(roi - line)}
        )
    return rows


@dataclass
class Met(Telemetry):
    """What the requests of a slice met."""

    loads: list[float] = field(default_factory=list)
    calls: int = 0
    failed_calls: int = 0

    def decided(self, offline_weight: float, cause: str, load: float) -> None:
        self.loads.append(load)
        self.failed_calls += cause == "encoder_failed"
        self.calls += offline_weight < 1 or cause == "encoder_failed"

    def failed(self, part: str, error: Exception) -> None:
        pass


class OneCore(asyncio.SelectorEventLoop):
    """An event loop on a core of its own: its clock is the thread's CPU time, and what it would wait for is skipped.

    Work for executors takes its turn in the loop, first come first served.
    """

    def __init__(self) -> None:
        self.skipped_s = 0.0
        super().__init__(Skipping(self))

    def time(self) -> float:
        return time.thread_time() + self.skipped_s

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future = self.create_future()
        self.call_soon(self._work, future, func, args)
        return future

    def _work(self, future: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            result = func(*args)
        except Exception as error:
            if not future.cancelled():
                future.set_exception(error)
            return
        if not future.cancelled():
            future.set_result(result)


class Skipping(selectors.DefaultSelector):
    """Moves the clock of its loop instead of waiting."""

    def __init__(self, loop: OneCore) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events and timeout:
            self._loop.skipped_s += timeout
        return events


class Prepared:
    """A lookup that has all answers ready: its time is the same for every rule, and left out."""

    def __init__(self, features: dict[tuple[int, int], Features]) -> None:
        self._features = features

    async def read(self, query: FeatureQuery) -> Features:
        return self._features[query.user_key, query.time_us]


@dataclass(frozen=True)
class Replay:
    """Requests in order of time, and the lookup that knows their features."""

    requests: list[RankRequest]
    lookup: Prepared


def prepare(model: ServedModel, rows: UserRows, population: Population, count: int, materialized: str) -> Replay:
    """The first requests of so many users that there are `count`, in order of time."""
    row_of_key = {int(key): row for row, key in enumerate(model.catalogue.table.ad_key)}
    encoder, shown = Encoder(model), rows.impressions
    policy = np.flatnonzero(shown["split"] == Split.POLICY)
    owner, states = owners(rows.impression_offsets), {}
    chosen, features = [], {}
    _, request = np.unique(shown["request_key"][policy], return_inverse=True)
    by_request = np.split(policy[np.argsort(request, kind="stable")], np.cumsum(np.bincount(request))[:-1])
    for members in sorted(by_request, key=lambda one: owner[one[0]])[:count]:
        user, time_us = int(owner[members[0]]), int(shown["time_us"][members[0]])
        mine = slice(rows.event_offsets[user], rows.event_offsets[user + 1])
        timeline = {name: rows.events[name][mine] for name in EVENT_COLUMNS}
        cut_us = int(written_us(np.array([time_us]), materialized)[0])
        if materialized == "once":
            cut_us = int(shown["time_us"][policy].min() // DAY_US * DAY_US)
        if (user, cut_us) not in states:
            states[user, cut_us] = store_states(model, encoder, timeline, cut_us)
        key = int(rows.user_key[user])
        features[key, time_us] = request_features(model, rows, members, timeline, time_us, cut_us, states[user, cut_us])
        ads = model.catalogue.ad_id[[row_of_key[int(ad)] for ad in shown["ad_key"][members]]]
        chosen.append((time_us, key, str(rows.user_id[user]), list(zip(ads, shown["bid"][members], strict=True))))
    return Replay([rank_request(*one) for one in sorted(chosen, key=lambda one: one[0])], Prepared(features))


def store_states(
    model: ServedModel, encoder: Encoder, timeline: dict[str, np.ndarray], cut_us: int
) -> tuple[dict[str, np.ndarray], np.ndarray] | None:
    past = int(np.searchsorted(timeline["time_us"], cut_us, side="left"))
    if not past:
        return None
    kept = {name: values[max(past - model.context_events, 0) : past] for name, values in timeline.items()}
    states = encoder.encode_now(EncodeQuery(0, kept)).states
    return {name: kept[name][-len(states) :] for name in STATE_EVENT_COLUMNS}, states


def request_features(
    model: ServedModel,
    rows: UserRows,
    members: np.ndarray,
    timeline: dict[str, np.ndarray],
    time_us: int,
    cut_us: int,
    stored: tuple[dict[str, np.ndarray], np.ndarray] | None,
) -> Features:
    past, encoded = np.searchsorted(timeline["time_us"], [time_us, cut_us], side="left")
    offline = None
    if stored is not None:
        offline = OfflineStates(model.version, stored[0], stored[1], stale=False, events_since=int(past - encoded))
    return Features(
        user_known=True,
        events={name: values[max(past - model.context_events, 0) : past] for name, values in timeline.items()},
        offline=offline,
        dense=rows.dense[members],
        expected_cost=rows.impressions["expected_cost"][members],
    )


def rank_request(time_us: int, key: int, user_id: str, ads: list[tuple[str, float]]) -> RankRequest:
    candidates = [Candidate(ad_id=str(ad), bid=float(bid)) for ad, bid in ads]
    moment = datetime.fromtimestamp(time_us // 1_000_000, UTC).replace(microsecond=time_us % 1_000_000)
    context = Context(time=moment.isoformat())  # type: ignore[arg-type]
    return RankRequest(user_id=user_id, candidates=candidates, context=context, top_k=1)


async def replay_all(
    model: ServedModel, rows: UserRows, population: Population, arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    """Every rule at every rate, in turns."""
    replay = prepare(model, rows, population, arguments.requests, arguments.materialized)
    base = ServingConfig(
        fused=True,
        encoder_deadline_ms=arguments.encoder_deadline_ms,
        encoder_cache_mb=arguments.encoder_cache_mb,
    )
    capacity = await sustained(model, replay, replace(base, rule="online"))
    rng, slices = np.random.default_rng(7), np.array_split(np.arange(len(replay.requests)), arguments.slices)
    bootstrap, rows_out = Bootstrap(population.user, arguments.replicates), []
    for rate in arguments.rates:
        met = {rule: Met() for rule in RULES}
        took_ms: dict[str, list[float]] = {rule: [] for rule in RULES}
        for part in slices:
            gaps_s = rng.exponential(1 / (rate * capacity), len(part))
            for rule in RULES:
                scorer = scorer_of(model, replay, replace(base, rule=rule), met[rule])
                took_ms[rule] += await open_loop(scorer, [replay.requests[at] for at in part], gaps_s)
        for rule in RULES:
            row = {
                "rate": rate,
                "capacity_rps": capacity,
                **replayed_row(model, population, rule, met[rule], bootstrap),
            }
            rows_out.append(row | latencies(took_ms[rule]))
    return rows_out


def scorer_of(model: ServedModel, replay: Replay, config: ServingConfig, met: Met) -> HybridScorer:
    """The service's scorer, on the clock of the loop."""
    clock_s = asyncio.get_running_loop().time
    scorer_module.time = SimpleNamespace(perf_counter=clock_s, time_ns=time.time_ns)  # type: ignore[assignment]
    encoder = Encoder(model, config.threads, config.encoder_cache_mb)
    scorer = HybridScorer(model, replay.lookup, encoder, config, met)  # type: ignore[arg-type]
    scorer._meter = LoadMeter(config.max_ongoing_requests, config.encoder_deadline_ms, clock_s)
    return scorer


async def sustained(model: ServedModel, replay: Replay, config: ServingConfig) -> float:
    """Requests per second of as many clients as a replica takes at a time, each asking again once it was answered."""
    scorer, asked = scorer_of(model, replay, config, Met()), iter(replay.requests)

    async def client() -> None:
        for request in asked:
            await scorer.rank(request)

    clock_s = asyncio.get_running_loop().time
    began_s = clock_s()
    await asyncio.gather(*(client() for _ in range(config.max_ongoing_requests)))
    return len(replay.requests) / (clock_s() - began_s)


async def open_loop(scorer: HybridScorer, requests: Sequence[RankRequest], gaps_s: np.ndarray) -> list[float]:
    """Latencies, ms, from each arrival to its answer; no more than `max_ongoing_requests` are worked on at a time."""
    loop, places = asyncio.get_running_loop(), asyncio.Semaphore(scorer.config.max_ongoing_requests)
    arrivals_s = (loop.time() + np.cumsum(gaps_s)).tolist()

    async def one(request: RankRequest, arrival_s: float) -> float:
        arrived = loop.create_future()
        loop.call_at(arrival_s, arrived.set_result, None)
        await arrived
        async with places:
            await scorer.rank(request)
        return (loop.time() - arrival_s) * 1000

    return list(await asyncio.gather(*map(one, requests, arrivals_s)))


def replayed_row(
    model: ServedModel, population: Population, rule: str, met: Met, bootstrap: Bootstrap
) -> dict[str, Any]:
    rng, size = np.random.default_rng(7), len(population.user)
    called, sums = answered(model, population, rule, rng.choice(met.loads, size))
    failed = called & (rng.random(size) < met.failed_calls / max(met.calls, 1))
    offline = {"revenue": population.revenue["offline"], "cost": population.cost["offline"]}
    sums = {name: np.where(failed, offline[name], values) for name, values in sums.items()}
    online = {"revenue": population.revenue["online"], "cost": population.cost["online"]}
    roi = bootstrap.roi(sums)
    return {
        "rule": rule,
        "load": float(np.mean(met.loads)),
        "calls": met.calls / len(met.loads),
        "failed_calls": met.failed_calls / len(met.loads),
        "roi": interval(roi),
        "against_online": interval(roi - bootstrap.roi(online)),
    }


def latencies(took_ms: list[float]) -> dict[str, float]:
    p50, p99 = np.quantile(took_ms, (0.5, 0.99))
    return {"mean_ms": float(np.mean(took_ms)), "p50_ms": float(p50), "p99_ms": float(p99)}


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print rows as a table; intervals as value [low, high]."""
    table = Table(*(name.replace("_", " ") for name in rows[0]), title=title)
    for row in rows:
        table.add_row(*(cell(value) for value in row.values()))
    Console(width=180).print(table)


def cell(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['value']:.4f} [{value['low']:.4f}, {value['high']:.4f}]"
    return "–" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def plot(document: dict[str, Any], path: Path) -> None:
    """ROI against calls of the encoder, and against mean and p99 latency."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    matplotlib.rcParams["svg.fonttype"] = "none"
    figure, (left, *rest) = pyplot.subplots(1, 3, figsize=(13, 4), sharey=True)
    by_rule = {rule: [row for row in document["static"] if row["rule"] == rule] for rule in RULES}
    ends = [by_rule[rule][0] for rule in ("offline", "fresh")]
    left.plot([row["calls"] for row in ends], [row["roi"]["value"] for row in ends], "--", color="#bbbbbb", zorder=0)
    counts = [row for row in document["static"] if row["rule"].startswith("count")]
    left.plot([row["calls"] for row in counts], [row["roi"]["value"] for row in counts], "x", color="#8c8c8c")
    for rule, rows in by_rule.items():
        left.plot([row["calls"] for row in rows], [row["roi"]["value"] for row in rows], "o-", color=COLORS[rule])
    left.set(xlabel="encoder calls per request", ylabel="policy ROI")
    for axis, figure_of in zip(rest, ("mean_ms", "p99_ms"), strict=True):
        for rule in RULES:
            rows = [row for row in document["replayed"] if row["rule"] == rule]
            axis.plot([row[figure_of] for row in rows], [row["roi"]["value"] for row in rows], "o-", color=COLORS[rule])
            for row in rows:
                axis.annotate(f"{row['rate']:g}", (row[figure_of], row["roi"]["value"]), fontsize=7)
        axis.set(xlabel=f"{figure_of[:-3]} latency, ms (numbers: rate)", xscale="log")
        axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.xaxis.set_major_formatter(ticker.ScalarFormatter())
        axis.xaxis.set_minor_formatter(ticker.NullFormatter())
    rest[-1].legend(handles=[pyplot.Line2D([], [], color=COLORS[rule], marker="o", label=rule) for rule in RULES])
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main()
