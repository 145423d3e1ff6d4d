#!/usr/bin/env bash
# baseline.sh [measure [USERS...]]: serves the default model, puts each number of
# users on it one after the other (default: 1 4 8 16 50 100, about 12 minutes), and
# makes the page anew. A load that is done is kept: after a stop go on with the
# numbers that are missing.
# baseline.sh page: makes docs/performance/baseline.md, its picture and
# deploy/prometheus/thresholds.json of the loads that are kept, and measures nothing.
#
# BASELINE_SERVE: more arguments of `semantic serve`; BASELINE_BENCH: of each load.
set -euo pipefail
cd "$(dirname "$0")/../.."
semantic=${SEMANTIC:-bin/semantic}
page=${BASELINE_PAGE:-docs/performance/baseline}
thresholds=${BASELINE_THRESHOLDS:-deploy/prometheus/thresholds.json}
loads=${BASELINE_LOADS:-docs/performance/baseline}

# times USERS: how the load is measured. Where many wait, the warm-up is as long as
# it takes until each has been answered once, and there is one long round.
times() {
  case $1 in
    1 | 2 | 4) echo --warmup 5s --duration 15s --rounds 4 ;;
    8) echo --warmup 8s --duration 20s --rounds 4 ;;
    16) echo --warmup 15s --duration 60s ;;
    *) echo --warmup 45s --duration 90s ;;
  esac
}

make_page() {
  "$semantic" bench summary "$loads"/users-*.json --title Baseline --repeat 'make baseline' \
    --out "$page" --thresholds "$thresholds"
}

measure() {
  work=$(mktemp -d)
  server=
  trap 'if [ -n "$server" ]; then kill "$server" 2>/dev/null; wait "$server" || true; fi; rm -rf "$work"' EXIT
  # shellcheck disable=SC2086 # several arguments
  "$semantic" serve --port 0 --nats-port 0 --data-dir "$work/data" --ready-file "$work/ready.json" --log-level warn \
    ${BASELINE_SERVE:-} > "$work/serve.out" 2>&1 &
  server=$!
  until [ -s "$work/ready.json" ]; do
    kill -0 "$server" 2>/dev/null || { cat "$work/serve.out" >&2; exit 1; }
    sleep 0.2
  done
  url=$(sed -n 's/.*"http":"\([^"]*\)".*/\1/p' "$work/ready.json")
  mkdir -p "$loads"
  for users in "$@"; do
    echo "baseline.sh: $users users" >&2
    # shellcheck disable=SC2046,SC2086 # several arguments
    "$semantic" bench --url "$url" --concurrency "$users" --timeout 10m $(times "$users") ${BASELINE_BENCH:-} --out "$work/users-$users"
    mv "$work/users-$users.json" "$loads/"
  done
  make_page
}

case ${1:-measure} in
  page) make_page ;;
  measure)
    [ $# -eq 0 ] || shift
    [ $# -gt 0 ] || set -- 1 4 8 16 50 100
    measure "$@"
    ;;
  *)
    echo "usage: baseline.sh [page | measure [USERS...]]" >&2
    exit 2
    ;;
esac
