#!/usr/bin/env bash
# Sees to it that the tests find promtool: on PATH, or else from Debian's package
# `prometheus`, which is unpacked under .cache/deps (nothing is installed, and no
# server started). Where that cannot be, it says what to do; with --require it also
# fails.
set -uo pipefail
cd "$(dirname "$0")/../.."
required=0
if [ "${1:-}" = --require ]; then required=1; fi
dir=.cache/deps/prometheus

found() { command -v promtool >/dev/null || [ -x "$dir/usr/bin/promtool" ]; }
give_up() {
  echo "promtool.sh: no promtool: $1. Prometheus' own checks of metrics and rules are not run without it." >&2
  echo "promtool.sh: install it: sudo apt-get install prometheus, or brew install prometheus" >&2
  exit "$required"
}

if found; then exit 0; fi
command -v apt-get >/dev/null || give_up "it is not on PATH, and there is no apt-get to fetch it with"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
# apt writes as a user of its own where it can.
chmod 755 "$work"
fetch() { (cd "$work" && apt-get download -q prometheus >"$work/log" 2>&1); }
echo "promtool.sh: unpacking Debian's prometheus"
if ! fetch; then
  if [ "$(id -u)" != 0 ]; then
    sed 's/^/  /' "$work/log" >&2
    give_up "apt-get does not find the package, and only root may run apt-get update"
  fi
  apt-get update -q >"$work/log" 2>&1 && fetch || { sed 's/^/  /' "$work/log" >&2; give_up "apt-get does not get the package"; }
fi
rm -rf "$dir"
mkdir -p "$dir"
dpkg-deb -x "$work"/prometheus_*.deb "$dir" || give_up "the package cannot be unpacked"
"$dir/usr/bin/promtool" --version >/dev/null 2>&1 || give_up "that of the package does not run"
