"""Changes of ads in Redis: each once, numbered as it came, for all generations."""

import json
import uuid
from collections.abc import Sequence

from rosa_ray.features.ad_changes import AdChange, AdLog, let_go
from rosa_ray.features.catalogue import ALWAYS_US
from rosa_ray.features.changes import Changes
from rosa_ray.store.backends.redis.connection import Argument, Connection

_PAST_CHANGES = 16
"""Changes of one ad from before the horizon that stay without a look at which can be let go."""

_ADD = """
local prefix = KEYS[1]
redis.call('SET', prefix .. ':log', ARGV[1], 'NX')
for at = 2, #ARGV, 3 do
  local entry = ARGV[at + 2]
  if not redis.call('ZSCORE', prefix, entry) then
    redis.call('ZADD', prefix, redis.call('INCR', prefix .. ':last'), entry)
    redis.call('ZADD', prefix .. ':' .. ARGV[at], ARGV[at + 1], entry)
  end
end
"""
"""KEYS: where the changes are. ARGV: a name for a new list; of each change its ad, its time and its entry."""


def apply_ads(connection: Connection, changes: Sequence[Changes], kept_us: int) -> None:
    """Add changes of ads, and let go of what was superseded before a time, of the ads that changed."""
    told = [one for change in changes for one in change.ads]
    if not told:
        return
    arguments: list[Argument] = [uuid.uuid4().hex]
    for one in told:
        arguments += (one.ad_id, one.time_us, _entry(one))
    with connection.guard():
        connection.client.register_script(_ADD)(keys=[_place(connection)], args=arguments)
        connection.client.set(f"{_place(connection)}:kept", kept_us)
        for ad_id in dict.fromkeys(one.ad_id for one in told):
            _let_go(connection, ad_id, kept_us)


def read_ads(connection: Connection, after: int, limit: int) -> AdLog:
    """See `OnlineStore.read_ads`."""
    place = _place(connection)
    with connection.guard(), connection.client.pipeline() as pipe:
        pipe.mget(f"{place}:log", f"{place}:kept")
        pipe.zrangebyscore(place, f"({after}", "+inf", start=0, num=limit, withscores=True)
        (name, kept_us), found = pipe.execute()
    if name is None:
        return AdLog("", (), 0)
    changes = tuple(AdChange(*json.loads(entry)) for entry, _ in found)
    last = int(found[-1][1]) if found else after
    return AdLog(name.decode(), changes, last, int(kept_us or ALWAYS_US))


def _let_go(connection: Connection, ad_id: str, kept_us: int) -> None:
    """What one ad's later changes supersede stays superseded, whatever others write meanwhile."""
    of_ad = f"{_place(connection)}:{ad_id}"
    past = connection.client.zrangebyscore(of_ad, "-inf", kept_us)
    if len(past) <= _PAST_CHANGES:
        return
    _, gone = let_go([AdChange(*json.loads(entry)) for entry in past], kept_us)
    if gone:
        with connection.client.pipeline() as pipe:
            for place in (_place(connection), of_ad):
                pipe.zrem(place, *(_entry(one) for one in gone))
            pipe.execute()


def _place(connection: Connection) -> str:
    return connection.key("ads")


def _entry(change: AdChange) -> str:
    return json.dumps([change.ad_id, change.time_us, change.told], ensure_ascii=False, separators=(",", ":"))
