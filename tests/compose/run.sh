#!/bin/bash
# Starts docker-compose.yml for real and runs the tour against it. Needs root, Debian's docker.io, docker-compose and debootstrap.
# Where an image is not there it is made from Debian's packages; a Docker engine is started if none runs, and stopped again.
set -euo pipefail
cd "$(dirname "$0")/../.."

export COMPOSE_PROJECT_NAME=casework-test
work=$(mktemp -d)
engine=

cleanup() {
    docker-compose logs --no-color > build/compose.log 2>&1 || true
    docker-compose down --volumes --timeout 20 > /dev/null 2>&1 || true
    [ -z "$engine" ] || { kill "$engine"; wait "$engine" || true; }
    rm -rf "$work"
}
trap cleanup EXIT

# wait_for SECONDS COMMAND…
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@" > /dev/null 2>&1; do
        [ $SECONDS -lt $end ] || { echo "compose: waited too long for: $*" >&2; return 1; }
        sleep 0.5
    done
}

have_image() { docker image inspect "$1" > /dev/null 2>&1; }

mkdir -p build
if ! docker info > /dev/null 2>&1; then
    dockerd > build/dockerd.log 2>&1 &
    engine=$!
    wait_for 30 docker info
fi

if ! have_image debian:bookworm-slim; then
    echo "compose: making debian:bookworm-slim"
    debootstrap --variant=minbase --include=ca-certificates bookworm "$work/base" > build/debootstrap.log
    # the machine's own package sources, whatever they are
    rm -f "$work/base/etc/apt/sources.list"
    cp -r /etc/apt/sources.list* /etc/apt/apt.conf.d "$work/base/etc/apt/"
    tar -C "$work/base" -c . | docker import - debian:bookworm-slim > /dev/null
fi
have_image postgres:15-bookworm || docker build -q --network host -t postgres:15-bookworm tests/compose/postgres
have_image redis:7-bookworm || docker build -q --network host -t redis:7-bookworm tests/compose/redis

echo "compose: building the image"
docker build -q --network host -t casework . > /dev/null
docker-compose up --detach --no-build

passed=0
failed=0
# check NAME COMMAND…: the command succeeds
check() {
    local name=$1
    shift
    if "$@" > "$work/out" 2>&1; then
        passed=$((passed + 1))
        echo "ok    $name"
    else
        failed=$((failed + 1))
        echo "FAIL  $name"
        cat "$work/out"
    fi
}

casework() { docker-compose exec -T -e CASEWORK_TOKEN="${token:-}" case casework "$@"; }

all_healthy() { casework health; }
found() { [ "$(casework search bramblefield kettle --json | grep -o '"case"' | wc -l)" -ge 2 ]; }
counted() { casework report activity bramblefield --month 2026-03 --json | grep -q '"created":"5"'; }
has_timer() {
    casework case reopen bramblefield/1 && casework case resolve bramblefield/1 &&
        wait_for 20 sh -c "docker-compose exec -T -e CASEWORK_TOKEN=$token case casework sla case bramblefield/1 --json | grep -q TIMER_KIND_CLOSE"
}
refused_without_token() { ! token=none casework case list bramblefield; }

wait_for 120 all_healthy || true
check "all services are healthy" all_healthy
token=$(docker-compose exec -T case casework token --keys /keys --account '*' --role service)
check "the sample is imported" docker-compose exec -T -e CASEWORK_TOKEN="$token" case casework import - \
    < samples/conversations.jsonl
check "search finds it" wait_for 20 found
check "the report counts it" wait_for 20 counted
check "resolving arms the closing timer" has_timer
check "no token, no answer" refused_without_token
check "the containers run as an ordinary user" test "$(docker-compose exec -T case id -u)" = 65532
docker-compose restart --timeout 20 case > /dev/null 2>&1
wait_for 60 all_healthy || true
check "everything is there after a restart" found
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
