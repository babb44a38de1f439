-- Names of behaviours by the codes of the journal; new ones are put behind.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local names, known = list(), {}
for _, name in ipairs(redis.call('LRANGE', NAMESPACE .. ':behaviors', 0, -1)) do
  known[name] = true
end
for _, name in ipairs(names) do
  if not known[name] then
    redis.call('RPUSH', NAMESPACE .. ':behaviors', name)
  end
end
return {'ok', redis.call('LRANGE', NAMESPACE .. ':behaviors', 0, -1)}
