-- Removes a user from both generations.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local user, views, removed = take(), list(), 0
for _, generation in ipairs({meta.active, meta.loading or nil}) do
  removed = removed + forget(generation, user, views, meta)
end
return {'ok', removed}
