#!/usr/bin/env bash
# Runs the benchmarks one after the other and writes docs/performance/latest.md:
# each with its command, the machine and the date. Figures are compared as
# ratios within one run; this takes some minutes and wants a quiet machine.
set -euo pipefail
cd "$(dirname "$0")/../.."
. deploy/scripts/env.sh
out=docs/performance/latest.md
mkdir -p docs/performance
raw=$cache/bench.txt

cpu() {
  if [ -r /proc/cpuinfo ]; then
    sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | sort -u | head -1
  else
    sysctl -n machdep.cpu.brand_string
  fi
}

section() {
  local title=$1 says=$2
  shift 2
  echo "bench.sh: $title" >&2
  "$@" > "$raw" || { cat "$raw" >&2; return 1; }
  printf '\n## %s\n\n%s\n\n    %s\n\n```\n' "$title" "$says" "$*"
  grep -E '^Benchmark' "$raw"
  printf '```\n'
}

{
  printf '# Benchmarks\n\nWritten by `make bench` at commit %s on %s.\n' "$(git rev-parse --short HEAD)" "$(date -u '+%Y-%m-%d %H:%M UTC')"
  printf 'Machine: %s, %s processors, %s/%s, %s.\n' "$(cpu)" "$(getconf _NPROCESSORS_ONLN)" "$(go env GOOS)" "$(go env GOARCH)" "$(go env GOVERSION)"
  printf 'Load average at the start: %s.\n' "$(uptime | sed 's/.*average[s]*: //')"
  section 'Engine against a bare loop' \
    'The real model. `ratio` is engine tokens a second over those of a bare loop with the same backend calls; rounds of both take turns.' \
    go test -run '^$' -bench '^BenchmarkEngine$' -benchtime 5x -timeout 30m ./engine/llama
  section 'What gateway, queue and worker add to the time to first token' \
    'The simulated backend, 2 ms a step. `added` is HTTP against the same engine called directly, in turns.' \
    go test -run '^$' -bench '^BenchmarkAddedTimeToFirstToken$' -benchtime 1000x ./cmd/semantic/e2e
  section 'From publish to claim, and one append' \
    'A job published by another connection until an idle worker has claimed it and read its log; one fenced append to one log.' \
    go test -run '^$' -bench '^(BenchmarkPublishToClaim|BenchmarkAppend|BenchmarkSubmit)$' -benchtime 2s ./queue
} > "$out.new"
mv "$out.new" "$out"
cat "$out"
