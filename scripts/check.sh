#!/usr/bin/env bash
# The one command before a commit: format, build, clang-tidy on what changed, tests. Options add slower checks.
#   scripts/check.sh [--asan] [--tsan] [--fuzz SECONDS] [--presets] [--base COMMIT] [--fix] [--only STAGE[,STAGE]]
#     --asan           the quick suites under AddressSanitizer and UndefinedBehaviorSanitizer
#     --tsan           the unit tests and those of the scheduler and the C API under ThreadSanitizer
#     --fuzz SECONDS   each fuzz target for so long, guided by coverage; findings stay in build-fuzz/findings
#     --presets        the presets that the rest does not build: dev with clang++, release and cuda where build/ differs
#     --base COMMIT    clang-tidy reads what changed since this commit (default: since the branch left origin/main or main)
#     --fix            format in place instead of complaining
#     --only STAGES    these alone, of: format build tidy tests asan tsan fuzz presets
# What is missing is installed (scripts/packages.txt, packages-check.txt) or named. clang-format comes from PyPI, of the one
# version that the sources are formatted with, into a virtual environment in ~/.cache/t2i.
# Exit codes: 0 all passed, 1 a check failed, 2 usage, 3 something is missing.
set -euo pipefail
export LC_ALL=C.UTF-8
root=$(cd "$(dirname "$0")/.." && pwd)
readonly clang_format_version=19.1.7
readonly all_stages="format build tidy tests asan tsan fuzz presets"

fail() { echo "t2i: $1" >&2; exit "${2:-1}"; }

parse_arguments() {
    stages="format build tidy tests" base='' fix=0 fuzz_seconds=10
    local only=''
    while [ $# -gt 0 ]; do
        case "$1" in
            --fuzz|--base|--only) [ $# -ge 2 ] || fail "$1 needs a value" 2 ;;&
            --asan|--tsan|--presets) stages+=" ${1#--}"; shift ;;
            --fuzz) stages+=" fuzz" fuzz_seconds=$2; shift 2 ;;
            --base) base=$2; shift 2 ;;
            --fix) fix=1; shift ;;
            --only) only=${2//,/ }; shift 2 ;;
            -h|--help) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 0 ;;
            *) fail "unknown argument $1 (see --help)" 2 ;;
        esac
    done
    [[ $fuzz_seconds =~ ^[1-9][0-9]*$ ]] || fail "--fuzz takes a number of seconds, not $fuzz_seconds" 2
    stages=${only:-$stages}
    local stage
    for stage in $stages; do
        [[ " $all_stages " == *" $stage "* ]] || fail "no stage $stage (there are $all_stages)" 2
    done
    if [ -n "$base" ] && ! git -C "$root" rev-parse --verify --quiet "$base^{commit}" >/dev/null; then
        fail "no commit $base" 2
    fi
}

# Installs the packages of a list unless every named program is there already.
need() {
    local list=$1 program
    shift
    for program in "$@"; do
        command -v "$program" >/dev/null || { "$root/scripts/install_packages.sh" "$root/scripts/$list" || exit 3; }
    done
}

# ---- format

is_pinned() { "$1" --version 2>/dev/null | grep -q "version $clang_format_version\b"; }

# Sets clang_format.
find_clang_format() {
    local place=${XDG_CACHE_HOME:-$HOME/.cache}/t2i/clang-format-$clang_format_version
    for clang_format in clang-format "$place/bin/clang-format"; do
        if is_pinned "$clang_format"; then return; fi
    done
    python3 -c 'import ensurepip, venv' 2>/dev/null || "$root/scripts/install_packages.sh" "$root/scripts/packages-check.txt" || exit 3
    echo "t2i: clang-format $clang_format_version goes into $place" >&2
    rm -rf "$place"
    if ! python3 -m venv "$place" || ! "$place/bin/pip" install --quiet "clang-format==$clang_format_version"; then
        fail "no clang-format $clang_format_version: pip could not install it into $place" 3
    fi
    is_pinned "$clang_format" || fail "$clang_format is not version $clang_format_version" 3
}

stage_format() {
    find_clang_format
    local action=(--dry-run --Werror)
    if [ $fix = 1 ]; then action=(-i); fi
    cd "$root"
    find include kernels src tests -type f -regextype posix-extended -regex '.*\.(h|hpp|c|cpp|cu|cuh)' -print0 |
        xargs -0 -P "$(nproc)" -n 32 "$clang_format" "${action[@]}" || fail "not formatted: scripts/check.sh --only format --fix does it"
}

# ---- build, clang-tidy, tests

# build/, as scripts/test.sh makes it.
configure_arguments=(-DT2I_TESTS=ON -DT2I_CUDA=AUTO -DT2I_WERROR=ON)

stage_build() { "$root/scripts/build.sh" "${configure_arguments[@]}"; }

# The commit that the branch left, or the last one when there is no branch to have left.
default_base() {
    local branch
    for branch in origin/main main; do
        if git rev-parse --verify --quiet "$branch" >/dev/null; then git merge-base HEAD "$branch"; return; fi
    done
    git rev-parse HEAD~1
}

# Changed since $base, committed or not; one path a line. Kernels for the GPU are nvcc's, and their tests of clang's dialect.
changed_sources() {
    { git diff --name-only --diff-filter=d "$base"; git ls-files --others --exclude-standard; } |
        grep -E '^(include|kernels|src|tests)/.*\.(h|cpp)$' | sort -u
}

# A source file of the build that shows a header to clang-tidy: its own, or the first that includes it.
shows_header() {
    local own=${1%.h}.cpp name=${1#include/}
    name=${name#src/} name=${name#tests/}
    if is_compiled "$own"; then echo "$own"; return; fi
    local source
    while read -r source; do
        if is_compiled "$source"; then echo "$source"; return; fi
    done < <(grep -rlF --include='*.cpp' "#include \"$name\"" src kernels tests | sort)
}

is_compiled() { grep -qF "\"file\": \"$root/$1\"" build/compile_commands.json; }

stage_tidy() {
    cd "$root"
    if ! git rev-parse --verify --quiet HEAD >/dev/null; then
        echo "t2i: no git here to say what changed: clang-tidy has nothing to read"
        return
    fi
    need packages-check.txt clang-tidy
    [ -f build/compile_commands.json ] || stage_build
    base=${base:-$(default_base)}
    local path sources
    sources=$(for path in $(changed_sources); do
        if [[ $path == *.h ]]; then shows_header "$path"; elif is_compiled "$path"; then echo "$path"; fi
    done | sort -u)
    if [ -z "$sources" ]; then
        echo "t2i: nothing for clang-tidy has changed since $(git rev-parse --short "$base")"
        return
    fi
    # shellcheck disable=SC2086  # a list
    printf '%s\n' $sources | xargs -P "$(nproc)" -n 1 clang-tidy -p build --quiet --warnings-as-errors='*' 2>/dev/null ||
        fail "clang-tidy has found something"
}

stage_tests() { T2I_WERROR=ON "$root/scripts/test.sh"; }

# ---- sanitizers, fuzzing, presets

# Configures a preset, with $preset_options, and builds some of its targets.
preset_options=()
build_preset() {
    local preset=$1 log
    shift
    "$root/scripts/install_packages.sh"
    cd "$root"
    log=$(mktemp)
    cmake --preset "$preset" "${preset_options[@]}" >"$log" 2>&1 || { cat "$log" >&2; rm "$log"; fail "configuring preset $preset failed" 3; }
    cmake --build --preset "$preset" --target "$@" >"$log" 2>&1 || { cat "$log" >&2; rm "$log"; fail "building preset $preset failed"; }
    tail -n 1 "$log"
    rm "$log"
}

stage_asan() {
    build_preset asan quick_tests
    ctest --test-dir build-asan --output-on-failure --no-tests=error -L '^(unit|c_api|models|scheduler|fuzz)$' -E '^scripts: '
}

stage_tsan() {
    build_preset tsan test_unit test_c_api test_scheduler
    ctest --test-dir build-tsan --output-on-failure --no-tests=error -L '^(unit|c_api|scheduler)$' -E '^scripts: '
}

stage_fuzz() {
    need packages-check.txt clang++
    build_preset fuzz fuzzers
    local program name found=0
    mkdir -p "$root/build-fuzz/findings"
    for program in "$root"/build-fuzz/fuzz_*; do
        name=${program##*/fuzz_}
        mkdir -p "$root/build-fuzz/corpus/$name"
        "$program" -max_total_time="$fuzz_seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
            -artifact_prefix="$root/build-fuzz/findings/$name-" "$root/build-fuzz/corpus/$name" "$root/tests/fuzz/corpus/$name" \
            >"$root/build-fuzz/$name.log" 2>&1 || { tail -n 40 "$root/build-fuzz/$name.log"; fail "fuzz_$name found something: build-fuzz/findings"; }
        awk -v name="$name" '/^stat::number_of_executed_units/ { runs = $2 } / cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") coverage = $(i + 1) }
            END { printf "fuzz: %s: %d runs, %d edges\n", name, runs, coverage }' "$root/build-fuzz/$name.log"
        found=1
    done
    [ $found = 1 ] || fail "the fuzz preset has no targets"
}

# What a build compiles, one command a line, whatever its folder; -Werror changes nothing of what comes out.
commands_of() {
    sed -n 's/^ *"command": //p' "$1/compile_commands.json" | sed -e "s|$1|BUILD|g" -e 's/ -Werror\b//g' | sort
}

# Whether a preset compiles just what is in build/ already.
is_built_already() {
    local preset=$1 folder
    [ -f "$root/build/compile_commands.json" ] || return 1
    folder=$(mktemp -d "$root/build-compare-XXXXXX")
    cmake -S "$root" --preset "$preset" -B "$folder" >/dev/null 2>&1 &&
        diff -q <(commands_of "$folder") <(commands_of "$root/build") >/dev/null
    local result=$?
    rm -rf "$folder"
    return $result
}

stage_presets() {
    local preset
    for preset in release cuda; do
        if [ $preset = cuda ] && ! command -v nvcc >/dev/null && [ ! -x /usr/local/cuda/bin/nvcc ]; then
            echo "preset cuda: skipped, no nvcc here"
        elif is_built_already $preset; then
            echo "preset $preset: the same as build/, to the compiler's arguments"
        else
            build_preset $preset all
        fi
    done
    need packages-check.txt clang++
    preset_options=(-DCMAKE_CXX_COMPILER=clang++ -DT2I_CUDA=OFF)
    build_preset dev all
    echo "preset dev: built with clang++"
}

parse_arguments "$@"
for stage in $stages; do
    echo "== $stage"
    start=$SECONDS
    # A process of its own, outside of any condition: inside one, bash would not stop at the first failure.
    set +e
    (set -e; "stage_$stage")
    code=$?
    set -e
    case $code in
        0) echo "== $stage: passed in $((SECONDS - start)) s" ;;
        3) echo "== $stage: could not run" >&2; exit 3 ;;
        *) echo "== $stage: FAILED after $((SECONDS - start)) s" >&2; exit 1 ;;
    esac
done
