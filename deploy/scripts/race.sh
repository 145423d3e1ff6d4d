#!/usr/bin/env bash
# Runs the tests under the race detector, except the end-to-end ones, which
# drive a binary that is not built with it.
set -euo pipefail
cd "$(dirname "$0")/../.."
. deploy/scripts/env.sh
packages=$(go list ./... | grep -v /cmd/semantic/e2e)
# shellcheck disable=SC2086 # a list of packages
tool gotestsum --format pkgname -- -race -timeout 20m $packages
