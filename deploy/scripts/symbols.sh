#!/usr/bin/env bash
# Checks the native packages of every platform in the lock file, as fetched by
# testdeps.sh: they export every symbol that the binding and our own code call.
set -euo pipefail
cd "$(dirname "$0")/../.."
. deploy/scripts/env.sh
go run ./deploy/symbols/cmd/checksymbols "$SEMANTIC_TEST_NPM"
