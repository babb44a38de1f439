-- Versions of columns of some things.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local generation, _, unread = take_reader()
if unread then
  return unread
end
local prefix, keys, packed = take(), list(), {}
for index, key in ipairs(keys) do
  packed[index] = redis.call('GET', things_key(generation, prefix, key)) or ''
end
return {'ok', packed}
