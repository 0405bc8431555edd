#!/usr/bin/env bash
# The schedule of timers: arms, resets and cancels per second as the feed makes them, beside BullMQ's delayed jobs and
# redis-benchmark's pipelined ZADD on the same Redis, turn by turn; memory of a timer at a million. Prints a table, writes
# build/bench/timers.json. See docs/benchmarks.md.
#
#   TIMERS_COUNT=100000  TIMERS_ROUNDS=3  TIMERS_MEMORY=1000000  TIMERS_BULLMQ_COUNT=20000
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=bench/support/common.sh
. bench/support/common.sh

count=${TIMERS_COUNT:-100000}
rounds=${TIMERS_ROUNDS:-3}
million=${TIMERS_MEMORY:-1000000}
bullmq_count=${TIMERS_BULLMQ_COUNT:-20000}

bullmq=build/bench/bullmq
if command -v node >/dev/null && command -v npm >/dev/null; then
    mkdir -p "$bullmq"
    cp bench/peers/bullmq/* "$bullmq/"
    [ -d "$bullmq/node_modules" ] ||
        npm install --prefix "$bullmq" --silent --no-audit --no-fund >&2 || echo "BullMQ cannot be installed: left out" >&2
else
    echo "BullMQ needs node and npm: left out" >&2
fi

start_redis
socket=${redis_url#unix://}

for ((round = 1; round <= rounds; round++)); do
    "$bench/timers_load" "$redis_url" "$count" 1 | sed 's/^/ours /'
    redis-cli -s "$socket" FLUSHALL >/dev/null
    redis-benchmark -s "$socket" -c 1 -P 500 -n "$count" -r 1000000000 --csv ZADD timers __rand_int__ member:__rand_int__ |
        awk -F'","|"' 'END { printf "zadd arm %.0f\n", $3 }'
    redis-cli -s "$socket" FLUSHALL >/dev/null
    if [ -d "$bullmq/node_modules" ]; then
        node "$bullmq/timers.js" "$socket" "$bullmq_count" 1 | sed 's/^/bullmq /'
        redis-cli -s "$socket" FLUSHALL >/dev/null
    fi
done >"$work/rates"
"$bench/timers_load" "$redis_url" "$million" memory >"$work/memory"

mkdir -p build/bench
sort -k1,2 -k3n "$work/rates" | awk -v json=build/bench/timers.json -v memory="$(cut -d' ' -f2 "$work/memory")" '
    { key = $1 " " $2; n[key]++; value[key, n[key]] = $3 }
    function median(key) { return n[key] ? value[key, int((n[key] + 1) / 2)] : 0 }
    function ratio(a, b) { return b ? sprintf("%.2f", a / b) : "-" }
    END {
        printf "%-8s | %10s %10s %10s | %9s %9s\n", "per s", "casework", "BullMQ", "ZADD", "/ BullMQ", "/ ZADD"
        printf "{\"bytes_a_timer\": %s", memory >json
        split("arm reset cancel", what)
        for (i = 1; i <= 3; i++) {
            ours = median("ours " what[i]); theirs = median("bullmq " what[i]); zadd = median("zadd arm")
            printf "%-8s | %10d %10d %10d | %9s %9s\n", what[i], ours, theirs, zadd, ratio(ours, theirs), ratio(ours, zadd)
            printf ", \"%s\": {\"casework\": %d, \"bullmq\": %d, \"zadd\": %d}", what[i], ours, theirs, zadd >json
        }
        print "}" >json
        printf "a timer takes %s bytes of Redis at this many: '"$million"'\n", memory
    }'
