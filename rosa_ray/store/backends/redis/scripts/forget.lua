-- Removes a user from every generation.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local user, views = take(), list()
local removed = forget_journal(meta, user)
for _, one in ipairs(read_generations()) do
  removed = removed + forget(one.name, user, views)
end
return {'ok', removed}
