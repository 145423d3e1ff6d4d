#!/usr/bin/env bash
# Fails if `go generate` changes or makes any file. Files that were changed
# before are compared with what they were.
set -euo pipefail
cd "$(dirname "$0")/../.."
state() { git ls-files -com --exclude-standard | sort -u | while read -r f; do [ -f "$f" ] && cksum "$f"; done; }
before=$(state)
go generate ./...
if ! changed=$(diff <(printf '%s\n' "$before") <(state)); then
  printf 'not current, now made anew:\n%s\n' "$changed" >&2
  exit 1
fi
