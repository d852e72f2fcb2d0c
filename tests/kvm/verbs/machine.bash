# The life of a machine: run, ps, pause, unpause, stop, kill, wait, rm.

# A port that is being set up forgets what was typed before, as a real one does.
foreground() {
    (
        until_true is_ready fg
        printf 'ping a\npoweroff\n'
    ) | timeout "$PATIENCE" "$TORPOR" run --name fg --kernel "$TINY" >"$SCRATCH/out" 2>"$SCRATCH/err"
    same status "$?" 0
    same "standard error" "$(<"$SCRATCH/err")" ""
    matches output "$(tr -d '\r' <"$SCRATCH/out" | tr '\n' ' ')" '^READY nonce=[0-9a-f]{16} pong a poweroff $'
}
try foreground "run in the foreground: input and output by pipes, 0 when the guest powers off"

machine_flags() {
    truncate -s 1M a.img
    truncate -s 2M b.img
    printf initrd >initrd
    works run -d -n flags --kernel "$TINY" --initrd initrd --append "autocmd=ping_appended" -m 32M -c 2 --cpu v1 \
        --disk a.img,ro,id=first --disk b.img --console ttyS0
    until_true has_said flags 'pong appended'
    answers flags disks "disks 2 1048576:ro 2097152"
    answers flags "dserial 0" "dserial first"
    answers flags "dserial 1" "dserial disk1"
    answers flags smp "smp 1"
    matches memory "$(say flags mem)" '^mem 3[0-9]{7}$'
    answers flags "dwrite 1 0 8 3" "dwrite ok"
    answers flags "dread 1 0 8 3" "dread ok"
    cmp -s b.img <(head -c 2M /dev/zero) || fail "the base of a disk was written"
    works inspect flags --json
    same "inspect" "$(json "d['vcpus'], d['memory'], d['state']" <<<"$out")" "2 33554432 running"
}
try machine_flags "run --kernel --initrd --append -m -c --cpu --disk F,ro,id=X --console; the disk's file stays as it was"

cpu_models() {
    local model
    for model in v1 v2 v3 host; do
        call run -d --name "cpu-$model" --kernel "$TINY" -m 32M --cpu "$model"
        if [ "$status" = 0 ]; then
            until_true is_ready "cpu-$model"
            works inspect "cpu-$model"
            matches inspect "$out" "CPU +$model"
        else
            [ "$status" = 120 ] && one_line "CPU|lacks" && [ "$model" != v1 ] && [ "$model" != host ] ||
                fail "$(report_call run --cpu "$model")"
        fi
    done
}
try cpu_models "run --cpu v1, v2, v3, host: it boots, or 120 says what this host lacks"

hvc_console() {
    boot hvc --console hvc0 --append "console=hvc0"
    answers hvc "ping virtio" "pong virtio"
}
try hvc_console "run --console hvc0: the keyboard types to virtio-console"

run_cold_file() {
    works_silently build -o cold.torpor --kernel "$TINY" -m 32M --append quiet
    works run -d --name cold -m 16M --append "autocmd=ping_file" cold.torpor
    until_true has_said cold 'pong file'
    matches memory "$(say cold mem)" '^mem 1[0-9]{7}$'
    refuses 125 "cannot be given" run --kernel "$TINY" cold.torpor
}
try run_cold_file "run FILE, with options over what the file says"

random_name() {
    works run -d --kernel "$TINY"
    matches name "$out" '^vm-[a-z0-9]{6}$'
    works_silently kill "$out"
}
try random_name "run -d without --name makes one up and prints it"

run_rm() {
    works run -d --rm --name gone --kernel "$TINY"
    works_silently kill gone
    works ps -a
    [[ $out != *gone* ]] || fail "ps -a still lists it: $out"
    [ ! -e "$XDG_STATE_HOME/torpor/gone" ] || fail "its logs are still there"
}
try run_rm "run --rm leaves no record"

listing() {
    boot one -m 32M
    boot two -m 64M -c 2 -p 127.0.0.1:0:80
    works port two --json
    port=$(json "d[0]['host']" <<<"$out")
    works ps
    matches ps "$out" "two .* 127.0.0.1:$port->80  $TINY"
    works_silently kill two
    works ps
    matches ps "$out" $'NAME +STATE +EXIT +PID +VCPUS +MEMORY +TIME +PORTS +APPLIANCE\none +running +- +[0-9]+ +1 +[0-9]+M/32M +[0-9]+s +- +'"$TINY\$"
    works ps -a
    matches "ps -a" "$out" 'two +exited:killed +137 +- +- +- +[0-9]+s ago +- +'"$TINY"
    works ps -q
    same "ps -q" "$out" one
    works ps -aq
    same "ps -aq" "$out" $'one\ntwo'
    works ps --json
    same "ps --json" "$(json "len(d), d[0]['name'], d[0]['memory'], d[0]['vcpus'], d[0]['state']" <<<"$out")" \
        "1 one 33554432 1 running"
    works ps --all --quiet
    works ps --all --json
    same "ps -a --json" "$(json "[m['state'] for m in d]" <<<"$out")" "['running', 'exited']"
    same "the end" "$(json "[(m['exit-status'], m['ended'] >= m['started'], m['origin']) for m in d if m['name'] == 'two']" <<<"$out")" \
        "[(137, True, '$TINY')]"
    works save one -o one.torpor
    works resume -d one.torpor
    same "of a file" "$("$TORPOR" ps --json | json "d[0]['origin']")" "$PWD/one.torpor"
}
try listing "ps, -a, -q, -aq, --json"

# Each second, until nobody reads.
watched() {
    local from line
    boot one
    exec {from}< <(exec "$TORPOR" ps --watch --interval 1 --json)
    read -r -t "$PATIENCE" -u "$from" line
    same "at first" "$(json "[m['state'] for m in d]" <<<"$line")" "['running']"
    works_silently pause one
    until [ "$(json "[m['state'] for m in d]" <<<"$line")" = "['paused']" ]; do
        read -r -t "$PATIENCE" -u "$from" line || fail "it never says that it is paused"
    done
    exec {from}<&-
    until_true eval '! pgrep -f "^$TORPOR ps --watch"'
    refuses 125 "--quiet and --watch exclude" ps -q -w
    refuses 125 "--interval goes with" ps --interval 1
    "$TORPOR" ps -w | head -n 4 >table
    same "two tables" "$(grep -c ^NAME table) $(grep -c '^one .*paused' table)" "2 2"
}
try watched "ps --watch: again and again"

no_machines() {
    works ps -q
    same "ps -q" "$out" ""
    works ps --json
    same "ps --json" "$out" "[]"
}
try no_machines "ps where there is nothing: an empty list"

pausing() {
    local before after
    boot p1
    boot p2
    works_silently pause p1 p2
    same "state of p1" "$(state_of p1)" paused
    same "state of p2" "$(state_of p2)" paused
    works_silently pause p1
    works_silently unpause p1 p2
    same "state of p1" "$(state_of p1)" running
    before=$(say p1 count)
    works_silently pause p1
    works_silently unpause p1
    after=$(say p1 count)
    [ $((${after#count } - ${before#count })) -gt 0 ] || fail "it does not count: $before, $after"
    answers p2 "ping x" "pong x"
}
try pausing "pause and unpause, several at once, twice the same"

pause_stands_still() {
    boot still
    boot other
    works_silently pause still
    "$TORPOR" console still <<<"ping asleep" >answer &
    local client=$!
    # Who was asked later has answered.
    answers other "ping awake" "pong awake"
    [ ! -s answer ] || fail "a paused machine answered"
    works_silently unpause still
    until_true grep -q 'pong asleep' answer
    kill "$client"
}
try pause_stands_still "a paused machine answers only when it goes on"

# Each option that `torpor help resume` lists.
options_of_files() {
    local option why
    boot p
    works_silently pause p
    works help resume
    sed -nE 's/^  (-.,|   ) --([a-z-]+)( .*)?$/\2/p' <<<"$out" >options
    [ "$(wc -l <options)" -ge 10 ] || fail "options of resume: $(<options)"
    while read -r option; do
        why="is for files, and p is a machine already"
        case $option in
        name) set -- other ;;
        on-term) set -- save ;;
        restart) set -- always ;;
        cpus | cpu-weight | pids-max | disk-iops | net-pps) set -- 1 ;;
        cpuset) set -- 0 ;;
        memory-max | disk-bps | net-bps) set -- 1G ;;
        idle-save | timeout) set -- 9 ;;
        disks) set -- inside ;;
        disk) set -- missing ;;
        volume) set -- data ;;
        vsock) set -- s ;;
        progress) continue ;; # of any verb
        fill) set -- none ;;
        require-signature) set -- trust ;;
        verify) set -- full ;;
        net | share) set -- none ;;
        publish) set -- 80 ;;
        pcap | key-file | passphrase-file | until-closed | cacert) set -- missing ;;
        detach | paused | golden | unverified | new-identity | rm | wait-complete | plain-http) set -- ;;
        *) fail "an option without a value here: $option" ;;
        esac
        case $option in
        wait-complete | cacert | plain-http | timeout) why="is for docker://, https:// and http://" ;;
        esac
        refuses 125 "--$option $why" resume p "--$option" "$@"
    done <options
    refuses 125 "--detach is for files" resume -d p -n other
    same state "$(state_of p)" paused
    works_silently resume p
    same state "$(state_of p)" running
}
try options_of_files "resume NAME of a paused machine refuses every option by name, and leaves it paused"

stopping() {
    local start=$EPOCHREALTIME
    boot s
    works_silently stop -t 1 s
    [ $((${EPOCHREALTIME/./} - ${start/./})) -ge 1000000 ] || fail "it did not wait for the guest"
    call wait s
    same "wait" "$status $(<"$SCRATCH/out")" "137 killed"
    boot s
    works_silently stop --time 0 s
    refuses 122 "s" stop s
    refuses 125 "time" stop -t never s
    boot s
    kill -STOP "$(<"$XDG_RUNTIME_DIR/torpor/s/pid")"
    works_silently stop -t 1 s
}
try stopping "stop -t: a guest that does not listen is killed after the time given"

killing() {
    boot k1
    boot k2
    answers k2 halt halt
    works_silently kill k1 k2
    works ps -q
    same "ps -q" "$out" ""
    refuses 122 "nobody" kill nobody
    call wait k1
    same "wait" "$status $(<"$SCRATCH/out")" "137 killed"
}
try killing "kill ends machines at once, a halted one too; wait says 137"

killed_process() {
    local pid
    boot victim
    works ps --json
    pid=$(json "d[0]['pid']" <<<"$out")
    kill -9 "$pid"
    until_true test ! -e "/proc/$pid"
    same state "$(state_of victim)" dead
    call wait victim
    same "wait" "$status $(<"$SCRATCH/out")" "125 dead"
    boot victim
    answers victim "ping again" "pong again"
}
try killed_process "a machine whose process was killed is dead, and its name can be used again"

full_state() {
    mkdir small
    mount -t tmpfs -o size=512k tmpfs small 2>/dev/null || skip "no file system can be mounted"
    export XDG_STATE_HOME=$PWD/small
    boot full
    head -c 1M /dev/zero >small/rest 2>/dev/null
    [ "$(df --output=avail small | tail -n 1)" -eq 0 ] || fail "it is not full"
    works_silently kill full
    works ps -a
    matches "ps -a" "$out" 'full +exited:killed'
    call wait full
    same "wait" "$status $(<"$SCRATCH/out")" "137 killed"
}
try full_state "a machine that ends while its state folder's file system is full leaves its record"

foreground_killed() {
    open_keys
    "$TORPOR" run --name fg --kernel "$TINY" <&"$keys" >fg.out 2>fg.err &
    local pid=$!
    until_true is_ready fg
    works_silently kill fg
    wait "$pid"
    same status "$?" 137
    same "standard error" "$(<fg.err)" "torpor: fg was killed"
}
try foreground_killed "run in the foreground returns 137 when it is killed, and says so"

# Whenever the command is ended: a machine that it has not named is none.
detached_killed() {
    for delay in 0 0.004 0.008 0.012 0.016 0.02 0.025 0.03 0.04 0.05; do
        "$TORPOR" run -d --kernel "$TINY" --net none >named &
        run=$!
        sleep "$delay"
        kill -INT "$run" 2>/dev/null
        wait "$run"
        until_true only_named
        [ ! -s named ] || works_silently kill "$(<named)"
    done
}
only_named() {
    [ "$("$TORPOR" ps -q)" = "$(<named)" ]
}
try detached_killed "run -d that is ended by a signal: there is a machine if its name was printed, and else none"

signals() {
    local pid
    "$TORPOR" run --name sig --kernel "$TINY" >sig.out 2>sig.err </dev/null &
    pid=$!
    until_true is_ready sig
    kill -TERM "$pid"
    wait "$pid"
    same status "$?" 137
    [ ! -e "$XDG_RUNTIME_DIR/torpor/sig" ] || fail "its runtime folder is left"
}
try signals "SIGTERM ends a machine in the foreground as kill does; nothing is left"

waiting() {
    boot w
    timeout "$PATIENCE" "$TORPOR" wait w >answer &
    local client=$!
    answers w poweroff poweroff
    wait "$client"
    same "status of wait" "$?" 0
    same "wait" "$(<answer)" poweroff
    works wait w
    same "wait afterwards" "$out" poweroff
    refuses 122 "nobody" wait nobody
}
try waiting "wait, before and after the end: how it ended, and run's exit status"

reset_and_triple() {
    local first
    boot r
    first=$(say r nonce)
    answers r reset reset
    until_true is_ready r 2
    [ "$(say r nonce)" != "$first" ] || fail "it did not start anew"
    answers r triple triple
    until_true is_ready r 3
    same state "$(state_of r)" running
    works logs --host r
    matches "its log" "$out" "vCPU 0: triple fault( at [0-9a-f]+:[0-9a-f]+, .*)?, a reset"
}
try reset_and_triple "a guest that resets itself, or dies of a triple fault, boots again"

resets_in_a_loop() {
    local i
    boot loop
    for ((i = 2; i <= 8; i++)); do
        answers loop reset reset
        until_true is_ready loop "$i"
    done
    works logs --host loop
    same "lines" "$(grep -c "port 0x64 (i8042, also the reset register of ACPI), a reset" <<<"$out")" 5
    same "single ones" "$(grep -c "a reset$" <<<"$out")" 4
    matches "the loop" "$out" "a reset: the guest resets itself in a loop, 5 times in [0-9]+ s"
    works_silently kill loop
}
try resets_in_a_loop "each reset by the guest is a line with its cause, and a loop of them is named"

halted_for_good() {
    boot idle
    boot h -c 2
    answers h "ping before" "pong before"
    same state "$(state_of h)" running
    answers h halt halt
    works wait h
    same wait "$out" halted
    same state "$(state_of h)" halted
    works ps
    matches ps "$out" "h +halted +- +[0-9]+ +2 "
    works logs --host h
    matches "its log" "$out" "the guest has halted for good"
    same "one that waits for input" "$(state_of idle)" running
    answers idle "ping after" "pong after"
    works_silently pause h
    same state "$(state_of h)" paused
    works_silently unpause h
    same state "$(state_of h)" halted
    works save h -o halted.torpor
    works resume -d halted.torpor -n again
    works wait again
    same wait "$out" halted
    works_silently kill again idle
}
try halted_for_good "a guest that has halted for good is halted in ps, and wait returns; it can be saved"


several_names() {
    local verb
    boot n1
    boot n2
    for verb in pause unpause "stop -t 0"; do
        # shellcheck disable=SC2086
        call $verb nobody n1 noone n2
        same "status of $verb" "$status" 122
        same "lines of $verb" "$(sort "$SCRATCH/err" | grep -c "^torpor: ${verb%% *}: .*no\(body\|one\)")" 2
    done
    same "ps -q" "$("$TORPOR" ps -q)" ""
    boot n3
    call rm n1 n3 n2
    same "status of rm" "$status $(wc -l <"$SCRATCH/err")" "125 1"
    works ps -aq
    same "ps -aq" "$out" n3
    call kill n3 n3
    same "status of kill" "$status" 0
}
try several_names "of several names each is tried, each failure told, and the worst status returned"

is_paused() { # NAME
    [ "$(state_of "$1")" = paused ]
}

deaf_among_others() {
    local pid client
    boot deaf
    boot good
    works ps --json
    pid=$(json "[m['pid'] for m in d if m['name'] == 'deaf'][0]" <<<"$out")
    kill -STOP "$pid"
    "$TORPOR" pause deaf good &
    client=$!
    until_true is_paused good
    kill -CONT "$pid"
    wait "$client"
    same "status of pause" "$?" 0
    same "state of deaf" "$(state_of deaf)" paused
}
try deaf_among_others "a machine that does not answer holds up no other of the same verb"

waiting_for_removed() {
    "$TORPOR" run -d --rm --name passing --kernel "$TINY" >/dev/null
    "$TORPOR" wait passing >answer &
    local client=$!
    # It has asked once it polls for the answer (system call 7).
    until_true grep -q '^7 ' "/proc/$client/syscall"
    works_silently kill passing
    wait "$client"
    same "wait" "$? $(<answer)" "137 killed"
}
try waiting_for_removed "wait says how a machine ended that leaves no record"

nobody_there() {
    local verb
    for verb in pause unpause save stop kill rm wait logs console inspect resume; do
        refuses 122 "nobody" "$verb" nobody
    done
    boot somebody
    refuses 122 "nobody" kill nobody somebody
    refuses 125 "NAME" pause
}
try nobody_there "a name that is not there: 122 from every verb"

removing() {
    boot x
    refuses 125 "x is running" rm x
    works_silently rm -f x
    works ps -aq
    same "ps -aq" "$out" ""
    refuses 122 "x" rm x
    boot y
    boot z
    works_silently kill y z
    works_silently rm y z
    [ -z "$(ls "$XDG_STATE_HOME/torpor")" ] || fail "left: $(ls "$XDG_STATE_HOME/torpor")"
    boot y
    works_silently rm --force y
}
try removing "rm and rm -f; several at once"

nothing_left() {
    boot a
    boot b
    works_silently kill a b
    works_silently rm a b
    [ -z "$(find "$XDG_RUNTIME_DIR" "$XDG_STATE_HOME" "$XDG_DATA_HOME" -type f)" ] ||
        fail "$(find "$HOME" -type f)"
    [ -z "$(ls "$XDG_RUNTIME_DIR/torpor")" ] || fail "$(ls "$XDG_RUNTIME_DIR/torpor")"
}
try nothing_left "behind rm, no file of a machine is left"
