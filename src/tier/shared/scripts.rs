//! The scripts: each is one atomic step in the store, by the store's own clock.
//!
//! Each page has a hash of leases: owner → `days:until`, in milliseconds. Scripts that must succeed in a store whose memory is full declare
//! `allow-oom`.

use crate::store::Script;

/// KEYS: leases of the months of one site. ARGV: owner, milliseconds, then the days of each month. Returns the days of each month that are
/// now the owner's.
pub(super) static CLAIM: Script = Script::new(
    r"
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local out = {}
for k = 1, #KEYS do
  local want, busy, own = tonumber(ARGV[2 + k]), 0, 0
  local held = redis.call('HGETALL', KEYS[k])
  for i = 1, #held, 2 do
    local d, u = string.match(held[i + 1], '^(%d+):(%d+)$')
    if not d or tonumber(u) <= now then redis.call('HDEL', KEYS[k], held[i])
    elseif held[i] == ARGV[1] then own = tonumber(d)
    else busy = bit.bor(busy, tonumber(d)) end
  end
  local mine = bit.band(want, bit.bnot(busy))
  if mine < 0 then mine = mine + 4294967296 end
  if mine ~= 0 then
    local all = bit.bor(mine, own)
    if all < 0 then all = all + 4294967296 end
    redis.call('HSET', KEYS[k], ARGV[1], string.format('%.0f:%.0f', all, now + ARGV[2]))
    redis.call('PEXPIRE', KEYS[k], ARGV[2] * 2)
  end
  out[k] = mine
end
return out
",
);

/// As [`CLAIM`], but extends the days that the owner holds.
pub(super) static EXTEND: Script = Script::new(
    r"
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for k = 1, #KEYS do
  redis.call('HSET', KEYS[k], ARGV[1], string.format('%.0f:%.0f', ARGV[2 + k], now + ARGV[2]))
  redis.call('PEXPIRE', KEYS[k], ARGV[2] * 2)
end
",
);

/// As [`CLAIM`], but releases the days.
pub(super) static RELEASE: Script = Script::new(
    r"#!lua flags=allow-oom
for k = 1, #KEYS do
  local d, u = string.match(redis.call('HGET', KEYS[k], ARGV[1]) or '', '^(%d+):(%d+)$')
  if d then
    local rest = bit.band(tonumber(d), bit.bnot(tonumber(ARGV[2 + k])))
    if rest < 0 then rest = rest + 4294967296 end
    if rest == 0 then redis.call('HDEL', KEYS[k], ARGV[1])
    else redis.call('HSET', KEYS[k], ARGV[1], string.format('%.0f:', rest) .. u) end
  end
end
",
);

/// KEYS: page, its leases. ARGV: the revision to replace, the new page, milliseconds to keep it, owner, the days that the owner has put.
/// Returns 1, or the page that is there instead.
pub(super) static PUT: Script = Script::new(
    r"
if redis.call('GETRANGE', KEYS[1], 0, 7) ~= ARGV[1] then return redis.call('GET', KEYS[1]) or '' end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
local d, u = string.match(redis.call('HGET', KEYS[2], ARGV[4]) or '', '^(%d+):(%d+)$')
if d then
  local rest = bit.band(tonumber(d), bit.bnot(tonumber(ARGV[5])))
  if rest < 0 then rest = rest + 4294967296 end
  if rest == 0 then redis.call('HDEL', KEYS[2], ARGV[4])
  else redis.call('HSET', KEYS[2], ARGV[4], string.format('%.0f:', rest) .. u) end
end
return 1
",
);

/// KEYS: number, purges. ARGV: the least number, the purge. Returns the purge's number, which is at least the time in microseconds, so the
/// store never assigns a number again that a failover has lost.
pub(super) static PURGE: Script = Script::new(
    r"#!lua flags=allow-oom
local t = redis.call('TIME')
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
local n = math.max(last + 1, tonumber(ARGV[1]), t[1] * 1000000 + t[2])
redis.call('SET', KEYS[1], string.format('%.0f', n))
redis.call('RPUSH', KEYS[2], string.format('%.0f ', n) .. ARGV[2])
redis.call('LTRIM', KEYS[2], -256, -1)
return n
",
);

/// KEYS: number, purges. ARGV: numbers, each followed by its purge, ascending. Puts back the purges that the register has lost.
pub(super) static PUT_BACK: Script = Script::new(
    r"#!lua flags=allow-oom
for i = 1, #ARGV, 2 do
  if tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(ARGV[i]) then
    redis.call('SET', KEYS[1], ARGV[i])
    redis.call('RPUSH', KEYS[2], ARGV[i] .. ' ' .. ARGV[i + 1])
  end
end
redis.call('LTRIM', KEYS[2], -256, -1)
",
);

/// KEYS: number, purges, incarnation, replicas, revision of the learned facts, places at the vendor, throttle, beginning of the
/// incarnation. ARGV: replica, the last purge that it has made, the incarnation that it knows, an incarnation for a new register,
/// milliseconds for which a replica counts as alive after its last pulse, the last purge that it knows; then the configured places at the
/// vendor, the places that it wants, the places that it holds, milliseconds for which the vendor has throttled it. Returns the time, the
/// incarnation, the number of the last purge, the purges (unless the replica knows them all), the last purge that each other replica has
/// made, the revision, and milliseconds since the incarnation began; then the places left to this replica, and milliseconds for which the
/// vendor has throttled any replica.
///
/// Each replica gets places in proportion to what it wants, at least one, and only places that the others do not hold. Beyond an equal
/// part, it gets no more than it wants, so that others find free places at once. A replica that was not heard for 5 s, as after a crash,
/// counts as holding an equal part; after that time it limits itself to that part.
pub(super) static PULSE: Script = Script::new(
    r"#!lua flags=allow-oom
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local inc, begun = redis.call('GET', KEYS[3]), tonumber(redis.call('GET', KEYS[8]) or 'none')
if not inc or not begun or begun > now then
  inc, begun = inc or ARGV[4], now
  redis.call('SET', KEYS[3], inc)
  redis.call('SET', KEYS[8], string.format('%.0f', now))
end
redis.call('HSET', KEYS[4], ARGV[1], string.format('%.0f:', now) .. ARGV[2] .. ':' .. ARGV[3])
local uses, used = {}, redis.call('HGETALL', KEYS[6])
for i = 1, #used, 2 do uses[used[i]] = used[i + 1] end
local all, want, hold = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local wanted, held, silent = want, 0, 0
local told, live = {}, redis.call('HGETALL', KEYS[4])
for i = 1, #live, 2 do
  local at, n, of = string.match(live[i + 1], '^(%d+):(%d+):(%d+)$')
  if not at or tonumber(at) + ARGV[5] < now then redis.call('HDEL', KEYS[4], live[i])
  elseif live[i] ~= ARGV[1] then
    if of == inc then told[#told + 1] = n else told[#told + 1] = '0' end
    local w, h = string.match(uses[live[i]] or '', '^(%d+):(%d+)$')
    if tonumber(at) + 5000 < now then silent = silent + 1
    else wanted, held = wanted + (w or 0), held + (h or 0) end
    uses[live[i]] = nil
  end
end
for gone in pairs(uses) do redis.call('HDEL', KEYS[6], gone) end
local places = all
if #told > 0 and want == 0 then places = 0
elseif #told > 0 then
  local most = math.max(want, math.ceil(all / (#told + 1)))
  held = held + silent * math.max(1, math.floor(all / (#told + 1)))
  places = math.max(1, math.min(math.ceil(all * want / wanted), most, all - held))
end
redis.call('HSET', KEYS[6], ARGV[1], string.format('%.0f:%.0f', want, math.max(places, hold)))
local throttled = tonumber(redis.call('GET', KEYS[7]) or '0')
if tonumber(ARGV[10]) > 0 and now + ARGV[10] > throttled then
  throttled = now + ARGV[10]
  redis.call('SET', KEYS[7], string.format('%.0f', throttled), 'PX', ARGV[10])
end
local number = redis.call('GET', KEYS[1]) or '0'
local purges = {}
if inc ~= ARGV[3] or number ~= ARGV[6] then purges = redis.call('LRANGE', KEYS[2], 0, -1) end
return {{t[1], t[2], inc, number, purges, told, redis.call('GET', KEYS[5]) or '0', now - begun}, {places, math.max(0, throttled - now)}}
",
);

/// KEYS: the learned facts, their revision. ARGV: the revision to replace, then the names of parts, each followed by its content. Returns 1
/// and the new revision, or 0 and the one that is there instead.
pub(super) static LEARNED: Script = Script::new(
    r"
local now = redis.call('GET', KEYS[2]) or '0'
if now ~= ARGV[1] then return {0, now} end
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
return {1, redis.call('INCR', KEYS[2])}
",
);
