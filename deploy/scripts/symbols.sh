#!/usr/bin/env bash
# Fetches the native packages of every platform in the lock file and checks
# that they export every symbol the binding and our own code call.
set -euo pipefail
cd "$(dirname "$0")/../.."
. deploy/scripts/env.sh
mkdir -p "$SEMANTIC_TEST_NPM"
bin/semantic runtime fetch --all-platforms --to "$SEMANTIC_TEST_NPM"
go run ./deploy/symbols/cmd/checksymbols "$SEMANTIC_TEST_NPM"
