#!/usr/bin/env bash
# Reports of an account with many cases: activity, summaries, table, volume and classifications from casework-report, one call
# after the other, against a GROUP BY over the same events in PostgreSQL, and against the same questions with fewer cases. Both
# must give the same numbers. Prints medians and ratios, writes build/bench/report.json. See docs/benchmarks.md.
#
#   REPORT_SIZES="10000 100000 1000000"   cases of the account, spread over 60 days; the first is what others are compared with
#   REPORT_CALLS=200  REPORT_ROUNDS=2  REPORT_PEER_CALLS=2
#   REPORT_DATA=                          a directory that keeps what was prepared for the next time; `bench/report.sh prepare`
#                                         only prepares it
#   REPORT_TURN=                          a command that the measuring, not the preparing, is run with
set -euo pipefail
cd "$(dirname "$0")/.."

sizes=${REPORT_SIZES:-10000 100000 1000000}
calls=${REPORT_CALLS:-200}
rounds=${REPORT_ROUNDS:-2}
peer_calls=${REPORT_PEER_CALLS:-2}

# --- measuring: the services of $work/services are running ---

call() { # call COUNT PORT PATH BODY: writes $work/times
    rm -f "$work/times"
    h2load -c 1 -m 1 -t 1 -n "$1" -d "$4" --log-file="$work/times" -H 'content-type: application/grpc' \
        -H 'te: trailers' -H "authorization: Bearer $(cat "$work/token")" \
        "http://127.0.0.1:$2/casework.report.v1.ReportService/$3" >"$work/out"
    if ! grep -q ' 0 failed, 0 errored' "$work/out"; then
        cat "$work/out" >&2
        return 1
    fi
}

# load PORT PATH BODY: the median and the 99th percentile of a call in microseconds, of fewer calls where they take long
load() {
    call 2 "$@"
    call "$(awk -v most="$calls" '{ us = $3 } END { n = int(2000000 / us); print (n < 3 ? 3 : n > most ? most : n) }' \
        "$work/times")" "$@"
    cut -f3 "$work/times" | sort -n |
        awk '{ t[NR] = $1 } END { print t[int((NR + 1) / 2)], t[NR - int(NR / 100)] }'
}

# peer DATABASE FILE: the time of the query of the file in microseconds
peer() {
    "$(cat "$work/programs")/psql" -X -q -At -v ON_ERROR_STOP=1 "$1" -c '\timing on' -f "$2" >"$work/out"
    sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' "$work/out" | awk '{ print int($1 * 1000) }'
}

measure() {
    local round body size port database i file
    for ((round = 1; round <= rounds; round++)); do
        for body in "$work"/bodies/*; do
            file=${body##*/}
            while read -r size port database; do
                echo "ours $file $size $(load "$port" "${file%%:*}" "$body")"
                for ((i = 0; i < peer_calls; i++)); do
                    [ ! -e "$work/peers/$file.sql" ] ||
                        echo "peer $file $size $(peer "$database" "$work/peers/$file.sql") 0"
                done
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
# shellcheck source=bench/support/report_data.sh
. bench/support/report_data.sh

start_data "${REPORT_DATA:-}" # sets now_us
for size in $sizes; do prepare_size "$size"; done
[ "${1:-}" != prepare ] || exit 0
for size in $sizes; do
    start_report "$size"
    echo "$size $port $(in_database "report_$size")" >>"$work/services"
done
echo "$programs" >"$work/programs"

# The questions, as gRPC frames them, and as PostgreSQL takes them.
mkdir "$work/bodies" "$work/peers"
python3 bench/support/report_questions.py "$work" "$now_us"

# Both sides agree, or there is nothing to compare.
while read -r size port database; do
    for file in "$work"/peers/*.sql; do
        sql -At -F ' ' "$database" -f "$file" >"$work/said"
        name=${file##*/}
        curl -sS --http2-prior-knowledge -o "$work/answer" -H 'content-type: application/grpc' -H 'te: trailers' \
            -H "authorization: Bearer $(cat "$work/token")" --data-binary @"$work/bodies/${name%.sql}" \
            "http://127.0.0.1:$port/casework.report.v1.ReportService/${name%%:*}"
        python3 bench/support/report_questions.py compare "${name%.sql}" "$work/answer" "$work/said" ||
            { echo "report: $name of $size cases is not what PostgreSQL says" >&2; exit 1; }
    done
done <"$work/services"

# shellcheck disable=SC2086
${REPORT_TURN:-} bash bench/report.sh measure "$work"

python3 - "$work/results" <<'PYTHON'
import json, os, statistics, sys

ours, tails, peers, sizes = {}, {}, {}, []
for line in open(sys.argv[1]):
    side, name, size, us, tail = line.split()
    size = int(size)
    if size not in sizes:
        sizes.append(size)
    (ours if side == "ours" else peers).setdefault(name, {}).setdefault(size, []).append(float(us))
    if side == "ours":
        tails.setdefault(name, {}).setdefault(size, []).append(float(tail))
rows = []
print(f"{'question':<44} {'cases':>9} {'p50 ms':>8} {'p99 ms':>8} {'GROUP BY ms':>12} {'ratio':>8} {'x of ' + format(sizes[0], ','):>12}")
for name in ours:
    first = statistics.median(ours[name][sizes[0]])
    for size in sizes:
        us, tail = statistics.median(ours[name][size]), statistics.median(tails[name][size])
        peer = statistics.median(peers[name][size]) if name in peers else None
        rows.append({"question": name, "cases": size, "p50_us": us, "p99_us": tail, "peer_us": peer,
                     "ratio": peer / us if peer else None, "of_first": us / first})
        print(f"{name:<44} {size:>9,} {us / 1000:>8.2f} {tail / 1000:>8.2f} " +
              (f"{peer / 1000:>12.1f} {peer / us:>8.0f}" if peer else f"{'':>12} {'':>8}") + f" {us / first:>12.2f}")
print("targets: p99 <= 5 ms; ratio >= 1,000 at a million cases; flat in cases")
os.makedirs("build/bench", exist_ok=True)
json.dump(rows, open("build/bench/report.json", "w"), indent=1)
PYTHON
