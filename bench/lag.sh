#!/usr/bin/env bash
# How long after a write's answer the other services know of it, while messages come in at a fixed rate: search finds it,
# report has counted it, its timers are armed. Prints a table, writes build/bench/lag.json. See docs/benchmarks.md.
#
#   LAG_RATE=1000  LAG_SECONDS=20  LAG_ACCOUNTS=24  LAG_CASES=100   cases of each account
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=bench/support/common.sh
. bench/support/common.sh

rate=${LAG_RATE:-1000}
seconds=${LAG_SECONDS:-20}
accounts=${LAG_ACCOUNTS:-24}
cases=${LAG_CASES:-100}

start_pg shared_buffers=1GB max_wal_size=8GB checkpoint_timeout=30min max_connections=200
start_redis
make_key
for name in case sla report; do create_database "bench_$name" "$name"; done

declare -A at
start() { # start NAME VARIABLE=VALUE…
    local name=$1
    shift
    start_service "$name" AUTH_KEY_DIRECTORY="$work/keys" REDIS_URL="$redis_url" LOG_LEVEL="${LAG_LOG_LEVEL:-info}" "$@"
    at[$name]=127.0.0.1:$port
}
start case DATABASE_URL="$(in_database bench_case)"
export CASE_TARGET=${at[case]}
CASEWORK_TOKEN=$(service_token)
export CASEWORK_TOKEN
awk -v accounts="$accounts" -v cases="$cases" 'BEGIN {
    for (a = 1; a <= accounts; a++)
        for (c = 1; c <= cases; c++)
            printf "{\"external_id\": \"%d-%d\", \"account\": \"company-%d\", \"channel\": \"email\", " \
                "\"contact\": {\"name\": \"Bob\", \"emails\": [\"bob%d@example.com\"]}, \"subject\": \"Question %d\", " \
                "\"messages\": [{\"from\": \"customer\", \"name\": \"Bob\", \"at\": \"2026-03-02T08:14:05Z\", " \
                "\"text\": \"The printer prints only every other page.\"}, " \
                "{\"from\": \"agent\", \"name\": \"ann\", \"at\": \"2026-03-02T08:20:05Z\", \"text\": \"Let me see.\"}]}\n",
                a, c, a, c, c }' >"$work/conversations.jsonl"
"$bin/casework" import "$work/conversations.jsonl" >/dev/null
sql "$(in_database bench_case)" -c 'VACUUM ANALYZE'
for name in search sla report; do
    database=()
    [ "$name" = search ] || database=(DATABASE_URL="$(in_database "bench_$name")")
    start "$name" "${database[@]}"
    wait_for 60 env "${name^^}_TARGET=${at[$name]}" "$bin/casework" health "$name"
done

"$bench/lag_load" "${at[case]}" "${at[search]}" "${at[report]}" "${at[sla]}" "$work/keys" "$accounts" "$cases" "$rate" \
    "$seconds" >"$work/result"
mkdir -p build/bench
awk -v rate="$rate" -v seconds="$seconds" -v json=build/bench/lag.json '
    BEGIN { printf "%-10s | %8s %9s %9s %9s\n", rate "/s", "samples", "p50 ms", "p99 ms", "max ms"
            printf "{\"rate\": %s, \"seconds\": %s, \"lag_us\": {", rate, seconds >json }
    { printf "%-10s | %8d %9.2f %9.2f %9.2f\n", $1, $2, $3 / 1000, $4 / 1000, $5 / 1000
      printf "%s\"%s\": {\"p50\": %s, \"p99\": %s, \"max\": %s}", (NR == 1 ? "" : ", "), $1, $3, $4, $5 >json }
    END { print "}}" >json }' "$work/result"
