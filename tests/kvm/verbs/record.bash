# Goldens from recipes. The tiny guest runs no commands: what runs there is tested with Debian.

head_of() { # LINE…: a recipe of the tiny guest
    printf '%s\n' "kernel: $TINY" "memory: 64M" "await: READY" "$@"
}

nothing_is_left() {
    same "machines" "$("$TORPOR" ps -aq)" ""
    same "files" "$(ls -A | grep torpor)" ""
    [ -z "$(ls "$XDG_STATE_HOME/torpor" 2>/dev/null)" ] || fail "records: $(ls "$XDG_STATE_HOME/torpor")"
}

records() {
    local digest
    head_of "save: level=1" "" "The machine is there." "" \
        '  % torpor ps -q | grep -c "^$TORPOR_NAME$"' "  1" \
        '  % echo $TORPOR_NAME' "  record-[0-9]+ (re)" >web.t
    PATH=$SCRATCH:$PATH works golden record web.t
    same "machines" "$("$TORPOR" ps -aq)" ""
    digest=$("$TORPOR" inspect --json web.torpor | json "d['digest']")
    same printed "$out" "web.torpor@$digest"
    # That is what a head says.
    printf 'golden: %s\n  %% echo on\n  on\n' "$out" >test.t
    # Its machines are called as the file, not as the one that recorded it.
    works resume -d --rm web.torpor
    same "the name" "$out" web
    works kill web
    works resume -d -n a web.torpor
    matches "the guest" "$(say a count)" '^count [0-9]+$'
    works test test.t
    mkdir below
    works golden record web.t -o below/other.torpor
    matches printed "$out" '^below/other.torpor@sha256:'
    # Another one from that.
    printf '%s\n' 'golden: below/other.torpor' 'save: flat' '' '  % true' >next.t
    works golden record next.t
    works verify next.torpor
    same encoding "$("$TORPOR" ls next.torpor | awk '$1 == "memory.0" { print $2 }')" flat
    works golden record --from web.torpor next.t
}
PATH=$SCRATCH:$PATH try records "golden record: boots, runs the commands, saves; the digest is printed; a golden from a golden"

warms() {
    head_of "warm: 1" "" "  % true" >hot.t
    works golden record hot.t
    matches "hot frames" "$("$TORPOR" inspect hot.torpor)" '[hH]ot'
    works resume -d --rm -n a hot.torpor
    matches "the guest" "$(say a count)" '^count [0-9]+$'
    works kill a
    rm hot.torpor
    nothing_is_left
}
try warms "golden record: warm"

differs() {
    head_of "" "  % seq 3" "  1" "  3" >x.t
    call golden record x.t
    same status "$status" 1
    matches diff "$(<"$SCRATCH/out")" $'^--- x.t\n\+\+\+ x.t\n.*\n   1\n\+  2\n   3$'
    nothing_is_left
    chmod 640 x.t
    works golden record --update x.t
    same "rewritten" "$(<x.t)" "$(head_of "" "  % seq 3" "  1" "  2" "  3")"
    same mode "$(stat -c %a x.t)" 640
    works golden record x.t
    CI=1 refuses 125 "with CI set" golden record --update x.t
    head_of "" "  % exit 4" >x.t
    call golden record x.t
    same status "$status" 1
    matches diff "$(<"$SCRATCH/out")" $'\n\+  \[4\]$'
}
try differs "golden record: a difference is a diff and status 1, and no file; --update accepts it, and never in CI"

wrong_heads() {
    echo '  % true' >headless.t
    refuses 125 "headless.t: its head needs one of" golden record headless.t
    printf 'kernel: nothing\n' >missing.t
    refuses 125 "nothing: No such file" golden record missing.t
    head_of "memory: lots" >memory.t
    refuses 125 "memory" golden record memory.t
    head_of "colour: red" >colour.t
    refuses 125 "colour.t: line 4: a recipe has no 'colour:'" golden record colour.t
    head_of "boot: 1" | sed 's/^await:.*/await: NEVER/' >silent.t
    refuses 125 "waited 1 s for 'NEVER' on its console; the last that its console said: 'READY" golden record silent.t
    head_of "boot: 1" "" '  $ true' >agent.t
    refuses 125 "waited 1 s for success of ':'" golden record agent.t
    refuses 122 "no-such.t" golden record no-such.t
    head_of "" "  % true" >x.t
    refuses 122 "nowhere" golden record x.t -o nowhere/x.torpor
    refuses 125 "--from: x.t begins with a kernel" golden record x.t --from y.torpor
    refuses 125 "say record or check" golden
    refuses 125 "say record or check" golden burn x.t
    refuses 125 "RECIPE" golden record
    refuses 125 "golden check knows no --update" golden check --update x.t
    refuses 122 "x.torpor" golden check x.t
    nothing_is_left
    works golden record x.t
    refuses 125 "x.torpor: the guest has no agent that answers" golden check x.t
    rm x.torpor
    nothing_is_left
}
try wrong_heads "golden: a wrong head, a silent guest, one without an agent, wrong command lines"

# The recording would take its place.
own_inputs() {
    head_of "" "  % true" >x.t
    cp x.t before
    refuses 125 "x.t is read" golden record x.t -o x.t
    cmp -s x.t before || fail "the recipe was written"
    cp "$TINY" y.torpor
    sed "s#^kernel:.*#kernel: ./y.torpor#" x.t >y.t
    refuses 125 "y.torpor is read" golden record y.t
    ln -s y.torpor other.torpor
    refuses 125 "other.torpor is read" golden record y.t -o other.torpor
    cmp -s "$TINY" y.torpor || fail "the kernel was written"
    head -c 4096 /dev/zero >disk.img
    head_of "disk: disk.img,ro" "" "  % true" >disk.t
    refuses 125 "disk.img is read" golden record disk.t -o disk.img
    works build --kernel "$TINY" -m 64M -o z.torpor
    cp z.torpor before
    printf '%s\n' "from: z.torpor" "await: READY" "" "  % true" >z.t
    refuses 125 "z.torpor is read" golden record z.t
    refuses 125 "z.torpor is read" golden record z.t --from ./z.torpor
    works golden record z.t -o live.torpor
    printf '%s\n' "golden: live.torpor" "" "  % true" >live.t
    refuses 125 "live.torpor is read" golden record live.t
    cmp -s z.torpor before || fail "the appliance was written"
    refuses 125 "not standard output" golden record x.t -o -
    same "machines" "$("$TORPOR" ps -aq)" ""
}
try own_inputs "golden record: what it is made from is not written over"

is_gone() { # PID
    [[ $(ps -o stat= -p "$1") =~ ^(Z.*)?$ ]]
}

# Not of a shell's background, where ^C is ignored.
in_background() { # ARGUMENT…
    python3 -c 'import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])' \
        "$TORPOR" "$@" >said 2>&1 &
    recorder=$!
}

nothing_runs() {
    local exe
    for exe in /proc/[0-9]*/exe; do
        [ "$(readlink "$exe")" != "$TORPOR" ] || return 1
    done
}

machine_runs() { # NAME
    "$TORPOR" ps -q | grep -q "^$1"
}

ended() {
    head_of "" '  % echo $$ >shell; sleep 1000' >long.t
    for signal in INT TERM; do
        rm -f shell
        in_background golden record long.t
        until_true test -s shell
        kill -$signal $recorder
        wait $recorder
        same "status after $signal" "$?" "$((128 + $(kill -l $signal)))"
        until_true is_gone "$(<shell)"
        nothing_is_left
    done
    rm -f shell
    in_background golden record long.t
    until_true test -s shell
    kill -KILL $recorder
    wait $recorder 2>/dev/null
    until_true nothing_runs
    kill -KILL "$(<shell)"
    until_true nothing_is_left
    head_of "warm: 600" "" "  % true" >warm.t
    in_background golden record warm.t
    until_true machine_runs warm
    kill -KILL $recorder
    wait $recorder 2>/dev/null
    until_true nothing_runs
    nothing_is_left
}

try ended "golden record: ^C, SIGTERM and SIGKILL leave no machine, no record and no file"

full() {
    mkdir small
    mount -t tmpfs -o size=512k tmpfs small 2>/dev/null || skip "no file system can be mounted"
    head_of "save: flat" "" "  % true" >x.t
    head -c 300000 /dev/zero >small/full
    refuses 125 "No space left" golden record x.t -o small/x.torpor
    same "the small file system" "$(ls -A small)" full
    same "machines" "$("$TORPOR" ps -aq)" ""
    echo old >small/x.torpor
    refuses 125 "small/x.torpor.*No space left|No space left.*small/x.torpor" golden record x.t -o small/x.torpor
    same "the old file" "$(<small/x.torpor)" old
    sed -i 's/^save: flat/warm: 1/' x.t
    refuses 125 "No space left" golden record x.t -o small/x.torpor
    same "the old file" "$(<small/x.torpor)" old
    same "the small file system" "$(ls -A small)" $'full\nx.torpor'
}
try full "golden record: a full disk leaves no file, and an old one as it was"
