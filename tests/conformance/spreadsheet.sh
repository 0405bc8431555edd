#!/usr/bin/env bash
# Opens an exported table in a real spreadsheet program, LibreOffice, where there is one.
set -euo pipefail
cd "$(dirname "$0")/../.."

bin=$(realpath "${CASEWORK_BIN:-build/test/bin}")
program=$(command -v soffice || command -v libreoffice || true)
if [ -z "$program" ]; then
    echo "spreadsheet: left out, no LibreOffice here (Debian: libreoffice-calc-nogui)"
    exit 0
fi
CASEWORK_BIN=$bin CASEWORK_SPREADSHEET=$program "$bin/integration-tests" -j1 --filter 'export_spreadsheet/*' 2>&1 |
    sed -u '/^{"time":"[^"]*","level":"\(debug\|info\)"/d'
