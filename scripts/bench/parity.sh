#!/bin/sh
# Prints the table of measured errors against PyTorch, diffusers and transformers, from a build folder with the tests:
#     scripts/bench/parity.sh [BUILD]        (default: build)
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${1:-$root/build}" && pwd)
report=$(mktemp)
trap 'rm -f "$report"' EXIT
export T2I_PARITY_REPORT=$report
"$build/test_models" >/dev/null || { echo "test_models failed in $build" >&2; exit 1; }
"$build/test_unit" "samplers: trajectories equal diffusers'" >/dev/null || { echo "test_unit failed in $build" >&2; exit 1; }
printf '| component | case | measured | limit |\n| --- | --- | --- | --- |\n'
# The worst of each component and dtype; every line with PARITY_ALL=1.
if [ "${PARITY_ALL:-0}" = 1 ]; then
  awk -F '\t' '{ printf "| %s | %s | %.2g | %.2g |\n", $1, $2, $3, $4 }' "$report"
else
  awk -F '\t' '
    { dtype = $2 ~ /bf16/ ? ", bf16" : ($2 ~ /f32/ ? ", f32" : ""); key = $1 dtype }
    !(key in worst) { order[++n] = key; worst[key] = -1 }
    { count[key]++; if ($3 + 0 > worst[key]) { worst[key] = $3 + 0; limit[key] = $4 } }
    END { for (i = 1; i <= n; i++) { k = order[i]; printf "| %s | worst of %d | %.2g | %.2g |\n", k, count[k], worst[k], limit[k] } }' "$report"
fi
