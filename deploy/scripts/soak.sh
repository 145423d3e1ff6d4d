#!/usr/bin/env bash
# Puts a random load on the engine for SOAK, on the simulated backend and then on
# the default model: memory flat, cells back to zero, every text right. The seed
# is in the output; SOAK_SEED repeats it.
set -euo pipefail
cd "$(dirname "$0")/../.."
. deploy/scripts/env.sh
for package in ./engine/enginetest ./engine/llama; do
  go test -run '^TestSoak$' -count=1 -timeout 0 -v "$package"
done
