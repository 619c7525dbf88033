#!/usr/bin/env bash
# From nothing to a picture: installs, builds, draws.
#   scripts/quickstart.sh [t2i arguments]      default: --prompt "a red apple" -o out.png
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

cuda=ON
if ! command -v nvidia-smi >/dev/null || ! nvidia-smi >/dev/null 2>&1; then
    echo "t2i: no NVIDIA GPU found, building for the CPU" >&2
    cuda=OFF
elif ! command -v nvcc >/dev/null && [ ! -x /usr/local/cuda/bin/nvcc ]; then
    echo "t2i: a GPU but no CUDA toolkit (nvcc) found, building for the CPU" >&2
    cuda=OFF
fi
"$root/scripts/build.sh" -DT2I_TESTS=OFF -DT2I_CUDA=$cuda

arguments=("$@")
has() { local a; for a in "${arguments[@]}"; do case "$a" in "$1"|"$1"=*|"$2"|"$2"=*) return 0 ;; esac; done; return 1; }
has --prompt -p || arguments+=(--prompt "a red apple")
has --output -o || arguments+=(-o out.png)
"$root/build/t2i" "${arguments[@]}"
