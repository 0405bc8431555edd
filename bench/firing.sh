#!/usr/bin/env bash
# How late cases are closed when their time is over at a steady rate, and how long it takes until all are durably closed that
# are due within one second; beside it what PostgreSQL can close by one prepared function, and BullMQ's delayed jobs. Prints a
# table, writes build/bench/firing.json. See docs/benchmarks.md.
#
#   FIRING_RATE=1000  FIRING_STEADY=15000  FIRING_BURST=100000  FIRING_BULLMQ=20000
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=bench/support/common.sh
. bench/support/common.sh

rate=${FIRING_RATE:-1000}
steady=${FIRING_STEADY:-15000}
burst=${FIRING_BURST:-100000}
bullmq_count=${FIRING_BULLMQ:-20000}
accounts=24
first=25
pause=5

start_pg shared_buffers=1GB max_wal_size=8GB checkpoint_timeout=30min max_connections=200
start_redis
make_key

prepare() { # prepare NAME
    create_database "$1" case
    sql "$(in_database "$1")" -c 'CREATE TABLE bench_accounts (ord int PRIMARY KEY, account text COLLATE "C", partition smallint)'
    "$bench/write_load" accounts "$accounts" | sql "$(in_database "$1")" -c '\copy bench_accounts FROM STDIN'
    sql -v steady="$steady" -v burst="$burst" -v rate="$rate" -v first="$first" -v pause="$pause" \
        "$(in_database "$1")" -f bench/firing_prepare.sql
}

# --- the limit ---

prepare peer
sql "$(in_database peer)" -f bench/firing_peer.sql
"$programs/pgbench" -n -M prepared -c 32 -j 2 -t $((burst / 32)) -f bench/firing_peer.pgbench "$(in_database peer)" >"$work/peer"
limit=$(sed -n 's/^tps = \([0-9]*\).*/\1/p' "$work/peer")

# --- ours ---

create_database bench_sla sla
prepare bench_case
start_service case AUTH_KEY_DIRECTORY="$work/keys" REDIS_URL="$redis_url" DATABASE_URL="$(in_database bench_case)"
export CASE_TARGET=127.0.0.1:$port
start_service sla AUTH_KEY_DIRECTORY="$work/keys" REDIS_URL="$redis_url" DATABASE_URL="$(in_database bench_sla)"
open_cases() { sql -At "$(in_database bench_case)" -c 'SELECT count(*) FROM cases WHERE status = 4'; }
all_closed() { [ "$(open_cases)" = 0 ]; }
sleep $((first + steady / rate + pause))
wait_for 100 all_closed
late="extract(epoch FROM close_time - change_time - interval '72 hours')"
sql -At -F ' ' "$(in_database bench_case)" -c "
    SELECT round(1000 * percentile_disc(0.5) WITHIN GROUP (ORDER BY $late), 2),
           round(1000 * percentile_disc(0.99) WITHIN GROUP (ORDER BY $late), 2),
           round(1000 * max($late), 2), round(1000 * min($late), 3)
    FROM cases WHERE id <= $steady" >"$work/steady"
sql -At -F ' ' "$(in_database bench_case)" -c "
    SELECT round(count(*) / extract(epoch FROM max(close_time) - min(change_time) - interval '72 hours')),
           round(1000 * percentile_disc(0.99) WITHIN GROUP (ORDER BY $late), 1)
    FROM cases WHERE id > $steady" >"$work/burst"
read -r p50 p99 most least <"$work/steady"
read -r closed burst_p99 <"$work/burst"

# --- BullMQ, which closes nothing ---

bullmq=build/bench/bullmq
fired=0 late_p99=0
if [ -d "$bullmq/node_modules" ]; then
    node "$bullmq/timers.js" "${redis_url#unix://}" "$bullmq_count" fire >"$work/bullmq"
    fired=$(sed -n 's/^fired //p' "$work/bullmq")
    late_p99=$(sed -n 's/^late-p99 //p' "$work/bullmq")
else
    echo "BullMQ is not there (make bench-timers installs it): left out" >&2
fi

printf '%d due/s: late p50 %s ms, p99 %s ms, most %s ms, least %s ms\n' "$rate" "$p50" "$p99" "$most" "$least"
printf '%d due in one second: %d closed/s, p99 %s ms; limit of PostgreSQL %d/s, ratio %s\n' "$burst" "$closed" "$burst_p99" \
    "$limit" "$(awk "BEGIN { printf \"%.2f\", $closed / $limit }")"
printf 'BullMQ, %d due in one second, nothing to be done: %d/s, p99 %s ms\n' "$bullmq_count" "$fired" "$late_p99"
mkdir -p build/bench
printf '{"rate": %d, "late_ms": {"p50": %s, "p99": %s, "max": %s, "min": %s}, "burst": %d, "closed_per_second": %d, "pgbench_per_second": %d, "bullmq": {"per_second": %d, "late_p99_ms": %s}}\n' \
    "$rate" "$p50" "$p99" "$most" "$least" "$burst" "$closed" "$limit" "$fired" "$late_p99" >build/bench/firing.json
