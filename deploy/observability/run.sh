#!/usr/bin/env bash
# Starts Prometheus against a running `semantic serve`, with the project's alerts, and
# says where to look. Ctrl-C ends it. Works on Linux and macOS.
#
#   deploy/observability/run.sh [URL of the gateway, default http://127.0.0.1:8000]
#
# SEMANTIC_API_KEY or SEMANTIC_API_KEY_FILE is the key, where the gateway wants one;
# PROMETHEUS_PORT another port than 9090. What it stores is in .cache/prometheus, by target.
set -euo pipefail
cd "$(dirname "$0")/../.."

url=${1:-http://127.0.0.1:8000}
port=${PROMETHEUS_PORT:-9090}
case $url in
  http://*) scheme=http ;;
  https://*) scheme=https ;;
  *) echo "run.sh: $url is no URL: give the gateway's, like http://127.0.0.1:8000" >&2; exit 2 ;;
esac
target=${url#*://}
target=${target%%/*}
if ! command -v prometheus >/dev/null; then
  echo "run.sh: there is no prometheus: sudo apt-get install prometheus, or brew install prometheus" >&2
  exit 1
fi

data=.cache/prometheus/${target//:/_}
mkdir -p "$data"
sed -e "s|TARGET|$target|" -e "s|SCHEME|$scheme|" -e "s|RULES|$PWD/deploy/prometheus|" deploy/observability/prometheus.yml >"$data/prometheus.yml"
key=${SEMANTIC_API_KEY:-}
if [ -z "$key" ] && [ -n "${SEMANTIC_API_KEY_FILE:-}" ]; then key=$(head -n 1 "$SEMANTIC_API_KEY_FILE"); fi
rm -f "$data/key"
if [ -n "$key" ]; then
  (umask 077 && printf '%s' "$key" >"$data/key")
  printf '    authorization: {credentials_file: "%s"}\n' "$PWD/$data/key" >>"$data/prometheus.yml"
fi

graph() { # a name and a query
  printf '  %-28s http://127.0.0.1:%s/graph?g0.tab=0&g0.range_input=15m&g0.expr=%s\n' "$1" "$port" "$2"
}
echo "Scraping $url every 5 s. Ctrl-C ends."
printf '  %-28s http://127.0.0.1:%s/alerts\n' "alerts" "$port"
graph "waiting and running" 'semantic_request_queue_depth'
graph "tokens a second" 'rate(semantic_tokens_generated_total%5B1m%5D)'
graph "time to first token, p95" 'histogram_quantile(0.95,sum%20by(le)(rate(semantic_time_to_first_token_seconds_bucket%5B1m%5D)))'
graph "cells in use" 'semantic_pool_utilization_ratio'
echo "The dashboard for Grafana is deploy/grafana/semantic.json (Dashboards, New, Import)."
# Without native histograms: where they are on, older releases of Prometheus keep only
# them, and the rules and graphs, which ask for classic buckets, see nothing.
exec prometheus --config.file="$data/prometheus.yml" --storage.tsdb.path="$data/data" --storage.tsdb.retention.time=7d \
  --web.listen-address="127.0.0.1:$port" --enable-feature=exemplar-storage --log.level=warn
