-- Appends ticks to a stream. Prepended to scripts as listed in scripts.py.

-- ARGV from `first` to `last`: for each tick stream id, previous ms or '', interval s, emitted ms, exclusions or ''.
local function append(stream, first, last)
  for i = first, last, 5 do
    if ARGV[i + 4] == '' then
      redis.call('XADD', stream, ARGV[i], 'p', ARGV[i + 1], 'i', ARGV[i + 2], 'e', ARGV[i + 3])
    else
      redis.call('XADD', stream, ARGV[i], 'p', ARGV[i + 1], 'i', ARGV[i + 2], 'e', ARGV[i + 3], 'x', ARGV[i + 4])
    end
  end
end
