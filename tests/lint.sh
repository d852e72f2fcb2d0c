#!/bin/bash
# The lint as a suite of tests/run: one `ok - ` or `not ok - ` line a rule, what it found indented below.
set -u
cd "$(dirname "$0")/.." || exit 1
status=0

report() { # NAME COMMAND...
    local name=$1 out
    shift
    if out=$("$@" 2>&1); then
        echo "ok - $name"
    else
        echo "not ok - $name"
        status=1
        printf '%s\n' "$out" | head -n 60 | sed 's/^/    /'
    fi
}

with() { # TOOL NAME COMMAND...: a tool that is not installed is a reason to skip
    local tool=$1
    shift
    if command -v "$tool" >/dev/null; then
        report "$@"
    else
        echo "skip - $1 # $tool is not installed"
    fi
}

# Every file of the tree that git would keep, by pattern.
files() {
    git ls-files --cached --others --exclude-standard -- "$@" | sort -u | while read -r file; do
        [ -f "$file" ] && printf '%s\n' "$file"
    done
}

scripts() { # SHELL: files whose first line names it
    files . | xargs -d '\n' awk -v shell="$1" \
        'FNR == 1 { if ($0 ~ "^#!.*[/ ]" shell "( |$)") print FILENAME; nextfile }'
}

format_is_canonical() {
    files '*.c' '*.h' | xargs clang-format --dry-run -Werror
}

manuals_are_clean() {
    local page bad=0
    for page in $(files '*.[1-8]'); do
        mandoc -T lint -W warning "$page" || bad=1
    done
    return $bad
}

scripts_parse() {
    local file bad=0
    for file in $(scripts sh); do sh -n "$file" || bad=1; done
    for file in $(scripts bash); do bash -n "$file" || bad=1; done
    return $bad
}

# Not asked: what sourced files are, define and use (SC1090, SC2034, SC2154), and that busybox is no
# dash (SC2187).
scripts_are_clean() {
    { scripts sh; scripts bash; } |
        xargs shellcheck --severity=warning --exclude=SC1090,SC2034,SC2154,SC2187
}

report 'the lint refuses what it should' tests/lint --selftest
report 'rules of the tree' tests/lint
with clang-format 'formatting' format_is_canonical
with mandoc 'manual pages' manuals_are_clean
report 'scripts parse' scripts_parse
with shellcheck 'shellcheck' scripts_are_clean
exit $status
