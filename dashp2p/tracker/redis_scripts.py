"""What Redis does in one step, in its own language, and the keys that it keeps.

Keys of a swarm begin with dashp2p:SWARM: and go when nobody was heard of for `SHARED_TTL_S`:

    seen       sorted set: peer -> when it was last heard of (ms)
    peers      hash: peer -> what its tracker wrote of it
    segments   hash: position -> version (8 bytes) and leases
    led        hash: peer -> version and its live leases
    paths      hash: path -> position
    touched    sorted set: position -> when it was last written (ms); who is first goes first
    counts     hash: what happened to leases -> how often

dashp2p:swarms is a sorted set of swarms by when somebody was last heard of, dashp2p:clock the
latest time given out (leases do not last longer when a clock is set back), and dashp2p:generation
is random: another one means that Redis was emptied.
"""

from __future__ import annotations

GENERATION = "dashp2p:generation"

CLOCK = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last = tonumber(redis.call('GET', 'dashp2p:clock') or '0')
if now > last then
  redis.call('SET', 'dashp2p:clock', string.format('%.0f', now))
else
  now = last
end
"""

LOAD = (
    CLOCK
    + """
local swarm, peer, since, most, fresh = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local others = redis.call('ZCARD', 'dashp2p:swarms')
if redis.call('ZSCORE', 'dashp2p:swarms', ARGV[5]) then
  others = others - 1
end
redis.call('SETNX', 'dashp2p:generation', fresh)
local seen = redis.call(
  'ZRANGEBYSCORE', swarm .. 'seen', since, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
local answer = {
  redis.call('GET', 'dashp2p:generation'), string.format('%.0f', now), #seen / 2,
  redis.call('HGET', swarm .. 'led', peer) or '', others
}
for at = 1, #seen, 2 do
  table.insert(answer, seen[at])
  table.insert(answer, seen[at + 1])
  table.insert(answer, redis.call('HGET', swarm .. 'peers', seen[at]) or '')
end
for at = 6, #ARGV do
  table.insert(answer, redis.call('HGET', swarm .. 'segments', ARGV[at]) or '')
end
return answer
"""
)
"""KEYS: prefix of the swarm's keys. ARGV: peer, since (ms), how many at most, a fresh generation,
the swarm, positions. Answers: generation, now (ms), number of those seen, led, number of other
swarms; peer, when and record of each; each segment."""

SAVE = (
    CLOCK
    + """
local swarm, generation, peer, record = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local name, ttl, segments, peers, swarms = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
if redis.call('GET', 'dashp2p:generation') ~= generation then
  return 0
end
for at = 9, #ARGV, 5 do
  if ARGV[at] ~= 'counts' then
    local before = redis.call('HGET', swarm .. ARGV[at], ARGV[at + 1]) or ''
    if string.sub(before, 1, 8) ~= ARGV[at + 2] then
      return 0
    end
  end
end
now = string.format('%.0f', now)
for at = 9, #ARGV, 5 do
  local key, field, data, path = swarm .. ARGV[at], ARGV[at + 1], ARGV[at + 3], ARGV[at + 4]
  if ARGV[at] == 'counts' then
    redis.call('HINCRBY', key, field, data)
  elseif data == '' then
    redis.call('HDEL', key, field)
  else
    redis.call('HSET', key, field, data)
  end
  if ARGV[at] == 'segments' then
    redis.call('ZADD', swarm .. 'touched', now, field)
  end
  if path ~= '' and redis.call('HLEN', swarm .. 'paths') < tonumber(segments) then
    redis.call('HSETNX', swarm .. 'paths', path, field)
  end
end
local over = redis.call('ZCARD', swarm .. 'touched') - segments
if over > 0 then
  for _, position in ipairs(redis.call('ZRANGE', swarm .. 'touched', 0, over - 1)) do
    redis.call('HDEL', swarm .. 'segments', position)
    redis.call('ZREM', swarm .. 'touched', position)
  end
end
if record ~= '' then
  redis.call('HSET', swarm .. 'peers', peer, record)
  redis.call('ZADD', swarm .. 'seen', now, peer)
end
local function forget(gone)
  for at = 1, #gone do
    redis.call('ZREM', swarm .. 'seen', gone[at])
    redis.call('HDEL', swarm .. 'peers', gone[at])
    redis.call('HDEL', swarm .. 'led', gone[at])
  end
end
local late = string.format('%.0f', now - ttl * 1000)
forget(redis.call('ZRANGEBYSCORE', swarm .. 'seen', '-inf', late, 'LIMIT', 0, 64))
local crowd = redis.call('ZCARD', swarm .. 'seen') - peers
if crowd > 0 then
  forget(redis.call('ZRANGE', swarm .. 'seen', 0, math.min(crowd, 64) - 1))
end
redis.call('ZADD', 'dashp2p:swarms', now, name)
redis.call('ZREMRANGEBYSCORE', 'dashp2p:swarms', '-inf', late)
redis.call('ZREMRANGEBYRANK', 'dashp2p:swarms', 0, -1 - swarms)
for _, part in ipairs({'seen', 'peers', 'segments', 'led', 'paths', 'touched', 'counts'}) do
  redis.call('EXPIRE', swarm .. part, ttl)
end
return 1
"""
)
"""KEYS: prefix of the swarm's keys. ARGV: generation, peer, record or nothing, the swarm, TTL (s),
most segments, most peers, most swarms; then for each change: hash, field, version that it must
have, what to write or nothing, path or nothing. Answers 1 when it was written."""
