-- Counters of some entities of one view.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local view, entities, counters = take(), list(), {}
local identity = redis.call('HMGET', generation_key(meta.active, 'info'), 'features', 'model')
for index, entity in ipairs(entities) do
  counters[index] = redis.call('HGETALL', generation_key(meta.active, 'c:' .. view .. ':' .. entity))
end
return {'ok', identity, counters}
