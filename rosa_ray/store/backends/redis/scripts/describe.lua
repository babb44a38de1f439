-- All generations and models, and figures of the journal.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local generations, models = {}, {}
local names = {'as_of', 'source', 'features', 'max_events', 'newest', 'late', 'untold'}
-- Of a generation that is being removed these may be gone already.
local gone = {'0', '', '{}', '0', '0', '0', '0'}
for index, one in ipairs(read_generations()) do
  local info = redis.call('HMGET', generation_key(one.name, 'info'), unpack(names))
  for at = 1, #names do
    info[at] = info[at] or gone[at]
  end
  local state = one.state == 'loading' and meta.loading ~= one.name and 'dropped' or one.state
  generations[index] = {one.name, state, one.activated, one.counting, unpack(info)}
end
for index, one in ipairs(read_models()) do
  models[index] = {one.number, one.generation, one.activated, one.version}
end
local figures =
  redis.call('HMGET', NAMESPACE .. ':figures', 'journal_records', 'journal_dropped', 'journal_from_us')
return {'ok', generations, models, figures, meta.trimming}
