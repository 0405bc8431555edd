#!/usr/bin/env bash
# Lists of an account with many cases against the same lists of one with few: a page of 50 of each folder in each order and
# direction, one call after the other, and the counts of all folders. The sizes take turns. Prints medians and ratios, writes
# build/bench/list.json. See docs/benchmarks.md.
#
#   LIST_SIZES="10000 1000000"   cases of the account; the first is what the others are compared with
#   LIST_CALLS=40  LIST_ROUNDS=3
#   LIST_TURN=                   a command that the measuring, not the preparing, is run with
set -euo pipefail
cd "$(dirname "$0")/.."

sizes=${LIST_SIZES:-10000 1000000}
calls=${LIST_CALLS:-40}
rounds=${LIST_ROUNDS:-3}

# --- measuring: the services of $work/services are running ---

# load PORT PATH BODY: the median time of a call in microseconds
load() {
    h2load -c 1 -m 1 -t 1 -n "$calls" -d "$3" --log-file="$work/times" -H 'content-type: application/grpc' \
        -H 'te: trailers' -H "authorization: Bearer $(cat "$work/token")" "http://127.0.0.1:$1$2" >"$work/out"
    if ! grep -q ' 0 failed, 0 errored' "$work/out"; then
        cat "$work/out" >&2
        return 1
    fi
    cut -f3 "$work/times" | sort -n | awk '{ t[NR] = $1 } END { print t[int((NR + 1) / 2)] }'
    rm -f "$work/times"
}

measure() {
    local round body size port us
    for ((round = 1; round <= rounds; round++)); do
        for body in "$work"/bodies/*; do
            while read -r size port; do
                case $body in
                */count) path=CountCases ;;
                *) path=ListCases ;;
                esac
                us=$(load "$port" "/casework.cases.v1.CaseService/$path" "$body")
                echo "${body##*/} $size $us"
            done <"$work/services"
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

start_pg shared_buffers=512MB max_wal_size=8GB checkpoint_timeout=30min
make_key
service_token >"$work/token"

for size in $sizes; do
    create_database "list_$size" case
    database=$(in_database "list_$size")
    sql "$database" -c 'CREATE TABLE bench_accounts (ord int PRIMARY KEY, account text COLLATE "C", partition smallint)'
    "$bench/write_load" accounts 1 | sql "$database" -c '\copy bench_accounts FROM STDIN'
    sql -v cases="$size" "$database" -f bench/list_prepare.sql
    start_service case DATABASE_URL="$database" AUTH_KEY_DIRECTORY="$work/keys"
    echo "$size $port" >>"$work/services"
done

# The requests, as gRPC frames them.
mkdir "$work/bodies"
python3 - "$work/bodies" <<'PYTHON'
import struct, sys

def text(number, value):
    data = value.encode()
    return bytes([number << 3 | 2, len(data)]) + data

def number(field, value):
    return bytes([field << 3, value])

def write(name, message):
    with open(f"{sys.argv[1]}/{name}", "wb") as file:
        file.write(struct.pack(">BI", 0, len(message)) + message)

folders = ["all", "new", "open", "pending", "resolved", "closed", "deleted", "my_cases", "unassigned", "recent",
           "need_reply", "involved"]
parent, agent = "accounts/company-1", "accounts/company-1/agents/agent-1"
for i, folder in enumerate(folders):
    for order in ("update_time", "subject", "status"):
        for direction in ("", " desc"):
            write(f"{folder}:{order}{direction.replace(' ', '-')}", text(1, parent) + number(2, i + 1) + text(3, agent) +
                  text(11, order + direction) + number(12, 50))
write("count", text(1, parent) + text(2, agent))
PYTHON

# shellcheck disable=SC2086
${LIST_TURN:-} bash bench/list.sh measure "$work"

python3 - "$work/results" <<'PYTHON'
import json, os, statistics, sys

times, sizes = {}, []
for line in open(sys.argv[1]):
    name, size, us = line.split()
    times.setdefault(name, {}).setdefault(int(size), []).append(float(us))
    if int(size) not in sizes:
        sizes.append(int(size))

# These sort what they hold in the orders that no index has.
growing = [f"{folder}:{order}{direction}" for direction in ("", "-desc")
           for folder, order in (("recent", "subject"), ("need_reply", "subject"), ("involved", "subject"))]
rows = []
for name, by_size in times.items():
    row = {"list": name, "us": {s: statistics.median(by_size[s]) for s in sizes}}
    row["ratio"] = {s: row["us"][s] / row["us"][sizes[0]] for s in sizes[1:]}
    row["may_grow"] = name in growing
    rows.append(row)
print(f"{'list':<28}" + "".join(f"{s:>12,}" for s in sizes) + "".join(f"{'x at ' + format(s, ','):>18}" for s in sizes[1:]))
for row in rows:
    print(f"{row['list']:<28}" + "".join(f"{row['us'][s]:>9.0f} us" for s in sizes) +
          "".join(f"{row['ratio'][s]:>18.2f}" for s in sizes[1:]) + ("  may grow" if row["may_grow"] else ""))
for s in sizes[1:]:
    worst = max((r for r in rows if not r["may_grow"] and r["list"] != "count"), key=lambda r: r["ratio"][s])
    print(f"worst page at {s:,} cases: {worst['list']} {worst['ratio'][s]:.2f} (target: at most 1.5)")
os.makedirs("build/bench", exist_ok=True)
json.dump(rows, open("build/bench/list.json", "w"), indent=1)
PYTHON
