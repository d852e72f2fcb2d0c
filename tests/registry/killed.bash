# kill -9 at any moment of a pull, a push, a tag or a gc: 20 times, $KILL_ROUNDS in the soak.

killed_at() { # MILLISECONDS ARGUMENT…
    local at
    at=$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))
    shift
    timeout -s KILL "$at" "$TORPOR" "$@" >/dev/null 2>&1
}

takes_ms() { # ARGUMENT…: what it takes undisturbed, in $took
    local begun
    begun=$(date +%s%N)
    works "$@"
    took=$((($(date +%s%N) - begun) / 1000000 + 1))
}

killed_anywhere() {
    local ref pull push took round rounds=${KILL_ROUNDS:-20}
    need docker-registry
    appliances
    start_registry
    ref=docker://$registry/torpor/full
    takes_ms push full.torpor "$ref:v1"
    push=$took
    elsewhere
    takes_ms pull "$ref:v1"
    pull=$took
    for ((round = 0; round < rounds; round++)); do
        case $((round % 4)) in
        0) killed_at $((RANDOM * pull / 32768 + 1)) pull "$ref:v1" ;;
        1)
            call rmi "$ref:v1"
            killed_at $((RANDOM % 20 + 1)) gc
            ;;
        2) killed_at $((RANDOM * push / 32768 + 1)) push full.torpor "$ref:r$((round / 8))" ;;
        3) killed_at $((RANDOM * pull / 32768 + 1)) tag full.torpor kept:1 ;;
        esac
        # What is listed is whole.
        works images --json
        [ "$(json 'len(d)' <<<"$out")" = 0 ] || works verify "$(json "d[0]['name']" <<<"$out")"
        works gc
    done
    works pull "$ref:v1"
    works push full.torpor "$ref:after"
    works gc
    works tag full.torpor kept:2
    wakes "$ref:v1"
    wakes kept:2
}
try killed_anywhere "kill -9 anywhere in pull, push, tag and gc: the store is whole, and the next call does its work"
