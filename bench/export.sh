#!/usr/bin/env bash
# The table of engagements as CSV, by ExportEngagements (`casework report engagements --csv`), against COPY … TO STDOUT of the same
# cells by psql, on the same PostgreSQL, taking turns, each into a file. Both files must have the same rows. And the memory that
# the service takes for it, for each size. Prints medians and ratios, writes build/bench/export.json. See docs/benchmarks.md.
#
#   EXPORT_SIZES="10000 100000 1000000"   cases of the account
#   EXPORT_ROUNDS=3
#   REPORT_DATA=                          a directory that keeps what was prepared for the next time, as of bench/report.sh
#   EXPORT_TURN=                          a command that the measuring, not the preparing, is run with
set -euo pipefail
cd "$(dirname "$0")/.."

sizes=${EXPORT_SIZES:-10000 100000 1000000}
rounds=${EXPORT_ROUNDS:-3}

# --- measuring: the services of $work/services are running ---

seconds() { # seconds COMMAND…: how long it takes
    local start=$EPOCHREALTIME
    "$@"
    awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }'
}
ours() { # ours PORT FILE
    CASEWORK_TOKEN=$(cat "$work/token") REPORT_TARGET=127.0.0.1:$1 "$(cat "$work/cli")" report engagements company-1 --csv "$2"
}
peer() { # peer DATABASE FILE
    "$(cat "$work/programs")/psql" -X -q -v ON_ERROR_STOP=1 "$1" -f "$work/copy.sql" >"$2"
}
memory() { sed -n "s/^$2:[^0-9]*\([0-9]*\) kB/\1/p" "/proc/$1/status"; } # memory PROCESS WHAT: in KB

measure() {
    local round size port database process rows before
    for ((round = 1; round <= rounds; round++)); do
        while read -r size port database process; do
            before=$(memory "$process" VmRSS)
            took=$(seconds ours "$port" "$work/ours.csv")
            peer_took=$(seconds peer "$database" "$work/peer.csv")
            rows=$(tail -n +2 "$work/ours.csv" | wc -l)
            if [ "$round" = 1 ]; then
                # Cells are quoted by other rules.
                cmp <(tail -n +2 "$work/ours.csv" | tr -d "\r\"" | sort) <(tr -d \" <"$work/peer.csv" | sort) >&2
            fi
            echo "$size $rows $took $peer_took $before $(memory "$process" VmHWM)"
        done <"$work/services"
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

start_data "${REPORT_DATA:-}"
for size in $sizes; do
    prepare_size "$size"
    start_report "$size"
    echo "$size $port $(in_database "report_$size") $service" >>"$work/services"
done
echo "$programs" >"$work/programs"
echo "$bin/casework" >"$work/cli"

# The cells as docs/report.md says: times with 0, 3 or 6 digits of a second, durations with as many as needed. No text here would be a formula or
# need quotes but the number of a phone, which gets its mark.
cat >"$work/copy.sql" <<'SQL'
SET TimeZone = 'UTC';
COPY (
SELECT 'accounts/' || account || '/cases/' || case_id,
       CASE WHEN left(channel_address, 1) IN ('=', '+', '-', '@') THEN '''' ELSE '' END || channel_address, network,
       to_char(to_timestamp(opened / 1000000) + (opened % 1000000) * interval '1 microsecond', 'YYYY-MM-DD"T"HH24:MI:SS' ||
               CASE WHEN opened % 1000000 = 0 THEN '' WHEN opened % 1000 = 0 THEN '.MS' ELSE '.US' END || '"Z"'),
       CASE WHEN closed < 9223372036854775807 THEN
           to_char(to_timestamp(closed / 1000000) + (closed % 1000000) * interval '1 microsecond', 'YYYY-MM-DD"T"HH24:MI:SS' ||
               CASE WHEN closed % 1000000 = 0 THEN '' WHEN closed % 1000 = 0 THEN '.MS' ELSE '.US' END || '"Z"') END,
       'accounts/' || account || '/agents/' || last_agent,
       trim_scale(first_reply / 1000000.0), trim_scale(resolution / 1000000.0),
       (SELECT string_agg('accounts/' || account || '/agents/' || a.agent, ';' ORDER BY a.i)
        FROM unnest(agents) WITH ORDINALITY AS a (agent, i)),
       cardinality(agents), interactions, CASE WHEN nps_sent THEN 'true' ELSE 'false' END,
       'CASE_STATUS_' || (ARRAY['NEW', 'OPEN', 'PENDING', 'RESOLVED', 'CLOSED', 'DELETED'])[status],
       (SELECT string_agg(c.class_group || ': ' || c.class_value, '; ' ORDER BY c.i)
        FROM unnest(class_groups, class_values) WITH ORDINALITY AS c (class_group, class_value, i))
FROM report_engagements WHERE account = 'company-1' AND engaged AND counted ORDER BY closed DESC, case_id DESC
) TO STDOUT CSV
SQL

# shellcheck disable=SC2086
${EXPORT_TURN:-} bash bench/export.sh measure "$work"

python3 - "$work/results" <<'PYTHON'
import json, os, statistics, sys

runs = {}
for line in open(sys.argv[1]):
    size, *figures = line.split()
    runs.setdefault(int(size), []).append([float(f) for f in figures])
result = []
print(f"{'cases':>9} {'rows':>9} {'export rows/s':>14} {'COPY rows/s':>12} {'ratio':>6} {'idle MB':>8} {'most MB':>8}  target: 0.5, constant")
for size, figures in runs.items():
    rows = figures[0][0]
    ratio = statistics.median(peer / ours for _, ours, peer, _, _ in figures)
    ours, peer = (statistics.median(rows / f[i] for f in figures) for i in (1, 2))
    before, most = figures[0][3] / 1024, max(f[4] for f in figures) / 1024
    result.append({"cases": size, "rows": rows, "export_per_second": ours, "copy_per_second": peer, "ratio": ratio,
                   "idle_mb": before, "most_mb": most})
    print(f"{size:>9,} {rows:>9,.0f} {ours:>14,.0f} {peer:>12,.0f} {ratio:>6.2f} {before:>8.1f} {most:>8.1f}")
os.makedirs("build/bench", exist_ok=True)
json.dump(result, open("build/bench/export.json", "w"), indent=1)
PYTHON
