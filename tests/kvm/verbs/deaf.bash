# Machines whose process is stopped: no verb waits without a word.

says() { # FILE REGEX
    grep -Eq "$2" "$1"
}

# A verb that waits for the stopped machine web: it says so, goes on waiting, and goes on with the machine.
waits_for() { # ARGUMENT…
    local pid client
    boot web --net none
    pid=$(<"$XDG_RUNTIME_DIR/torpor/web/pid")
    [ "$1" != resume ] || works_silently pause web
    kill -STOP "$pid"
    "$TORPOR" "$@" >said 2>err </dev/null &
    client=$!
    until_true says err "^torpor: web does not answer \(process $pid has state T .*\); torpor kill web ends it$"
    kill -0 $client || fail "$1 does not wait any more"
    same "lines of $1" "$(wc -l <err)" 1
    kill -CONT "$pid"
    case $1 in
    wait | console) works_silently kill web ;;
    esac
    wait $client
    case $1 in
    wait) same "status of $1" "$?" 137 ;;
    *) same "status of $1" "$?" 0 ;;
    esac
    call kill web
    rm -f said err web.torpor
}

waiting() {
    waits_for pause web
    waits_for unpause web
    waits_for stats web
    waits_for stats --fill none web
    waits_for port web
    waits_for inspect web
    waits_for resume web
    waits_for wait web
    waits_for console web
    waits_for save web -o web.torpor
}
try waiting "every verb that waits for a machine whose process is stopped says so within seconds, and goes on waiting"

stopped_by_the_clock() {
    local pid
    boot web --net none
    pid=$(<"$XDG_RUNTIME_DIR/torpor/web/pid")
    kill -STOP "$pid"
    call stop -t 4 web
    same "status of stop" "$status" 0
    one_line "web does not answer \(process $pid has state T" || fail "$(report_call stop)"
    works ps -q
    same "machines" "$out" ""
}
try stopped_by_the_clock "stop says that a machine does not answer, and kills it at its time"

listed() {
    local pid
    boot web --net none
    boot other --net none
    pid=$(<"$XDG_RUNTIME_DIR/torpor/web/pid")
    kill -STOP "$pid"
    works ps --json
    same "state of web" "$(json "[(m['state'], m['pid']) for m in d if m['name'] == 'web']" <<<"$out")" \
        "[('not-answering', $pid)]"
    until_true is_running other
    works ps
    matches ps "$out" "web +not-answering +- +$pid "
    kill -CONT "$pid"
    until_true is_running web
}
is_running() { # NAME
    [ "$(state_of "$1")" = running ]
}
try listed "ps shows a machine that does not answer, with its process, beside the others"
