#!/usr/bin/env bash
# Installs, builds and runs every test. Arguments go to ctest, e.g. scripts/test.sh -L unit
# T2I_REQUIRE_SHARED=1: a test that misses its data folder fails instead of being skipped.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
"$root/scripts/build.sh" -DT2I_TESTS=ON -DT2I_WERROR=ON
cd "$root/build"
# One test at a time: the tests use all cores themselves.
exec ctest --output-on-failure --no-tests=error "$@"
