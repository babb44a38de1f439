"""Bodies that mean harm, one a line: requests for a ranking, records, and batches."""

import json
from typing import Any

EVENT = {"event_id": "h1", "user_id": "u1", "item_id": "i1", "behavior": "view", "event_time": "2023-11-20T00:00:00Z"}
LONG = "x" * 257

ANYWHERE: list[bytes] = [
    *(b"", b" ", b"\x00", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"null", b"true", b"0", b"-1", b"1e999", b'""', b"[]"),
    *(b"{", b"}", b"[", b"{{}}", b"[[]]", b'{"a"}', b'{"a":}', b"{,}", b"{'user_id': 'u1'}", b'{"user_id": "u1",}'),
    *(b"[" * 200_000, b'{"a":' * 100_000, b"9" * 100_000, b'"' + b"x" * 500_000, b'{"user_id": NaN}', b"NaN"),
    *(b"\x1f\x8b\x08\x00" + b"\x00" * 64, b"PK\x03\x04", b"<?xml version='1.0'?><a/>", b"user_id=u1", b"\r\n\r\n"),
    *(b'{"user_id": "\\ud800"}', b'{"user_id": "\xc3\x28"}', '{"user": 1}'.encode("utf-16"), b"{}//", b"/*x*/{}"),
]
_RANKS = r"""
{"user_id": "u1", "candidates": ["a1"], "top_k": -1}
{"user_id": "u1", "candidates": ["a1"], "top_k": 0}
{"user_id": "u1", "candidates": ["a1"], "top_k": 1e308}
{"user_id": "u1", "candidates": ["a1"], "top_k": 99999999999999999999}
{"user_id": "u1", "candidates": ["a1"], "top_k": true}
{"user_id": "u1", "candidates": ["a1"], "top_k": "1"}
{"user_id": "u1", "candidates": ["a1"], "top_k": [1]}
{"user_id": "u1", "candidates": ["a1"], "explain": 1}
{"user_id": "u1", "candidates": ["a1"], "explain": null}
{"user_id": "u1", "candidates": ["a1"], "explain": "true"}
{"user_id": "u1", "candidates": ["a1"], "context": []}
{"user_id": "u1", "candidates": ["a1"], "context": "x"}
{"user_id": "u1", "candidates": ["a1"], "context": {"time": 0}}
{"user_id": "u1", "candidates": ["a1"], "context": {"time": ""}}
{"user_id": "u1", "candidates": ["a1"], "context": {"time": "0000-00-00T00:00:00Z"}}
{"user_id": "u1", "candidates": ["a1"], "context": {"time": "2023-02-30T00:00:00Z"}}
{"user_id": "u1", "candidates": ["a1"], "context": {"time": "1989-12-31T23:59:59Z"}}
{"user_id": "u1", "candidates": ["a1"], "context": {"time": "2100-01-01T00:00:00Z"}}
{"user_id": "u1", "candidates": ["a1"], "context": {"time": "9999-12-31T23:59:59Z"}}
{"user_id": "u1", "candidates": ["a1"], "context": {"time": "2023-11-20T00:00:00+99:99"}}
{"user_id": "u1", "candidates": ["a1"], "context": {"time": "2023-11-20T24:00:01Z"}}
{"user_id": "u1", "candidates": ["a1"], "context": {"time": "٢٠٢٣-11-20T00:00:00Z"}}
{"user_id": "u1", "candidates": ["a1"], "context": {"device": 1}}
{"user_id": "u1", "candidates": ["a1"], "context": {"device": ""}}
{"user_id": "u1", "candidates": ["a1"], "context": {"region": {}}}
{"user_id": "u1", "candidates": ["a1"], "context": {"columns": []}}
{"user_id": "u1", "candidates": ["a1"], "context": {"columns": {"x": {"y": 1}}}}
{"user_id": "u1", "candidates": ["a1"], "context": {"columns": {"__proto__": 1}}}
{"user_id": "u1", "candidates": ["a1"], "context": {"__class__": "x"}}
{"user_id": "u1", "candidates": ["a1"], "__class__": "x"}
{"user_id": "u1", "candidates": ["a1"], "user": "u2"}
{"user_id": "u1", "candidates": ["a1"], "": 1}
{"user_id": "u1", "candidates": ["a1"], "\u0000": 1}
{"user_id": "u1", "candidates": ["a1"], "constructor": {"prototype": {}}}
{"user_id": "u1", "candidates": ["a1"], "$where": "1"}
{"user_id": "u1", "candidates": ["a1"], "lambda": 0}
{"user_id": "u1", "candidates": []}
{"user_id": "u1", "candidates": {}}
{"user_id": "u1", "candidates": 0}
{"user_id": "u1", "candidates": "a1"}
{"user_id": "u1", "candidates": [[]]}
{"user_id": "u1", "candidates": [{}]}
{"user_id": "u1", "candidates": [1]}
{"user_id": "u1", "candidates": [null]}
{"user_id": "u1", "candidates": [""]}
{"user_id": "u1", "candidates": ["a1", "a1"]}
{"user_id": "u1", "candidates": [{"ad_id": "a1"}, "a1"]}
{"user_id": "u1", "candidates": [{"ad_id": "a1", "bid": 0}]}
{"user_id": "u1", "candidates": [{"ad_id": "a1", "bid": -1e-9}]}
{"user_id": "u1", "candidates": [{"ad_id": "a1", "bid": 4e-7}]}
{"user_id": "u1", "candidates": [{"ad_id": "a1", "bid": 1e7}]}
{"user_id": "u1", "candidates": [{"ad_id": "a1", "bid": 1e999}]}
{"user_id": "u1", "candidates": [{"ad_id": "a1", "bid": NaN}]}
{"user_id": "u1", "candidates": [{"ad_id": "a1", "bid": "1"}]}
{"user_id": "u1", "candidates": [{"ad_id": "a1", "bid": []}]}
{"user_id": "u1", "candidates": [{"ad_id": ["a1"]}]}
{"user_id": "u1", "candidates": [{"ad": "a1"}]}
{"user_id": "u1", "candidates": ["a1\u0000"]}
{"user_id": "u1", "candidates": ["' OR 1=1 --"]}
{"user_id": "u1", "candidates": ["../../etc/passwd"]}
{"user_id": "u1", "candidates": ["${jndi:ldap://x}"]}
{"user_id": 0, "candidates": ["a1"]}
{"user_id": 1.5, "candidates": ["a1"]}
{"user_id": true, "candidates": ["a1"]}
{"user_id": [], "candidates": ["a1"]}
{"user_id": {}, "candidates": ["a1"]}
{"user_id": "", "candidates": ["a1"]}
{"user_id": "\udfff", "candidates": ["a1"]}
{"user_id": -0, "candidates": ["a1"]}
{"user_id": ["u1"], "candidates": ["a1"]}
{"user_id": {"$ne": null}, "candidates": ["a1"]}
"""

RANKS: list[str] = [
    *_RANKS.split("\n")[1:-1],
    json.dumps({"user_id": "u1", "candidates": [LONG]}),
    json.dumps({"user_id": "u1", "candidates": [f"a{number}" for number in range(5001)]}),
    json.dumps({"user_id": LONG, "candidates": ["a1"]}),
]

_EVENTS = r"""
{"event_id": ""}
{"event_id": null}
{"event_id": []}
{"event_id": true}
{"user_id": null}
{"user_id": {}}
{"user_id": 1e+300}
{"user_id": "\ud800"}
{"item_id": 0.5}
{"behavior": "explode"}
{"behavior": null}
{"behavior": 7}
{"event_time": null}
{"event_time": ""}
{"event_time": "now"}
{"event_time": 1000000000000000000000000000000}
{"event_time": -9223372036854775808}
{"event_time": "1970-01-01T00:00:00Z"}
{"event_time": "2023-11-20T00:00:00"}
{"event_time": []}
{"event_time": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}
{"price": -0.01}
{"price": 10000000000.0}
{"price": "1e999"}
{"price": "0x10"}
{"price": {}}
{"category": []}
{"type": "visit"}
{"type": null}
{"type": ["event"]}
{"type": "impression"}
"""
_IMPRESSIONS = r"""
{"bid": 0}
{"bid": 4e-07}
{"bid": 1000000000.0}
{"cost": -1}
{"cost": 10000000000.0}
{"cost": "NaN!"}
{"position": -1}
{"position": 2147483648}
{"position": 0.5}
{"propensity": 0}
{"propensity": 1.1}
{"ad_id": null}
{"ad_id": ""}
{"columns": []}
{"columns": {"x": [1]}}
{"device": {}}
{"request_time": "2023-11-20"}
"""

SHOWN = {
    "type": "impression",
    "impression_id": "m",
    "user_id": "u1",
    "ad_id": "a1",
    "request_time": "2023-11-20T00:00:00Z",
}
RECORDS: list[dict[str, Any]] = [
    *({**EVENT, **json.loads(change)} for change in _EVENTS.split("\n")[1:-1]),
    *({**EVENT, "price": "1" * 5000}, {**EVENT, "event_id": LONG}),
    *({**SHOWN, **json.loads(change)} for change in _IMPRESSIONS.split("\n")[1:-1]),
    *({"type": kind} for kind in ("event", "impression", "click", "conversion", "profile", "item", "ad")),
]
BATCHES: list[Any] = [
    *({"events": some} for some in (None, [], {}, "x", 0, [[]], [None], [[EVENT]], [EVENT] * 1001)),
    [EVENT],
    {"events": [], **EVENT},
]
