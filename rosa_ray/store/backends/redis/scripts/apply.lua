-- Live records to every live generation, with the positions of their streams: to all, or nothing is changed.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local own = take_reader()
if not own then
  return {'features'}
end
local horizon, ttl, silent_limit, journal_us, names = number(), number(), number(), number(), take()
local views, positions, order, records = list(), list(), list(), take_records()
-- The caller must know by what each generation counts, and by which codes behaviours are journaled.
local live, expected, plans = live_generations(), list(), {}
local known = #live == #expected and table.concat(redis.call('LRANGE', NAMESPACE .. ':behaviors', 0, -1), '\n') == names
for index, one in ipairs(live) do
  known = known and expected[index] == one.name .. ' ' .. one.counting
end
if not known then
  return {'changed'}
end
for index, one in ipairs(live) do
  local tells_all, kept = take() == '1', take_kept()
  local plan, overflowing = plan_fold(one.name, take_counted(records), kept, horizon, false, true)
  if not plan then
    return {'overflow', overflowing}
  end
  plan.untold = one.name ~= own and not tells_all
  plans[index] = plan
end
local result
for index, plan in ipairs(plans) do
  write_fold(plan, order)
  if plan.untold and #plan.new > 0 then
    redis.call('HINCRBY', generation_key(plan.generation, 'info'), 'untold', #plan.new)
  end
  prune(plan.generation, math.floor((plan.latest - horizon) / DAY_US))
  if index == 1 then
    write_journal(meta, plan.new)
    prune_journal(meta, plan.latest - journal_us, silent_limit + 100)
  end
  if ttl > 0 then
    local before, last = string.format('(%.0f', plan.latest - ttl), generation_key(plan.generation, 'last')
    for _, user in ipairs(redis.call('ZRANGEBYSCORE', last, '-inf', before, 'LIMIT', 0, silent_limit)) do
      forget(plan.generation, user, views)
      if index == 1 then
        forget_journal(meta, user)
      end
    end
  end
  if plan.generation == own then
    result = {'ok', rows_of(plan.new), plan.late}
  end
end
for index = 1, #positions, 2 do
  redis.call('HSET', NAMESPACE .. ':positions', positions[index], positions[index + 1])
end
return result
