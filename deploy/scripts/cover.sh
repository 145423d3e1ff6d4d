#!/usr/bin/env bash
# Prints the coverage of statements by package from a profile, and fails where
# a package of the product's core (queue, engine, worker, gateway, schemas and
# what is beneath them) is under its bound.
set -euo pipefail
cd "$(dirname "$0")/../.."
profile=${1:?usage: cover.sh PROFILE}
[ -e "$profile" ] || { echo "cover.sh: $profile is missing: run make test first" >&2; exit 1; }
# Test helpers and generators are run by other packages' tests or by hand.
awk -v bound=85 -v tools='(queuetest|enginetest|internal/gen|gguftest|tinymodel|tablegen)' '
  /^mode:/ { next }
  {
    file = $1; sub(/:[^:]*$/, "", file)
    package = file; sub(/\/[^\/]*$/, "", package); sub(/^github.com\/semantic-worker\/semantic\//, "", package)
    if (!($1 in seen)) { seen[$1] = $2; of[$1] = package; all[package] += $2 }
    if ($3 > 0 && !($1 in hit)) { hit[$1] = 1; covered[package] += $2 }
  }
  END {
    for (p in all) {
      share = 100 * covered[p] / all[p]
      must = (p ~ /^(queue|engine|worker|gateway|schemas)(\/|$)/ && p !~ tools)
      printf "%-44s %5.1f %%%s\n", p, share, must ? (share < bound ? "  UNDER " bound " %" : "") : "" | "sort"
      if (must && share < bound) bad = 1
    }
    close("sort")
    exit bad
  }' "$profile"
