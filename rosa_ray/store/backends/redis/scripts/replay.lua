-- Some of one user's journal, from `start` on, to the generation being loaded; refused when either changed meanwhile.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local generation, horizon, kept, user, start = take(), number(), take_kept(), take(), number()
if meta.loading ~= generation then
  return {'replaced'}
end
local order, records = list(), take_records()
local journaled = generation_key(meta.active, 'j:' .. user)
local held = redis.call('LRANGE', journaled, start, start + #records - 1)
local replayed = tonumber(redis.call('HGET', generation_key(generation, 'replayed'), user) or '0')
local changed = replayed ~= start or #held ~= #records
for index, record in ipairs(records) do
  changed = changed or held[index] ~= record.entry
end
if changed then
  return {'changed'}
end
local info = read_info(generation)
local newest, accepted, late = fold(meta, generation, info, records, order, horizon, kept, tonumber(info.as_of), false)
if not newest then
  return {'overflow', accepted}
end
if #records > 0 then
  redis.call('HSET', generation_key(generation, 'replayed'), user, start + #records)
  redis.call('HINCRBY', generation_key(generation, 'info'), 'replayed', #records)
end
if redis.call('LLEN', journaled) == start + #records then
  redis.call('SREM', generation_key(generation, 'dirty'), user)
end
return {'ok', accepted, late}
