-- Live records to the active generation, with the positions of their streams.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local info, fingerprint = read_info(meta.active), take()
if fingerprint ~= '*' and fingerprint ~= info.features then
  return {'features', info.features}
end
local horizon, ttl, silent_limit, kept = number(), number(), number(), take_kept()
local views, positions, order, records = list(), list(), list(), take_records()
local newest, accepted, late = fold(meta, meta.active, info, records, order, horizon, kept, tonumber(info.newest), true)
if not newest then
  return {'overflow', accepted}
end
prune(meta.active, math.floor((newest - horizon) / DAY_US))
for index = 1, #positions, 2 do
  redis.call('HSET', NAMESPACE .. ':positions', positions[index], positions[index + 1])
end
if ttl > 0 then
  local before = string.format('(%.0f', newest - ttl)
  local last = generation_key(meta.active, 'last')
  for _, user in ipairs(redis.call('ZRANGEBYSCORE', last, '-inf', before, 'LIMIT', 0, silent_limit)) do
    forget(meta.active, user, views, meta)
  end
end
return {'ok', accepted, late}
