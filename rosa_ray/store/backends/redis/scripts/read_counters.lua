-- Counters of some entities of one view, from a chunk on or all that are kept.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local kept, view, since, entities, counters = take_kept(), take(), number(), list(), {}
local info = redis.call('HMGET', generation_key(meta.active, 'info'), 'features', 'model', 'newest', 'last_chunk')
local kept_from = first_chunk(kept, tonumber(info[3]))
local first = math.max(kept_from, since)
for index, entity in ipairs(entities) do
  counters[index] = read_counter(generation_key(meta.active, 'c:' .. view .. ':' .. entity), first, tonumber(info[4] or '-inf'))
end
return {'ok', {info[1], info[2]}, kept_from, counters}
