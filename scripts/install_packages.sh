#!/usr/bin/env bash
# Installs the packages of a list that are missing (default: packages.txt, what the build needs). Without root (or sudo that asks for nothing) it names them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
list=${1:-$here/packages.txt}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "t2i: this is not Debian or Ubuntu: please install what corresponds to $list yourself" >&2
    exit 0
fi

installed() { dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }
known() { [ -n "$(apt-cache madison "$1" 2>/dev/null)" ]; }

# Of the names of a line the one that this distribution has: the first that is installed or that apt knows.
name_of() {
    local name names
    IFS='|' read -ra names <<<"$1"
    for name in "${names[@]}"; do
        if [ ${#names[@]} -eq 1 ] || installed "$name" || known "$name"; then
            echo "$name"
            return
        fi
    done
    echo "${names[-1]}"
}

# Sets missing.
look() {
    local line name
    missing=()
    while read -r line; do
        case "$line" in ''|'#'*) continue ;; esac
        name=$(name_of "$line")
        installed "$name" || missing+=("$name")
    done <"$list"
}

look
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        as_root=(sudo)
    else
        echo "t2i: these packages are missing; please run:  sudo apt-get install ${missing[*]}" >&2
        exit 3
    fi
fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq >&2
look  # a fresh system's apt knew no names before
[ ${#missing[@]} -eq 0 ] && exit 0
echo "t2i: installing ${missing[*]}" >&2
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
