-- What a batch adds to counters: planned first, so that nothing is written where a sum overflows.
-- A counter is a hash: `t` holds the sums of all time, int64 each, and a number the rows of that chunk of buckets, see
-- `rosa_ray.store.packing.pack_counters`. Doubles hold 53 bits, so a sum is two halves: low, unsigned, and high, signed.
local HALF, WIDTHS, LIMITS = 4294967296, {[0] = 1, 2, 4, 8}, {[0] = 128, 32768, 2147483648}

local FORMATS = {[0] = {}, {}, {}, {}}

local function format_of(code, numbers)
  local format = FORMATS[code][numbers]
  if not format then
    format = '<' .. string.rep(code == 3 and 'I4i4' or 'i' .. WIDTHS[code], numbers)
    FORMATS[code][numbers] = format
  end
  return format
end

-- Numbers from packed bytes as halves: low, high, low, high.
local function unpack_numbers(packed, position, code, numbers)
  local values = {struct.unpack(format_of(code, numbers), packed, position)}
  values[#values] = nil
  if code == 3 then
    return values
  end
  local halves = {}
  for index = 1, numbers do
    local value = values[index]
    if value >= 0 then
      halves[2 * index - 1], halves[2 * index] = value, 0
    else
      halves[2 * index - 1], halves[2 * index] = value + HALF, -1
    end
  end
  return halves
end

local function pack_numbers(halves, code)
  local values = halves
  if code < 3 then
    values = {}
    for index = 1, #halves / 2 do
      values[index] = halves[2 * index] * HALF + halves[2 * index - 1]
    end
  end
  return struct.pack(format_of(code, #values / (code == 3 and 2 or 1)), unpack(values))
end

-- Sums with amounts added, nil where one leaves 64 bits.
local function add_numbers(sums, amounts)
  local added = {}
  for index = 1, #sums, 2 do
    local low, high = sums[index] + amounts[index], sums[index + 1] + amounts[index + 1]
    if low >= HALF then
      low, high = low - HALF, high + 1
    end
    if high < -2147483648 or high > 2147483647 then
      return nil
    end
    added[index], added[index + 1] = low, high
  end
  return added
end

-- Code of the narrowest width that holds all numbers.
local function code_of(halves, code)
  for index = 1, #halves, 2 do
    local low, high, limit = halves[index], halves[index + 1], LIMITS[code]
    while limit and not ((high == 0 and low < limit) or (high == -1 and low >= HALF - limit)) do
      code = code + 1
      limit = LIMITS[code]
    end
  end
  return code
end

local function widen(rows, old, new, numbers)
  local parts = {}
  for position = 1, #rows, WIDTHS[old] * numbers do
    parts[#parts + 1] = pack_numbers(unpack_numbers(rows, position, old, numbers), new)
  end
  return table.concat(parts)
end

-- A chunk with amounts added to one of its rows, nil on overflow. What comes live is mostly for its last row.
local function add_row(packed, row, amounts)
  local numbers, code = #amounts / 2 + 1, string.byte(packed, 1)
  local size = WIDTHS[code] * numbers
  local position = #packed - size + 1
  while position > 1 and string.byte(packed, position) > row do
    position = position - size
  end
  local sums, first, after = amounts, position + size, position + size
  if position > 1 and string.byte(packed, position) == row then
    sums, first = unpack_numbers(packed, position + WIDTHS[code], code, numbers - 1), position
    sums = add_numbers(sums, amounts)
    if not sums then
      return nil
    end
  end
  local before, rest, need = string.sub(packed, 2, first - 1), string.sub(packed, after), code_of(sums, code)
  if need > code then
    before, rest = widen(before, code, need, numbers), widen(rest, code, need, numbers)
  end
  return string.char(need) .. before .. pack_numbers({row, 0, unpack(sums)}, need) .. rest
end

-- Adds amounts under a key; those that stand alone there are taken as they are. False on overflow.
local function add_amounts(held, key, amounts)
  local sums = held[key]
  held[key] = sums and add_numbers(sums, amounts) or (not sums and amounts)
  return held[key]
end

-- What the new records add: by counter the total, and by chunk and row; or nil and the name of one that overflows.
local function collect(new)
  local counters = {}
  for _, record in ipairs(new) do
    local counts, position = record.counts, 1
    while position <= #counts do
      local length, chunk, row, measures, start = struct.unpack('<I2i4BB', counts, position)
      local name, owner = string.sub(counts, start, start + length - 1), nil
      local amounts = unpack_numbers(counts, start + length, 3, measures)
      position = start + length + 8 * measures
      -- What belongs to a user, whom its key does not tell, is noted, so that it can be removed with the user.
      if string.byte(name, 1) == 43 then
        name, owner = string.sub(name, 2), record.user
      end
      local counter = counters[name]
      if not counter then
        counter = {owner = owner, chunks = {}}
        counters[name] = counter
      end
      local rows = counter.chunks[chunk]
      if not rows then
        rows = {}
        counter.chunks[chunk] = rows
      end
      if not (add_amounts(counter, 'sums', amounts) and add_amounts(rows, row, amounts)) then
        return nil, name
      end
    end
  end
  return counters
end

-- What is to be written of one counter, and whether it begins a chunk beside others; nil on overflow.
local function plan_counter(key, counter, first)
  local fields = {'t'}
  for chunk in pairs(counter.chunks) do
    if chunk >= first then
      fields[#fields + 1] = chunk
    end
  end
  local held, total, grown = redis.call('HMGET', key, unpack(fields)), counter.sums, false
  if held[1] then
    total = add_numbers(unpack_numbers(held[1], 1, 3, #total / 2), total)
  end
  if not total then
    return nil
  end
  local writes = {'t', pack_numbers(total, 3)}
  for index = 2, #fields do
    local packed = held[index]
    grown = grown or (held[1] and not packed)
    packed = packed or '\0'
    for row, amounts in pairs(counter.chunks[fields[index]]) do
      packed = add_row(packed, row, amounts)
      if not packed then
        return nil
      end
    end
    writes[2 * index - 1], writes[2 * index] = fields[index], packed
  end
  return writes, grown
end

-- What is to be written, or nil and the name of a counter that would overflow.
local function plan_counts(generation, new, first)
  local counters, overflowing = collect(new)
  if not counters then
    return nil, overflowing
  end
  local plan = {}
  for name, counter in pairs(counters) do
    local key = generation_key(generation, 'c:' .. name)
    local writes, grown = plan_counter(key, counter, first)
    if not writes then
      return nil, name
    end
    plan[#plan + 1] = {key = key, name = name, owner = counter.owner, writes = writes, grown = grown}
    for chunk in pairs(counter.chunks) do
      plan.last = math.max(plan.last or chunk, chunk)
    end
  end
  return plan
end

-- Chunks before the first that is kept: the total holds what was in them.
local function drop_chunks(key, first)
  local old = {}
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if field ~= 't' and tonumber(field) < first then
      old[#old + 1] = field
    end
  end
  in_chunks(old, function(low, high)
    redis.call('HDEL', key, unpack(old, low, high))
  end)
end

local function write_counts(generation, plan, first)
  for _, counter in ipairs(plan) do
    redis.call('HSET', counter.key, unpack(counter.writes))
    if counter.owner then
      redis.call('SADD', generation_key(generation, 'o:' .. counter.owner), counter.name)
    end
    if counter.grown then
      drop_chunks(counter.key, first)
    end
  end
  local info = generation_key(generation, 'info')
  if plan.last and plan.last > tonumber(redis.call('HGET', info, 'last_chunk') or '-inf') then
    redis.call('HSET', info, 'last_chunk', string.format('%d', plan.last))
  end
end
