#!/usr/bin/env bash
# Installs, builds and runs every test. Arguments go to ctest, e.g. scripts/test.sh -L unit
# T2I_REQUIRE_SHARED=1: a test that misses its data folder fails instead of being skipped.
# T2I_WERROR=ON: warnings are errors, as in scripts/check.sh and .ci/run.
# T2I_TEST_CLUSTER=1: also `t2i batch` under a real Slurm and mpirun, which start daemons on the loopback address (needs root).
# T2I_TEST_FILE_SYSTEMS=1: also `t2i batch` on vfat, exFAT and encfs by FUSE, where the machine lets one mount them.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
if [ "${T2I_TEST_CLUSTER:-0}" = 1 ]; then "$root/scripts/install_packages.sh" "$root/scripts/packages-cluster.txt"; fi
if [ "${T2I_TEST_FILE_SYSTEMS:-0}" = 1 ]; then "$root/scripts/install_packages.sh" "$root/scripts/packages-file-systems.txt"; fi
# A build that scripts/quickstart.sh made goes on: only what it left out is compiled.
"$root/scripts/build.sh" -DT2I_TESTS=ON -DT2I_CUDA=AUTO ${T2I_WERROR:+-DT2I_WERROR="$T2I_WERROR"}
cd "$root/build"
# One test at a time: the tests use all cores themselves.
ctest --output-on-failure --no-tests=error "$@"
# What the GPU's kernels went through: each operation's test counts the kernels that it started (tests/conformance/conform.cpp).
awk '/^emulated: / { tests++; cases += $2; kernels += $4; launches += $6; blocks += $8 }
     END { if (tests) printf "GPU kernels under emulation: %d operations, %d kernels, %d cases in every thread order, %d launches of %d blocks\n",
                             tests, kernels, cases, launches, blocks }' Testing/Temporary/LastTest.log
