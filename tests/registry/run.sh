#!/bin/bash
# push and pull against real registries on the loopback address: every *.bash beside this one, two at a time, each in
# a home of its own. `run.sh PART`: those of PART.bash.
set -u
cd "$(dirname "$0")/../.." || exit 1
registry_tests=$PWD/tests/registry
if [ $# = 0 ]; then
    # What a part says stays together.
    basename -s .bash "$registry_tests"/*.bash |
        xargs -P 2 -I PART bash -c 'said=$(tests/registry/run.sh PART 2>&1); status=$?; echo "$said"; exit "$status"'
    exit
fi
. tests/kvm/cli.bash

need() { # PROGRAM…
    local program
    for program; do
        command -v "$program" >/dev/null || skip "$program is not installed"
    done
    [ -w /dev/kvm ] || skip "/dev/kvm cannot be opened"
}

# What a test starts ends with it.
started=
start() { # LOG COMMAND…: in the background
    local log=$1
    shift
    "$@" >"$log" 2>&1 </dev/null &
    started="$started $!"
    trap 'kill $started 2>/dev/null' EXIT
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

answers_http() { # URL
    curl -s -k -o /dev/null "$1"
}

# docker-registry on a free port: $registry. More of its configuration comes as text.
# shellcheck disable=SC2120
start_registry() { # [YAML]
    local port
    port=$(free_port)
    cat >registry.yml <<EOF
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $PWD/registry}}
http: {addr: "127.0.0.1:$port"}
${1-}
EOF
    start registry.log docker-registry serve registry.yml
    registry=127.0.0.1:$port
    until_true answers_http "http://$registry/v2/"
}

copy() { # FROM TO
    skopeo --insecure-policy copy -q --src-tls-verify=false --dest-tls-verify=false "$1" "$2" 2>err ||
        fail "skopeo copy $1 $2: $(<err)"
}

# Another user's host: an empty store.
# shellcheck disable=SC2120
elsewhere() { # [NAME]
    export XDG_DATA_HOME=$HOME/data-${1-elsewhere}
    mkdir -p "$XDG_DATA_HOME"
}

# A machine with some MiB that do not pack, saved: full.torpor, and increment.torpor on it. They are made once.
make_appliances() {
    boot source -m 32M
    answers source "fill 4 12 7" "filled 3072"
    works save -R --flat -o full.torpor source
    answers source "fill 20 1 9" "filled 256"
    works save --parent full.torpor -o increment.torpor source
}

appliances() {
    if ! [ -d "$SCRATCH/made" ]; then
        mkdir making
        (cd making && make_appliances) || exit 1
        mv making "$SCRATCH/made"
    fi
    cp "$SCRATCH"/made/* .
}

# The proxy before $registry: $proxy. It writes a line for each request to NAME.log.
start_proxy() { # NAME MODE…
    local name=$1
    shift
    rm -f "$name.port"
    start "$name.err" python3 "$registry_tests/proxy.py" "$registry" "$name.port" "$name.log" "$@"
    proxy_pid=$!
    until_true test -s "$name.port"
    proxy=127.0.0.1:$(<"$name.port")
}

# shellcheck disable=SC2119
behind() { # MODE…: full.torpor is in the registry, and the proxy before it
    need docker-registry
    appliances
    start_registry
    works push full.torpor "docker://$registry/torpor/full:v1"
    elsewhere
    start_proxy proxy "$@"
}

asked() { # REGEX: how many requests were like that
    grep -cE "$1" proxy.log
}

# torpor serve on a free port: $served is its address, $server its process.
start_server() { # ARGUMENT…
    rm -f served
    ${few-} "$TORPOR" serve --listen 127.0.0.1:0 "$@" >served 2>serve.err </dev/null &
    server=$!
    started="$started $server"
    trap 'kill $started 2>/dev/null' EXIT
    until_true grep -q http served
    served=$(<served)
    served=${served#http://}
}

# All of what a machine runs from is there, and in the store: before it is killed, for its download ends with it.
has_arrived() { # NAME
    [ "$("$TORPOR" inspect --json "$1" | json "d['arriving']['state']")" = complete ]
}

# How many images gc removes.
removed() {
    works gc --json
    json "d['images']" <<<"$out"
}

identity() { # FILE
    works inspect --json "$1"
    json "d['digest']" <<<"$out"
}

wakes() { # REF [WHAT IT ANSWERS]
    works resume -d --name woken "$1"
    answers woken "check 4 12 7" "check ok"
    [ -z "${2-}" ] || answers woken "check 20 1 9" "check ok"
    works kill woken
}

. "$registry_tests/$1.bash"
