#!/usr/bin/env bash
# lib/rpc against gRPC C++'s callback server with the same replies, taking turns: Health/Check, and EmptyCall with a token that
# lib/rpc checks while it logs at info and counts; 1 connection with 1 stream, and 4 with 16 each. Load from h2load on the same
# machine. Prints medians and ratios, writes build/bench/rpc.json.
#
#   RPC_ROUNDS=5  RPC_SECONDS=2  RPC_QUEUES=1  RPC_THREADS_PER_QUEUE=2
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${CASEWORK_BIN:-build/bin}
bench=${BENCH_BIN:-build/bench/bin}
rounds=${RPC_ROUNDS:-5}
seconds=${RPC_SECONDS:-2}

work=$(mktemp -d /tmp/casework-bench-XXXXXX)
pids=()
end() {
    local pid
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap end EXIT

# --- a key, a token, the request's bodies ---

mkdir "$work/keys"
secret=0123456789abcdef0123456789abcdef
printf %s "$secret" >"$work/keys/bench.secret"
base64url() { base64 -w0 | tr '+/' '-_' | tr -d =; }
signed=$(printf '{"alg":"HS256","typ":"JWT","kid":"bench"}' | base64url).$(
    printf '{"sub":"bench","account":"*","role":"service","exp":%d}' $(($(date +%s) + 86400)) | base64url)
token=$signed.$(printf %s "$signed" | openssl dgst -sha256 -hmac "$secret" -binary | base64url)
printf '\0\0\0\0\0' >"$work/empty" # a message of no bytes: neither request needs a field

# --- the two sides ---

start() { # start COMMAND…: sets `port`
    "$@" >"$work/port" 2>"$work/log" &
    pids+=($!)
    local left=100
    until [ -s "$work/port" ]; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || { cat "$work/log" >&2; return 1; }
        sleep 0.1
    done
    port=$(cat "$work/port")
    : >"$work/port"
}
start "$bin/conformance-server" --keys="$work/keys" --log=info --queues="${RPC_QUEUES:-1}" \
    --threads="${RPC_THREADS_PER_QUEUE:-2}"
ours=$port
start "$bench/rpc_peer"
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
            echo "ours ${path##*/} ${shape/ /x} $(load "$ours" "$path" $shape)"
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
