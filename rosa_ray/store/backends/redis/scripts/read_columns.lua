-- Versions of columns of some things, and what an update of them has to know.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local prefix, keys, packed = take(), list(), {}
local info = redis.call('HMGET', generation_key(meta.active, 'info'), 'features', 'model', 'newest')
for index, key in ipairs(keys) do
  packed[index] = redis.call('GET', things_key(meta.active, prefix, key)) or ''
end
return {'ok', {info[1], info[2]}, meta.active, info[3], packed}
