#!/usr/bin/env bash
# Profiles a run of t2i and writes reports that the profilers' viewers open.
#   scripts/profile.sh [options] [--] [t2i arguments]      default arguments: --prompt "a red apple" --device cuda
#     --systems        Nsight Systems: where the time goes between host, queue and kernels
#     --compute        Nsight Compute: what limits single kernels   (both unless one is chosen)
#     --cpu            perf: where the CPU's time goes; nothing of the above
#     --range NAME     with Nsight: only inside the first range of this name (load, text, prepare, denoise, step, decode …)
#     --kernel REGEX   with Nsight Compute: kernels by name (default: all of ours, "_kernel")
#     --skip N, --count N   with Nsight Compute: leave out the first N of them, profile N (default 0 and 20)
#     --output PREFIX  of the reports (default: profile)
#     --program FILE   default: build/t2i
# Exit codes: 0 done, 2 usage, 4 a profiler is missing or not allowed; else the profiler's own.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

fail() { echo "t2i: $1" >&2; exit "$2"; }

parse_arguments() {
    systems=0 compute=0 cpu=0 range='' kernel=_kernel skip=0 count=20 output=profile program=''
    while [ $# -gt 0 ]; do
        case "$1" in
            --range|--kernel|--skip|--count|--output|--program) [ $# -ge 2 ] || fail "$1 needs a value" 2 ;;&
            --systems) systems=1; shift ;;
            --compute) compute=1; shift ;;
            --cpu) cpu=1; shift ;;
            --range) range=$2; shift 2 ;;
            --kernel) kernel=$2; shift 2 ;;
            --skip) skip=$2; shift 2 ;;
            --count) count=$2; shift 2 ;;
            --output) output=$2; shift 2 ;;
            --program) program=$2; shift 2 ;;
            -h|--help) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 0 ;;
            --) shift; break ;;
            *) break ;;
        esac
    done
    [[ $skip =~ ^[0-9]+$ && $count =~ ^[1-9][0-9]*$ ]] || fail "--skip and --count take whole numbers" 2
    if [ $systems$compute$cpu = 000 ]; then systems=1 compute=1; fi
    arguments=("$@")
    if [ $# -eq 0 ]; then
        arguments=(--prompt "a red apple" --output "$output.png")
        [ $cpu = 1 ] || arguments+=(--device cuda)
    fi
    # In the repository, and in an archive of package.sh.
    if [ -z "$program" ]; then
        program=$root/build/t2i
        [ -x "$program" ] || program=$root/bin/t2i
    fi
    [ -x "$program" ] || fail "no program $program: build it with scripts/build.sh, or name one with --program" 3
}

# Prints the path of a tool: on the PATH, in the CUDA toolkit, or where NVIDIA's own packages put it. Newest last.
find_tool() {
    local name=$1 path found=''
    if path=$(command -v "$name"); then echo "$path"; return; fi
    shift
    for path in "/usr/local/cuda/bin/$name" "$@"; do
        if [ -x "$path" ]; then found=$path; fi
    done
    if [ -n "$found" ]; then echo "$found"; else return 1; fi
}

profile_cpu() {
    local perf
    perf=$(find_tool perf) || fail "no perf: install it with  apt-get install linux-perf" 4
    "$perf" record -F 999 -o "$output.perf.data" -- "$program" "${arguments[@]}" ||
        fail "perf could not record: it needs root, or  sysctl kernel.perf_event_paranoid=1" 4
    "$perf" report -i "$output.perf.data" --stdio --sort symbol,dso --percent-limit 1
    echo "$output.perf.data"
}

profile_systems() {
    local nsys capture=()
    nsys=$(find_tool nsys /opt/nvidia/nsight-systems/*/bin/nsys /opt/nvidia/nsight-systems-cli/*/bin/nsys) ||
        fail "no Nsight Systems (nsys): install nsight-systems-cli from https://developer.nvidia.com/nsight-systems" 4
    if [ -n "$range" ]; then
        # Our range names are plain strings, which Nsight Systems looks at only when told to.
        capture=(--capture-range=nvtx "--nvtx-capture=$range@*" --capture-range-end=stop --env-var=NSYS_NVTX_PROFILER_REGISTER_ONLY=0)
    fi
    # The kernels inside a recorded step show one by one with graph-trace=node, at some cost in time.
    "$nsys" profile --trace=cuda,nvtx,cublas,cudnn,osrt --cuda-graph-trace=node --sample=none --cpuctxsw=none \
        "${capture[@]}" --force-overwrite=true --output="$output" "$program" "${arguments[@]}"
    "$nsys" stats --force-export=true --report nvtx_sum,cuda_gpu_kern_sum,cuda_gpu_mem_time_sum "$output.nsys-rep"
    echo "$output.nsys-rep"
}

profile_compute() {
    local ncu only=()
    ncu=$(find_tool ncu /opt/nvidia/nsight-compute/*/ncu) ||
        fail "no Nsight Compute (ncu): it comes with the CUDA toolkit, or install nsight-compute from https://developer.nvidia.com/nsight-compute" 4
    if [ -n "$range" ]; then only=(--nvtx --nvtx-include "$range/"); fi
    "$ncu" --set full --target-processes all --graph-profiling node --kernel-name "regex:$kernel" \
        --launch-skip "$skip" --launch-count "$count" "${only[@]}" --force-overwrite --export "$output" \
        "$program" "${arguments[@]}" ||
        fail "ncu failed; ERR_NVGPUCTRPERM means that counters are for root: run as root, or load the driver with NVreg_RestrictProfilingToAdminUsers=0" 4
    "$ncu" --import "$output.ncu-rep" --page details --print-summary per-kernel
    echo "$output.ncu-rep"
}

shopt -s nullglob
parse_arguments "$@"
if [ $cpu = 1 ]; then profile_cpu; fi
if [ $systems = 1 ]; then profile_systems; fi
if [ $compute = 1 ]; then profile_compute; fi
