# version, help, completion, doctor, and the command line itself.

version() {
    works version
    matches version "$out" '^torpor [0-9]+\.[0-9]+'
    matches "machine types" "$out" 'torpor-1'
    same "--version" "$("$TORPOR" --version)" "$out"
    works version --json
    matches JSON "$(json 'sorted(d)' <<<"$out")" 'format.*version'
}
try version "version, --version, version --json"

help_lists_verbs() {
    local verb verbs="build run resume save ps pause unpause stop kill rm wait logs console inspect
        verify convert flatten tree compat doctor version help"
    works help
    same "torpor --help" "$("$TORPOR" --help)" "$out"
    for verb in $verbs; do
        works help
        matches "torpor help" "$out" "  $verb "
        works help "$verb"
        matches "help $verb" "$out" "^usage: torpor $verb"
        same "$verb --help" "$("$TORPOR" "$verb" --help)" "$out"
    done
    refuses 125 "frobnicate" help frobnicate
}
try help_lists_verbs "help lists every verb and explains each"

no_verb() {
    call
    same status "$status" 125
    [ ! -s "$SCRATCH/out" ] && grep -q '^usage: torpor' "$SCRATCH/err" || fail "$(report_call)"
    refuses 125 "unknown verb 'frobnicate'" frobnicate
    refuses 125 "wrong" ps --wrong
    refuses 125 "-x" ps -x
    refuses 125 "operand|extra|argument" ps extra
    refuses 125 "" save -o
    refuses 125 "" resume
    refuses 125 "" pause
}
try no_verb "a wrong verb, option or operand is a usage error: 125 and one line"

completion=$tests/../cli/completion.bash
completion() {
    bash -n "$completion" || fail "bash does not parse it"
    bash -c '. "$1"; complete -p torpor' - "$completion" >/dev/null || fail "nothing is completed"
    local reply
    reply=$(bash -c '. "$1"; COMP_WORDS=(torpor un); COMP_CWORD=1
        $(complete -p torpor | sed -n "s/.*-F \([^ ]*\).*/\1/p"); echo "${COMPREPLY[*]}"' - "$completion")
    same "completion of 'un'" "${reply% }" unpause
}
try completion "completion is a bash script that completes verbs"

doctor() {
    call doctor
    [ "$status" = 0 ] && [ -s "$SCRATCH/out" ] || fail "$(report_call doctor)"
    grep -q '/dev/kvm' "$SCRATCH/out" || fail "nothing about /dev/kvm" "$(report_call doctor)"
    grep -qi 'speed' "$SCRATCH/out" || fail "nothing about speed" "$(report_call doctor)"
    works doctor --json
    json 'len(d)' <<<"$out" >/dev/null || fail "not JSON: $out"
}
try doctor "doctor speaks of /dev/kvm and its speed; --json is JSON"

full_stdout() {
    "$TORPOR" version >/dev/full 2>"$SCRATCH/err"
    same status "$?" 125
    one_line "standard output" || fail "$(cat "$SCRATCH/err")"
}
try full_stdout "data that cannot be written to standard output is an error"
