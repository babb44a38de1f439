-- Live changes of some things, each written where it is still what it was when it was read; returns those that were not.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local generation, prefix, failed = take(), take(), {}
if meta.active ~= generation then
  return {'changed'}
end
for _ = 1, number() do
  local key, old, new, heard, since, notes = take(), take(), take(), take(), take(), list()
  if put_columns(generation, prefix, key, old, new, heard, since) then
    redis.call('SADD', NAMESPACE .. ':noted', prefix .. key)
    in_chunks(notes, function(low, high)
      redis.call('SADD', notes_key(prefix, key), unpack(notes, low, high))
    end)
    if meta.loading then
      redis.call('SADD', generation_key(meta.loading, 'dirty_things'), prefix .. key)
    end
  else
    failed[#failed + 1] = key
  end
end
return {'ok', failed}
