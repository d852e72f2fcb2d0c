# resume --golden and reset: a machine is taken back to the state of its file, in its process.

process_of() { # NAME
    cat "$XDG_RUNTIME_DIR/torpor/$1/pid"
}

golden() { # NAME MEMBER
    "$TORPOR" inspect "$1" --json | json "d['golden']['$2']"
}

make_golden() { # OPTION…
    truncate -s 2M d.img
    boot origin --disk d.img "$@"
    answers origin "fill 8 4 7" "filled 1024"
    answers origin "dwrite 0 100 16 3" "dwrite ok"
    nonce=$(say origin nonce)
    works save origin -o g.torpor
}

changes() { # NAME
    answers "$1" "fill 8 8 9" "filled 2048"
    answers "$1" "dwrite 0 90 32 5" "dwrite ok"
    answers "$1" "ddiscard 0 1000 64" "ddiscard ok"
    answers "$1" "dzeroes 0 2000 64" "dzeroes ok"
}

is_golden() { # NAME
    answers "$1" nonce "$nonce"
    answers "$1" "check 8 4 7" "check ok"
    answers "$1" "dread 0 100 16 3" "dread ok"
}

reset_in_place() {
    local process i count
    make_golden
    works resume -d --golden -n g g.torpor
    process=$(process_of g)
    count=$(say g count)
    for i in 1 2 3 4 5; do
        changes g
        works_silently reset g
        is_golden g
        same "the process" "$(process_of g)" "$process"
        same "resets" "$(golden g resets)" "$i"
    done
    [ "$(golden g kept)" -ge 4194304 ] || fail "it kept $(golden g kept) bytes of the file"
    # Its counter began anew each time.
    same "state" "$("$TORPOR" inspect g --json | json "d['state']")" running
    same "identity" "$(golden g digest)" "$("$TORPOR" inspect g.torpor --json | json "d['digest']")"
    works save g -o again.torpor
    works resume -d -n again again.torpor
    is_golden again
}
try reset_in_place "resume --golden, reset: memory, disk and devices are the file's, in the same process"

reset_of_all_kinds() {
    local kind
    make_golden
    works convert --flat g.torpor flat.torpor
    works resume -d --golden -n packed --fill none g.torpor
    works resume -d --golden -n flat flat.torpor
    works resume -d --golden -n still --paused g.torpor
    for kind in packed flat; do
        answers $kind "fill 9 1 9" "filled 256"
    done
    works_silently reset packed flat still
    for kind in packed flat; do
        is_golden $kind
    done
    same "a paused one" "$("$TORPOR" inspect still --json | json "d['state']")" paused
    works_silently unpause still
    is_golden still
    # Whatever has become of the guest.
    answers flat halt halt
    works_silently reset flat
    is_golden flat
    "$TORPOR" console packed <<<reset >/dev/null &
    until_true has_said packed READY
    works_silently reset packed
    is_golden packed
    works_silently kill packed
    wait
}
try reset_of_all_kinds "reset several at once: packed and paged, flat, paused, halted, after a reset of the guest"

reset_and_save() {
    local digest
    make_golden
    works resume -d --golden -n g g.torpor
    answers g "fill 8 8 9" "filled 2048"
    works save -R g --parent g.torpor -o one.torpor
    answers g "fill 20 1 9" "filled 256"
    works save -R g --parent one.torpor -o two.torpor
    answers g "fill 24 1 9" "filled 256"
    works_silently reset g
    is_golden g
    # From here on it counts from the golden file.
    digest=$("$TORPOR" inspect g.torpor --json | json "d['digest']")
    same "base" "$("$TORPOR" inspect g --json | json "d['base']['digest']")" "$digest"
    answers g "fill 20 1 6" "filled 256"
    works save -R g --parent g.torpor -o three.torpor
    [ "$(stat -c %s three.torpor)" -lt 1000000 ] || fail "it is no increment of what changed since"
    works resume -d -n three three.torpor
    is_golden three
    answers three "check 20 1 6" "check ok"
    works resume -d -n two two.torpor
    answers two "check 8 8 9" "check ok"
    answers two "check 20 1 9" "check ok"
    works_silently reset g
    is_golden g
}
try reset_and_save "save -R between resets loses no page; after a reset increments count from the golden file"

reset_is_a_resume() {
    local first
    make_golden
    works resume -d --golden -n g g.torpor
    first=$(say g genid)
    works_silently reset g
    [ "$(say g genid)" != "$first" ] || fail "it has the generation id of before"
    same "hooks" "$("$TORPOR" inspect g --json | json "d['wake']['hooks']")" owed
    # Who is at the console stays there.
    timeout "$PATIENCE" "$TORPOR" console g </dev/null >listener &
    heard() {
        answers g "ping both" "pong both"
        grep -q "pong both" listener
    }
    until_true heard
    works_silently reset g
    until_true heard
    answers g "ping behind" "pong behind"
    until_true grep -q "pong behind" listener
    works_silently kill g
    wait
}
try reset_is_a_resume "a reset draws a new generation id and owes the guest what a resume owes it; consoles stay"

reset_with_network() {
    local port i
    make_golden --net user
    works resume -d --golden -n g g.torpor -p 127.0.0.1:0:80
    answers g "arp 10.0.2.2" "arp 52:55:0a:00:02:02"
    port=$("$TORPOR" port g)
    exec 9<>"/dev/tcp/127.0.0.1/${port##*:}" || fail "nobody listens"
    for i in 1 2 3; do
        works_silently reset g
        answers g "arp 10.0.2.2" "arp 52:55:0a:00:02:02"
        same "published ports" "$("$TORPOR" port g)" "$port"
        exec 8<>"/dev/tcp/127.0.0.1/${port##*:}" || fail "nobody listens after reset $i"
        exec 8>&-
    done
    # What was connected before is over.
    read -r -t "$PATIENCE" -u 9
    [ $? -le 128 ] || fail "the old connection hangs"
    exec 9>&-
}
try reset_with_network "a machine with a user network: its ports stay, its connections end"

reset_refused() {
    make_golden
    works resume -d -n plain g.torpor
    refuses 125 "plain is not golden.*resume --golden" reset plain
    boot cold
    refuses 125 "cold is not golden" reset cold
    refuses 122 "nobody" reset nobody
    refuses 125 "NAME" reset
    refuses 125 "--golden.*--new-identity" resume -d --golden --new-identity g.torpor
    works_silently pause plain
    refuses 125 "--golden is for files" resume --golden plain
    refuses 125 "unknown option|golden" run --golden --kernel "$TINY"
    # A file that is damaged where the guest was: nothing changes.
    cp g.torpor bad.torpor
    works resume -d --golden --fill full -n bad bad.torpor
    until_true all_present bad
    answers bad "fill 8 4 9" "filled 1024"
    damage bad.torpor
    refuses 121 "memory.0" reset bad
    answers bad "check 8 4 9" "check ok"
}
all_present() { # NAME
    "$TORPOR" stats "$1" --json | json "d['paging']['present'] == d['paging']['frames']" | grep -q True
}
damage() { # FILE: all of it but the metadata in front, which the machine has read
    local size
    size=$(stat -c %s "$1")
    head -c $((size - 65536)) /dev/zero | dd of="$1" bs=64K seek=1 conv=notrunc status=none
}
try reset_refused "reset of a machine that is not golden, or whose file is damaged, is refused and changes nothing"
