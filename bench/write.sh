#!/usr/bin/env bash
# Durable writes: AddMessage of the case service against pgbench running the same inserts and updates in one prepared
# function, on the same PostgreSQL, in databases with the same tables and rows, taking turns. Prints medians and ratios,
# writes build/bench/write.json. See docs/benchmarks.md.
#
#   WRITE_LEVELS="1 8 32 128"   requests in flight, pgbench's clients
#   WRITE_ACCOUNTS="1 24"       accounts that share the cases
#   WRITE_CASES=200000  WRITE_ROUNDS=3  WRITE_SECONDS=5  WRITE_LANES=
#   WRITE_TURN=                 a command that each measurement, not the preparing, is run with
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=bench/support/common.sh
. bench/support/common.sh

levels=${WRITE_LEVELS:-1 8 32 128}
distributions=${WRITE_ACCOUNTS:-1 24}
cases=${WRITE_CASES:-200000}
rounds=${WRITE_ROUNDS:-3}
seconds=${WRITE_SECONDS:-5}

# --- PostgreSQL, the same for both ---

start_pg shared_buffers=2GB max_wal_size=8GB checkpoint_timeout=30min

# case_N and peer_N: the first prepared, the other a copy of it.
prepare() { # prepare ACCOUNTS
    local ours peer
    ours=$(in_database "case_$1")
    peer=$(in_database "peer_$1")
    create_database "case_$1" case
    sql "$ours" -c 'CREATE TABLE bench_accounts (ord int PRIMARY KEY, account text COLLATE "C", partition smallint)'
    "$bench/write_load" accounts "$1" | sql "$ours" -c '\copy bench_accounts FROM STDIN'
    sql -v cases="$cases" "$ours" -f bench/write_prepare.sql
    sql "$url" -c "CREATE DATABASE peer_$1 TEMPLATE case_$1"
    sql "$peer" -f bench/write_peer.sql
}

# --- the two sides: each prints "calls-per-second p50-us p99-us" ---

"$bench/write_load" keys "$work/keys"

number_of() { sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p"; }

run_ours() { # run_ours ACCOUNTS IN_FLIGHT
    local line
    # shellcheck disable=SC2086
    line=$(${WRITE_TURN:-} "$bench/write_load" run "127.0.0.1:$port" "$work/keys" "$1" "$cases" "$2" "$seconds")
    echo "$(number_of per_second <<<"$line") $(number_of p50_us <<<"$line") $(number_of p99_us <<<"$line")"
}

run_peer() { # run_peer ACCOUNTS CLIENTS
    local threads=$2
    [ "$threads" -le 2 ] || threads=2
    rm -f "$work"/pgbench.*
    # shellcheck disable=SC2086
    ${WRITE_TURN:-} "$programs/pgbench" -n -M prepared -c "$2" -j "$threads" -T "$seconds" -l --log-prefix="$work/pgbench" \
        -D "accounts=$1" -D "cases=$cases" -f bench/write_peer.pgbench "$(in_database "peer_$1")" >"$work/peer.out"
    local per_second
    per_second=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$work/peer.out")
    sort -n -k3,3 <(cat "$work"/pgbench.*) | awk -v rate="$per_second" \
        '{ t[NR] = $3 } END { print rate, t[int((NR + 1) / 2)], t[int(NR * 0.99)] }'
}

median() { # median COLUMN FILE
    cut -d' ' -f"$1" "$2" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# --- taking turns ---

mkdir -p build/bench
printf '%-9s %-9s | %10s %9s %9s | %10s %9s %9s | %6s\n' accounts 'in flight' 'service/s' 'p50 ms' 'p99 ms' \
    'pgbench/s' 'p50 ms' 'p99 ms' ratio
rows=""
for accounts in $distributions; do
    prepare "$accounts"
    start_service case DATABASE_URL="$(in_database "case_$accounts")" AUTH_KEY_DIRECTORY="$work/keys" \
        ${WRITE_LANES:+--lanes="$WRITE_LANES"}
    for level in $levels; do
        : >"$work/ours"
        : >"$work/peer"
        for ((round = 0; round < rounds; round++)); do
            run_ours "$accounts" "$level" >>"$work/ours"
            run_peer "$accounts" "$level" >>"$work/peer"
        done
        row=$(for side in ours peer; do for column in 1 2 3; do median "$column" "$work/$side"; done; done | xargs)
        awk -v a="$accounts" -v n="$level" '{ printf "%-9s %-9s | %10.0f %9.2f %9.2f | %10.0f %9.2f %9.2f | %6.2f\n", a, n,
            $1, $2 / 1000, $3 / 1000, $4, $5 / 1000, $6 / 1000, $1 / $4 }' <<<"$row"
        rows+=$(awk -v a="$accounts" -v n="$level" '{ printf "%s{\"accounts\": %s, \"in_flight\": %s, \"service\": {\"per_second\": %s, \"p50_us\": %s, \"p99_us\": %s}, \"pgbench\": {\"per_second\": %s, \"p50_us\": %s, \"p99_us\": %s}, \"ratio\": %.3f}",
            "\n  ", a, n, $1, $2, $3, $4, $5, $6, $1 / $4 }' <<<"$row"),
    done
    stop_service
    sql "$url" -c "DROP DATABASE case_$accounts" -c "DROP DATABASE peer_$accounts"
done
printf '{"cases": %s, "seconds": %s, "rounds": %s, "rows": [%s\n]}\n' "$cases" "$seconds" "$rounds" "${rows%,}" \
    >build/bench/write.json
