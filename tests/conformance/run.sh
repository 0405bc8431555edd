#!/usr/bin/env bash
# Runs the gRPC interoperability cases against tests/conformance with grpc-go's interop client. The client is built once, in
# a scratch module under build/.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly grpc_version=v1.66.3
readonly scratch=build/interop
readonly cases=(
    empty_unary large_unary client_streaming server_streaming ping_pong empty_stream custom_metadata
    status_code_and_message special_status_message unimplemented_method unimplemented_service cancel_after_begin
    cancel_after_first_response timeout_on_sleeping_server
)

command -v go >/dev/null || { echo "conformance: go is needed to build the interop client" >&2; exit 1; }

build_client() {
    [ -x "$scratch/client" ] && return
    mkdir -p "$scratch"
    cat >"$scratch/go.mod" <<MOD
module interop

go 1.21

require google.golang.org/grpc $grpc_version
MOD
    cat >"$scratch/tools.go" <<GO
//go:build tools

package interop

import _ "google.golang.org/grpc/interop/client"
GO
    (cd "$scratch" && go mod tidy && go build -o client google.golang.org/grpc/interop/client)
}

build_client
exec 3< <(exec "${CASEWORK_BIN:-build/test/bin}/conformance-server")
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT
read -r -t 20 port <&3

passed=0 failed=0
for case in "${cases[@]}"; do
    if output=$(timeout 60 "$scratch/client" --server_host=127.0.0.1 --server_port="$port" --test_case="$case" 2>&1); then
        passed=$((passed + 1))
        echo "ok      $case"
    else
        failed=$((failed + 1))
        echo "FAILED  $case"
        printf '%s\n' "$output" | sed 's/^/        /'
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
