-- Everything of one user, from one generation and one moment.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local user, views, has_columns = take(), list(), take()
local identity = redis.call('HMGET', generation_key(meta.active, 'info'), 'features', 'model')
local held = redis.call('HMGET', generation_key(meta.active, 't:' .. user), 'r', 'i', 's', 'li', 'z')
local counters = {}
for index, view in ipairs(views) do
  counters[index] = redis.call('HGETALL', generation_key(meta.active, 'c:' .. view .. ':' .. user))
end
local columns = has_columns == '1' and redis.call('GET', things_key(meta.active, 'user.', user)) or ''
return {'ok', identity, held, counters, columns}
