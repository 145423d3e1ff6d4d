#!/usr/bin/env bash
# bench.sh PART... runs the benchmarks of the parts named (engine, queue) one
# after the other and writes docs/performance/PART.md for each: every row with its
# command, on which machine and when. Figures are compared as ratios within one
# run; this takes some minutes and wants a quiet machine.
set -euo pipefail
cd "$(dirname "$0")/../.."
. deploy/scripts/env.sh
raw=$cache/bench.txt
mkdir -p docs/performance

cpu() {
  if [ -r /proc/cpuinfo ]; then
    sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | sort -u | head -1
  else
    sysctl -n machdep.cpu.brand_string
  fi
}

header() {
  printf '# Benchmarks of the %s\n\nWritten by `make bench-%s` at commit %s on %s.\n' "$1" "$1" \
    "$(git rev-parse --short HEAD)" "$(date -u '+%Y-%m-%d %H:%M UTC')"
  printf 'Machine: %s, %s processors, %s/%s, %s.\n' "$(cpu)" "$(getconf _NPROCESSORS_ONLN)" "$(go env GOOS)" "$(go env GOARCH)" "$(go env GOVERSION)"
  printf 'Load average at the start: %s.\n' "$(uptime | sed 's/.*average[s]*: //')"
}

# section TITLE TEXT PACKAGE BENCH TIME: a table with one line for each figure.
section() {
  echo "bench.sh: $1" >&2
  go test -run '^$' -bench "$4" -benchtime "$5" -timeout 30m "$3" > "$raw" || { cat "$raw" >&2; return 1; }
  printf "\n## %s\n\n%s\n\n    go test -run '^\$' -bench '%s' -benchtime %s %s\n\n" "$1" "$2" "$4" "$5" "$3"
  awk '/^Benchmark/ {
    name = $1; sub(/^Benchmark/, "", name); sub(/-[0-9]+$/, "", name)
    if (!lines++) { print "| benchmark | figure | unit |"; print "| --- | ---: | --- |" }
    for (i = 3; i < NF; i += 2) printf "| %s | %s | %s |\n", name, $i, $(i + 1)
  }' "$raw"
}

engine() {
  header engine
  section 'The engine against a bare loop' \
    'The default model in Q8_0. `ratio`: tokens a second of the engine over those of a loop that makes the same steps on the same kernels and does nothing
else; rounds of both take turns. `outside`: the share of the time that is not spent in the steps. Bound: at least 0.97 each, at most 5 allocations a token.' \
    ./engine/llama '^BenchmarkEngine$' 8x
  section 'What it costs to be observed' \
    'An engine with all metrics (native histograms too, read once a round), the time between tokens, every trace sampled and a log, over one without any; rounds of both
take turns. Bound: a `ratio` of at least 0.98, and at most 5 allocations a token.' \
    ./engine/llama '^BenchmarkObserved$' 12x
  section 'What users feel' \
    'Each figure is a ratio within one round, or says its unit (engine/enginetest/loads.go has the loads).
`together`: 8 streams at once against the same one after another; at least 1.6.
`stall`: 8 streams while a prompt of 4,000 tokens is read, against the same tokens alone, and the time to first token of that prompt and of a short one that comes behind it; 2.5 is
wanted for the 99th percentile and out of reach on a CPU, where 64 rows of a prompt take many times as long as a decode step (docs/adr/0009).
`shared`: prompt rows of 16 sequences with the same 2,000 tokens in front, against not sharing; at most 1/8.
`room`: 12 streams in room for 6: all end, and as many say what they say alone as of the same crowd in ample room (docs/adr/0011 says why that is not 12).
`grammar`: time per token under a grammar against free text; at most 1.05.' \
    ./engine/llama '^BenchmarkLoads$' 3x
  section 'Threads beside a busy core' \
    'Decoding one stream with 1, 2 and as many threads as the engine chooses while it runs (docs/adr/0010), alone and beside a process that keeps a core busy. The chosen number
is to beat the worst fixed one in each case.' \
    ./engine/llama '^BenchmarkBusyCore$' 2x
}

queue() {
  header queue
  section 'What gateway, queue and worker add to the time to first token' \
    'The simulated backend, 2 ms a step. `added`: HTTP against the same engine called directly, in turns.' \
    ./cmd/semantic/e2e '^BenchmarkAddedTimeToFirstToken$' 1000x
  section 'From publish to claim, and one append' \
    'A job published by another connection until an idle worker has claimed it and read its log; one fenced append to one log; one submit.' \
    ./queue '^(BenchmarkPublishToClaim|BenchmarkAppend|BenchmarkSubmit)$' 2s
  section 'What the two ways to sync cost' \
    'One append after another to one log: the broker syncs once a second (the default; a power cut of a sole broker can lose that much), or before each acknowledgement
(`--sync always`).' \
    ./queue '^BenchmarkSync$' 2000x
  section 'Claims' \
    'Jobs claimed, ended and acknowledged from a full queue, by one claimer and by four, each with eight jobs at a time.' \
    ./queue '^BenchmarkClaims$' 5000x
  section 'From a kill to the next claim' \
    'Beyond AckWait, after which the broker may offer the job of a killed worker again: until another worker has claimed it and read its log of 1,000 events.' \
    ./queue '^BenchmarkResume$' 10x
  section 'Open streams' \
    'Tokens a second through queue and gateway to as many streams, one event for each token, until the last client has read the last one, and what an open stream takes in
memory (heap and stacks of gateway, queue and broker together). Clients are a process of their own on the same cores.' \
    ./cmd/semantic/e2e '^BenchmarkOpenStreams$' 5x
}

for part in "$@"; do
  "$part" > "docs/performance/$part.md.new"
  mv "docs/performance/$part.md.new" "docs/performance/$part.md"
  cat "docs/performance/$part.md"
done
