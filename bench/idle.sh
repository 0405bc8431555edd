#!/usr/bin/env bash
# What casework takes while nothing happens: CPU and memory of each of the four services, of the case service with many idle
# watches and with many idle sessions, and how long each takes from its start to SERVING. Prints a table, writes
# build/bench/idle.json. See docs/benchmarks.md.
#
#   IDLE_STREAMS=10000  IDLE_SECONDS=10  IDLE_STARTS=5
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=bench/support/common.sh
. bench/support/common.sh

streams=${IDLE_STREAMS:-10000}
seconds=${IDLE_SECONDS:-10}
starts=${IDLE_STARTS:-5}
services=(case search sla report)
declare -A settings

# --- what is measured ---

memory_of() { # memory_of PID FIELD: in kB; Pss, Rss, Pss_Anon
    awk -v field="$2:" '$1 == field { print $2; exit }' "/proc/$1/smaps_rollup"
}
cpu_of() { # cpu_of PID: microseconds, all its threads
    cat "/proc/$1"/task/*/schedstat | awk '{ t += $1 } END { printf "%d\n", t / 1000 }'
}
json_rows=()
row() { # row WHAT PSS-KB RSS-KB CPU-US
    awk -v what="$1" -v pss="$2" -v rss="$3" -v us="$4" -v s="$seconds" 'BEGIN {
        printf "%-24s | %7.1f | %7.1f | %8.3f\n", what, pss / 1024, rss / 1024, us / s / 10000 }'
    json_rows+=("$(printf '{"what": "%s", "pss_kb": %s, "rss_kb": %s, "cpu_us_per_second": %d}' "$1" "$2" "$3" $(($4 / seconds)))")
}

# --- the four services, with the sample conversations ---

start_pg shared_buffers=512MB max_connections=200
start_redis
make_key
for name in case sla report; do create_database "bench_$name" "$name"; done
for name in "${services[@]}"; do
    settings[$name]="AUTH_KEY_DIRECTORY=$work/keys REDIS_URL=$redis_url"
    [ "$name" = search ] || settings[$name]+=" DATABASE_URL=$(in_database "bench_$name")"
done
declare -A process
start() { # start NAME
    # shellcheck disable=SC2086
    start_service "$1" ${settings[$1]}
    process[$1]=$service
}
start case
target=127.0.0.1:$port
for name in search sla report; do settings[$name]+=" CASE_TARGET=$target"; done
export CASE_TARGET=$target
CASEWORK_TOKEN=$(service_token)
export CASEWORK_TOKEN
"$bin/casework" import samples/conversations.jsonl >/dev/null
"$bin/casework" account create acme --time-zone UTC >/dev/null
for ((i = 0; i * 40 < streams; i++)); do # 40 sessions each: an agent may have 50
    "$bin/casework" agent create acme "agent-$i" --role agent >/dev/null
done
for name in search sla report; do start "$name"; done
sleep 5 # all have read the feed, and what starting left behind is done

printf '%-24s | %7s | %7s | %8s\n' idle 'PSS MB' 'RSS MB' 'CPU %'
declare -A before
for name in "${services[@]}"; do before[$name]=$(cpu_of "${process[$name]}"); done
sleep "$seconds"
for name in "${services[@]}"; do
    id=${process[$name]}
    used=$(($(cpu_of "$id") - before[$name]))
    row "$name" "$(memory_of "$id" Pss)" "$(memory_of "$id" Rss)" "$used"
done

# --- idle streams on the case service, a fresh one for each kind ---

stop() { # stop NAME
    kill "${process[$1]}"
    wait "${process[$1]}" || true
}
for name in search sla report; do stop "$name"; done
ulimit -n "$(ulimit -Hn)"
for kind in watches sessions; do
    stop case
    start case
    id=${process[case]}
    for count in 1 "$streams"; do # what the first one brings along counts once
        mkfifo "$work/hold"
        rm -f "$work/open"
        "$bench/idle_load" "$kind" "127.0.0.1:$port" "$work/keys" acme "$count" <"$work/hold" >"$work/open" &
        load=$!
        pids+=("$load")
        exec 3>"$work/hold"
        begun=$EPOCHREALTIME
        wait_for 100 test -s "$work/open"
        opened=$EPOCHREALTIME
        sleep 3
        memory=$(memory_of "$id" Pss)
        if [ "$count" = 1 ]; then
            first=$memory
        else
            used=$(cpu_of "$id")
            sleep "$seconds"
            used=$(($(cpu_of "$id") - used))
            row "$count $kind" "$(memory_of "$id" Pss)" "$(memory_of "$id" Rss)" "$used"
            awk -v a="$first" -v b="$memory" -v n="$count" -v s="$begun" -v e="$opened" 'BEGIN {
                printf "%-24s   %.1f KB a stream, %.0f opened a second\n", "", (b - a) / n, n / (e - s) }'
            json_rows+=("$(awk -v kind="$kind" -v a="$first" -v b="$memory" -v n="$count" 'BEGIN {
                printf "{\"what\": \"%s\", \"streams\": %d, \"kb_each\": %.1f}", kind, n, (b - a) / n }')")
        fi
        exec 3>&-
        wait "$load" # fails when a stream has ended
        rm -f "$work/hold"
    done
done

# --- start to SERVING: the other services find the case service running ---

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
for name in search sla report; do settings[$name]="${settings[$name]/$target/127.0.0.1:$port}"; done
printf '\n%-24s | %7s\n' start 'ms'
for name in "${services[@]}"; do
    time_us=$(for ((i = 0; i < starts; i++)); do
        own=$(free_port)
        # shellcheck disable=SC2086
        env ${settings[$name]} LISTEN_ADDRESS="127.0.0.1:$own" METRICS_ADDRESS=127.0.0.1:0 \
            "$bench/idle_load" start 127.0.0.1 "$own" "$bin/casework-$name" 2>"$work/start.log"
    done | median)
    awk -v what="$name" -v us="$time_us" 'BEGIN { printf "%-24s | %7.1f\n", what, us / 1000 }'
    json_rows+=("{\"what\": \"start of $name\", \"start_us\": $time_us}")
done

mkdir -p build/bench
(IFS=,; printf '[%s]\n' "${json_rows[*]}") >build/bench/idle.json
