-- Shared by every script; put before it. KEYS[1] is the namespace, ARGV is read front to back with take().
-- Lua numbers are doubles: keys stay strings, sums are added by HINCRBY; times are numbers and lie within 2^53.
local NAMESPACE = KEYS[1]
local taken = 0

local function take()
  taken = taken + 1
  return ARGV[taken]
end

local function number()
  return tonumber(take())
end

local function list()
  local values = {}
  for index = 1, number() do
    values[index] = take()
  end
  return values
end

local function in_chunks(values, call)
  for low = 1, #values, 1000 do
    call(low, math.min(low + 999, #values))
  end
end

local function generation_key(generation, name)
  return NAMESPACE .. ':' .. generation .. ':' .. name
end

-- How long a chunk of a counter's buckets is, and how far back chunks are kept.
local function take_kept()
  return {chunk_us = number(), us = number()}
end

-- Number of the first chunk that is kept where this is the newest time.
local function first_chunk(kept, newest)
  return math.floor((newest - kept.us) / kept.chunk_us)
end

-- Fields of one counter from a chunk on, and their values, flat. Few chunks are asked for one by one.
local function read_counter(key, first, last)
  if last - first > 16 then
    return redis.call('HGETALL', key)
  end
  local fields, found = {'t'}, {}
  for chunk = first, last do
    fields[#fields + 1] = string.format('%d', chunk)
  end
  for index, value in ipairs(redis.call('HMGET', key, unpack(fields))) do
    if value then
      found[#found + 1], found[#found + 2] = fields[index], value
    end
  end
  return found
end

-- What is known of a user, an item or an ad: versions of columns, and live changes until a loaded version says them.
local function things_key(generation, prefix, key)
  return generation_key(generation, 'v:' .. prefix .. key)
end

local function notes_key(prefix, key)
  return NAMESPACE .. ':n:' .. prefix .. key
end

-- Writes versions of a thing if they are still the old ones. A user who was unknown is heard of now.
local function put_columns(generation, prefix, key, old, new, heard, since)
  local place = things_key(generation, prefix, key)
  if (redis.call('GET', place) or '') ~= old then
    return false
  end
  if new ~= old then
    redis.call('SET', place, new)
  end
  if prefix == 'user.' then
    local last = generation_key(generation, 'last')
    redis.call('ZADD', last, 'NX', heard, key)
    redis.call('ZADD', last, 'XX', 'GT', since, key)
  end
  return true
end

-- Returns the meta fields active and loading, or a refusal.
local function open(schema)
  local meta = redis.call('HMGET', NAMESPACE .. ':meta', 'schema', 'active', 'loading')
  if not meta[1] then
    return nil, {'missing'}
  end
  if meta[1] ~= schema then
    return nil, {'schema', meta[1]}
  end
  return {active = meta[2], loading = meta[3]}
end

-- Removes a user from one generation; returns how many keys went.
local function forget(generation, user, views, meta)
  local timeline = generation_key(generation, 't:' .. user)
  local journal = generation_key(generation, 'j:' .. user)
  local gone = redis.call('LLEN', journal)
  if gone > 0 then
    redis.call('HINCRBY', generation_key(generation, 'info'), 'journaled', -gone)
  end
  if generation == meta.active and meta.loading then
    local replayed = redis.call('HGET', generation_key(meta.loading, 'replayed'), user)
    if replayed then
      redis.call('HDEL', generation_key(meta.loading, 'replayed'), user)
      redis.call('HINCRBY', generation_key(meta.loading, 'info'), 'replayed', -tonumber(replayed))
    end
  end
  redis.call('SREM', generation_key(generation, 'journal'), user)
  redis.call('SREM', NAMESPACE .. ':noted', 'user.' .. user)
  redis.call('HDEL', generation_key(generation, 'loaded'), 'user.' .. user)
  redis.call('ZREM', generation_key(generation, 'last'), user)
  local columns = things_key(generation, 'user.', user)
  local removed = redis.call('UNLINK', timeline, journal, columns, notes_key('user.', user))
  for _, view in ipairs(views) do
    removed = removed + redis.call('UNLINK', generation_key(generation, 'c:' .. view .. ':' .. user))
  end
  local owned = generation_key(generation, 'o:' .. user)
  for _, entity in ipairs(redis.call('SMEMBERS', owned)) do
    removed = removed + redis.call('UNLINK', generation_key(generation, 'c:' .. entity))
  end
  redis.call('UNLINK', owned)
  return removed
end
