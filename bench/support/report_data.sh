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
    start_pg "${keep[@]}" shared_buffers=2GB work_mem=256MB max_wal_size=8GB checkpoint_timeout=30min max_connections=200 \
        wal_level=minimal max_wal_senders=0
    make_key
    service_token >"$work/token"
    read -r account partition <<<"$("$bench/report_events" place)"
}

start_report() { # start_report SIZE: sets service and port
    start_service case DATABASE_URL="$(in_database "case_$1")" AUTH_KEY_DIRECTORY="$work/keys"
    local cases=127.0.0.1:$port
    start_service report DATABASE_URL="$(in_database "report_$1")" AUTH_KEY_DIRECTORY="$work/keys" CASE_TARGET="$cases"
}

# What is done is marked by a database of that name: a preparation that was cut short goes on there.
is_done() { [ "$(sql -At "$url" -c "SELECT count(*) FROM pg_database WHERE datname = '$1'")" = 1 ]; }

load_feed() { # load_feed SIZE
    local case_db
    case_db=$(in_database "case_$1")
    sql "$url" -c "DROP DATABASE IF EXISTS case_$1" -c "DROP DATABASE IF EXISTS report_$1" 2>/dev/null
    create_database "case_$1" case
    create_database "report_$1" report
    sql "$case_db" -c 'ALTER TABLE events DROP CONSTRAINT events_pkey' -c 'DROP INDEX events_by_case'
    # A table that the transaction itself has emptied needs no write-ahead log.
    "$bench/report_events" feed "$1" "$now_us" | sql "$case_db" -c BEGIN -c 'TRUNCATE events' \
        -c '\copy events FROM STDIN (FORMAT binary)' -c COMMIT
    sql "$case_db" -c 'ALTER TABLE events ADD PRIMARY KEY (partition, position)' \
        -c 'CREATE INDEX events_by_case ON events (partition, account, case_id, position)'
    sql "$case_db" -c "INSERT INTO accounts (partition, account, display_name, time_zone, reopen_resolved, report_lock_days,
        session_grace, next_case, version, create_time, update_time) VALUES ($partition, '$account', '$account', 'UTC', false, 3,
        15000000, $1 + 1, 1, now(), now())" -c "UPDATE partitions SET head = (SELECT max(position) FROM events),
        last_time = now() WHERE partition = $partition" -c 'VACUUM ANALYZE events'
    sql "$url" -c "CREATE DATABASE feed_$1"
}

load_peer() { # load_peer SIZE
    local report_db
    report_db=$(in_database "report_$1")
    sql "$report_db" -c 'DROP TABLE IF EXISTS peer_events' -c 'CREATE TABLE peer_events (position bigint NOT NULL, case_id bigint NOT NULL, kind smallint NOT NULL,
        time timestamptz NOT NULL, status smallint NOT NULL, previous_status smallint NOT NULL, create_time timestamptz NOT NULL,
        message_kind smallint NOT NULL, agent text COLLATE "C" NOT NULL)'
    "$bench/report_events" plain "$1" "$now_us" | sql "$report_db" -c '\copy peer_events FROM STDIN (FORMAT binary)'
    sql "$report_db" -c 'CREATE INDEX ON peer_events (time)' -c 'CREATE INDEX ON peer_events (case_id, position)'
}

# Reports are counted by the service itself, from the feed: what is measured is what it made.
count_reports() { # count_reports SIZE
    local last first report_db start=$EPOCHREALTIME
    report_db=$(in_database "report_$1")
    last=$(last_of "$1")
    first=$(position_of "$report_db")
    start_report "$1"
    wait_for 3600 at_position "$report_db" "$last"
    awk -v n="$((last - first))" -v a="$start" -v b="$EPOCHREALTIME" -v cases="$1" \
        'BEGIN { printf "%d cases: %d events counted in %.1f s, %.0f/s\n", cases, n, b - a, n / (b - a) }'
    stop_service
    unset 'pids[-1]'
}

# What was kept may be of earlier tables: a migration may have them counted anew.
prepare_size() { # prepare_size SIZE
    local report_db
    report_db=$(in_database "report_$1")
    is_done "feed_$1" || load_feed "$1"
    migrate "case_$1" case
    migrate "report_$1" report
    is_done "ready_$1" && at_position "$report_db" "$(last_of "$1")" && return
    count_reports "$1"
    is_done "ready_$1" || load_peer "$1"
    sql "$report_db" -c 'VACUUM ANALYZE' -c CHECKPOINT
    is_done "ready_$1" || sql "$url" -c "CREATE DATABASE ready_$1"
}

last_of() { sql -At "$(in_database "case_$1")" -c 'SELECT max(position) FROM events'; } # last_of SIZE
position_of() { sql -At "$1" -c "SELECT position FROM report_partitions WHERE partition = $partition"; }
at_position() { [ "$(position_of "$1")" = "$2" ]; } # at_position DATABASE POSITION
