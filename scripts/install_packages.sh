#!/usr/bin/env bash
# Installs the packages of a list that are missing (default: packages.txt, what the build needs). Without root (or sudo that asks for nothing) it names them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
list=${1:-$here/packages.txt}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "t2i: this is not Debian or Ubuntu: please install what corresponds to $list yourself" >&2
    exit 0
fi

missing=()
while read -r package; do
    case "$package" in ''|'#'*) continue ;; esac
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done <"$list"
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
echo "t2i: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq >&2
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
