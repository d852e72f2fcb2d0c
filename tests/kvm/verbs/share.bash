# Shared folders: -v DIR:GUEST, what a save keeps of them, and what becomes of a machine whose host does not answer.

# "fs share0", and $handle: of the file NAME, which has been looked up and opened.
open_file() { # MACHINE NAME
    local got
    got=$(say "$1" "flook 1 $2")
    matches "a look at $2" "$got" "^flook [0-9]+ [0-9]+\$"
    node=$(cut -d' ' -f2 <<<"$got")
    got=$(say "$1" "fopen $node")
    matches "opening $2" "$got" "^fopen [0-9]+\$"
    handle=${got#fopen }
}

share_data() { # NAME OPTION…
    local name=$1
    shift
    mkdir -p data
    echo from the host >data/host
    boot "$name" -v "$PWD/data:/data" "$@"
    answers "$name" fs "fs share0"
}

# The processes that serve folders: their parent is not ours.
servers() {
    local exe
    for exe in /proc/[0-9]*/exe; do
        [ "$(readlink "$exe")" = "$TORPOR" ] && [ "$(cat "${exe%/exe}/comm")" = torpor-folder ] && basename "${exe%/exe}"
    done 2>/dev/null
}

there_and_back() {
    share_data web
    open_file web host
    answers web "fread $handle 5" "fread the host"
    answers web "fwrite $handle 0 FROM" "fwrite 4"
    same "the host has it" "$(cat data/host)" "FROM the host"
    matches "a new file" "$(say web "fcreate 1 new")" "^fcreate [0-9]+ [0-9]+\$"
    same "is the user's" "$(stat -c "%u %a" data/new)" "$(id -u) 600"
    answers web "funlink 1 new" "funlink ok"
    [ ! -e data/new ] || fail "it is still there"
    answers web "flook 1 nothing" "error fs 2"
    works inspect web --json
    same "inspect" "$(json "d['shares']" <<<"$out")" \
        "[{'tag': 'share0', 'guest': '/data', 'folder': '$PWD/data', 'readonly': False}]"
    works inspect web
    matches "inspect, as text" "$out" "share0 +$PWD/data at /data"
    works_silently kill web
    until_true [ -z "$(servers)" ]
}
try there_and_back "-v DIR:GUEST: files are read, written, made and removed; the server ends with its machine"

out_of_it() {
    mkdir data outside
    echo secret >outside/file
    ln -s "$PWD/outside" data/link
    ln -s "$PWD/outside/file" data/name
    ln -s ../outside data/up
    share_data web
    for name in link name up; do
        matches "$name is a link" "$(say web "flook 1 $name")" "^flook "
        answers web "fopen $(say web "flook 1 $name" | cut -d' ' -f2)" "error fs 22"
    done
    node=$(say web "flook 1 link" | cut -d' ' -f2)
    answers web "flook $node file" "error fs 20"
    answers web "flook 1 .." "error fs 22"
    answers web "flook 1 ../outside" "error fs 22"
    answers web "flook 1 /etc" "error fs 22"
    # A folder that the guest has looked up, and the host puts a link in its place.
    mkdir data/folder
    node=$(say web "flook 1 folder" | cut -d' ' -f2)
    rmdir data/folder
    ln -s "$PWD/outside" data/folder
    answers web "flook $node file" "error fs 2"
    works_silently kill web
}
try out_of_it "links, .. and paths lead a guest nowhere"

nonsense() {
    share_data web
    # All kinds of requests, of ones, for the root, for nothing, and too short.
    for opcode in $(seq 0 60) 4294967295; do
        for node in 1 77; do
            matches "request $opcode of $node" "$(say web "fraw $opcode $node 200")" "^(error fs|fraw ok)"
        done
        matches "short request $opcode" "$(say web "fraw $opcode 1 3")" "^(error fs|fraw ok)"
    done
    # Without FUSE_DESTROY among them it would go on.
    answers web fs "fs share0"
    open_file web host
    answers web "fread $handle 0" "fread from the host"
    works_silently kill web
}
try nonsense "requests of nonsense are refused, and the folder goes on"

only_read() {
    mkdir data
    echo text >data/file
    boot web -v "$PWD/data:/data:ro"
    answers web fs "fs share0"
    answers web "fcreate 1 new" "error fs 30"
    answers web "funlink 1 file" "error fs 30"
    answers web "fopen $(say web "flook 1 file" | cut -d' ' -f2)" "error fs 30"
    works_silently kill web
    same "what is there" "$(ls data)" file
}
try only_read "-v DIR:GUEST:ro: the guest changes nothing"

survives() {
    share_data web
    echo kept >data/kept; echo gone >data/gone; echo old >data/replaced
    for name in kept gone replaced; do
        open_file web "$name"
        eval "$name=$handle"
    done
    answers web "fwrite $kept 0 KEPT" "fwrite 4"
    works save web -o web.torpor
    rm data/gone
    echo new >data/new; mv data/new data/replaced
    mkdir data/deep; mv data/kept data/deep/ # no path leads to it any more
    mv data/deep/kept data/kept
    refuses 125 "has a shared folder at /data: say which it is with -v DIR:/data, or drop it with -v none" \
        resume web.torpor -d
    refuses 125 "has no shared folder at /other" resume web.torpor -d -v "$PWD/data:/other"
    works resume web.torpor -d -v "$PWD/data:/data"
    answers web "fread $kept 0" "fread KEPT"
    answers web "fwrite $kept 0 more" "fwrite 4"
    same "the host has it" "$(cat data/kept)" more
    answers web "fread $gone 0" "error fs 116"
    answers web "fread $replaced 0" "error fs 116"
    matches "what is there now" "$(say web "flook 1 replaced")" "^flook [0-9]+ 4\$"
    "$TORPOR" logs --host web | grep -q "share0: gone is gone" || fail "nobody has named it"
    "$TORPOR" logs --host web | grep -q "share0: replaced is gone" || fail "nobody has named it"
    # Behind the pause as well; and an increment.
    works save web -R -o again.torpor
    answers web "fread $kept 0" "fread more"
    works save web -R -o more.torpor --parent again.torpor
    works_silently kill web
    works resume more.torpor -d --name web -v "$PWD/data:/data"
    answers web "fread $kept 0" "fread more"
    answers web "fread $gone 0" "error fs 116"
    works_silently kill web
    matches "inspect" "$("$TORPOR" inspect web.torpor)" "share +share0 at /data"
    matches "its format" "$("$TORPOR" inspect --json web.torpor)" '"format": ?"1.3"'
}
try survives "open files survive saves; what is gone is ESTALE and named; a folder that is not spoken of is refused"

elsewhere() {
    share_data web
    open_file web host
    works save web -o web.torpor
    works resume web.torpor -d -v none
    answers web "fread $handle 0" "error fs 116"
    answers web "flook 1 host" "error fs 116"
    works save web -o dropped.torpor
    cp -r data copy
    echo from a copy >copy/host
    works resume dropped.torpor -d -v "$PWD/copy:/data:ro"
    answers web "fread $handle 0" "fread from a copy"
    answers web "fwrite $handle 0 x" "error fs 30"
    # Moved to another set of folders, which is another host for all that it matters.
    call move web -- "$TORPOR" receive -v "$PWD/data:/data" --name there
    [ "$status" = 0 ] || fail "$(report_call move)"
    answers there "fread $handle 0" "fread from the host"
    works_silently kill there
    refuses 125 "has a shared folder at /data" clone web.torpor
    refuses 125 "2 machines cannot share one server" clone -c 2 -v "$PWD/data:/data" web.torpor
    works clone -c 2 -v none web.torpor
    answers web-1 "fread $handle 0" "error fs 116"
    works clone -v "$PWD/data:/data" web.torpor
    answers web-3 "fread $handle 0" "fread from the host"
    works_silently kill web-1 web-2 web-3
    refuses 125 "cannot be golden: it shares .*/data" resume --golden -d -v "$PWD/data:/data" web.torpor
    works resume --golden -d -v none web.torpor
    answers web "fread $handle 0" "error fs 116"
    works reset web
    answers web "fread $handle 0" "error fs 116"
    works_silently kill web
}
try elsewhere "-v none drops a folder and keeps what was known; another folder; move, clone and reset"

silent_host() {
    share_data web
    open_file web host
    server=$(servers)
    kill -STOP "$server"
    answers web "fask $handle 0" "fask ok"
    # Nobody but who asked waits.
    answers web "ping x" "pong x"
    works_silently pause web
    refuses 125 "host has not answered 1 request of the guest for [0-9]+ s: the shared folder hangs" save web -o web.torpor
    refuses 125 "the shared folder hangs" save web -R -o web.torpor
    [ ! -e web.torpor ] || fail "it was saved"
    works_silently unpause web
    answers web "ping x" "pong x"
    kill -CONT "$server"
    answers web fhear "fhear from the host"
    works save web -R -o web.torpor
    # What hung at the end of a machine holds up nobody.
    kill -STOP "$server"
    answers web "fask $handle 0" "fask ok"
    works_silently kill web
    kill -KILL "$server"
}
try silent_host "a host that does not answer: the console does, a pause takes two seconds, a save refuses, kill ends it"

no_server() {
    share_data web
    open_file web host
    server=$(servers)
    kill -STOP "$server"
    answers web "fask $handle 0" "fask ok"
    kill -KILL "$server"
    answers web fhear "error fs 107"
    answers web "fread $handle 0" "error fs 107"
    "$TORPOR" logs --host web | grep -q "process that serves it has ended" || fail "nobody has said it"
    works save web -o web.torpor
    works resume web.torpor -d -v "$PWD/data:/data"
    answers web "fread $handle 0" "error fs 116"
    answers web fs "fs share0"
    open_file web host
    works_silently kill web
}
try no_server "a server that is killed: ENOTCONN for what was asked and for what comes; saved and woken, all is stale"

confined() {
    share_data web
    server=$(servers)
    matches "its filter" "$(cat "/proc/$server/status")" $'\nSeccomp:\t2'
    matches "its capabilities" "$(cat "/proc/$server/status")" $'\nCapEff:\t0000000000000000'
    same "its parent" "$(ps -o ppid= -p "$server" | tr -d ' ')" 1
    same "a session of its own" "$(ps -o sid= -p "$server" | tr -d ' ')" "$(ps -o pgid= -p "$server" | tr -d ' ')"
    works_silently kill web
    refuses 122 "no/where: No such file" run --kernel "$TINY" -v no/where:/data
    refuses 125 "Not a directory" run --kernel "$TINY" -v "$TINY:/data"
    for bad in data /data:data /data:/a/../b /data: :/data /data:/; do
        refuses 125 "run: -v " run --kernel "$TINY" -v "$bad"
    done
    refuses 125 "/data is there already" run --kernel "$TINY" -v "$PWD:/data" -v /tmp:/data
    refuses 125 "-v none: for torpor resume" run --kernel "$TINY" -v none
}
try confined "the server has a filter, no capability and no parent; paths that are none are refused"
