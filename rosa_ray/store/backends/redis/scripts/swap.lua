-- Puts the loaded generation in the place of the active one, unless live records are still to be replayed.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local generation = take()
if meta.loading ~= generation then
  return {'replaced'}
end
local journaled = redis.call('HGET', generation_key(meta.active, 'info'), 'journaled') or '0'
local replayed = redis.call('HGET', generation_key(generation, 'info'), 'replayed') or '0'
local dirty_things = redis.call('SCARD', generation_key(generation, 'dirty_things'))
if tonumber(journaled) ~= tonumber(replayed) or dirty_things > 0 then
  return {'more'}
end
redis.call('SADD', NAMESPACE .. ':dead', meta.active)
redis.call('HSET', NAMESPACE .. ':meta', 'active', generation)
redis.call('HDEL', NAMESPACE .. ':meta', 'loading')
redis.call('HDEL', generation_key(generation, 'info'), 'replayed')
redis.call('UNLINK', generation_key(generation, 'replayed'), generation_key(generation, 'dirty'))
redis.call('UNLINK', generation_key(generation, 'loaded'), generation_key(generation, 'dirty_things'))
return {'ok'}
