#!/usr/bin/env bash
# lib/rpc against gRPC C++'s callback server with the same replies, taking turns: Health/Check of the case service, and
# EmptyCall of the conformance server with a token that is checked; both log at info and count. 1 connection with 1 stream,
# and 4 with 16 each. Load from h2load on the same machine. Prints medians and ratios, writes build/bench/rpc.json.
#
#   RPC_ROUNDS=5  RPC_SECONDS=2  RPC_QUEUES=1  RPC_THREADS_PER_QUEUE=2
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=bench/support/common.sh
. bench/support/common.sh

rounds=${RPC_ROUNDS:-5}
seconds=${RPC_SECONDS:-2}
export RPC_QUEUES=${RPC_QUEUES:-1} RPC_THREADS_PER_QUEUE=${RPC_THREADS_PER_QUEUE:-2}

make_key
token=$(service_token)
printf '\0\0\0\0\0' >"$work/empty" # a message of no bytes: neither request needs a field

# --- the sides ---

start_printing() { # start_printing COMMAND…: sets port, which the command prints
    rm -f "$work/port"
    "$@" >"$work/port" 2>"$work/log" &
    pids+=($!)
    wait_for 10 test -s "$work/port" || { cat "$work/log" >&2; return 1; }
    port=$(cat "$work/port")
}
start_pg
create_database cases case
start_service case DATABASE_URL="$(in_database cases)" AUTH_KEY_DIRECTORY="$work/keys"
declare -A ours=([/grpc.health.v1.Health/Check]=$port)
start_printing "$bin/conformance-server" --keys="$work/keys" --log=info --queues="$RPC_QUEUES" \
    --threads="$RPC_THREADS_PER_QUEUE"
ours[/grpc.testing.TestService/EmptyCall]=$port
start_printing "$bench/rpc_peer"
peer=$port

# Prints "calls-per-second p50-us p99-us". Health asks for no token, so none is sent there.
load() { # load PORT PATH CONNECTIONS STREAMS
    local calls authorization=()
    [[ $2 == *Health* ]] || authorization=(-H "authorization: Bearer $token")
    calls=$(h2load -c "$3" -m "$4" -t 1 -D "$seconds" --warm-up-time=1 -d "$work/empty" --log-file="$work/times" \
        -H 'content-type: application/grpc' -H 'te: trailers' "${authorization[@]}" \
        "http://127.0.0.1:$1$2" | tee "$work/out" | sed -n 's/^finished in .*, \([0-9.]*\) req\/s.*/\1/p')
    if ! grep -q ' 0 failed, 0 errored' "$work/out"; then
        cat "$work/out" >&2
        return 1
    fi
    cut -f3 "$work/times" | sort -n | awk -v calls="$calls" '
        { t[NR] = $1 } END { print calls, t[int(NR * 0.5) + 1], t[int(NR * 0.99) + 1] }'
    rm -f "$work/times"
}

paths=(/grpc.health.v1.Health/Check /grpc.testing.TestService/EmptyCall)
shapes=("1 1" "4 16")
for ((round = 1; round <= rounds; round++)); do
    for path in "${paths[@]}"; do
        for shape in "${shapes[@]}"; do
            # shellcheck disable=SC2086
            echo "ours ${path##*/} ${shape/ /x} $(load "${ours[$path]}" "$path" $shape)"
            # shellcheck disable=SC2086
            echo "peer ${path##*/} ${shape/ /x} $(load "$peer" "$path" $shape)"
        done
    done
done >"$work/results"

python3 - "$work/results" <<'PYTHON'
import json, os, statistics, sys

runs = {}
for line in open(sys.argv[1]):
    side, method, shape, *figures = line.split()
    runs.setdefault((method, shape), {}).setdefault(side, []).append([float(f) for f in figures])

rows = []
for (method, shape), sides in runs.items():
    row = {"method": method, "shape": shape}
    for side, figures in sides.items():
        row[side] = dict(zip(("calls_per_second", "p50_us", "p99_us"), map(statistics.median, zip(*figures))))
    # Neighbours in time are compared: the machine's mood cancels out.
    row["ratio"] = statistics.median(o[0] / p[0] for o, p in zip(sides["ours"], sides["peer"]))
    row["target"] = 1.25 if shape == "4x16" else 1.0
    rows.append(row)

print(f"{'method':<10} {'shape':<5} {'calls/s':>9} {'C++':>9} {'ratio':>6} {'target':>6} {'p99 us':>7} {'C++':>7}")
for r in rows:
    print(f"{r['method']:<10} {r['shape']:<5} {r['ours']['calls_per_second']:>9.0f} {r['peer']['calls_per_second']:>9.0f}"
          f" {r['ratio']:>6.2f} {r['target']:>6.2f} {r['ours']['p99_us']:>7.0f} {r['peer']['p99_us']:>7.0f}")
os.makedirs("build/bench", exist_ok=True)
json.dump(rows, open("build/bench/rpc.json", "w"), indent=1)
PYTHON
