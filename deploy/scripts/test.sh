#!/usr/bin/env bash
# Runs the tests of the packages named (default: all) on real parts, and fails
# if any test was skipped; where there is no promtool, those that need it may be.
# Leaves the coverage in .cache/cover.out.
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
skipped=$(grep '"Action":"skip"' "$cache/test.json" | grep '"Test":' || true)
if ! command -v promtool >/dev/null && [ -z "${SEMANTIC_TEST_PROMTOOL:-}" ]; then
  without=$(printf '%s\n' "$skipped" | grep -c '"Test":"TestPromtool' || true)
  if [ "$without" != 0 ]; then
    echo "test.sh: $without tests were skipped because promtool is not on PATH: sudo apt-get install prometheus, or brew install prometheus" >&2
  fi
  skipped=$(printf '%s\n' "$skipped" | grep -v '"Test":"TestPromtool' || true)
fi
if [ -n "$skipped" ]; then
  printf '%s\n' "$skipped"
  echo "test.sh: the tests above were skipped; with everything fetched none may be" >&2
  status=1
fi
exit "$status"
