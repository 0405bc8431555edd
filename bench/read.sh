#!/usr/bin/env bash
# GetCase against what it is made of: an answered call (Health/Check on the same service) and a row by its primary key (pgbench,
# prepared, as many clients). The limit is 1 / (1 / calls + 1 / rows). Taking turns. Prints medians and ratios, writes
# build/bench/read.json. See docs/benchmarks.md.
#
#   READ_ROUNDS=5  READ_SECONDS=2  READ_CASES=200000
#   READ_TURN=                   a command that the measuring, not the preparing, is run with
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${CASEWORK_BIN:-build/bin}
bench=${BENCH_BIN:-build/bench/bin}
rounds=${READ_ROUNDS:-5}
seconds=${READ_SECONDS:-2}
programs=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)

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
    "$programs/pgbench" -n -M prepared -c "$1" -j "$(($1 < 2 ? 1 : 2))" -T "$seconds" \
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

work=$(mktemp -d /tmp/casework-bench-XXXXXX)
pids=()
end() {
    local pid
    for pid in $(printf '%s\n' "${pids[@]}" | tac); do
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
        [ "$left" -gt 0 ] || { echo "read: gave up waiting for: $*" >&2; return 1; }
        sleep 0.1
    done
}

"$bench/private_pg" shared_buffers=512MB >"$work/url" &
pids+=($!)
wait_for 30 test -s "$work/url"
url=$(cat "$work/url")
ours=${url/\/postgres?//read?}
sql() { "$programs/psql" -X -q -v ON_ERROR_STOP=1 "$@"; }
sql "$url" -c "CREATE DATABASE read"
DATABASE_URL=$ours MIGRATIONS_COMPONENT=case "$bin/casework" migrate >/dev/null
sql "$ours" -c 'CREATE TABLE bench_accounts (ord int PRIMARY KEY, account text COLLATE "C", partition smallint)'
"$bench/write_load" accounts 1 | sql "$ours" -c '\copy bench_accounts FROM STDIN'
sql -v cases="${READ_CASES:-200000}" "$ours" -f bench/list_prepare.sql
sql -A -t "$ours" -c 'SELECT partition FROM bench_accounts' >"$work/partition"
echo "$ours" >"$work/database"

mkdir "$work/keys"
printf 0123456789abcdef0123456789abcdef >"$work/keys/bench.secret"
base64url() { base64 -w0 | tr '+/' '-_' | tr -d =; }
signed=$(printf '{"alg":"HS256","typ":"JWT","kid":"bench"}' | base64url).$(
    printf '{"sub":"bench","account":"*","role":"service","exp":%d}' $(($(date +%s) + 86400)) | base64url)
printf '%s.%s' "$signed" "$(printf %s "$signed" |
    openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef -binary | base64url)" >"$work/token"

DATABASE_URL=$ours LISTEN_ADDRESS=127.0.0.1:0 METRICS_ADDRESS=127.0.0.1:0 AUTH_KEY_DIRECTORY=$work/keys \
    "$bin/casework-case" ${READ_FLAGS:-} 2>"$work/service" &
pids+=($!)
wait_for 30 grep -q '"msg":"listening"' "$work/service" || { cat "$work/service" >&2; exit 1; }
sed -n 's/.*"msg":"listening".*"server.port":\([0-9]*\).*/\1/p' "$work/service" | head -n 1 >"$work/port"
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
