#!/usr/bin/env bash
# Fetches what the tests need and is not there yet. Offline once it has run.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin/semantic runtime install
bin/semantic model pull
bin/semantic runtime fetch --all-platforms --to .cache/npm
cmd/semantic/e2e/deps.sh .cache/deps
deploy/scripts/promtool.sh
