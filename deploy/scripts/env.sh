# Sourced by the test scripts: where the native parts are, and that tests may
# not skip. The paths come from the binary itself, so that tests use what
# `semantic serve` uses.
cache=.cache
mkdir -p "$cache"
bin=bin/semantic
SEMANTIC_TEST_LIB=$("$bin" runtime path) || exit 1
SEMANTIC_TEST_MODEL=$("$bin" model path smollm2-135m-instruct) || exit 1
SEMANTIC_TEST_REQUIRE=1
SEMANTIC_TEST_DEPS=$PWD/$cache/deps
SEMANTIC_TEST_NPM=$PWD/$cache/npm
export SEMANTIC_TEST_LIB SEMANTIC_TEST_MODEL SEMANTIC_TEST_REQUIRE SEMANTIC_TEST_DEPS SEMANTIC_TEST_NPM
# Debian's promtool, where there is no other (promtool.sh).
if [ -d "$SEMANTIC_TEST_DEPS/prometheus/usr/bin" ]; then PATH=$PATH:$SEMANTIC_TEST_DEPS/prometheus/usr/bin; fi
tool() { go tool -modfile=deploy/tools/go.mod "$@"; }
