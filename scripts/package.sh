#!/usr/bin/env bash
# Makes t2i-<version>-linux-x86_64.tar.zst: program, CUDA module if it was built, tests, bundled model, and every library
# that a bare Linux lacks, found by relative path. It runs wherever it is unpacked.
#   scripts/package.sh [--build DIR] [--output FILE] [--level N]
#     --build DIR    a build folder with tests (default: build, made first if there is none)
#     --output FILE  default: t2i-<version>-linux-x86_64.tar.zst in the current folder
#     --level N      of zstd, 1 to 19 (default 19)
# The same commit, compiler and packages give the same bytes. The commit is what git says, or what `git archive` wrote into
# scripts/commit.txt; where neither is, T2I_COMMIT and SOURCE_DATE_EPOCH name it.
set -euo pipefail
export LC_ALL=C
root=$(cd "$(dirname "$0")/.." && pwd)

# The oldest C library the archive promises to run with.
readonly oldest_glibc=2.36
# What stays the machine's own: the C library, and what belongs to the GPU's driver and toolkit.
readonly from_machine='^(linux-vdso|ld-linux|lib(c|m|mvec|dl|rt|pthread|util|resolv|anl|BrokenLocale|nss_[a-z]+)\.so|libcuda|libnvidia|libcublas|libcudnn|libnvrtc|libnvJitLink)'
# Compiled in: header-only, so that no library brings their licence along.
readonly compiled_in=(nlohmann-json3-dev libcli11-dev libtomlplusplus-dev libstb-dev libhwy-dev catch2)

fail() { echo "t2i: $1" >&2; exit "${2:-3}"; }

parse_arguments() {
    build='' output='' level=19
    while [ $# -gt 0 ]; do
        case "$1" in
            --build|--output|--level) [ $# -ge 2 ] || fail "$1 needs a value" 2 ;;&
            --build) build=$2; shift 2 ;;
            --output) output=$2; shift 2 ;;
            --level) level=$2; shift 2 ;;
            -h|--help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
            *) fail "unknown argument $1 (see --help)" 2 ;;
        esac
    done
    [[ $level =~ ^([1-9]|1[0-9])$ ]] || fail "--level takes 1 to 19, not $level" 2
}

# Sets commit, modified and SOURCE_DATE_EPOCH.
read_commit() {
    local archived
    archived=$(cat "$root/scripts/commit.txt" 2>/dev/null || true)
    if [[ $archived =~ ^([0-9a-f]{40})\ ([0-9]+)$ ]]; then  # not inside a checkout, whatever repository lies around it
        commit=${BASH_REMATCH[1]} modified=false
        SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-${BASH_REMATCH[2]}}
    elif git -C "$root" rev-parse HEAD >/dev/null 2>&1; then
        commit=$(git -C "$root" rev-parse HEAD)
        modified=false
        [ -z "$(git -C "$root" status --porcelain --untracked-files=no)" ] || modified=true
        SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct)}
    else
        if [ -z "${SOURCE_DATE_EPOCH:-}" ] || [ -z "${T2I_COMMIT:-}" ]; then
            fail "neither git nor scripts/commit.txt names the commit: set T2I_COMMIT and SOURCE_DATE_EPOCH"
        fi
        commit=$T2I_COMMIT modified=false
    fi
    export SOURCE_DATE_EPOCH
}

# "soname path" of every library that the given files load, the machine's own left out.
libraries_of() {
    local file line
    for file in "$@"; do
        ldd "$file" | while read -r line; do
            [[ $line =~ ^([^[:space:]]+)\ =\>\ (not\ found|[^[:space:]]+) ]] || continue
            local name=${BASH_REMATCH[1]} path=${BASH_REMATCH[2]}
            [[ $name =~ $from_machine ]] && continue
            [ "$path" != "not found" ] || fail "$file needs $name, which is not on this machine"
            echo "$name $path"
        done
    done | sort -u
}

# The Debian package that a library came from.
package_of() {
    local path owner
    for path in "$1" "$(readlink -f "$1")" "/usr$1" "${1#/usr}"; do
        if owner=$(dpkg-query -S "$path" 2>/dev/null); then
            owner=${owner%%: *}
            echo "${owner%%:*}"
            return
        fi
    done
    fail "no package owns $1: its licence is unknown"
}

copy_licence() {
    local copyright=/usr/share/doc/$1/copyright
    [ -r "$copyright" ] || fail "no licence of $1 in $copyright"
    cp -L "$copyright" "$stage/share/doc/t2i/licences/$1"
}

copy_libraries() {
    local list name path package
    list=$(libraries_of "$stage"/bin/t2i "$stage"/tests/test_* "$stage"/lib/t2i/*.so)
    while read -r name path; do
        cp -L "$path" "$stage/lib/$name"
        package=$(package_of "$path")
        copy_licence "$package"
    done <<<"$list"
    for package in "${compiled_in[@]}"; do copy_licence "$package"; done
    if [ -e "$stage/lib/t2i/libt2i_cuda.so" ]; then
        echo "libt2i_cuda.so holds NVIDIA's CUDA runtime library; its licence: https://docs.nvidia.com/cuda/eula/" \
            >"$stage/share/doc/t2i/licences/cuda-runtime"
    fi
}

copy_tests() {
    local test found=0
    mkdir -p "$stage/tests/fuzz"
    for test in "$build"/test_*; do
        if [ ! -f "$test" ] || [ ! -x "$test" ]; then continue; fi
        cp "$test" "$stage/tests/"
        found=1
    done
    [ $found = 1 ] || fail "no tests in $build: configure it with -DT2I_TESTS=ON"
    cp -R "$root/tests/golden" "$stage/tests/golden"
    cp -R "$root/tests/fuzz/corpus" "$stage/tests/fuzz/corpus"
    mkdir "$stage/assets"
    ln -s ../share/t2i/sticker-256 "$stage/assets/sticker-256"  # where tests look, as in the repository
}

# What checks and measures the archive on another machine.
copy_scripts() {
    mkdir -p "$stage/scripts/gpu" "$stage/scripts/bench"
    cp "$root"/scripts/{gpu_check,profile}.sh "$stage/scripts/"
    cp "$root"/scripts/gpu/*.py "$stage/scripts/gpu/"
    cp "$root"/scripts/bench/{vs_torch,peer_*}.py "$stage/scripts/bench/"
}

write_build_info() {
    cat >"$stage/share/t2i/build.json" <<JSON
{
  "version": "$version",
  "commit": "$commit",
  "modified": $modified,
  "compiler": "$("${CXX:-c++}" --version | head -n 1)",
  "cuda_module": $([ -e "$stage/lib/t2i/libt2i_cuda.so" ] && echo true || echo false)
}
JSON
}

# Fails when something in the archive needs a newer C library than promised.
check_glibc() {
    local file newest
    while read -r file; do
        newest=$(readelf -VW "$file" 2>/dev/null | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -uV | tail -n 1)
        [ -z "$newest" ] || [ "$(printf '%s\n' "$newest" "$oldest_glibc" | sort -V | tail -n 1)" = "$oldest_glibc" ] ||
            fail "${file#"$stage"/} needs glibc $newest; the archive promises $oldest_glibc: build on an older system"
    done < <(find "$stage/bin" "$stage/lib" "$stage/tests" -maxdepth 2 -type f \( -perm -u+x -o -name '*.so*' \))
}

pack() {
    chmod -R u=rwX,go=rX "$stage"
    tar -C "$scratch" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=gnu \
        -cf "$scratch/archive.tar" "$name"
    # -T0: the bytes do not depend on how many threads there are, as long as it is the threaded compressor.
    zstd -q -T0 "-$level" "$scratch/archive.tar" -o "$scratch/archive.tar.zst"
    # Whole or not at all.
    mv "$scratch/archive.tar.zst" "$output.part"
    mv "$output.part" "$output"
}

parse_arguments "$@"
for tool in zstd readelf dpkg-query cmake; do
    command -v "$tool" >/dev/null || fail "package.sh needs $tool"
done
read_commit
if [ -z "$build" ]; then
    build=$root/build
    [ -x "$build/t2i" ] || "$root/scripts/build.sh" -DT2I_TESTS=ON
fi
[ -x "$build/t2i" ] || fail "no t2i in $build"
build=$(cd "$build" && pwd)
version=$("$build/t2i" --version | cut -d ' ' -f 2)
name=t2i-$version-linux-x86_64
output=${output:-$name.tar.zst}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
stage=$scratch/$name
cmake --install "$build" --prefix "$stage" --component program >/dev/null
mkdir -p "$stage"/lib/t2i "$stage"/share/doc/t2i/licences
cp "$root/LICENSE" "$root/README.md" "$stage/share/doc/t2i/"
shopt -s nullglob
copy_tests
copy_scripts
copy_libraries
write_build_info
check_glibc
pack
echo "$output"
