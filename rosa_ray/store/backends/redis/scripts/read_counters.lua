-- Counters of some entities of one view, from a chunk on or all that are kept.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local generation, _, unread = take_reader()
if unread then
  return unread
end
local kept, view, since, entities, counters = take_kept(), take(), number(), list(), {}
local info = redis.call('HMGET', generation_key(generation, 'info'), 'newest', 'last_chunk')
local kept_from = first_chunk(kept, tonumber(info[1]))
local first, last = math.max(kept_from, since), tonumber(info[2] or '-inf')
for index, entity in ipairs(entities) do
  counters[index] = read_counter(generation_key(generation, 'c:' .. view .. ':' .. entity), first, last)
end
return {'ok', kept_from, counters}
