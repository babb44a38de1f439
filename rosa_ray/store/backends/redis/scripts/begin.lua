-- Prepares a generation, or a model's states in the live one that holds this log; see `OnlineStore.begin_load`.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local counting, as_of, source, version, max_events, exact, fields = take(), take(), take(), take(), number(), take(), list()
local function holds(one)
  local info = redis.call('HMGET', generation_key(one.name, 'info'), 'as_of', 'source', 'max_events')
  return one.counting == counting and info[1] == as_of and info[2] == source, tonumber(info[3])
end
local name, is_live
for _, one in ipairs(read_generations()) do
  local same, events = holds(one)
  if one.state == 'live' and same and (events == max_events or (exact == '0' and events > max_events)) and not name then
    name, is_live = one.name, 1
  end
end
if not name then
  for _, one in ipairs(read_generations()) do
    if one.state == 'loading' then
      local same, events = holds(one)
      if meta.loading == one.name and same and events == max_events then
        name = one.name
      else
        mark_generation(one)
      end
    end
  end
  name = name or stamp_generation(counting, 'loading', 0, fields)
  redis.call('HSET', NAMESPACE .. ':meta', 'loading', name)
end
local model
for _, one in ipairs(read_models()) do
  if one.generation == name and one.version == version and one.activated >= 0 then
    model = model or one.number
  end
end
model = model or add_model(name, version, 0)
return {'ok', is_live or 0, redis.call('SMEMBERS', NAMESPACE .. ':parts:' .. model)}
