#!/usr/bin/env bash
# The stress suite at full size, with a sustained load of STRESS: it ends with a table
# of what was measured, and the same as JSON in STRESS_OUT (.cache/stress.json).
set -euo pipefail
cd "$(dirname "$0")/../.."
. deploy/scripts/env.sh
export STRESS_OUT=${STRESS_OUT:-$PWD/$cache/stress.json}
status=0
go test -count=1 -timeout 0 -v ./cmd/semantic/e2e/stress || status=$?
echo "stress.sh: figures in $STRESS_OUT"
exit "$status"
