#!/usr/bin/env bash
# Search: our engine in process against SQLite FTS5, Xapian and (bench-search-peers) Tantivy, and our service over gRPC
# against PostgreSQL with GIN, RUM and a term B-tree over its socket. Identical words for all; the sides take turns; every
# side must find the same. Prints medians and ratios, writes build/bench/search.json. See docs/benchmarks.md.
#
#   SEARCH_SIZES="10000 1000000"   cases
#   SEARCH_PEERS="engine fts5 xapian gin rum btree_nested btree_merge"   which sides run; `service` always does
#   SEARCH_ROUNDS=3  SEARCH_SECONDS=0.25   of each class in each round
#   SEARCH_UPDATES=500  SEARCH_RATE=200   changes of each kind (a fifth of them for slow sides); operations a second, open loop
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
seconds=${SEARCH_SECONDS:-0.25}
updates=${SEARCH_UPDATES:-500}
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
    gin | rum | btree_*) in_database "$(database "$1" "$2")" ;;
    service) echo "127.0.0.1:$search_port,127.0.0.1:$case_port,$keys" ;;
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

build() { # build PEER SIZE; the engine, which is what changes, each time
    local name=${1/btree_merge/btree_nested} built
    built=$cache/$2/$name.built
    [ ! -e "$built" ] || [ "$name" = engine ] || return 0
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

measure() { # measure SIZE COMMAND…: one side's lines, with the size in front
    local size=$1
    shift
    "$@" | sed -u "s/^{/{\"size\": $size, /" >>"$results"
}

# A copy that changes spoil.
with_copy() { # with_copy PEER SIZE PHASE ARGUMENTS…
    local peer=$1 size=$2 phase=$3 copy
    shift 3
    case $peer in
    service) copy=$(place "$peer" "$size") ;;
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
    measure "$size" $(program "$peer") "$phase" "$copy" "$cache/$size/data" "$@"
    rm -rf "$cache/copy"
    ! is_pg "$peer" || sql "$url" -c "DROP DATABASE search_copy"
}

# The parts that are measured, of one side each.
queries() { # queries SIZE PEER
    # shellcheck disable=SC2046
    measure "$1" $(program "$2") query "$(place "$2" "$1")" "$cache/$1/data" "$seconds"
}
changes() { # changes SIZE PEER: fewer of the slow ones
    local count=$((updates / 5))
    [[ ! $2 =~ ^(engine|fts5|gin)$ ]] || count=$updates
    with_copy "$2" "$1" update "$count"
}
mixed() { with_copy "$2" "$1" mixed 5 "$rate"; } # mixed SIZE PEER

# Runs a part as SEARCH_TURN says.
turn() { # turn PART SIZE PEER
    echo "search: $2 cases, $1, $3" >&2
    declare -p url programs results keys search_port case_port >"$work/state"
    # shellcheck disable=SC2086
    ${SEARCH_TURN:-} bash bench/search.sh part "$work/state" "$@"
}
if [ "${1:-}" = part ]; then
    # shellcheck source=/dev/null
    . "$2"
    shift 2
    "$@"
    exit
fi

# On a copy of the database, since the mixed load changes it.
start_services() { # start_services SIZE
    sql "$url" -c "DROP DATABASE IF EXISTS case_copy" 2>/dev/null
    sql "$url" -c "CREATE DATABASE case_copy TEMPLATE case_$1"
    migrate case_copy case
    start_service case DATABASE_URL="$(in_database case_copy)" AUTH_KEY_DIRECTORY="$work/keys"
    case_port=$port
    case_pid=$service
    rm -rf "$work/search"
    start_search start
    stop_service # with its index in files
    start_search restart
}
start_search() { # start_search CLASS: says how long it took to be SERVING
    local started=$EPOCHREALTIME
    start_service search CASE_TARGET="127.0.0.1:$case_port" AUTH_KEY_DIRECTORY="$work/keys" \
        SEARCH_DATA_DIRECTORY="$work/search"
    search_port=$port
    search_pid=$service
    wait_for 900 env SEARCH_TARGET="127.0.0.1:$search_port" "$bin/casework" health search
    awk -v size="$size" -v class="$1" -v a="$started" -v b="$EPOCHREALTIME" -v kb="$(awk '/VmRSS/ { print $2 }' "/proc/$search_pid/status")" 'BEGIN {
        printf "{\"size\": %d, \"peer\": \"service\", \"phase\": \"start\", \"class\": \"%s\", \"seconds\": %.2f, \"resident_kb\": %d}\n",
            size, class, b - a, kb }' >>"$results"
}

measure_size() { # measure_size SIZE
    local size=$1 round peer
    sed "s/^{/{\"size\": $size, /" "$cache/$size/corpus" >>"$results"
    for peer in $peers; do
        sed "s/^{/{\"size\": $size, /" "$cache/$size/${peer/btree_merge/btree_nested}.built" >>"$results"
    done
    for ((round = 0; round < rounds; round++)); do
        for peer in $peers service; do turn queries "$size" "$peer"; done
    done
    for peer in $peers; do
        [ "$peer" = btree_merge ] || too_large "$peer" "$size" || turn changes "$size" "$peer"
    done
    for peer in $peers service; do
        too_large "$peer" "$size" || turn mixed "$size" "$peer"
    done
}
# A copy of the table of terms is 11 GB for a million cases.
too_large() { [[ $1 == btree_* && $2 -gt 100000 ]]; }

mkdir -p "$cache"
start_pg --data="$cache/pg" shared_buffers=2GB max_wal_size=4GB checkpoint_timeout=30min autovacuum=off
make_key
keys=$work/keys
results=$cache/results
: >"$results"
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
python3 bench/support/search_table.py "$results" build/bench/search.json
