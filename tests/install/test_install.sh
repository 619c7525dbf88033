#!/usr/bin/env bash
# Programs in C and C++ are built against an installation and draw what the program t2i draws: through CMake and pkg-config, with
# the static library and the shared one, from an unrelated folder, and after the prefix was moved.
#   tests/install/test_install.sh BUILD static=COMPONENT shared=COMPONENT
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
shift
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
unset T2I_MODEL T2I_CUDA_MODULE LD_LIBRARY_PATH PKG_CONFIG_PATH CMAKE_PREFIX_PATH
readonly picture=("a red apple" out.png 2)

fail() { echo "FAILED: $1" >&2; exit 1; }

# What the program makes of the same request.
draw_expected() {
    "$build/t2i" -q -p "${picture[0]}" --steps "${picture[2]}" -o "$scratch/expected.png" >/dev/null
}

# Runs a program in an empty folder: draws_the_same WHAT [VARIABLE=VALUE …] PROGRAM
draws_the_same() {
    local what=$1 folder
    shift
    folder=$(mktemp -d -p "$scratch")
    (cd "$folder" && env "$@" "${picture[@]}") || fail "$what draws nothing"
    cmp "$folder/out.png" "$scratch/expected.png" || fail "$what draws another picture than t2i"
    rm -r "$folder"
}

install_kind() {
    local component
    for component in headers program "$2"; do cmake --install "$build" --prefix "$1" --component "$component" >/dev/null; done
}

# build_with_pkg_config KIND PREFIX FOLDER
build_with_pkg_config() {
    local flags
    local -a how=()
    [ "$1" = shared ] || how=(--static)
    flags=$(PKG_CONFIG_PATH=$2/lib/pkgconfig pkg-config --cflags --libs "${how[@]}" t2i)
    mkdir -p "$3"
    # shellcheck disable=SC2086 # several words
    "${CC:-cc}" -std=c99 -Wall -Wextra -pedantic -Werror "$here/draw.c" -o "$3/draw_c" $flags
    # shellcheck disable=SC2086
    "${CXX:-c++}" -std=c++20 -Wall -Wextra -Werror "$here/draw.cpp" -o "$3/draw_cpp" $flags
}

build_with_cmake() {
    cmake -G Ninja -S "$here" -B "$2" -DCMAKE_PREFIX_PATH="$1" -DCMAKE_BUILD_TYPE=Release >"$scratch/cmake.log" 2>&1 &&
        cmake --build "$2" >>"$scratch/cmake.log" 2>&1 || { cat "$scratch/cmake.log" >&2; fail "CMake"; }
}

test_kind() {
    local kind=$1 component=$2 prefix=$scratch/$1/prefix moved=$scratch/$1/moved language
    install_kind "$prefix" "$component"
    build_with_pkg_config "$kind" "$prefix" "$scratch/$kind/pc"
    for language in c cpp; do
        if [ "$kind" = shared ]; then
            draws_the_same "shared, $language, pkg-config" LD_LIBRARY_PATH="$prefix/lib" "$scratch/$kind/pc/draw_$language"
        else
            draws_the_same "static, $language, pkg-config" \
                T2I_MODEL="$(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --variable=model t2i)" "$scratch/$kind/pc/draw_$language"
            cp "$scratch/$kind/pc/draw_$language" "$prefix/bin/"
            draws_the_same "static, $language, in the prefix" "$prefix/bin/draw_$language"
        fi
    done
    mv "$prefix" "$moved"
    build_with_cmake "$moved" "$scratch/$kind/cmake"
    for language in c cpp; do
        if [ "$kind" = shared ]; then
            draws_the_same "shared, $language, CMake, moved" "$scratch/$kind/cmake/draw_$language"
            draws_the_same "shared, $language, moved after the build" LD_LIBRARY_PATH="$moved/lib" "$scratch/$kind/pc/draw_$language"
        else
            draws_the_same "static, $language, CMake, moved" T2I_MODEL="$moved/share/t2i/sticker-256" \
                "$scratch/$kind/cmake/draw_$language"
            draws_the_same "static, $language, moved with the prefix" "$moved/bin/draw_$language"
        fi
    done
    # Nothing in it names the place where it was first.
    ! grep -rIl "$prefix" "$moved/lib/cmake" "$moved/lib/pkgconfig" || fail "the package names its prefix"
}

# The shared library offers what is promised and no more.
test_symbols() {
    local library
    library=$(echo "$scratch"/shared/moved/lib/libt2i.so.*.*.*)
    nm -D --defined-only "$library" | cut -d ' ' -f 3- | c++filt | sort -u >"$scratch/symbols"
    diff "$here/symbols.txt" "$scratch/symbols" >&2 || fail "libt2i.so exports other symbols than tests/install/symbols.txt lists"
}

draw_expected
for pair in "$@"; do test_kind "${pair%%=*}" "${pair#*=}"; done
test_symbols
echo "install: all passed"
