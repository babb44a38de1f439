-- Gives up a generation by its number or a model by its version; refused for what is active or not there.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local name, live, held = take(), live_generations(), {}
for _, one in ipairs(read_generations()) do
  held[one.name] = one.state ~= 'dropped' and one or nil
end
local active, newest, of_model, others = live[1] and live[1].name, nil, {}, {}
for _, model in ipairs(read_models()) do
  if model.activated > 0 and held[model.generation] then
    if model.generation == active and model.version ~= '' then
      newest = newest or model.version
    end
    if model.version == name and name ~= '' then
      of_model[#of_model + 1] = model
    elseif model.version ~= '' then
      others[model.generation] = true
    end
  end
end
if #of_model == 0 and not held[name] then
  return {'unknown'}
end
if (#of_model > 0 and newest == name) or (#of_model == 0 and name == active) then
  return {'active'}
end
if #of_model == 0 then
  mark_generation(held[name])
end
for _, model in ipairs(of_model) do
  model.activated = -1
  write_model(model)
  if not others[model.generation] then
    mark_generation(held[model.generation])
  end
end
return {'ok'}
