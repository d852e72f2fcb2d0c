# Appliances through pipes: no file on the way, and nothing lost when the pipe breaks.

piped_file() {
    boot web
    nonce=$(say web nonce)
    answers web "fill 16 8 5" "filled 2048"
    "$TORPOR" save web -o - 2>said | cat >web.torpor
    same "statuses" "${PIPESTATUS[*]}" "0 0"
    matches "standard error" "$(<said)" '^web: [0-9.]+ MiB, paused for [0-9.]+ s$'
    works ps -q
    same "ps behind save" "$out" ""
    works wait web
    same wait "$out" saved
    works verify web.torpor
    works resume -d web.torpor
    is_same_guest web
}
try piped_file "save -o - | cat: a file like any other; the machine ends, and is told of on stderr"

host_to_host() {
    boot web
    nonce=$(say web nonce)
    answers web "fill 16 8 5" "filled 2048"
    "$TORPOR" save web -o - 2>/dev/null | "$TORPOR" resume -d - >name
    same "statuses" "${PIPESTATUS[*]}" "0 0"
    same "the name it wakes under" "$(<name)" web
    is_same_guest web
    same "files" "$(find "$HOME" "$PWD" -name '*.torpor*')" ""
    # What came down a pipe is as good a base for the next save.
    works save web -o next.torpor
    works resume -d next.torpor
    is_same_guest web
}
try host_to_host "save -o - | resume -d -: the same guest, and no file anywhere"

stay() {
    truncate -s 4M disk.img
    boot web --disk disk.img
    nonce=$(say web nonce)
    answers web "fill 16 8 5" "filled 2048"
    answers web "dwrite 0 100 16 3" "dwrite ok"
    works_silently pause web
    "$TORPOR" save -R web -o - 2>/dev/null | cat >packed.torpor
    "$TORPOR" save -R --flat --json web -o - 2>said | cat >flat.torpor
    same "bytes in --json" "$(json "d['bytes']" <said)" "$(stat -c %s flat.torpor)"
    same "state" "$(state_of web)" paused
    [ $(($(stat -c %s flat.torpor) / $(stat -c %s packed.torpor))) -ge 4 ] || fail "packed is not smaller"
    works inspect --json flat.torpor
    same "aligned" "$(json "d['aligned']" <<<"$out")" True
    for file in packed flat; do
        works verify $file.torpor
        "$TORPOR" resume -d --name $file - <$file.torpor >/dev/null || fail "resume - <$file.torpor"
        is_same_guest $file
        answers $file "dread 0 100 16 3" "dread ok"
    done
}
try stay "-R, --flat and --json with -o -; a paused machine stays so"

broken_pipe() {
    boot web
    nonce=$(say web nonce)
    answers web "fill 16 8 5" "filled 2048"
    "$TORPOR" save web --flat -o - 2>said | head -c 100000 >half
    same "statuses" "${PIPESTATUS[*]}" "125 0"
    matches "standard error" "$(<said)" '^torpor: save: .*write standard output: Broken pipe$'
    is_same_guest web
    "$TORPOR" save web -o - >/dev/full 2>said
    same "status, full" "$?" 125
    matches "standard error" "$(<said)" 'write standard output: No space left on device$'
    is_same_guest web
    "$TORPOR" resume -d - <half >"$SCRATCH/out" 2>"$SCRATCH/err"
    same "status, half a file" "$?" 121
    one_line truncated || fail "$(<"$SCRATCH/err")"
    head -c 1000 half | "$TORPOR" resume -d - 2>/dev/null
    same "status, half a pipe" "$?" 121
    "$TORPOR" resume -d - <<<"no appliance" 2>"$SCRATCH/err"
    same "status, something else" "$?" 121
    : | "$TORPOR" resume -d - 2>/dev/null
    same "status, nothing" "$?" 121
    works ps -q
    same machines "$out" web
}
try broken_pipe "a reader that leaves, a full device: the machine goes on; half an appliance does not wake"

# Standard output is a terminal there.
terminal() {
    local command
    boot web
    works build --kernel "$TINY" -o a.torpor
    for command in "save web -o -" "build --kernel '$TINY' -o -" "convert a.torpor -" "flatten a.torpor -o -" \
        "warm a.torpor -o -" "sign -s key a.torpor -o -" "extract a.torpor -o - kernel"; do
        script -qec "'$TORPOR' $command" /dev/null </dev/null >said
        same "status of $command" "$?" 125
        matches "$command" "$(<said)" 'standard output is a terminal'
    done
    same "state" "$(state_of web)" running
}
try terminal "no verb writes an appliance, or contents of one, to a terminal"

cold() {
    "$TORPOR" build --kernel "$TINY" -m 64M -o - | "$TORPOR" run -d --name cold - >name
    same "statuses" "${PIPESTATUS[*]}" "0 0"
    same "the name printed" "$(<name)" cold
    until_true is_ready cold
}
try cold "build -o - | run -d -"

readers() {
    make_live a.torpor
    for verb in inspect ls verify compat; do
        "$TORPOR" $verb a.torpor | sed 's/^a\.torpor/X/; s/^\(file *\)a\.torpor/\1X/' >file.out
        cat a.torpor | "$TORPOR" $verb - | sed 's/^standard input/X/; s/^\(file *\)standard input/\1X/' >pipe.out
        same "$verb -" "${PIPESTATUS[*]}" "0 0 0"
        cmp file.out pipe.out || fail "$verb: $(diff file.out pipe.out)"
    done
    "$TORPOR" extract - -o - state <a.torpor | cmp - <("$TORPOR" extract a.torpor -o - state) ||
        fail "extract -"
}
try readers "inspect, ls, verify, compat and extract read a pipe as they read the file"

foreground() {
    boot web
    nonce=$(say web nonce)
    "$TORPOR" save web -o - 2>/dev/null | "$TORPOR" resume --name fg - >fg.out 2>fg.err &
    until_true "$TORPOR" inspect fg
    answers fg nonce "$nonce"
    works_silently kill fg
    wait "$!"
    same "status" "$?" 137
}
try foreground "resume - in the foreground: the pipe is no keyboard"

increments() {
    boot web
    answers web "fill 16 8 5" "filled 2048"
    nonce=$(say web nonce)
    works save -R web # the store has it
    "$TORPOR" save -R web -o - 2>/dev/null | cat >full.torpor
    works inspect --json full.torpor
    same "by default" "$(json "d['appliance']['live']['increment']" <<<"$out")" False
    # Now the pipe's file is the base.
    answers web "fill 32 1 7" "filled 256"
    "$TORPOR" save web --parent full.torpor -o - 2>/dev/null | cat >part.torpor
    works inspect --json part.torpor
    same "with --parent" "$(json "d['appliance']['live']['increment']" <<<"$out")" True
    rm "$XDG_DATA_HOME/torpor/web.torpor"
    mv full.torpor "$XDG_DATA_HOME/torpor/"
    cd / && "$TORPOR" resume -d - <"$SCRATCH/files/part.torpor" >/dev/null || fail "the increment does not wake"
    is_same_guest web
    answers web "check 32 1 7" "check ok"
    rm "$XDG_DATA_HOME/torpor/full.torpor"
    "$TORPOR" resume -d - <"$SCRATCH/files/part.torpor" 2>"$SCRATCH/err"
    same "status without the parent" "$?" 122
}
try increments "a pipe gets everything; with --parent an increment, whose parent the store has"

rewriters() {
    make_live a.torpor
    works keygen --no-passphrase
    "$TORPOR" convert --flat - - <a.torpor | "$TORPOR" convert --packed=9 - - |
        "$TORPOR" sign -s torpor.key - | "$TORPOR" flatten - -o - >flat.torpor
    same "statuses" "${PIPESTATUS[*]}" "0 0 0 0"
    works resume -d --name flat flat.torpor
    is_same_guest flat
    "$TORPOR" sign -s torpor.key - <a.torpor | "$TORPOR" resume -d --require-signature torpor.pub - >/dev/null
    same "statuses" "${PIPESTATUS[*]}" "0 0"
    is_same_guest source
    "$TORPOR" resume -d --require-signature torpor.pub - <a.torpor 2>"$SCRATCH/err" && fail "unsigned"
    one_line sign || fail "$(<"$SCRATCH/err")"
}
try rewriters "convert, sign and flatten from pipe to pipe; resume --require-signature of a pipe"
