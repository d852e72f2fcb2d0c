# Several machines from one file, and from a machine that goes on.

from_file() {
    boot web
    nonce=$(say web nonce)
    answers web "fill 16 8 5" "filled 2048"
    works save web --flat -o web.torpor
    works clone -c 3 web.torpor
    same names "$(sort <<<"$out" | tr '\n' ' ')" "web-1 web-2 web-3 "
    for name in web-1 web-2 web-3; do
        is_same_guest $name
    done
    # A name that is in use is passed over; the next one has another base.
    works clone web.torpor
    same "the fourth" "$out" web-4
    works clone -n other --new-identity web.torpor
    same "of another name" "$out" other-1
    is_same_guest other-1
}
try from_file "clone -c 3 FILE: three machines, each the saved one; -n; --new-identity"

only_named() {
    [ "$("$TORPOR" ps -q | sort)" = "$(sort named)" ]
}
interrupted() {
    boot web
    works save web --flat -o web.torpor
    mkfifo names
    "$TORPOR" clone -c 500 web.torpor >names 2>said &
    clone=$!
    exec {from}<names
    for _ in {1..20}; do
        read -r name <&"$from" && echo "$name"
    done >named
    kill -TERM "$clone"
    cat <&"$from" >>named
    wait "$clone"
    same status $? 143
    [ "$(wc -l <named)" -lt 500 ] || fail "it was too late"
    until_true only_named
}
try interrupted "clone that is ended by a signal: the machines that it has named run, and no others"

# private_kib NAME
private_kib() {
    awk '/^Private_/ { n += $2 } END { print n }' "/proc/$(json_of "$1" "d['pid']")/smaps_rollup"
}

json_of() {
    "$TORPOR" inspect --json "$1" | json "$2"
}

shares() {
    boot web -m 128M
    nonce=$(say web nonce)
    # 64 MiB that differ from page to page.
    answers web "fill 16 64 5" "filled 16384"
    works clone -c 2 web
    same names "$(sort <<<"$out" | tr '\n' ' ')" "web-1 web-2 "
    for name in web-1 web-2; do
        answers $name nonce "$nonce"
        answers $name "check 16 64 5" "check ok"
    done
    for name in web-1 web-2; do
        [ "$(private_kib $name)" -lt 32768 ] || fail "$name has $(private_kib $name) KiB of its own"
    done
}
try shares "clone NAME: the clones share the memory that none has changed"

goes_on() {
    truncate -s 4M disk.img
    boot web --disk disk.img
    nonce=$(say web nonce)
    answers web "fill 16 8 5" "filled 2048"
    answers web "dwrite 0 100 16 3" "dwrite ok"
    works clone -c 2 web
    same state "$(state_of web)" running
    # What the original does now is not seen by a clone that has not touched that memory, nor the other way round.
    answers web "fill 16 8 6" "filled 2048"
    answers web "dwrite 0 100 16 4" "dwrite ok"
    is_same_guest web-1
    answers web-1 "dread 0 100 16 3" "dread ok"
    answers web-1 "fill 16 8 7" "filled 2048"
    is_same_guest web-2
    answers web-2 "dread 0 100 16 3" "dread ok"
    same "files" "$(find "$HOME" "$PWD" -name '*.torpor*')" ""
    # The original's own chain of saves knows nothing of it.
    works save -R web
    works clone web
    works inspect web-1
    matches "its lineage" "$out" $'\nlineage +sha256:[0-9a-f]{64}, in no file: of a machine, or a pipe\n'
    works save -R web
    works verify web
    works kill web web-1 web-2 web-3
    works resume -d web
    answers web "dread 0 100 16 4" "dread ok"
}
try goes_on "clone NAME: it goes on, its later writes are not the clones', nor theirs its own; no file stays"

refused() {
    boot web
    works save -R web -o web.torpor
    refuses 125 "cannot share a port of this host; 0:80 takes a free one" clone -c 2 -p 8080:80 web.torpor
    refuses 125 "cannot share a file" clone -c 2 --pcap f web.torpor
    refuses 125 "cannot share a tap" clone -c 2 --net tap=tap0 web.torpor
    refuses 125 "--count" clone -c 0 web.torpor
    refuses 122 "nobody" clone nobody
    head -c 10000 web.torpor >cut.torpor
    refuses 121 "cut.torpor" clone -c 5 cut.torpor
    same "machines" "$("$TORPOR" ps -q)" web
}
try refused "clone: what two machines cannot share, and a file that is damaged, are refused before any starts"

port_of() { # NAME
    local port
    port=$("$TORPOR" port "$1") || fail "$1 has no port"
    echo "${port##*:}"
}

ports_and_kinds() {
    boot web --net user
    nonce=$(say web nonce)
    answers web "fill 16 8 5" "filled 2048"
    works save web -o web.torpor
    # Each has a port of its own.
    works clone -c 3 -p 127.0.0.1:0:80 web.torpor
    same "ports of three" "$(for name in web-1 web-2 web-3; do port_of $name; done | sort -u | wc -l)" 3
    is_same_guest web-2
    works kill web-1 web-2 web-3
    # Of one that is still being paged in.
    works resume -d --name paged --fill none web.torpor
    works clone -c 2 paged
    is_same_guest paged-1
    answers paged "fill 16 8 6" "filled 2048"
    is_same_guest paged-2
    # Of one whose file is encrypted; such a machine is not copied in clear.
    head -c 32 /dev/urandom >key
    works convert --encrypt --key-file key web.torpor locked.torpor
    works clone -c 2 -n locked --key-file key locked.torpor
    is_same_guest locked-1
    is_same_guest locked-2
    refuses 125 'locked-1 is encrypted' clone locked-1
}
try ports_and_kinds "clones: ports of their own; of a packed file, of a machine that is paged in, of an encrypted file"

while_saving() {
    boot web
    nonce=$(say web nonce)
    answers web "fill 16 8 5" "filled 2048"
    mkfifo pipe
    exec {pipe}<>pipe
    "$TORPOR" save -R web --flat -o - >pipe 2>said {pipe}>&- &
    local saver=$! reader
    saving() {
        [ "$(state_of web)" = saving ]
    }
    until_true saving
    refuses 125 'machine web is busy: saving' clone -c 3 web
    same "machines" "$("$TORPOR" ps -q)" web
    cat pipe >/dev/null {pipe}>&- &
    reader=$!
    wait $saver
    exec {pipe}>&-
    wait $reader
    works clone -c 2 web
    is_same_guest web-1
    is_same_guest web-2
}
try while_saving "clone NAME: refused while it is being saved, and there are none then"

is_whole() { # NAME
    local state
    state=$(state_of "$1")
    [ "$state" = running ] || [ "$state" = halted ]
}

# Those that had not yet a name, too.
all_ended() {
    local name exe
    for name in $("$TORPOR" ps -q); do
        "$TORPOR" kill "$name"
    done
    for exe in /proc/[0-9]*/exe; do
        [ "$(readlink "$exe")" != "$TORPOR" ] || return 1
    done
}

is_whole_or_gone() { # NAME
    is_whole "$1" || ! "$TORPOR" ps -q | grep -qx "$1"
}

killed_amid() {
    local at name names
    boot web
    "$TORPOR" console web <<<halt >/dev/null &
    is_halted() {
        [ "$(state_of web)" = halted ]
    }
    until_true is_halted
    works save web --flat -o web.torpor
    wait
    for at in 0.02 0.05 0.1 0.2 0.4; do
        timeout -s KILL $at "$TORPOR" clone -c 100 -n c web.torpor >printed 2>/dev/null
        # The machines that it had begun come up or are gone, all by themselves.
        names=$("$TORPOR" ps -q)
        for name in $names; do
            until_true is_whole_or_gone "$name"
        done
        for name in $(<printed); do
            grep -qx "$name" <<<"$names" || fail "$name was printed, and does not run: killed after $at s"
        done
        until_true all_ended
    done
    works clone -c 3 -n c web.torpor
    same names "$(sort <<<"$out" | tr '\n' ' ')" "c-1 c-2 c-3 "
}
try killed_amid "kill -9 of a clone command in the middle: the clones that it began are whole, and their names are free again"

without_room() {
    boot web
    nonce=$(say web nonce)
    answers web "fill 16 8 5" "filled 2048"
    works save -R web -o web.torpor
    mkdir small
    mount -t tmpfs -o size=1M tmpfs small 2>/dev/null || skip "no file system can be mounted"
    # No room for the copy of a machine.
    (XDG_STATE_HOME=$PWD/small refuses 125 'No space left on device' clone -c 3 web) || exit 1
    same "state" "$(state_of web)" running
    same "machines" "$("$TORPOR" ps -q)" web
    # No room for records and logs: some clones may run, and each that does not is said to have failed.
    head -c 1000000 /dev/zero >small/full 2>/dev/null
    XDG_STATE_HOME=$PWD/small "$TORPOR" clone -c 20 -n c web.torpor >printed 2>said
    status=$?
    same "run" "$("$TORPOR" ps -q | grep -c '^c-')" "$(wc -l <printed)"
    [ "$(wc -l <printed)" = 20 ] || [ $status = 125 ] || fail "status $status: $(<said)"
    is_same_guest web
}
try without_room "clone without room in the state folder: what could not start is said to, the machine goes on"
