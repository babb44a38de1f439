-- Removes from the journal of a user what the log of an activated generation holds. Without a user: notes that this is
-- done for all.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local generation, user = take(), take()
if meta.trimming ~= generation then
  return {'ok'}
end
if user == '' then
  if redis.call('HLEN', generation_key(generation, 'replayed')) == 0 then
    redis.call('HDEL', NAMESPACE .. ':meta', 'trimming')
  end
  return {'ok'}
end
local journal, flags = NAMESPACE .. ':j:' .. user, read_flags(generation, user)
local needed = {}
for index, entry in ipairs(redis.call('LRANGE', journal, 0, #flags - 1)) do
  if string.sub(flags, index, index) == '1' then
    table.insert(needed, 1, entry)
  end
end
if #needed < #flags then
  redis.call('LTRIM', journal, #flags, -1)
  in_chunks(needed, function(low, high)
    redis.call('LPUSH', journal, unpack(needed, low, high))
  end)
  add_figure('journal_records', #needed - #flags)
  note_head(user)
end
drop_flags(generation, user, #flags)
return {'ok'}
