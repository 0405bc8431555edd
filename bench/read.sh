#!/usr/bin/env bash
# GetCase against what it is made of: an answered call (Health/Check on the same service) and a row by its primary key (pgbench,
# prepared, as many clients). The limit is 1 / (1 / calls + 1 / rows). Taking turns. Prints medians and ratios, writes
# build/bench/read.json. See docs/benchmarks.md.
#
#   READ_ROUNDS=5  READ_SECONDS=2  READ_CASES=200000
#   READ_TURN=                   a command that the measuring, not the preparing, is run with
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${READ_ROUNDS:-5}
seconds=${READ_SECONDS:-2}

# --- measuring ---

calls() { # calls PATH BODY CONNECTIONS STREAMS: a second
    h2load -c "$3" -m "$4" -t 1 -D "$seconds" --warm-up-time=1 -d "$2" -H 'content-type: application/grpc' \
        -H 'te: trailers' -H "authorization: Bearer $(cat "$work/token")" \
        "http://127.0.0.1:$(cat "$work/port")$1" >"$work/out"
    if ! grep -q ' 0 failed, 0 errored' "$work/out"; then
        cat "$work/out" >&2
        return 1
    fi
    sed -n 's/^finished in .*, \([0-9.]*\) req\/s.*/\1/p' "$work/out"
}

selects() { # selects CLIENTS: a second
    "$(cat "$work/programs")/pgbench" -n -M prepared -c "$1" -j "$(($1 < 2 ? 1 : 2))" -T "$seconds" \
        -D "partition=$(cat "$work/partition")" -f bench/read.pgbench "$(cat "$work/database")" |
        sed -n 's/^tps = \([0-9.]*\).*/\1/p'
}

measure() {
    local round shape check select get
    for ((round = 1; round <= rounds; round++)); do
        for shape in "1 1" "4 4" "4 16"; do
            # shellcheck disable=SC2086
            set -- $shape
            check=$(calls /grpc.health.v1.Health/Check "$work/empty" "$1" "$2")
            select=$(selects $(($1 * $2)))
            get=$(calls /casework.cases.v1.CaseService/GetCase "$work/body" "$1" "$2")
            echo "$1x$2 $check $select $get"
        done
    done >"$work/results"
}

if [ "${1:-}" = measure ]; then
    work=$2
    measure
    exit
fi

# --- preparing ---

# shellcheck source=bench/support/common.sh
. bench/support/common.sh

start_pg shared_buffers=512MB
create_database read case
database=$(in_database read)
sql "$database" -c 'CREATE TABLE bench_accounts (ord int PRIMARY KEY, account text COLLATE "C", partition smallint)'
"$bench/write_load" accounts 1 | sql "$database" -c '\copy bench_accounts FROM STDIN'
sql -v cases="${READ_CASES:-200000}" "$database" -f bench/list_prepare.sql
sql -A -t "$database" -c 'SELECT partition FROM bench_accounts' >"$work/partition"
make_key
# shellcheck disable=SC2086
start_service case DATABASE_URL="$database" AUTH_KEY_DIRECTORY="$work/keys" ${READ_FLAGS:-}

# What the measuring, another process, needs to know.
echo "$database" >"$work/database"
echo "$port" >"$work/port"
echo "$programs" >"$work/programs"
service_token >"$work/token"
printf '\0\0\0\0\0' >"$work/empty"
printf '\0\0\0\0\x1e\x0a\x1caccounts/company-1/cases/777' >"$work/body" # GetCaseRequest.name

# shellcheck disable=SC2086
${READ_TURN:-} bash bench/read.sh measure "$work"

python3 - "$work/results" <<'PYTHON'
import json, os, statistics, sys

runs = {}
for line in open(sys.argv[1]):
    shape, *figures = line.split()
    runs.setdefault(shape, []).append([float(f) for f in figures])
rows = []
print(f"{'shape':<6} {'Check/s':>9} {'select/s':>9} {'limit/s':>9} {'GetCase/s':>9} {'ratio':>6}  target 0.80")
for shape, figures in runs.items():
    # Neighbours in time are compared: the machine's mood cancels out.
    ratio = statistics.median(g / (1 / (1 / c + 1 / s)) for c, s, g in figures)
    check, select, get = (statistics.median(column) for column in zip(*figures))
    limit = 1 / (1 / check + 1 / select)
    rows.append({"shape": shape, "check": check, "select": select, "limit": limit, "get_case": get, "ratio": ratio})
    print(f"{shape:<6} {check:>9.0f} {select:>9.0f} {limit:>9.0f} {get:>9.0f} {ratio:>6.2f}")
os.makedirs("build/bench", exist_ok=True)
json.dump(rows, open("build/bench/read.json", "w"), indent=1)
PYTHON
