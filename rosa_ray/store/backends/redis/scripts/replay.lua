-- Some of one user's journal, from `start` on, to the generation being loaded; refused when either changed meanwhile.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local generation, horizon, user, start = take(), number(), take(), number()
if meta.loading ~= generation then
  return {'replaced'}
end
local order, records, kept = list(), take_records(), take_kept()
local journaled = NAMESPACE .. ':j:' .. user
local held, flags = redis.call('LRANGE', journaled, start, start + #records - 1), read_flags(generation, user)
local changed = #flags ~= start or #held ~= #records
for index, record in ipairs(records) do
  changed = changed or held[index] ~= record.entry
end
if changed then
  return {'changed'}
end
local counted = take_counted(records)
local plan, overflowing = plan_fold(generation, counted, kept, horizon, true, false)
if not plan then
  return {'overflow', overflowing}
end
write_fold(plan, order)
if #records > 0 then
  -- What the generation cannot count is no news of its log, so that it stays as what was new does.
  local needed = {}
  for index = 1, #records do
    needed[index] = '1'
  end
  for _, record in ipairs(counted) do
    needed[record.row + 1] = '0'
  end
  for _, record in ipairs(plan.new) do
    needed[record.row + 1] = '1'
  end
  redis.call('HSET', generation_key(generation, 'replayed'), user, flags .. table.concat(needed))
  redis.call('HINCRBY', generation_key(generation, 'info'), 'replayed', #records)
end
if redis.call('LLEN', journaled) == start + #records then
  redis.call('SREM', generation_key(generation, 'dirty'), user)
end
return {'ok', rows_of(plan.new), plan.late}
