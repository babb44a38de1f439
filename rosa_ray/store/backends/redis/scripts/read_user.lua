-- Everything of one user, from one generation and one moment.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local generation, model, unread = take_reader()
if unread then
  return unread
end
local kept, user, views, has_columns = take_kept(), take(), list(), take()
local info = redis.call('HMGET', generation_key(generation, 'info'), 'newest', 'last_chunk')
local timeline = generation_key(generation, 't:' .. user)
local held = redis.call('HMGET', timeline, 'r', 'i', 's' .. (model or ''), 'li', 'z')
local first, last, counters = first_chunk(kept, tonumber(info[1])), tonumber(info[2] or '-inf'), {}
for index, view in ipairs(views) do
  counters[index] = read_counter(generation_key(generation, 'c:' .. view .. ':' .. user), first, last)
end
local columns = has_columns == '1' and redis.call('GET', things_key(generation, 'user.', user)) or ''
return {'ok', model and 1 or 0, held, first, counters, columns}
