#!/usr/bin/env bash
# Proves t2i on the GPU of this machine and writes gpu_check.json, with logs beside it. Needs a driver, Python 3, and CMake,
# nvcc and scripts/packages.txt to build, or an archive of package.sh, then nothing more.
#   scripts/gpu_check.sh [--only PART[,PART]] [--prebuilt PATH] [--output FILE] [--fresh]
#     parts: build conformance sanitizer pictures bench torch; each ends in under 9 minutes and can be run alone:
#     parts of the same binaries and card are added to the report
# Exit codes: 0 all passed or skipped with a reason, 1 a part failed, 2 usage, 3 input or output, 4 no GPU.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
command -v python3 >/dev/null || { echo "t2i: gpu_check.sh needs python3" >&2; exit 3; }
exec python3 -B "$here/gpu/gpu_check.py" "$@"
