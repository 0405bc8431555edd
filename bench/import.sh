#!/usr/bin/env bash
# Conversations streamed in by `casework import`, against COPY of the same rows into the same tables with the same indexes, on
# the same PostgreSQL, taking turns, each into an empty database. Prints medians and the ratio, writes build/bench/import.json.
# See docs/benchmarks.md.
#
#   IMPORT_DATA=FILE        conversations, JSON lines; sent IMPORT_COPIES times under other external ids
#   IMPORT_COPIES=20  IMPORT_ROUNDS=3
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=bench/support/common.sh
. bench/support/common.sh

data=${IMPORT_DATA:-${CASEWORK_TEST_DATA:-samples/conversations.jsonl}}
copies=${IMPORT_COPIES:-20}
rounds=${IMPORT_ROUNDS:-3}
[ -r "$data" ] || { echo "import: no conversations: set IMPORT_DATA" >&2; exit 1; }

start_pg shared_buffers=2GB max_wal_size=8GB checkpoint_timeout=30min

for ((copy = 1; copy <= copies; copy++)); do
    sed "s/\"external_id\": *\"/&$copy-/" "$data"
done >"$work/conversations.jsonl"
make_key
token=$(service_token)

fresh() { # fresh NAME: an empty database of the case service
    sql "$url" -c "DROP DATABASE IF EXISTS $1" -c "CREATE DATABASE $1" 2>/dev/null
    migrate "$1" case 2>/dev/null
    sql "$url" -c CHECKPOINT
}

seconds() { # seconds COMMAND…: how long it takes
    local start=$EPOCHREALTIME
    "$@" >"$work/out" 2>&1 || { cat "$work/out" >&2; return 1; }
    awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }'
}

run_ours() {
    fresh ours
    start_service case DATABASE_URL="$(in_database ours)" AUTH_KEY_DIRECTORY="$work/keys"
    CASE_TARGET=127.0.0.1:$port CASEWORK_TOKEN=$token seconds "$bin/casework" import "$work/conversations.jsonl" \
        >>"$work/ours"
    stop_service
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
