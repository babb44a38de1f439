-- The notes of one thing to the generation being loaded; refused when either changed meanwhile. What was loaded is kept
-- until the swap, so that an activation that is repeated can tell what was loaded from what was replayed.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local generation, prefix, key, loaded, old, new = take(), take(), take(), take(), take(), take()
local heard, since, notes = take(), take(), list()
if meta.loading ~= generation then
  return {'replaced'}
end
local noted = notes_key(prefix, key)
local changed = redis.call('SCARD', noted) ~= #notes
for _, note in ipairs(notes) do
  changed = changed or redis.call('SISMEMBER', noted, note) == 0
end
if changed or not put_columns(generation, prefix, key, old, new, heard, since) then
  return {'changed'}
end
redis.call('HSETNX', generation_key(generation, 'loaded'), prefix .. key, loaded)
redis.call('SREM', generation_key(generation, 'dirty_things'), prefix .. key)
return {'ok'}
