-- Everything of one user, from one generation and one moment.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local kept, user, views, has_columns = take_kept(), take(), list(), take()
local info = redis.call('HMGET', generation_key(meta.active, 'info'), 'features', 'model', 'newest', 'last_chunk')
local held = redis.call('HMGET', generation_key(meta.active, 't:' .. user), 'r', 'i', 's', 'li', 'z')
local first, counters = first_chunk(kept, tonumber(info[3])), {}
for index, view in ipairs(views) do
  counters[index] = read_counter(generation_key(meta.active, 'c:' .. view .. ':' .. user), first, tonumber(info[4] or '-inf'))
end
local columns = has_columns == '1' and redis.call('GET', things_key(meta.active, 'user.', user)) or ''
return {'ok', {info[1], info[2]}, held, first, counters, columns}
