-- Notes live changes of some things until a loaded log says them; a load under way is told which.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local prefix = take()
for _ = 1, number() do
  local key, notes = take(), list()
  redis.call('SADD', NAMESPACE .. ':noted', prefix .. key)
  in_chunks(notes, function(low, high)
    redis.call('SADD', notes_key(prefix, key), unpack(notes, low, high))
  end)
  if meta.loading then
    redis.call('SADD', generation_key(meta.loading, 'dirty_things'), prefix .. key)
  end
end
return {'ok'}
