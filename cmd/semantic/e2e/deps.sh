#!/usr/bin/env bash
# Fetches the real clients that the end-to-end tests run, pinned by the lock
# files in testdata, into the folder given: python (a virtual environment), node
# (a package folder) and bin/nats. What is there and current is left alone, so
# that a second run needs no network.
#
#   cmd/semantic/e2e/deps.sh .cache/deps
set -euo pipefail

if [ $# -ne 1 ]; then
  echo "usage: deps.sh DIR" >&2
  exit 2
fi
mkdir -p "$1"
dir=$(cd "$1" && pwd)
data=$(cd "$(dirname "$0")/testdata" && pwd)
natscli=v0.5.1

# fresh NAME FILE: whether NAME was made from this very FILE. Once the part is
# complete, the copy of FILE beside it is its stamp.
fresh() { [ -f "$dir/$1.stamp" ] && cmp -s "$2" "$dir/$1.stamp"; }

if ! fresh python "$data/python/requirements.txt"; then
  echo "deps.sh: Python clients"
  rm -rf "$dir/python" "$dir/python.stamp"
  python3 -m venv "$dir/python"
  "$dir/python/bin/python" -m pip install --quiet --disable-pip-version-check \
    --require-hashes --only-binary :all: -r "$data/python/requirements.txt"
  cp "$data/python/requirements.txt" "$dir/python.stamp"
fi

if ! fresh node "$data/node/package-lock.json"; then
  echo "deps.sh: Node client"
  rm -rf "$dir/node" "$dir/node.stamp"
  mkdir -p "$dir/node"
  cp "$data/node/package.json" "$data/node/package-lock.json" "$dir/node/"
  (cd "$dir/node" && npm ci --silent --no-audit --no-fund --ignore-scripts)
  cp "$data/node/package-lock.json" "$dir/node.stamp"
fi

printf '%s\n' "$natscli" > "$dir/natscli.want"
if ! fresh natscli "$dir/natscli.want"; then
  echo "deps.sh: nats command line $natscli"
  rm -f "$dir/natscli.stamp"
  # From outside the module: the tool's requirements are its own.
  (cd "$dir" && GOBIN="$dir/bin" CGO_ENABLED=0 GOFLAGS=-mod=mod GOWORK=off \
    go install "github.com/nats-io/natscli/nats@$natscli")
  cp "$dir/natscli.want" "$dir/natscli.stamp"
fi
rm -f "$dir/natscli.want"
