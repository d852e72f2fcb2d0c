# What is used while it is fetched (wire/): the download's side, with a reader in a machine's place.

READER=$SCRATCH/reader
[ -x "$READER" ] || cp "$BUILD/tests/registry/reader" "$READER"

# Reads SOURCE in the background: `ask LINE` is answered in $answer.
start_reader() { # SOURCE [SILENCE_S]
    rm -f reader.in reader.out
    mkfifo reader.in reader.out
    "$READER" "$XDG_DATA_HOME/torpor/oci" "$@" <reader.in >reader.out 2>reader.err 5>&- 6>&- 7>&- 8>&- &
    reader=$!
    started="$started $reader"
    trap 'kill $started 2>/dev/null' EXIT
    exec 7>reader.in 8<reader.out
    heard
}

heard() {
    IFS= read -r -t "$PATIENCE" answer <&8 || fail "the reader ended: $(<reader.err)"
}

ask() { # LINE
    printf '%s\n' "$*" >&7
    heard
}

end_reader() {
    exec 7>&- 8<&-
    wait "$reader"
    [ $? -le 1 ] || fail "the reader ended with an error: $(<reader.err)"
}

# The download ends with its reader, or when it is done: then nobody has the folder of $arriving locked.
is_over() {
    local lock
    for lock in "$XDG_DATA_HOME"/torpor/oci/arriving/*/lock; do
        ! [ -e "$lock" ] || flock -n "$lock" true || return 1
    done
}

# One registry for all, with full.torpor.
trap 'kill $(cat "$SCRATCH/wire/pid" 2>/dev/null) 2>/dev/null; reap; rm -rf "$SCRATCH"' EXIT
wire_registry() {
    if ! [ -d "$SCRATCH/wire" ]; then
        mkdir "$SCRATCH/wire"
        # shellcheck disable=SC2119
        (
            cd "$SCRATCH/wire" || exit 1
            start_registry
            trap - EXIT
            echo "$started" >pid
            echo "$registry" >address
        ) || fail "no registry"
        registry=$(<"$SCRATCH/wire/address")
        works push full.torpor "docker://$registry/torpor/full:v1"
    fi
    registry=$(<"$SCRATCH/wire/address")
}

# full.torpor behind a proxy, and nothing in the store.
by_wire() { # MODE…
    need docker-registry flock
    appliances
    wire_registry
    rm ./*.torpor
    start_proxy proxy "$@"
    source="docker://$proxy/torpor/full:v1"
}

# All of it is right, and in the store with its name.
all_right() {
    ask all
    matches "what was read" "$answer" '^right [0-9]+$'
    ask state complete
    matches "state" "$answer" "^complete"
    end_reader
    works inspect "$source"
}

arrives() {
    by_wire
    start_reader "$source"
    same "open" "$answer" "open "
    ask files
    [ "$answer" -ge 2 ] || fail "$answer files arrive"
    all_right
    [ "$(asked 'range=bytes=[0-9]+-[0-9]+$')" -ge 2 ] || fail "no closed ranges"
    ! grep -q HEAD proxy.log || fail "it sends HEAD"
    works verify "$source"
    wakes "$source"
}
try arrives "an image is used while it is fetched, and is in the store then"

# The same behind a server that does not do as it should. Another row is another kind of fault.
trap_row() { # MODE…
    by_wire "$@"
    start_reader "$source"
    same "open" "$answer" "open "
    all_right
}

whole() { trap_row whole; }
try whole "a server without ranges: 200 is used from its beginning alone"

quiet() { trap_row quiet nohead; }
try quiet "a server that does not say that it has ranges, and one without HEAD"

other() { trap_row pother=3; }
try other "another Content-Range than the one that was asked for"

other_always() { trap_row pother=100000; }
try other_always "a server whose ranges are never those that were asked for"

few_bytes() { trap_row pshort=3; }
try few_bytes "ranges of which a few bytes come"

# It would go on for ever: each answer has something.
few_bytes_always() {
    by_wire pshort=1000000 half
    start_reader "$source"
    same "open" "$answer" "open "
    ask there-is 99999999999
    matches "what is told" "$answer" '^error: .*[0-9]+ bytes from [0-9]+ on were asked for, and [0-9]+ came'
    end_reader
    [ "$(wc -l <proxy.log)" -lt 200 ] || fail "$(wc -l <proxy.log) requests"
}
try few_bytes_always "a server that never gives more than a few bytes is given up, with what came"

endless_ranges() { trap_row endless; }
try endless_ranges "ranges without an end"

cut_ranges() { trap_row pcut=5; }
try cut_ranges "ranges that are cut in their middle"

busy_server() {
    trap_row pbusy=3
}
try busy_server "a server that is busy, and says for how long"

stalled() {
    by_wire pstall=2
    start_reader "$source" 1
    all_right
}
try stalled "a server that falls silent in the middle is asked again on another connection"

signed_urls() {
    trap_row signed=2
    [ "$(asked '^GET /signed/')" -ge 4 ] || fail "$(<proxy.log)"
    same "credentials at another host" "$(asked '^GET /signed/.*auth=yes')" 0
    [ "$(asked '^GET /v2/.*/blobs/')" -lt "$(asked '^GET /signed/')" ] || fail "each range is asked for at the registry"
}
try signed_urls "an address that expires in the middle is asked for anew; credentials do not go there"

token_expires() {
    trap_row token=3
    [ "$(asked '^GET /token')" -ge 3 ] || fail "$(asked '^GET /token') tokens"
}
try token_expires "tokens that expire in the middle are renewed"

wrong_once() {
    by_wire pwrong=1
    start_reader "$source"
    ask state complete
    matches "state" "$answer" '^complete'
    all_right
}
try wrong_once "bytes that are wrong once are fetched again"

wrong_always() {
    by_wire pwrong=100000
    start_reader "$source"
    ask there-is 99999999999
    matches "what is told" "$answer" '^error: .*gives other bytes than those of sha256:[0-9a-f]{64}, twice'
    end_reader
    until_true is_over
    refuses 122 'no image' inspect "$source"
}
try wrong_always "bytes that are always wrong: the blob is named, and nothing comes into the store"

# The proxy ends, and is back at the same port.
away() {
    local port
    port=$(free_port)
    by_wire port="$port" hold=held
    touch held
    start_reader "$source" 2
    same "open" "$answer" "open "
    kill "$proxy_pid"
    wait "$proxy_pid"
    rm held
    ask state waiting
    same "state" "$answer" "waiting 127.0.0.1:$port "
    start_proxy proxy port="$port" 7>&- 8<&-
    all_right
}
try away "a server that is gone is waited for, and the download goes on when it is back"

held() { # MODE…
    by_wire hold=held "$@"
    touch held
    start_reader "$source"
    same "open" "$answer" "open "
}

download_pid() {
    local pid
    for pid in /proc/[0-9]*; do
        [ "$(readlink "$pid/exe")" = "$READER" ] && [ "${pid#/proc/}" != "$reader" ] && echo "${pid#/proc/}"
    done 2>/dev/null
}

# What has come before stays, and is not fetched again.
killed() {
    held
    pid=$(download_pid)
    matches "the download" "$pid" '^[0-9]+$'
    rm held
    ask read 1 0 65536
    kill -9 "$pid"
    ask all
    matches "after the kill" "$answer" '^(error: .*has ended|right)'
    end_reader
    works gc
    start_reader "$source"
    all_right
}
try killed "kill -9 of the download: its machine is told, and the next one begins with a store that is right"

collected() {
    held
    works gc
    rm held
    all_right
    works gc
    [ -z "$(ls "$XDG_DATA_HOME/torpor/oci/arriving")" ] || fail "$(ls -R "$XDG_DATA_HOME/torpor/oci/arriving")"
    wakes "$source"
}
try collected "gc leaves what arrives for somebody, and removes the rest"

# Of what a machine has left behind only the rest is fetched.
pulled() {
    held holdfrom=$((4 << 20))
    ask read 1 0 $((4 << 20))
    matches "the beginning" "$answer" '^sha256:'
    end_reader
    until_true is_over
    rm held
    works pull "$source"
    same "the rest is asked for" "$(asked "range=bytes=$((4 << 20))-\$")" 1
    works verify "$source"
}
try pulled "pull takes what has arrived before"

twice() {
    held
    exec 5>&7 6<&8
    mv reader.in other.in
    first=$reader
    start_reader "$source"
    same "open" "$answer" "open "
    rm held
    ask all
    matches "the second" "$answer" '^right'
    end_reader
    exec 7>&5 8<&6 5>&- 6<&-
    reader=$first
    all_right
}
try twice "two who want the same at once both get it"

# Of a file of 3 MiB, how many bytes were asked for by ranges.
asked_bytes() {
    python3 -c 'import re, sys
print(sum(int(b) - int(a) + 1 for a, b in re.findall(r"range=bytes=([0-9]+)-([0-9]+)$", sys.stdin.read(), re.M)))' <proxy.log
}

# The first one's pipes are 5 and 6 meanwhile.
second_reader() {
    exec 5>&7 6<&8
    mv reader.in other.in
    first=$reader
    start_reader "$source"
    same "open" "$answer" "open "
}
first_reader() {
    exec 7>&5 8<&6 5>&- 6<&-
    reader=$first
}

shared() {
    held
    ask there
    size=${answer##* }
    second_reader
    before=$(asked_bytes)
    rm held
    # Nobody waits for anything: the second leaves all of it to the first.
    ask state complete
    matches "the second" "$answer" "^complete"
    ask all
    matches "the second" "$answer" '^right'
    end_reader
    first_reader
    all_right
    bytes=$(($(asked_bytes) - before))
    [ "$bytes" -lt $((size * 3 / 2)) ] || fail "$bytes bytes were asked for, of $size, twice"
    wakes "$source"
}
try shared "the second of two who want the same copies what comes to the first"

# What the first was about to fetch, the second fetches when the first is gone.
left_alone() { # HOW THE FIRST ENDS
    held
    pid=$(download_pid)
    matches "the download" "$pid" '^[0-9]+$'
    second_reader
    "$1"
    rm held
    all_right
}
end_first() {
    exec 5>&- 6<&-
    wait "$first"
}
kill_first() {
    kill -9 "$pid"
}
first_ends() { left_alone end_first; }
try first_ends "and goes on alone when the first one's machine ends"
first_is_killed() { left_alone kill_first; }
try first_is_killed "or when the first one's download is killed"

# An increment and what it stands on, of which the store may have some.
chain_arrives() { # IMAGES
    start_reader "docker://$registry/torpor/increment:v1"
    same "open" "$answer" "open "
    ask images
    same "images" "$answer" "$1"
    ask all
    matches "what was read" "$answer" '^right'
    ask state complete
    end_reader
    wakes "docker://$registry/torpor/increment:v1" both
}

increment() {
    need docker-registry flock
    appliances
    wire_registry
    works push increment.torpor "docker://$registry/torpor/increment:v1"
    rm ./*.torpor
    elsewhere one
    chain_arrives 2
    # What it stands on is there.
    elsewhere two
    works pull "docker://$registry/torpor/full:v1"
    chain_arrives 1
}
try increment "an increment comes with what it stands on, unless the store has that"

# One file of a web server.
serve_file() { # NGINX DIRECTIVE…
    PATH=$PATH:/usr/sbin need nginx flock
    appliances
    site=127.0.0.1:$(free_port)
    mkdir site nginx
    cat >nginx.conf <<EOF
daemon off; master_process off; pid $PWD/nginx/pid; error_log $PWD/nginx/error.log;
events {}
http {
    access_log $PWD/nginx/log; client_body_temp_path $PWD/nginx/body; proxy_temp_path $PWD/nginx/proxy;
    fastcgi_temp_path $PWD/nginx/a; uwsgi_temp_path $PWD/nginx/b; scgi_temp_path $PWD/nginx/c;
    server { listen $site; root $PWD/site; $* }
}
EOF
    cp full.torpor site/app.torpor
    start nginx.log "$(PATH=$PATH:/usr/sbin command -v nginx)" -c "$PWD/nginx.conf"
    until_true answers_http "http://$site/"
}

file_arrives() { # NGINX DIRECTIVE…
    serve_file "$@"
    start_reader "http://$site/app.torpor"
    same "open" "$answer" "open "
    ask whole
    same "the file" "$answer" "sha256:$(sha256sum <full.torpor | cut -d' ' -f1)"
    ask state complete
    end_reader
}

file_comes() { file_arrives; }
try file_comes "a file of a web server"

file_without_ranges() { file_arrives "max_ranges 0;"; }
try file_without_ranges "a file of a web server without ranges"

file_replaced() {
    serve_file "limit_rate 300k;"
    start_reader "http://$site/app.torpor"
    same "open" "$answer" "open "
    cp increment.torpor site/other
    truncate -r site/app.torpor site/other
    # nginx makes the ETag of the size and of whole seconds.
    touch -d "@$(($(stat -c %Y site/app.torpor) + 60))" site/other
    mv site/other site/app.torpor
    ask there-is 99999999999
    matches "what is told" "$answer" '^error: .*was replaced while it was fetched'
    end_reader
}
try file_replaced "a file of a web server that is replaced in the middle is told by name"

# Early ranges do not come as they should; nor do those that are asked for later.
file_of_few_bytes() {
    serve_file
    registry=$site start_proxy proxy pshort=1000000 half
    start_reader "http://$proxy/app.torpor"
    same "open" "$answer" "open "
    ask there-is 99999999999
    matches "what is told" "$answer" '^error: .*[0-9]+ bytes from [0-9]+ on were asked for, and [0-9]+ came'
    end_reader
    [ "$(wc -l <proxy.log)" -lt 100 ] || fail "$(wc -l <proxy.log) requests"
    refuses 125 'bytes from [0-9]+ on were asked for, and [0-9]+ came' resume -d --name web "http://$proxy/app.torpor"
}
try file_of_few_bytes "a web server that never gives more than a few bytes is given up, with what came"

file_refused() {
    serve_file
    start_reader "http://$site/none.torpor"
    matches "not there" "$answer" '^error: .*not found'
    end_reader
    start_reader "https://$site/none.torpor"
    matches "http where TLS was asked for" "$answer" "^error: .*https://$site: what answers there is not TLS"
    end_reader
    start_reader "http://192.0.2.1/app.torpor"
    matches "http elsewhere" "$answer" '^error: .*--plain-http'
    end_reader
}
try file_refused "a file that is not there; http to another host"

# The same with a machine.

runs_meanwhile() {
    by_wire
    works resume -d --name web "$source"
    answers web "check 4 12 7" "check ok"
    until_true has_arrived web
    works save web -o saved.torpor
    works verify saved.torpor
    wakes "$source"
    ! grep -q HEAD proxy.log || fail "it sends HEAD"
}
try runs_meanwhile "a machine runs while its image is fetched, and is saved; the store has the image then"

lost() { # NAME
    "$TORPOR" ps | grep -q "^$1 .*one of its files will not arrive (.*gives other bytes than those of sha256:"
}

# The machine looks at it five times a second.
log_says_lost() { # NAME
    "$TORPOR" logs --host "$1" | grep -q "one of its files will not arrive"
}

# Its kernel, which a machine that runs does not need; a save does.
spoilt_file() {
    local digest blob
    need docker-registry
    appliances
    start_registry
    works push full.torpor "docker://$registry/torpor/full:v1"
    elsewhere
    digest=$(sha256sum <"$TINY")
    blob=registry/docker/registry/v2/blobs/sha256/${digest:0:2}/${digest%% *}/data
    [ -s "$blob" ] || fail "the registry has no kernel"
    printf ZZZZ | dd of="$blob" bs=1 seek=1000 conv=notrunc status=none
    works resume -d --name web "docker://$registry/torpor/full:v1"
    until_true lost web
    answers web "check 4 12 7" "check ok"
    refuses 125 "one of its files will not arrive \(.*, twice" save web -o saved.torpor
    refuses 125 "one of its files will not arrive \(.*, twice" save -R web -o saved.torpor
    answers web "check 4 12 7" "check ok"
    until_true log_says_lost web
    works kill web
    works events --json --since 1h --until 0 web
    matches "the events" "$out" '"event":"arrival-failed"'
    [ ! -e saved.torpor ] || fail "something was saved"
    refuses 122 'no image' inspect "docker://$registry/torpor/full:v1"
}
try spoilt_file "a file that is always wrong and no guest needs: ps, log and events name it, a save fails, the machine goes on"

increment_meanwhile() {
    need docker-registry
    appliances
    start_registry
    works push full.torpor "docker://$registry/torpor/increment:full"
    works push increment.torpor "docker://$registry/torpor/increment:v1"
    elsewhere
    works resume -d --name web "docker://$registry/torpor/increment:v1"
    answers web "check 4 12 7" "check ok"
    answers web "check 20 1 9" "check ok"
    until_true has_arrived web
    works kill web
    wakes "docker://$registry/torpor/increment:v1" both
}
try increment_meanwhile "an increment runs while it and its parent are fetched"

# A server that takes connections, and says nothing.
says_what_it_waits_for() {
    local client port terminal
    python3 -c 'import socket, time
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
time.sleep(3600)' >port &
    started="$started $!"
    trap 'kill $started 2>/dev/null' EXIT
    until_true test -s port
    port=$(<port)
    script -qfc "exec '$TORPOR' resume -d --plain-http 'docker://127.0.0.1:$port/web'" /dev/null >resume.out 2>&1 </dev/null &
    terminal=$!
    until_true grep -q "torpor: resume: waiting for 127.0.0.1:$port: nothing has come in [0-9]* s" resume.out
    read -r client <"/proc/$terminal/task/$terminal/children"
    kill "$client"
    wait "$terminal"
    return 0
}
try says_what_it_waits_for "a line says who is waited for, when it takes longer, on a terminal"

says_failed() { # NAME
    "$TORPOR" ps | grep -q "^$1 .*the rest will not arrive (what fetched it has ended)"
}

waits_for_server() { # NAME
    "$TORPOR" ps | grep -q "^$1 .*waiting for 127.0.0.1:[0-9]* since"
}

# Neither a machine nor a download, nor a trace of one that nobody was told of.
nothing_is_left() {
    local exe
    for exe in /proc/[0-9]*/exe; do
        [ "$(readlink "$exe")" != "$TORPOR" ] || return 1
    done 2>/dev/null
    ! "$TORPOR" ps -aq | grep -qx web
}

interrupted() { # CONDITION SIGNAL ARGUMENT…: once that holds
    local condition=$1 signal=$2 client
    shift 2
    "$TORPOR" "$@" >client.out 2>client.err </dev/null &
    client=$!
    until_true "$condition"
    kill "-$signal" "$client"
    wait "$client" 2>/dev/null
    until_true nothing_is_left
    [ ! -s client.out ] || fail "it printed $(<client.out)"
}
arrives_slowly() {
    [ "$("$TORPOR" ps -q)" = web ] && is_held
}
is_held() {
    [ "$(asked 'range=bytes=[0-9]{6,}-')" -ge 1 ]
}

start_is_interrupted() {
    local signal
    by_wire hold=held
    touch held
    for signal in INT TERM HUP KILL; do
        interrupted arrives_slowly $signal resume -d --name web "$source"
    done
    rm held
    wakes "$source"
}
try start_is_interrupted "resume -d that is interrupted, or killed, leaves neither a machine nor a download"

file_start_is_interrupted() {
    local signal
    serve_file
    registry=$site start_proxy proxy hold=held holdfrom=$((256 << 10))
    touch held
    for signal in INT KILL; do
        # Headers are waited for before there is a machine.
        interrupted is_held $signal resume -d --name web "http://$proxy/app.torpor"
    done
    rm held
    works resume -d --name web "http://$proxy/app.torpor"
    answers web "check 4 12 7" "check ok"
}
try file_start_is_interrupted "the same of a web server's file"

# It fetches all of it before there is a machine.
run_is_interrupted() {
    local client signal
    need docker-registry
    head -c 4194304 /dev/urandom >random
    works_silently build -o cold.torpor --kernel "$TINY" --initrd random -m 64M --append loud
    start_registry
    works push cold.torpor "docker://$registry/torpor/cold:v1"
    for signal in INT KILL; do
        start_proxy proxy stall
        "$TORPOR" run -d --name web "docker://$proxy/torpor/cold:v1" >client.out 2>client.err </dev/null &
        client=$!
        stalls() { [ "$(asked 'GET .*/blobs/')" -ge 2 ]; }
        until_true stalls
        kill "-$signal" "$client"
        wait "$client" 2>/dev/null
        until_true nothing_is_left
        works images --json
        same "names" "$out" "[]"
    done
    works run -d --name web "docker://$registry/torpor/cold:v1"
    until_true is_ready web
}
try run_is_interrupted "run docker:// that is interrupted leaves nothing that has a name or runs"

# Its first page waits already.
killed_meanwhile() {
    local exe pid machine terminal client
    by_wire pbusy=100000
    script -qfc "exec '$TORPOR' resume -d --name web '$source'" /dev/null >resume.out 2>&1 </dev/null &
    terminal=$!
    until_true waits_for_server web
    until_true grep -q "torpor: resume: waiting for the first of the machine's memory" resume.out
    read -r client <"/proc/$terminal/task/$terminal/children"
    machine=$("$TORPOR" ps --json | json "d[0]['pid']")
    for exe in /proc/[0-9]*/exe; do
        pid=${exe#/proc/}
        pid=${pid%/exe}
        [ "$(readlink "$exe")" = "$TORPOR" ] && [ "$pid" != "$machine" ] && [ "$pid" != "$client" ] && kill -9 "$pid"
    done 2>/dev/null
    wait "$terminal"
    same "resume" "$(tail -n 1 resume.out)" $'web\r'
    until_true says_failed web
    refuses 125 "will not arrive" save web -o never.torpor
    call wait web
    matches "wait" "$(<"$SCRATCH/out")" "frame [0-9]+ of memory.0.*what fetched it has ended"
    works kill web
    works resume -d --name web "docker://$registry/torpor/full:v1"
    answers web "check 4 12 7" "check ok"
}
try killed_meanwhile "without its download a machine breaks when it needs what is missing, and says so"

kill $(cat "$SCRATCH/wire/pid" 2>/dev/null) 2>/dev/null
