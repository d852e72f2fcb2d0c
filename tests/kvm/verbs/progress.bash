# Progress: bytes, rate and time left on a terminal, lines or JSON where they are asked for, and silence elsewhere.

# What the last one said of the bytes.
done_bytes() {
    tail -n 1 "$SCRATCH/err" | json "d['done'], d['expected']"
}

has_counted() {
    [ "$(tail -n 1 "$SCRATCH/progress" | json "d['done'] > 0 and d['done'] == d['expected']")" = True ] ||
        fail "what it has counted: $(tail -n 1 "$SCRATCH/progress")"
}

every_verb() {
    boot s
    answers s "fill 16 1 9" "filled 256"
    json_of save -R -o a.torpor s
    has_counted
    grep -q "^$PWD/a.torpor: " "$SCRATCH/out" || fail "save: its data: $(cat "$SCRATCH/out")"
    answers s "fill 16 1 9" "filled 256"
    json_of save --parent a.torpor -o b.torpor s
    has_counted
    json_of verify a.torpor
    [ "$(done_bytes | tr -d ' ' | tr , '\n' | sort -u | wc -l)" = 1 ] || fail "verify: $(done_bytes)"
    json_of convert --flat a.torpor flat.torpor
    grep -q '"done":[1-9]' "$SCRATCH/err" || fail "convert counted nothing"
    json_of flatten -o whole.torpor b.torpor
    json_of extract -C . whole.torpor memory.0
    json_of resume -d --verify full --name back flat.torpor
    json_of warm --for 1 -o warm.torpor a.torpor
    json_of clone whole.torpor
    json_of gc
    json_of build -o cold.torpor --kernel "$TINY"
    json_of tag b.torpor localhost/b:1
    same "what tag has counted" "$(done_bytes | tr -d ' ' | tr , '\n' | sort -u | wc -l)" 1
    json_of move back -- "$TORPOR" receive --progress=none --name moved
    has_counted
    CALLED=move json_of receive moved -- "$TORPOR" receive --progress=json
    if command -v qemu-img >/dev/null; then
        qemu-img create -q -f qcow2 disk.qcow2 64M
        qemu-io -c "write -q -P 7 0 20M" disk.qcow2 >/dev/null
        json_of disk import disk.qcow2 disk.raw
        same "what it has counted" "$(done_bytes)" "67108864 67108864"
    fi
    printf '%s\n' "kernel: $TINY" "memory: 64M" "await: READY" >g.t
    json_of golden record -o g.torpor g.t
    has_counted
    # The agent that it asks behind its recording is missing; in tests/lab there is one.
    call golden check --progress=json g.t g.torpor
    grep '^{' "$SCRATCH/err" >"$SCRATCH/progress"
    has_counted
    json_of build --live --ready text:READY -o live.torpor --kernel "$TINY"
    has_counted
    "$TORPOR" convert --progress=json --packed a.torpor - 2>err >piped.torpor
    "$TORPOR" verify piped.torpor >out || fail "data in a pipe: $(cat out)"
}
# Images come from a registry, which run has progress for, too (tests/registry); cp needs a guest with programs
# (tests/lab).
in_the_table() {
    local verb
    for verb in $(grep -B4 -- "--progress" "$tests/../cli/completion.bash" | sed -nE 's/^\t([a-z]+)\)$/\1/p'); do
        case $verb in pull | push | run | cp) continue ;; esac
        grep -Eq "^ *(CALLED=[a-z]+ )?json_of $verb( |$)" "$tests/kvm/verbs/progress.bash" || echo "$verb"
    done
}

all_verbs() {
    same "verbs with --progress that are not called here" "$(in_the_table)" ""
}
try all_verbs "no verb with --progress is left out"

try every_verb "--progress=json: the same objects from every verb, and nothing of it on standard output"

plain_and_none() {
    make_live a.torpor
    call convert --progress=plain --flat a.torpor b.torpor
    same status "$status" 0
    matches "the last line" "$(tail -n 1 "$SCRATCH/err")" '^torpor: convert: done, [0-9.]+ [KM]iB in [0-9.]+ s$'
    works convert --progress=none --flat a.torpor b.torpor
    call convert --progress=plain a.torpor /nowhere/b.torpor
    grep -q '^torpor: convert: failed, ' "$SCRATCH/err" || fail "$(report_call convert)"
    refuses 125 "none of plain\|json\|none" convert --progress=loud a.torpor b.torpor
}
try plain_and_none "--progress=plain ends with a line about the end, =none is silent"

# The output is a pipe that nobody reads, so that there is time to look.
stuck_at_a_terminal() { # KEYS SHELL-COMMAND
    mkfifo -m 600 pipe
    exec 8<>pipe
    timeout -k 1 "$PATIENCE" python3 "$tests/kvm/terminal.py" "$SCRATCH/typed" "$1" -- /bin/sh -c "exec $2"
    exec 8<&-
    rm pipe
}

cancelled() {
    boot s
    answers s "fill 16 1 9" "filled 256"
    export TERM=xterm
    same "the end" "$(stuck_at_a_terminal "/save: /^C" "$TORPOR save --flat -o - s >pipe")" "0 2 sane"
    matches "shown" "$(tr '\r' '\n' <"$SCRATCH/typed")" 'torpor: save: [0-9]+ %, [0-9.]+ of [0-9.]+ MiB'
    matches "said" "$(tail -n 1 "$SCRATCH/typed" | tr -d '\r')" 'torpor: save: cancelled: the machine goes on as it was$'
    answers s "check 16 1 9" "check ok"
    same state "$("$TORPOR" ps --json | json "d[0]['state']")" running
    works save --flat -o a.torpor s
    same "the end" "$(stuck_at_a_terminal "/convert: /^C" "$TORPOR convert --flat a.torpor - >pipe")" "0 2 sane"
    matches "said" "$(tail -n 1 "$SCRATCH/typed" | tr -d '\r')" 'torpor: convert: cancelled: nothing was written$'
}
try cancelled "^C on a terminal: the line is wiped, and what was cancelled is said"

narrow_and_dumb() {
    make_live --flat a.torpor
    export TERM=xterm TERMINAL_COLUMNS=30
    stuck_at_a_terminal "/convert: /^C" "$TORPOR convert --flat a.torpor - >pipe" >/dev/null
    wide=$(tr '\r' '\n' <"$SCRATCH/typed" | sed 's/\x1b\[K//g' | grep ' %' | awk 'length > 29')
    same "lines that are too wide" "$wide" ""
    export TERM=dumb
    stuck_at_a_terminal "/convert: /^C" "$TORPOR convert --flat a.torpor - >pipe" >/dev/null
    grep -q $'\x1b' "$SCRATCH/typed" && fail "escapes on a dumb terminal: $(cat -v "$SCRATCH/typed")"
    matches "lines" "$(cat "$SCRATCH/typed")" 'torpor: convert: [0-9]+ %'
}
try narrow_and_dumb "a narrow terminal has short lines, a dumb one has no escapes"
