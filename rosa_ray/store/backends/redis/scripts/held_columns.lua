-- Versions of columns of some things in one generation, and its newest time: what an update of them has to know.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local generation, prefix, keys, packed = take(), take(), list(), {}
for index, key in ipairs(keys) do
  packed[index] = redis.call('GET', things_key(generation, prefix, key)) or ''
end
return {'ok', redis.call('HGET', generation_key(generation, 'info'), 'newest'), packed}
