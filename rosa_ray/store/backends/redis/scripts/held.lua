-- What a store holds and what is kept: a generation is given up with all its models.
local function mark_generation(one)
  one.state = 'dropped'
  write_generation(one)
  for _, model in ipairs(read_models()) do
    if model.generation == one.name then
      model.activated = -1
      write_model(model)
    end
  end
end

-- Gives up what no kept model reads: of each model the newest activation counts, and of models the newest.
local function mark_surplus(kept_versions)
  local live, counted, seen, kept, read, count = {}, {}, {}, {}, {}, 0
  for _, one in ipairs(live_generations()) do
    live[one.name] = one
  end
  for _, model in ipairs(read_models()) do
    local one = live[model.generation]
    if one and model.activated > 0 then
      -- What was never loaded has no model. It is read only where nothing else is counted alike.
      local read_alone = model.version ~= '' or not counted[one.counting]
      if read_alone and not seen[model.version] then
        seen[model.version], count = true, count + 1
        if count <= 1 + kept_versions then
          kept[model.number], read[one.name] = true, true
        end
      end
      counted[one.counting] = true
    end
  end
  for _, model in ipairs(read_models()) do
    if live[model.generation] and model.activated > 0 and not kept[model.number] then
      model.activated = -1
      write_model(model)
    end
  end
  for _, one in pairs(live) do
    if not read[one.name] then
      mark_generation(one)
    end
  end
end

-- A generation in a state, ready to be loaded or live.
local function stamp_generation(counting, state, activated, fields)
  local name = string.format('%d', redis.call('HINCRBY', NAMESPACE .. ':meta', 'next', 1))
  write_generation({name = name, state = state, activated = activated, counting = counting})
  redis.call('HSET', generation_key(name, 'info'), 'late', '0', 'untold', '0', 'replayed', '0', unpack(fields))
  return name
end

local function add_model(generation, version, activated)
  local number_of_model = string.format('%d', redis.call('HINCRBY', NAMESPACE .. ':meta', 'next_model', 1))
  write_model({number = number_of_model, generation = generation, activated = activated, version = version})
  return number_of_model
end
