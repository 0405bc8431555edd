# shellcheck shell=bash
# What the benchmarks share; sourced from the repository's root. Sets work (a scratch folder that goes at the end) and pids
# (what is ended then, last started first).

bin=${CASEWORK_BIN:-build/bin}
bench=${BENCH_BIN:-build/bench/bin}
work=$(mktemp -d /tmp/casework-bench-XXXXXX)
pids=()

end_all() {
    local i
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill "${pids[i]}" 2>/dev/null || true
        wait "${pids[i]}" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap end_all EXIT

wait_for() { # wait_for SECONDS COMMAND…: until it succeeds
    local left=$(($1 * 10))
    shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || { echo "gave up waiting for: $*" >&2; return 1; }
        sleep 0.1
    done
}

# --- PostgreSQL ---

start_pg() { # start_pg SETTING…: sets url
    "$bench/private_pg" "$@" >"$work/url" &
    pids+=($!)
    wait_for 30 test -s "$work/url"
    url=$(cat "$work/url")
    programs=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin | sort -V | tail -n 1)
}
in_database() { echo "${url/\/postgres?//$1?}"; }
sql() { "$programs/psql" -X -q -v ON_ERROR_STOP=1 "$@"; }

create_database() { # create_database NAME COMPONENT
    sql "$url" -c "CREATE DATABASE $1"
    migrate "$@"
}

migrate() { # migrate DATABASE COMPONENT
    DATABASE_URL=$(in_database "$1") MIGRATIONS_COMPONENT=$2 "$bin/casework" migrate >/dev/null
}

# --- Redis ---

start_redis() { # sets redis_url
    "$bench/private_redis" >"$work/redis_url" &
    pids+=($!)
    wait_for 30 test -s "$work/redis_url"
    redis_url=$(cat "$work/redis_url")
}

# --- services ---

# Sets service (its process) and port. Its log goes to $work/NAME.log.
start_service() { # start_service NAME VARIABLE=VALUE… [--option=…]…
    local name=$1 log=$work/$1.log settings=()
    shift
    while [ $# -gt 0 ] && [[ $1 != --* ]]; do
        settings+=("$1")
        shift
    done
    rm -f "$log"
    env LISTEN_ADDRESS=127.0.0.1:0 METRICS_ADDRESS=127.0.0.1:0 "${settings[@]}" "$bin/casework-$name" "$@" 2>"$log" &
    service=$!
    pids+=("$service")
    wait_for 30 grep -q '"msg":"listening"' "$log" || { cat "$log" >&2; return 1; }
    port=$(sed -n 's/.*"msg":"listening".*"server.port":\([0-9]*\).*/\1/p' "$log" | head -n 1)
}
stop_service() {
    kill "$service"
    wait "$service" || true
}

# --- keys and tokens ---

make_key() { # $work/keys with one secret
    mkdir -p "$work/keys"
    printf %s "$bench_secret" >"$work/keys/bench.secret"
}
bench_secret=0123456789abcdef0123456789abcdef
base64url() { base64 -w0 | tr '+/' '-_' | tr -d =; }
service_token() { # of a service for all accounts
    local signed
    signed=$(printf '{"alg":"HS256","typ":"JWT","kid":"bench"}' | base64url).$(
        printf '{"sub":"bench","account":"*","role":"service","exp":%d}' $(($(date +%s) + 86400)) | base64url)
    echo "$signed.$(printf %s "$signed" | openssl dgst -sha256 -hmac "$bench_secret" -binary | base64url)"
}
