# shellcheck shell=bash
# What bench/report.sh and bench/export.sh prepare; sourced after common.sh. Of each size a database of the case service with a
# feed (bench/report_events.c), and one of the report service, which has counted it; the peer's table of events is in the latter.

start_data() { # start_data [DIRECTORY]: PostgreSQL; sets now_us, which the data end at
    local keep=()
    if [ -n "${1:-}" ]; then
        mkdir -p "$1"
        keep=("--data=$1/pg")
        [ -s "$1/now_us" ] || echo $(($(date +%s) * 1000000)) >"$1/now_us"
        now_us=$(cat "$1/now_us")
    else
        now_us=$(($(date +%s) * 1000000))
    fi
    start_pg "${keep[@]}" shared_buffers=2GB work_mem=256MB max_wal_size=8GB checkpoint_timeout=30min max_connections=200
    make_key
    service_token >"$work/token"
    read -r account partition <<<"$("$bench/report_events" place)"
}

start_report() { # start_report SIZE: sets service and port
    start_service case DATABASE_URL="$(in_database "case_$1")" AUTH_KEY_DIRECTORY="$work/keys"
    local cases=127.0.0.1:$port
    start_service report DATABASE_URL="$(in_database "report_$1")" AUTH_KEY_DIRECTORY="$work/keys" CASE_TARGET="$cases"
}

# Reports are counted by the service itself, from the feed: what is measured is what it made.
prepare_size() { # prepare_size SIZE
    local case_db report_db last start=$EPOCHREALTIME
    case_db=$(in_database "case_$1") report_db=$(in_database "report_$1")
    [ "$(sql -At "$url" -c "SELECT count(*) FROM pg_database WHERE datname = 'ready_$1'")" = 0 ] || return 0
    sql "$url" -c "DROP DATABASE IF EXISTS case_$1" -c "DROP DATABASE IF EXISTS report_$1" 2>/dev/null
    create_database "case_$1" case
    create_database "report_$1" report
    "$bench/report_events" feed "$1" "$now_us" | sql "$case_db" -c '\copy events FROM STDIN (FORMAT binary)'
    last=$(sql -At "$case_db" -c 'SELECT max(position) FROM events')
    sql "$case_db" -c "INSERT INTO accounts (partition, account, display_name, time_zone, reopen_resolved, report_lock_days,
        session_grace, next_case, version, create_time, update_time) VALUES ($partition, '$account', '$account', 'UTC', false, 3,
        15000000, $1 + 1, 1, now(), now())" -c "UPDATE partitions SET head = $last, last_time = now()
        WHERE partition = $partition" -c 'VACUUM ANALYZE events'
    start=$EPOCHREALTIME
    start_report "$1"
    wait_for 3600 at_position "$report_db" "$last"
    awk -v n="$last" -v a="$start" -v b="$EPOCHREALTIME" -v cases="$1" \
        'BEGIN { printf "%d cases: %d events counted in %.1f s, %.0f/s\n", cases, n, b - a, n / (b - a) }'
    stop_service
    unset 'pids[-1]'
    sql "$report_db" -c 'CREATE TABLE peer_events (position bigint NOT NULL, case_id bigint NOT NULL, kind smallint NOT NULL,
        time timestamptz NOT NULL, status smallint NOT NULL, previous_status smallint NOT NULL, create_time timestamptz NOT NULL,
        message_kind smallint NOT NULL, agent text COLLATE "C" NOT NULL)'
    "$bench/report_events" plain "$1" "$now_us" | sql "$report_db" -c '\copy peer_events FROM STDIN (FORMAT binary)'
    sql "$report_db" -c 'CREATE INDEX ON peer_events (time)' -c 'CREATE INDEX ON peer_events (case_id, position)' \
        -c 'VACUUM ANALYZE' -c CHECKPOINT
    sql "$url" -c "CREATE DATABASE ready_$1"
}

at_position() { # at_position DATABASE POSITION: the reports are complete up to it
    [ "$(sql -At "$1" -c "SELECT position FROM report_partitions WHERE partition = $partition")" = "$2" ]
}
