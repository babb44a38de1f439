-- Everything of one user, from one generation and one moment.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local user, views = take(), list()
local identity = redis.call('HMGET', generation_key(meta.active, 'info'), 'features', 'model')
local held = redis.call('HMGET', generation_key(meta.active, 't:' .. user), 'r', 'i', 's', 'li', 'z')
local counters = {}
for index, view in ipairs(views) do
  counters[index] = redis.call('HGETALL', generation_key(meta.active, 'c:' .. view .. ':' .. user))
end
return {'ok', identity, held, counters}
