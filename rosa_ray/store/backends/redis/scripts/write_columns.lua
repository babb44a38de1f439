-- Live changes of some things in one generation, each written where it is still what it was when it was read; returns
-- those that were not.
local meta, refusal = open(take())
if not meta then
  return refusal
end
local generation, prefix, failed, is_live = take(), take(), {}, false
for _, one in ipairs(live_generations()) do
  is_live = is_live or one.name == generation
end
for _ = 1, is_live and number() or 0 do
  local key, old, new, heard, since = take(), take(), take(), take(), take()
  if not put_columns(generation, prefix, key, old, new, heard, since) then
    failed[#failed + 1] = key
  end
end
return {'ok', failed}
