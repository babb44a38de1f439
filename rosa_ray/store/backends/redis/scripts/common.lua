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

-- Returns the numbers of the generation being loaded, and of one whose journal is still to be trimmed; or a refusal.
local function open(schema)
  local meta = redis.call('HMGET', NAMESPACE .. ':meta', 'schema', 'loading', 'trimming')
  if not meta[1] then
    return nil, {'missing'}
  end
  if meta[1] ~= schema then
    return nil, {'schema', meta[1]}
  end
  return {loading = meta[2], trimming = meta[3]}
end

-- A generation is held as its state, the number of its last activation and its counting fingerprint.
local function read_generations()
  local held, found = redis.call('HGETALL', NAMESPACE .. ':generations'), {}
  for index = 1, #held, 2 do
    local state, activated, counting = string.match(held[index + 1], '^(%S+) (%S+) (.*)$')
    found[#found + 1] = {name = held[index], state = state, activated = tonumber(activated), counting = counting}
  end
  table.sort(found, function(one, other)
    return tonumber(one.name) > tonumber(other.name)
  end)
  return found
end

local function write_generation(one)
  local held = string.format('%s %d %s', one.state, one.activated, one.counting)
  redis.call('HSET', NAMESPACE .. ':generations', one.name, held)
end

-- All that take records, the active one first.
local function live_generations()
  local live = {}
  for _, one in ipairs(read_generations()) do
    if one.state == 'live' then
      live[#live + 1] = one
    end
  end
  table.sort(live, function(one, other)
    return one.activated > other.activated
  end)
  return live
end

-- A model is held as its generation, the number of its activation (0 before it, -1 once given up) and its version.
-- The newest activated come first, and of those that are not the newest.
local function read_models()
  local held, found = redis.call('HGETALL', NAMESPACE .. ':models'), {}
  for index = 1, #held, 2 do
    local generation, activated, version = string.match(held[index + 1], '^(%S+) (%S+) (.*)$')
    found[#found + 1] =
      {number = held[index], generation = generation, activated = tonumber(activated), version = version}
  end
  table.sort(found, function(one, other)
    if one.activated ~= other.activated then
      return one.activated > other.activated
    end
    return tonumber(one.number) > tonumber(other.number)
  end)
  return found
end

local function write_model(one)
  local held = string.format('%s %d %s', one.generation, one.activated, one.version)
  redis.call('HSET', NAMESPACE .. ':models', one.number, held)
end

-- The generation that a reader of a model reads, and the number of its states there, if any.
local function find_readable(counting, version)
  local live, newest = {}, nil
  for _, one in ipairs(live_generations()) do
    if counting == '*' or one.counting == counting then
      live[one.name], newest = one, newest or one
    end
  end
  if version ~= '' then
    for _, model in ipairs(read_models()) do
      if model.version == version and model.activated > 0 and live[model.generation] then
        return live[model.generation], model.number
      end
    end
  end
  return newest, nil
end

-- The reader of a read: the name of its generation and the number of its model, or a refusal.
local function take_reader()
  local counting, version = take(), take()
  local generation, model = find_readable(counting, version)
  if not generation then
    return nil, nil, {'features'}
  end
  return generation.name, model
end

local function add_figure(name, amount)
  if amount ~= 0 then
    redis.call('HINCRBY', NAMESPACE .. ':figures', name, amount)
  end
end

-- Flags tell of each record at the front of a user's journal whether a loaded generation needed it.
local function read_flags(generation, user)
  return generation and redis.call('HGET', generation_key(generation, 'replayed'), user) or ''
end

-- Forgets the flags of records that left the front of a user's journal.
local function drop_flags(generation, user, count)
  local flags = read_flags(generation, user)
  local gone = math.min(count, #flags)
  if gone == 0 then
    return
  end
  if gone == #flags then
    redis.call('HDEL', generation_key(generation, 'replayed'), user)
  else
    redis.call('HSET', generation_key(generation, 'replayed'), user, string.sub(flags, gone + 1))
  end
  redis.call('HINCRBY', generation_key(generation, 'info'), 'replayed', -gone)
end

-- Removes a user's live records and noted changes; returns how many keys went.
local function forget_journal(meta, user)
  local journal = NAMESPACE .. ':j:' .. user
  local count = redis.call('LLEN', journal)
  add_figure('journal_records', -count)
  for _, generation in pairs({meta.loading or false, meta.trimming or false}) do
    if generation then
      drop_flags(generation, user, count)
    end
  end
  redis.call('ZREM', NAMESPACE .. ':journal', user)
  redis.call('SREM', NAMESPACE .. ':noted', 'user.' .. user)
  return redis.call('UNLINK', journal, notes_key('user.', user))
end

-- Removes a user from one generation; returns how many keys went.
local function forget(generation, user, views)
  redis.call('HDEL', generation_key(generation, 'loaded'), 'user.' .. user)
  redis.call('ZREM', generation_key(generation, 'last'), user)
  local timeline = generation_key(generation, 't:' .. user)
  local removed = redis.call('UNLINK', timeline, things_key(generation, 'user.', user))
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
