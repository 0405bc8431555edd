#include "sla/timer_scripts.h"

#include <pthread.h>

/*
 * Scores are whole microseconds, which doubles hold exactly up to 2^53, the year 2255. Lua would print them
 * with 14 digits, so numbers that go back into Redis are formatted by hand or handed in as text.
 */
#define WHOLE "local function whole(n) return string.format('%.0f', n) end\n"

/*
 * A slot's value is `code version`, and `code version @ due` while the timer is claimed. Versions are written
 * without zeros in front, so that the longer one is the newer one.
 */
#define SPLIT                                                          \
    "local function split(held)\n"                                     \
    "  if not held then return nil, nil end\n"                         \
    "  local at = string.find(held, '@', 1, true)\n"                   \
    "  if not at then return held, '' end\n"                           \
    "  return string.sub(held, 1, at - 1), string.sub(held, at + 1)\n" \
    "end\n"                                                            \
    "local function newer(a, b)\n"                                     \
    "  return string.byte(a) == string.byte(b)\n"                      \
    "    and (#a > #b or (#a == #b and a > b))\n"                      \
    "end\n"

/*
 * Makes `value` the slot's one timer, or none with ''. An older version never replaces a newer one of its
 * rule. What this adds to the sorted set and takes from it is done by `flush`, together: a call from Lua
 * costs more than what it does.
 */
#define SET                                                                                  \
    SPLIT "local added, dropped = {}, {}\n"                                                  \
          "local function add(member, due) added[member] = due; dropped[member] = nil end\n" \
          "local function drop(member) dropped[member] = true; added[member] = nil end\n"    \
          "local function set(bucket, shard, base, field, value, due)\n"                     \
          "  local held = redis.call('HGET', shard, field)\n"                                \
          "  if value == '' then\n"                                                          \
          "    if held then\n"                                                               \
          "      drop(base .. split(held))\n"                                                \
          "      redis.call('HDEL', shard, field)\n"                                         \
          "    end\n"                                                                        \
          "    return\n"                                                                     \
          "  end\n"                                                                          \
          "  if held and held ~= value then\n"                                               \
          "    local old, since = split(held)\n"                                             \
          "    if old ~= value then\n"                                                       \
          "      if newer(old, value) then return end\n"                                     \
          "      drop(base .. old)\n"                                                        \
          "    elseif since == due then\n"                                                   \
          "      return\n"                                                                   \
          "    end\n"                                                                        \
          "  end\n"                                                                          \
          "  add(base .. value, due)\n"                                                      \
          "  if held ~= value then redis.call('HSET', shard, field, value) end\n"            \
          "end\n"                                                                            \
          "local function flush(bucket)\n"                                                   \
          "  local list = {}\n"                                                              \
          "  for member in pairs(dropped) do list[#list + 1] = member end\n"                 \
          "  if #list > 0 then redis.call('ZREM', bucket, unpack(list)) end\n"               \
          "  list = {}\n"                                                                    \
          "  for member, due in pairs(added) do\n"                                           \
          "    list[#list + 1] = due\n"                                                      \
          "    list[#list + 1] = member\n"                                                   \
          "  end\n"                                                                          \
          "  if #list > 0 then redis.call('ZADD', bucket, unpack(list)) end\n"               \
          "end\n"

/* True if somebody has armed under a newer policy of the account. */
#define OUTDATED                                                            \
    "local function outdated(bucket, account, version)\n"                   \
    "  local fence = redis.call('ZSCORE', bucket, '!policy/' .. account)\n" \
    "  return fence and -tonumber(fence) > tonumber(version)\n"             \
    "end\n"

static const char status_source[] =
    "local epoch = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '-inf', 'LIMIT', 0, 1)[1]\n"
    "local position = redis.call('ZSCORE', KEYS[1], '!position')\n"
    "if not epoch or not position then return {'', ''} end\n"
    "return {string.format('%.0f', -tonumber(position) - 1), string.sub(epoch, 8)}\n";

/*
 * KEYS: bucket, then the shard of each change. ARGV: position the caller believes to be at, position after
 * (the same again: more of one event's changes follow),
 * its score, number of policies, {account, version} of each; for each change {position, base, field, value,
 * due}.
 */
static const char apply_source[] =
    SET OUTDATED "local bucket = KEYS[1]\n"
                 "local stored = redis.call('ZSCORE', bucket, '!position')\n"
                 "if not stored then return 'LOST' end\n"
                 "stored = -tonumber(stored) - 1\n"
                 "if stored < tonumber(ARGV[1]) then return 'BEHIND' end\n"
                 "local from, to = tonumber(ARGV[1]), tonumber(ARGV[2])\n"
                 "if stored >= to and (stored > from or to > from) then return 'APPLIED' end\n"
                 "local at = 5\n"
                 "for _ = 1, tonumber(ARGV[4]) do\n"
                 "  if outdated(bucket, ARGV[at], ARGV[at + 1]) then return 'POLICY' end\n"
                 "  at = at + 2\n"
                 "end\n"
                 "for i = 2, #KEYS do\n"
                 "  if tonumber(ARGV[at]) > stored then\n"
                 "    if ARGV[at + 2] == '' then\n"
                 "      redis.call('ZREM', bucket, '!policy/' .. ARGV[at + 1])\n"
                 "    else\n"
                 "      set(bucket, KEYS[i], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4])\n"
                 "    end\n"
                 "  end\n"
                 "  at = at + 5\n"
                 "end\n"
                 "added['!position'] = ARGV[3]\n"
                 "flush(bucket)\n"
                 "return 'APPLIED'\n";

/*
 * KEYS: bucket. ARGV: now (0: Redis' own time), lease, limit, the shards' prefix. Answers {position or '',
 * now, next deadline or '', then account, case, value, due of each claimed timer, and of one of targets the
 * policy's version that the bucket knows}. Without a lease nothing is
 * changed: whoever claims so keeps out of his own way.
 */
static const char claim_source[] = WHOLE SPLIT
    "local bucket = KEYS[1]\n"
    "local now = tonumber(ARGV[1])\n"
    "if now == 0 then\n"
    "  local time = redis.call('TIME')\n"
    "  now = tonumber(time[1]) * 1000000 + tonumber(time[2])\n"
    "end\n"
    "local lease = tonumber(ARGV[2])\n"
    "local position = redis.call('ZSCORE', bucket, '!position')\n"
    "local answer = {position and whole(-tonumber(position) - 1) or '', whole(now), ''}\n"
    "local due = redis.call('ZRANGEBYSCORE', bucket, 0, whole(now), 'WITHSCORES', 'LIMIT', 0, ARGV[3])\n"
    "for i = 1, #due, 2 do\n"
    "  local account, case, value = string.match(due[i], '^([^/!]+)/(%d+)/(%a%d+)$')\n"
    "  local shard = ARGV[4] .. account .. ':' .. whole(math.floor(tonumber(case) / 32))\n"
    "  local field = tonumber(case) % 32 .. (string.sub(value, 1, 1) == 't' and 't' or 'c')\n"
    "  local held = redis.call('HGET', shard, field)\n"
    "  local current, since = split(held)\n"
    "  if current and current ~= value then\n"
    "    redis.call('ZREM', bucket, due[i])\n"
    "  else\n"
    "    local deadline = (since and since ~= '') and since or whole(tonumber(due[i + 1]))\n"
    "    if lease > 0 then\n"
    "      redis.call('ZADD', bucket, whole(now + lease), due[i])\n"
    "      redis.call('HSET', shard, field, value .. '@' .. deadline)\n"
    "    end\n"
    "    answer[#answer + 1] = account\n"
    "    answer[#answer + 1] = case\n"
    "    answer[#answer + 1] = value\n"
    "    answer[#answer + 1] = deadline\n"
    "    local fence = string.sub(value, 1, 1) == 't'\n"
    "      and redis.call('ZSCORE', bucket, '!policy/' .. account)\n"
    "    answer[#answer + 1] = fence and whole(-tonumber(fence)) or '0'\n"
    "  end\n"
    "end\n"
    "local after = redis.call('ZRANGEBYSCORE', bucket, 0, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)\n"
    "if after[2] then answer[3] = whole(tonumber(after[2])) end\n"
    "return answer\n";

/*
 * KEYS: bucket, shard. ARGV: base, field, value, and when to try again ('': never, the timer is done with).
 * Whatever has been armed in the meantime stays.
 */
static const char settle_source[] =
    SPLIT "local held = redis.call('HGET', KEYS[2], ARGV[2])\n"
          "local current = split(held)\n"
          "if ARGV[4] == '' then\n"
          "  redis.call('ZREM', KEYS[1], ARGV[1] .. ARGV[3])\n"
          "  if current == ARGV[3] then redis.call('HDEL', KEYS[2], ARGV[2]) end\n"
          "elseif current == ARGV[3] and held ~= current then\n"
          "  redis.call('ZADD', KEYS[1], 'XX', ARGV[4], ARGV[1] .. ARGV[3])\n"
          "end\n"
          "return 'DONE'\n";

/*
 * KEYS: bucket, then the shard of each timer. ARGV: account, policy version, position up to which the timers
 * are known to be so; for each {base, field, value, due}; due '' takes that very timer away. What is not
 * known to the bucket is only armed if nothing has happened since it was read: it may be gone. Answers
 * {outcome, moved, added, refused}.
 */
static const char rearm_source[] =
    SET OUTDATED "local bucket = KEYS[1]\n"
                 "local stored = redis.call('ZSCORE', bucket, '!position')\n"
                 "if not stored then return {'LOST', 0, 0, 0} end\n"
                 "if outdated(bucket, ARGV[1], ARGV[2]) then return {'POLICY', 0, 0, 0} end\n"
                 "local unmoved = -tonumber(stored) - 1 <= tonumber(ARGV[3])\n"
                 "local moved, fresh, refused = 0, 0, 0\n"
                 "local at = 4\n"
                 "for i = 2, #KEYS do\n"
                 "  local base, field, value, due = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]\n"
                 "  local current = split(redis.call('HGET', KEYS[i], field))\n"
                 "  if due == '' then\n"
                 "    redis.call('ZREM', bucket, base .. value)\n"
                 "    if current == value then redis.call('HDEL', KEYS[i], field) end\n"
                 "  elseif current == value or unmoved then\n"
                 "    if not current then\n"
                 "      fresh = fresh + 1\n"
                 "    elseif current ~= value or redis.call('ZSCORE', bucket, base .. value) ~= due then\n"
                 "      moved = moved + 1\n"
                 "    end\n"
                 "    set(bucket, KEYS[i], base, field, value, due)\n"
                 "  elseif not (current and newer(current, value)) then\n"
                 "    refused = refused + 1\n"
                 "  end\n"
                 "  at = at + 4\n"
                 "end\n"
                 "flush(bucket)\n"
                 "return {'APPLIED', moved, fresh, refused}\n";

/* KEYS: bucket. ARGV: account, version. */
static const char fence_source[] =
    OUTDATED "if not redis.call('ZSCORE', KEYS[1], '!position') then return 'LOST' end\n"
             "if outdated(KEYS[1], ARGV[1], ARGV[2]) then return 'POLICY' end\n"
             "redis.call('ZADD', KEYS[1], '-' .. ARGV[2], '!policy/' .. ARGV[1])\n"
             "return 'APPLIED'\n";

/* KEYS: bucket, lock. ARGV: token, milliseconds of the lock. Empties the bucket. */
static const char begin_source[] = "local holder = redis.call('GET', KEYS[2])\n"
                                   "if holder and holder ~= ARGV[1] then return 'BUSY' end\n"
                                   "redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])\n"
                                   "redis.call('UNLINK', KEYS[1])\n"
                                   "redis.call('ZADD', KEYS[1], -1, '!rebuild/' .. ARGV[1])\n"
                                   "return 'APPLIED'\n";

/* KEYS: bucket, lock, then the shard of each timer. ARGV: token, milliseconds; for each {base, field, value,
 * due}. */
static const char insert_source[] =
    SET "if not redis.call('ZSCORE', KEYS[1], '!rebuild/' .. ARGV[1]) then return 'LOST' end\n"
        "redis.call('PEXPIRE', KEYS[2], ARGV[2])\n"
        "local at = 3\n"
        "for i = 3, #KEYS do\n"
        "  set(KEYS[1], KEYS[i], ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])\n"
        "  at = at + 4\n"
        "end\n"
        "flush(KEYS[1])\n"
        "return 'APPLIED'\n";

/* KEYS: bucket, lock. ARGV: token, epoch, the position's score; then {account, version} of each policy. */
static const char finish_source[] =
    "if redis.call('ZREM', KEYS[1], '!rebuild/' .. ARGV[1]) == 0 then return 'LOST' end\n"
    "redis.call('ZADD', KEYS[1], ARGV[3], '!position', '-inf', '!epoch/' .. ARGV[2])\n"
    "for at = 4, #ARGV, 2 do\n"
    "  redis.call('ZADD', KEYS[1], '-' .. ARGV[at + 1], '!policy/' .. ARGV[at])\n"
    "end\n"
    "if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end\n"
    "return 'APPLIED'\n";

static struct timer_scripts scripts = {
    .status = {.source = status_source},
    .apply = {.source = apply_source},
    .claim = {.source = claim_source},
    .settle = {.source = settle_source},
    .rearm = {.source = rearm_source},
    .fence = {.source = fence_source},
    .begin = {.source = begin_source},
    .insert = {.source = insert_source},
    .finish = {.source = finish_source},
};
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_all(void)
{
    redis_script_init(&scripts.status);
    redis_script_init(&scripts.apply);
    redis_script_init(&scripts.claim);
    redis_script_init(&scripts.settle);
    redis_script_init(&scripts.rearm);
    redis_script_init(&scripts.fence);
    redis_script_init(&scripts.begin);
    redis_script_init(&scripts.insert);
    redis_script_init(&scripts.finish);
}

const struct timer_scripts *timer_scripts_get(void)
{
    pthread_once(&once, init_all);
    return &scripts;
}
