#!/usr/bin/env bash
# Runs both commands of the README on a bare Debian 12: a fresh debootstrap of its smallest kind, with the files of one
# commit and nothing else, no git either.
#   scripts/bare_check.sh [COMMIT]      default: HEAD
# Needs root, unshare, network, and debootstrap, which it installs (scripts/packages-bare.txt). The mirror and the proxies are
# those of this machine's apt; T2I_DEBIAN_MIRROR names another mirror. Downloaded packages are kept in ~/.cache/t2i.
# Where it cannot run it says why and ends with 0; T2I_REQUIRE_BARE=1 makes that a failure.
# Exit codes: 0 passed or skipped, 1 failed, 2 usage, 3 cannot run although required.
set -euo pipefail
export LC_ALL=C
root=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/t2i/debootstrap
readonly suite=bookworm

fail() { echo "t2i: bare check: $1" >&2; exit "${2:-1}"; }
skip() {
    [ "${T2I_REQUIRE_BARE:-0}" != 1 ] || fail "$1" 3
    echo "t2i: bare check skipped: $1"
    exit 0
}

# "URI SUITE" of each Debian archive that apt knows here; the one of the release itself comes first.
debian_archives() {
    if [ -n "${T2I_DEBIAN_MIRROR:-}" ]; then
        echo "$T2I_DEBIAN_MIRROR $suite"
        return
    fi
    # shellcheck disable=SC2016  # apt fills these in
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk -v suite="$suite" '$1 ~ /debian/ && $3 == "main" && !seen[$1 $2]++ {
                if ($2 == suite) release = release $1 " " $2 "\n"
                else if ($2 == suite "-updates" || $2 == suite "-security") others = others $1 " " $2 "\n" }
            END { if (release) printf "%s%s", release, others }'
}

# What this machine's apt was told about reaching its archives: proxies, certificates, retries, dates.
apt_settings() { apt-config dump | grep -E '^Acquire::(http|https|Retries|Check-Date|Check-Valid-Until)\b.* "[^"]+";$' || true; }

make_system() {
    local mirror uri release file
    mkdir -p "$cache"
    mirror=$(cut -d ' ' -f 1 <<<"$archives" | head -n 1)
    unshare --mount --propagation private debootstrap --variant=minbase --cache-dir="$cache" "$suite" "$system" "$mirror" >"$scratch/debootstrap.log" 2>&1 ||
        { tail -n 20 "$scratch/debootstrap.log" >&2; skip "debootstrap failed with $mirror"; }
    while read -r uri release; do echo "deb $uri $release main"; done <<<"$archives" >"$system/etc/apt/sources.list"
    apt_settings >"$system/etc/apt/apt.conf.d/00machine"
    # A mirror over https is trusted by the certificates of this machine: the smallest Debian has none.
    for file in $(sed -n 's/^Acquire::.*::CaInfo "\(.*\)";$/\1/p' "$system/etc/apt/apt.conf.d/00machine") \
        /etc/ssl/certs/ca-certificates.crt; do
        if [ -r "$file" ]; then install -D -m 644 "$file" "$system$file"; fi
    done
    for file in /etc/resolv.conf /etc/hosts; do cp -L "$file" "$system$file"; done
    mkdir "$system/t2i"
    git -C "$root" archive "$commit" | tar -x -C "$system/t2i"
}

# Inside a mount and process namespace of its own, which takes the mounts and whatever still runs along when it ends.
run_inside() {
    local variable environment=()
    for variable in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
        if [ -n "${!variable:-}" ]; then environment+=("$variable=${!variable}"); fi
    done
    # shellcheck disable=SC2016  # expanded by the inner shell
    unshare --mount --pid --fork --kill-child --propagation private bash -euc '
        system=$1; shift
        mount -t proc proc "$system/proc"
        mount -t devpts devpts "$system/dev/pts" 2>/dev/null || true
        mount -t tmpfs tmpfs "$system/dev/shm" 2>/dev/null || true
        exec chroot "$system" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"
    ' - "$system" "${environment[@]}" bash -euc "cd /t2i; $1"
}

# The command of this name as the README shows it.
readme_command() {
    sed -n "s|^\(scripts/$1\.sh[^#]*\).*|\1|p" "$system/t2i/README.md" | head -n 1 | sed 's/ *$//'
}

run_command() {
    local name=$1 command start=$SECONDS
    command=$(readme_command "$name")
    [ -n "$command" ] || fail "README.md shows no scripts/$name.sh"
    echo "t2i: bare check: $command"
    run_inside "$command" >"$scratch/$name.log" 2>&1 || { tail -n 60 "$scratch/$name.log"; fail "'$command' failed on a bare Debian"; }
    grep -E '^t2i: installing|tests passed|\*\*\*Skipped|^GPU kernels' "$scratch/$name.log" || true
    echo "t2i: bare check: $command: passed in $((SECONDS - start)) s"
}

case "${1:-}" in
    -h|--help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) fail "unknown argument $1 (see --help)" 2 ;;
esac
[ $# -le 1 ] || fail "takes one commit at most" 2
commit=${1:-HEAD}
git -C "$root" rev-parse --verify --quiet "$commit^{commit}" >/dev/null || fail "no commit $commit in $root" 2

[ "$(id -u)" -eq 0 ] || skip "needs root"
for tool in apt-get unshare; do command -v "$tool" >/dev/null || skip "needs $tool"; done
unshare --mount --pid --fork true 2>/dev/null || skip "this machine allows no mount namespace"
archives=$(debian_archives)
[ -n "$archives" ] || skip "apt knows no archive of Debian $suite here: name one with T2I_DEBIAN_MIRROR"
command -v debootstrap >/dev/null || "$root/scripts/install_packages.sh" "$root/scripts/packages-bare.txt" || skip "no debootstrap"

scratch=$(mktemp -d)
system=$scratch/system
trap 'rm -rf --one-file-system "$scratch"' EXIT
start=$SECONDS
make_system
echo "t2i: bare check: Debian $(cat "$system/etc/debian_version"), $(find "$system/var/lib/dpkg/info" -name '*.list' | wc -l) packages, made in $((SECONDS - start)) s"
run_command quickstart
[ "$(head -c 8 "$system/t2i/out.png" | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ] || fail "out.png is no PNG"
run_command test
