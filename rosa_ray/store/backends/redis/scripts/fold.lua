-- The update of one batch, whole or not at all: which records are new, and what they change.
-- An entry is EVENT bytes of a timeline's event, the rest of the record up to ENTRY bytes, its id, and where it has
-- keys for own counters a separator and these.
local EVENT, ENTRY, BEHAVIOR, SEPARATOR = 29, 78, 25, '\255'
local DAY_US, SPAN_US = 86400000000, 600000000

-- Time of a timeline's event: int64, little-endian, put together from its bytes; doubles are exact up to 2^53.
local function read_time(records, index)
  local a, b, c, d, e, f, g, h = string.byte(records, index * EVENT + 1, index * EVENT + 8)
  local high = e + f * 256 + g * 65536 + h * 16777216
  if h >= 128 then
    high = high - 4294967296
  end
  return high * 4294967296 + a + b * 256 + c * 65536 + d * 16777216
end

-- Order of bytes; Lua's own comparison of strings follows the server's locale.
local function comes_before(time, id, other_time, other_id)
  if time ~= other_time then
    return time < other_time
  end
  for index = 1, math.min(#id, #other_id) do
    local left, right = string.byte(id, index), string.byte(other_id, index)
    if left ~= right then
      return left < right
    end
  end
  return #id < #other_id
end

-- Ids end with the separator, so the last one lies between the last two: searched from the end, ids are many.
local function last_id(ids)
  local first = #ids
  while first > 1 and string.byte(ids, first - 1) ~= 255 do
    first = first - 1
  end
  return string.sub(ids, first, #ids - 1)
end

-- Each record is two arguments: its key and its entry, and as text its user and time.
local function take_records()
  local records = {}
  for index = 1, number() do
    local packed, text = take(), take()
    local user, time = string.match(text, '^(%S+) (%S+)$')
    records[index] = {
      row = index - 1,
      key = string.sub(packed, 1, 8),
      entry = string.sub(packed, 9),
      user = user,
      time_text = time,
      time = tonumber(time),
    }
  end
  return records
end

-- The records as one generation counts them: of each the code of its behaviour there, 255 for none, and what it adds.
local function take_counted(records)
  local counted = {}
  for _, record in ipairs(records) do
    local said = take()
    local code = string.byte(said, 1)
    if code < 255 then
      local entry = record.entry
      if string.byte(entry, BEHAVIOR) ~= code then
        entry = string.sub(entry, 1, BEHAVIOR - 1) .. string.char(code) .. string.sub(entry, BEHAVIOR + 1)
      end
      counted[#counted + 1] = {
        row = record.row,
        key = record.key,
        entry = entry,
        journaled = record.entry,
        user = record.user,
        time_text = record.time_text,
        time = record.time,
        counts = string.sub(said, 2),
      }
    end
  end
  return counted
end

-- Of which times ids are forgotten, see `rosa_ray.store.backends.sqlite.spans`: for each span of ten minutes the days
-- until which ids are remembered, each with the first and the last time of those.
local function read_spans(generation)
  local key, held, changed = generation_key(generation, 'spans'), {}, {}
  local function days_of(span)
    if not held[span] then
      held[span] = {}
      for day, first, last in string.gmatch(redis.call('HGET', key, span) or '', '(%S+) (%S+) (%S+)') do
        held[span][day] = {tonumber(first), tonumber(last)}
      end
    end
    return held[span]
  end
  local spans = {}
  function spans.may_be_repeated(time, forgotten_day)
    for day, ends in pairs(days_of(string.format('%.0f', math.floor(time / SPAN_US)))) do
      if tonumber(day) < forgotten_day and ends[1] <= time and time <= ends[2] then
        return true
      end
    end
    return false
  end
  function spans.note(time, day)
    local span = string.format('%.0f', math.floor(time / SPAN_US))
    local ends = days_of(span)[day] or {time, time}
    held[span][day] = {math.min(ends[1], time), math.max(ends[2], time)}
    changed[span] = true
  end
  function spans.write()
    for span in pairs(changed) do
      local texts = {}
      for day, ends in pairs(held[span]) do
        texts[#texts + 1] = string.format('%s %.0f %.0f', day, ends[1], ends[2])
      end
      redis.call('HSET', key, span, table.concat(texts, ' '))
    end
  end
  return spans
end

-- Marks late records and those seen before; returns the new ones, in the order sent.
local function find_new(generation, info, records, newest, horizon, moving)
  local fresh, late, new, taken_keys = {}, {}, {}, {}
  local covered, spans = tonumber(info.covered), read_spans(generation)
  for _, record in ipairs(records) do
    local time, forgotten_day = record.time, math.floor((newest - horizon) / DAY_US)
    if time < newest - horizon and (time <= covered or spans.may_be_repeated(time, forgotten_day)) then
      late[#late + 1] = record.row
    else
      fresh[#fresh + 1] = record
      record.day = string.format('%.0f', math.floor(math.max(time, newest) / DAY_US))
      spans.note(time, record.day)
    end
    if moving and time > newest then
      newest = time
    end
  end
  -- A repetition may come with another time, so every remembered day is asked, not only the record's own.
  for _, day in ipairs(redis.call('SMEMBERS', generation_key(generation, 'days'))) do
    in_chunks(fresh, function(low, high)
      local keys = {}
      for index = low, high do
        keys[#keys + 1] = fresh[index].key
      end
      local found = redis.call('SMISMEMBER', generation_key(generation, 'seen:' .. day), unpack(keys))
      for index, known in ipairs(found) do
        if known == 1 then
          taken_keys[keys[index]] = true
        end
      end
    end)
  end
  for _, record in ipairs(fresh) do
    if not taken_keys[record.key] then
      taken_keys[record.key] = true
      new[#new + 1] = record
    end
  end
  return new, late, spans
end

-- Ids are remembered by the day on which they came, so that `prune` forgets a whole day at once.
local function remember(generation, new)
  local days = {}
  for _, record in ipairs(new) do
    days[record.day] = days[record.day] or {}
    table.insert(days[record.day], record.key)
  end
  for day, keys in pairs(days) do
    redis.call('SADD', generation_key(generation, 'days'), day)
    in_chunks(keys, function(low, high)
      redis.call('SADD', generation_key(generation, 'seen:' .. day), unpack(keys, low, high))
    end)
  end
end

-- Forgets ids that came further back than the horizon.
local function prune(generation, before_day)
  for _, day in ipairs(redis.call('SMEMBERS', generation_key(generation, 'days'))) do
    if tonumber(day) < before_day then
      redis.call('UNLINK', generation_key(generation, 'seen:' .. day))
      redis.call('SREM', generation_key(generation, 'days'), day)
    end
  end
end

-- When each user was last heard of: who is silent for too long is removed.
local function touch(generation, new)
  local last = {}
  for _, record in ipairs(new) do
    if not last[record.user] or record.time > last[record.user].time then
      last[record.user] = record
    end
  end
  for user, record in pairs(last) do
    redis.call('ZADD', generation_key(generation, 'last'), 'GT', record.time_text, user)
  end
end

-- Keeps live records until a loaded log holds them; a load under way is told whose journals grew.
local function write_journal(meta, new)
  local entries, heads = {}, {}
  for _, record in ipairs(new) do
    heads[record.user] = heads[record.user] or record.time_text
    entries[record.user] = entries[record.user] or {}
    table.insert(entries[record.user], record.journaled)
  end
  for user, more in pairs(entries) do
    in_chunks(more, function(low, high)
      redis.call('RPUSH', NAMESPACE .. ':j:' .. user, unpack(more, low, high))
    end)
    redis.call('ZADD', NAMESPACE .. ':journal', 'NX', heads[user], user)
    if meta.loading then
      redis.call('SADD', generation_key(meta.loading, 'dirty'), user)
    end
  end
  add_figure('journal_records', #new)
end

-- Notes from when on a journal is, after records left its front.
local function note_head(user)
  local head = redis.call('LINDEX', NAMESPACE .. ':j:' .. user, 0)
  if head then
    redis.call('ZADD', NAMESPACE .. ':journal', string.format('%.0f', read_time(head, 0)), user)
  else
    redis.call('ZREM', NAMESPACE .. ':journal', user)
  end
end

-- Lets go of some records that are too old, more than an update can add.
local function prune_journal(meta, before, limit)
  local places, dropped, newest = NAMESPACE .. ':journal', 0, nil
  local old = redis.call('ZRANGEBYSCORE', places, '-inf', string.format('(%.0f', before), 'LIMIT', 0, limit)
  for _, user in ipairs(old) do
    local journal, count = NAMESPACE .. ':j:' .. user, 0
    for _, entry in ipairs(redis.call('LRANGE', journal, 0, limit - dropped - 1)) do
      local time = read_time(entry, 0)
      if time >= before then
        break
      end
      count, newest = count + 1, math.max(newest or time, time)
    end
    redis.call('LTRIM', journal, count, -1)
    for _, generation in pairs({meta.loading or false, meta.trimming or false}) do
      if generation then
        drop_flags(generation, user, count)
      end
    end
    note_head(user)
    dropped = dropped + count
    if dropped >= limit then
      break
    end
  end
  if newest then
    add_figure('journal_records', -dropped)
    add_figure('journal_dropped', dropped)
    local from = tonumber(redis.call('HGET', NAMESPACE .. ':figures', 'journal_from_us') or '-inf')
    redis.call('HSET', NAMESPACE .. ':figures', 'journal_from_us', string.format('%.0f', math.max(from, newest + 1)))
  end
end

-- Puts events among a timeline that they do not simply follow; returns its bytes and the first of them that is kept.
local function merge(records, ids, events, keep)
  local merged, index, added = {}, 0, 1
  local size = #records / EVENT
  local stored_ids = {}
  for id in string.gmatch(ids, '([^' .. SEPARATOR .. ']*)' .. SEPARATOR) do
    stored_ids[#stored_ids + 1] = id
  end
  while index < size or added <= #events do
    local event = events[added]
    local time = index < size and read_time(records, index)
    if event and (not time or comes_before(event.time, event.id, time, stored_ids[index + 1])) then
      merged[#merged + 1] = {event.bytes, event.id, event}
      added = added + 1
    else
      merged[#merged + 1] = {string.sub(records, index * EVENT + 1, (index + 1) * EVENT), stored_ids[index + 1]}
      index = index + 1
    end
  end
  local kept_records, kept_ids, first = {}, {}, nil
  for position = math.max(1, #merged - keep + 1), #merged do
    kept_records[#kept_records + 1] = merged[position][1]
    kept_ids[#kept_ids + 1] = merged[position][2] .. SEPARATOR
    first = first or merged[position][3]
  end
  return table.concat(kept_records), table.concat(kept_ids), first
end

-- Puts events behind a timeline that they follow, and cuts what is too many from its front.
local function append(records, ids, events, keep)
  local more_records, more_ids = {records}, {ids}
  for _, event in ipairs(events) do
    more_records[#more_records + 1] = event.bytes
    more_ids[#more_ids + 1] = event.id .. SEPARATOR
  end
  records, ids = table.concat(more_records), table.concat(more_ids)
  local excess = #records / EVENT - keep
  if excess > 0 then
    local first = 1
    for _ = 1, excess do
      first = string.find(ids, SEPARATOR, first, true) + 1
    end
    records, ids = string.sub(records, excess * EVENT + 1), string.sub(ids, first)
  end
  return records, ids
end

-- One user's events, sorted by time and id.
local function put(generation, user, events, keep)
  local key = generation_key(generation, 't:' .. user)
  local held = redis.call('HMGET', key, 'r', 'i', 'lt', 'li')
  local records, ids, first = held[1] or '', held[2] or '', nil
  local size = #records / EVENT
  if size == 0 or comes_before(read_time(records, size - 1), last_id(ids), events[1].time, events[1].id) then
    records, ids = append(records, ids, events, keep)
  else
    records, ids, first = merge(records, ids, events, keep)
  end
  redis.call('HSET', key, 'r', records, 'i', ids)
  -- States are stale when an event was put in before the last encoded one ('lt' is its time, 'li' its id).
  if first and held[3] and comes_before(first.time, first.id, tonumber(held[3]), held[4]) then
    redis.call('HSET', key, 'z', '1')
  end
end

-- `order` lists the rows of events by user, time and id.
local function put_all(generation, new, order, keep)
  local by_row, user, events = {}, nil, {}
  for _, record in ipairs(new) do
    by_row[record.row] = record
  end
  local function flush()
    if #events > 0 then
      put(generation, user, events, keep)
    end
    events = {}
  end
  for _, row in ipairs(order) do
    local record = by_row[tonumber(row)]
    if record then
      if record.user ~= user then
        flush()
        user = record.user
      end
      local stop = string.find(record.entry, SEPARATOR, ENTRY + 1, true) or #record.entry + 1
      record.id, record.bytes = string.sub(record.entry, ENTRY + 1, stop - 1), string.sub(record.entry, 1, EVENT)
      events[#events + 1] = record
    end
  end
  flush()
end

local function rows_of(new)
  local rows = {}
  for index, record in ipairs(new) do
    rows[index] = record.row
  end
  return rows
end

local function newest_of(new, newest)
  for _, record in ipairs(new) do
    newest = math.max(newest, record.time)
  end
  return newest
end

-- What a batch changes in one generation, before anything is written; nil and the name of a counter that overflows.
local function plan_fold(generation, records, kept, horizon, as_of, moving)
  local held = redis.call('HMGET', generation_key(generation, 'info'), 'max_events', 'newest', 'as_of', 'covered')
  local info = {max_events = tonumber(held[1]), newest = tonumber(held[2]), covered = held[4]}
  local newest = as_of and tonumber(held[3]) or info.newest
  local new, late, spans = find_new(generation, info, records, newest, horizon, moving)
  local latest = newest_of(new, info.newest)
  local first = first_chunk(kept, latest)
  local counts, overflowing = plan_counts(generation, new, first)
  if not counts then
    return nil, overflowing
  end
  return {
    generation = generation,
    info = info,
    new = new,
    late = late,
    spans = spans,
    latest = latest,
    first = first,
    counts = counts,
  }
end

local function write_fold(plan, order)
  local generation, info = plan.generation, generation_key(plan.generation, 'info')
  plan.spans.write()
  remember(generation, plan.new)
  write_counts(generation, plan.counts, plan.first)
  touch(generation, plan.new)
  put_all(generation, plan.new, order, plan.info.max_events + 1)
  if plan.latest > plan.info.newest then
    redis.call('HSET', info, 'newest', string.format('%.0f', plan.latest))
  end
  if #plan.late > 0 then
    redis.call('HINCRBY', info, 'late', #plan.late)
  end
end
