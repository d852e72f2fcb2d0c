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

completions=$tests/../cli
# What each shell offers behind LINE, one candidate a line.
offered_by_bash() { # LINE
    bash -c '. "$1"; COMP_LINE=$2 COMP_POINT=${#2}
        $(complete -p torpor | sed -n "s/.*-F \([^ ]*\).*/\1/p"); printf "%s\n" "${COMPREPLY[@]}"' - \
        "$completions/completion.bash" "$1"
}
offered_by_zsh() {
    mkdir -p "$SCRATCH/functions" && cp "$completions/completion.zsh" "$SCRATCH/functions/_torpor"
    "$tests/kvm/completed.zsh" "$SCRATCH/functions" "$1"
}
offered_by_fish() {
    fish -N -c 'source $argv[1]; complete -C $argv[2]' "$completions/completion.fish" "$1" | cut -f 1
}

# Choices, names of verbs and subcommands, options, files; machines that run or are over, the store, images, LANs.
completion() { # SHELL
    command -v "$1" >/dev/null || skip "$1 is not installed"
    boot one
    boot over
    works kill over
    boot asleep
    works save asleep
    works tag asleep there:1
    works tag asleep registry.example/there:1
    works lan create shop
    PATH=$(dirname "$TORPOR"):$PATH
    mkdir folder
    touch folder/file
    local line wanted
    while IFS=: read -r line wanted; do
        same "'$line'" "$("offered_by_$1" "$line" 2>"$SCRATCH/err" | sed 's,/$,,' | LC_ALL=C sort | xargs)" "$wanted"
        [ ! -s "$SCRATCH/err" ] || fail "'$line': $(cat "$SCRATCH/err")"
    done <<END
torpor un:unpause
torpor help res:reset resume
torpor keygen --no:--no-passphrase
torpor run --cpu :host v1 v2 v3
torpor resume --fill :full idle none
torpor run --console :hvc0 ttyS0
torpor lan s:serve stats
torpor lan rm :shop
torpor stop :one
torpor rm o:one over
torpor verify as:asleep
torpor run -m :
torpor run --kernel fold:folder
END
    same "names for resume" "$("offered_by_$1" "torpor resume " | LC_ALL=C sort | grep -v folder | xargs)" \
        "asleep localhost/there:1 one registry.example/there:1"
    same "names for pull" "$("offered_by_$1" "torpor pull " | grep -v folder | xargs)" "registry.example/there:1"
}
bash_completes() { completion bash; }
zsh_completes() { completion zsh; }
fish_completes() { completion fish; }
try bash_completes "bash completes verbs, options, their values, and names of machines, files, images and LANs"
try zsh_completes "zsh does"
try fish_completes "fish does"

doctor() {
    call doctor
    [ "$status" = 0 ] && [ -s "$SCRATCH/out" ] || fail "$(report_call doctor)"
    grep -q '/dev/kvm' "$SCRATCH/out" || fail "nothing about /dev/kvm" "$(report_call doctor)"
    grep -qi 'speed' "$SCRATCH/out" || fail "nothing about speed" "$(report_call doctor)"
    works doctor --json
    json 'len(d)' <<<"$out" >/dev/null || fail "not JSON: $out"
}
try doctor "doctor speaks of /dev/kvm and its speed; --json is JSON"

doctor_libraries() {
    local library
    mkdir broken
    for library in libcrypto.so.3 libzstd.so.1 libslirp.so.0; do
        : >broken/$library
        LD_LIBRARY_PATH=$PWD/broken call doctor
        same "status without $library" "$status" 125
        grep -q "^NO *${library%%.*} " "$SCRATCH/out" && grep -q "Debian: lib" "$SCRATCH/out" ||
            fail "$(report_call doctor)"
        rm broken/$library
    done
}
try doctor_libraries "doctor names a library that cannot be loaded, and the package that has it"

narrow_help() {
    local verb
    for verb in "" $("$TORPOR" help | sed -n 's/^  \([a-z]*\) .*/\1/p') "lan create" "lan ls" "lan join"; do
        # shellcheck disable=SC2086
        works help $verb
        [ "$(wc -L <<<"$out")" -le 80 ] || fail "wider than 80 columns: help $verb" "$out"
    done
    matches "help lan create" "$out" "usage: torpor lan join"
    works help lan create
    [[ $out == *--dhcp* && $out != *--listen* ]] || fail "options of others: $out"
    refuses 125 "torpor lan has no 'crate'" help lan crate
    refuses 125 "torpor run has no 'x'" help run x
}
try narrow_help "help fits into 80 columns, and tells of one subcommand alone"

subcommand_help() {
    local names name
    works help lan
    same "lan --help" "$("$TORPOR" lan --help)" "$out"
    names=$(sed -n 's/^  \([a-z][a-z]*\)  .*/\1/p' <<<"$out")
    [ "$(wc -w <<<"$names")" -ge 6 ] || fail "subcommands of lan: $names"
    for name in $names; do
        works help lan "$name"
        matches "help lan $name" "$out" "^usage: torpor lan $name"
        same "lan $name --help" "$("$TORPOR" lan "$name" --help)" "$out"
        same "lan --help $name" "$("$TORPOR" lan --help "$name")" "$out"
        same "lan $name x --help" "$("$TORPOR" lan "$name" x --help)" "$out"
    done
}
try subcommand_help "lan SUBCOMMAND --help prints what help lan SUBCOMMAND prints"

suggestions() {
    refuses 125 "did you mean resume" resmue
    refuses 125 "did you mean ps" list
    refuses 125 "did you mean save" help sav
    refuses 125 "unknown verb 'frobnicate' \(see" frobnicate
}
try suggestions "a verb with a typing error: which one may have been meant"

hints() {
    local out_verb
    mkdir folder
    boot m --net none
    for name in folder folder/ nothing/; do
        refuses 125 "$name is a folder: name the file to write in it" build -o $name --kernel "$TINY"
        for out_verb in "save -o $name m" "convert a $name" "flatten -o $name a" "sign -s k -o $name a" \
            "warm -o $name $TINY"; do
            # shellcheck disable=SC2086
            refuses 125 "$name is a folder: name the file to write in it" $out_verb
        done
    done
    refuses 125 "-o FILE, the appliance to write, is missing: torpor build -o" build --kernel "$TINY"
    refuses 125 "--fill web: none, idle or full" stats --fill web
    refuses 125 "unknown option" help --verify
    works help receive
    same "help of more words" "$("$TORPOR" help receive --verify cached)" "$out"
    works help run
    matches "-m" "$(tr -s ' \n' ' ' <<<"$out")" "in MiB without a letter"
}
try hints "a folder as output, what is missing or in another's place: the message says so"

full_stdout() {
    "$TORPOR" version >/dev/full 2>"$SCRATCH/err"
    same status "$?" 125
    one_line "standard output" || fail "$(cat "$SCRATCH/err")"
}
try full_stdout "data that cannot be written to standard output is an error"
