# save -R behind the pause: a process of its own writes the file, and the machine goes on meanwhile.
#
# What holds a save up is a pipe that nobody reads. Its first byte comes behind the pause, so what is done to
# the guest after it is not of the file.

is_saving() { # NAME
    [ "$(state_of "$1")" = saving ]
}

is_running() { # NAME
    [ "$(state_of "$1")" = running ]
}

# A save of web into a pipe: $saver. The pause is over; the rest comes when it is read.
save_held_up() { # OPTION…
    rm -f pipe
    mkfifo pipe
    exec {pipe}<>pipe
    env --default-signal=INT "$TORPOR" save web -R --flat -o - "$@" >pipe 2>said {pipe}>&- &
    saver=$!
    dd bs=1 count=1 <&"$pipe" >web.torpor 2>/dev/null
}

# All of it into web.torpor, and its end.
read_on() {
    cat pipe >>web.torpor {pipe}>&- &
    local reader=$!
    wait $saver
    same "status of save, which said '$(<said)'" "$?" 0
    exec {pipe}>&-
    wait $reader
}

give_up() { # SIGNAL
    kill -"$1" $saver
    wait $saver
    exec {pipe}>&-
    until_true is_running web
}

web() { # OPTION…
    boot web "$@"
    nonce=$(say web nonce)
    answers web "fill 16 8 5" "filled 2048"
}

pid_of() { # NAME
    "$TORPOR" ps --json | json "[m['pid'] for m in d if m['name'] == '$1'][0]"
}

# The process that writes.
writer_of() { # NAME
    pgrep -P "$(pid_of "$1")"
}

counted() {
    local answer
    answer=$(say web count)
    echo "${answer#count }"
}

goes_on() {
    local before
    web
    save_held_up
    works ps
    matches ps "$out" 'web +saving [0-9]+%'
    before=$(counted)
    [ "$(counted)" -gt "$before" ] || fail "the guest stands still"
    answers web "fill 16 8 6" "filled 2048"
    for verb in stats inspect port; do
        works $verb web
    done
    refuses 125 "machine web is busy: saving, [0-9]+ %" save web
    refuses 125 "machine web is busy: saving, [0-9]+ %" save web -R -o other.torpor
    works_silently pause web
    works_silently unpause web
    before=$(counted)
    [ "$(counted)" -gt "$before" ] || fail "the guest stands still behind a pause"
    read_on
    is_running web || fail "$(state_of web)"
    answers web "check 16 8 6" "check ok"
    works resume -d --name woken web.torpor
    is_same_guest woken
}
try goes_on "while it is saved a machine goes on and answers, and what it does then is not in the file"

# Contents by their digests, but for the state: that has the processor's time stamp, which does not stand still in
# a pause.
contents() { # FILE
    "$TORPOR" inspect --json "$1" |
        json "sorted(c for c in d['appliance']['contents'].items() if c[0] != 'state')"
}

same_bytes() { # OPTION…
    truncate -s 4M disk.img
    web --disk disk.img
    answers web "dwrite 0 100 16 3" "dwrite ok"
    works_silently pause web
    works save web -R "$@" -o behind.torpor
    works save web "$@" -o paused.torpor
    same "contents" "$(contents behind.torpor)" "$(contents paused.torpor)"
    matches contents "$(contents paused.torpor)" 'memory.0.*sha256'
}
try same_bytes "a file that was written behind the pause is that of a paused save, content by content"

same_flat() {
    same_bytes --flat
}
try same_flat "the same unpacked"

disks_stand_still() {
    truncate -s 4M disk.img
    web --disk disk.img
    answers web "dwrite 0 100 16 1" "dwrite ok"
    answers web "dwrite 0 200 16 1" "dwrite ok"
    save_held_up
    answers web "dwrite 0 100 16 2" "dwrite ok"
    answers web "ddiscard 0 200 16" "ddiscard ok"
    answers web "dwrite 0 300 3 3" "dwrite ok"
    answers web "dread 0 100 16 2" "dread ok"
    read_on
    answers web "dread 0 100 16 2" "dread ok"
    answers web "dread 0 300 3 3" "dread ok"
    works resume -d --name woken web.torpor
    answers woken "dread 0 100 16 1" "dread ok"
    answers woken "dread 0 200 16 1" "dread ok"
    # What was moved down is in the next one.
    works save web -R -o next.torpor
    answers web "dread 0 100 16 2" "dread ok"
    works resume -d --name next next.torpor
    answers next "dread 0 100 16 2" "dread ok"
    answers next "dread 0 300 3 3" "dread ok"
    refuses_sector next 200
}
refuses_sector() { # NAME SECTOR
    matches "a discarded sector" "$(say "$1" "dread 0 $2 1 1")" '^dread bad'
}
try disks_stand_still "disks: written, discarded and read while they are saved, and after it"

# Increments are of what changed since the last file that came to be.
chain_goes_on() {
    web
    works save web -R -o full.torpor
    answers web "fill 30 1 1" "filled 256"
    "$@"
    answers web "fill 32 1 2" "filled 256"
    works save web -R --parent full.torpor -o inc1.torpor
    answers web "fill 34 1 3" "filled 256"
    works save web -R --parent inc1.torpor -o inc2.torpor
    works resume -d --name woken inc2.torpor
    is_same_guest woken
    answers woken "check 30 1 1" "check ok"
    answers woken "check 32 1 2" "check ok"
    answers woken "check 34 1 3" "check ok"
    [ "$("$TORPOR" ls --json inc2.torpor |
        json "[i['frames']['data'] for i in d['contents'] if i['role'] == 'memory.0'][0]")" -lt 100 ] ||
        fail "the increment has all of memory"
}

client_ends() {
    local signal
    for signal in INT HUP TERM KILL; do
        save_held_up
        give_up $signal
        is_same_guest web
    done
    grep -q 'a save was cancelled: its client has gone away' "$XDG_STATE_HOME/torpor/web/torpor.log" ||
        fail "$(<"$XDG_STATE_HOME/torpor/web/torpor.log")"
    [ -z "$(writer_of web)" ] || fail "the process that wrote is still there"
}

client_gone() {
    chain_goes_on client_ends
}
try client_gone "a save that is given up: the machine is as it was, its next increments too"

writer_ends() {
    save_held_up
    kill -KILL "$(writer_of web)"
    wait $saver
    same "status of save" "$?" 125
    matches said "$(<said)" 'the process that wrote the file was killed'
    exec {pipe}>&-
    is_same_guest web
}

writer_killed() {
    chain_goes_on writer_ends
}
try writer_killed "so is one whose process is killed"

nowhere_to() {
    "$TORPOR" save web -R -o - >/dev/full 2>said && fail "a full device took it"
    matches said "$(<said)" 'No space left'
    "$TORPOR" save web -R -o - 2>said | dd bs=1000 count=1 status=none >part
    [ "${PIPESTATUS[0]}" != 0 ] || fail "a save whose reader left succeeded"
    is_running web || fail "$(state_of web)"
    is_same_guest web
}

unwritable() {
    chain_goes_on nowhere_to
}
try unwritable "so is one without room, or whose reader leaves"

killed_meanwhile() { # COMMAND…
    web
    save_held_up
    local writer
    writer=$(writer_of web)
    "$@"
    call wait web
    same wait "$(<"$SCRATCH/out")" killed
    wait $saver
    same "status of save" "$?" 125
    until_true eval "! kill -0 $writer"
    works ps -q
    same ps "$out" ""
}

killed() {
    killed_meanwhile works_silently kill web
    matches said "$(<said)" '^torpor: save: (the save of web was cancelled: the machine was killed|machine web ended without an answer)$'
}
try killed "kill ends the machine, its save and the process that wrote"

killed_hard() {
    web
    save_held_up
    local writer
    writer=$(writer_of web)
    kill -KILL "$(pid_of web)"
    wait $saver
    same "status of save" "$?" 125
    until_true eval "! kill -0 $writer"
}
try killed_hard "kill -9 of the machine ends all of it, too"

switched_off() {
    web
    save_held_up
    exec {from}< <(exec "$TORPOR" console web <<<poweroff)
    until_true grep -q poweroff "$XDG_STATE_HOME/torpor/web/console.log"
    is_saving web || fail "a machine that is off is not saved on: $(state_of web)"
    read_on
    works wait web
    same wait "$out" poweroff
    works resume -d web.torpor
    is_same_guest web
}
try switched_off "a guest that switches itself off meanwhile is saved all the same"

# Most of memory is still to come. What is not there is not there in the copy either.
half_loaded() {
    make_live half.torpor
    works resume -d --name web --fill none half.torpor
    answers web nonce "$nonce"
    answers web "fill 17 1 9" "filled 256"
    save_held_up
    # Some of it comes while the copy is read.
    answers web "fill 22 2 8" "filled 512"
    works_silently stats web --fill full
    read_on
    answers web "check 17 1 9" "check ok"
    answers web "check 22 2 8" "check ok"
    works resume -d --name woken web.torpor
    answers woken nonce "$nonce"
    answers woken "check 17 1 9" "check ok"
    works verify web.torpor
    answers woken "check 16 1 5" "check ok"
    answers woken "check 18 6 5" "check ok"
}
try half_loaded "a machine whose memory is still being loaded"

# What the guest gives back meanwhile is in the file as it was at the pause, loaded by then or not, and zero after it.
given_back() {
    local zeros mib
    make_live half.torpor
    works resume -d --name web --fill none half.torpor
    answers web nonce "$nonce"
    zeros=$(say web "memsum 40 1")
    answers web "fill 17 1 9" "filled 256"
    answers web "give 19 1" "given 256"
    save_held_up
    answers web "give 17 1" "given 256"
    answers web "give 20 2" "given 512"
    answers web "fill 20 1 8" "filled 256"
    works_silently stats web --fill full
    read_on
    works resume -d --name woken web.torpor
    answers woken "check 16 1 5" "check ok"
    answers woken "check 17 1 9" "check ok"
    answers woken "check 18 1 5" "check ok"
    answers woken "memsum 19 1" "$zeros"
    answers woken "check 20 4 5" "check ok"
    works save web -R -o next.torpor
    answers web "give 22 1" "given 256"
    works save web -R --parent next.torpor -o later.torpor
    works resume -d --name later later.torpor
    for name in web later; do
        for mib in 17 19 21 22; do
            answers $name "memsum $mib 1" "$zeros"
        done
        answers $name "check 16 1 5" "check ok"
        answers $name "check 18 1 5" "check ok"
        answers $name "check 20 1 8" "check ok"
        answers $name "check 23 1 5" "check ok"
    done
}
try given_back "what the guest gives back while it is saved, half of it not loaded yet"

# Nothing of it is loaded for the save: it must not become less each time.
saved_half_loaded() {
    local i
    make_live half.torpor
    works resume -d --paused --name web --fill none half.torpor
    for i in 1 2 3; do
        works save web -R -o $i.torpor
        same "contents" "$(contents $i.torpor)" "$(contents 1.torpor)"
        same "bytes" "$(stat -c %s $i.torpor)" "$(stat -c %s 1.torpor)"
        works verify $i.torpor
    done
    works_silently unpause web
    works resume -d --name woken 3.torpor
    is_same_guest web
    is_same_guest woken
}
try saved_half_loaded "one that was never loaded is saved again and again: the same file each time"

given_up_half_loaded() {
    local signal i=30
    make_live half.torpor
    works resume -d --name web --fill none half.torpor
    for signal in INT KILL; do
        answers web "fill $((i++)) 1 9" "filled 256"
        save_held_up
        answers web "fill $((i++)) 1 9" "filled 256"
        give_up $signal
    done
    works save web -R --parent half.torpor -o inc.torpor
    [ "$("$TORPOR" ls --json inc.torpor |
        json "[i['frames']['data'] for i in d['contents'] if i['role'] == 'memory.0'][0]")" -lt 100 ] ||
        fail "the increment has all of memory"
    works resume -d --name woken inc.torpor
    for name in web woken; do
        answers $name "check 30 4 9" "check ok"
        is_same_guest $name
    done
}
try given_up_half_loaded "saves of it that are given up: its next increment has what was written before and meanwhile"

cloned() {
    web
    works clone web --count 2
    answers web "fill 16 8 6" "filled 2048"
    is_same_guest web-1
    is_same_guest web-2
    answers web-1 "fill 40 1 1" "filled 256"
    answers web "check 16 8 6" "check ok"
}
try cloned "clone of a machine that goes on"

# The pages that its other processor numbers all the time, at the pause, too, have the numbers that it gave them: a
# whole round later it has looked at each.
churns_well() { # NAME
    local first now bad
    read -r _ first _ < <(say "$1" churned)
    until_true has_churned "$1" $((first + 4096))
    read -r _ now bad < <(say "$1" churned)
    same "pages of $1 that were lost, of $now" "$bad" 0
}
has_churned() { # NAME PAGES
    local now
    read -r _ now _ < <(say "$1" churned)
    [ "$now" -ge "$2" ]
}

# What each file holds is what the guest held at its pause, while the guest fills the same memory anew.
busy() {
    local i
    boot web -c 2
    nonce=$(say web nonce)
    answers web smp "smp 1"
    answers web "churn 32 16" "churn ok"
    for ((i = 1; i <= ${SAVES:-5}; i++)); do
        answers web "fill 16 8 $i" "filled 2048"
        save_held_up
        answers web "fill 16 8 $((i + 100))" "filled 2048"
        read_on
        answers web "check 16 8 $((i + 100))" "check ok"
        works resume -d --name woken web.torpor
        answers woken nonce "$nonce"
        answers woken "check 16 8 $i" "check ok"
        churns_well woken
        works_silently kill woken
    done
    churns_well web
}
try busy "one save after the other of a guest that writes all the time: each is of the moment of its pause"

# --- one failure at a time ---

# The N-th call of the machine from now on fails, or the process that writes is killed at its N-th.
arm() { # N KILL
    python3 -c 'import struct, sys; sys.stdout.buffer.write(struct.pack("<qq48x", *map(int, sys.argv[1:])))' "$@" |
        dd of=calls conv=notrunc status=none
}

calls_left() {
    od -An -td8 -N8 calls | tr -d ' '
}

failed_call() {
    dd if=calls bs=1 skip=16 count=48 status=none | tr -d '\0'
}

# Before each save a MiB of memory and a sector are written. No save that failed may forget them: they are in the
# next one that comes about. STEP: only one call of so many fails; make soak goes through all of them.
at_every_step() { # KILL
    local n step=${STEP:-5} seed=() i
    truncate -s 4M disk.img
    truncate -s 64 calls
    export LD_PRELOAD=$BUILD/tests/kvm/preload/fail_call.so FAIL_CALL_FILE=$PWD/calls
    web --disk disk.img
    unset LD_PRELOAD
    works save web -R -o base.torpor
    for ((n = 1; ; n += step)); do
        i=$((n % 32))
        seed[i]=$n
        answers web "fill $((24 + i)) 1 $n" "filled 256"
        answers web "dwrite 0 $((8 * i)) 1 $n" "dwrite ok"
        arm "$n" "$1"
        call save web -R --parent base.torpor -o "$n.torpor"
        [ "$(calls_left)" = 0 ] || break
        is_running web || fail "call $n, $(failed_call): $(state_of web)"
        if [ "$status" = 0 ]; then
            # What failed was of no consequence. A chain would be longer and longer.
            works save web -R --full -o base.torpor
        elif [ -e "$n.torpor" ] || ! one_line .; then
            fail "call $n, $(failed_call):" "$(report_call save)"
        fi
        [ -z "${SHOW:-}" ] || echo "$n $(failed_call): $status $(<"$SCRATCH/err")" >>"$SHOW"
    done
    arm 0 0
    [ "$n" -gt 20 ] || fail "$n calls: they were not seen"
    same "the last one" "$status" 0
    works save web -R --parent "$n.torpor" -o last.torpor
    works resume -d --name woken last.torpor
    for name in web woken; do
        is_same_guest $name
        for i in "${!seed[@]}"; do
            answers $name "check $((24 + i)) 1 ${seed[i]}" "check ok"
            answers $name "dread 0 $((8 * i)) 1 ${seed[i]}" "dread ok"
        done
    done
}

fails_at_every_step() {
    at_every_step 0
}
try fails_at_every_step "calls by which a save comes about fail: the machine is as it was, the next increment complete"

killed_at_every_step() {
    at_every_step 1
}
try killed_at_every_step "the process that writes is killed in the middle of its calls: the same"
