#!/usr/bin/env bash
# An archive of scripts/package.sh runs on a machine that has the C library and nothing else of ours.
#   tests/e2e/test_package.sh BUILD
set -euo pipefail
export LC_ALL=C
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "$1" && pwd)
scratch=$(mktemp -d)
bare=$scratch/bare
chroot=$(PATH=$PATH:/usr/sbin command -v chroot || true)
clean_up() {
    if mountpoint -q "$bare/proc" 2>/dev/null; then umount "$bare/proc"; fi
    rm -rf "$scratch"
}
trap clean_up EXIT

fail() { echo "FAILED: $1" >&2; exit 1; }
is_png() { [ "$(head -c 8 "$1" | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ]; }

# A copy of the sources alone, without git and not made by it, names no commit; any will do here.
name_commit() {
    if grep -qE '^[0-9a-f]{40} ' "$root/scripts/commit.txt" || git -C "$root" rev-parse HEAD >/dev/null 2>&1; then return; fi
    T2I_COMMIT=${T2I_COMMIT:-$(printf '%040d' 0)} SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0}
    export T2I_COMMIT SOURCE_DATE_EPOCH
}

# The same bytes twice, whatever the folder.
test_packaging() {
    "$root/scripts/package.sh" --build "$build" --level 1 --output "$scratch/a.tar.zst" >/dev/null
    mkdir "$scratch/elsewhere"
    (cd "$scratch/elsewhere" && umask 077 && "$root/scripts/package.sh" --build "$build" --level 1 --output b.tar.zst >/dev/null)
    cmp "$scratch/a.tar.zst" "$scratch/elsewhere/b.tar.zst" || fail "two archives of one build differ"
    mkdir "$scratch/unpacked"
    tar --zstd -xf "$scratch/a.tar.zst" -C "$scratch/unpacked"
    archive=$(echo "$scratch"/unpacked/t2i-*-linux-x86_64)
    [ -x "$archive/bin/t2i" ] || fail "no bin/t2i in the archive"
    local licence text
    for text in man/man1/t2i.1 bash-completion/completions/t2i zsh/site-functions/_t2i fish/vendor_completions.d/t2i.fish; do
        [ -s "$archive/share/$text" ] || fail "no share/$text in the archive"
    done
    for licence in libsentencepiece0 libstdc++6 libwebp7 nlohmann-json3-dev; do
        [ -s "$archive/share/doc/t2i/licences/$licence" ] || fail "no licence of $licence"
    done
    python3 -c 'import json, sys; assert len(json.load(open(sys.argv[1]))["commit"]) == 40' "$archive/share/t2i/build.json" ||
        fail "build.json names no commit"
}

# Every library but the C library's comes from the archive, though this machine has them too.
test_own_libraries() {
    (cd "$scratch" && env -i LD_DEBUG=libs LD_DEBUG_OUTPUT="$scratch/loads" "$archive/bin/t2i" --version >/dev/null)
    local loaded foreign
    loaded=$(cat "$scratch"/loads.* | sed -n 's/.*calling init: //p' | sort -u)
    foreign=$(grep -v "^$archive/" <<<"$loaded" | grep -Ev '/(ld-linux-x86-64|lib(c|m|mvec|dl|rt|pthread))\.so\.[0-9]+$' || true)
    [ -z "$foreign" ] || fail "loaded from elsewhere: $foreign"
    grep -q "^$archive/.*libsentencepiece" <<<"$loaded" || fail "the archive's SentencePiece was not loaded: $loaded"
}

make_bare_root() {
    mkdir -p "$bare"/{tmp,proc,lib64,lib/x86_64-linux-gnu,opt}
    cp -L /lib64/ld-linux-x86-64.so.2 "$bare/lib64/"
    local library
    for library in libc.so.6 libm.so.6 libmvec.so.1 libdl.so.2 libpthread.so.0 librt.so.1; do
        cp -L "/lib/x86_64-linux-gnu/$library" "$bare/lib/x86_64-linux-gnu/"
    done
    # The C library's converters of UTF-16 and UTF-32, which every Debian has, as files beside it.
    local converters=usr/lib/x86_64-linux-gnu/gconv
    if [ -d "/$converters" ]; then
        mkdir -p "$bare/$converters"
        cp -RL "/$converters"/gconv-modules* "/$converters"/UTF-*.so "$bare/$converters/"
    fi
    cp -R "$archive" "$bare/opt/t2i"
    mount -t proc proc "$bare/proc" 2>/dev/null  # the loader reads /proc/self/exe to find what lies beside a program
}

test_bare_root() {
    env -i "$chroot" "$bare" /opt/t2i/bin/t2i -q -p "a red apple" --steps 4 -o /tmp/apple.png >/dev/null || fail "no picture in a bare root"
    is_png "$bare/tmp/apple.png" || fail "apple.png is no PNG"
    env -i "$chroot" "$bare" /opt/t2i/bin/t2i -q -p "a red apple" --steps 1 -o /tmp/apple.webp --quality lossless >/dev/null &&
        env -i "$chroot" "$bare" /opt/t2i/bin/t2i verify /tmp/apple.webp >/dev/null || fail "no WebP in a bare root"
    env -i "$chroot" "$bare" /opt/t2i/tests/test_unit >"$scratch/unit.log" || { tail -n 40 "$scratch/unit.log" >&2; fail "test_unit in a bare root"; }
    tail -n 3 "$scratch/unit.log"
}

# The same program where `cmake --install` puts it.
test_installed() {
    cmake --install "$build" --prefix "$scratch/prefix" >/dev/null
    (cd "$scratch" && env -u T2I_MODEL "$scratch/prefix/bin/t2i" -q -p "a red apple" --steps 2 -o installed.png >/dev/null)
    is_png "$scratch/installed.png" || fail "the installed program drew nothing"
}

name_commit
test_packaging
test_own_libraries
test_installed
if [ "$(id -u)" -eq 0 ] && [ -n "$chroot" ] && make_bare_root; then
    test_bare_root
else
    echo "skipped: a bare root needs root's rights and mount; ran with the archive's own libraries instead"
    (cd "$archive" && env -i ./bin/t2i -q -p "a red apple" --steps 4 -o "$scratch/apple.png" && env -i ./tests/test_unit >/dev/null) || fail "the archive alone"
fi
echo "package: all passed"
