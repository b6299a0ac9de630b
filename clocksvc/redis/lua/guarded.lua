-- Reads one of several clocks. Prepended to scripts as listed in scripts.py.

-- Returns the result of `read`. If a key has another type, because another program has written it, returns the error's
-- text, so that the other clocks can still be read. Other errors are raised.
local function guarded(read, ...)
  local done, result = pcall(read, ...)
  if done then
    return result
  end
  local wrong_type = string.match(type(result) == 'table' and result.err or result, 'WRONGTYPE.*')
  if not wrong_type then
    error(result)
  end
  return wrong_type
end
