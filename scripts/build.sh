#!/usr/bin/env bash
# Installs what is missing and builds a release into build/. Arguments go to CMake's configure step.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
"$root/scripts/install_packages.sh"
cmake -S "$root" -B "$root/build" -G Ninja -DCMAKE_BUILD_TYPE=Release "$@" >"$root/build.log" 2>&1 ||
    { cat "$root/build.log" >&2; echo "t2i: configuring failed" >&2; exit 3; }
cmake --build "$root/build" >&2
rm -f "$root/build.log"
