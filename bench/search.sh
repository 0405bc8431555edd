#!/usr/bin/env bash
# Search: our engine in process against SQLite FTS5, Xapian and (bench-search-peers) Tantivy, and our service over gRPC
# against PostgreSQL with GIN, RUM and a term B-tree over its socket. Identical words for all; the sides take turns; every
# side must find the same. Prints medians and ratios, writes build/bench/search.json. See docs/benchmarks.md.
#
#   SEARCH_SIZES="10000 1000000"   cases
#   SEARCH_PEERS="engine fts5 xapian gin rum btree_nested btree_merge"   which sides run; `service` always does
#   SEARCH_ROUNDS=3  SEARCH_SECONDS=0.3   of each class in each round
#   SEARCH_UPDATES=200  SEARCH_RATE=200   changes of each kind; operations a second, open loop
#   SEARCH_TURN=                   a command that the measuring, not the preparing, is run with
#
# The corpus and the peers' indexes stay under build/bench/search for the next time.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=bench/support/common.sh
. bench/support/common.sh

sizes=${SEARCH_SIZES:-10000 1000000}
peers=${SEARCH_PEERS:-engine fts5 xapian gin rum btree_nested btree_merge}
rounds=${SEARCH_ROUNDS:-3}
seconds=${SEARCH_SECONDS:-0.3}
updates=${SEARCH_UPDATES:-200}
rate=${SEARCH_RATE:-200}
cache=${SEARCH_CACHE:-$PWD/build/bench/search}

# --- what a side is: its program, where its index is ---

database() { # database PEER SIZE; the two B-trees share one
    local name=${1%_nested}
    echo "${name%_merge}_$2"
}

is_pg() { [[ $1 =~ ^(gin|rum|btree_nested|btree_merge)$ ]]; }

program() {
    if is_pg "$1"; then echo "$bench/search_peer_pg $1"; else echo "$bench/search_peer_$1"; fi
}

place() { # place PEER SIZE
    case $1 in
    engine) echo "$2" ;;
    gin | rum | btree_*) in_database "$(database "$1" "$2")" ;;
    service) echo "127.0.0.1:$search_port,127.0.0.1:$case_port,$work/keys" ;;
    *) echo "$cache/$2/$1" ;;
    esac
}

# --- building, once ---

corpus() { # corpus SIZE
    [ ! -e "$cache/$1/corpus" ] || return 0
    echo "search: making $1 cases" >&2
    rm -rf "${cache:?}/$1"
    mkdir -p "$cache/$1/data"
    "$bench/search_corpus" "$1" "$cache/$1/data" >"$work/corpus"
    mv "$work/corpus" "$cache/$1/corpus"
}

build() { # build PEER SIZE
    local name=${1/btree_merge/btree_nested} built
    built=$cache/$2/$name.built
    [ ! -e "$built" ] || return 0
    echo "search: building $name of $2 cases" >&2
    if is_pg "$name"; then
        sql "$url" -c "DROP DATABASE IF EXISTS $(database "$name" "$2")" -c "CREATE DATABASE $(database "$name" "$2")" 2>/dev/null
    else
        rm -rf "${cache:?}/$2/$name"
        mkdir -p "$cache/$2/$name"
    fi
    # shellcheck disable=SC2046
    $(program "$name") build "$(place "$name" "$2")" "$cache/$2/data" >"$work/built"
    mv "$work/built" "$built"
}

# The corpus in the case service's database.
build_cases() { # build_cases SIZE
    local ours
    [ ! -e "$cache/$1/cases.built" ] || return 0
    echo "search: writing $1 cases into the case service's database" >&2
    ours=$(in_database "case_$1")
    sql "$url" -c "DROP DATABASE IF EXISTS case_$1" 2>/dev/null
    create_database "case_$1" case
    sql "$ours" -c 'CREATE TABLE bench_accounts (ord int PRIMARY KEY, account text COLLATE "C", partition smallint)' \
        -c 'CREATE UNLOGGED TABLE bench_lines (ord int, number bigint, update_us bigint, status smallint, contact bigint,
            subject text, words text)'
    "$bench/search_peer_service" accounts | sql "$ours" -c '\copy bench_accounts FROM STDIN'
    sql "$ours" -c "\\copy bench_lines FROM '$cache/$1/data/cases.tsv'"
    sql "$ours" -f bench/search_prepare.sql
    touch "$cache/$1/cases.built"
}

# --- measuring ---

turn() { # turn SIZE COMMAND…: one side's, its lines with the size in front
    local size=$1
    shift
    # shellcheck disable=SC2086
    ${SEARCH_TURN:-} "$@" | sed "s/^{/{\"size\": $size, /" >>"$work/results"
}

# A copy that changes spoil.
with_copy() { # with_copy PEER SIZE PHASE ARGUMENTS…
    local peer=$1 size=$2 phase=$3 copy
    shift 3
    case $peer in
    engine | service) copy=$(place "$peer" "$size") ;;
    gin | rum | btree_*)
        sql "$url" -c "DROP DATABASE IF EXISTS search_copy" 2>/dev/null
        sql "$url" -c "CREATE DATABASE search_copy TEMPLATE $(database "$peer" "$size")"
        copy=$(in_database search_copy)
        ;;
    *)
        copy=$cache/copy
        rm -rf "$copy"
        cp -R --reflink=auto "$(place "$peer" "$size")" "$copy"
        ;;
    esac
    # shellcheck disable=SC2046
    turn "$size" $(program "$peer") "$phase" "$copy" "$cache/$size/data" "$@"
    rm -rf "$cache/copy"
    ! is_pg "$peer" || sql "$url" -c "DROP DATABASE search_copy"
}

# On a copy of the database, since the mixed load changes it.
start_services() { # start_services SIZE
    sql "$url" -c "DROP DATABASE IF EXISTS case_copy" 2>/dev/null
    sql "$url" -c "CREATE DATABASE case_copy TEMPLATE case_$1"
    DATABASE_URL=$(in_database case_copy) MIGRATIONS_COMPONENT=case "$bin/casework" migrate >/dev/null
    local started=$EPOCHREALTIME
    start_service case DATABASE_URL="$(in_database case_copy)" AUTH_KEY_DIRECTORY="$work/keys"
    case_port=$port
    case_pid=$service
    mkdir -p "$cache/$1/service"
    start_service search CASE_TARGET="127.0.0.1:$case_port" AUTH_KEY_DIRECTORY="$work/keys" \
        ${SEARCH_DATA:+SEARCH_DATA_DIRECTORY="$cache/$1/service"}
    search_port=$port
    search_pid=$service
    wait_for 900 env SEARCH_TARGET="127.0.0.1:$search_port" "$bin/casework" health search
    awk -v size="$1" -v a="$started" -v b="$EPOCHREALTIME" -v kb="$(awk '/VmRSS/ { print $2 }' "/proc/$search_pid/status")" 'BEGIN {
        printf "{\"size\": %d, \"peer\": \"service\", \"phase\": \"start\", \"class\": \"start\", \"seconds\": %.2f, \"resident_kb\": %d}\n",
            size, b - a, kb }' >>"$work/results"
}

measure_size() { # measure_size SIZE
    local size=$1 round peer
    sed "s/^{/{\"size\": $size, /" "$cache/$size/corpus" >>"$work/results"
    for peer in $peers; do
        sed "s/^{/{\"size\": $size, /" "$cache/$size/${peer/btree_merge/btree_nested}.built" >>"$work/results"
    done
    for ((round = 0; round < rounds; round++)); do
        for peer in $peers service; do
            echo "search: $size cases, round $((round + 1)) of $rounds, $peer" >&2
            # shellcheck disable=SC2046
            turn "$size" $(program "$peer") query "$(place "$peer" "$size")" "$cache/$size/data" "$seconds"
        done
    done
    for peer in $peers; do
        # A copy of the table of terms is 11 GB for a million cases.
        [[ $peer != btree_merge && ($peer != btree_* || $size -le 100000) ]] || continue
        echo "search: $size cases, changes, $peer" >&2
        with_copy "$peer" "$size" update "$updates"
    done
    for peer in $peers service; do
        [[ $peer != btree_* || $size -le 100000 ]] || continue
        echo "search: $size cases, mixed, $peer" >&2
        with_copy "$peer" "$size" mixed 5 "$rate"
    done
}

mkdir -p "$cache"
start_pg --data="$cache/pg" shared_buffers=2GB max_wal_size=16GB checkpoint_timeout=30min autovacuum=off
make_key
: >"$work/results"
for size in $sizes; do
    corpus "$size"
    for peer in $peers; do build "$peer" "$size"; done
    build_cases "$size"
    start_services "$size"
    measure_size "$size"
    kill "$search_pid" "$case_pid"
    wait "$search_pid" "$case_pid" || true
    sql "$url" -c "DROP DATABASE case_copy"
done
python3 bench/support/search_table.py "$work/results" build/bench/search.json
