-- Counts changes that did not say all that a generation counts by.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local generation, count = take(), number()
for _, one in ipairs(live_generations()) do
  if one.name == generation then
    redis.call('HINCRBY', generation_key(generation, 'info'), 'untold', count)
  end
end
return {'ok'}
