-- Makes an empty store where there is none, with a generation that takes records.
local schema, counting, fields, names = take(), take(), list(), list()
local held = redis.call('HGET', NAMESPACE .. ':meta', 'schema')
if held then
  return {'ok'}
end
redis.call('HSET', NAMESPACE .. ':meta', 'schema', schema, 'activated', '1')
add_model(stamp_generation(counting, 'live', 1, fields), '', 1)
redis.call('RPUSH', NAMESPACE .. ':behaviors', unpack(names))
return {'ok'}
