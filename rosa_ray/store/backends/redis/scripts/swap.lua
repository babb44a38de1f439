-- Makes a generation live and active, and a model one that reads it, unless live records are still to be replayed.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local name, number_of_model, kept_versions = take(), take(), number()
local one, model
for _, held in ipairs(read_generations()) do
  if held.name == name and (held.state == 'live' or meta.loading == name) then
    one = held
  end
end
for _, held in ipairs(read_models()) do
  if held.number == number_of_model and held.activated >= 0 then
    model = held
  end
end
if not one or not model then
  return {'replaced'}
end
if one.state == 'loading' then
  local journaled = redis.call('HGET', NAMESPACE .. ':figures', 'journal_records') or '0'
  local replayed = redis.call('HGET', generation_key(name, 'info'), 'replayed') or '0'
  local dirty = redis.call('SCARD', generation_key(name, 'dirty_things'))
  if tonumber(journaled) ~= tonumber(replayed) or dirty > 0 then
    return {'more'}
  end
  if meta.trimming then
    return {'more'}
  end
  redis.call('HDEL', NAMESPACE .. ':meta', 'loading')
  redis.call('HSET', NAMESPACE .. ':meta', 'trimming', name)
  redis.call('UNLINK', generation_key(name, 'dirty'), generation_key(name, 'loaded'))
end
local last = redis.call('HINCRBY', NAMESPACE .. ':meta', 'activated', 1)
one.state, one.activated, model.activated = 'live', last, last
write_generation(one)
write_model(model)
mark_surplus(kept_versions)
return {'ok'}
