#!/usr/bin/env bash
# Completions do what a user of the shell sees, and the manual page is one: bash always, zsh, fish, man and mandoc where they are.
#   tests/e2e/test_completion.sh T2I
set -euo pipefail
export LC_ALL=C
t2i=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
fail() { echo "FAILED: $1" >&2; exit 1; }

for shell in bash zsh fish; do "$t2i" completion $shell >$shell; done
"$t2i" man >t2i.1
mkdir "a folder"
touch "a folder/prompts.txt" picture.png

# completes SHELL EXPECTED WORD…: the last word, which may be empty, is the one that is completed.
in_bash() {
    # shellcheck disable=SC2016 # the inner shell's
    bash --norc --noprofile -c 'source ./bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _t2i; printf "%s\n" "${COMPREPLY[@]}"' bash "$@"
}
in_fish() {
    local line=$1 word
    shift
    for word in "$@"; do line+=" $word"; done
    fish --no-config -c "source ./fish; complete -C '$line'" | cut -f 1
}
expect() {
    local shell=$1 expected=$2 found
    shift 2
    found=$("in_$shell" "$@" | LC_ALL=C sort | tr '\n' ' ')
    [ "${found% }" = "$expected" ] || fail "$shell completes \"$*\" with \"${found% }\", not \"$expected\""
}

check_shell() {
    expect "$1" "batch bench" t2i b
    expect "$1" "--negative-prompt" t2i --neg
    expect "$1" "--tar-samples" t2i batch --tar
    expect "$1" "" t2i inspect --tar
    expect "$1" "files png webdataset" t2i batch x.txt --format ""
    expect "$1" "webp" t2i --image-format w
    expect "$1" "euler euler_a" t2i -p cat --sampling-method eul
    expect "$1" "bash fish zsh" t2i completion ""
    expect "$1" "verify" t2i help ver
    expect "$1" "picture.png" t2i verify pic
}

check_shell bash
expect bash "webdataset" t2i batch --format = web  # as bash splits --format=web
expect bash "a folder" t2i batch -o "a f"
expect bash "" t2i -p ca
bash -n ./bash

if command -v fish >/dev/null; then check_shell fish; else echo "skipped: no fish"; fi

# Of zsh: what the script hands to _arguments and _describe, which do the rest.
if command -v zsh >/dev/null; then
    zsh -n ./zsh
    # shellcheck disable=SC2016
    zsh -f -c '
        compdef() { print "compdef $*" }
        _describe() { print -l -- ${(P)4} }
        _arguments() { print -l -- "$@" }
        source ./zsh
        words=(t2i b) CURRENT=2; _t2i
        words=(t2i batch --t) CURRENT=3; _t2i; print "current $CURRENT $words[1]"' >zsh.out
    grep -q '^compdef _t2i t2i$' zsh.out || fail "zsh is not told of the completions"
    grep -q '^batch:' zsh.out || fail "zsh: no commands"
    grep -q -- '--tar-samples=\[' zsh.out || fail "zsh: no flags of batch"
    grep -q '^current 2 batch$' zsh.out || fail "zsh: the command is not taken off"
    zsh -f -c 'autoload -Uz compinit; compinit -D -u; source ./zsh; [[ $_comps[t2i] == _t2i ]]' || fail "zsh: compinit does not know t2i"
else
    echo "skipped: no zsh"
fi

if command -v man >/dev/null; then
    MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l t2i.1 >man.txt 2>man.warnings || fail "man cannot read the page"
    [ ! -s man.warnings ] || fail "man warns: $(cat man.warnings)"
    grep -q 'negative-prompt' man.txt || fail "the page is empty"
else
    echo "skipped: no man"
fi
if command -v mandoc >/dev/null; then
    mandoc -Tlint -W warning t2i.1 || fail "mandoc warns"
else
    echo "skipped: no mandoc"
fi
echo "completion: all passed"
