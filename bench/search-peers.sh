#!/usr/bin/env bash
# bench/search.sh with Tantivy as one more side, which takes cargo and crates.
set -euo pipefail
cd "$(dirname "$0")/.."
SEARCH_PEERS="${SEARCH_PEERS:-engine fts5 xapian tantivy gin rum btree_nested btree_merge}" exec bench/search.sh
