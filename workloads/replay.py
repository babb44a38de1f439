"""`rosa replay`: send a run's recorded log, records and ranking requests, through the live system."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
from rich.console import Console

from rosa_ray.config import RunConfig
from rosa_ray.data.time_bounds import parse_time
from rosa_ray.errors import EXIT_PARTIAL, ConfigError, InputError, ServingError
from rosa_ray.features.counting import counted_views
from rosa_ray.features.own import own_columns
from rosa_ray.features.own_counters import said_columns
from rosa_ray.parity.recorded_log import RecordedLog
from rosa_ray.parity.replay import RankingRequests, replay
from rosa_ray.parity.replay_sinks import KafkaSink, LogSink, Sent, Sink
from rosa_ray.serving.writers import writer_headers
from rosa_ray.sources import open_source
from workloads.places import source_of, stream_of
from workloads.signals import stop_signals

TARGETS = ("http", "log", "kafka")


@dataclass(frozen=True)
class ReplayOptions:
    """What to send, where and how fast.

    Attributes:
        speed: log time per wall-clock time; 0 is as fast as possible.
        to: one of `TARGETS`.
        url: of a running service.
        from_time, until_time: send the records from one time until before another, RFC 3339; empty is all.
        rank: send the requests of the impressions log as rankings too (`http`).
    """

    speed: float = 60.0
    to: str = "http"
    url: str = ""
    from_time: str = ""
    until_time: str = ""
    rank: bool = True


class HttpSink:
    """Posts to a running service.

    Raises:
        ServingError: it does not answer.
    """

    def __init__(self, url: str, timeout_s: float = 30.0, headers: dict[str, str] | None = None) -> None:
        self._url = url
        self.first_failure = ""
        self._http = httpx.Client(base_url=url, timeout=timeout_s, trust_env=False, headers=headers)
        self._ask(lambda: self._http.get("/healthz"))

    def send(self, lines: list[bytes], user_ids: list[str]) -> Sent:
        """See `Sink.send`."""
        content, kind = b'{"events":[' + b",".join(lines) + b"]}", {"content-type": "application/json"}
        answer = self._ask(lambda: self._http.post("/events", content=content, headers=kind))
        body: dict[str, Any] = answer.json() if answer.headers.get("content-type", "").endswith("json") else {}
        if "rejected" not in body:
            return Sent(0, rejected={f"answered {answer.status_code}": len(lines)})
        rejected: dict[str, int] = {}
        for one in body["rejected"]:
            rejected[one["code"]] = rejected.get(one["code"], 0) + 1
        return Sent(body["accepted"], body["duplicates"], rejected)

    def rank(self, body: dict[str, Any]) -> bool:
        """See `Sink.rank`."""
        try:
            answer = self._http.post("/rank", json=body)
        except httpx.HTTPError as error:
            return self._failed(body, type(error).__name__)
        return answer.status_code == 200 or self._failed(body, f"{answer.status_code}, {_detail(answer)}")

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _failed(self, body: dict[str, Any], reason: str) -> bool:
        self.first_failure = self.first_failure or f"{body['context']['time']}: {reason}"
        return False

    def _ask(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        try:
            return send()
        except httpx.HTTPError as error:
            raise ServingError(f"{self._url} did not answer: {type(error).__name__}: {error}") from error


def _detail(answer: httpx.Response) -> str:
    """What a refusal says, in one line."""
    told = answer.json() if answer.headers.get("content-type", "").endswith("json") else {}
    return str(told.get("detail") or told.get("title") or "no reason given")


def run(config: RunConfig, options: ReplayOptions) -> int:
    """Send the log and print what became of it.

    Returns:
        0, or `EXIT_PARTIAL` when records were rejected or rankings failed.
    """
    columns = config.features.columns
    counted, behaviors = said_columns(counted_views(config.features)), config.features.behavior_names
    source = open_source(source_of(config), own=own_columns(columns))
    log = _chosen(RecordedLog.read(source, config.labels, columns, counted, behaviors), options)
    sink = open_sink(config, options)
    requests = RankingRequests.of(log) if options.to == "http" and options.rank else None
    console, done = Console(stderr=True), [0, 0]
    try:
        with stop_signals() as stopped, console.status("sending") as status:

            def show(records: int, rankings: int) -> None:
                done[0], done[1] = done[0] + records, done[1] + rankings
                status.update(f"{done[0]} of {len(log)} records, {done[1]} rankings")

            report = replay(log, sink, options.speed, requests, stopped.is_set, show)
    finally:
        sink.close()
    for line in report.lines():
        print(line)
    if isinstance(sink, HttpSink) and sink.first_failure:
        print(f"the first ranking that failed asked for {sink.first_failure}")
    return EXIT_PARTIAL if report.rejected or report.failed_rankings else 0


def open_sink(config: RunConfig, options: ReplayOptions) -> Sink:
    """Open what the options name.

    Raises:
        ConfigError: there is no such target.
        ServingError: no service answers.
        StreamError: the log or Kafka cannot be written.
    """
    if options.to not in TARGETS:
        raise ConfigError(f"--to is '{options.to}'; give {', '.join(TARGETS)}")
    if options.speed < 0:
        raise ConfigError(f"--speed is {options.speed:g}; give 0 for as fast as possible, or more")
    stream = stream_of(config)
    if options.to == "log":
        return LogSink(stream.path, stream.partitions, stream.log)
    if options.to == "kafka":
        return KafkaSink(stream.brokers, stream.topic, stream.kafka)
    url = options.url or f"http://{config.serving.host}:{config.serving.port}"
    return HttpSink(url, headers=writer_headers(config.serving.write_tokens))


def _chosen(log: RecordedLog, options: ReplayOptions) -> RecordedLog:
    low, high = parse_time("--from", options.from_time), parse_time("--until", options.until_time)
    low = int(log.time_us[0]) if low is None else low
    high = int(log.time_us[-1]) + 1 if high is None else high
    chosen = log.between(low, high)
    if not len(chosen):
        raise InputError("no record of the log lies between --from and --until")
    return chosen
