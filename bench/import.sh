#!/usr/bin/env bash
# Conversations streamed in by `casework import`, against COPY of the same rows into the same tables with the same indexes, on
# the same PostgreSQL, taking turns, each into an empty database. Prints medians and the ratio, writes build/bench/import.json.
# See docs/benchmarks.md.
#
#   IMPORT_DATA=FILE        conversations, JSON lines; sent IMPORT_COPIES times under other external ids
#   IMPORT_COPIES=20  IMPORT_ROUNDS=3
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${CASEWORK_BIN:-build/bin}
bench=${BENCH_BIN:-build/bench/bin}
data=${IMPORT_DATA:-${CASEWORK_TEST_DATA:-samples/conversations.jsonl}}
copies=${IMPORT_COPIES:-20}
rounds=${IMPORT_ROUNDS:-3}
[ -r "$data" ] || { echo "import: no conversations: set IMPORT_DATA" >&2; exit 1; }

work=$(mktemp -d /tmp/casework-bench-XXXXXX)
pids=()
end() {
    local pid
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap end EXIT

wait_for() { # wait_for SECONDS COMMAND…: until it succeeds
    local left=$(($1 * 10))
    shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || { echo "import: gave up waiting for: $*" >&2; return 1; }
        sleep 0.1
    done
}

"$bench/private_pg" shared_buffers=2GB max_wal_size=8GB checkpoint_timeout=30min >"$work/url" &
pids+=($!)
wait_for 30 test -s "$work/url"
url=$(cat "$work/url")
programs=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
in_database() { echo "${url/\/postgres?//$1?}"; }
sql() { "$programs/psql" -X -q -v ON_ERROR_STOP=1 "$@"; }

for ((copy = 1; copy <= copies; copy++)); do
    sed "s/\"external_id\": *\"/&$copy-/" "$data"
done >"$work/conversations.jsonl"
"$bench/write_load" keys "$work/keys"
token=$("$bin/casework" token --account '*' --role service --keys "$work/keys")

fresh() { # fresh NAME: an empty database of the case service
    sql "$url" -c "DROP DATABASE IF EXISTS $1" -c "CREATE DATABASE $1" 2>/dev/null
    DATABASE_URL=$(in_database "$1") MIGRATIONS_COMPONENT=case "$bin/casework" migrate >/dev/null 2>&1
    sql "$url" -c CHECKPOINT
}

seconds() { # seconds COMMAND…: how long it takes
    local start=$EPOCHREALTIME
    "$@" >"$work/out" 2>&1 || { cat "$work/out" >&2; return 1; }
    awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }'
}

run_ours() {
    fresh ours
    rm -f "$work/service.log"
    DATABASE_URL=$(in_database ours) LISTEN_ADDRESS=127.0.0.1:0 METRICS_ADDRESS=127.0.0.1:0 \
        AUTH_KEY_DIRECTORY=$work/keys "$bin/casework-case" 2>"$work/service.log" &
    local service=$! port
    pids+=("$service")
    wait_for 30 grep -q '"msg":"listening"' "$work/service.log"
    port=$(sed -n 's/.*"msg":"listening".*"server.port":\([0-9]*\).*/\1/p' "$work/service.log" | head -n 1)
    CASE_TARGET=127.0.0.1:$port CASEWORK_TOKEN=$token seconds "$bin/casework" import "$work/conversations.jsonl" \
        >>"$work/ours"
    kill "$service"
    wait "$service" || true
}

# What the import has written, table by table, as files for COPY.
dump_rows() {
    sql -At "$(in_database ours)" -c "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
        WHERE relkind = 'r' AND nspname = 'public' AND relname NOT IN ('partitions', 'suite')
        AND relname NOT LIKE '%migration%' ORDER BY 1" >"$work/tables"
    local table
    : >"$work/copy.sql"
    while read -r table; do
        sql "$(in_database ours)" -c "\\copy $table TO '$work/$table.rows'" </dev/null
        [ ! -s "$work/$table.rows" ] || echo "\\copy $table FROM '$work/$table.rows'" >>"$work/copy.sql"
    done <"$work/tables"
}

run_peer() {
    fresh peer
    seconds sql "$(in_database peer)" -f "$work/copy.sql" >>"$work/peer"
}

median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

for ((round = 0; round < rounds; round++)); do
    run_ours
    [ "$round" -gt 0 ] || dump_rows
    run_peer
done
messages=$(sql -At "$(in_database ours)" -c 'SELECT count(*) FROM messages')
mkdir -p build/bench
awk -v m="$messages" -v a="$(median "$work/ours")" -v b="$(median "$work/peer")" -v json=build/bench/import.json 'BEGIN {
    printf "%-10s | %12s %9s | %12s %9s | %6s\n", "messages", "import/s", "s", "COPY/s", "s", "ratio"
    printf "%-10d | %12.0f %9.2f | %12.0f %9.2f | %6.2f\n", m, m / a, a, m / b, b, b / a
    printf "{\"messages\": %d, \"import_per_second\": %.0f, \"copy_per_second\": %.0f, \"ratio\": %.3f}\n", m, m / a, m / b, b / a >json
}'
