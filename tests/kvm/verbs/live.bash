# build --live: boots, is ready, is saved; and what comes between. Conditions that need an agent are tested with Debian.

nothing_is_left() {
    same "machines" "$("$TORPOR" ps -aq)" ""
    same "files" "$(ls -A | grep torpor)" "${1:-}"
    [ -z "$(ls "$XDG_STATE_HOME/torpor" 2>/dev/null)" ] || fail "records: $(ls "$XDG_STATE_HOME/torpor")"
}

builds_live() {
    works_silently build --live --ready text:READY --kernel "$TINY" -m 64M --warm 1 -o web.torpor
    matches "it" "$("$TORPOR" inspect web.torpor)" $'\nlive +yes, web, '
    matches "hot frames" "$("$TORPOR" inspect web.torpor)" 'memory.0.hot '
    same "machines" "$("$TORPOR" ps -aq)" ""
    works resume -d web.torpor
    same "the name" "$out" web
    matches "the guest" "$(say web count)" '^count [0-9]+$'
    works kill web
    works_silently build --live --ready READY --ready text:nonce= --kernel "$TINY" -m 64M --warm 0 -o web.torpor
    [[ $("$TORPOR" inspect web.torpor) != *memory.0.hot* ]] || fail "it was warmed"
    call build --live --ready READY --kernel "$TINY" -m 64M --warm 1 -o - && cat "$SCRATCH/out" >piped.torpor
    same status "$status" 0
    works resume -d -n piped piped.torpor
    matches "the guest" "$(say piped count)" '^count [0-9]+$'
}
try builds_live "build --live: boots, waits for what --ready says, writes a live appliance with a hot set, down a pipe, too"

from_a_folder() {
    mkdir -p root/etc mods/kernel
    for name in virtio_mmio virtio_blk virtio_console virtio_net ext4; do
        printf 'ELF\0depends=\0' >"mods/kernel/$name.ko"
    done
    works_silently build --live --ready READY --from root --kernel "$TINY" --modules mods --space 8M -m 64M \
        --append loud --warm 1 -o folder.torpor
    works resume -d folder.torpor
    matches "the disk" "$(say folder disks)" '^disks 1 [0-9]+$'
}
try from_a_folder "build --live --from FOLDER: its root disk goes along"

not_ready() {
    echo old >old.torpor
    call build --live --ready READY --ready never --ready-timeout 1 --kernel "$TINY" -m 64M -o old.torpor
    same status "$status" 124
    matches "what is said" "$(<"$SCRATCH/err")" $'^\\| READY nonce=[0-9a-f]+\ntorpor: build: waited 1 s for \'never\' on its console$'
    same "the old file" "$(<old.torpor)" old
    nothing_is_left old.torpor
    "$TORPOR" build --live --ready never --kernel "$TINY" -m 64M -o old.torpor 2>said &
    local builder=$!
    until_true is_ready "build-$builder"
    works kill "build-$builder"
    wait $builder
    same status "$?" 125
    matches "what is said" "$(<said)" $'^\\| READY nonce=[0-9a-f]+\ntorpor: build: machine build-[0-9]+ has ended .*before \'never\' on its console$'
    same "the old file" "$(<old.torpor)" old
    nothing_is_left old.torpor
    call build --live --ready port:81 --ready-timeout 2 --kernel "$TINY" -m 64M -o new.torpor
    same status "$status" 124
    matches "what is said" "$(<"$SCRATCH/err")" 'waited 2 s for an answer at port 81'
    nothing_is_left old.torpor
}
try not_ready "build --live: too late is 124, a guest that ends before 125; its last lines are shown, and the old file stays"

# Not of a shell's background, where ^C is ignored.
build_in_background() { # ARGUMENT…
    python3 -c 'import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])' \
        "$TORPOR" build "$@" --kernel "$TINY" -m 64M -o file.torpor >said 2>&1 &
    builder=$!
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

interrupted() {
    echo old >file.torpor
    for signal in INT TERM; do
        build_in_background --live --ready never
        until_true is_ready "build-$builder"
        kill -$signal $builder
        wait $builder
        same "status after $signal" "$?" "$((128 + $(kill -l $signal)))"
        nothing_is_left file.torpor
        build_in_background --live --ready READY --warm 600
        until_true machine_runs warm
        kill -$signal $builder
        wait $builder
        same "status after $signal" "$?" "$((128 + $(kill -l $signal)))"
        until_true nothing_runs
        nothing_is_left file.torpor
    done
    build_in_background --live --ready never
    until_true is_ready "build-$builder"
    kill -KILL $builder
    wait $builder 2>/dev/null
    until_true nothing_runs
    nothing_is_left file.torpor
    same "the old file" "$(<file.torpor)" old
}
try interrupted "build --live: ^C, SIGTERM and SIGKILL leave no machine, no record, and the old file"

live_refused() {
    refuses 125 "are for --live" build --ready READY --kernel "$TINY" -o x.torpor
    refuses 125 "are for --live" build --warm 3 --kernel "$TINY" -o x.torpor
    refuses 125 "--live needs --ready" build --live --kernel "$TINY" -o x.torpor
    refuses 125 "--ready needs text:TEXT, port:N or exec:COMMAND" build --live --ready port: --kernel "$TINY" -o x.torpor
    refuses 125 "--ready port" build --live --ready port:70000 --kernel "$TINY" -o x.torpor
    refuses 125 "--ready-timeout" build --live --ready READY --ready-timeout 0 --kernel "$TINY" -o x.torpor
    refuses 125 "--encrypt: a hot set" build --live --ready READY --encrypt --kernel "$TINY" -o x.torpor
    refuses 122 "nowhere" build --live --ready READY --kernel "$TINY" -o nowhere/x.torpor
    refuses 125 "port:80: the machine has no network card" build --live --ready port:80 --net none --kernel "$TINY" -o x.torpor
    nothing_is_left
}
try live_refused "build --live: what does not go together, and what cannot be written, is named first"

flag_files() {
    printf '%s\n' "# a machine" "--kernel '$TINY'" "" "-m 64M   # small" "--append=\"loud and clear\"" >web.flags
    works_silently build @web.flags -o web.torpor
    matches "its command line" "$("$TORPOR" inspect web.torpor)" $'\ncmdline +loud and clear\n'
    works_silently build @web.flags -o web.torpor --append other
    matches "a later option holds" "$("$TORPOR" inspect web.torpor)" $'\ncmdline +other\n'
    works run -d -n flags @web.flags
    until_true is_ready flags
    echo "--append 'open" >open.flags
    refuses 125 "open.flags: line 1: a quote is not closed" build @open.flags -o x.torpor
    refuses 122 "none.flags" build @none.flags -o x.torpor
    head -c 70000 /dev/zero | tr '\0' '#' >long.flags
    refuses 125 "long.flags.*large" build @long.flags -o x.torpor
    head -c 10 /dev/zero >zero.flags
    refuses 125 "zero.flags: is no text" build @zero.flags -o x.torpor
    refuses 125 "unexpected operand '@web.flags'" build --kernel "$TINY" -o x.torpor -- @web.flags
}
try flag_files "build @FILE, run @FILE: options from a file, with comments and quotes"
