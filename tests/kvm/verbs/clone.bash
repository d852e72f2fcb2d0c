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
