#!/usr/bin/env bash
# Runs the tests of the packages named (default: all) on real parts, and fails
# if any test was skipped. Leaves the coverage in .cache/cover.out.
set -euo pipefail
cd "$(dirname "$0")/../.."
. deploy/scripts/env.sh

packages=("$@")
cover=()
if [ ${#packages[@]} -eq 0 ]; then
  packages=(./...)
  cover=("-coverprofile=$cache/cover.out")
fi
status=0
tool gotestsum --format pkgname --jsonfile "$cache/test.json" -- -timeout 15m ${cover[@]+"${cover[@]}"} "${packages[@]}" || status=$?
if grep '"Action":"skip"' "$cache/test.json" | grep '"Test":'; then
  echo "test.sh: the tests above were skipped; with everything fetched none may be" >&2
  status=1
fi
exit "$status"
