#!/usr/bin/env bash
# The fault suite: a load on a broker, gateways and workers that are killed,
# stopped, drained, cut off and filled up for CHAOS, or until CHAOS_KILLS workers
# were killed and a tenth as many faults of the broker were made; then CHAOS_JOBS
# batch jobs with a worker's death, and the real model with some. CHAOS_SEED
# repeats what was drawn.
set -euo pipefail
cd "$(dirname "$0")/../.."
. deploy/scripts/env.sh
go test -run '^(TestChaos|TestBatchJobs|TestRealModel)$' -count=1 -timeout 0 -v ./cmd/semantic/e2e/chaos
