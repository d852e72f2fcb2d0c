# Servers that cut, lie and refuse.

comes() {
    works pull "docker://$proxy/torpor/full:v1"
    rm ./*.torpor
    wakes "docker://$proxy/torpor/full:v1"
}

nothing_came() {
    refuses 122 'no image' verify "docker://$proxy/torpor/full:v1"
    same "names in the store" "$(find "$XDG_DATA_HOME/torpor/oci/refs" -type f)" ""
}

cut_off() {
    behind cut=100000
    comes
    [ "$(asked 'range=bytes=')" -ge 1 ] || fail "no range was asked for"
}
try cut_off "a pull goes on where it was cut off"

whole_for_range() {
    behind cut=100000 whole
    comes
    [ "$(asked 'range=bytes=')" -ge 1 ] || fail "no range was asked for"
}
try whole_for_range "200 instead of 206 is not taken for the range"

other_range() {
    behind cut=100000 otherrange
    comes
    [ "$(asked 'range=bytes=')" -ge 1 ] || fail "no range was asked for"
}
try other_range "206 of other bytes is not taken for the range"

ends() { # STATUS PID LOG REGEX
    local status
    wait "$2"
    status=$?
    [ "$status" = "$1" ] && grep -qE "^torpor: .*$4" "$3" || fail "$3: status $status: $(<"$3")"
}

# The waits between attempts are most of these, so they run side by side.
no_end() {
    local none other forgetful
    need docker-registry
    appliances
    start_registry
    works push full.torpor "docker://$registry/torpor/full:v1"
    start_proxy none cut=100000 always norange
    XDG_DATA_HOME=$HOME/none timeout "$PATIENCE" "$TORPOR" pull "docker://$proxy/torpor/full:v1" >none.out 2>&1 &
    none=$!
    start_proxy other cut=100000 always otherrange
    XDG_DATA_HOME=$HOME/other timeout "$PATIENCE" "$TORPOR" pull "docker://$proxy/torpor/full:v1" >other.out 2>&1 &
    other=$!
    start_proxy forgetful max=5000000 forgets
    timeout "$PATIENCE" "$TORPOR" push full.torpor "docker://$proxy/torpor/other:v1" >forgetful.out 2>&1 &
    forgetful=$!
    ends 121 "$none" none.out 'were asked for, and the registry says that there are none'
    ends 121 "$other" other.out "were asked for, and 'bytes 0-"
    ends 125 "$forgetful" forgetful.out 'upload a chunk: status 500'
}
try no_end "what is had or sent again up to the same byte is no progress: pull and push end"

wrong_bytes() {
    behind flip
    refuses 121 'what came has the digest' pull "docker://$proxy/torpor/full:v1"
    nothing_came
}
try wrong_bytes "wrong bytes do not come into the store"

endless_bytes() {
    behind endless
    refuses 121 'is longer than its' pull "docker://$proxy/torpor/full:v1"
    nothing_came
}
try endless_bytes "a blob without an end is refused at its size"

busy() {
    behind busy=3
    comes
}
try busy "a registry that is busy is asked again"

# A connection that is refused is tried again as one that is cut. What it speaks is known of none of them.
starting() {
    behind starting=2
    comes
}
try starting "a registry without TLS on this host that is only just starting is waited for"

closes_at_tls() {
    behind notls starting=2
    comes
}
try closes_at_tls "a registry on this host that closes the connection at the first word of TLS is asked by http"

pushes() { # MODE…
    need docker-registry
    appliances
    start_registry
    start_proxy proxy "$@"
    works push full.torpor "docker://$proxy/torpor/full:v1"
    elsewhere
    works pull "docker://$registry/torpor/full:v1"
    rm ./*.torpor
    wakes "docker://$registry/torpor/full:v1"
}

in_pieces() {
    pushes max=5000000 patch201
    [ "$(asked '^PATCH')" -ge 3 ] || fail "$(asked '^PATCH') pieces were sent"
}
try in_pieces "in pieces of 4 MiB after a 413, with 201 for each"

pieces_move() {
    pushes max=5000000 moved
    [ "$(asked '^PATCH /place/')" -ge 3 ] || fail "$(asked '^PATCH /place/') pieces went to the places that were named"
}
try pieces_move "a Location that is another one for each piece"

piece_is_cut() {
    local all again
    pushes max=5000000 cutup
    all=$(asked '^PATCH')
    again=$(grep '^PATCH' proxy.log | sort | uniq -d | wc -l)
    # A new upload would have sent the first two pieces again.
    [ "$all" -ge 4 ] && [ "$again" -le 1 ] && [ "$(asked '^POST .*/uploads/')" = "$(asked '^PUT .*digest')" ] ||
        fail "$(cat proxy.log)"
}
try piece_is_cut "an upload that is cut off in a piece goes on with that piece"

tokens_expire() {
    pushes token=8
    [ "$(asked '^GET /token')" -ge 3 ] || fail "$(asked '^GET /token') tokens were asked for"
    same "scopes that pile up" "$(asked '^GET /token.*scope=.*scope=')" 0
    same "whatever they are for" "$(asked '^GET /token.*scope=[^&]*torpor(/|%2F)full(:|%3A)pull(,|%2C)push[& ]')" "$(asked '^GET /token')"
}
try tokens_expire "tokens that expire in the middle of a push are asked for anew, for the same and no more"

helper_has_them() {
    need docker-registry
    appliances
    start_registry
    start_proxy proxy basic
    mkdir -p bin "$HOME/.docker"
    cat >bin/docker-credential-drawer <<'EOF'
#!/bin/sh
read -r host
echo "$1 $host" >>"$(dirname "$0")/asked"
echo '{"Username":"user","Secret":"secret"}'
EOF
    chmod 755 bin/docker-credential-drawer
    refuses 125 'status 401' push full.torpor "docker://$proxy/torpor/full:v1"
    echo "{\"credHelpers\":{\"$proxy\":\"drawer\"}}" >"$HOME/.docker/config.json"
    PATH=$PWD/bin:$PATH works push full.torpor "docker://$proxy/torpor/full:v1"
    same "what the helper was asked" "$(sort -u bin/asked)" "get $proxy"
    echo '{"credsStore":"../drawer"}' >"$HOME/.docker/config.json"
    refuses 121 'no name of a credential helper' push full.torpor "docker://$proxy/torpor/full:v1"
}
try helper_has_them "a credential helper is asked, and its name is checked"

through_a_proxy() {
    behind
    export http_proxy=http://$proxy https_proxy=http://$proxy no_proxy=
    refuses 125 'registry.example' pull docker://registry.example/torpor/full:v1
    [ ! -s proxy.log ] || fail "it was asked in clear: $(<proxy.log)"
    works pull --plain-http docker://registry.example/torpor/full:v1
    [ "$(asked '^GET /v2/torpor/full/')" -ge 2 ] || fail "the proxy was not asked"
    unset http_proxy https_proxy no_proxy
    wakes docker://registry.example/torpor/full:v1
}
try through_a_proxy "through a proxy; http to another host only with --plain-http"

stalled() {
    behind stall
    refuses 125 "$proxy" pull --timeout 1 "docker://$proxy/torpor/full:v1"
    nothing_came
}
try stalled "a server that falls silent is given up after --timeout"

without_head() {
    pushes nohead
}
try without_head "a registry without HEAD"

credentials_stay() {
    local other
    need docker-registry
    appliances
    start_registry
    works push full.torpor "docker://$registry/torpor/full:v1"
    start_proxy other
    other=$proxy
    start_proxy proxy basic "redirect=$other"
    elsewhere
    refuses 125 'status 401' pull "docker://$proxy/torpor/full:v1"
    echo secret | "$TORPOR" login -u user --password-stdin "$proxy" >/dev/null || fail "login"
    comes
    [ "$(asked 'auth=yes')" -ge 1 ] || fail "nothing was shown to the registry"
    [ "$(grep -c '/blobs/' other.log)" -ge 1 ] || fail "the other host was not asked"
    same "what the other host was shown" "$(grep -c auth=yes other.log)" 0
    works_silently logout "$proxy"
    refuses 122 'no credentials' logout "$proxy"
}
try credentials_stay "credentials do not go with a redirect; login and logout"

long_name() {
    local repository
    behind
    repository=$(printf 'x%.0s' {1..200})
    refuses 125 "name and tag are too long for the store" pull "docker://$proxy/$repository:$(printf 'y%.0s' {1..100})"
    refuses 125 "name and tag are too long for the store" resume -d "docker://$proxy/$repository:$(printf 'y%.0s' {1..100})"
    [ ! -s proxy.log ] || fail "it was asked: $(<proxy.log)"
}
try long_name "a name that the store cannot keep is refused before anything is fetched"

together() {
    behind
    "$TORPOR" pull "docker://$proxy/torpor/full:v1" >one.out 2>&1 &
    works pull "docker://$proxy/torpor/full:v1"
    wait $! || fail "$(<one.out)"
    same "blobs fetched twice" "$(grep -o '/blobs/sha256:[0-9a-f]*' proxy.log | sort | uniq -d)" ""
}
try together "two who pull the same fetch it once"
