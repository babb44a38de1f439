"""Clients that are slow, vanish, send too much or mean harm; what they and others are answered."""

import json
import random
import socket
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from rosa_ray.chaos.case import CaseList, Seen
from rosa_ray.chaos.judging import Allowed
from rosa_ray.chaos.live import Live

CASES = CaseList("clients")

OTHERS = "the other callers do not notice"


def connect(live: Live) -> socket.socket:
    """A plain connection to the service."""
    return socket.create_connection(("127.0.0.1", live.service.port), timeout=10.0)


def head(path: str, length: int, *more: str) -> bytes:
    """The begin of a request."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", f"Content-Length: {length}"]
    return "\r\n".join([*lines, *more, "", ""]).encode()


@CASES.add("40 bodies of 10 MB", f"each is answered 413; {OTHERS}", "fused", 60)
def huge_bodies(live: Live) -> Seen:
    """Far over `serving.max_body_bytes`."""
    body = b'{"user_id": "' + b"u" * 10_000_000 + b'"}'
    with live.traffic() as traffic:
        traffic.settle(1.0)
        statuses = Counter(live.post("/rank", body)[0] for _ in range(40))
        traffic.settle(1.0)
    short = [f"{count} were answered {status}" for status, count in statuses.items() if status not in (413, 0)]
    short += ["none was answered 413"] if not statuses[413] else []
    return live.seen(traffic, Allowed()).also(short, f"answered {dict(statuses)}")


@CASES.add("5,000 candidates, and 5,001", "200, and 422", "fused", 60)
def many_candidates(live: Live) -> Seen:
    """At the bound and one over."""
    known = live.bodies().ad_ids
    most = live.settings.serving.max_candidates
    names = [*known[:most], *(f"no-such-ad-{number}" for number in range(most))]
    found = [live.post("/rank", {"user_id": None, "candidates": names[:count]})[0] for count in (most, most + 1)]
    return Seen(f"answered {found}", [] if found == [200, 422] else [f"answered {found}, expected 200 and 422"])


@CASES.add("300 clients that send half a request and vanish", OTHERS, "fused", 60)
def vanishing(live: Live) -> Seen:
    """A load balancer that was restarted."""
    with live.traffic() as traffic:
        traffic.settle(1.0)
        for number in range(300):
            with connect(live) as one:
                one.sendall(head("/rank", 400)[: 40 + number % 100] if number % 2 else head("/rank", 400) + b'{"user')
        traffic.settle(3.0)
    return live.seen(traffic, Allowed())


@CASES.add("200 clients that never end their headers", f"{OTHERS}; each is cut off within 20 s", "fused", 75)
def slow_headers(live: Live) -> Seen:
    """Slowloris."""
    with live.traffic() as traffic:
        traffic.settle(1.0)
        held = [connect(live) for _ in range(200)]
        for one in held:
            one.sendall(b"POST /rank HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        began_s = time.monotonic()
        closed = _closed(held, 20.0, b"a")
        traffic.settle(1.0)
    short = [] if closed == len(held) else [f"{len(held) - closed} of {len(held)} were still held after 20 s"]
    text = f"{closed} of {len(held)} cut off within {time.monotonic() - began_s:.0f} s"
    return live.seen(traffic, Allowed()).also(short, text)


@CASES.add("130 clients whose bodies come a byte a second", f"{OTHERS}; each is cut off within 20 s", "fused", 75)
def slow_bodies(live: Live) -> Seen:
    """As many as there are slots and more."""
    with live.traffic() as traffic:
        traffic.settle(1.0)
        held = [connect(live) for _ in range(130)]
        for one in held:
            one.sendall(head("/rank", 400) + b'{"user_id": "')
        closed = _closed(held, 20.0, b"a")
        traffic.settle(1.0)
    short = [] if closed == len(held) else [f"{len(held) - closed} of {len(held)} were still held after 20 s"]
    return live.seen(traffic, Allowed()).also(short, f"{closed} of {len(held)} cut off")


@CASES.add(
    "200 slow bodies at once, then their ends after 3 s",
    f"{OTHERS} until then; when all end at once, 503 says when to come again, and nine in ten are answered",
    "fused",
    60,
)
def late_bodies(live: Live) -> Seen:
    """Clients on bad lines, who finish in the end: what ends at once is a burst of more than a second's work."""
    body = live.bodies().rank(1)
    with live.traffic() as traffic:
        traffic.settle(1.0)
        held = [connect(live) for _ in range(200)]
        for one in held:
            one.sendall(head("/rank", len(body), "Connection: close") + body[:20])
        time.sleep(3.0)
        statuses: Counter[str] = Counter()
        traffic.fault()
        for one in held:
            with suppress(OSError):
                one.sendall(body[20:])
        for one in held:
            with suppress(OSError):
                one.settimeout(8.0)
                statuses[one.recv(64).split(b" ")[1].decode() if one else ""] += 1
            one.close()
        traffic.over()
        traffic.settle(2.0)
    bad = {status: count for status, count in statuses.items() if status not in ("200", "503")}
    busy = frozenset({503})
    return live.seen(traffic, Allowed(rank=busy, events=busy, whole_at_least=0.9)).also(
        [f"slow ones were answered {bad}"] if bad else [], f"slow: {dict(statuses)}"
    )


def _closed(held: list[socket.socket], seconds: float, drip: bytes) -> int:
    """How many connections the other side ends while a byte a second is sent on each."""
    gone: set[int] = set()
    until_s = time.monotonic() + seconds
    for one in held:
        one.setblocking(False)
    while time.monotonic() < until_s and len(gone) < len(held):
        for place, one in enumerate(held):
            if place in gone:
                continue
            try:
                one.send(drip)
                if one.recv(256) is not None:
                    gone.add(place)
            except BlockingIOError:
                pass
            except OSError:
                gone.add(place)
        time.sleep(1.0)
    for one in held:
        one.close()
    return len(gone)


@CASES.add(
    "one impression with a cost of 1e9, from anyone",
    "it is refused, or moves no ad by more than a tenth of its expected cost",
    "fused",
    60,
)
def poisoned_cost(live: Live) -> Seen:
    """Costs are what ads are ranked by."""
    ad_id, user_id = live.bodies().ad_ids[0], live.copy.user_ids[1]
    before = _of_ad(live.rank(user_id, candidates=[ad_id]), ad_id)
    moment = (datetime.now(UTC) - timedelta(hours=3)).isoformat()
    shown = {"type": "impression", "impression_id": f"{live.bodies().session}-poison", "user_id": user_id}
    record = {**shown, "ad_id": ad_id, "request_time": moment, "cost": 1e9}
    status, answer = live.post("/events", {"events": [record]})
    if answer.get("accepted"):
        live.ledger.add([record])
    found = _of_ad(live.rank(user_id, candidates=[ad_id]), ad_id)
    short = [f"its expected cost went from {before:.4g} to {found:.4g}"] if found > 1.1 * before + 1e-9 else []
    return Seen(f"answered {status}, {answer.get('accepted', 0)} taken, cost {before:.4g} to {found:.4g}", short)


def _of_ad(answer: dict[str, Any], ad_id: str) -> float:
    return next(float(ad["expected_cost"] or 0.0) for ad in answer["ads"] if ad["ad_id"] == ad_id)


HOSTILE_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, 10**400, "", "\x00", "a" * 300, "\ud800", [], {}, [None], {"a": 1}, "NaN", "' OR 1=1--",
    "../../etc/passwd", "{{7*7}}", "<script>", "2026-13-45T99:99:99Z",
)  # fmt: skip

HOSTILE_TEXTS = (
    b"", b"{", b"[]", b"null", b"42", b'"x"', b"\xff\xfe", b'{"user_id": NaN}', b'{"user_id": 1e999}', b"[" * 100_000,
    b'{"user_id":"a","user_id":"b"', b'{"a":' * 2000, b"\x00" * 100, b'{"user_id": "\xc3\x28"}', b"a=b&c=d",
)  # fmt: skip


@CASES.add(
    "176 hostile bodies and headers",
    "each is answered 4xx, or 200 where it can be read after all; none 5xx",
    "fused",
    75,
)
def hostile_bodies(live: Live) -> Seen:
    """Wrong types, broken UTF-8, deep nesting, numbers without end."""
    draw, tried = random.Random(1), list[tuple[str, bytes]]()
    tried += [(path, text) for path in ("/rank", "/events") for text in HOSTILE_TEXTS]
    good = json.loads(live.bodies().rank(3))
    event = next(one for one in map(live.bodies().event, range(1, 3)) if "event_id" in one)
    for field in ("user_id", "candidates", "context", "top_k", "explain"):
        tried += [("/rank", _dump({**good, field: value})) for value in HOSTILE_VALUES]
    while len(tried) < 176:
        field, value = draw.choice(sorted(event)), draw.choice(HOSTILE_VALUES)
        tried.append(("/events", _dump({**event, field: value, "event_id": f"hostile-{len(tried)}"})))
    statuses = Counter[int]()
    examples = dict[int, str]()
    for path, body in tried:
        status, answer = live.post(path, body)
        if answer.get("accepted"):
            live.ledger.add([json.loads(body)])
        statuses[status] += 1
        examples.setdefault(status, f"{path} {body[:80]!r}")
    wrong = [status for status in statuses if status >= 500 or status == 0]
    short = [f"{statuses[status]} were answered {status or 'nothing'}, such as {examples[status]}" for status in wrong]
    return Seen(f"{len(tried)} sent, answered {dict(sorted(statuses.items()))}", short, {"statuses": dict(statuses)})


def _dump(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=True).encode()


@CASES.add("a request id that is not UTF-8", "200 with an id of our own, or 4xx", "fused", 30)
def request_id_not_utf8(live: Live) -> Seen:
    """A header is bytes."""
    body = live.bodies().rank(2)
    with connect(live) as one:
        request = head("/rank", len(body), "Connection: close").replace(
            b"\r\n\r\n", b"\r\nX-Request-Id: \xff\xfe\r\n\r\n"
        )
        one.sendall(request + body)
        status = int(one.recv(64).split(b" ")[1])
    return Seen(f"answered {status}", [f"answered {status}"] if status >= 500 else [])


@CASES.add("the published schema of the interface", "it names every status that callers are answered with", "fused", 30)
def schema_complete(live: Live) -> Seen:
    """400, 408, 413, 422, 500 and 503 all happen."""
    status, schema = live.get("/openapi.json")
    if status != 200:
        return Seen(f"answered {status}", [f"`/openapi.json` answered {status}"])
    missing = {
        path: sorted({"400", "408", "413", "422", "500", "503"} - set(schema["paths"][path]["post"]["responses"]))
        for path in ("/rank", "/events")
    }
    short = [f"{path} does not name {', '.join(names)}" for path, names in missing.items() if names]
    return Seen("every status is named" if not short else "statuses are missing", short)


@CASES.add("a page of another origin asks (CORS)", "no header lets it read answers", "fused", 30)
def other_origin(live: Live) -> Seen:
    """A browser asks first."""
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = httpx.request("OPTIONS", f"{live.url}/rank", headers=headers, timeout=10.0, trust_env=False)
    allowed = answer.headers.get("access-control-allow-origin")
    return Seen(f"answered {answer.status_code}", [f"it may: {allowed}"] if allowed else [])


@CASES.add("a user id that nobody else has, in rankings, events and bad requests", "no log holds it", "fused", 30)
def user_ids_in_logs(live: Live) -> Seen:
    """Logs go where user ids may not."""
    user_id = f"secret-user-{live.bodies().session[-8:]}"
    live.post("/rank", {"user_id": user_id})
    live.post("/rank", {"user_id": user_id, "top_k": -1})
    live.post("/events", {"events": [{"event_id": "x", "user_id": user_id, "item_id": "i", "behavior": "no"}]})
    time.sleep(1.0)
    files = [live.service.log, *(file for file in live.service.ray_logs.rglob("*") if file.is_file())]
    found = [file.name for file in files if user_id.encode() in file.read_bytes()]
    return Seen(f"{len(files)} logs looked through", [f"it stands in {', '.join(found[:3])}"] if found else [])


@CASES.add("a bid of 4e-7 for a candidate", "4xx, or finite sums of money", "fused", 30)
def tiny_bid(live: Live) -> Seen:
    """Less than a millionth."""
    candidate = {"ad_id": live.bodies().ad_ids[0], "bid": 4e-7}
    status, answer = live.post("/rank", {"user_id": live.copy.user_ids[0], "candidates": [candidate]})
    short = [f"answered {status}"] if status >= 500 or status == 0 else []
    return Seen(f"answered {status}: {answer.get('detail', 'a ranking')}", short)
